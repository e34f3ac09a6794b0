//! Errors of the state file, with what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// The reason why a state file cannot be used.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// The file belongs to another program.
    Foreign,
    /// A newer version of this program has written the file.
    Newer,
    Damaged,
    /// Another process migrates with it.
    Locked,
    Io(io::Error),
    Sqlite(rusqlite::Error),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Foreign,
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged,
            _ => Self::Sqlite(error),
        }
    }
}

/// Reports whether SQLite has failed because the file or its folder cannot be written.
pub(super) fn is_no_access(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)
    )
}

/// An error of a state file with its path.
#[derive(Debug)]
pub(crate) struct StateError {
    path: PathBuf,
    error: StoreError,
}

impl StateError {
    pub(crate) fn new(path: &Path, error: StoreError) -> Self {
        let path = path.to_owned();
        Self { path, error }
    }

    /// Reports whether the system failed, and not the choice of the file: a full disk, for example.
    pub(crate) fn is_of_system(&self) -> bool {
        match &self.error {
            StoreError::Io(error) => !is_wrong_path(error.kind()),
            StoreError::Sqlite(error) => !is_no_access(error),
            _ => false,
        }
    }
}

fn is_wrong_path(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as Kind;

    matches!(
        kind,
        Kind::NotFound | Kind::PermissionDenied | Kind::NotADirectory | Kind::ReadOnlyFilesystem
    )
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.error {
            StoreError::Foreign => write!(
                f,
                "{path} is no state of this program; name another file with --state"
            ),
            StoreError::Newer => write!(
                f,
                "the state {path} was written by a newer version of this program; update it"
            ),
            StoreError::Damaged => write!(
                f,
                "the state {path} is damaged; put a copy in its place, or save what can be read \
                 with `sqlite3 {path} .recover`. Without it, everything would be created again"
            ),
            StoreError::Locked => write!(
                f,
                "another process migrates with the state {path}; wait for its end, or end it"
            ),
            StoreError::Io(error) if error.kind() == io::ErrorKind::NotFound => write!(
                f,
                "there is no state {path}; `migrate` makes one, and --state names another"
            ),
            StoreError::Io(error) if is_wrong_path(error.kind()) => write!(
                f,
                "the state {path}: {error}; its folder must be writable, or name another file \
                 with --state"
            ),
            StoreError::Sqlite(error) if is_no_access(error) => write!(
                f,
                "the state {path}: {error}; it and its folder must be writable, or name another \
                 file with --state"
            ),
            StoreError::Io(error) => write!(f, "the state {path}: {error}"),
            StoreError::Sqlite(error) => write!(f, "the state {path}: {error}"),
        }
    }
}

impl std::error::Error for StateError {}
