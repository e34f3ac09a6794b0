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
use std::{error, fmt, thread};

use serde::Deserialize;
use serde_json::json;

use crate::credentials::AccessToken;
use crate::json::JsonObject;

const MAX_FILE_LEN: u64 = 64 * 1024;

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
        let path = self.path.display();
        write!(f, "the token cache {path} {}", self.message)
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

#[derive(Deserialize)]
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
        // The start of a longer file may be a whole entry.
        let read = file.take(MAX_FILE_LEN + 1).read_to_end(&mut text);
        if read.map_err(failed)? as u64 > MAX_FILE_LEN {
            return Ok(None);
        }
        let Ok(JsonObject(entry)) = serde_json::from_slice::<JsonObject<Entry>>(&text) else {
            return Ok(None);
        };
        let is_own = entry.base_url == self.base_url && entry.client_id == self.client_id;
        Ok(is_own.then(|| AccessToken::from(entry.access_token)))
    }

    /// Replaces the file as a whole, by one of mode 0600. A link is replaced, not followed.
    pub(super) fn write(&self, token: &AccessToken) -> Result<(), TokenCacheError> {
        let failed = |error| self.error("cannot be written", Some(error));
        // The rename would also replace a device or a pipe. A link is replaced, not followed.
        if !self.path.is_symlink() {
            reject_irregular(&self.path).map_err(failed)?;
        }
        let entry = json!({
            "base_url": self.base_url,
            "client_id": self.client_id,
            "access_token": token.secret(),
        });
        // A name that no other writer uses, also in a container in which each process has the same id.
        let random = RandomState::new().hash_one(&self.path);
        let temporary = self.sibling(&format!(".{random:016x}.tmp"));
        let options = &mut OpenOptions::new();
        let mut file =
            open_regular(&temporary, options.write(true).create_new(true)).map_err(failed)?;
        let written = file
            .write_all(entry.to_string().as_bytes())
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
            return Err(failed(invalid("its lock file is a link")));
        }
        let file =
            open_regular(&path, OpenOptions::new().write(true).create(true)).map_err(failed)?;
        let begin = Instant::now();
        let wait_until = begin + deadline.saturating_duration_since(begin) / 8 * 7;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= wait_until => {
                    return Err(self.error("is locked by another process", None));
                }
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_POLL_INTERVAL),
            }
        }
    }

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

/// Opens a regular file, or creates one that only its owner can read and write. Windows has no file modes: there the
/// folder decides.
fn open_regular(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // To open a pipe could block for ever.
    reject_irregular(path)?;
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}

fn reject_irregular(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(invalid("it is not a regular file")),
        _ => Ok(()),
    }
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

/// Returns whether only its owner can read or write a file.
fn is_private(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    #[cfg(unix)]
    let others = std::os::unix::fs::MetadataExt::mode(&metadata) & 0o066;
    #[cfg(not(unix))]
    let (others, _) = (0, metadata);
    Ok(others == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache in a new folder, which is removed at its end.
    struct Folder(PathBuf, TokenCache);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("pan123-offline-{}-{name}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir(&folder).unwrap();
            let cache = TokenCache {
                path: folder.join("token"),
                base_url: "https://service".into(),
                client_id: "id".into(),
            };
            Self(folder, cache)
        }

        fn names(&self) -> Vec<std::ffi::OsString> {
            let entries = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// A temporary file that a killed process has left stays, too.
    #[test]
    fn reads_the_written_token_and_removes_no_other_file() {
        let folder = Folder::new("round-trip");
        let cache = &folder.1;
        let other = "token.0123456789abcdef.tmp";
        File::create(folder.0.join(other)).unwrap();
        assert!(cache.read().unwrap().is_none());
        for token in ["old", "new"].map(AccessToken::from) {
            cache.write(&token).unwrap();
            assert_eq!(cache.read().unwrap(), Some(token));
        }
        assert_eq!(folder.names(), ["token", other]);
    }

    /// An eighth of the caller's time is left for the request.
    #[test]
    fn waits_for_a_lock_for_seven_eighths_of_the_time() {
        let Folder(_, cache) = &Folder::new("locked");
        let _lock = cache.lock(Instant::now()).unwrap();
        let started = Instant::now();
        let deadline = started + Duration::from_millis(800);
        let error = cache.lock(deadline).unwrap_err();
        assert!(started.elapsed() >= Duration::from_millis(700));
        assert!(error.to_string().ends_with("is locked by another process"));
    }

    /// A link is replaced. Opening a pipe would block until another process writes to it; a rename would replace it.
    #[cfg(unix)]
    #[test]
    fn follows_no_link_and_leaves_a_pipe_alone() {
        let folder = Folder::new("links");
        let cache = &folder.1;
        let target = folder.0.join("target");
        std::os::unix::fs::symlink(&target, cache.sibling(".lock")).unwrap();
        assert!(cache.lock(Instant::now()).is_err() && !target.exists());
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &cache.path).unwrap();
        cache.write(&"new".into()).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert_eq!(cache.read().unwrap(), Some("new".into()));

        fs::remove_file(&cache.path).unwrap();
        let mut mkfifo = std::process::Command::new("mkfifo");
        assert!(mkfifo.arg(&cache.path).status().unwrap().success());
        let irregular = "it is not a regular file";
        for error in [cache.read().err(), cache.write(&"new".into()).err()] {
            let cause = error.unwrap().source.unwrap();
            assert_eq!(cause.to_string(), irregular);
        }
        assert_eq!(folder.names(), ["target", "token", "token.lock"]);
    }
}
