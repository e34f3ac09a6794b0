//! Error of a request without a response.

use std::fmt;

use super::{Cause, Delivery};

/// Error of a request that got no response, or none that is HTTP.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TransportError {
    /// The layer that failed.
    pub kind: TransportErrorKind,
    /// The failure in words, with the host, and what to do.
    pub message: String,
    pub(super) delivery: Delivery,
    source: Option<Cause>,
}

impl TransportError {
    pub(crate) fn new(
        kind: TransportErrorKind,
        message: impl Into<String>,
        delivery: Delivery,
        source: Option<Cause>,
    ) -> Self {
        Self {
            kind,
            message: message.into(),
            delivery,
            source,
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.message, self.delivery.advice())
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}

/// Cause of a [`TransportError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The DNS lookup of the host failed.
    Dns,
    /// The host cannot be connected to.
    Connect,
    /// The proxy refused, or did not respond.
    Proxy,
    /// The proxy wants credentials, or other ones: it responded with HTTP 407.
    ProxyAuthentication,
    /// TLS failed: usually a certificate that is not trusted, expired, or for another name.
    Tls,
    /// The call's `timeout` or `connect_timeout` elapsed, or the timeout of a [`Migration`](crate::Migration) before the
    /// task was created.
    Timeout,
    /// The connection ended before the response was complete.
    Closed,
    /// The response is not valid HTTP/1, or its header is longer than 8 KiB or has more than 128 lines.
    Protocol,
    /// Any other cause; [`source()`](std::error::Error::source) has it, unless a thread panicked.
    Other,
}

impl TransportErrorKind {
    pub(super) fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Dns | Self::Connect | Self::Proxy | Self::Timeout | Self::Closed
        )
    }
}
