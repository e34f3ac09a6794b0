//! Error of a response or callback that cannot be decoded.

use std::fmt;
use std::sync::Arc;

use super::excerpt::{MAX_EXCERPT_CHARS, excerpt, shorten, write_quote};
use super::{Cause, Delivery};

/// Error of a 2xx response that is not the documented envelope, or of a callback that is not the documented one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DecodeError {
    /// The fault of the response or callback.
    pub reason: String,
    /// The start of the body, at most 256 characters. Bytes that are not UTF-8 are replaced.
    pub body: String,
    subject: &'static str,
    pub(super) delivery: Delivery,
    pub(super) source: Option<Cause>,
}

impl DecodeError {
    pub(crate) fn new(
        reason: impl Into<String>,
        body: &[u8],
        source: Option<serde_json::Error>,
    ) -> Self {
        Self {
            subject: "response",
            reason: reason.into(),
            body: excerpt(body),
            delivery: Delivery::MaybeSent,
            source: source.map(shorten_source),
        }
    }

    pub(crate) fn of_callback(reason: &str, body: &[u8], source: serde_json::Error) -> Self {
        Self {
            subject: "callback",
            delivery: Delivery::NotSent,
            ..Self::new(reason, body, Some(source))
        }
    }
}

/// `serde_json` quotes the value that it cannot read, however long that is.
fn shorten_source(error: serde_json::Error) -> Cause {
    let text = error.to_string();
    if text.len() <= MAX_EXCERPT_CHARS {
        Arc::new(error)
    } else {
        Arc::from(Box::from(shorten(text)))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the {} is not the documented one: {}{}",
            self.subject,
            self.reason,
            self.delivery.advice()
        )?;
        write_quote(f, &self.body)
    }
}

impl std::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}
