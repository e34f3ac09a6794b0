//! Limits how often a token may be requested. Pure: the time is an argument.

use std::time::{Duration, Instant};

/// Minimum time between two replacements.
const MIN_REPLACEMENT_INTERVAL: Duration = Duration::from_secs(60);

/// Maximum backoff after failed requests.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// The pause after the service has rejected the credentials: another request would most likely be rejected, too.
const REJECTION_PAUSE: Duration = Duration::from_secs(10 * 60);

/// Maximum number of consecutive failures without a backoff: those of one call with its default retries.
const FAILURES_WITHOUT_BACKOFF: u32 = 3;

/// Limits token requests: clients that request tokens in a loop have been banned.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RefreshLimiter {
    /// Whether a token was issued. The first one is free; each further one is a replacement.
    issued: bool,
    last_replacement: Option<Instant>,
    /// Number of consecutive failures other than rejected credentials, and the end of the pause after the last one.
    failures: u32,
    not_before: Option<Instant>,
}

impl RefreshLimiter {
    /// Returns the time to wait before the next token request; zero if it may be made now.
    pub(super) fn delay(&self, is_replacement: bool, now: Instant) -> Duration {
        let replaced = self
            .last_replacement
            .filter(|_| is_replacement || self.issued);
        let next_replacement = replaced.and_then(|time| time.checked_add(MIN_REPLACEMENT_INTERVAL));
        let next = next_replacement.max(self.not_before);
        next.map_or(Duration::ZERO, |time| time.saturating_duration_since(now))
    }

    /// Records that a token was issued.
    pub(super) fn record_success(&mut self, is_replacement: bool, now: Instant) {
        if is_replacement || self.issued {
            self.last_replacement = Some(now);
        }
        *self = Self {
            issued: true,
            last_replacement: self.last_replacement,
            failures: 0,
            not_before: None,
        };
    }

    /// Records that the service rejected the credentials.
    pub(super) fn record_rejection(&mut self, now: Instant) {
        self.not_before = now.checked_add(REJECTION_PAUSE);
    }

    /// Records a failed request. Each may have issued a token that nobody has, so many in a row are kept apart.
    pub(super) fn record_failure(&mut self, retry_after: Option<Duration>, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let backoff = match self.failures.checked_sub(FAILURES_WITHOUT_BACKOFF) {
            None | Some(0) => Duration::ZERO,
            Some(further) => {
                Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(further - 1))
            }
        };
        let pause = retry_after
            .unwrap_or_default()
            .max(backoff.min(MAX_BACKOFF));
        // A pause whose end overflows is shortened to the maximum.
        self.not_before = now
            .checked_add(pause)
            .or(now.checked_add(crate::transport::MAX_TIMEOUT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn allows_one_replacement_a_minute_beside_the_first_token() {
        let start = Instant::now();
        let mut limiter = RefreshLimiter::default();
        assert_eq!(limiter.delay(false, start), Duration::ZERO);
        limiter.record_success(false, start);
        assert_eq!(
            limiter.delay(true, start),
            Duration::ZERO,
            "the first token does not count"
        );
        limiter.record_success(true, start);
        for (now, expected) in [(0, 60), (30, 30), (59, 1), (60, 0)] {
            for is_replacement in [false, true] {
                assert_eq!(
                    limiter.delay(is_replacement, start + seconds(now)),
                    seconds(expected),
                    "{now} s"
                );
            }
        }

        // A replacement of a token from the cache counts, although none was issued before.
        let mut limiter = RefreshLimiter::default();
        limiter.record_success(true, start);
        assert_eq!(limiter.delay(true, start), seconds(60));
    }

    #[test]
    fn backs_off_after_three_failures() {
        let mut limiter = RefreshLimiter::default();
        let mut now = Instant::now();
        for pause in [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60] {
            limiter.record_failure(None, now);
            assert_eq!(limiter.delay(false, now), seconds(pause));
            assert_eq!(limiter.delay(true, now), seconds(pause));
            now += seconds(pause);
        }
        limiter.record_success(false, now);
        limiter.record_failure(None, now);
        assert_eq!(
            limiter.delay(false, now),
            Duration::ZERO,
            "a success ends the backoff"
        );
    }

    #[test]
    fn pauses_after_rejected_credentials() {
        let now = Instant::now();
        let mut limiter = RefreshLimiter::default();
        limiter.record_rejection(now);
        assert_eq!(limiter.delay(false, now), seconds(600));
    }

    #[test]
    fn obeys_retry_after() {
        let now = Instant::now();
        for delay in [7, 3600] {
            let mut limiter = RefreshLimiter::default();
            limiter.record_failure(Some(seconds(delay)), now);
            assert_eq!(limiter.delay(false, now), seconds(delay));
        }
        let mut limiter = RefreshLimiter::default();
        limiter.record_failure(Some(Duration::MAX), now);
        assert!(limiter.delay(false, now) >= seconds(24 * 60 * 60));
    }
}
