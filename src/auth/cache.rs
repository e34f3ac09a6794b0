//! The file that keeps a token between runs and shares it between processes.
//!
//! It is replaced whole by a rename, so that whoever reads it finds one token or another and never half of one. The
//! lock has a file of its own, because the rename changes the file itself.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{error, fmt};

use serde::{Deserialize, Serialize};

use super::AccessToken;
use crate::envelope::Object;

/// More than that is no cache.
const LONGEST_FILE: u64 = 64 * 1024;

/// How often a lock that is held is tried again.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// Why a token's cache file could not be used. The call it happened in went on without it.
#[derive(Debug, Clone)]
pub struct TokenCacheError {
    what: &'static str,
    path: PathBuf,
    source: Option<Arc<io::Error>>,
}

impl fmt::Display for TokenCacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the token cache {} {}", self.path.display(), self.what)
    }
}

impl error::Error for TokenCacheError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}

pub(super) struct Cache {
    path: PathBuf,
    /// Whose token it is: one for another service or client is none.
    base_url: String,
    client_id: String,
}

/// What stands in the file.
#[derive(Serialize, Deserialize)]
struct Entry {
    base_url: String,
    client_id: String,
    access_token: String,
}

impl Cache {
    pub(super) fn new(path: PathBuf, base_url: String, client_id: String) -> Self {
        Self { path, base_url, client_id }
    }

    /// The token in the file. A missing, damaged or foreign one counts as none.
    pub(super) fn read(&self) -> Result<Option<AccessToken>, TokenCacheError> {
        let failed = |error| self.error("cannot be read", Some(error));
        let mut text = Vec::new();
        match open_regular(&self.path, OpenOptions::new().read(true)) {
            Ok(file) => file.take(LONGEST_FILE + 1).read_to_end(&mut text).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let entry = serde_json::from_slice(&text).ok().map(|Object(entry): Object<Entry>| entry);
        let own = entry.filter(|entry| {
            text.len() as u64 <= LONGEST_FILE && entry.base_url == self.base_url && entry.client_id == self.client_id
        });
        Ok(own.map(|entry| AccessToken::from(entry.access_token)))
    }

    /// Puts a token in the file's place. Only for who holds the lock.
    pub(super) fn write(&self, token: &AccessToken) -> Result<(), TokenCacheError> {
        let entry = Entry {
            base_url: self.base_url.clone(),
            client_id: self.client_id.clone(),
            access_token: token.secret().to_owned(),
        };
        let temporary = self.beside(".tmp");
        let written = serde_json::to_vec(&entry).map_err(io::Error::from).and_then(|text| {
            // A rename would replace a device or a pipe, too. A link is replaced, not followed.
            match fs::symlink_metadata(&self.path) {
                Ok(found) if !found.is_file() && !found.is_symlink() => return Err(irregular()),
                _ => {}
            }
            // One may be left of a process that was killed. A link is removed, not followed.
            match fs::remove_file(&temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => reached("removed"),
            }
            let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&temporary)?;
            reached("created");
            file.write_all(&text)?;
            reached("written");
            file.sync_all()?;
            reached("synced");
            fs::rename(&temporary, &self.path)?;
            reached("renamed");
            Ok(())
        });
        written.map_err(|error| {
            // What cannot be put in place is not left lying about.
            let _ = fs::remove_file(&temporary);
            self.error("cannot be written", Some(error))
        })
    }

    /// Waits until no other process is about to change the file. The lock ends with the value returned.
    pub(super) fn lock(&self, patience: Duration) -> Result<File, TokenCacheError> {
        let failed = |error| self.error("cannot be locked", Some(error));
        let path = self.beside(".lock");
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "its lock file is a link")));
        }
        let file = open_regular(&path, private(OpenOptions::new().write(true).create(true))).map_err(failed)?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {
                    let left = patience.saturating_sub(started.elapsed());
                    if left.is_zero() {
                        return Err(self.error("is locked by another process that does not let go", None));
                    }
                    std::thread::sleep(left.min(BETWEEN_TRIES));
                }
            }
        }
    }

    /// A file of the same name with something behind it, in the same folder.
    fn beside(&self, ending: &str) -> PathBuf {
        let mut name: OsString = self.path.clone().into_os_string();
        name.push(ending);
        name.into()
    }

    fn error(&self, what: &'static str, source: Option<io::Error>) -> TokenCacheError {
        TokenCacheError { what, path: self.path.clone(), source: source.map(Arc::new) }
    }
}

/// Opens a file that is one, or is not there yet: to open a pipe may take for ever.
fn open_regular(path: &Path, options: &OpenOptions) -> io::Result<File> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(irregular()),
        _ => options.open(path),
    }
}

fn irregular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

/// For its owner only, from its first byte on.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Where a test may stop a process.
#[cfg(not(test))]
fn reached(_step: &str) {}
#[cfg(test)]
use tests::reached;

#[cfg(test)]
mod tests;
