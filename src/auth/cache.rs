//! The file that keeps a token between runs and shares it between processes.
//!
//! A rename replaces it as a whole, so that a reader never sees half of a token. The lock has a file of its own, because
//! the rename replaces the file itself.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{error, fmt};

use serde::{Deserialize, Serialize};

use crate::credentials::AccessToken;
use crate::json::JsonObject;

/// Maximum length of a file that is read.
const MAX_FILE_LEN: u64 = 64 * 1024;

/// The age from which a temporary file counts as left by a killed process. A writer needs it for milliseconds.
const MIN_STALE_AGE: Duration = Duration::from_secs(60);

/// The interval between two attempts to lock.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Error of a token's cache file. The call continued without the cache.
#[derive(Debug, Clone)]
pub struct TokenCacheError {
    message: &'static str,
    path: PathBuf,
    source: Option<Arc<io::Error>>,
}

impl fmt::Display for TokenCacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the token cache {} {}",
            self.path.display(),
            self.message
        )
    }
}

impl error::Error for TokenCacheError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}

/// The cache file of one client id at one base URL. A token for others in it is ignored.
#[derive(Debug)]
pub(super) struct TokenCache {
    path: PathBuf,
    base_url: String,
    client_id: String,
}

/// The content of the file.
#[derive(Serialize, Deserialize)]
struct Entry {
    base_url: String,
    client_id: String,
    access_token: String,
}

impl TokenCache {
    pub(super) fn new(path: PathBuf, base_url: String, client_id: String) -> Self {
        Self {
            path,
            base_url,
            client_id,
        }
    }

    /// Reads the token. A missing file, a damaged one, and one of another client or service count as none.
    pub(super) fn read(&self) -> Result<Option<AccessToken>, TokenCacheError> {
        let failed = |error| self.error("cannot be read", Some(error));
        let mut text = Vec::new();
        match open_regular(&self.path, OpenOptions::new().read(true)) {
            Ok(file) => file
                .take(MAX_FILE_LEN + 1)
                .read_to_end(&mut text)
                .map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let entry = serde_json::from_slice(&text)
            .ok()
            .map(|JsonObject(entry): JsonObject<Entry>| entry);
        let own = entry.filter(|entry| {
            text.len() as u64 <= MAX_FILE_LEN
                && entry.base_url == self.base_url
                && entry.client_id == self.client_id
        });
        Ok(own.map(|entry| AccessToken::from(entry.access_token)))
    }

    /// Replaces the file. The caller holds the lock.
    pub(super) fn write(&self, token: &AccessToken) -> Result<(), TokenCacheError> {
        let entry = Entry {
            base_url: self.base_url.clone(),
            client_id: self.client_id.clone(),
            access_token: token.secret().to_owned(),
        };
        self.remove_stale_temporaries();
        let temporary = self.sibling(&temporary_extension());
        let written = serde_json::to_vec(&entry)
            .map_err(io::Error::from)
            .and_then(|text| {
                // A rename would also replace a device or a pipe. A link is replaced, not followed.
                match fs::symlink_metadata(&self.path) {
                    Ok(found) if !found.is_file() && !found.is_symlink() => return Err(irregular()),
                    _ => {}
                }
                let mut file =
                    private(OpenOptions::new().write(true).create_new(true)).open(&temporary)?;
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
            // A file that cannot be put in place is removed.
            let _ = fs::remove_file(&temporary);
            self.error("cannot be written", Some(error))
        })
    }

    /// Locks the cache against other processes, until the returned file is dropped.
    pub(super) fn lock(&self, timeout: Duration) -> Result<File, TokenCacheError> {
        let failed = |error| self.error("cannot be locked", Some(error));
        let path = self.sibling(".lock");
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
            return Err(failed(io::Error::new(
                io::ErrorKind::InvalidInput,
                "its lock file is a link",
            )));
        }
        let file = open_regular(&path, private(OpenOptions::new().write(true).create(true)))
            .map_err(failed)?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {
                    let remaining = timeout.saturating_sub(started.elapsed());
                    if remaining.is_zero() {
                        return Err(self.error("is locked by another process", None));
                    }
                    std::thread::sleep(remaining.min(LOCK_POLL_INTERVAL));
                }
            }
        }
    }

    /// Removes temporary files that killed processes have left. A failure is ignored: they do no harm.
    fn remove_stale_temporaries(&self) {
        let Some(name) = self.path.file_name().and_then(|name| name.to_str()) else {
            return;
        };
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let found = entry.file_name();
            let is_temporary = found.to_str().is_some_and(|found| {
                found
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".tmp"))
            });
            let age = entry
                .metadata()
                .and_then(|data| data.modified())
                .ok()
                .and_then(|time| time.elapsed().ok());
            if is_temporary && age.is_some_and(|age| age > MIN_STALE_AGE) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Returns the path with an extension appended.
    fn sibling(&self, extension: &str) -> PathBuf {
        let mut name: OsString = self.path.clone().into_os_string();
        name.push(extension);
        name.into()
    }

    fn error(&self, message: &'static str, source: Option<io::Error>) -> TokenCacheError {
        TokenCacheError {
            message,
            path: self.path.clone(),
            source: source.map(Arc::new),
        }
    }
}

/// Opens a regular file, or one that does not exist yet. To open a pipe could block for ever.
fn open_regular(path: &Path, options: &OpenOptions) -> io::Result<File> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(irregular()),
        _ => options.open(path),
    }
}

/// A name that no other process or thread uses, also where a cleaner has removed the lock file.
fn temporary_extension() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!(
        ".{}-{}.tmp",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

fn irregular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

/// Makes a new file readable and writable by its owner only. Windows has no file modes: there the folder decides.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// A step at which a test may kill the process.
#[cfg(not(test))]
fn reached(_step: &str) {}
#[cfg(test)]
use tests::reached;

#[cfg(test)]
mod tests;
