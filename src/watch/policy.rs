//! Decides when a task is polled next, and the consequence of an error. Pure.

use std::time::Duration;

use crate::error::{Error, TransportErrorKind};
use crate::retry::{AttemptCause, AttemptError};

const DEFAULT_INITIAL_INTERVAL: Duration = Duration::from_secs(1);
const DEFAULT_MAX_INTERVAL: Duration = Duration::from_secs(15);
const DEFAULT_MAX_CONSECUTIVE_ERRORS: u32 = 8;
const DEFAULT_ERROR_WINDOW: Duration = Duration::from_secs(10 * 60);

/// Maximum `Retry-After` that is waited for.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Time limit of the last poll, which is made at the deadline.
pub(super) const FINAL_POLL_TIMEOUT: Duration = Duration::from_millis(250);

/// Polling policy: the interval between two polls of a task, and the limit of its consecutive errors.
///
/// The first poll of a task is made at once, the second after `initial_interval`. The interval grows by half while the
/// progress does not change, up to `max_interval`, and returns to `initial_interval` when it changes.
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
    pub(super) fn next_interval(&self, last: Duration, changed: bool) -> Duration {
        if changed {
            return self.initial_interval;
        }
        let max_interval = self.max_interval.max(self.initial_interval);
        last.saturating_add(last / 2)
            .clamp(self.initial_interval, max_interval)
    }

    /// Returns whether this number of consecutive errors, over this time, ends a task.
    pub(crate) fn is_exhausted(&self, errors: u32, span: Duration) -> bool {
        errors >= self.max_consecutive_errors && span >= self.error_window
    }
}

impl Default for PollPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// The consequence of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorAction {
    /// The task is polled again, after a longer interval.
    BackOff,
    /// The task ends.
    EndTask,
    /// All tasks end.
    EndAll,
}

/// Classifies an error after which the request is not repeated at once.
pub(crate) fn classify(failed: &AttemptError) -> ErrorAction {
    let AttemptError { error, cause } = failed;
    let is_undecodable = match error {
        Error::Decode(_) => true,
        // A captive portal has its own certificate.
        Error::Transport(e) => matches!(
            e.kind,
            TransportErrorKind::Protocol | TransportErrorKind::Tls
        ),
        _ => false,
    };
    let waits_too_long = error
        .retry_after()
        .is_some_and(|delay| delay > MAX_RETRY_AFTER);
    if error.is_unauthorized() || error.is_banned() || (error.is_rate_limited() && waits_too_long) {
        ErrorAction::EndAll
    } else if !waits_too_long && (error.is_transient() || is_undecodable) {
        ErrorAction::BackOff
    } else if *cause == AttemptCause::TokenRequest {
        // No task can be polled without a token.
        ErrorAction::EndAll
    } else {
        ErrorAction::EndTask
    }
}

/// The times that decide when a task is polled.
#[derive(Debug, Clone, Copy)]
pub(super) struct PollTiming {
    pub(super) now: Duration,
    /// The end of the task's interval.
    pub(super) due: Duration,
    /// Whether the service demanded that time, by `Retry-After`.
    pub(super) is_due_fixed: bool,
    /// The earliest time of the next request of the client.
    pub(super) ready: Duration,
    pub(super) limit: Option<TimeLimit>,
}

/// The state of a timeout.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeLimit {
    pub(super) deadline: Duration,
    /// Whether the timeout is zero, so that each task is polled once.
    pub(super) is_zero: bool,
    /// Whether any task was polled, and whether this task was.
    pub(super) any_polled: bool,
    pub(super) task_polled: bool,
    /// Whether the last poll, at the deadline, was made.
    pub(super) final_poll_made: bool,
    /// Whether a 429 pauses polls now.
    pub(super) is_rate_limited: bool,
}

/// The next poll of a task, or its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextPoll {
    /// A poll at this time, which may last until the deadline, if there is one.
    At {
        time: Duration,
        deadline: Option<Duration>,
    },
    /// The last poll, with [`FINAL_POLL_TIMEOUT`].
    FinalAt(Duration),
    /// The timeout elapses at this time.
    TimedOutAt(Duration),
}

/// Decides when a task is polled next.
pub(super) fn next_poll(timing: PollTiming) -> NextPoll {
    let PollTiming {
        now,
        due,
        is_due_fixed,
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
        return if limit.task_polled || limit.is_rate_limited {
            NextPoll::TimedOutAt(now)
        } else {
            NextPoll::At {
                time,
                deadline: None,
            }
        };
    }
    let deadline = limit.deadline;
    let fits = time.saturating_add(FINAL_POLL_TIMEOUT) <= deadline;
    if fits || (!limit.any_polled && time < deadline) {
        return NextPoll::At {
            time,
            deadline: Some(deadline),
        };
    }
    let end = deadline.max(now);
    let allowed = if is_due_fixed { time } else { ready };
    if limit.final_poll_made || allowed > end {
        NextPoll::TimedOutAt(end)
    } else {
        NextPoll::FinalAt(end)
    }
}

#[cfg(test)]
mod tests;
