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
#[derive(Debug, Default)]
pub(super) struct Limiter {
    /// Whether a token was issued. The first one is free; each further one is a replacement.
    has_issued: bool,
    last_replacement: Option<Instant>,
    /// Number of consecutive failures other than rejected credentials.
    failures: u32,
    /// The end of the pause after the last failure.
    paused_until: Option<Instant>,
}

impl Limiter {
    /// Returns the time to wait before a token may be requested; zero if that is now.
    pub(super) fn delay(&self, now: Instant) -> Duration {
        let next = self
            .last_replacement
            .map(|last| last + MIN_REPLACEMENT_INTERVAL);
        let interval = next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now));
        interval.max(self.pause(now))
    }

    /// Returns the remaining part of the pause after a failure, without the interval between two replacements.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        let end = self.paused_until;
        end.map_or(Duration::ZERO, |end| end.saturating_duration_since(now))
    }

    /// Records that a token was issued. `is_replacement` says whether the service has refused any token before.
    pub(super) fn record_issue(&mut self, is_replacement: bool, now: Instant) {
        if is_replacement || self.has_issued {
            self.last_replacement = Some(now);
        }
        self.has_issued = true;
        self.failures = 0;
        self.paused_until = None;
    }

    /// Records that the service rejected the credentials.
    pub(super) fn record_rejection(&mut self, now: Instant) {
        self.paused_until = Some(now + REJECTION_PAUSE);
    }

    /// Records a failed request. Each may have issued a token that nobody has, so many in a row are kept apart.
    pub(super) fn record_failure(&mut self, retry_after: Option<Duration>, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let backoff = match self.failures.saturating_sub(FAILURES_WITHOUT_BACKOFF) {
            0 => Duration::ZERO,
            further => {
                let seconds = 2_u64.saturating_pow(further - 1);
                Duration::from_secs(seconds).min(MAX_BACKOFF)
            }
        };
        // A pause that the clock cannot represent counts as none.
        self.paused_until = now.checked_add(retry_after.unwrap_or_default().max(backoff));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Also the replacement of a token from the cache, although none was issued before, and a second token that somebody
    /// asked for.
    #[test]
    fn allows_one_replacement_a_minute_beside_the_first_token() {
        let start = Instant::now();
        for (has_issued, is_replacement, delay) in [
            (false, false, 0),
            (false, true, 60),
            (true, false, 60),
            (true, true, 60),
        ] {
            let mut limiter = Limiter {
                has_issued,
                ..Limiter::default()
            };
            limiter.record_issue(is_replacement, start);
            assert_eq!(limiter.delay(start), seconds(delay));
            assert_eq!(limiter.delay(start + seconds(60)), Duration::ZERO);
            assert_eq!(limiter.pause(start), Duration::ZERO);
        }
    }

    #[test]
    fn backs_off_after_three_failures() {
        let mut limiter = Limiter::default();
        let mut now = Instant::now();
        for pause in [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60] {
            limiter.record_failure(None, now);
            assert_eq!(limiter.delay(now), seconds(pause));
            assert_eq!(limiter.pause(now), seconds(pause));
            now += seconds(pause);
        }
        limiter.record_issue(false, now);
        limiter.record_failure(None, now);
        assert_eq!(limiter.delay(now), seconds(0), "a token ends the backoff");
    }
}
