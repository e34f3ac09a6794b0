//! Delivery of the request behind an error: not sent, perhaps sent, perhaps a new task.

use super::{ApiError, DecodeError, Error, HttpError, TransportError};

/// Whether the request behind an error may have reached the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    NotSent,
    /// Not sent, because the token request failed that has to come first.
    TokenRequest,
    MaybeSent,
    /// The request was for a new task, which may exist now.
    MaybeCreated,
}

impl Delivery {
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::MaybeCreated => "; the task may exist, check before you create it again",
            _ => "",
        }
    }
}

impl Error {
    pub(super) fn delivery(&self) -> Delivery {
        match self {
            Self::Transport(TransportError { delivery, .. })
            | Self::Http(HttpError { delivery, .. })
            | Self::Decode(DecodeError { delivery, .. })
            | Self::Api(ApiError { delivery, .. }) => *delivery,
            _ => Delivery::NotSent,
        }
    }

    fn with_delivery(mut self, new: Delivery) -> Self {
        match &mut self {
            Self::Transport(TransportError { delivery, .. })
            | Self::Http(HttpError { delivery, .. })
            | Self::Decode(DecodeError { delivery, .. })
            | Self::Api(ApiError { delivery, .. }) => *delivery = new,
            _ => {}
        }
        self
    }

    pub(crate) fn mark_not_sent(self) -> Self {
        match self.delivery() {
            Delivery::TokenRequest => self,
            _ => self.with_delivery(Delivery::NotSent),
        }
    }

    pub(crate) fn is_of_token_request(&self) -> bool {
        self.delivery() == Delivery::TokenRequest
    }

    pub(crate) fn of_token_request(self) -> Self {
        self.with_delivery(Delivery::TokenRequest)
    }

    /// Marks the error of a request that creates a task, if the task may exist now.
    pub(crate) fn mark_maybe_created(self) -> Self {
        match self.may_have_taken_effect() {
            true => self.with_delivery(Delivery::MaybeCreated),
            false => self,
        }
    }
}

/// Returns whether the same request may succeed later. 408, 421, 425 and 429 say that it was not processed now.
pub(super) fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 421 | 425 | 429 | 500..=599)
}

/// Returns whether the service may have processed the request behind a gateway's error.
pub(super) fn is_ambiguous_status(status: u16) -> bool {
    matches!(status, 500..=599) && !matches!(status, 501 | 503 | 505)
}
