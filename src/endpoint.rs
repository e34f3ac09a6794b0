//! The service's endpoints: path, method and body of each.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::credentials::Credentials;
use crate::envelope::MAX_BODY_LEN;
use crate::error::{Error, Result};
use crate::new_task::NewTask;
use crate::transport::Request;

/// Maximum length of a file id in bytes. Ids of the service have some 50.
const MAX_FILE_ID_LEN: usize = 256;

/// Maximum length of the body with a page of a list: a hundred images with Chinese names have 110 KB.
const MAX_PAGE_LEN: usize = 1024 * 1024;

/// Number of images in a page: the most that the service sends.
const PAGE_LEN: u8 = 100;

fn get(path: String) -> Request {
    Request {
        path,
        body: None,
        is_idempotent: true,
        own_connection: false,
        max_response_len: MAX_BODY_LEN,
    }
}

fn post(path: &str, body: &Value) -> Request {
    Request {
        body: Some(body.to_string().into_bytes()),
        ..get(path.to_owned())
    }
}

pub(crate) fn access_token(credentials: &Credentials) -> Request {
    let (id, secret) = (&credentials.client_id, &credentials.client_secret);
    let body = json!({"clientID": id, "clientSecret": secret});
    Request {
        is_idempotent: false,
        own_connection: true,
        ..post("/api/v1/access_token", &body)
    }
}

pub(crate) fn get_process(task_id: u64) -> Request {
    get(format!(
        "/api/v1/oss/offline/download/process?taskID={task_id}"
    ))
}

/// Its response is a [`CreatedTask`](crate::new_task::CreatedTask).
pub(crate) fn create_task(task: &NewTask) -> Result<Request> {
    Ok(Request {
        body: Some(task.to_body()?),
        is_idempotent: false,
        own_connection: true,
        ..get("/api/v1/oss/offline/download".to_owned())
    })
}

/// Its response is a [`RawImage`](crate::images::RawImage).
pub(crate) fn image(file_id: &str) -> Result<Request> {
    if file_id.is_empty() || file_id.len() > MAX_FILE_ID_LEN {
        let reason = format!("it must have 1 to {MAX_FILE_ID_LEN} bytes");
        return Err(Error::config("file_id", reason));
    }
    let mut path = "/api/v1/oss/file/detail?fileID=".to_owned();
    for byte in file_id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    Ok(get(path))
}

/// Returns the request for a page of a folder: the first one, or the one after a `lastFileId`.
pub(crate) fn page(directory_id: &str, last_file_id: &str) -> Request {
    let mut body = json!({"parentFileId": directory_id, "limit": PAGE_LEN, "type": 1});
    if !last_file_id.is_empty() {
        body["lastFileId"] = last_file_id.into();
    }
    Request {
        max_response_len: MAX_PAGE_LEN,
        ..post("/api/v1/oss/file/list", &body)
    }
}
