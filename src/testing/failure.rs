//! An error that the envelope reports.

/// Code and message of an error response.
#[derive(Debug)]
pub(super) struct ApiFailure {
    pub(super) code: i64,
    pub(super) message: &'static str,
}

impl ApiFailure {
    pub(super) const fn new(code: i64, message: &'static str) -> Self {
        Self { code, message }
    }
}
