//! The outside of a scheduler: requests and time. Tests replace it.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::endpoint;
use crate::error::Result;
use crate::new_task::{CreatedTask, NewTask};
use crate::session::Session;
use crate::task::Progress;
use crate::throttle::Throttle;

pub(crate) trait Requests {
    fn ensure_token(&self, deadline: Instant) -> Result<()>;
    // Polls and creations are one attempt each.
    fn poll(&self, task_id: u64, deadline: Instant) -> Result<Progress>;
    fn create(&self, task: &NewTask, deadline: Instant) -> Result<u64>;
    /// Returns the client's time limit of a request.
    fn timeout(&self) -> Duration;
    fn throttle(&self) -> &Throttle;
    fn now(&self) -> Instant;
    fn sleep_until(&self, time: Instant);
}

impl Requests for Arc<Session> {
    fn ensure_token(&self, deadline: Instant) -> Result<()> {
        self.token(deadline).map(drop)
    }

    fn poll(&self, task_id: u64, deadline: Instant) -> Result<Progress> {
        self.attempt(&mut endpoint::get_process(task_id), deadline)
    }

    fn create(&self, task: &NewTask, deadline: Instant) -> Result<u64> {
        let mut request = endpoint::create_task(task)?;
        let CreatedTask { task_id } = self.attempt(&mut request, deadline)?;
        Ok(task_id)
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, time: Instant) {
        thread::sleep(time.saturating_duration_since(Instant::now()));
    }
}
