//! Decides when a task is polled next. Pure.

use std::time::{Duration, Instant};

/// Minimum growth of an interval, and minimum interval after an error. The policy's maximum is stronger.
const MIN_GROWTH: Duration = Duration::from_millis(10);
pub(super) const MIN_ERROR_INTERVAL: Duration = Duration::from_secs(1);

/// Polling policy: the interval between two polls of a task, and the limit of its consecutive errors.
///
/// The first poll of a task is made at once, the second after `initial_interval`. The interval grows by half while the
/// progress does not change (by at least 10 ms), up to `max_interval`, and returns to `initial_interval` when it changes.
/// After an error it is at least 1 s, unless `max_interval` is shorter.
///
/// ```
/// use std::time::Duration;
/// use pan123_offline::PollPolicy;
///
/// const SLOW: PollPolicy = PollPolicy::new()
///     .initial_interval(Duration::from_secs(10))
///     .max_interval(Duration::from_secs(60));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollPolicy {
    pub(super) initial_interval: Duration,
    max_interval: Duration,
    max_consecutive_errors: u32,
    error_window: Duration,
}

impl PollPolicy {
    /// Creates the default policy.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            initial_interval: Duration::from_secs(1),
            max_interval: Duration::from_secs(15),
            max_consecutive_errors: 8,
            error_window: Duration::from_secs(10 * 60),
        }
    }

    /// Sets the interval after the first poll and after a change. Default: 1 s.
    #[must_use]
    pub const fn initial_interval(mut self, interval: Duration) -> Self {
        self.initial_interval = interval;
        self
    }

    /// Sets the maximum interval between two polls of a task. Default: 15 s. If it is shorter than the initial interval,
    /// the initial interval is used.
    #[must_use]
    pub const fn max_interval(mut self, interval: Duration) -> Self {
        self.max_interval = interval;
        self
    }

    /// Sets the number of consecutive errors after which a task is no longer followed, if they also span at least
    /// [`error_window`](Self::error_window). Only transient errors, responses that cannot be decoded and TLS errors
    /// count; any other error ends the task at once. Default: 8. Zero counts as one.
    #[must_use]
    pub const fn max_consecutive_errors(mut self, errors: u32) -> Self {
        self.max_consecutive_errors = errors;
        self
    }

    /// Sets the min time between the first and the last of these errors. Default: 10 min.
    #[must_use]
    pub const fn error_window(mut self, window: Duration) -> Self {
        self.error_window = window;
        self
    }

    /// Returns the interval that follows `last` while nothing changes. It is at least `min`, if the policy permits it.
    pub(super) fn next_interval(&self, last: Duration, min: Duration) -> Duration {
        let max_interval = self.max_interval.max(self.initial_interval);
        let grown = last.saturating_add((last / 2).max(MIN_GROWTH));
        grown.max(min).clamp(self.initial_interval, max_interval)
    }

    pub(crate) fn is_exhausted(&self, errors: ErrorStreak, now: Instant) -> bool {
        let since = errors.since.unwrap_or(now);
        errors.count >= self.max_consecutive_errors
            && now.saturating_duration_since(since) >= self.error_window
    }
}

impl Default for PollPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// Consecutive errors: their number, and the time of the first.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ErrorStreak {
    pub(crate) count: u32,
    since: Option<Instant>,
}

impl ErrorStreak {
    pub(crate) fn add(&mut self, now: Instant) {
        self.count = self.count.saturating_add(1);
        self.since.get_or_insert(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn interval_grows_by_half() {
        const ERROR: Duration = MIN_ERROR_INTERVAL;
        const MAX: Duration = Duration::MAX;
        let default = PollPolicy::new();
        let fixed = default.initial_interval(ms(10)).max_interval(ms(10));
        let inverted = default.initial_interval(ms(500)).max_interval(ms(10));
        let from_zero = default.initial_interval(ms(0));
        let zero = from_zero.max_interval(ms(0));
        for (policy, last, min, expected) in [
            (default, ms(0), ms(0), ms(1000)),
            (default, ms(1000), ms(0), ms(1500)),
            (default, ms(14_000), ERROR, ms(15_000)),
            (default, MAX, ms(0), ms(15_000)),
            (default.max_interval(MAX), MAX, ms(0), MAX),
            (fixed, ms(7), ms(0), ms(10)),
            (fixed, ms(7), ERROR, ms(10)),
            (inverted, ms(500), ms(0), ms(500)),
            (inverted, ms(500), ERROR, ms(500)),
            // It grows from zero, too, and after an error at once.
            (from_zero, ms(0), ms(0), ms(10)),
            (from_zero, ms(10), ms(0), ms(20)),
            (from_zero, ms(0), ERROR, ms(1000)),
            (zero, ms(0), ERROR, ms(0)),
        ] {
            let interval = policy.next_interval(last, min);
            assert_eq!(interval, expected, "{policy:?} {last:?} {min:?}");
        }
    }
}
