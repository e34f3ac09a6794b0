//! A process that is killed at any step of the file's writing leaves a cache that the next one reads or replaces.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

/// Environment variables of a child: the step at which it stops, and the folder in which it writes.
const STOP_AT: &str = "PAN123_TEST_STOP_AT";
const FOLDER: &str = "PAN123_TEST_FOLDER";

/// Between the fork and the exec of another test's child, that child holds every lock of this process.
const MAX_WAIT: Duration = Duration::from_secs(60);

const OLD: &str = "old-token-old-token-old-token";
const NEW: &str = "new-token-new-token-new-token";

/// Reports the step and waits to be killed, if the parent process has asked for it.
pub(super) fn reached(step: &str) {
    if std::env::var(STOP_AT).is_ok_and(|stop| stop == step) {
        writeln!(io::stderr(), "reached {step}").unwrap();
        loop {
            std::thread::park();
        }
    }
}

/// A new folder for one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("pan123-offline-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn cache(&self) -> TokenCache {
        cache(&self.0)
    }

    fn temporary_files(&self) -> Vec<PathBuf> {
        let is_temporary = |name: &String| name.ends_with(".tmp");
        self.names()
            .into_iter()
            .filter(is_temporary)
            .map(|name| self.0.join(name))
            .collect()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn cache(folder: &Path) -> TokenCache {
    TokenCache::new(folder.join("token"), "https://service".into(), "id".into())
}

fn token(text: &str) -> AccessToken {
    AccessToken::from(text)
}

#[test]
fn reads_the_written_token() {
    let folder = Folder::new("round-trip");
    let cache = folder.cache();
    assert!(cache.read().unwrap().is_none());
    cache.write(&token(OLD)).unwrap();
    cache.write(&token(NEW)).unwrap();
    assert_eq!(cache.read().unwrap(), Some(token(NEW)));
    assert_eq!(folder.names(), ["token"]);
}

#[test]
fn ignores_caches_of_others() {
    let folder = Folder::new("foreign");
    let cache = folder.cache();
    cache.write(&token(OLD)).unwrap();
    let whole = fs::read(&cache.path).unwrap();
    for other in [
        TokenCache::new(cache.path.clone(), "https://other".into(), "id".into()),
        TokenCache::new(cache.path.clone(), "https://service".into(), "other".into()),
    ] {
        assert!(other.read().unwrap().is_none());
    }
    let long = [whole.as_slice(), &vec![b' '; MAX_FILE_LEN as usize]].concat();
    for text in [
        &b""[..],
        b"{}",
        b"null",
        b"\xff\xfe",
        &whole[1..],
        &[whole.as_slice(), b"}"].concat(),
        &long,
    ] {
        fs::write(&cache.path, text).unwrap();
        assert!(
            cache.read().unwrap().is_none(),
            "{}",
            String::from_utf8_lossy(text)
        );
    }
    // 64 KiB are taken, and not a byte more.
    for (length, taken) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
        let blanks = vec![b' '; length - whole.len()];
        fs::write(&cache.path, [whole.as_slice(), &blanks].concat()).unwrap();
        assert_eq!(cache.read().unwrap().is_some(), taken, "{length}");
    }
    for end in 0..whole.len() {
        fs::write(&cache.path, &whole[..end]).unwrap();
        assert!(cache.read().unwrap().is_none(), "the first {end} bytes");
    }
    cache.write(&token(NEW)).unwrap();
    assert_eq!(cache.read().unwrap(), Some(token(NEW)));
}

#[test]
fn a_kill_at_any_step_leaves_a_usable_cache() {
    for (step, left) in [
        ("created", OLD),
        ("written", OLD),
        ("synced", OLD),
        ("renamed", NEW),
    ] {
        let folder = Folder::new(&format!("killed-{step}"));
        folder.cache().write(&token(OLD)).unwrap();
        kill_a_writer_at(step, &folder.0);

        let cache = folder.cache();
        assert_eq!(cache.read().unwrap(), Some(token(left)), "{step}");
        // The killed process's lock is free, and its temporary file is removed a minute later.
        folder.temporary_files().iter().for_each(|path| age(path));
        let lock = cache.lock(MAX_WAIT).unwrap();
        cache.write(&token("a-third-token")).unwrap();
        drop(lock);
        assert_eq!(
            cache.read().unwrap(),
            Some(token("a-third-token")),
            "{step}"
        );
        assert_eq!(folder.names(), ["token", "token.lock"], "{step}");
    }
}

#[test]
fn removes_only_its_own_stale_temporary_files() {
    let folder = Folder::new("stale");
    let stale = ["token.1-0.tmp", "token.2-9.tmp"];
    let others = ["other.1-0.tmp", "token.txt", "token1-0.tmp"];
    for name in stale.iter().chain(&others) {
        fs::write(folder.0.join(name), "").unwrap();
        age(&folder.0.join(name));
    }
    fs::write(folder.0.join("token.3-0.tmp"), "").unwrap();
    folder.cache().write(&token(NEW)).unwrap();
    assert_eq!(
        folder.names(),
        [
            "other.1-0.tmp",
            "token",
            "token.3-0.tmp",
            "token.txt",
            "token1-0.tmp"
        ]
    );
}

