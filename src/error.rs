//! What can go wrong, one plain struct for each layer.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::envelope::ErrorCode;
use crate::task::Progress;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A cause from another library, shared so that errors can be cloned.
type Cause = Arc<dyn StdError + Send + Sync>;

/// Why a call, a setting or an answer did not do.
///
/// [`Display`](fmt::Display) says what happened, where, and what to do; the cause, where another library gave one,
/// is in [`source()`](StdError::source). No error ever holds the access token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// A setting cannot work: found by [`ClientBuilder::build`](crate::ClientBuilder::build).
    Config(ConfigError),
    /// No answer came: the look-up, the connection, TLS or the time limit failed.
    Transport(TransportError),
    /// An answer without the service's envelope and with an HTTP status outside 2xx, as gateways send it.
    Http(HttpError),
    /// An answer with a 2xx status that is not the documented envelope.
    Decode(DecodeError),
    /// The service itself refused: an envelope whose code is not 0, or whose HTTP status is not 2xx.
    Api(ApiError),
    /// The task itself failed: from [`Wait::run`](crate::Wait::run) only.
    #[non_exhaustive]
    TaskFailed {
        /// Which task.
        task_id: u64,
        /// How far it was.
        progress: Progress,
    },
    /// A [`Wait`](crate::Wait) or [`Watch`](crate::Watch) ran out of time. The task goes on at the service.
    #[non_exhaustive]
    WaitTimeout {
        /// Which task.
        task_id: u64,
        /// The last answer, if there was one.
        last: Option<Progress>,
        /// The time since the first poll.
        elapsed: Duration,
        /// How many requests were made, for all tasks of a watch together.
        polls: u32,
        /// The error that the task's last poll ended with, if it did; also in [`source()`](StdError::source).
        cause: Option<Box<Error>>,
    },
}

