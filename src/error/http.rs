//! Error of a response without an envelope.

use std::fmt;
use std::time::Duration;

use super::excerpt::{excerpt, write_quote};
use super::{Delivery, TOKEN_REPLACEABLE, is_transient_status, write_retry_after};

/// Error of a response that has no envelope, and whose HTTP status is not 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpError {
    /// The HTTP status.
    pub status: u16,
    /// The start of the body, at most 256 characters. Bytes that are not UTF-8 are replaced.
    pub body: String,
    /// The time to wait before the next request, as [`Error::retry_after`](crate::Error::retry_after) says.
    pub retry_after: Option<Duration>,
    pub(super) delivery: Delivery,
    /// Whether the refused token is replaced after `retry_after`.
    pub(super) is_token_replaceable: bool,
}

impl HttpError {
    pub(crate) fn new(status: u16, body: &[u8]) -> Self {
        Self {
            status,
            retry_after: None,
            body: excerpt(body),
            delivery: Delivery::MaybeSent,
            is_token_replaceable: false,
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} without the service's envelope: ", self.status)?;
        f.write_str(match self.status {
            300..=303 | 305..=399 => "redirects are not followed, check the base URL",
            401 if self.is_token_replaceable => TOKEN_REPLACEABLE,
            401 => "the access token was refused, get a new one",
            403 => "this IP address is banned, stop and ask the service",
            404 => "not found, check the base URL",
            429 => "too many requests, wait and try again",
            status if is_transient_status(status) => {
                "the service or a gateway before it failed, try again later"
            }
            _ => "not a response of the documented service, check the base URL and any proxy",
        })?;
        write_retry_after(f, self.retry_after)?;
        f.write_str(self.delivery.advice())?;
        write_quote(f, &self.body)
    }
}

impl std::error::Error for HttpError {}
