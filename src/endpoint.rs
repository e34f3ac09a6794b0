//! The service's endpoints for tasks: path, method and body of each.

use crate::error::Result;
use crate::new_task::NewTask;
use crate::retry::Idempotency;

const CREATE_PATH: &str = "/api/v1/oss/offline/download";
const PROCESS_PATH: &str = "/api/v1/oss/offline/download/process";

/// A request to an endpoint: a POST if it has a body, a GET otherwise.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) idempotency: Idempotency,
}

/// Returns the call for the progress of a task.
pub(crate) fn get_process(task_id: u64) -> Call {
    Call {
        path: format!("{PROCESS_PATH}?taskID={task_id}"),
        body: None,
        idempotency: Idempotency::Idempotent,
    }
}

/// Returns the call that creates a task. Its response is a [`CreatedTask`](crate::new_task::CreatedTask).
pub(crate) fn create_task(task: &NewTask) -> Result<Call> {
    Ok(Call {
        path: CREATE_PATH.to_owned(),
        body: Some(task.to_body()?),
        idempotency: Idempotency::NotIdempotent,
    })
}
