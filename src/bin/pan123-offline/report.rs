//! What is told, and how: bars on a terminal, lines elsewhere, JSON on demand.

use std::io::{self, IsTerminal, Write};

use pan123_offline::{Error, Progress, Status, Update};
use serde_json::{Value, json};

use crate::bars::Bars;
use crate::failure::{ExitStatus, advice, describe, explain};

/// Tells what happens, and remembers what the end will be.
pub(crate) struct Report {
    output: Output,
    status: ExitStatus,
    succeeded: usize,
    failed: usize,
    given_up: usize,
    created: usize,
    /// What was said last on what to do.
    advice: &'static str,
    /// How many tasks are asked for.
    tasks: usize,
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
        }
    }

    pub(crate) fn exit_status(&self) -> ExitStatus {
        self.status
    }

    /// Says how many tasks are going to be asked for.
    pub(crate) fn expect(&mut self, tasks: usize) {
        self.tasks = tasks;
    }

    /// Says which tasks are going to be followed.
    pub(crate) fn follow(&mut self, task_ids: &[u64]) {
        self.expect(task_ids.len());
        if matches!(self.output, Output::Lines) && io::stdout().is_terminal() {
            self.output = Bars::new(task_ids).map_or(Output::Lines, Output::Bars);
        }
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
        match &mut self.output {
            Output::Lines => line(format_args!(
                "{task_id}\t{}\t{} %",
                progress.status, progress.percent
            )),
            Output::Json => object(progress_fields(task_id, progress)),
            Output::Bars(bars) => {
                bars.progress(task_id, progress);
                Ok(())
            }
        }
    }

    pub(crate) fn task_error(&mut self, task_id: u64, error: &Error) -> io::Result<()> {
        self.given_up += 1;
        self.status = self.status.max(ExitStatus::of(error));
        match &mut self.output {
            Output::Json => object(task_error_fields(task_id, error)),
            Output::Bars(bars) => {
                bars.given_up(task_id, error);
                self.say_error(&task_id.to_string(), error);
                Ok(())
            }
            Output::Lines => {
                self.say_error(&task_id.to_string(), error);
                Ok(())
            }
        }
    }

    pub(crate) fn created(&mut self, url: &str, task_id: u64) -> io::Result<()> {
        self.created += 1;
        match self.output {
            Output::Json => object(json!({"url": url, "task_id": task_id, "error": null})),
            _ => line(format_args!("{task_id}\t{url}")),
        }
    }

    pub(crate) fn not_created(&mut self, url: &str, error: &Error) -> io::Result<()> {
        self.status = self.status.max(ExitStatus::of(error));
        if let Output::Json = self.output {
            return object(json!({"url": url, "task_id": null, "error": error_fields(error)}));
        }
        // A list of URLs may come from anywhere, and does not get to steer a terminal either.
        self.say_error(&url.escape_debug().to_string(), error);
        Ok(())
    }

    /// What to do is said once, not for each of ten thousand tasks.
    fn say_error(&mut self, what: &str, error: &Error) {
        let mut text = format!("{what}: {}", describe(error));
        let advice = advice(error);
        if advice != self.advice {
            text += advice;
            self.advice = advice;
        }
        self.say(&text);
    }

    /// Says something beside the results, where it disturbs neither bars nor pipes.
    pub(crate) fn say(&self, text: &str) {
        let say = || drop(writeln!(io::stderr(), "pan123-offline: {text}"));
        match &self.output {
            Output::Bars(bars) => bars.suspend(say),
            _ => say(),
        }
    }

    /// What is known so far.
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
            "nothing is known yet".to_owned()
        } else {
            parts.join("; ")
        }
    }

    /// Leaves the bars as they are; what is told from here on stands below them.
    pub(crate) fn close(&mut self) {
        if let Output::Bars(bars) = &self.output {
            bars.close();
            // indicatif leaves the cursor at the end of the last bar.
            drop(writeln!(io::stdout()));
            self.output = Output::Lines;
        }
    }
}

/// Each line is out before the next is known: whoever reads it may act on it.
fn line(text: std::fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// serde_json leaves DEL and the controls above it as they are, and some terminals obey them. In JSON they stand in
/// strings only, so they can be escaped from without.
fn object(value: Value) -> io::Result<()> {
    let mut text = value.to_string();
    if text.contains(char::is_control) {
        let escape = |character: char| match character {
            control if control.is_control() => format!("\\u{:04x}", u32::from(control)),
            other => other.into(),
        };
        text = text.chars().map(escape).collect();
    }
    line(format_args!("{text}"))
}

fn progress_fields(task_id: u64, progress: Progress) -> Value {
    json!({
        "task_id": task_id,
        "status": status_name(progress.status),
        "status_code": progress.status.as_i64(),
        "percent": progress.percent,
        "end": progress.status.is_terminal(),
        "error": null,
    })
}

/// With what was known of a task whose time ran out.
fn task_error_fields(task_id: u64, error: &Error) -> Value {
    let last = match error {
        Error::WaitTimeout { last, .. } => *last,
        _ => None,
    };
    json!({
        "task_id": task_id,
        "status": last.map(|progress| status_name(progress.status)),
        "status_code": last.map(|progress| progress.status.as_i64()),
        "percent": last.map(|progress| progress.percent),
        "end": true,
        "error": error_fields(error),
    })
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::InProgress => "in_progress",
        Status::Failed => "failed",
        Status::Succeeded => "succeeded",
        Status::Retrying => "retrying",
        _ => "unknown",
    }
}

/// Fields that say nothing are null, so that each is always there.
fn error_fields(error: &Error) -> Value {
    let kind = match error {
        Error::Config(_) => "config",
        Error::Transport(_) => "transport",
        Error::Http(_) => "http",
        Error::Decode(_) => "decode",
        Error::Api(_) => "api",
        Error::WaitTimeout { .. } => "wait_timeout",
        _ => "other",
    };
    let http_status = match error {
        Error::Api(e) => e.http_status,
        Error::Http(e) => Some(e.status),
        _ => None,
    };
    json!({
        "kind": kind,
        "message": explain(error),
        "code": error.code().map(|code| code.0),
        "http_status": http_status,
        "trace_id": error.trace_id(),
        "retry_after": error.retry_after().map(|wait| wait.as_secs()),
        "transient": error.is_transient(),
        "unauthorized": error.is_unauthorized(),
        "banned": error.is_banned(),
        "may_have_been_sent": error.may_have_been_sent(),
    })
}
