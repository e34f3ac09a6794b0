//! Decides whether an error concerns one task or all. Pure.

use std::time::Duration;

use crate::error::{Error, TransportErrorKind};

/// Maximum `Retry-After` that is waited for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The consequence of an error for a wait, watch or migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// The request is made again later.
    BackOff,
    /// The task ends.
    EndTask,
    /// All tasks end.
    EndAll,
}

/// Decides the consequence of an error.
pub(crate) fn consequence(error: &Error) -> Consequence {
    let may_be_captive_portal = match error {
        Error::Decode(_) => true,
        // A captive portal has its own certificate.
        Error::Transport(e) => matches!(
            e.kind,
            TransportErrorKind::Protocol | TransportErrorKind::Tls
        ),
        _ => false,
    };
    let may_be_over_later = error.is_transient() || may_be_captive_portal;
    let is_refused = error.is_unauthorized() && !error.is_transient();
    let is_refused_by_proxy =
        matches!(error, Error::Transport(e) if e.kind == TransportErrorKind::ProxyAuthentication);
    if is_refused || is_refused_by_proxy || error.is_banned() || pauses_too_long(error) {
        Consequence::EndAll
    } else if may_be_over_later {
        Consequence::BackOff
    } else if error.is_of_token_request() {
        // No task can be polled without a token.
        Consequence::EndAll
    } else {
        Consequence::EndTask
    }
}

/// Returns whether the client is paused for more than a day after this error.
pub(crate) fn pauses_too_long(error: &Error) -> bool {
    error
        .retry_after()
        .is_some_and(|delay| delay > MAX_RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ApiError, DecodeError, Delivery, HttpError, TransportError};
    use crate::error_code::ErrorCode;

    #[test]
    fn decides_whether_an_error_concerns_one_task_or_all() {
        use Consequence::{BackOff, EndAll, EndTask};
        use TransportErrorKind as Kind;

        let http = |status| Error::Http(HttpError::new(status, b""));
        let api = |code| Error::Api(ApiError::new(ErrorCode(code), "m".into(), None, Some(200)));
        let transport =
            |kind| Error::Transport(TransportError::new(kind, "m", Delivery::MaybeSent, None));
        let decode = || Error::Decode(DecodeError::new("r", b"", None));
        let paused = |error: Error, delay| error.with_retry_after(Some(delay));
        let of_token = Error::of_token_request;
        let day = MAX_RETRY_AFTER;
        let longer = day + Duration::from_millis(1);
        for (error, expected) in [
            (http(500), BackOff),
            (http(429), BackOff),
            (paused(http(429), day), BackOff),
            (paused(http(429), longer), EndAll),
            (of_token(paused(api(429), longer)), EndAll),
            (paused(http(503), longer), EndAll),
            (of_token(paused(http(503), longer)), EndAll),
            (http(404), EndTask),
            (http(301), EndTask),
            (http(401), EndAll),
            (of_token(http(401)), EndAll),
            (http(403), EndAll),
            (api(1), EndTask),
            (of_token(api(1)), EndAll),
            (api(401), EndAll),
            (api(403), EndAll),
            (api(500), BackOff),
            (api(5113), EndTask),
            (decode(), BackOff),
            (of_token(decode()), BackOff),
            (transport(Kind::Dns), BackOff),
            (of_token(transport(Kind::Connect)), BackOff),
            (transport(Kind::Timeout), BackOff),
            (transport(Kind::Protocol), BackOff),
            (transport(Kind::Tls), BackOff),
            (transport(Kind::ProxyAuthentication), EndAll),
            (transport(Kind::Other), EndTask),
            (Error::config("url", "r"), EndTask),
        ] {
            assert_eq!(consequence(&error), expected, "{error:?}");
        }
    }
}
