//! Errors: one struct for each layer, and what a caller can decide by.

mod delivery;
mod response;
mod transport;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::delivery::Delivery;
use self::delivery::{is_ambiguous_status, is_transient_status};
pub(crate) use self::response::shorten;
pub use self::response::{ApiError, DecodeError, HttpError};
pub use self::transport::{TransportError, TransportErrorKind};
use crate::error_code::ErrorCode;
use crate::task::Progress;

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// A cause from another library, shared so that errors can be cloned.
type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Error of a call, a wait or a setting.
///
/// [`Display`](fmt::Display) says what happened, where, and what to do. The cause, if another library gave one, is in
/// [`source()`](std::error::Error::source). No error contains an access token or a client secret of 8 characters or more.
///
/// ```no_run
/// # let client = pan123_offline::Client::from_env()?;
/// match client.get_process(403316) {
///     Ok(progress) => println!("{progress}"),
///     Err(error) if error.is_transient() => println!("try again later: {error}"),
///     Err(error) if error.is_unauthorized() => println!("get a new access token: {error}"),
///     Err(error) => println!("{error}"),
/// }
/// # Ok::<(), pan123_offline::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// A setting cannot work: a client's at [`ClientBuilder::build`](crate::ClientBuilder::build), a task's at its
    /// first use.
    Config(ConfigError),
    /// No response: the DNS lookup, connecting, the proxy, TLS, sending or receiving failed, the timeout elapsed, or what
    /// arrived is not valid HTTP.
    Transport(TransportError),
    /// A response without the service's envelope, with an HTTP status other than 2xx. Gateways send those.
    Http(HttpError),
    /// A response with a 2xx status, or a [`Callback`](crate::Callback), that is not the documented one.
    Decode(DecodeError),
    /// An error of the service itself: an envelope whose code is not 0, or whose HTTP status is not 2xx.
    Api(ApiError),
    /// The task itself failed: from a [`Wait`](crate::Wait) only.
    #[non_exhaustive]
    TaskFailed {
        /// Id of the task.
        task_id: u64,
        /// Its progress when it failed.
        progress: Progress,
    },
    /// The timeout of a [`Wait`](crate::Wait), [`Watch`](crate::Watch) or [`Migration`](crate::Migration) elapsed.
    /// The task continues at the service.
    #[non_exhaustive]
    WaitTimeout {
        /// Id of the task.
        task_id: u64,
        /// The last progress, if any poll succeeded.
        last: Option<Progress>,
        /// Time since the first call of `next()` or `run()`.
        elapsed: Duration,
        /// Number of polls, of all tasks of the watch together.
        polls: u32,
        /// Error of the task's last poll, if that failed; also in [`source()`](std::error::Error::source).
        cause: Option<Box<Error>>,
    },
}

