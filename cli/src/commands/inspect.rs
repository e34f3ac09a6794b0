//! `status` and `report`: a journal's contents. Both work offline, also during a migration.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use crate::args::{ReportArgs, StatusArgs};
use crate::failure::{ExitStatus, Failure, usage};
use crate::input::{self, Entry, Item};
use crate::journal::{Group, JournalReader, Record, Step};
use crate::json;

/// Prints the number of lines in each group.
pub(super) fn status(args: &StatusArgs, as_json: bool) -> Result<ExitStatus, Failure> {
    let mut journal = JournalReader::open(&args.journal)?;
    if let Some(list) = &args.list {
        mark_all_seen(&mut journal, list)?;
    }
    let counts = journal.history().counts();
    let mut out = io::stdout().lock();
    if as_json {
        out.write_all(json::to_line(&counts).as_bytes())?;
    } else {
        for (name, count) in counts.rows() {
            writeln!(out, "{name}\t{count}")?;
        }
    }
    out.flush()?;
    Ok(ExitStatus::Succeeded)
}

/// Marks every line of the list as seen, so that those without a record are counted, too.
fn mark_all_seen(journal: &mut JournalReader, list: &Path) -> Result<(), Failure> {
    let name = list.display().to_string();
    let file = File::open(list).map_err(|error| usage(format!("the list {name}: {error}")))?;
    for entry in input::urls_of(Box::new(BufReader::new(file)), &name) {
        match entry? {
            Entry::Valid(item) => {
                journal
                    .history_mut()
                    .mark_seen(item.url(), item.file_name());
            }
            Entry::Invalid(line) => {
                journal.history_mut().mark_invalid_seen(&line.text);
            }
        }
    }
    Ok(())
}

/// One line of `report --json`.
#[derive(Serialize)]
struct Object<'a> {
    url: &'a str,
    file_name: Option<&'a str>,
    task_id: Option<u64>,
    state: &'a str,
    reason: Option<&'a str>,
    at: &'a str,
}

/// Prints the last record of each line of the list.
pub(super) fn report(args: &ReportArgs, as_json: bool) -> Result<ExitStatus, Failure> {
    let journal = JournalReader::open(&args.journal)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let is_wanted = |group| match group {
        // An invalid line is no input for another command.
        Group::Invalid if args.urls => false,
        Group::Failed if args.failed => true,
        Group::Unknown if args.unknown => true,
        Group::Open if args.open => true,
        _ => !(args.failed || args.unknown || args.open),
    };
    journal.for_each_last_record(is_wanted, |record, group| {
        let text = if args.urls {
            url_line(record)
        } else {
            line(record, group, as_json)
        };
        out.write_all(text.as_bytes()).map_err(Failure::from)
    })?;
    out.flush()?;
    Ok(ExitStatus::Succeeded)
}

/// Returns a line that `create` and `migrate` read.
fn url_line(record: &Record<'_>) -> String {
    let item = Item::new(&record.url, record.file_name.as_deref());
    match item.file_name() {
        Some(name) => format!("{}\t{}\n", printable(item.url()), printable(name)),
        None => format!("{}\n", printable(item.url())),
    }
}

/// Returns a line that `wait` reads: the task id first, `-` if there is none.
fn line(record: &Record<'_>, group: Group, as_json: bool) -> String {
    let (task_id, reason) = match &record.step {
        Step::Creating => (None, None),
        Step::Created { task_id } | Step::Ended { task_id, .. } => (Some(*task_id), None),
        Step::NotCreated { reason, .. } => (None, Some(&**reason)),
        Step::GivenUp { task_id, reason } => (Some(*task_id), Some(&**reason)),
    };
    if as_json {
        return json::to_line(&Object {
            url: &record.url,
            file_name: record.file_name.as_deref(),
            task_id,
            state: group.name(),
            reason,
            at: &record.at,
        });
    }
    let id = task_id.map_or("-".to_owned(), |id| id.to_string());
    let reason = reason.map_or(String::new(), |reason| format!("\t{}", printable(reason)));
    format!(
        "{id}\t{}\t{}{reason}\n",
        printable(&record.url),
        group.name()
    )
}

/// Escapes a text with control characters, which could control a terminal.
fn printable(text: &str) -> String {
    match text.contains(char::is_control) {
        true => text.escape_debug().to_string(),
        false => text.to_owned(),
    }
}
