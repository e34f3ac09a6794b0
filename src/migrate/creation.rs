//! The task that is being created, and what follows an error of its creation. Pure.

use std::time::{Duration, Instant};

use crate::error::{Delivery, Error, TransportError, TransportErrorKind};
use crate::new_task::NewTask;
use crate::retry::AttemptError;
use crate::throttle::later;
use crate::watch::consequence::{Consequence, consequence};

/// The first delay before a task is created again; it doubles with each further error.
const MIN_CREATE_DELAY: Duration = Duration::from_secs(1);
const MAX_CREATE_DELAY: Duration = Duration::from_secs(60);

/// The first delay after an error that may have created a task, if there is no task to poll; it doubles, too.
const MIN_DOUBT_DELAY: Duration = Duration::from_secs(20);
const MAX_DOUBT_DELAY: Duration = Duration::from_secs(5 * 60);

/// A task that is taken from the input, but not created yet.
#[derive(Debug)]
pub(super) struct CurrentTask {
    pub(super) index: usize,
    pub(super) task: NewTask,
    pub(super) state: CreationState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CreationState {
    /// Not announced since the last request.
    Waiting,
    /// `Creating` was returned.
    Announced,
    /// The request is under way. A task in this state at the next call was left by a panic.
    Sending,
}

/// The time after an error that may have created a task. The service may be failing, so the next creation waits until
/// a poll has succeeded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubt {
    /// Number of such errors in a row.
    count: u32,
    /// Number of successful polls before the last one.
    successes: u64,
    /// The end of the wait if there is no task to poll.
    end: Instant,
}

impl Doubt {
    /// Begins after an error, or goes on after a further one.
    pub(super) fn after(previous: Option<Self>, successes: u64, now: Instant) -> Self {
        let count = previous.map_or(1, |doubt| doubt.count.saturating_add(1));
        let delay = doubling(MIN_DOUBT_DELAY, count, MAX_DOUBT_DELAY);
        Self {
            count,
            successes,
            end: later(now, delay),
        }
    }

    /// Returns the earliest time of the next creation, if it does not have to wait for a poll.
    pub(super) fn earliest(self, pending: usize, successes: u64, now: Instant) -> Option<Instant> {
        if successes > self.successes {
            Some(now)
        } else if pending == 0 {
            Some(self.end)
        } else {
            None
        }
    }
}

/// The consequence of an error of a creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterError {
    /// The same task is created again after this delay.
    RetryAfter(Duration),
    /// The task is not created. The next one is created after this delay.
    SkipAfter(Duration),
    /// The task is not created. The error concerns this task only, so the next creation is not delayed.
    Skip,
    /// The task may exist. The next one is created after the [`Doubt`].
    SkipInDoubt,
    /// Everything ends.
    Stop,
}

/// Decides what follows an error. `errors` counts the consecutive ones, this one included.
pub(super) fn decide(failed: &AttemptError, errors: u32, is_exhausted: bool) -> AfterError {
    let backoff = doubling(MIN_CREATE_DELAY, errors, MAX_CREATE_DELAY);
    match consequence(failed) {
        Consequence::EndAll => AfterError::Stop,
        _ if failed.error.may_have_taken_effect() => AfterError::SkipInDoubt,
        Consequence::EndTask => AfterError::Skip,
        // The next creation is delayed, too: a failing server does not receive the whole list at once.
        Consequence::BackOff if is_exhausted => AfterError::SkipAfter(backoff),
        Consequence::BackOff => {
            let retry_after = failed.error.retry_after().unwrap_or_default();
            AfterError::RetryAfter(retry_after.max(backoff))
        }
    }
}

/// Returns the delay after the error with this number, which begins at 1.
fn doubling(min: Duration, errors: u32, max: Duration) -> Duration {
    let factor = 2_u32.saturating_pow(errors.saturating_sub(1));
    min.saturating_mul(factor).min(max)
}

/// Returns the error of a creation that a panic interrupted, in a user's middleware.
pub(super) fn panicked() -> Error {
    let message = "the request that creates the task panicked";
    Error::Transport(TransportError::new(
        TransportErrorKind::Other,
        message,
        Delivery::MaybeCreated,
        None,
    ))
}

/// Returns the error of a creation for which no time remained.
pub(super) fn timed_out() -> Error {
    let message = "the timeout of the migration elapsed before the task was created";
    Error::Transport(TransportError::new(
        TransportErrorKind::Timeout,
        message,
        Delivery::NotSent,
        None,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ApiError, HttpError};
    use crate::error_code::ErrorCode;
    use crate::retry::AttemptCause;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn decides_what_follows_an_error() {
        use AfterError::{RetryAfter, Skip, SkipAfter, SkipInDoubt, Stop};

        let http = |status| Error::Http(HttpError::new(status, b""));
        let api = |code| Error::Api(ApiError::new(ErrorCode(code), String::new(), None, None));
        let limited = || http(429).with_retry_after(Some(seconds(600)));
        let of_token_request = |error: Error| AttemptError {
            error: error.of_token_request(),
            cause: AttemptCause::TokenRequest,
        };
        let rows: [(AttemptError, u32, bool, AfterError); 14] = [
            // Certainly not created: again, after a delay that doubles.
            (http(503).into(), 1, false, RetryAfter(seconds(1))),
            (http(503).into(), 4, false, RetryAfter(seconds(8))),
            (http(503).into(), u32::MAX, false, RetryAfter(seconds(60))),
            (http(429).into(), 1, false, RetryAfter(seconds(1))),
            (limited().into(), 3, false, RetryAfter(seconds(600))),
            (
                of_token_request(http(502)),
                2,
                false,
                RetryAfter(seconds(2)),
            ),
            // For too long.
            (http(503).into(), 8, true, SkipAfter(seconds(60))),
            // A task may exist.
            (http(502).into(), 1, false, SkipInDoubt),
            (http(502).into(), 8, true, SkipInDoubt),
            // An error of this task.
            (api(1).into(), 1, false, Skip),
            (api(5113).into(), 1, false, Skip),
            // An error of all.
            (api(403).into(), 1, false, Stop),
            (api(401).into(), 1, false, Stop),
            (of_token_request(api(1)), 1, false, Stop),
        ];
        for (failed, errors, is_exhausted, expected) in rows {
            let decision = decide(&failed, errors, is_exhausted);
            assert_eq!(decision, expected, "{failed:?}");
        }
    }

    #[test]
    fn doubt_ends_with_a_successful_poll_or_after_a_delay_that_doubles() {
        let now = Instant::now();
        let mut doubt = None;
        for delay in [20, 40, 80, 160, 300, 300].map(seconds) {
            let after = Doubt::after(doubt, 7, now);
            assert_eq!(after.earliest(0, 7, now), Some(now + delay));
            assert_eq!(after.earliest(3, 7, now), None);
            assert_eq!(after.earliest(3, 8, now), Some(now));
            doubt = Some(after);
        }
    }
}