impl Error {
    /// Whether the same call may succeed later without anything being changed: code 429; HTTP 429 and 5xx without an
    /// envelope; a timeout; a connection that failed. Never 401 and 403.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport(e) => e.kind.is_transient(),
            Self::Http(e) => is_transient_status(e.status),
            Self::Api(e) => e.is_transient(),
            Self::Config(_) | Self::Decode(_) | Self::TaskFailed { .. } | Self::WaitTimeout { .. } => false,
        }
    }

    /// Whether time ran out: a call's, or a wait's.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Transport(e) => e.kind == TransportErrorKind::Timeout,
            Self::WaitTimeout { .. } => true,
            _ => false,
        }
    }

    /// Whether the access token was refused: code 401 or HTTP 401.
    pub fn is_unauthorized(&self) -> bool {
        self.says(ErrorCode::UNAUTHORIZED)
    }

    /// Whether the service has banned this address: code 403 or HTTP 403, in any form.
    pub fn is_banned(&self) -> bool {
        self.says(ErrorCode::FORBIDDEN)
    }

    /// Whether the request may have reached the service although no clear answer came back: a connection that broke
    /// or timed out after something was sent, HTTP 5xx that does not say otherwise (501, 503 and 505 do), or an answer
    /// that cannot be decoded. Of a call that is not idempotent this means: look before you do it again.
    pub fn may_have_been_sent(&self) -> bool {
        match self {
            Self::Transport(e) => e.sent != Sent::No,
            Self::Http(e) => e.sent != Sent::No && is_ambiguous_status(e.status),
            Self::Decode(e) => e.sent != Sent::No,
            // A code of success in an answer of failure says that it was.
            Self::Api(e) => e.sent != Sent::No && (e.code.is_ok() || matches!(e.http_status, Some(502 | 504))),
            Self::Config(_) | Self::TaskFailed { .. } | Self::WaitTimeout { .. } => false,
        }
    }

    /// Whether the service may have acted on the request: not if it was turned away, or never reached it.
    pub(crate) fn may_have_been_processed(&self) -> bool {
        match self {
            Self::Transport(TransportError { sent: Sent::No, .. })
            | Self::Http(HttpError { sent: Sent::No, .. })
            | Self::Decode(DecodeError { sent: Sent::No, .. })
            | Self::Api(ApiError { sent: Sent::No, .. }) => false,
            Self::Api(e) if e.code.is_ok() => true,
            _ => !(self.is_rate_limited() || self.is_unauthorized()),
        }
    }

    /// Whether there were too many requests: code 429 or HTTP 429.
    pub(crate) fn is_rate_limited(&self) -> bool {
        self.says(ErrorCode::RATE_LIMITED)
    }

    /// The service's code, if its envelope came.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Api(e) => Some(e.code),
            _ => None,
        }
    }

    /// The service's trace id, if it sent one: what its support asks for.
    pub fn trace_id(&self) -> Option<&str> {
        match self {
            Self::Api(e) => e.trace_id.as_deref(),
            _ => None,
        }
    }

    /// How long the service asked to wait before the next call, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Api(e) => e.retry_after,
            Self::Http(e) => e.retry_after,
            _ => None,
        }
    }

    /// Whether the code, or the HTTP status of the same number, says so.
    fn says(&self, code: ErrorCode) -> bool {
        let same = |status: u16| i64::from(status) == code.0;
        match self {
            Self::Api(e) => e.code == code || e.http_status.is_some_and(same),
            Self::Http(e) => same(e.status),
            _ => false,
        }
    }

    /// Whether a connection ended before its answer was complete: what a pooled one does that the server has closed.
    /// Not if it was that of a request for a token, which always has a fresh one.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::Transport(e) if e.kind == TransportErrorKind::Closed && e.sent != Sent::No)
    }

    pub(crate) fn config(setting: &'static str, reason: impl Into<String>) -> Self {
        Self::Config(ConfigError { setting, reason: reason.into() })
    }

    /// Marks the error of a request that had to be made before the one that counts.
    pub(crate) fn before_sending(self) -> Self {
        self.with_sent(Sent::No)
    }

    /// Blots out a secret in the texts of the service.
    pub(crate) fn without(mut self, secret: &str) -> Self {
        match &mut self {
            Self::Api(e) => {
                for text in std::iter::once(&mut e.message).chain(&mut e.trace_id) {
                    if text.contains(secret) {
                        *text = text.replace(secret, "[redacted]");
                    }
                }
            }
            // serde_json quotes the text it has read, escapes undone.
            Self::Decode(e) if e.source.as_ref().is_some_and(|cause| cause.to_string().contains(secret)) => {
                e.source = None;
            }
            _ => {}
        }
        self
    }

    /// Drops what an error quotes of an answer that may hold a new token, and a cause that may quote it, too.
    pub(crate) fn without_quotes(mut self) -> Self {
        match &mut self {
            Self::Decode(e) => (e.body, e.source) = (String::new(), None),
            Self::Http(e) if ["token", "secret"].iter().any(|word| e.body.to_ascii_lowercase().contains(word)) => {
                e.body.clear();
            }
            _ => {}
        }
        self
    }

    /// Drops what an error quotes of an answer.
    pub(crate) fn without_body(mut self) -> Self {
        if let Self::Http(HttpError { body, .. }) | Self::Decode(DecodeError { body, .. }) = &mut self {
            body.clear();
        }
        self
    }

    /// Marks the error of a request for a new task: where it is not clear what became of it, the error says so.
    pub(crate) fn of_creation(self) -> Self {
        if self.may_have_been_sent() { self.with_sent(Sent::MayExist) } else { self }
    }

    fn with_sent(mut self, now: Sent) -> Self {
        match &mut self {
            Self::Transport(TransportError { sent, .. })
            | Self::Http(HttpError { sent, .. })
            | Self::Decode(DecodeError { sent, .. })
            | Self::Api(ApiError { sent, .. }) => *sent = now,
            _ => {}
        }
        self
    }

    /// Adds what only the HTTP answer around an envelope knows.
    pub(crate) fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        match &mut self {
            Self::Api(e) => e.retry_after = wait,
            Self::Http(e) => e.retry_after = wait,
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
                write!(f, "task {task_id} failed at {} %; why, only its callback says", progress.percent)
            }
            Self::WaitTimeout { task_id, last, elapsed, polls, .. } => {
                write!(f, "task {task_id} did not end within {:.1} s and {polls} polls; ", elapsed.as_secs_f64())?;
                match last {
                    Some(progress) => write!(f, "it was {progress}, and goes on at the service"),
                    None => f.write_str("no poll was answered"),
                }
            }
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Transport(e) => e.source(),
            Self::Decode(e) => e.source(),
            Self::WaitTimeout { cause, .. } => cause.as_deref().map(|cause| cause as _),
            Self::Config(_) | Self::Http(_) | Self::Api(_) | Self::TaskFailed { .. } => None,
        }
    }
}

