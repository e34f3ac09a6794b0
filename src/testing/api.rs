//! The documented responses to the endpoints.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::failure::ApiFailure;
use super::files::{Files, NewFile};
use super::lock;
use super::reply::Reply;
use super::request::RequestView;
use super::tokens::Tokens;
use crate::task::{Progress, Status};

const PROCESS_PATH: &str = "/api/v1/oss/offline/download/process";
const CREATE_PATH: &str = "/api/v1/oss/offline/download";
const TOKEN_PATH: &str = "/api/v1/access_token";
const LIST_PATH: &str = "/api/v1/oss/file/list";
const DETAIL_PATH: &str = "/api/v1/oss/file/detail";

/// Task id of the document's samples.
const FIRST_TASK_ID: u64 = 403_316;

const MISSING_PLATFORM: ApiFailure =
    ApiFailure::new(1, "the header Platform: open_platform is missing");
const INVALID_TASK_ID: ApiFailure = ApiFailure::new(1, "taskID is missing or not a number");
const UNKNOWN_TASK: ApiFailure = ApiFailure::new(1, "task not found");
const INVALID_JSON: ApiFailure = ApiFailure::new(1, "the body is not JSON");
const INVALID_URL: ApiFailure = ApiFailure::new(1, "url is not an http or https URL");
const INVALID_TYPE: ApiFailure = ApiFailure::new(1, "type is not 1");
const MISSING_FILE_ID: ApiFailure = ApiFailure::new(1, "fileID is missing");

pub(super) type NewSteps = Arc<dyn Fn(u64, &str) -> Vec<Progress> + Send + Sync>;

#[derive(Default)]
pub(super) struct Api(Mutex<State>);

struct State {
    tokens: Tokens,
    tasks: HashMap<u64, Script>,
    files: Files,
    next_task_id: u64,
    new_steps: NewSteps,
}

impl Default for State {
    fn default() -> Self {
        Self {
            tokens: Tokens::default(),
            tasks: HashMap::new(),
            files: Files::default(),
            next_task_id: FIRST_TASK_ID,
            new_steps: Arc::new(|_, _| {
                vec![
                    Progress::new(Status::InProgress, 50),
                    Progress::new(Status::Succeeded, 100),
                ]
            }),
        }
    }
}

impl State {
    /// Returns the next unused id. A user may have scripted a task with any id.
    fn new_task_id(&mut self) -> u64 {
        while self.tasks.contains_key(&self.next_task_id) {
            self.next_task_id += 1;
        }
        let task_id = self.next_task_id;
        // Another task may be created before this one is in the map.
        self.next_task_id += 1;
        task_id
    }
}

/// The responses to the polls of one task.
struct Script {
    steps: Vec<Progress>,
    next: usize,
    /// The file that it makes; `None` for a task that no client has created.
    new_file: Option<NewFile>,
    /// The id of the file that it has made.
    file_id: Option<String>,
}

impl Script {
    fn new(steps: Vec<Progress>, new_file: Option<NewFile>) -> Self {
        Self {
            steps,
            next: 0,
            new_file,
            file_id: None,
        }
    }

    fn step(&mut self) -> Progress {
        let Some(last) = self.steps.len().checked_sub(1) else {
            return Progress::new(Status::InProgress, 0);
        };
        let step = self.steps[self.next];
        self.next = (self.next + 1).min(last);
        step
    }
}

impl Api {
    pub(super) fn script(&self, task_id: u64, steps: Vec<Progress>) {
        let mut state = lock(&self.0);
        let replaced = state.tasks.remove(&task_id);
        let script = Script::new(steps, replaced.and_then(|script| script.new_file));
        state.tasks.insert(task_id, script);
    }

    pub(super) fn files<T>(&self, f: impl FnOnce(&mut Files) -> T) -> T {
        f(&mut lock(&self.0).files)
    }

    /// Returns the body that the service POSTs when a task has succeeded.
    pub(super) fn callback(&self, task_id: u64) -> Option<Vec<u8>> {
        let state = lock(&self.0);
        let script = state.tasks.get(&task_id)?;
        let (url, file_id) = (&script.new_file.as_ref()?.url, script.file_id.as_ref()?);
        let body = json!({"url": url, "status": 0, "failReason": "", "fileID": file_id});
        Some(body.to_string().into_bytes())
    }

    pub(super) fn script_new(&self, steps: NewSteps) {
        lock(&self.0).new_steps = steps;
    }

    pub(super) fn tokens<T>(&self, f: impl FnOnce(&mut Tokens) -> T) -> T {
        f(&mut lock(&self.0).tokens)
    }

