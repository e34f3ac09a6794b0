//! Retry decisions: whether and when a request is made again. Pure.

use std::time::Duration;

use crate::error::Error;

/// Backoff before the first retry; it doubles with each further one.
const MIN_BACKOFF: Duration = Duration::from_millis(500);

/// Minimum delay before a retry, even if `Retry-After` is shorter.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Whether a request may be processed twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idempotency {
    Idempotent,
    NotIdempotent,
}

impl Idempotency {
    /// Returns whether a request may be sent again after this error.
    pub(crate) fn permits_repetition(self, error: &Error) -> bool {
        self == Self::Idempotent || !error.may_have_taken_effect()
    }
}

/// The next step after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Make another attempt after this delay.
    After(Duration),
    /// Return the error.
    No,
}

/// Decides whether another attempt is made. `retries` counts those before, and `remaining` is the remaining part of the
/// call's `timeout`.
pub(crate) fn decide(
    error: &Error,
    idempotency: Idempotency,
    retries: u32,
    max_retries: u32,
    remaining: Duration,
) -> Retry {
    let is_repeatable = error.is_transient() && idempotency.permits_repetition(error);
    if retries == max_retries || !is_repeatable {
        return Retry::No;
    }
    let delay = error
        .retry_after()
        .unwrap_or_else(|| backoff(retries))
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

    #[test]
    fn decides_by_error_and_attempts() {
        use Delivery::{MaybeSent, NotSent};
        use Idempotency::{Idempotent, NotIdempotent};
        use Retry::No;
        use TransportErrorKind::{Closed, Connect, Tls};

        let after = |milliseconds| Retry::After(ms(milliseconds));
        let http = |status| Error::Http(HttpError::new(status, b""));
        let limited = |delay| http(429).with_retry_after(Some(ms(delay)));
        let transport =
            |kind, delivery| Error::Transport(TransportError::new(kind, "m", delivery, None));
        let closed = || transport(Closed, MaybeSent);
        let closed_unsent = || transport(Closed, NotSent);
        let connect = || transport(Connect, NotSent);
        let limited_by_gateway = || {
            Error::Api(ApiError::new(
                ErrorCode(429),
                String::new(),
                None,
                Some(502),
            ))
        };
        let rows = [
            // Transient errors, with backoff.
            (http(503), Idempotent, 0, 30_000, after(500)),
            (http(503), Idempotent, 1, 30_000, after(1000)),
            (http(503), Idempotent, 2, 30_000, No),
            (http(503), Idempotent, 0, 500, No),
            (http(503), Idempotent, 0, 0, No),
            (closed(), Idempotent, 0, 30_000, after(500)),
            (connect(), Idempotent, 0, 30_000, after(500)),
            // Permanent errors.
            (http(401), Idempotent, 0, 30_000, No),
            (http(403), Idempotent, 0, 30_000, No),
            (http(404), Idempotent, 0, 30_000, No),
            (transport(Tls, NotSent), Idempotent, 0, 30_000, No),
            // `Retry-After`.
            (limited(7000), Idempotent, 1, 30_000, after(7000)),
            (limited(0), Idempotent, 0, 30_000, after(50)),
            (limited(30_000), Idempotent, 0, 30_000, No),
            // Not idempotent: only after an error that cannot have taken effect.
            (http(429), NotIdempotent, 0, 30_000, after(500)),
            (http(503), NotIdempotent, 0, 30_000, after(500)),
            (http(502), NotIdempotent, 0, 30_000, No),
            (limited_by_gateway(), NotIdempotent, 0, 30_000, No),
            (limited_by_gateway(), Idempotent, 0, 30_000, after(500)),
            (connect(), NotIdempotent, 0, 30_000, after(500)),
            (closed_unsent(), NotIdempotent, 0, 30_000, after(500)),
            (closed(), NotIdempotent, 0, 30_000, No),
        ];
        for (error, idempotency, retries, remaining, expected) in rows {
            let decided = decide(&error, idempotency, retries, 2, ms(remaining));
            let case = format!("{error} {idempotency:?} {retries} {remaining}");
            assert_eq!(decided, expected, "{case}");
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