impl Error {
    /// Returns whether the same call may succeed later with nothing changed: a call that timed out, a failed DNS lookup
    /// or connection, HTTP or code 408, 421, 425 or 429, code 5xx, or HTTP 5xx without an envelope or with code 0. 403 and
    /// [`WaitTimeout`](Self::WaitTimeout) are never transient. 401 is transient only after a token for
    /// [`Credentials`](crate::Credentials) that had been accepted before, while its replacement has to wait for
    /// [`retry_after()`](Self::retry_after).
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport(e) => e.kind.is_transient(),
            Self::Http(e) => e.is_token_replaceable || is_transient_status(e.status),
            Self::Api(e) => e.is_token_replaceable || e.is_transient(),
            _ => false,
        }
    }

    /// Returns whether a timeout elapsed: a call's, or a wait's.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Transport(e) => e.kind == TransportErrorKind::Timeout,
            Self::WaitTimeout { .. } => true,
            _ => false,
        }
    }

    /// Returns whether the access token was refused, with code 401 or HTTP 401, or none was issued for the client id and
    /// secret.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        let is_login_refused = matches!(self, Self::Api(e) if e.is_login_refused());
        is_login_refused || self.has_status(ErrorCode::UNAUTHORIZED)
    }

    /// Returns whether the service has banned this IP address: code 403 or HTTP 403.
    #[must_use]
    pub fn is_banned(&self) -> bool {
        self.has_status(ErrorCode::FORBIDDEN)
    }

    /// Returns whether there were too many requests: code 429 or HTTP 429.
    #[must_use]
    pub fn is_rate_limited(&self) -> bool {
        self.has_status(ErrorCode::RATE_LIMITED)
    }

    /// Returns whether the request may have taken effect although no clear response came back, so that a task may exist:
    /// * the connection ended or timed out after something was sent;
    /// * HTTP 5xx without an envelope, or code 5xx, except 501, 503 and 505;
    /// * an envelope in HTTP 502 or 504, or one with code 0 in an HTTP status other than 2xx;
    /// * a response that cannot be decoded.
    ///
    /// Every decision of this crate about repeating a creation follows it. Check before you repeat one yourself.
    #[must_use]
    pub fn may_have_taken_effect(&self) -> bool {
        if matches!(self.delivery(), Delivery::NotSent | Delivery::TokenRequest) {
            return false;
        }
        match self {
            Self::Transport(_) | Self::Decode(_) => true,
            Self::Http(e) => is_ambiguous_status(e.status),
            Self::Api(e) => e.is_ambiguous(),
            _ => false,
        }
    }

    /// Returns the service's code of an [`Api`](Self::Api) error.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Api(e) => Some(e.code),
            _ => None,
        }
    }

    /// Returns the HTTP status of an [`Http`](Self::Http) or [`Api`](Self::Api) error.
    #[must_use]
    pub fn http_status(&self) -> Option<u16> {
        match self {
            Self::Api(e) => e.http_status,
            Self::Http(e) => Some(e.status),
            _ => None,
        }
    }

    /// Returns the service's trace id, if it sent one. The service's support asks for it.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        match self {
            Self::Api(e) => e.trace_id.as_deref(),
            _ => None,
        }
    }

    /// Returns the time to wait before the next request, if there is one: the header `Retry-After` in seconds, its
    /// remaining part while the client is paused, or the remaining time until a token may be requested.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Api(e) => e.retry_after,
            Self::Http(e) => e.retry_after,
            _ => None,
        }
    }

    /// Returns whether the code, or the HTTP status, is this number.
    fn has_status(&self, code: ErrorCode) -> bool {
        self.code() == Some(code) || self.http_status().map(i64::from) == Some(code.0)
    }

    pub(crate) fn config(setting: &'static str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Config(ConfigError { setting, reason })
    }

    /// Returns a transport error with no cause of another library.
    pub(crate) fn transport(kind: TransportErrorKind, message: &str, delivery: Delivery) -> Self {
        Self::Transport(TransportError::new(kind, message, delivery, None))
    }

    /// Sets `Retry-After`, which is a header and no part of an envelope.
    pub(crate) fn with_retry_after(mut self, delay: Option<Duration>) -> Self {
        match &mut self {
            Self::Api(e) => e.retry_after = delay,
            Self::Http(e) => e.retry_after = delay,
            _ => {}
        }
        self
    }

    /// Marks a 401 whose token had been accepted before: it is replaced after this delay.
    pub(crate) fn mark_token_replaceable(mut self, delay: Duration) -> Self {
        match &mut self {
            Self::Api(e) => e.is_token_replaceable = true,
            Self::Http(e) => e.is_token_replaceable = true,
            _ => {}
        }
        self.with_retry_after(Some(delay))
    }

    /// Changes the texts that came from the service, except the trace id. A cause whose text would change is dropped.
    pub(crate) fn map_excerpts(mut self, map: impl Fn(&mut String)) -> Self {
        match &mut self {
            Self::Api(e) => map(&mut e.message),
            Self::Http(e) => map(&mut e.body),
            Self::Decode(e) => {
                map(&mut e.body);
                e.source = e.source.take().filter(|source| {
                    let mut text = source.to_string();
                    map(&mut text);
                    text == source.to_string()
                });
            }
            _ => {}
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(e) => e.fmt(f),
            Self::Transport(e) => e.fmt(f),
            Self::Http(e) => e.fmt(f),
            Self::Decode(e) => e.fmt(f),
            Self::Api(e) => e.fmt(f),
            Self::TaskFailed { task_id, progress } => {
                let percent = progress.percent;
                write!(
                    f,
                    "task {task_id} failed at {percent} %; only its callback gives the reason"
                )
            }
            Self::WaitTimeout {
                task_id,
                last,
                elapsed,
                polls,
                ..
            } => {
                let seconds = elapsed.as_secs_f64();
                write!(
                    f,
                    "task {task_id} did not end within {seconds:.1} s and {polls} polls; "
                )?;
                match last {
                    Some(last) => write!(
                        f,
                        "its last progress was: {last}; it continues at the service"
                    ),
                    None => f.write_str("no poll succeeded"),
                }
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Transport(e) => e.source(),
            Self::Decode(e) => e.source(),
            Self::WaitTimeout { cause, .. } => cause.as_deref().map(|cause| cause as _),
            _ => None,
        }
    }
}

/// Error of a setting that cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// Name of the setter or the environment variable.
    pub setting: &'static str,
    /// The fault of the value, and a value that would work.
    pub reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "setting `{}`: {}", self.setting, self.reason)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
pub(crate) mod tests;
