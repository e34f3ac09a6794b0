//! The clock of a scheduler. Tests replace it by a clock that does not sleep.

use std::time::{Duration, Instant};

/// A clock whose times are durations since the client's creation, as those of its throttle.
pub(crate) trait Clock {
    fn now(&self) -> Duration;
    fn sleep(&self, duration: Duration);
}

#[derive(Debug)]
pub(crate) struct SystemClock(pub(crate) Instant);

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}