/// Whether the request behind an error may have reached the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    No,
    Yes,
    /// It was for a new task, which may exist now.
    MayExist,
}

impl Sent {
    fn advice(self) -> &'static str {
        match self {
            Self::No | Self::Yes => "",
            Self::MayExist => "; the task may exist, look before you create it again",
        }
    }
}

/// HTTP statuses of the server's side that do not say whether anything was done.
fn is_ambiguous_status(status: u16) -> bool {
    (500..=599).contains(&status) && !matches!(status, 501 | 503 | 505)
}

/// HTTP statuses that a gateway answers with and that pass.
fn is_transient_status(status: u16) -> bool {
    status == 429 || (500..=599).contains(&status)
}

/// A setting that cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The setter's or the environment variable's name.
    pub setting: &'static str,
    /// What is wrong with it, and what would do.
    pub reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "setting `{}`: {}", self.setting, self.reason)
    }
}

impl StdError for ConfigError {}

/// No answer came, or none that is HTTP.
#[derive(Debug, Clone)]
pub struct TransportError {
    kind: TransportErrorKind,
    /// What was going on, with the host: the sentence of `Display`.
    what: String,
    sent: Sent,
    source: Option<Cause>,
}

impl TransportError {
    pub(crate) fn new(kind: TransportErrorKind, what: String, sent: Sent, source: Option<Cause>) -> Self {
        Self { kind, what, sent, source }
    }

    /// What failed.
    pub fn kind(&self) -> TransportErrorKind {
        self.kind
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        f.write_str(self.sent.advice())
    }
}

impl StdError for TransportError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}

/// What kept an answer from coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The host's name could not be looked up.
    Dns,
    /// No connection to the host.
    Connect,
    /// The proxy could not be reached, or refused.
    Proxy,
    /// TLS failed: most often a certificate that is not trusted, expired, or for another name.
    Tls,
    /// The call's time ran out.
    Timeout,
    /// The connection ended before the answer was complete.
    Closed,
    /// What came back is not HTTP/1.1, or its head is longer than 8 KiB.
    Protocol,
    /// Anything else; the source says what.
    Other,
}

impl TransportErrorKind {
    fn is_transient(self) -> bool {
        match self {
            Self::Dns | Self::Connect | Self::Proxy | Self::Timeout | Self::Closed => true,
            Self::Tls | Self::Protocol | Self::Other => false,
        }
    }
}

/// An answer that carries no envelope and whose HTTP status is not 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpError {
    /// The HTTP status.
    pub status: u16,
    /// The header `Retry-After`, where it came in seconds.
    pub retry_after: Option<Duration>,
    /// How the body begins, at most 256 characters; bytes that are not UTF-8 are replaced.
    pub body: String,
    sent: Sent,
}

impl HttpError {
    pub(crate) fn new(status: u16, body: &[u8]) -> Self {
        Self { status, retry_after: None, body: excerpt(body), sent: Sent::Yes }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} without the service's envelope: ", self.status)?;
        f.write_str(match self.status {
            300..=399 => "redirects are not followed, check the base URL",
            401 => "the access token was refused, get a new one",
            403 => "this address is banned, stop and ask the service",
            404 => "nothing is there, check the base URL",
            429 => "too many requests, wait and ask again",
            500..=599 => "the service or a gateway before it is in trouble, ask again later",
            _ => "this did not come from the documented service, check the base URL and any proxy",
        })?;
        f.write_str(self.sent.advice())?;
        quote(f, &self.body)
    }
}

impl StdError for HttpError {}

/// A 2xx answer that is not the documented envelope, or a callback that is not the documented one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DecodeError {
    /// What should have been decoded.
    what: &'static str,
    /// What is wrong with it.
    pub reason: String,
    /// How the body begins, at most 256 characters; bytes that are not UTF-8 are replaced.
    pub body: String,
    sent: Sent,
    source: Option<Cause>,
}

