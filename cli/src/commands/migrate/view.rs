//! The output of a migration: JSON lines on standard output if requested, everything else on
//! standard error.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pan123_offline::{Error, Status, Update};
use serde_json::{Value, json};

use crate::args::Common;
use crate::commands::engine::{self, Progress, View, ends_all};
use crate::display::{Display, Form};
use crate::failure::{ErrorTexts, ExitStatus};
use crate::input::{InvalidLine, Item};
use crate::journal::{Counts, NotCreated};
use crate::overview::{self, duration};
use crate::report::{error_fields, error_object, object, status_name};

pub(super) struct MigrateView {
    as_json: bool,
    /// Number of lines of the list, if it is known.
    total: Option<usize>,
    journal: PathBuf,
    status: ExitStatus,
    /// Number of open tasks that are no longer followed, after an error that ends all.
    not_followed: usize,
    error_texts: ErrorTexts,
    is_quiet: bool,
    display: Display,
}

impl MigrateView {
    pub(super) fn new(common: &Common, total: Option<usize>, journal: &Path) -> Self {
        Self {
            as_json: common.json,
            total,
            journal: journal.to_owned(),
            status: ExitStatus::Succeeded,
            not_followed: 0,
            error_texts: ErrorTexts::default(),
            is_quiet: common.quiet,
            display: Display::new(Form::Run.within(common)),
        }
    }

    /// Returns the exit status of the run, whose journal has these counts.
    pub(super) fn exit_status(&self, counts: &Counts) -> ExitStatus {
        let of_counts = match counts {
            Counts { invalid: 1.., .. } => ExitStatus::Usage,
            Counts { failed: 1.., .. } | Counts { unknown: 1.., .. } => ExitStatus::TaskFailed,
            _ => ExitStatus::Succeeded,
        };
        self.status.max(of_counts)
    }

    fn worsen(&mut self, error: &Error) {
        self.status = self.status.max(ExitStatus::of(error));
    }

    fn print_error(&mut self, what: &str, error: &Error) {
        let text = self.error_texts.compose(what, error);
        self.print_message(&text);
    }

    /// Prints an event if JSON lines were requested. The fields are composed only then.
    fn event(
        &self,
        event: &str,
        item: Option<&Item>,
        fields: impl FnOnce() -> Value,
    ) -> io::Result<()> {
        if !self.as_json {
            return Ok(());
        }
        let mut value = json!({
            "event": event,
            "url": item.map(Item::url),
            "file_name": item.and_then(Item::file_name),
            "task_id": null,
            "error": null,
        });
        if let (Value::Object(value), Value::Object(fields)) = (&mut value, fields()) {
            value.extend(fields);
        }
        object(&value)
    }

    /// Returns the counts with the time, for a line of progress and for the summary.
    fn text(&self, progress: &Progress) -> String {
        let counts = &progress.counts;
        let finished = finished(counts);
        let total = self.total(progress);
        let mut text = match total {
            Some(total) => format!("{finished} of {total} finished"),
            None => format!("{finished} finished"),
        };
        text += &format!(" in {}", duration(self.display.elapsed()));
        let parts = [
            (counts.failed, "failed"),
            (counts.unknown, "unknown"),
            (counts.invalid, "invalid"),
            (counts.open, "open"),
            (counts.new, "not created"),
            (progress.duplicates, "duplicate"),
        ];
        for (count, name) in parts {
            if count > 0 {
                text += &format!(", {count} {name}");
            }
        }
        text
    }

    /// Returns the number of distinct lines of the list and the journal.
    fn total(&self, progress: &Progress) -> Option<usize> {
        let lines = self.total?.saturating_sub(progress.duplicates);
        Some(lines.max(progress.counts.total()))
    }
}

/// Returns the number of lines for which nothing remains to be done.
fn finished(counts: &Counts) -> usize {
    counts.succeeded + counts.failed + counts.unknown + counts.invalid
}

impl View for MigrateView {
    fn invalid(&mut self, line: &InvalidLine) -> io::Result<()> {
        self.status = self.status.max(ExitStatus::Usage);
        self.print_message(&line.message);
        self.event("invalid", None, || {
            let error = error_object("config", &line.message, None);
            json!({"url": line.text, "error": error})
        })
    }

