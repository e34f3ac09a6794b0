//! The file that keeps a token between runs and shares it between processes.
//!
//! A rename replaces it as a whole, so that a reader never sees half of a token. The lock has a file of its own, because
//! the rename replaces the file itself.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::BuildHasher;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{error, fmt};

use serde::{Deserialize, Serialize};

use crate::credentials::AccessToken;
use crate::json::JsonObject;

/// Maximum length of a file that is read.
const MAX_FILE_LEN: u64 = 64 * 1024;

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
    pub(super) path: PathBuf,
    pub(super) base_url: String,
    pub(super) client_id: String,
}

/// The content of the file.
#[derive(Serialize, Deserialize)]
struct Entry {
    base_url: String,
    client_id: String,
    access_token: String,
}

impl TokenCache {
    /// Reads the token. A missing file, a damaged one, and one of another client or service count as none.
    pub(super) fn read(&self) -> Result<Option<AccessToken>, TokenCacheError> {
        let failed = |error| self.error("cannot be read", Some(error));
        let file = match open_regular(&self.path, OpenOptions::new().read(true)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if !is_private(&file).map_err(failed)? {
            let message = "was not used: others can read or write it (its mode must be 0600)";
            return Err(self.error(message, None));
        }
        let mut text = Vec::new();
        file.take(MAX_FILE_LEN + 1)
            .read_to_end(&mut text)
            .map_err(failed)?;
        if text.len() as u64 > MAX_FILE_LEN {
            return Ok(None);
        }
        let Ok(JsonObject(entry)) = serde_json::from_slice::<JsonObject<Entry>>(&text) else {
            return Ok(None);
        };
        let is_own = entry.base_url == self.base_url && entry.client_id == self.client_id;
        Ok(is_own.then(|| AccessToken::from(entry.access_token)))
    }

    /// Replaces the file as a whole, by one of mode 0600.
    pub(super) fn write(&self, token: &AccessToken) -> Result<(), TokenCacheError> {
        let failed = |error| self.error("cannot be written", Some(error));
        let entry = Entry {
            base_url: self.base_url.clone(),
            client_id: self.client_id.clone(),
            access_token: token.secret().to_owned(),
        };
        let text = serde_json::to_vec(&entry).map_err(|error| failed(error.into()))?;
        // A rename would also replace a device or a pipe. A link is replaced, not followed.
        if fs::symlink_metadata(&self.path)
            .is_ok_and(|found| !found.is_file() && !found.is_symlink())
        {
            return Err(failed(irregular()));
        }
        // A name that no other writer uses, also in a container in which each process has the same id.
        let random = RandomState::new().hash_one(&self.path);
        let temporary = self.sibling(&format!(".{random:016x}.tmp"));
        let mut file = private(OpenOptions::new().write(true).create_new(true))
            .open(&temporary)
            .map_err(failed)?;
        let written = file
            .write_all(&text)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&temporary, &self.path));
        written.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            failed(error)
        })
    }

    /// Locks the cache against other processes until the returned file is dropped. Waits for another process as long as
    /// the caller has time, except for an eighth of it, which is left for the request.
    pub(super) fn lock(&self, deadline: Instant) -> Result<File, TokenCacheError> {
        let failed = |error| self.error("cannot be locked", Some(error));
        let path = self.sibling(".lock");
        if path.is_symlink() {
            let reason = "its lock file is a link";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, reason)));
        }
        let file = open_regular(&path, private(OpenOptions::new().write(true).create(true)))
            .map_err(failed)?;
        let remaining = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        let wait_until = Instant::now() + remaining(deadline) / 8 * 7;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if remaining(wait_until).is_zero() => {
                    return Err(self.error("is locked by another process", None));
                }
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(remaining(wait_until).min(LOCK_POLL_INTERVAL));
                }
            }
        }
    }

    /// Returns the path with an extension appended.
    fn sibling(&self, extension: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
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

fn irregular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

/// Makes a new file readable and writable by its owner only. Windows has no file modes: there the folder decides.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Returns whether only its owner can read or write a file.
#[cfg(unix)]
fn is_private(file: &File) -> io::Result<bool> {
    let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata()?);
    Ok(mode & 0o066 == 0)
}

#[cfg(not(unix))]
fn is_private(_: &File) -> io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
mod tests;
