//! Retry decisions: whether and when a request is made again. Pure.

use std::time::Duration;

use crate::error::Error;

/// Backoff before the first retry; it doubles with each further one, up to 18 hours.
const MIN_BACKOFF: Duration = Duration::from_millis(500);

/// Minimum delay before a retry, even if `Retry-After` is shorter.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Returns whether a request may be sent again after this error.
pub(crate) fn permits_repetition(is_idempotent: bool, error: &Error) -> bool {
    is_idempotent || !error.may_have_taken_effect()
}

/// Returns the delay before another attempt; `None` if the error ends the call. `retries` counts those before, and
/// `remaining` is the remaining part of the call's `timeout`.
pub(crate) fn decide(
    error: &Error,
    is_idempotent: bool,
    retries: u32,
    max_retries: u32,
    remaining: Duration,
) -> Option<Duration> {
    let is_repeatable = error.is_transient() && permits_repetition(is_idempotent, error);
    if retries == max_retries || !is_repeatable {
        return None;
    }
    let backoff = MIN_BACKOFF * 2_u32.pow(retries.min(17));
    let delay = error.retry_after().unwrap_or(backoff).max(MIN_RETRY_DELAY);
    Some(delay).filter(|delay| *delay < remaining)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::tests::{api, http};
    use crate::error::{Delivery, TransportErrorKind};

    #[test]
    fn decides_by_error_and_attempts() {
        use Delivery::{MaybeSent, NotSent};
        use TransportErrorKind::{Closed, Connect, Tls};

        const IDEMPOTENT: bool = true;
        const CREATION: bool = false;
        const MAX_RETRIES: u32 = 50;
        let ms = Duration::from_millis;
        let limited = |delay| http(429).with_retry_after(Some(ms(delay)));
        let transport = |kind, delivery| Error::transport(kind, "m", delivery);
        let limited_by_gateway = || api(429, 502);
        for (error, is_idempotent, retries, remaining, expected) in [
            // Transient errors, with backoff.
            (http(503), IDEMPOTENT, 0, 30_000, Some(500)),
            (http(503), IDEMPOTENT, 1, 30_000, Some(1000)),
            (http(503), IDEMPOTENT, 2, 30_000, Some(2000)),
            (http(503), IDEMPOTENT, 17, 90_000_000, Some(65_536_000)),
            (http(503), IDEMPOTENT, 49, 90_000_000, Some(65_536_000)),
            (http(503), IDEMPOTENT, 50, 90_000_000, None),
            (http(503), IDEMPOTENT, 0, 500, None),
            (http(503), IDEMPOTENT, 0, 0, None),
            // Permanent errors.
            (http(404), IDEMPOTENT, 0, 30_000, None),
            (transport(Tls, NotSent), IDEMPOTENT, 0, 30_000, None),
            // `Retry-After`.
            (limited(7000), IDEMPOTENT, 1, 30_000, Some(7000)),
            (limited(0), IDEMPOTENT, 0, 30_000, Some(50)),
            (limited(30_000), IDEMPOTENT, 0, 30_000, None),
            // A creation: only after an error that cannot have taken effect.
            (http(503), CREATION, 0, 30_000, Some(500)),
            (http(502), CREATION, 0, 30_000, None),
            (limited_by_gateway(), CREATION, 0, 30_000, None),
            (limited_by_gateway(), IDEMPOTENT, 0, 30_000, Some(500)),
            (transport(Connect, NotSent), CREATION, 0, 30_000, Some(500)),
            (transport(Closed, NotSent), CREATION, 0, 30_000, Some(500)),
            (transport(Closed, MaybeSent), CREATION, 0, 30_000, None),
        ] {
            let decided = decide(&error, is_idempotent, retries, MAX_RETRIES, ms(remaining));
            let case = format!("{error} {is_idempotent} {retries} {remaining}");
            assert_eq!(decided, expected.map(ms), "{case}");
        }
    }
}
