//! Decides when a task is polled next. Pure.

use std::time::{Duration, Instant};

const DEFAULT_INITIAL_INTERVAL: Duration = Duration::from_secs(1);
const DEFAULT_MAX_INTERVAL: Duration = Duration::from_secs(15);
const DEFAULT_MAX_CONSECUTIVE_ERRORS: u32 = 8;
const DEFAULT_ERROR_WINDOW: Duration = Duration::from_secs(10 * 60);

/// Minimum growth of an interval, and minimum interval after an error. The policy's maximum is stronger.
const MIN_GROWTH: Duration = Duration::from_millis(10);
const MIN_ERROR_INTERVAL: Duration = Duration::from_secs(1);

/// Time limit of the last poll, which is made at the deadline.
pub(super) const FINAL_POLL_TIMEOUT: Duration = Duration::from_millis(250);

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
    initial_interval: Duration,
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

    /// Returns the interval until the next poll. `last` is the interval before the last poll.
    pub(super) fn next_interval(&self, last: Duration, outcome: Outcome) -> Duration {
        let max_interval = self.max_interval.max(self.initial_interval);
        let grown = last.saturating_add((last / 2).max(MIN_GROWTH));
        match outcome {
            Outcome::Changed => self.initial_interval,
            Outcome::Unchanged => grown.clamp(self.initial_interval, max_interval),
            Outcome::Error => grown
                .max(MIN_ERROR_INTERVAL)
                .clamp(self.initial_interval, max_interval),
        }
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

/// The outcome of a poll after which the task continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Changed,
    Unchanged,
    Error,
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

/// The times that decide when a task is polled.
#[derive(Debug, Clone, Copy)]
pub(super) struct PollTiming {
    pub(super) now: Instant,
    /// The end of the task's interval.
    pub(super) due: Instant,
    /// The earliest time of the next poll of the client.
    pub(super) ready: Instant,
    pub(super) limit: Option<TimeLimit>,
}

/// The state of a timeout.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeLimit {
    pub(super) deadline: Instant,
    /// Whether the timeout is zero, so that each task is polled once.
    pub(super) is_zero: bool,
    /// Whether any task was polled, and whether this task was.
    pub(super) any_polled: bool,
    pub(super) task_polled: bool,
    /// Whether the last poll, at the deadline, was made.
    pub(super) final_poll_made: bool,
    /// Whether the client is paused now.
    pub(super) is_paused: bool,
}

/// The next poll of a task, or its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextPoll {
    /// A poll at this time, which may last until the deadline, if there is one.
    At {
        time: Instant,
        deadline: Option<Instant>,
    },
    /// The last poll, with [`FINAL_POLL_TIMEOUT`].
    FinalAt(Instant),
    /// The timeout elapses at this time.
    TimedOutAt(Instant),
}

impl NextPoll {
    pub(super) fn time(self) -> Instant {
        let (Self::At { time, .. } | Self::FinalAt(time) | Self::TimedOutAt(time)) = self;
        time
    }
}

/// Decides when a task is polled next.
pub(super) fn next_poll(timing: PollTiming) -> NextPoll {
    let PollTiming {
        now,
        due,
        ready,
        limit,
    } = timing;
    let time = due.max(ready).max(now);
    let Some(limit) = limit else {
        return NextPoll::At {
            time,
            deadline: None,
        };
    };
    if limit.is_zero {
        return if limit.task_polled || limit.is_paused {
            NextPoll::TimedOutAt(now)
        } else {
            NextPoll::At {
                time,
                deadline: None,
            }
        };
    }
    let deadline = limit.deadline;
    let fits = time + FINAL_POLL_TIMEOUT <= deadline;
    if fits || (!limit.any_polled && time < deadline) {
        return NextPoll::At {
            time,
            deadline: Some(deadline),
        };
    }
    let end = deadline.max(now);
    if limit.final_poll_made || ready > end {
        NextPoll::TimedOutAt(end)
    } else {
        NextPoll::FinalAt(end)
    }
}

#[cfg(test)]
mod tests;
