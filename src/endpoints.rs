//! The service's endpoints for tasks: path, method and body of each.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::json::JsonObject;
use crate::new_task::{CreatedTask, NewTask};
use crate::retry::{AttemptError, Idempotency};
use crate::session::{RequestOptions, Session};
use crate::task::Progress;
use crate::transport::{Endpoint, Request};

const CREATE_PATH: &str = "/api/v1/oss/offline/download";
const PROCESS_PATH: &str = "/api/v1/oss/offline/download/process";

/// The requests that a client makes, with retries or one at a time.
pub(crate) struct Endpoints {
    pub(crate) session: Session,
    /// The endpoint of the last polled task: most programs follow one task at a time.
    last_polled: Mutex<Option<(u64, Arc<Endpoint>)>>,
}

impl Endpoints {
    pub(crate) fn new(session: Session) -> Self {
        Self {
            session,
            last_polled: Mutex::new(None),
        }
    }

    /// Returns the progress of a task.
    pub(crate) fn get_process(&self, task_id: u64) -> Result<Progress> {
        let endpoint = self.process_endpoint(task_id)?;
        self.session
            .call(Request::get(&endpoint), Idempotency::Idempotent)
    }

    /// Returns the progress of a task, by a single request.
    pub(crate) fn poll_once(
        &self,
        task_id: u64,
        options: RequestOptions,
    ) -> std::result::Result<Progress, AttemptError> {
        let endpoint = self.process_endpoint(task_id)?;
        self.session.attempt(Request::get(&endpoint), options)
    }

    /// Creates a task.
    pub(crate) fn create_task(&self, task: &NewTask) -> Result<u64> {
        let body = task.to_body()?;
        let endpoint = self.session.transport.endpoint(CREATE_PATH)?;
        let created = self
            .session
            .call(Request::post(&endpoint, &body), Idempotency::NotIdempotent);
        created
            .map(|JsonObject(CreatedTask { task_id })| task_id)
            .map_err(Error::mark_maybe_created)
    }

    /// Creates a task, by a single request.
    pub(crate) fn create_once(
        &self,
        task: &NewTask,
        timeout: Option<Duration>,
    ) -> std::result::Result<u64, AttemptError> {
        let body = task.to_body()?;
        let endpoint = self.session.transport.endpoint(CREATE_PATH)?;
        let options = RequestOptions {
            timeout,
            new_connection: true,
        };
        match self
            .session
            .attempt(Request::post(&endpoint, &body), options)
        {
            Ok(JsonObject(CreatedTask { task_id })) => Ok(task_id),
            Err(AttemptError { error, cause }) => Err(AttemptError {
                error: error.mark_maybe_created(),
                cause,
            }),
        }
    }

    fn process_endpoint(&self, task_id: u64) -> Result<Arc<Endpoint>> {
        let mut last = self
            .last_polled
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((id, endpoint)) if *id == task_id => Ok(Arc::clone(endpoint)),
            _ => {
                let path = format!("{PROCESS_PATH}?taskID={task_id}");
                let endpoint = Arc::new(self.session.transport.endpoint(&path)?);
                *last = Some((task_id, Arc::clone(&endpoint)));
                Ok(endpoint)
            }
        }
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("host", &self.session.transport.base_url().host())
            .field("timeout", &self.session.timeout)
            .field("retries", &self.session.max_retries)
            .finish_non_exhaustive()
    }
}
