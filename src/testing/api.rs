//! The documented responses to the endpoints.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::files::Files;
use super::reply::Reply;
use super::request::Request;
use super::tokens::Tokens;
use crate::new_task::NewTask;
use crate::task::{Progress, Status};

const PROCESS_PATH: &str = "/api/v1/oss/offline/download/process";
const CREATE_PATH: &str = "/api/v1/oss/offline/download";
const TOKEN_PATH: &str = "/api/v1/access_token";
const LIST_PATH: &str = "/api/v1/oss/file/list";
const DETAIL_PATH: &str = "/api/v1/oss/file/detail";

/// Task id of the document's samples.
const FIRST_TASK_ID: u64 = 403_316;
pub(super) type NewSteps = Arc<dyn Fn(u64, &str) -> Vec<Progress> + Send + Sync>;

#[derive(Default)]
pub(super) struct Api {
    pub(super) tokens: Tokens,
    pub(super) files: Files,
    pub(super) new_steps: Option<NewSteps>,
    tasks: HashMap<u64, Task>,
    /// Number of ids that new tasks have taken or skipped.
    used_ids: u64,
}

/// The responses to the polls of one task.
#[derive(Default)]
struct Task {
    steps: VecDeque<Progress>,
    /// The body of the request for it; `None` for a task that no client has created.
    request: Option<Value>,
    /// The id of the file that it has made.
    file_id: Option<String>,
}

impl Api {
    pub(super) fn script(&mut self, task_id: u64, steps: VecDeque<Progress>) {
        let task = self.tasks.entry(task_id).or_default();
        task.steps = steps;
        task.file_id = None;
    }

    /// Returns the body that the service POSTs when a task has succeeded.
    pub(super) fn callback(&self, task_id: u64) -> Option<Vec<u8>> {
        let task = self.tasks.get(&task_id)?;
        let (url, file_id) = (&task.request.as_ref()?["url"], task.file_id.as_ref()?);
        let body = json!({"url": url, "status": 0, "failReason": "", "fileID": file_id});
        Some(body.to_string().into_bytes())
    }

    /// Returns the next unused id. A user may have scripted a task with any id.
    fn new_task_id(&mut self) -> u64 {
        while self.tasks.contains_key(&(FIRST_TASK_ID + self.used_ids)) {
            self.used_ids += 1;
        }
        self.used_ids += 1;
        FIRST_TASK_ID + self.used_ids - 1
    }

    fn process(&mut self, request: &Request) -> Result<Reply, Reply> {
        let task_id = request.task_id();
        let task_id = task_id.ok_or_else(|| invalid("taskID is missing or not a number"))?;
        let task = self.tasks.get_mut(&task_id);
        let task = task.ok_or_else(|| invalid("task not found"))?;
        let step = match task.steps.len() {
            0 | 1 => task.steps.front().copied(),
            _ => task.steps.pop_front(),
        };
        let progress = step.unwrap_or(Progress::new(Status::InProgress, 0));
        if progress.status == Status::Succeeded && task.file_id.is_none() {
            let request = task.request.as_ref();
            task.file_id = request.map(|request| self.files.make_file(request));
        }
        Ok(Reply::progress(progress))
    }

    fn detail(&self, request: &Request) -> Result<Reply, Reply> {
        let id = request.parameter("fileID=");
        let id = id.ok_or_else(|| invalid("fileID is missing"))?;
        Ok(Reply::success(self.files.detail(id)?))
    }

    fn issue_token(&mut self, request: &Request) -> Result<Reply, Reply> {
        let body = json(request)?;
        let text = |field: &str| body[field].as_str().unwrap_or_default();
        let token = self.tokens.issue(text("clientID"), text("clientSecret"))?;
        // A date far in the future, for programs that read it. The stand-in ignores it.
        let data = json!({"accessToken": token, "expiredAt": "2099-02-16T10:00:00+08:00"});
        Ok(Reply::success(data))
    }
}

/// Returns the documented response to a request.
pub(super) fn respond(api: &Mutex<Api>, request: &Request) -> Reply {
    let not_found = Reply::new(404).header("Content-Type", "text/html");
    let method = match request.path.as_str() {
        PROCESS_PATH | DETAIL_PATH => "GET",
        CREATE_PATH | TOKEN_PATH | LIST_PATH => "POST",
        _ => return not_found.body("<html><body>404 Not Found</body></html>\n"),
    };
    if request.method != method {
        return Reply::new(405).header("Allow", method);
    }
    call(api, request).unwrap_or_else(|error| error)
}

fn call(api: &Mutex<Api>, request: &Request) -> Result<Reply, Reply> {
    if request.header("Platform") != Some("open_platform") {
        return Err(invalid("the header Platform: open_platform is missing"));
    }
    let mut locked = lock(api);
    if request.path == TOKEN_PATH {
        return locked.issue_token(request);
    }
    locked.tokens.check(request.header("Authorization"))?;
    match request.path.as_str() {
        PROCESS_PATH => locked.process(request),
        LIST_PATH => Ok(Reply::success(locked.files.list(&typed_json(request)?)?)),
        DETAIL_PATH => locked.detail(request),
        _ => {
            drop(locked);
            create(api, request)
        }
    }
}

fn create(api: &Mutex<Api>, request: &Request) -> Result<Reply, Reply> {
    let body = typed_json(request)?;
    let url = body["url"].as_str();
    let url = url.filter(|url| NewTask::new(*url).validate().is_ok());
    let url = url.ok_or_else(|| invalid("url is not an http or https URL"))?;
    let (task_id, new_steps) = {
        let mut api = lock(api);
        (api.new_task_id(), api.new_steps.clone())
    };
    let steps = match new_steps {
        // Outside the lock, since this calls the user's closure.
        Some(new_steps) => new_steps(task_id, url),
        None => vec![
            Progress::new(Status::InProgress, 50),
            Progress::new(Status::Succeeded, 100),
        ],
    };
    let mut api = lock(api);
    if let Some(folder) = body["businessDirID"].as_str() {
        api.files.make_folder(folder, folder);
    }
    let task = Task {
        steps: steps.into(),
        request: Some(body),
        ..Task::default()
    };
    api.tasks.insert(task_id, task);
    Ok(Reply::success(json!({"taskID": task_id})))
}

/// Locks a mutex, also after a panic: none leaves the state of this module half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the response to invalid input.
fn invalid(message: &str) -> Reply {
    Reply::code(1, message)
}

fn json(request: &Request) -> Result<Value, Reply> {
    serde_json::from_slice(&request.body).map_err(|_| invalid("the body is not JSON"))
}

/// Returns the body of a request that needs `"type": 1`.
fn typed_json(request: &Request) -> Result<Value, Reply> {
    let body = json(request)?;
    if body["type"] != 1 {
        return Err(invalid("type is not 1"));
    }
    Ok(body)
}
