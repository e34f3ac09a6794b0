//! Errors of a response: one without the service's envelope, one that cannot be decoded, and one of the service itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Cause, Delivery, is_ambiguous_status, is_transient_status};
use crate::error_code::ErrorCode;

/// Maximum length of a text that an error keeps of a response, in characters.
const MAX_EXCERPT_CHARS: usize = 256;

const BANNED: &str = "this IP address is banned, stop and ask the service";
const RATE_LIMITED: &str = "too many requests, wait and try again";
const TRY_LATER: &str = "the service or a gateway before it failed, try again later";
/// The text of a 401 after which waits, watches and migrations wait for another token.
const TOKEN_REPLACEABLE: &str =
    "the access token was refused, and another one is requested once a minute at most";

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
        let advice = match self.status {
            300..=303 | 305..=399 => "redirects are not followed, check the base URL",
            401 if self.is_token_replaceable => TOKEN_REPLACEABLE,
            401 => "the access token was refused, get a new one",
            403 => BANNED,
            404 => "not found, check the base URL",
            429 => RATE_LIMITED,
            status if is_transient_status(status) => TRY_LATER,
            _ => "not a response of the documented service, check the base URL and any proxy",
        };
        let status = self.status;
        write!(f, "HTTP {status} without the service's envelope: {advice}")?;
        write_end(f, self.retry_after, self.delivery, &self.body)
    }
}

impl std::error::Error for HttpError {}

/// Error of a 2xx response that is not the documented envelope, or of a callback that is not the documented one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DecodeError {
    /// The fault of the response or callback.
    pub reason: String,
    /// The start of the body, at most 256 characters. Bytes that are not UTF-8 are replaced.
    pub body: String,
    pub(super) delivery: Delivery,
    pub(super) source: Option<Cause>,
}

impl DecodeError {
    pub(crate) fn new(
        reason: impl Into<String>,
        body: &[u8],
        source: Option<serde_json::Error>,
    ) -> Self {
        // It quotes the value that it cannot read, however long that is.
        let source = source.map(|error| match error.to_string() {
            text if text.len() > MAX_EXCERPT_CHARS => Cause::from(Box::from(shorten(text))),
            _ => Arc::new(error),
        });
        Self {
            reason: reason.into(),
            body: excerpt(body),
            delivery: Delivery::MaybeSent,
            source,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A response comes after a request.
        let subject = match self.delivery {
            Delivery::NotSent => "callback",
            _ => "response",
        };
        let reason = &self.reason;
        write!(f, "the {subject} is not the documented one: {reason}")?;
        write_end(f, None, self.delivery, &self.body)
    }
}

impl std::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}

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
            message,
            trace_id,
            http_status,
            retry_after: None,
            delivery: Delivery::MaybeSent,
            is_token_replaceable: false,
        }
    }

    /// The code decides. The HTTP status decides if it is 401, 403, 408, 421, 425 or 429, or if the code is 0. A load
    /// balancer that writes its own status into `code` counts as that status.
    pub(super) fn is_transient(&self) -> bool {
        if self.has_status(ErrorCode::FORBIDDEN) || self.has_status(ErrorCode::UNAUTHORIZED) {
            return false;
        }
        let status_decides = |status| status < 500 || self.code.is_ok();
        let by_status = |status| is_transient_status(status) && status_decides(status);
        self.gateway_status().is_some() || self.http_status.is_some_and(by_status)
    }

    /// Returns whether the service may have processed the request although this is an error.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.code.is_ok()
            || matches!(self.http_status, Some(502 | 504))
            || self.gateway_status().is_some_and(is_ambiguous_status)
    }

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
        let status = u16::try_from(self.code.0).ok();
        status.filter(|status| is_transient_status(*status))
    }

    fn advice(&self) -> Option<&'static str> {
        Some(match self.code {
            _ if self.is_token_replaceable => TOKEN_REPLACEABLE,
            _ if self.has_status(ErrorCode::FORBIDDEN) => BANNED,
            _ if self.is_login_refused() => {
                "no access token was issued, check the client id and secret"
            }
            _ if self.has_status(ErrorCode::UNAUTHORIZED) => {
                "the access token is invalid, expired or replaced, get a new one"
            }
            _ if self.has_status(ErrorCode::RATE_LIMITED) => RATE_LIMITED,
            ErrorCode::FILE_NOT_FOUND => "the file was not found",
            ErrorCode::QUOTA_EXHAUSTED => "the traffic quota is used up",
            _ if self.is_transient() => TRY_LATER,
            ErrorCode::INTERNAL => {
                "the request was rejected, check the task id or URL that was sent"
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
        write_end(f, self.retry_after, self.delivery, &self.message)?;
        match &self.trace_id {
            Some(id) => write!(f, " (trace id {})", escape(id)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ApiError {}

/// Appends the delay before the next request, the advice about a task that may exist, and the text that was received.
fn write_end(
    f: &mut fmt::Formatter<'_>,
    retry_after: Option<Duration>,
    delivery: Delivery,
    received: &str,
) -> fmt::Result {
    if let Some(delay) = retry_after.filter(|delay| !delay.is_zero()) {
        write!(f, " (retry after {} s)", delay.as_secs_f64().ceil())?;
    }
    f.write_str(delivery.advice())?;
    if received.is_empty() {
        return Ok(());
    }
    write!(f, "; received: {}", escape(received))
}

/// Escapes control characters and changes of the writing direction, so that a server cannot control a terminal.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                escaped.extend(character.escape_default());
            }
            _ if character.is_control() => escaped.extend(character.escape_default()),
            _ => escaped.push(character),
        }
    }
    escaped
}

pub(crate) fn shorten(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_EXCERPT_CHARS) {
        text.truncate(end);
        text.shrink_to_fit();
    }
    text
}

fn excerpt(body: &[u8]) -> String {
    shorten(String::from_utf8_lossy(body).into_owned())
}
