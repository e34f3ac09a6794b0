//! Decides when a task is polled next. Pure.

use std::time::{Duration, Instant};

const DEFAULT_INITIAL_INTERVAL: Duration = Duration::from_secs(1);
const DEFAULT_MAX_INTERVAL: Duration = Duration::from_secs(15);
const DEFAULT_MAX_CONSECUTIVE_ERRORS: u32 = 8;
const DEFAULT_ERROR_WINDOW: Duration = Duration::from_secs(10 * 60);

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
            initial_interval: DEFAULT_INITIAL_INTERVAL,
            max_interval: DEFAULT_MAX_INTERVAL,
            max_consecutive_errors: DEFAULT_MAX_CONSECUTIVE_ERRORS,
            error_window: DEFAULT_ERROR_WINDOW,
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

    /// Returns whether these errors end a task.
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

/// The times that decide about the next step of a watch or migration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) now: Instant,
    /// The time at which the first task is due, if there is one, and that of the next creation.
    pub(super) poll: Option<Instant>,
    pub(super) creation: Option<Instant>,
    /// The earliest time at which the client can send.
    pub(super) ready: Instant,
    pub(super) deadline: Option<Instant>,
    /// Whether the first task has had its last poll before the timeout.
    pub(super) is_last_made: bool,
    /// Whether the last request was a creation.
    pub(super) has_created: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Poll,
    Create,
    /// The first task ends by the timeout.
    TimeOut,
}

/// The next step of a watch or migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) time: Instant,
    /// Whether it is a request that is due, so that it reserves a slot.
    pub(super) is_due: bool,
}

/// Decides about the next step. The last poll is at the deadline, if the client can send at that time. A poll and a
/// creation that are both due take turns.
pub(super) fn next_step(timing: Timing) -> Option<Step> {
    let Timing { now, ready, .. } = timing;
    let poll = match (timing.poll, timing.deadline) {
        (Some(due), Some(deadline)) => Some(due.min(deadline)),
        (due, _) => due,
    };
    let (action, due) = match (poll, timing.creation) {
        (None, None) => return None,
        (Some(poll), None) => (Action::Poll, poll),
        (None, Some(creation)) => (Action::Create, creation),
        (Some(poll), Some(creation)) => {
            let is_polls_turn = timing.has_created && poll <= now;
            match creation <= poll.max(now) && !is_polls_turn {
                true => (Action::Create, creation),
                false => (Action::Poll, poll),
            }
        }
    };
    let time = due.max(ready).max(now);
    let end = timing.deadline.map(|deadline| deadline.max(now));
    let (action, time) = match (action, end) {
        (Action::Poll, _) if timing.is_last_made => (Action::TimeOut, now),
        (Action::Poll, Some(end)) if ready > end => (Action::TimeOut, end),
        (action, Some(end)) => (action, time.min(end)),
        (action, None) => (action, time),
    };
    Some(Step {
        action,
        time,
        is_due: due <= now && action != Action::TimeOut,
    })
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
            (default, ms(9000), ms(0), ms(13_500)),
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
            (from_zero, ms(30), ms(0), ms(45)),
            (from_zero, ms(0), ERROR, ms(1000)),
            (from_zero, ms(1000), ERROR, ms(1500)),
            (zero, ms(0), ERROR, ms(0)),
        ] {
            let interval = policy.next_interval(last, min);
            assert_eq!(interval, expected, "{policy:?} {last:?} {min:?}");
        }
    }

    /// Times in milliseconds; the deadline is at 10 s.
    #[test]
    fn decides_about_the_next_step() {
        use Action::{Create, Poll, TimeOut};

        let start = Instant::now();
        let at = |time| start + ms(time);
        for (now, poll, creation, ready, state, expected) in [
            // When the task is due and the client is ready.
            (0, Some(0), None, 0, "", (Poll, 0)),
            (100, Some(50), None, 60, "", (Poll, 100)),
            (100, Some(500), None, 60, "", (Poll, 500)),
            (100, Some(50), None, 700, "", (Poll, 700)),
            (100, None, Some(50), 700, "", (Create, 700)),
            // The earlier one; if both are due, they take turns.
            (100, Some(500), Some(600), 0, "", (Poll, 500)),
            (100, Some(600), Some(500), 0, "created", (Create, 500)),
            (100, Some(50), Some(500), 0, "", (Poll, 100)),
            (100, Some(500), Some(50), 0, "created", (Create, 100)),
            (100, Some(50), Some(90), 0, "", (Create, 100)),
            (100, Some(90), Some(50), 0, "created", (Poll, 100)),
            // Due after the deadline: the last poll.
            (5000, Some(9999), None, 5200, "limited", (Poll, 9999)),
            (5000, Some(60_000), None, 5200, "limited", (Poll, 10_000)),
            (5000, None, Some(60_000), 0, "limited", (Create, 10_000)),
            // Not while a pause or the pace forbids it.
            (5000, Some(9000), None, 10_001, "limited", (TimeOut, 10_000)),
            (0, Some(0), None, 60_000, "limited", (TimeOut, 10_000)),
            (0, None, Some(0), 60_000, "limited", (Create, 10_000)),
            // The caller's loop took longer than the timeout: one last poll.
            (12_000, Some(13_000), None, 0, "limited", (Poll, 12_000)),
            (12_000, Some(0), None, 12_001, "limited", (TimeOut, 12_000)),
            (10_100, Some(0), None, 0, "limited, last", (TimeOut, 10_100)),
            // A timeout of zero has no deadline.
            (500, Some(0), None, 700, "", (Poll, 700)),
            (500, Some(0), None, 700, "last", (TimeOut, 500)),
        ] {
            let timing = Timing {
                now: at(now),
                poll: poll.map(at),
                creation: creation.map(at),
                ready: at(ready),
                deadline: state.contains("limited").then(|| at(10_000)),
                is_last_made: state.contains("last"),
                has_created: state.contains("created"),
            };
            let Step { action, time, .. } = next_step(timing).unwrap();
            let (action_expected, time_expected) = expected;
            assert_eq!(
                (action, time),
                (action_expected, at(time_expected)),
                "{timing:?}"
            );
        }
    }
}