/// Makes a temporary file old enough to be removed.
fn age(path: &Path) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::now() - MIN_STALE_AGE * 2)
        .unwrap();
}

/// Runs this program again as [`child_writes`], and kills it where it stops.
fn kill_a_writer_at(step: &str, folder: &Path) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "auth::cache::tests::child_writes",
            "--ignored",
            "--nocapture",
        ])
        .env(STOP_AT, step)
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap() == format!("reached {step}")),
        "the child did not reach {step}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
#[ignore = "the child of `a_kill_at_any_step_leaves_a_usable_cache`"]
fn child_writes() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let cache = cache(Path::new(&folder));
    let _lock = cache.lock(MAX_WAIT).unwrap();
    cache.write(&token(NEW)).unwrap();
}

#[test]
fn waits_for_a_lock_until_the_timeout() {
    let folder = Folder::new("locked");
    let cache = folder.cache();
    let held = cache.lock(MAX_WAIT).unwrap();
    let error = folder.cache().lock(Duration::from_millis(30)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the token cache {} is locked by another process",
            cache.path.display()
        )
    );
    drop(held);
    folder.cache().lock(MAX_WAIT).unwrap();
}

#[test]
fn rejects_what_is_not_a_regular_file() {
    let folder = Folder::new("no-file");
    let cache = folder.cache();
    fs::create_dir(&cache.path).unwrap();
    let error = cache.read().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the token cache {} cannot be read", cache.path.display())
    );
    assert_eq!(
        error::Error::source(&error).unwrap().to_string(),
        "it is not a regular file"
    );
    assert!(cache.write(&token(NEW)).is_err());
    assert_eq!(folder.names(), ["token"], "no temporary file is left");

    let nowhere = self::cache(&folder.0.join("missing"));
    assert!(nowhere.read().unwrap().is_none());
    assert_eq!(
        nowhere.lock(Duration::ZERO).unwrap_err().to_string(),
        format!(
            "the token cache {} cannot be locked",
            nowhere.path.display()
        )
    );
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn cache_and_lock_are_readable_by_their_owner_only() {
        let folder = Folder::new("mode");
        let cache = folder.cache();
        fs::write(&cache.path, "{}").unwrap();
        fs::set_permissions(&cache.path, fs::Permissions::from_mode(0o666)).unwrap();
        let _lock = cache.lock(MAX_WAIT).unwrap();
        cache.write(&token(NEW)).unwrap();
        assert_eq!(
            (mode(&cache.path), mode(&cache.sibling(".lock"))),
            (0o600, 0o600)
        );
    }

    #[test]
    fn temporary_file_is_readable_by_its_owner_only_from_its_creation_on() {
        let folder = Folder::new("temporary-mode");
        kill_a_writer_at("created", &folder.0);
        assert_eq!(mode(&folder.temporary_files()[0]), 0o600);
    }

    #[test]
    fn writing_does_not_follow_links() {
        let folder = Folder::new("links");
        let cache = folder.cache();
        let target = folder.0.join("target");
        fs::write(&target, "precious").unwrap();
        symlink(&target, &cache.path).unwrap();
        cache.write(&token(NEW)).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert!(fs::symlink_metadata(&cache.path).unwrap().is_file());
        assert_eq!(cache.read().unwrap(), Some(token(NEW)));
    }

    /// Opening one would block until another process writes to it.
    #[test]
    fn does_not_open_a_pipe() {
        let folder = Folder::new("pipe");
        let cache = folder.cache();
        assert!(
            Command::new("mkfifo")
                .arg(&cache.path)
                .status()
                .unwrap()
                .success()
        );
        assert!(cache.read().is_err());
    }

    /// `/dev/null`, for example, stays.
    #[test]
    fn replaces_only_regular_files() {
        use std::os::unix::fs::FileTypeExt;

        let folder = Folder::new("special");
        let cache = folder.cache();
        assert!(
            Command::new("mkfifo")
                .arg(&cache.path)
                .status()
                .unwrap()
                .success()
        );
        let error = cache.write(&token(NEW)).unwrap_err();
        assert!(
            format!("{error:?}").contains("it is not a regular file"),
            "{error:?}"
        );
        assert!(
            fs::symlink_metadata(&cache.path)
                .unwrap()
                .file_type()
                .is_fifo()
        );
        assert_eq!(
            fs::read_dir(&folder.0).unwrap().count(),
            1,
            "no temporary file"
        );
    }

    #[test]
    fn does_not_follow_a_lock_that_is_a_link() {
        let folder = Folder::new("lock-link");
        let cache = folder.cache();
        let target = folder.0.join("target");
        symlink(&target, cache.sibling(".lock")).unwrap();
        let error = cache.lock(Duration::ZERO).unwrap_err();
        assert!(
            format!("{error:?}").contains("its lock file is a link"),
            "{error:?}"
        );
        assert!(!target.exists());
    }
}

/// Two writers must not share a file, also where a cleaner has removed the lock file between them.
#[test]
fn each_temporary_file_has_its_own_name() {
    assert_ne!(temporary_extension(), temporary_extension());
}
