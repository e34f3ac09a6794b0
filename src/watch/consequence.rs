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

pub(crate) fn consequence(error: &Error) -> Consequence {
    use TransportErrorKind::{Protocol, ProxyAuthentication, Tls};

    let kind = match error {
        Error::Transport(error) => Some(error.kind),
        _ => None,
    };
    // A captive portal has its own pages, and its own certificate.
    let may_be_captive_portal =
        matches!(error, Error::Decode(_)) || matches!(kind, Some(Protocol | Tls));
    let is_refused = error.is_unauthorized() && !error.is_transient();
    let is_refused_by_proxy = kind == Some(ProxyAuthentication);
    if is_refused || is_refused_by_proxy || error.is_banned() || pauses_too_long(error) {
        Consequence::EndAll
    } else if error.is_transient() || may_be_captive_portal {
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
    use crate::error::tests::{api, http};
    use crate::error::{DecodeError, Delivery};

    #[test]
    fn decides_whether_an_error_concerns_one_task_or_all() {
        use Consequence::{BackOff, EndAll, EndTask};
        use TransportErrorKind as Kind;

        let api = |code| api(code, 200);
        let transport = |kind| Error::transport(kind, "m", Delivery::MaybeSent);
        let decode = || Error::Decode(DecodeError::new("r", b"", None));
        let paused = |error: Error, delay| error.with_retry_after(Some(delay));
        let of_token = Error::of_token_request;
        let day = MAX_RETRY_AFTER;
        let longer = day + Duration::from_millis(1);
        for (error, expected) in [
            (http(500), BackOff),
            (paused(http(429), day), BackOff),
            (paused(http(429), longer), EndAll),
            (of_token(paused(api(429), longer)), EndAll),
            (http(404), EndTask),
            (http(401), EndAll),
            (http(403), EndAll),
            (api(1), EndTask),
            (of_token(api(1)), EndAll),
            (api(401), EndAll),
            (api(403), EndAll),
            (api(5113), EndTask),
            (decode(), BackOff),
            (transport(Kind::Dns), BackOff),
            (of_token(transport(Kind::Connect)), BackOff),
            (transport(Kind::Protocol), BackOff),
            (transport(Kind::Tls), BackOff),
            (transport(Kind::ProxyAuthentication), EndAll),
            (transport(Kind::Other), EndTask),
        ] {
            assert_eq!(consequence(&error), expected, "{error:?}");
        }
    }
}