    fn created(&mut self, item: &Item, task_id: u64) -> io::Result<()> {
        let result = self.event("created", Some(item), || json!({"task_id": task_id}));
        if result.is_err() {
            self.print_message(&format!(
                "created task {task_id} for {}",
                item.url().escape_debug()
            ));
        }
        result
    }

    fn delayed(&mut self, item: &Item, error: &Error, delay: Duration) -> io::Result<()> {
        self.display
            .print_delay(&engine::delay_text(item, error, delay));
        self.event(
            "delayed",
            Some(item),
            || json!({"delay": delay.as_secs_f64(), "error": error_fields(error)}),
        )
    }

    fn not_created(&mut self, item: &Item, outcome: NotCreated, error: &Error) -> io::Result<()> {
        let (name, what) = match outcome {
            NotCreated::MayExist => ("unknown", "a task may exist"),
            NotCreated::NotSent => ("not_sent", "not created"),
            NotCreated::Refused => ("refused", "refused"),
            NotCreated::Invalid => ("invalid", "invalid"),
        };
        match outcome {
            // The exit status follows from the counts.
            NotCreated::MayExist | NotCreated::Refused | NotCreated::Invalid => {}
            // The migration timed out, and the next run creates the task.
            NotCreated::NotSent if error.is_timeout() => {
                self.status = self.status.max(ExitStatus::TimedOut);
            }
            NotCreated::NotSent => self.worsen(error),
        }
        self.print_error(&format!("{}: {what}", item.url().escape_debug()), error);
        self.event(
            "not_created",
            Some(item),
            || json!({"outcome": name, "error": error_fields(error)}),
        )
    }

    fn shows_progress(&self) -> bool {
        self.as_json
    }

    fn update(&mut self, items: &[Item], update: &Update) -> io::Result<()> {
        for item in items {
            let what = || format!("{} (task {})", item.url().escape_debug(), update.task_id);
            match &update.result {
                Ok(progress) if progress.status == Status::Failed => {
                    self.print_message(&format!("{}: failed", what()));
                }
                Err(error) => {
                    self.worsen(error);
                    if !ends_all(error) {
                        self.print_error(&what(), error);
                    } else {
                        // Printed once, not for each task.
                        if self.not_followed == 0 {
                            self.print_error("no task is followed any longer", error);
                        }
                        self.not_followed += 1;
                    }
                }
                Ok(_) => {}
            }
            self.event("progress", Some(item), || update_fields(update))?;
        }
        Ok(())
    }

    fn tick(&mut self, progress: &Progress) {
        let counts = &progress.counts;
        let number = |count: usize| count as u64;
        self.display.set_counts(overview::Counts {
            total: self.total(progress).map(number),
            created: Some(number(progress.created)),
            only_creates: false,
            succeeded: number(counts.succeeded),
            failed: number(finished(counts) - counts.succeeded),
            open: number(counts.open),
        });
    }

    fn print_message(&mut self, text: &str) {
        self.display.print_message(text);
    }

    fn close(&mut self, progress: &Progress, is_interrupted: bool) {
        // Without a known length of the list, the total is the number of lines that were read.
        self.total.get_or_insert_default();
        let text = self.text(progress);
        self.display.close();
        let journal = self.journal.display().to_string();
        match is_interrupted {
            true => self.print_message(&format!(
                "interrupted: {text}; the same command goes on from here"
            )),
            false if self.is_quiet => {}
            false => self.print_message(&text),
        }
        let counts = &progress.counts;
        if counts.unknown > 0 {
            self.print_message(&format!(
                "it is unknown whether a task exists for {} of the URLs: see `pan123-offline report {journal} --unknown`",
                counts.unknown
            ));
        }
    }
}

/// Returns the fields of a task's progress, or of its end by an error.
fn update_fields(update: &Update) -> Value {
    match &update.result {
        Ok(progress) => json!({
            "task_id": update.task_id,
            "status": status_name(progress.status),
            "status_code": progress.status.as_i64(),
            "percent": progress.percent,
            "end": progress.status.is_terminal(),
        }),
        Err(error) => json!({"task_id": update.task_id, "end": true, "error": error_fields(error)}),
    }
}
