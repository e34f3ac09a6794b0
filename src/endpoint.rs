//! The service's endpoints: path, method and body of each.

use std::fmt::Write;

use serde_json::json;

use crate::envelope::MAX_BODY_LEN;
use crate::error::{Error, Result};
use crate::new_task::NewTask;
use crate::retry::Idempotency;

const CREATE_PATH: &str = "/api/v1/oss/offline/download";
const DETAIL_PATH: &str = "/api/v1/oss/file/detail";
const LIST_PATH: &str = "/api/v1/oss/file/list";
const PROCESS_PATH: &str = "/api/v1/oss/offline/download/process";

/// Maximum length of a file id in bytes: percent-encoded, it must fit into ureq's output buffer. Ids of the service have
/// some 50.
const MAX_FILE_ID_LEN: usize = 256;

/// Maximum length of the body with a page of a list: a hundred images with Chinese names have 110 KB.
const MAX_PAGE_LEN: usize = 1024 * 1024;

/// Number of images in a page: the most that the service sends.
const PAGE_LEN: u8 = 100;

/// A request to an endpoint: a POST if it has a body, a GET otherwise.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) idempotency: Idempotency,
    pub(crate) max_response_len: usize,
}

impl Call {
    fn get(path: String) -> Self {
        Self {
            path,
            body: None,
            idempotency: Idempotency::Idempotent,
            max_response_len: MAX_BODY_LEN,
        }
    }
}

/// Returns the call for the progress of a task.
pub(crate) fn get_process(task_id: u64) -> Call {
    Call::get(format!("{PROCESS_PATH}?taskID={task_id}"))
}

/// Returns the call that creates a task. Its response is a [`CreatedTask`](crate::new_task::CreatedTask).
pub(crate) fn create_task(task: &NewTask) -> Result<Call> {
    Ok(Call {
        body: Some(task.to_body()?),
        idempotency: Idempotency::NotIdempotent,
        ..Call::get(CREATE_PATH.to_owned())
    })
}

/// Returns the call for one image or folder. Its response is a [`RawImage`](crate::images::RawImage).
pub(crate) fn image(file_id: &str) -> Result<Call> {
    if file_id.is_empty() || file_id.len() > MAX_FILE_ID_LEN {
        let reason = format!("it must have 1 to {MAX_FILE_ID_LEN} bytes");
        return Err(Error::config("file_id", reason));
    }
    let mut path = format!("{DETAIL_PATH}?fileID=");
    for byte in file_id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    Ok(Call::get(path))
}

/// Returns the call for a page of a folder: the first one, or the one after a `lastFileId`.
pub(crate) fn page(directory_id: &str, last_file_id: &str) -> Call {
    let mut body = json!({"parentFileId": directory_id, "limit": PAGE_LEN, "type": 1});
    if !last_file_id.is_empty() {
        body["lastFileId"] = last_file_id.into();
    }
    Call {
        body: Some(body.to_string().into_bytes()),
        max_response_len: MAX_PAGE_LEN,
        ..Call::get(LIST_PATH.to_owned())
    }
}