    /// Returns the documented response to a request. `spare` is a buffer for its body.
    pub(super) fn respond(&self, request: &RequestView<'_>, spare: Vec<u8>) -> Reply {
        let method = match request.path {
            PROCESS_PATH | DETAIL_PATH => "GET",
            CREATE_PATH | TOKEN_PATH | LIST_PATH => "POST",
            _ => return not_found(),
        };
        if request.method != method {
            return Reply::new(405).header("Allow", method);
        }
        let result = if request.header("Platform") != Some("open_platform") {
            Err(MISSING_PLATFORM)
        } else {
            match request.path {
                PROCESS_PATH => self.process(request, spare),
                CREATE_PATH => self.create(request, spare),
                LIST_PATH => self.list(request, spare),
                DETAIL_PATH => self.detail(request, spare),
                _ => self.issue_token(request, spare),
            }
        };
        result.unwrap_or_else(|failure| Reply::code(failure.code, failure.message))
    }

    fn process(&self, request: &RequestView<'_>, spare: Vec<u8>) -> Result<Reply, ApiFailure> {
        let state = &mut *lock(&self.0);
        state.tokens.check(request.header("Authorization"))?;
        let task_id = request.task_id().ok_or(INVALID_TASK_ID)?;
        let script = state.tasks.get_mut(&task_id).ok_or(UNKNOWN_TASK)?;
        let progress = script.step();
        if progress.status == Status::Succeeded
            && script.file_id.is_none()
            && let Some(new_file) = &script.new_file
        {
            script.file_id = Some(state.files.make_file(new_file));
        }
        Ok(Reply::progress_in(spare, progress))
    }

    fn list(&self, request: &RequestView<'_>, spare: Vec<u8>) -> Result<Reply, ApiFailure> {
        self.tokens(|tokens| tokens.check(request.header("Authorization")))?;
        let body = json(request)?;
        if body["type"] != 1 {
            return Err(INVALID_TYPE);
        }
        let page = self.files(|files| files.list(&body))?;
        Ok(Reply::success_in(spare, format_args!("{page}")))
    }

    fn detail(&self, request: &RequestView<'_>, spare: Vec<u8>) -> Result<Reply, ApiFailure> {
        self.tokens(|tokens| tokens.check(request.header("Authorization")))?;
        let id = request.parameter("fileID=").ok_or(MISSING_FILE_ID)?;
        self.files(|files| {
            let file = files.detail(id)?;
            Ok(Reply::success_in(spare, format_args!("{file}")))
        })
    }

    fn create(&self, request: &RequestView<'_>, spare: Vec<u8>) -> Result<Reply, ApiFailure> {
        self.tokens(|tokens| tokens.check(request.header("Authorization")))?;
        let body = json(request)?;
        let url = body["url"]
            .as_str()
            .filter(|url| is_http_url(url))
            .ok_or(INVALID_URL)?;
        if body["type"] != 1 {
            return Err(INVALID_TYPE);
        }

        let (task_id, new_steps) = {
            let mut state = lock(&self.0);
            (state.new_task_id(), Arc::clone(&state.new_steps))
        };
        // Outside the lock, since this calls the user's closure.
        let steps = new_steps(task_id, url);
        let script = Script::new(steps, Some(NewFile::new(url, &body)));
        let mut state = lock(&self.0);
        if let Some(folder) = body["businessDirID"].as_str() {
            state.files.make_folder(folder, folder);
        }
        state.tasks.insert(task_id, script);
        let data = format_args!(r#"{{"taskID":{task_id}}}"#);
        Ok(Reply::success_in(spare, data))
    }

    fn issue_token(&self, request: &RequestView<'_>, spare: Vec<u8>) -> Result<Reply, ApiFailure> {
        let body = json(request)?;
        let text = |field: &str| body[field].as_str().unwrap_or_default();
        let mut state = lock(&self.0);
        let token = state.tokens.issue(text("clientID"), text("clientSecret"))?;
        // A date far in the future, for programs that read it. The stand-in ignores it.
        let data =
            format_args!(r#"{{"accessToken":"{token}","expiredAt":"2099-02-16T10:00:00+08:00"}}"#);
        Ok(Reply::success_in(spare, data))
    }
}

fn json(request: &RequestView<'_>) -> Result<Value, ApiFailure> {
    serde_json::from_slice(request.body).map_err(|_| INVALID_JSON)
}

fn is_http_url(url: &str) -> bool {
    let url = url.to_ascii_lowercase();
    let host = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    host.is_some_and(|host| !host.is_empty())
}

fn not_found() -> Reply {
    Reply::new(404)
        .header("Content-Type", "text/html")
        .body("<html><head><title>404 Not Found</title></head><body>404 Not Found</body></html>\n")
}
