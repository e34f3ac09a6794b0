//! Whether the request behind an error may have been sent, and may be repeated.

/// Whether the request behind an error may have reached the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    NotSent,
    MaybeSent,
    /// The request was for a new task, which may exist now.
    MaybeCreated,
}

impl Delivery {
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::NotSent | Self::MaybeSent => "",
            Self::MaybeCreated => "; the task may exist, check before you create it again",
        }
    }
}

/// Server errors that do not tell whether the request was processed.
pub(super) fn is_ambiguous_status(status: u16) -> bool {
    (500..=599).contains(&status) && !matches!(status, 501 | 503 | 505)
}

pub(super) fn is_transient_status(status: u16) -> bool {
    status == 429 || (500..=599).contains(&status)
}
