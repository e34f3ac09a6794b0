//! Output: bars on a terminal, lines elsewhere, JSON on demand.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};

use pan123_offline::{Error, Progress, Status, Update};
use serde_json::{Value, json};

use crate::bars::Bars;
use crate::failure::{ExitStatus, advice, describe, eprint_line, explain};
use crate::input::{InvalidLine, Task};
use crate::json;

/// Prints what happens, and determines the exit status.
pub(crate) struct Report {
    output: Output,
    status: ExitStatus,
    succeeded: usize,
    failed: usize,
    given_up: usize,
    created: usize,
    /// The advice that was printed last.
    advice: &'static str,
    tasks: usize,
    /// The URLs of those tasks that came with one.
    urls: HashMap<u64, String>,
}

enum Output {
    Lines,
    Json,
    Bars(Bars),
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        let output = if json { Output::Json } else { Output::Lines };
        Self {
            output,
            status: ExitStatus::Succeeded,
            succeeded: 0,
            failed: 0,
            given_up: 0,
            created: 0,
            advice: "",
            tasks: 0,
            urls: HashMap::new(),
        }
    }

    pub(crate) fn exit_status(&self) -> ExitStatus {
        self.status
    }

    /// Adds a task, and keeps its URL for the output.
    pub(crate) fn add_task(&mut self, task: &Task) {
        self.tasks += 1;
        if let Some(url) = &task.url {
            self.urls.insert(task.id, url.clone());
        }
    }

    /// Shows bars for these tasks, if standard output is a terminal.
    pub(crate) fn follow(&mut self, task_ids: &[u64]) {
        if matches!(self.output, Output::Lines) && io::stdout().is_terminal() {
            self.output = Bars::new(task_ids).map_or(Output::Lines, Output::Bars);
        }
    }

    /// Prints a line of a list that cannot work.
    pub(crate) fn invalid_line(&mut self, line: &InvalidLine) {
        self.status = self.status.max(ExitStatus::Usage);
        self.say(&line.message);
    }

    /// Prints a line of a list of URLs that cannot work.
    pub(crate) fn invalid_url(&mut self, line: &InvalidLine) -> io::Result<()> {
        let Output::Json = self.output else {
            self.invalid_line(line);
            return Ok(());
        };
        self.status = self.status.max(ExitStatus::Usage);
        let error = error_object("config", &line.message, None);
        object(&json!({"url": line.text, "task_id": null, "error": error}))
    }

    pub(crate) fn update(&mut self, update: &Update) -> io::Result<()> {
        match &update.result {
            Ok(progress) => self.progress(update.task_id, *progress),
            Err(error) => self.task_error(update.task_id, error),
        }
    }

    pub(crate) fn progress(&mut self, task_id: u64, progress: Progress) -> io::Result<()> {
        match progress.status {
            Status::Succeeded => self.succeeded += 1,
            Status::Failed => {
                self.failed += 1;
                self.status = self.status.max(ExitStatus::TaskFailed);
            }
            _ => {}
        }
        let url = self.urls.get(&task_id);
        let is_failed = progress.status == Status::Failed;
        match &mut self.output {
            Output::Lines => {
                line(format_args!(
                    "{task_id}\t{}\t{} %",
                    progress.status, progress.percent
                ))?;
            }
            Output::Json => return object(&progress_fields(task_id, progress, url)),
            Output::Bars(bars) => bars.progress(task_id, progress),
        }
        if is_failed && (url.is_some() || matches!(self.output, Output::Bars(_))) {
            self.say(&format!("{}: failed", self.name(task_id)));
        }
        Ok(())
    }

    pub(crate) fn task_error(&mut self, task_id: u64, error: &Error) -> io::Result<()> {
        self.given_up += 1;
        self.status = self.status.max(ExitStatus::of(error));
        match &mut self.output {
            Output::Json => {
                return object(&task_error_fields(task_id, error, self.urls.get(&task_id)));
            }
            Output::Bars(bars) => bars.given_up(task_id, error),
            Output::Lines => {}
        }
        self.say_error(&self.name(task_id), error);
        Ok(())
    }

    /// Returns the task's id, and its URL if it is known.
    fn name(&self, task_id: u64) -> String {
        match self.urls.get(&task_id) {
            Some(url) => format!("{task_id} ({})", url.escape_debug()),
            None => task_id.to_string(),
        }
    }

    /// Prints a new task. Where standard output cannot be written, the id goes to standard error,
    /// because it can be had from nowhere else.
    pub(crate) fn created(&mut self, url: &str, task_id: u64) -> io::Result<()> {
        self.created += 1;
        let result = match self.output {
            Output::Json => object(&json!({"url": url, "task_id": task_id, "error": null})),
            _ => line(format_args!("{task_id}\t{url}")),
        };
        if result.is_err() {
            self.say(&format!("created task {task_id} for {url}"));
        }
        result
    }

    pub(crate) fn not_created(&mut self, url: &str, error: &Error) -> io::Result<()> {
        self.status = self.status.max(ExitStatus::of(error));
        if let Output::Json = self.output {
            return object(&json!({"url": url, "task_id": null, "error": error_fields(error)}));
        }
        // A list of URLs may come from anywhere, and must not steer a terminal.
        self.say_error(&url.escape_debug().to_string(), error);
        Ok(())
    }

    /// Prints an error. Its advice is printed once, not for each of ten thousand tasks.
    fn say_error(&mut self, what: &str, error: &Error) {
        let mut text = format!("{what}: {}", describe(error));
        let advice = advice(error);
        if advice != self.advice {
            text += advice;
            self.advice = advice;
        }
        self.say(&text);
    }

    /// Prints a message on standard error, above the bars if there are any.
    pub(crate) fn say(&self, text: &str) {
        let say = || eprint_line(text);
        match &self.output {
            Output::Bars(bars) => bars.suspend(say),
            _ => say(),
        }
    }

    /// Returns the counts so far.
    pub(crate) fn summary(&self) -> String {
        let open = self
            .tasks
            .saturating_sub(self.succeeded + self.failed + self.given_up);
        let Self {
            succeeded,
            failed,
            given_up,
            created,
            ..
        } = self;
        let mut parts = Vec::new();
        if *created > 0 {
            parts.push(format!("{created} created"));
        }
        if self.tasks > 0 {
            parts.push(format!(
                "{succeeded} succeeded, {failed} failed, {given_up} given up, {open} still open"
            ));
        }
        if parts.is_empty() {
            "no result yet".to_owned()
        } else {
            parts.join("; ")
        }
    }

    /// Leaves the bars as they are; later output stands below them.
    pub(crate) fn close(&mut self) {
        if let Output::Bars(bars) = &self.output {
            bars.close();
            // indicatif leaves the cursor at the end of the last bar.
            drop(writeln!(io::stdout()));
            self.output = Output::Lines;
        }
    }
}