impl DecodeError {
    pub(crate) fn new(reason: impl Into<String>, body: &[u8], source: Option<serde_json::Error>) -> Self {
        let source = source.map(|cause| Arc::new(cause) as Cause);
        Self { what: "answer", reason: reason.into(), body: excerpt(body), sent: Sent::Yes, source }
    }

    /// The same for what the service sends on its own.
    pub(crate) fn of_callback(reason: &str, body: &[u8], source: serde_json::Error) -> Self {
        Self { what: "callback", sent: Sent::No, ..Self::new(reason, body, Some(source)) }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} is not the documented one: {}{}", self.what, self.reason, self.sent.advice())?;
        quote(f, &self.body)
    }
}

impl StdError for DecodeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}

/// The service's own refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiError {
    /// The envelope's code.
    pub code: ErrorCode,
    /// The envelope's message, as the service wrote it.
    pub message: String,
    /// The envelope's `x-traceID`, if there was one.
    pub trace_id: Option<String>,
    /// The HTTP status the envelope came with; `None` where it was not decoded from an HTTP answer.
    pub http_status: Option<u16>,
    /// The header `Retry-After`, where it came in seconds.
    pub retry_after: Option<Duration>,
    sent: Sent,
}

impl ApiError {
    pub(crate) fn new(code: ErrorCode, message: String, trace_id: Option<String>, http_status: Option<u16>) -> Self {
        Self { code, message, trace_id, http_status, retry_after: None, sent: Sent::Yes }
    }

    /// The code judges; the HTTP status only where it says 401, 403 or 429 by itself or where the code says nothing.
    fn is_transient(&self) -> bool {
        let final_status = matches!(self.http_status, Some(401 | 403));
        let final_code = matches!(self.code, ErrorCode::UNAUTHORIZED | ErrorCode::FORBIDDEN);
        let status_judges =
            self.http_status == Some(429) || (self.code.is_ok() && self.http_status.is_some_and(is_transient_status));
        !final_status && !final_code && (self.code == ErrorCode::RATE_LIMITED || status_judges)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service answered code {}", self.code)?;
        if let Some(status) = self.http_status.filter(|status| *status != 200) {
            write!(f, " with HTTP {status}")?;
        }
        let status = self.http_status.map(|status| ErrorCode(status.into()));
        if let Some(advice) = advice(if self.code.is_ok() { status.unwrap_or(self.code) } else { self.code }) {
            write!(f, ": {advice}")?;
        }
        quote(f, &self.message)?;
        match &self.trace_id {
            Some(id) => write!(f, " (trace id {})", Printable(id)),
            None => Ok(()),
        }
    }
}

impl StdError for ApiError {}

/// What a caller can do about a code the service's document names.
fn advice(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::INTERNAL => "the request was refused, check the task id and what was sent",
        ErrorCode::UNAUTHORIZED => "the access token is invalid, expired or replaced, get a new one",
        ErrorCode::FORBIDDEN => "this address is banned, stop and ask the service",
        ErrorCode::RATE_LIMITED => "too many requests, wait and ask again",
        ErrorCode::FILE_NOT_FOUND => "the file was not found",
        ErrorCode::QUOTA_EXHAUSTED => "the traffic quota is used up",
        _ => return None,
    })
}

/// The most characters of foreign text an error quotes.
const EXCERPT: usize = 256;

/// How a body begins.
fn excerpt(body: &[u8]) -> String {
    // Four bytes a character at most, so that a long body is not converted whole.
    let start = &body[..body.len().min(4 * EXCERPT)];
    String::from_utf8_lossy(start).chars().take(EXCERPT).collect()
}

/// Appends foreign text, if there is any.
fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if text.is_empty() { Ok(()) } else { write!(f, "; it said: {}", Printable(text)) }
}

/// Foreign text, cut and with its control characters escaped, those of the writing direction, too: a server does not
/// get to steer a terminal.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;

        for character in self.0.chars().take(EXCERPT) {
            let turns =
                matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if character.is_control() || turns {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}
