//! Retry decisions: whether and when a request is made again. Pure.

use std::time::Duration;

use crate::error::Error;

/// Backoff before the first retry; it doubles with each further one.
const MIN_BACKOFF: Duration = Duration::from_millis(500);

/// Minimum delay before a retry, even if `Retry-After` is shorter.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Max number of replacement tokens that a call tries: one from the cache file, and one that is new.
const MAX_TOKEN_REPLACEMENTS: u8 = 2;

/// Error of a single attempt.
#[derive(Debug)]
pub(crate) struct AttemptError {
    pub(crate) error: Error,
    pub(crate) cause: AttemptCause,
}

/// The part of an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptCause {
    /// The request itself.
    Request,
    /// The request, whose token was refused. There is another token now.
    TokenReplaced,
    /// The token request that has to come first; the request itself was not sent.
    TokenRequest,
}

impl From<Error> for AttemptError {
    fn from(error: Error) -> Self {
        Self {
            error,
            cause: AttemptCause::Request,
        }
    }
}

/// Whether a request may be processed twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idempotency {
    Idempotent,
    NotIdempotent,
}

/// The attempts of a call so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Attempts {
    pub(crate) retries: u32,
    pub(crate) token_replacements: u8,
    /// Whether the request was repeated over a new connection.
    pub(crate) replayed: bool,
}

/// The next step after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Send the request again at once, with the token that replaced the refused one.
    WithNewToken,
    /// Send the request again at once, over a new connection: the server had closed the pooled one.
    OverNewConnection,
    /// Send the request again after this delay.
    After(Duration),
    /// Do not send the request again: return the error.
    No,
}

/// Decides whether a request is made again. `remaining` is the remaining part of the call's `timeout`.
pub(crate) fn decide(
    failed: &AttemptError,
    idempotency: Idempotency,
    attempts: Attempts,
    max_retries: u32,
    remaining: Duration,
) -> Retry {
    let AttemptError { error, cause } = failed;
    let is_idempotent = idempotency == Idempotency::Idempotent;
    if remaining.is_zero() || (!is_idempotent && error.may_have_taken_effect()) {
        return Retry::No;
    }
    if *cause == AttemptCause::TokenReplaced && attempts.token_replacements < MAX_TOKEN_REPLACEMENTS
    {
        return Retry::WithNewToken;
    }
    if error.is_closed() && is_idempotent && !attempts.replayed {
        return Retry::OverNewConnection;
    }
    if attempts.retries == max_retries || !error.is_transient() {
        return Retry::No;
    }
    let delay = error
        .retry_after()
        .unwrap_or_else(|| backoff(attempts.retries))
        .max(MIN_RETRY_DELAY);
    if delay < remaining {
        Retry::After(delay)
    } else {
        Retry::No
    }
}

