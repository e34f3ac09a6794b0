//! Checks of the token cache file with arbitrary content.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pan123_offline::testing::Service;
use pan123_offline::{Client, Credentials, Progress, Status};

use super::json::only;

const TASK: u64 = 403_316;
const RUNNING: Progress = Progress::new(Status::InProgress, 37);
const ID: &str = "client-id";
const SECRET: &str = "s3cr3t-Xy72-of-the-client-that-must-not-show";

/// A token that the stand-in accepts beside those it issues.
const GOOD_TOKEN: &str = "good-token";

/// A placeholder in the seeds for the stand-in's base URL, whose port differs each time.
const BASE_URL: &str = "BASE_URL";

/// Maximum length of a cache file that the client reads.
const MAX_FILE_LEN: usize = 64 * 1024;

/// A stand-in that accepts only `GOOD_TOKEN` and the tokens that it issued.
pub struct TokenCacheCheck(Service);

impl TokenCacheCheck {
    pub fn new() -> Self {
        let service = Service::start().expect("a port of this machine");
        service
            .task(TASK, [RUNNING])
            .credentials(ID, SECRET)
            .require_token(GOOD_TOKEN);
        Self(service)
    }

    /// Makes one call of a client that finds these bytes in its cache file. Returns whether the
    /// token in the file was accepted.
    pub fn check(&self, template: &[u8]) -> bool {
        let file = replace(template, BASE_URL.as_bytes(), self.0.base_url().as_bytes());
        let folder = Folder::new();
        let path = folder.0.join("token");
        fs::write(&path, &file).expect("a file");
        // A file that others can read is not used.
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("a mode");

        let client = self.client(&path);
        let earlier = self.0.request_count();
        assert_eq!(
            client
                .get_process(TASK)
                .expect("no cache file may fail a call"),
            RUNNING
        );
        assert!(
            client.token_cache_error().is_none(),
            "{:?}",
            client.token_cache_error()
        );
        let tokens = self.tokens_since(earlier);

        let own = self.own_token(&file);
        let was_good = own.as_deref() == Some(GOOD_TOKEN);
        assert_eq!(
            tokens[0], own,
            "only a token for this client and service is used"
        );
        assert_eq!(
            tokens.len(),
            if was_good {
                1
            } else {
                2 + usize::from(own.is_some())
            },
            "requests"
        );

        let now = fs::read(&path).expect("the file");
        assert_eq!(
            self.own_token(&now),
            tokens[tokens.len() - 1],
            "the token in use is stored"
        );
        assert!(!was_good || now == file, "a good file is not rewritten");
        assert_eq!(
            fs::read_dir(&folder.0).expect("the folder").count(),
            if was_good { 1 } else { 2 },
            "only the lock file may be added"
        );
        self.assert_shared(&path);
        was_good
    }

    fn client(&self, path: &Path) -> Client {
        let credentials = Credentials::new(ID, SECRET).cache_file(path);
        let builder = Client::builder()
            .credentials(credentials)
            .base_url(self.0.base_url());
        builder
            .retries(0)
            .timeout(Duration::from_secs(20))
            .build()
            .expect("usable settings")
    }

    /// Returns the token of each new request; a request to the token endpoint has none.
    fn tokens_since(&self, earlier: usize) -> Vec<Option<String>> {
        let (requests, new) = (self.0.requests(), self.0.request_count() - earlier);
        let token = |value: &str| value.strip_prefix("Bearer ").map(str::to_owned);
        requests[requests.len() - new..]
            .iter()
            .map(|request| request.header("Authorization").and_then(token))
            .collect()
    }

    /// Returns the token of a file that is for this client and this service.
    fn own_token(&self, file: &[u8]) -> Option<String> {
        let field = |name| only(file, &[name])?.as_str().map(str::to_owned);
        let (base_url, client_id, token) = (
            field("base_url")?,
            field("client_id")?,
            field("access_token")?,
        );
        let fits =
            (1..=4096).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        (file.len() <= MAX_FILE_LEN && base_url == self.0.base_url() && client_id == ID && fits)
            .then_some(token)
    }

    /// Asserts that the next client takes the token from the file instead of requesting one.
    fn assert_shared(&self, path: &Path) {
        let issued = self.0.tokens_issued();
        assert_eq!(
            self.client(path).get_process(TASK).expect("a good cache"),
            RUNNING
        );
        assert_eq!(
            self.0.tokens_issued(),
            issued,
            "the token in the file was not used"
        );
    }
}

impl Default for TokenCacheCheck {
    fn default() -> Self {
        Self::new()
    }
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|part| part == from) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

/// A new folder that is removed on drop with everything in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("pan123-offline-fuzz-{}-{number}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir(&folder.0).expect("a folder for temporary files");
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
