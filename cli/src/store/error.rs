//! Errors of the state, with what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// The reason why a state cannot be used, with its file where that is not known yet to the user.
#[derive(Debug)]
pub(crate) struct StoreError {
    path: Option<PathBuf>,
    pub(super) cause: Cause,
}

#[derive(Debug)]
pub(super) enum Cause {
    /// The file belongs to another program.
    Foreign,
    /// A newer version of this program has written the file.
    Newer,
    Damaged,
    /// A kill has left a file without tables.
    Empty,
    /// The folder of a state to make does not exist.
    NoFolder,
    /// Another process migrates with it.
    Locked,
    Io(io::Error),
    Sqlite(rusqlite::Error),
}

impl From<Cause> for StoreError {
    fn from(cause: Cause) -> Self {
        Self { path: None, cause }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Cause::Io(error).into()
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let cause = match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Cause::Foreign,
            Some(ErrorCode::DatabaseCorrupt) => Cause::Damaged,
            _ => Cause::Sqlite(error),
        };
        cause.into()
    }
}

impl StoreError {
    pub(super) fn at(self, path: &Path) -> Self {
        let path = Some(path.to_owned());
        Self { path, ..self }
    }

    /// Reports whether the file or its folder cannot be written.
    pub(super) fn is_no_access(&self) -> bool {
        match &self.cause {
            Cause::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::ReadOnlyFilesystem
            ),
            Cause::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)
            ),
            _ => false,
        }
    }

    /// Names the folder where a file could not be made.
    pub(super) fn of_new(self) -> Self {
        match self.is_absent() {
            true => Cause::NoFolder.into(),
            false => self,
        }
    }

    /// Reports whether there is no state yet.
    pub(super) fn is_absent(&self) -> bool {
        match &self.cause {
            Cause::Io(error) => error.kind() == io::ErrorKind::NotFound,
            cause => matches!(cause, Cause::Empty),
        }
    }

    fn is_no_space(&self) -> bool {
        matches!(
            &self.cause,
            Cause::Sqlite(error) if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::SystemIoFailure | ErrorCode::DiskFull)
            )
        )
    }

    /// Reports whether the system failed, and not the choice of the file: a full disk, for example.
    pub(crate) fn is_of_system(&self) -> bool {
        matches!(self.cause, Cause::Io(_) | Cause::Sqlite(_))
            && !self.is_no_access()
            && !self.is_absent()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.path {
            Some(path) => format!("the state {}", path.display()),
            None => "the state".to_owned(),
        };
        let advice = match self.is_no_access() {
            true => "; it and its folder must be writable, or name another file with --state",
            false if self.is_no_space() => "; is the disk full, or the size of files limited?",
            false => "",
        };
        match &self.cause {
            Cause::Empty => write!(f, "{state} is empty; `migrate` fills it"),
            Cause::NoFolder => write!(f, "the folder of {state} does not exist"),
            _ if self.is_absent() => write!(
                f,
                "there is no {}; `migrate` makes it, and --state names another file",
                state.trim_start_matches("the ")
            ),
            Cause::Foreign => write!(
                f,
                "{state} is no state of this program; name another file with --state"
            ),
            Cause::Newer => write!(
                f,
                "{state} was written by a newer version of this program; update it"
            ),
            Cause::Damaged => write!(
                f,
                "{state} is damaged; put a copy in its place, or save what can be read with \
                 `.recover` of sqlite3. Without it, everything would be created again"
            ),
            Cause::Locked => write!(
                f,
                "another process migrates with {state}; wait for its end, or end it"
            ),
            Cause::Io(error) => write!(f, "{state}: {error}{advice}"),
            Cause::Sqlite(error) => write!(f, "{state}: {error}{advice}"),
        }
    }
}

impl std::error::Error for StoreError {}
