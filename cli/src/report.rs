//! Output: bars on a terminal, lines elsewhere, JSON on demand.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

use console::Color;
use pan123_offline::{Error, Progress, Status, Update};
use serde_json::{Value, json};

use crate::args::Common;
use crate::bars::Row;
use crate::display::{Display, Form};
use crate::failure::{ErrorTexts, ExitStatus, Failure, describe, explain};
use crate::input::{InvalidLine, Task};
use crate::json;
use crate::overview::{Counts, duration};

/// The number of polled tasks from which there is a summary.
const MIN_TASKS: usize = 20;

/// Prints what happens, and determines the exit status.
pub(crate) struct Report {
    is_json: bool,
    is_quiet: bool,
    form: Form,
    only_ends: bool,
    /// The ids came from a stream that cannot be read again.
    prints_open_ids: bool,
    display: Display,
    is_following: bool,
    /// The tasks of a list are created.
    creates_list: bool,
    /// More tasks may come.
    is_input_open: bool,
    status: ExitStatus,
    tasks: usize,
    succeeded: usize,
    failed: usize,
    /// Tasks that could not be followed to their end.
    errors: usize,
    created: usize,
    /// Tasks that are no longer followed after a ban or a refused token.
    stopped: Stopped,
    /// Tasks that did not end in time.
    timed_out: Option<TimedOut>,
    open: BTreeMap<u64, OpenTask>,
    error_texts: ErrorTexts,
}

/// A task without an end.
struct OpenTask {
    url: Option<String>,
    /// The last progress, if a poll has returned one.
    percent: Option<u8>,
}

/// Number of tasks that did not end in time, with name and error of the first.
struct TimedOut {
    count: usize,
    name: String,
    error: Error,
}

#[derive(Default)]
struct Stopped {
    not_polled: usize,
    unfinished: usize,
}

impl Report {
    pub(crate) fn new(common: &Common) -> Self {
        Self {
            is_json: common.json,
            is_quiet: common.quiet,
            form: Form::Tasks.within(common),
            only_ends: false,
            prints_open_ids: false,
            display: Display::new(Form::None),
            is_following: false,
            creates_list: false,
            is_input_open: false,
            status: ExitStatus::Succeeded,
            tasks: 0,
            succeeded: 0,
            failed: 0,
            errors: 0,
            created: 0,
            stopped: Stopped::default(),
            timed_out: None,
            open: BTreeMap::new(),
            error_texts: ErrorTexts::default(),
        }
    }

    pub(crate) fn exit_status(&self) -> ExitStatus {
        self.status
    }

    /// Raises the exit status to that of a failure which does not end the run.
    pub(crate) fn raise(&mut self, status: ExitStatus) {
        self.status = self.status.max(status);
    }

    /// Reports whether the service refuses all requests.
    pub(crate) fn is_refused(&self) -> bool {
        self.status == ExitStatus::Refused
    }

