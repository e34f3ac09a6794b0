//! The requests that a scheduler makes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::endpoints::Endpoints;
use crate::retry::AttemptError;
use crate::session::RequestOptions;
use crate::task::Progress;
use crate::throttle::Throttle;

/// The requests of a scheduler. Tests replace them by a service in memory.
pub(crate) trait Requests {
    /// Requests an access token if there is none.
    fn ensure_token(&self, timeout: Duration) -> Result<(), AttemptError>;
    /// Requests the progress of a task, once.
    fn poll(&self, task_id: u64, options: RequestOptions) -> Result<Progress, AttemptError>;
    /// The client's time limit of a request.
    fn timeout(&self) -> Duration;
    fn throttle(&self) -> &Throttle;
}

impl Requests for Arc<Endpoints> {
    fn ensure_token(&self, timeout: Duration) -> Result<(), AttemptError> {
        if self.session.auth.current().is_some() {
            return Ok(());
        }
        self.session
            .ensure_token(Instant::now() + timeout)
            .map(drop)
    }

    fn poll(&self, task_id: u64, options: RequestOptions) -> Result<Progress, AttemptError> {
        self.poll_once(task_id, options)
    }

    fn timeout(&self) -> Duration {
        self.session.timeout
    }

    fn throttle(&self) -> &Throttle {
        &self.session.throttle
    }
}