/// Prints a line and flushes it, so that a reader can act on it at once.
fn line(text: std::fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

pub(crate) fn object(value: &Value) -> io::Result<()> {
    line(format_args!("{}", json::to_line(value).trim_end()))
}

fn progress_fields(task_id: u64, progress: Progress, url: Option<&String>) -> Value {
    json!({
        "task_id": task_id,
        "url": url,
        "status": status_name(progress.status),
        "status_code": progress.status.as_i64(),
        "percent": progress.percent,
        "end": progress.status.is_terminal(),
        "error": null,
    })
}

/// Returns the fields of a task that was given up, with its last progress.
fn task_error_fields(task_id: u64, error: &Error, url: Option<&String>) -> Value {
    let last = match error {
        Error::WaitTimeout { last, .. } => *last,
        _ => None,
    };
    json!({
        "task_id": task_id,
        "url": url,
        "status": last.map(|progress| status_name(progress.status)),
        "status_code": last.map(|progress| progress.status.as_i64()),
        "percent": last.map(|progress| progress.percent),
        "end": true,
        "error": error_fields(error),
    })
}

pub(crate) fn status_name(status: Status) -> &'static str {
    match status {
        Status::InProgress => "in_progress",
        Status::Failed => "failed",
        Status::Succeeded => "succeeded",
        Status::Retrying => "retrying",
        _ => "unknown",
    }
}

pub(crate) fn error_fields(error: &Error) -> Value {
    let kind = match error {
        Error::Config(_) => "config",
        Error::Transport(_) => "transport",
        Error::Http(_) => "http",
        Error::Decode(_) => "decode",
        Error::Api(_) => "api",
        Error::WaitTimeout { .. } => "wait_timeout",
        _ => "other",
    };
    error_object(kind, &explain(error), Some(error))
}

/// Returns an error's object. Each field is always there, and null where it has no value.
pub(crate) fn error_object(kind: &str, message: &str, error: Option<&Error>) -> Value {
    json!({
        "kind": kind,
        "message": message,
        "code": error.and_then(Error::code).map(|code| code.0),
        "http_status": error.and_then(Error::http_status),
        "trace_id": error.and_then(Error::trace_id),
        "retry_after": error.and_then(Error::retry_after).map(|delay| delay.as_secs()),
        "transient": error.is_some_and(Error::is_transient),
        "unauthorized": error.is_some_and(Error::is_unauthorized),
        "banned": error.is_some_and(Error::is_banned),
        "may_have_been_sent": error.is_some_and(Error::may_have_been_sent),
    })
}