    /// Prints a failure that does not end the run.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        self.raise(ExitStatus::Usage);
        if let Some(text) = failure.text() {
            self.print_message(&text);
        }
    }

    /// Prints ends of tasks only, no changes before them.
    pub(crate) fn only_ends(&mut self) {
        self.only_ends = true;
    }

    /// Prints the ids of open tasks at the end, because the list cannot be read again.
    pub(crate) fn print_open_ids(&mut self) {
        self.prints_open_ids = true;
    }

    /// Sets whether more tasks may come, so that their number is unknown.
    pub(crate) fn set_input_open(&mut self, is_open: bool) {
        self.is_input_open = is_open;
        self.tick();
    }

    /// Adds a task, and keeps its URL for the output.
    pub(crate) fn add_task(&mut self, task: &Task) {
        self.tasks += 1;
        let open = OpenTask {
            url: task.url.clone(),
            percent: None,
        };
        self.open.insert(task.id, open);
        self.display
            .set_row(|| row(task.id, 0, "waiting", Color::White));
    }

    /// Shows the progress of a list of creations from here on.
    pub(crate) fn show_creation(&mut self, common: &Common) {
        self.creates_list = true;
        self.display = Display::new(Form::of_creation().within(common));
    }

    /// Shows the counts of a list of creations.
    pub(crate) fn tick_creation(&mut self, total: Option<usize>, failed: usize) {
        self.display.set_counts(Counts {
            total: total.map(|total| total as u64),
            only_creates: true,
            succeeded: self.created as u64,
            failed: failed as u64,
            ..Counts::default()
        });
    }

    /// Shows progress from here on, on standard error.
    pub(crate) fn follow(&mut self) {
        self.is_following = true;
        self.display.close();
        self.display = Display::new(self.form);
        for id in self.open.keys() {
            self.display
                .set_row(|| row(*id, 0, "waiting", Color::White));
        }
        self.tick();
    }

    /// Shows the counts.
    pub(crate) fn tick(&mut self) {
        let ended = self.succeeded + self.failed + self.errors + self.stopped.total();
        self.display.set_counts(Counts {
            total: (!self.is_input_open).then_some(self.tasks as u64),
            created: None,
            only_creates: false,
            succeeded: self.succeeded as u64,
            failed: (ended - self.succeeded) as u64,
            open: self.tasks.saturating_sub(ended) as u64,
        });
    }

    /// Prints an invalid line of a list.
    pub(crate) fn invalid_line(&mut self, line: &InvalidLine) {
        self.raise(ExitStatus::Usage);
        self.print_message(&line.message);
    }

    /// Prints an invalid line of a list of URLs.
    pub(crate) fn invalid_url(&mut self, line: &InvalidLine) -> io::Result<()> {
        if !self.is_json {
            self.invalid_line(line);
            return Ok(());
        }
        self.raise(ExitStatus::Usage);
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
        let name = self.name(task_id);
        let url = match progress.status.is_terminal() {
            true => self.open.remove(&task_id).and_then(|task| task.url),
            false => self.open.get_mut(&task_id).and_then(|task| {
                task.percent = Some(progress.percent);
                task.url.clone()
            }),
        };
        match progress.status {
            Status::Succeeded => self.succeeded += 1,
            Status::Failed => {
                self.failed += 1;
                self.raise(ExitStatus::TaskFailed);
            }
            _ => {}
        }
        self.display.set_row(|| {
            let text = progress.status.to_string();
            row(task_id, progress.percent, &text, color(progress.status))
        });
        if self.prints_lines() && (progress.status.is_terminal() || !self.only_ends) {
            if self.is_json {
                object(&progress_fields(task_id, progress, url.as_ref()))?;
            } else {
                let (status, percent) = (progress.status, progress.percent);
                line(format_args!("{task_id}\t{status}\t{percent} %"))?;
            }
        }
        if progress.status == Status::Failed && self.is_following && self.prints_failures() {
            self.print_message(&format!("{name}: failed"));
        }
        self.tick();
        Ok(())
    }

    /// Reports whether standard output gets a line for each change: not if its terminal has bars.
    fn prints_lines(&self) -> bool {
        !self.display.has_bars() || !io::stdout().is_terminal()
    }

    /// Reports whether failures are printed on standard error. JSON has them on standard output.
    fn prints_failures(&self) -> bool {
        !self.is_json || self.display.has_bars()
    }

    pub(crate) fn task_error(&mut self, task_id: u64, error: &Error) -> io::Result<()> {
        let status = ExitStatus::of(error);
        let is_repeated = status == ExitStatus::Refused && self.status == ExitStatus::Refused;
        self.raise(status);
        let name = self.name(task_id);
        let task = match status {
            // It is still open.
            ExitStatus::TimedOut => None,
            _ => self.open.remove(&task_id),
        };
        let percent = task.as_ref().and_then(|task| task.percent);
        if self.is_json {
            let url = match &task {
                Some(task) => task.url.as_ref(),
                None => self.open.get(&task_id).and_then(|task| task.url.as_ref()),
            };
            object(&task_error_fields(task_id, error, url))?;
        }
        match status {
            ExitStatus::TimedOut => match &mut self.timed_out {
                Some(timed_out) => timed_out.count += 1,
                None => {
                    self.timed_out = Some(TimedOut {
                        count: 1,
                        name,
                        error: error.clone(),
                    });
                }
            },
            _ if is_repeated => match percent {
                Some(_) => self.stopped.unfinished += 1,
                None => self.stopped.not_polled += 1,
            },
            _ => {
                self.errors += 1;
                self.display.set_row(|| {
                    let percent = percent.unwrap_or_default();
                    row(task_id, percent, "error", Color::Red)
                });
                if self.prints_failures() {
                    self.print_error(&name, error);
                }
            }
        }
        self.tick();
        Ok(())
    }

    /// Counts a task that is not polled, after a ban or a refused token.
    pub(crate) fn not_polled(&mut self) {
        self.tasks += 1;
        self.stopped.not_polled += 1;
    }

    /// Returns the task's id, and its URL if it is known.
    fn name(&self, task_id: u64) -> String {
        match self.open.get(&task_id).and_then(|task| task.url.as_ref()) {
            Some(url) => format!("{task_id} ({})", url.escape_debug()),
            None => task_id.to_string(),
        }
    }

    /// Prints a new task. Where standard output cannot be written, the id goes to standard error,
    /// because it can be had from nowhere else.
    pub(crate) fn created(&mut self, url: &str, task_id: u64) -> io::Result<()> {
        self.created += 1;
        let mut result = Ok(());
        self.display.suspend(|| {
            result = match self.is_json {
                true => object(&json!({"url": url, "task_id": task_id, "error": null})),
                false => line(format_args!("{task_id}\t{url}")),
            };
        });
        if result.is_err() {
            self.print_message(&format!("created task {task_id} for {url}"));
        }
        result
    }

    pub(crate) fn not_created(&mut self, url: &str, error: &Error) -> io::Result<()> {
        self.raise(ExitStatus::of(error));
        if self.is_json {
            return object(&json!({"url": url, "task_id": null, "error": error_fields(error)}));
        }
        // A list of URLs may come from an untrusted source, and must not control a terminal.
        self.print_error(&url.escape_debug().to_string(), error);
        Ok(())
    }

    fn print_error(&mut self, what: &str, error: &Error) {
        let text = self.error_texts.compose(what, error);
        self.print_message(&text);
    }

    /// Prints an error or a warning on standard error, above the bars if there are any.
    pub(crate) fn print_message(&self, text: &str) {
        self.display.print_message(text);
    }

    /// Prints why the next request is delayed, where no bar shows it.
    pub(crate) fn print_delay(&self, text: &str) {
        self.display.print_delay(text);
    }

    /// Prints any other message, unless `--quiet` is given.
    pub(crate) fn note(&self, text: &str) {
        if !self.is_quiet {
            self.print_message(text);
        }
    }

    /// Returns the counts so far.
    pub(crate) fn summary(&self) -> String {
        let mut parts = Vec::new();
        if self.created > 0 {
            parts.push(format!("{} created", self.created));
        }
        if self.tasks > 0 {
            parts.push(self.task_summary());
        }
        if parts.is_empty() {
            "no result yet".to_owned()
        } else {
            parts.join("; ")
        }
    }

    fn task_summary(&self) -> String {
        let Self {
            tasks,
            succeeded,
            failed,
            errors,
            stopped,
            ..
        } = self;
        let ended = succeeded + failed + errors;
        let open = tasks.saturating_sub(ended + stopped.total());
        let mut text = format!("{ended} of {tasks} finished");
        if self.is_following {
            text += &format!(" in {}", duration(self.display.elapsed()));
        }
        text += &format!(": {succeeded} succeeded");
        for (count, what) in [
            (*failed, "failed"),
            (*errors, "with an error"),
            (open, "still open"),
            (stopped.unfinished, "no longer followed"),
            (stopped.not_polled, "not polled"),
        ] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        text
    }

    /// Ends the bars; later output stands below them. Prints what was kept for the end.
    pub(crate) fn close(&mut self) {
        self.display.close();
        if let Some(timed_out) = self.timed_out.take()
            && !self.is_json
        {
            self.print_message(&timed_out.text());
        }
        if self.prints_open_ids && !self.open.is_empty() {
            let ids: Vec<_> = self.open.keys().map(u64::to_string).collect();
            self.print_message(&format!("still open: {}", ids.join(" ")));
            self.prints_open_ids = false;
        }
    }

    /// Prints the summary, unless the results of a few tasks are their own summary.
    pub(crate) fn sum_up(&self) {
        let is_run = self.is_following || self.creates_list;
        if is_run || self.tasks >= MIN_TASKS || self.is_refused() && self.tasks > 1 {
            self.note(&self.summary());
        }
    }

    /// Ends the run with a summary.
    pub(crate) fn finish(&mut self) -> ExitStatus {
        self.close();
        self.sum_up();
        self.status
    }
}

impl TimedOut {
    /// Returns one text for all of them.
    fn text(&self) -> String {
        let (count, name) = (self.count, &self.name);
        match &self.error {
            Error::WaitTimeout { elapsed, cause, .. } if count > 1 => {
                let time = duration(*elapsed);
                let mut text = format!(
                    "{count} tasks did not end within {time}; they continue at the service"
                );
                if let Some(cause) = cause {
                    text += &format!("; the last error of {name}: {}", describe(cause));
                }
                text
            }
            error => format!("{name}: {}", describe(error)),
        }
    }
}

impl Stopped {
    fn total(&self) -> usize {
        self.not_polled + self.unfinished
    }
}

fn row(task_id: u64, percent: u8, text: &str, color: Color) -> Row {
    Row {
        task_id,
        percent,
        text: text.to_owned(),
        color,
    }
}

fn color(status: Status) -> Color {
    match status {
        Status::InProgress => Color::Cyan,
        Status::Succeeded => Color::Green,
        Status::Failed => Color::Red,
        _ => Color::Yellow,
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

/// Returns the fields of a task that could not be followed to its end, with its last progress.
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
        "may_have_taken_effect": error.is_some_and(Error::may_have_taken_effect),
    })
}
