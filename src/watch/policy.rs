//! When a task is polled next, and what an error means for it. Pure.

use std::time::Duration;

use crate::error::{Error, TransportErrorKind};
use crate::retry::{AttemptCause, AttemptError};

const DEFAULT_INITIAL_INTERVAL: Duration = Duration::from_secs(1);
const DEFAULT_MAX_INTERVAL: Duration = Duration::from_secs(15);
const DEFAULT_MAX_CONSECUTIVE_ERRORS: u32 = 8;
const DEFAULT_ERROR_WINDOW: Duration = Duration::from_secs(10 * 60);

/// The longest `Retry-After` that is waited for.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Time limit of the last poll, which is made at the deadline.
pub(super) const FINAL_POLL_TIMEOUT: Duration = Duration::from_millis(250);

/// When tasks are polled, and how many errors they may have.
///
/// A task is polled after `initial_interval`. The interval grows by half while the progress does not change, up to
/// `max_interval`, and returns to `initial_interval` when it changes.
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

    /// Sets the longest interval between two polls of a task. Default: 15 s. If it is shorter than the initial interval,
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

    /// Whether so many consecutive errors in this time are too many.
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

/// Classifies an error that cannot be cured by an immediate second attempt.
pub(crate) fn classify(failed: &AttemptError) -> ErrorAction {
    let AttemptError { error, cause } = failed;
    let is_undecodable = match error {
        Error::Decode(_) => true,
        // A captive portal has its own certificate.
        Error::Transport(e) => matches!(
            e.kind(),
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
    /// Whether the service asked for that time, by `Retry-After`.
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
    /// Whether a 429 holds all requests now.
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
mod tests {
    use super::*;
    use crate::error::{ApiError, DecodeError, Delivery, HttpError, TransportError};
    use crate::error_code::ErrorCode;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn interval_grows_by_half_and_falls_back_on_change() {
        let default = PollPolicy::new();
        let fixed = default.initial_interval(ms(10)).max_interval(ms(10));
        let inverted = default.initial_interval(ms(500)).max_interval(ms(10));
        let zero = default.initial_interval(ms(0)).max_interval(ms(0));
        let endless = default.max_interval(Duration::MAX);
        for (policy, last, changed, expected) in [
            (default, ms(0), true, ms(1000)),
            (default, ms(0), false, ms(1000)),
            (default, ms(1000), false, ms(1500)),
            (default, ms(1500), false, ms(2250)),
            (default, ms(9000), false, ms(13_500)),
            (default, ms(10_000), false, ms(15_000)),
            (default, ms(14_000), false, ms(15_000)),
            (default, ms(15_000), true, ms(1000)),
            (default, Duration::MAX, false, ms(15_000)),
            (fixed, ms(7), false, ms(10)),
            (inverted, ms(500), false, ms(500)),
            (zero, ms(0), false, ms(0)),
            (endless, Duration::MAX, false, Duration::MAX),
        ] {
            assert_eq!(
                policy.next_interval(last, changed),
                expected,
                "{policy:?} {last:?} {changed}"
            );
        }
    }

    #[test]
    fn errors_are_too_many_by_number_and_time() {
        let default = PollPolicy::new();
        let at_once = default.max_consecutive_errors(3).error_window(ms(0));
        for (policy, errors, span, expected) in [
            (default, 8, ms(600_000), true),
            (default, 7, ms(600_000), false),
            (default, 8, ms(599_999), false),
            (default, 800, ms(0), false),
            (at_once, 2, ms(0), false),
            (at_once, 3, ms(0), true),
            (at_once.max_consecutive_errors(0), 1, ms(0), true),
        ] {
            assert_eq!(
                policy.is_exhausted(errors, span),
                expected,
                "{policy:?} {errors} {span:?}"
            );
        }
    }

    #[test]
    fn classifies_errors() {
        use AttemptCause::{Request, TokenReplaced, TokenRequest};
        use ErrorAction::{BackOff, EndAll, EndTask};
        use TransportErrorKind as Kind;

        let http = |status| Error::Http(HttpError::new(status, b""));
        let api = |code| Error::Api(ApiError::new(ErrorCode(code), "m".into(), None, Some(200)));
        let transport =
            |kind| Error::Transport(TransportError::new(kind, "m", Delivery::MaybeSent, None));
        let decode = || Error::Decode(DecodeError::new("r", b"", None));
        let day = MAX_RETRY_AFTER;
        let longer = day + ms(1);
        for (error, cause, expected) in [
            (http(500), Request, BackOff),
            (http(429), Request, BackOff),
            (http(429).with_retry_after(Some(day)), Request, BackOff),
            (http(429).with_retry_after(Some(longer)), Request, EndAll),
            (
                api(429).with_retry_after(Some(longer)),
                TokenRequest,
                EndAll,
            ),
            (http(503).with_retry_after(Some(longer)), Request, EndTask),
            (
                http(503).with_retry_after(Some(longer)),
                TokenRequest,
                EndAll,
            ),
            (http(404), Request, EndTask),
            (http(301), Request, EndTask),
            (http(401), Request, EndAll),
            (http(401), TokenReplaced, EndAll),
            (http(403), Request, EndAll),
            (api(1), Request, EndTask),
            (api(1), TokenRequest, EndAll),
            (api(401), Request, EndAll),
            (api(403), Request, EndAll),
            (api(500), Request, BackOff),
            (api(5113), Request, EndTask),
            (decode(), Request, BackOff),
            (decode(), TokenRequest, BackOff),
            (transport(Kind::Dns), Request, BackOff),
            (transport(Kind::Connect), TokenRequest, BackOff),
            (transport(Kind::Timeout), Request, BackOff),
            (transport(Kind::Protocol), Request, BackOff),
            (transport(Kind::Tls), Request, BackOff),
            (transport(Kind::Other), Request, EndTask),
            (Error::config("url", "r"), Request, EndTask),
        ] {
            let text = format!("{error} {cause:?}");
            assert_eq!(classify(&AttemptError { error, cause }), expected, "{text}");
        }
    }

    /// Without a time limit a task is polled when it is due and the client is ready.
    #[test]
    fn polls_when_due_and_ready() {
        for (now, due, ready, expected) in [
            (0, 0, 0, 0),
            (100, 50, 60, 100),
            (100, 500, 60, 500),
            (100, 50, 700, 700),
        ] {
            let timing = PollTiming {
                now: ms(now),
                due: ms(due),
                is_due_fixed: false,
                ready: ms(ready),
                limit: None,
            };
            assert_eq!(
                next_poll(timing),
                NextPoll::At {
                    time: ms(expected),
                    deadline: None
                }
            );
        }
    }

    #[test]
    fn makes_a_last_poll_at_the_deadline() {
        const DEADLINE: u64 = 10_000;
        let at = |time| NextPoll::At {
            time: ms(time),
            deadline: Some(ms(DEADLINE)),
        };
        let final_at = |time| NextPoll::FinalAt(ms(time));
        let timed_out = |time| NextPoll::TimedOutAt(ms(time));
        let limit = TimeLimit {
            deadline: ms(DEADLINE),
            is_zero: false,
            any_polled: true,
            task_polled: true,
            final_poll_made: false,
            is_rate_limited: false,
        };
        let first = TimeLimit {
            any_polled: false,
            task_polled: false,
            ..limit
        };
        let made = TimeLimit {
            final_poll_made: true,
            ..limit
        };
        for (now, due, is_due_fixed, ready, limit, expected) in [
            // In time.
            (0, 0, false, 0, first, at(0)),
            (5000, 6000, false, 5200, limit, at(6000)),
            (5000, 9750, false, 5200, limit, at(9750)),
            // The first poll needs less than the time of a last one.
            (9900, 0, false, 0, first, at(9900)),
            // Due too near to the deadline, or after it.
            (5000, 9751, false, 5200, limit, final_at(10_000)),
            (5000, 60_000, false, 5200, limit, final_at(10_000)),
            // Not while `Retry-After` or the pace forbids it.
            (5000, 60_000, true, 5200, limit, timed_out(10_000)),
            (5000, 10_000, true, 5200, limit, final_at(10_000)),
            (5000, 9000, false, 60_000, limit, timed_out(10_000)),
            (0, 0, false, 60_000, first, timed_out(10_000)),
            // The caller's loop took longer than the timeout: one last poll.
            (12_000, 11_000, false, 0, limit, final_at(12_000)),
            (12_000, 13_000, false, 0, limit, final_at(12_000)),
            (12_000, 11_000, false, 12_001, limit, timed_out(12_000)),
            // Only one.
            (10_100, 11_000, false, 0, made, timed_out(10_100)),
            (5000, 9751, false, 5200, made, timed_out(10_000)),
        ] {
            let timing = PollTiming {
                now: ms(now),
                due: ms(due),
                is_due_fixed,
                ready: ms(ready),
                limit: Some(limit),
            };
            assert_eq!(next_poll(timing), expected, "{timing:?}");
        }
    }

    #[test]
    fn zero_timeout_polls_each_task_once() {
        let limit = TimeLimit {
            deadline: ms(0),
            is_zero: true,
            any_polled: true,
            task_polled: false,
            final_poll_made: false,
            is_rate_limited: false,
        };
        let polled = TimeLimit {
            task_polled: true,
            ..limit
        };
        let held = TimeLimit {
            is_rate_limited: true,
            ..limit
        };
        for (limit, expected) in [
            (
                limit,
                NextPoll::At {
                    time: ms(700),
                    deadline: None,
                },
            ),
            (polled, NextPoll::TimedOutAt(ms(500))),
            (held, NextPoll::TimedOutAt(ms(500))),
        ] {
            let timing = PollTiming {
                now: ms(500),
                due: ms(0),
                is_due_fixed: false,
                ready: ms(700),
                limit: Some(limit),
            };
            assert_eq!(next_poll(timing), expected, "{limit:?}");
        }
    }
}
