//! The task that is being created, and the delays after errors of creations. Pure.

use std::time::{Duration, Instant};

use crate::error::{Delivery, Error, TransportError, TransportErrorKind};
use crate::new_task::NewTask;
use crate::throttle::later;

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

/// Returns the delay before a task is created again. `errors` counts the consecutive ones.
pub(super) fn backoff(errors: u32) -> Duration {
    doubling(MIN_CREATE_DELAY, errors, MAX_CREATE_DELAY)
}

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

    #[test]
    fn delays_double_up_to_a_maximum() {
        let seconds = Duration::from_secs;
        for (errors, expected) in [(1, 1), (2, 2), (4, 8), (7, 60), (u32::MAX, 60)] {
            assert_eq!(backoff(errors), seconds(expected), "{errors} errors");
        }
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
