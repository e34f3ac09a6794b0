//! Reading a journal: every line is checked.

use std::fs::{self, File};
use std::io::{BufReader, Seek};
use std::path::{Path, PathBuf};

use super::history::{Group, History};
use super::record::{self, Record};
use super::{JournalError, JournalErrorKind};
use crate::lines::LineReader;

/// The maximum length of a line, in bytes: a URL of 64 KiB, each byte escaped, and a reason.
const MAX_LINE_LEN: usize = 1024 * 1024;
const BUFFER_LEN: usize = 256 * 1024;

/// The contents of a journal, checked.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) history: History,
    /// The number of lines, the header included.
    pub(super) lines: u32,
    /// The number of bytes of complete lines. What follows is an incomplete line.
    pub(super) len: u64,
}

/// A journal that is open for reading. It is not locked: another process may be writing to it.
#[derive(Debug)]
pub(crate) struct JournalReader {
    path: PathBuf,
    file: File,
    history: History,
}

impl JournalReader {
    /// Opens a journal and checks every line.
    pub(crate) fn open(path: &Path) -> Result<Self, JournalError> {
        let open = || {
            check_is_file(path)?;
            let file = File::open(path).map_err(JournalErrorKind::Read)?;
            let recovery = recover(&file)?;
            if recovery.lines == 0 {
                return Err(JournalErrorKind::NotAJournal);
            }
            Ok(Self {
                path: path.to_owned(),
                file,
                history: recovery.history,
            })
        };
        open().map_err(|error: JournalErrorKind| error.at(path))
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn into_history(self) -> History {
        self.history
    }

    pub(crate) fn history_mut(&mut self) -> &mut History {
        &mut self.history
    }

    /// Reads the last record of each line in the groups that are wanted, in the journal's order.
    pub(crate) fn for_each_last_record<E: From<JournalError>>(
        &self,
        wanted: impl Fn(Group) -> bool,
        mut f: impl FnMut(&Record<'_>, Group) -> Result<(), E>,
    ) -> Result<(), E> {
        let read_error = |error| JournalErrorKind::Read(error).at(&self.path);
        let mut file = &self.file;
        file.rewind().map_err(read_error)?;
        let mut reader = LineReader::new(BufReader::with_capacity(BUFFER_LEN, file), MAX_LINE_LEN);
        for (number, group) in self.history.last_records(wanted) {
            while reader.number() + 1 < number {
                reader.next_line().map_err(read_error)?;
            }
            let Some(line) = reader.next_line().map_err(read_error)? else {
                break;
            };
            let record = Record::parse(line.bytes).map_err(|error| {
                let reason = error.reason;
                JournalErrorKind::Damaged {
                    line: number,
                    reason,
                }
                .at(&self.path)
            })?;
            f(&record, group)?;
        }
        Ok(())
    }
}

/// Refuses pipes and devices, on which opening or reading would not end.
pub(super) fn check_is_file(path: &Path) -> Result<(), JournalErrorKind> {
    match fs::metadata(path)
        .map_err(JournalErrorKind::Read)?
        .is_file()
    {
        true => Ok(()),
        false => Err(JournalErrorKind::NotAFile),
    }
}

/// Reads a journal from its start and checks every line. A file that is empty, or that holds only
/// the start of a header, has no lines.
pub(super) fn recover(mut file: &File) -> Result<Recovery, JournalErrorKind> {
    file.rewind().map_err(JournalErrorKind::Read)?;
    let mut recovery = Recovery {
        history: History::default(),
        lines: 0,
        len: 0,
    };
    // The last line may be incomplete: its error counts only if another line follows.
    let mut last_error = None;
    let mut reader = LineReader::new(BufReader::with_capacity(BUFFER_LEN, file), MAX_LINE_LEN);
    while let Some(line) = reader.next_line().map_err(JournalErrorKind::Read)? {
        if let Some(error) = last_error {
            return Err(error);
        }
        let damaged = |reason| JournalErrorKind::Damaged {
            line: line.number,
            reason,
        };
        if line.number == 1 {
            if !line.is_complete && record::is_start_of_header(line.bytes) {
                return Ok(recovery);
            }
            record::check_header(line.bytes)?;
        }
        if !line.is_complete {
            return Ok(recovery);
        }
        if line.is_too_long {
            return Err(damaged("longer than 1 MiB".to_owned()));
        }
        if line.number > 1 {
            match Record::parse(line.bytes) {
                Ok(record) => recovery
                    .history
                    .apply(&record, line.number, recovery.len)
                    .map_err(damaged)?,
                Err(error) if error.is_syntax => {
                    last_error = Some(damaged(error.reason));
                    continue;
                }
                Err(error) => return Err(damaged(error.reason)),
            }
        }
        recovery.lines = line.number;
        recovery.len = line.end;
    }
    Ok(recovery)
}
