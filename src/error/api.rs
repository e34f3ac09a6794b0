//! Error that the service itself returns.

use std::fmt;
use std::time::Duration;

use super::excerpt::{Escaped, shorten, write_quote};
use super::{
    Delivery, TOKEN_REPLACEABLE, is_ambiguous_status, is_transient_status, write_retry_after,
};
use crate::error_code::ErrorCode;

/// Error in the service's envelope: a code other than 0, or an HTTP status other than 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiError {
    /// The envelope's code.
    pub code: ErrorCode,
    /// The envelope's message, at most 256 characters.
    pub message: String,
    /// The envelope's `x-traceID`, if there was one: at most 256 characters.
    pub trace_id: Option<String>,
    /// The HTTP status; `None` if the envelope was not decoded from an HTTP response.
    pub http_status: Option<u16>,
    /// The time to wait before the next request, as [`Error::retry_after`](crate::Error::retry_after) says.
    pub retry_after: Option<Duration>,
    pub(super) delivery: Delivery,
    /// Whether the refused token is replaced after `retry_after`.
    pub(super) is_token_replaceable: bool,
}

impl ApiError {
    pub(crate) fn new(
        code: ErrorCode,
        message: String,
        trace_id: Option<String>,
        http_status: Option<u16>,
    ) -> Self {
        Self {
            code,
            message: shorten(message),
            trace_id: trace_id.map(shorten),
            http_status,
            retry_after: None,
            delivery: Delivery::MaybeSent,
            is_token_replaceable: false,
        }
    }

    /// The code decides. The HTTP status decides if it is 401, 403, 408, 421, 425 or 429, or if the code is 0. A load
    /// balancer that writes its own status into `code` counts as that status.
    pub(super) fn is_transient(&self) -> bool {
        let is_final =
            self.has_status(ErrorCode::FORBIDDEN) || self.has_status(ErrorCode::UNAUTHORIZED);
        let status_decides = |status| status < 500 || self.code.is_ok();
        let transient_status = self
            .http_status
            .filter(|status| is_transient_status(*status));
        !is_final
            && (self.gateway_status().is_some() || transient_status.is_some_and(status_decides))
    }

    /// Returns whether the service may have processed the request although this is an error.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.code.is_ok()
            || matches!(self.http_status, Some(502 | 504))
            || self.gateway_status().is_some_and(is_ambiguous_status)
    }

    /// Returns whether the code, or the HTTP status, is this number.
    pub(super) fn has_status(&self, code: ErrorCode) -> bool {
        self.code == code || self.http_status.map(i64::from) == Some(code.0)
    }

    /// Returns whether the service refused client id and secret: with code 1, or another one that is neither temporary nor a ban.
    pub(super) fn is_login_refused(&self) -> bool {
        let is_banned = self.has_status(ErrorCode::FORBIDDEN);
        let is_final = !self.code.is_ok() && !self.is_transient() && !is_banned;
        self.delivery == Delivery::TokenRequest && is_final
    }

    /// The code, if it is the HTTP status of a load balancer.
    fn gateway_status(&self) -> Option<u16> {
        let status = u16::try_from(self.code.0).ok()?;
        is_transient_status(status).then_some(status)
    }

    /// Returns what a caller can do about the error, if it is a known one.
    fn advice(&self) -> Option<&'static str> {
        if self.is_token_replaceable {
            return Some(TOKEN_REPLACEABLE);
        }
        Some(match self.code {
            _ if self.has_status(ErrorCode::FORBIDDEN) => {
                "this IP address is banned, stop and ask the service"
            }
            _ if self.is_login_refused() => {
                "no access token was issued, check the client id and secret"
            }
            _ if self.has_status(ErrorCode::UNAUTHORIZED) => {
                "the access token is invalid, expired or replaced, get a new one"
            }
            _ if self.has_status(ErrorCode::RATE_LIMITED) => {
                "too many requests, wait and try again"
            }
            ErrorCode::INTERNAL if !self.is_transient() => {
                "the request was rejected, check the task id or URL that was sent"
            }
            ErrorCode::FILE_NOT_FOUND => "the file was not found",
            ErrorCode::QUOTA_EXHAUSTED => "the traffic quota is used up",
            _ if self.is_transient() => {
                "the service or a gateway before it failed, try again later"
            }
            _ => return None,
        })
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service returned code {}", self.code)?;
        if let Some(status) = self.http_status.filter(|status| *status != 200) {
            write!(f, " with HTTP {status}")?;
        }
        if let Some(advice) = self.advice() {
            write!(f, ": {advice}")?;
        }
        write_retry_after(f, self.retry_after)?;
        f.write_str(self.delivery.advice())?;
        write_quote(f, &self.message)?;
        match &self.trace_id {
            Some(id) => write!(f, " (trace id {})", Escaped(id)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ApiError {}