/// Returns the delay before the next retry: 0.5 s, 1 s, 2 s and so on, up to 18 hours.
fn backoff(retries: u32) -> Duration {
    MIN_BACKOFF * 2_u32.pow(retries.min(17))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ApiError, Delivery, HttpError, TransportError, TransportErrorKind};
    use crate::error_code::ErrorCode;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn http(status: u16) -> Error {
        Error::Http(HttpError::new(status, b""))
    }

    fn transport(kind: TransportErrorKind, delivery: Delivery) -> Error {
        Error::Transport(TransportError::new(kind, "m", delivery, None))
    }

    /// The arguments of a decision.
    struct Case {
        error: Error,
        cause: AttemptCause,
        idempotency: Idempotency,
        attempts: Attempts,
        remaining: Duration,
    }

    /// Returns the case of an idempotent request whose first attempt failed, with 30 s remaining.
    fn case(error: Error) -> Case {
        Case {
            error,
            cause: AttemptCause::Request,
            idempotency: Idempotency::Idempotent,
            attempts: Attempts::default(),
            remaining: ms(30_000),
        }
    }

    impl Case {
        fn cause(mut self, cause: AttemptCause) -> Self {
            self.cause = cause;
            self
        }

        fn not_idempotent(mut self) -> Self {
            self.idempotency = Idempotency::NotIdempotent;
            self
        }

        fn retries(mut self, retries: u32) -> Self {
            self.attempts.retries = retries;
            self
        }

        fn replaced(mut self, token_replacements: u8) -> Self {
            self.attempts.token_replacements = token_replacements;
            self
        }

        fn replayed(mut self) -> Self {
            self.attempts.replayed = true;
            self
        }

        fn remaining(mut self, milliseconds: u64) -> Self {
            self.remaining = ms(milliseconds);
            self
        }
    }

    #[test]
    fn decides_by_error_and_attempts() {
        use AttemptCause::{TokenReplaced, TokenRequest};
        use Delivery::{MaybeSent, NotSent};
        use Retry::{No, OverNewConnection, WithNewToken};
        use TransportErrorKind::{Closed, Connect, Tls};

        let after = |milliseconds| Retry::After(ms(milliseconds));
        let status = |status| case(http(status));
        let retry_after = |delay| case(http(429).with_retry_after(Some(ms(delay))));
        let closed = || case(transport(Closed, MaybeSent));
        let closed_unsent = || case(transport(Closed, NotSent));
        let connect = || case(transport(Connect, NotSent));
        let in_bad_gateway = |code| {
            let error = ApiError::new(ErrorCode(code), String::new(), None, Some(502));
            case(Error::Api(error))
        };
        let replaced = |count| status(401).cause(TokenReplaced).replaced(count);
        for (case, expected) in [
            // Transient errors, with backoff.
            (status(503), after(500)),
            (status(503).retries(1), after(1000)),
            (status(503).retries(2), No),
            (status(503).remaining(500), No),
            (status(503).remaining(0), No),
            (status(503).cause(TokenRequest), after(500)),
            (connect(), after(500)),
            // Permanent errors.
            (status(401), No),
            (status(403), No),
            (status(404), No),
            (case(transport(Tls, NotSent)), No),
            // `Retry-After`.
            (retry_after(7000), after(7000)),
            (retry_after(0), after(50)),
            (retry_after(30_000), No),
            // A closed connection is replaced once, outside the count of retries.
            (closed(), OverNewConnection),
            (closed().retries(2), OverNewConnection),
            (closed().replayed(), after(500)),
            // A refused token is replaced twice.
            (replaced(0), WithNewToken),
            (replaced(1), WithNewToken),
            (replaced(2), No),
            (replaced(0).remaining(0), No),
            // Not idempotent: only what was not processed.
            (replaced(0).not_idempotent(), WithNewToken),
            (status(429).not_idempotent(), after(500)),
            (connect().not_idempotent(), after(500)),
            (closed().not_idempotent(), No),
            (closed_unsent().not_idempotent(), after(500)),
            (status(502).not_idempotent(), No),
            (status(503).not_idempotent(), after(500)),
            (in_bad_gateway(429).not_idempotent(), No),
            (
                in_bad_gateway(401).cause(TokenReplaced).not_idempotent(),
                No,
            ),
            (in_bad_gateway(401).cause(TokenReplaced), WithNewToken),
        ] {
            let Case {
                error,
                cause,
                idempotency,
                attempts,
                remaining,
            } = case;
            let text = format!("{error} {cause:?} {idempotency:?} {attempts:?} {remaining:?}");
            let failed = AttemptError { error, cause };
            let decided = decide(&failed, idempotency, attempts, 2, remaining);
            assert_eq!(decided, expected, "{text}");
        }
    }

    #[test]
    fn backoff_doubles() {
        let max = 65_536_000;
        for (retries, expected) in [(0, 500), (1, 1000), (2, 2000), (17, max), (u32::MAX, max)] {
            assert_eq!(backoff(retries), ms(expected), "{retries}");
        }
    }
}
