//! Whether and when a request is made again. Pure.

use std::time::Duration;

use crate::error::Error;

/// Backoff before the first retry; it doubles with each further one.
const MIN_BACKOFF: Duration = Duration::from_millis(500);

/// The shortest delay before a retry, whatever `Retry-After` says.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Max number of replaced tokens that a call tries: one from the cache file, and one that is new.
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
    /// At once, with the token that replaced the refused one.
    WithNewToken,
    /// At once, over a new connection: the server had closed the pooled one.
    OverNewConnection,
    /// After a delay.
    After(Duration),
    /// Not at all: the error is returned.
    No,
}

/// Decides whether a request is made again. `remaining` is what the call has left of its `timeout`.
pub(crate) fn decide(
    failed: &AttemptError,
    idempotency: Idempotency,
    attempts: Attempts,
    max_retries: u32,
    remaining: Duration,
) -> Retry {
    let AttemptError { error, cause } = failed;
    let is_idempotent = idempotency == Idempotency::Idempotent;
    if remaining.is_zero() || (!is_idempotent && error.may_have_been_processed()) {
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

/// 0.5 s, 1 s, 2 s and so on, up to 18 hours.
fn backoff(retries: u32) -> Duration {
    MIN_BACKOFF * 2_u32.pow(retries.min(17))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Delivery, HttpError, TransportError, TransportErrorKind};

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn http(status: u16) -> Error {
        Error::Http(HttpError::new(status, b""))
    }

    fn transport(kind: TransportErrorKind, delivery: Delivery) -> Error {
        Error::Transport(TransportError::new(kind, "m", delivery, None))
    }

    #[test]
    fn decides_by_error_and_attempts() {
        use AttemptCause::{Request, TokenReplaced, TokenRequest};
        use Delivery::{MaybeSent, NotSent};
        use Idempotency::{Idempotent, NotIdempotent};
        use TransportErrorKind::{Closed, Connect, Tls};

        let first = Attempts::default();
        let retried = Attempts {
            retries: 2,
            ..first
        };
        let replayed = Attempts {
            replayed: true,
            ..first
        };
        let replaced = |token_replacements| Attempts {
            token_replacements,
            ..first
        };
        let retry_after = |delay| http(429).with_retry_after(Some(delay));
        let closed = || transport(Closed, MaybeSent);
        let connect = || transport(Connect, NotSent);
        for (error, cause, idempotency, attempts, remaining, expected) in [
            // Transient errors, with backoff.
            (
                http(503),
                Request,
                Idempotent,
                first,
                30_000,
                Retry::After(ms(500)),
            ),
            (
                http(503),
                Request,
                Idempotent,
                Attempts {
                    retries: 1,
                    ..first
                },
                30_000,
                Retry::After(ms(1000)),
            ),
            (http(503), Request, Idempotent, retried, 30_000, Retry::No),
            (http(503), Request, Idempotent, first, 500, Retry::No),
            (http(503), Request, Idempotent, first, 0, Retry::No),
            (
                http(503),
                TokenRequest,
                Idempotent,
                first,
                30_000,
                Retry::After(ms(500)),
            ),
            (
                connect(),
                Request,
                Idempotent,
                first,
                30_000,
                Retry::After(ms(500)),
            ),
            // Permanent errors.
            (http(401), Request, Idempotent, first, 30_000, Retry::No),
            (http(403), Request, Idempotent, first, 30_000, Retry::No),
            (http(404), Request, Idempotent, first, 30_000, Retry::No),
            (
                transport(Tls, NotSent),
                Request,
                Idempotent,
                first,
                30_000,
                Retry::No,
            ),
            // `Retry-After`.
            (
                retry_after(ms(7000)),
                Request,
                Idempotent,
                first,
                30_000,
                Retry::After(ms(7000)),
            ),
            (
                retry_after(ms(0)),
                Request,
                Idempotent,
                first,
                30_000,
                Retry::After(ms(50)),
            ),
            (
                retry_after(ms(30_000)),
                Request,
                Idempotent,
                first,
                30_000,
                Retry::No,
            ),
            // A closed connection is replaced once, outside the count of retries.
            (
                closed(),
                Request,
                Idempotent,
                first,
                30_000,
                Retry::OverNewConnection,
            ),
            (
                closed(),
                Request,
                Idempotent,
                Attempts {
                    replayed: false,
                    ..retried
                },
                30_000,
                Retry::OverNewConnection,
            ),
            (
                closed(),
                Request,
                Idempotent,
                replayed,
                30_000,
                Retry::After(ms(500)),
            ),
            // A refused token is replaced twice.
            (
                http(401),
                TokenReplaced,
                Idempotent,
                first,
                30_000,
                Retry::WithNewToken,
            ),
            (
                http(401),
                TokenReplaced,
                Idempotent,
                replaced(1),
                30_000,
                Retry::WithNewToken,
            ),
            (
                http(401),
                TokenReplaced,
                Idempotent,
                replaced(2),
                30_000,
                Retry::No,
            ),
            (http(401), TokenReplaced, Idempotent, first, 0, Retry::No),
            // Not idempotent: only what was not processed.
            (
                http(401),
                TokenReplaced,
                NotIdempotent,
                first,
                30_000,
                Retry::WithNewToken,
            ),
            (
                http(429),
                Request,
                NotIdempotent,
                first,
                30_000,
                Retry::After(ms(500)),
            ),
            (
                connect(),
                Request,
                NotIdempotent,
                first,
                30_000,
                Retry::After(ms(500)),
            ),
            (closed(), Request, NotIdempotent, first, 30_000, Retry::No),
            (
                transport(Closed, NotSent),
                Request,
                NotIdempotent,
                first,
                30_000,
                Retry::After(ms(500)),
            ),
            (http(502), Request, NotIdempotent, first, 30_000, Retry::No),
            (http(503), Request, NotIdempotent, first, 30_000, Retry::No),
        ] {
            let text = format!("{error} {cause:?} {idempotency:?} {attempts:?} {remaining} ms");
            let failed = AttemptError { error, cause };
            assert_eq!(
                decide(&failed, idempotency, attempts, 2, ms(remaining)),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn backoff_doubles() {
        for (retries, expected) in [
            (0, 500),
            (1, 1000),
            (2, 2000),
            (17, 65_536_000),
            (u32::MAX, 65_536_000),
        ] {
            assert_eq!(backoff(retries), ms(expected));
        }
    }
}
