//! The journal of a migration: a file that records what has been done, so that an interrupted
//! migration goes on where it was, and creates no task twice.
//!
//! # Format, version 1
//!
//! The journal is a text file in UTF-8, readable by its owner only. Each line is one JSON object
//! and ends with `\n`. Lines are only ever added at the end. `jq` and `grep` can read the file at
//! any time, also while a migration is writing to it.
//!
//! The first line is the header:
//!
//! ```json
//! {"journal":"pan123-offline","version":1,"at":"2026-02-16T10:00:00.000Z"}
//! ```
//!
//! Each other line is a record of one step for one line of the list. Every record has these fields:
//!
//! | field | value |
//! |---|---|
//! | `at` | the time, in UTC, as RFC 3339 has it |
//! | `step` | `creating`, `created`, `not_created`, `ended` or `given_up` |
//! | `url` | the URL as it stands in the list; of an invalid line, the whole line |
//! | `file_name` | the file name beside the URL; absent if there is none |
//!
//! `url` and `file_name` together identify the line of the list. The step decides the other fields:
//!
//! | step | meaning | further fields |
//! |---|---|---|
//! | `creating` | the request that creates the task is sent next | |
//! | `created` | the task exists | `task_id` |
//! | `not_created` | the task was not created, or the result is unknown | `outcome`, `reason` |
//! | `ended` | the task has ended | `task_id`, `outcome` |
//! | `given_up` | the task was not followed to its end | `task_id`, `reason` |
//!
//! | `outcome` of `not_created` | meaning | at the next start |
//! |---|---|---|
//! | `may_exist` | the request may have reached the service | unknown |
//! | `not_sent` | no task exists, and a retry may succeed (429, ban, token, connection) | new |
//! | `refused` | no task exists: the service has refused the URL | failed |
//! | `invalid` | the line is invalid, nothing was sent | invalid |
//!
//! The `outcome` of `ended` is `succeeded` or `failed`. Task ids are integers of up to 64 bits.
//! `reason` is a text for people, and may change between versions. Other fields do not occur.
//!
//! # Guarantees for readers
//!
//! - A `creating` record is on disk (`fdatasync`) before its request is sent. Other records are on
//!   disk after one second at the latest, and before the command ends by itself.
//! - A URL whose last record is `creating` is unknown: the process ended before it recorded the
//!   result.
//! - A task is followed again at the next start until it has an `ended` record.
//! - The last line may be incomplete after a kill or on a full disk. It is ignored, and cut off at
//!   the next start. Damage in any other place is an error.
//! - The version changes when a record gets another meaning or another field.

mod history;
mod read;
mod record;
mod write;

use std::path::{Path, PathBuf};
use std::{fmt, io};

pub(crate) use history::{Counts, Group, History, Recreate, State};
pub(crate) use read::JournalReader;
pub(crate) use record::{Ended, NotCreated, Record, Step};
pub(crate) use write::Journal;

/// The version of the format that this program reads and writes.
const VERSION: u64 = 1;

/// An error of a journal, with the file's name.
#[derive(Debug)]
pub(crate) struct JournalError {
    path: PathBuf,
    kind: JournalErrorKind,
}

#[derive(Debug)]
enum JournalErrorKind {
    /// Another process writes to the journal.
    InUse,
    NotAFile,
    NotAJournal,
    Version(u64),
    Damaged {
        line: u32,
        reason: String,
    },
    Read(io::Error),
    Write(io::Error),
}

impl JournalErrorKind {
    fn at(self, path: &Path) -> JournalError {
        JournalError {
            path: path.to_owned(),
            kind: self,
        }
    }
}

impl JournalError {
    /// Reports whether writing has failed.
    pub(crate) fn is_write(&self) -> bool {
        matches!(self.kind, JournalErrorKind::Write(_))
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            JournalErrorKind::InUse => write!(f, "another process is using the journal {path}"),
            JournalErrorKind::NotAFile => write!(f, "the journal {path} is not a regular file"),
            JournalErrorKind::NotAJournal => {
                write!(f, "{path} is not a journal of pan123-offline")
            }
            JournalErrorKind::Version(version) => write!(
                f,
                "the journal {path} has format version {version}; this program reads version {VERSION}"
            ),
            JournalErrorKind::Damaged { line, reason } => {
                write!(f, "the journal {path} is damaged: line {line}: {reason}")
            }
            JournalErrorKind::Read(error) => write!(f, "the journal {path}: {error}"),
            JournalErrorKind::Write(error) => {
                write!(f, "the journal {path} cannot be written: {error}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
