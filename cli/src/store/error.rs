//! Errors of the state, with what to do.

use std::fmt;
use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is no state yet.
    Absent,
    /// The file or its folder cannot be written.
    NoAccess,
    /// The system failed: a full disk, for example.
    System,
    /// The file is that of another program, in use or damaged.
    Unusable,
}

const ABSENT: &str = "there is no {state}; `migrate` makes it, and --state names another file";
pub(super) const FOREIGN: &str =
    "the {state} is no state of this program; name another file with --state";
const DAMAGED: &str = "the {state} is damaged; put a copy in its place, or save what can be read \
    with `.recover` of sqlite3. Without it, everything would be created again";
const NO_ACCESS: &str = "it and its folder must be writable, or name another file with --state";
const BUSY: &str = "another process uses it; try again later";
const NO_SPACE: &str = "is the disk full, or the size of files limited?";

/// The reason why a state cannot be used.
#[derive(Debug)]
pub(crate) struct StoreError {
    pub(super) kind: Kind,
    /// A sentence with `{state}` in the place of the file.
    text: String,
}

impl StoreError {
    pub(super) fn new(kind: Kind, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, text }
    }

    /// Names the file.
    pub(super) fn at(self, path: &Path) -> Self {
        let state = format!("state {}", path.display());
        Self::new(self.kind, self.text.replace("{state}", &state))
    }

    /// Reports whether the system failed, and not the choice of the file.
    pub(crate) fn is_of_system(&self) -> bool {
        self.kind == Kind::System
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{IsADirectory, NotADirectory, PermissionDenied, ReadOnlyFilesystem};

        let (kind, advice) = match error.kind() {
            io::ErrorKind::NotFound => return Self::new(Kind::Absent, ABSENT),
            PermissionDenied | IsADirectory | NotADirectory | ReadOnlyFilesystem => {
                (Kind::NoAccess, NO_ACCESS)
            }
            _ => (Kind::System, NO_SPACE),
        };
        Self::new(kind, format!("the {{state}}: {error}; {advice}"))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use ErrorCode::{CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked};
        use ErrorCode::{NotADatabase, PermissionDenied, ReadOnly};

        let (kind, advice) = match error.sqlite_error_code() {
            Some(NotADatabase) => return Self::new(Kind::Unusable, FOREIGN),
            // `None`: a value that this program does not write.
            Some(DatabaseCorrupt) | None => return Self::new(Kind::Unusable, DAMAGED),
            Some(CannotOpen | ReadOnly | PermissionDenied) => (Kind::NoAccess, NO_ACCESS),
            Some(DatabaseBusy | DatabaseLocked) => (Kind::System, BUSY),
            Some(_) => (Kind::System, NO_SPACE),
        };
        Self::new(kind, format!("the {{state}}: {error}; {advice}"))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text.replace("{state}", "state"))
    }
}
