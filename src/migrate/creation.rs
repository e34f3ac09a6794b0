//! The task that is being created, and what an error of its creation means. Pure.

use std::time::Duration;

use crate::error::{Delivery, Error, TransportError, TransportErrorKind};
use crate::new_task::NewTask;
use crate::retry::{self, AttemptCause, AttemptError, Attempts, Idempotency, Retry};
use crate::watch::policy::{ErrorAction, classify};

/// The first delay before a task is created again; it doubles with each further error.
const MIN_CREATE_DELAY: Duration = Duration::from_secs(1);
const MAX_CREATE_DELAY: Duration = Duration::from_secs(60);

/// A task that is taken from the input, but not created yet.
#[derive(Debug)]
pub(super) struct CurrentTask {
    pub(super) index: usize,
    pub(super) task: NewTask,
    pub(super) state: CreationState,
    pub(super) attempts: Attempts,
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

/// The consecutive errors of creations.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ErrorStreak {
    pub(super) count: u32,
    since: Duration,
}

impl ErrorStreak {
    /// Counts an error, and returns the time since the first one.
    pub(super) fn add(&mut self, now: Duration) -> Duration {
        if self.count == 0 {
            self.since = now;
        }
        self.count = self.count.saturating_add(1);
        now.saturating_sub(self.since)
    }
}

/// The consequence of an error of a creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterError {
    /// The token was replaced: the same task is created again at once.
    WithNewToken,
    /// The same task is created again after this delay.
    Again(Duration),
    /// The task is not created. The next one is created after this delay.
    Next(Duration),
    /// The task is not created. The error concerns this task only, so the next creation is not delayed.
    NextAtOnce,
    /// Everything ends.
    EndAll,
}

/// Decides what follows an error. `errors` counts the consecutive ones, this one included.
pub(super) fn decide(
    failed: &AttemptError,
    attempts: Attempts,
    errors: u32,
    is_exhausted: bool,
) -> AfterError {
    let idempotency = Idempotency::NotIdempotent;
    let retry = retry::decide(failed, idempotency, attempts, 0, Duration::MAX);
    if retry == Retry::WithNewToken {
        return AfterError::WithNewToken;
    }
    let doublings = errors.saturating_sub(1);
    let backoff = MIN_CREATE_DELAY
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(MAX_CREATE_DELAY);
    let may_exist = failed.error.may_have_taken_effect();
    match classify(failed) {
        // A refused token in HTTP 502 or 504. There is another one, but this task may exist.
        _ if failed.cause == AttemptCause::TokenReplaced && may_exist => AfterError::Next(backoff),
        ErrorAction::EndAll => AfterError::EndAll,
        ErrorAction::EndTask => AfterError::NextAtOnce,
        // The next creation is delayed, too: a failing server does not receive the whole list at once.
        ErrorAction::BackOff if may_exist || is_exhausted => AfterError::Next(backoff),
        ErrorAction::BackOff => {
            let retry_after = failed.error.retry_after().unwrap_or_default();
            AfterError::Again(retry_after.max(backoff))
        }
    }
}

/// The error of a creation that a panic interrupted, in a user's middleware.
pub(super) fn panicked() -> Error {
    let message = "the request that creates the task panicked";
    Error::Transport(TransportError::new(
        TransportErrorKind::Other,
        message,
        Delivery::MaybeCreated,
        None,
    ))
}

/// The error of a creation for which no time remained.
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

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn http(status: u16) -> Error {
        Error::Http(HttpError::new(status, b""))
    }

    fn api(code: i64) -> Error {
        Error::Api(ApiError::new(ErrorCode(code), String::new(), None, None))
    }

    #[test]
    fn decides_what_follows_an_error() {
        use AfterError::{Again, EndAll, Next, NextAtOnce, WithNewToken};

        let refused = |cause| AttemptError {
            error: api(401),
            cause,
        };
        let in_bad_gateway = ApiError::new(ErrorCode::UNAUTHORIZED, String::new(), None, Some(502));
        let rows: [(AttemptError, u32, bool, AfterError); 14] = [
            // Certainly not created: again, after a delay that doubles.
            (http(503).into(), 1, false, Again(seconds(1))),
            (http(503).into(), 4, false, Again(seconds(8))),
            (http(503).into(), u32::MAX, false, Again(seconds(60))),
            (http(429).into(), 1, false, Again(seconds(1))),
            (
                http(429).with_retry_after(Some(seconds(600))).into(),
                3,
                false,
                Again(seconds(600)),
            ),
            // For too long.
            (http(503).into(), 8, true, Next(seconds(60))),
            // A task may exist.
            (
                http(502).mark_maybe_created().into(),
                1,
                false,
                Next(seconds(1)),
            ),
            (
                http(502).mark_maybe_created().into(),
                3,
                false,
                Next(seconds(4)),
            ),
            (
                AttemptError {
                    error: Error::Api(in_bad_gateway).mark_maybe_created(),
                    cause: AttemptCause::TokenReplaced,
                },
                1,
                false,
                Next(seconds(1)),
            ),
            // An error of this task.
            (api(1).into(), 1, false, NextAtOnce),
            (api(5113).into(), 1, false, NextAtOnce),
            // An error of all.
            (api(403).into(), 1, false, EndAll),
            (refused(AttemptCause::Request), 1, false, EndAll),
            (refused(AttemptCause::TokenReplaced), 1, false, WithNewToken),
        ];
        for (failed, errors, is_exhausted, expected) in rows {
            let text = format!("{failed:?}");
            let decision = decide(&failed, Attempts::default(), errors, is_exhausted);
            assert_eq!(decision, expected, "{text}");
        }
    }

    #[test]
    fn counts_errors_and_the_time_since_the_first() {
        let mut streak = ErrorStreak::default();
        assert_eq!(streak.add(seconds(5)), seconds(0));
        assert_eq!(streak.add(seconds(9)), seconds(4));
        assert_eq!(streak.count, 2);
    }
}
