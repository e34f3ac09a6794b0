use std::time::SystemTime;

use super::*;

const OLD: &str = "old-token-old-token-old-token";
const NEW: &str = "new-token-new-token-new-token";

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
        let path = self.0.join("token");
        TokenCache::new(path, "https://service".into(), "id".into())
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

fn token(text: &str) -> AccessToken {
    AccessToken::from(text)
}

fn in_a_minute() -> Instant {
    Instant::now() + Duration::from_secs(60)
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
fn ignores_damaged_caches_and_those_of_others() {
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
    for text in [
        &b""[..],
        b"{}",
        b"null",
        b"\xff\xfe",
        &whole[1..],
        &[whole.as_slice(), b"}"].concat(),
    ] {
        fs::write(&cache.path, text).unwrap();
        let text = String::from_utf8_lossy(text);
        assert!(cache.read().unwrap().is_none(), "{text}");
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
fn a_reader_never_sees_half_of_a_token() {
    let folder = Folder::new("whole");
    folder.cache().write(&token(OLD)).unwrap();
    std::thread::scope(|scope| {
        let write = || (0..40).for_each(|_| folder.cache().write(&token(NEW)).unwrap());
        let writers = [scope.spawn(write), scope.spawn(write)];
        while writers.iter().any(|writer| !writer.is_finished()) {
            assert!(folder.cache().read().unwrap().is_some());
        }
    });
    assert_eq!(folder.names(), ["token"]);
}

/// Not even files whose names look like its own: a temporary file that a killed process has left.
#[test]
fn writing_removes_no_file() {
    let folder = Folder::new("others");
    let others = ["token.0123456789abcdef.tmp", "token.export.tmp"];
    for name in others {
        let file = File::create(folder.0.join(name)).unwrap();
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        file.set_modified(hour_ago).unwrap();
    }
    folder.cache().write(&token(NEW)).unwrap();
    assert_eq!(folder.names(), ["token", others[0], others[1]]);
}

#[test]
fn rejects_what_is_not_a_regular_file() {
    let folder = Folder::new("no-file");
    let cache = folder.cache();
    fs::create_dir(&cache.path).unwrap();
    let path = cache.path.display();
    for (error, text) in [
        (cache.read().unwrap_err(), "cannot be read"),
        (cache.write(&token(NEW)).unwrap_err(), "cannot be written"),
    ] {
        assert_eq!(error.to_string(), format!("the token cache {path} {text}"));
        let cause = error::Error::source(&error).unwrap();
        assert_eq!(cause.to_string(), "it is not a regular file");
    }
    assert_eq!(folder.names(), ["token"], "no temporary file is left");

    let nowhere = TokenCache::new(folder.0.join("missing/token"), String::new(), String::new());
    assert!(nowhere.read().unwrap().is_none());
    let error = nowhere.lock(Instant::now()).unwrap_err();
    assert!(error.to_string().ends_with("cannot be locked"), "{error}");
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    use std::process::Command;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn cache_and_lock_are_readable_by_their_owner_only() {
        let folder = Folder::new("mode");
        let cache = folder.cache();
        fs::write(&cache.path, "{}").unwrap();
        set_mode(&cache.path, 0o666);
        let _lock = cache.lock(in_a_minute()).unwrap();
        cache.write(&token(NEW)).unwrap();
        let lock = cache.sibling(".lock");
        assert_eq!((mode(&cache.path), mode(&lock)), (0o600, 0o600));
    }

    #[test]
    fn uses_no_file_that_others_can_read_or_write() {
        let folder = Folder::new("open");
        let cache = folder.cache();
        cache.write(&token(OLD)).unwrap();
        for mode in [0o640, 0o620, 0o604, 0o602, 0o666] {
            set_mode(&cache.path, mode);
            let error = cache.read().unwrap_err().to_string();
            assert!(error.contains("others can read or write it"), "{error}");
        }
        for mode in [0o600, 0o400, 0o700] {
            set_mode(&cache.path, mode);
            assert_eq!(cache.read().unwrap(), Some(token(OLD)));
        }
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

    /// Opening a pipe would block until another process writes to it; a rename would replace it.
    #[test]
    fn leaves_a_pipe_alone() {
        let folder = Folder::new("pipe");
        let cache = folder.cache();
        let made = Command::new("mkfifo").arg(&cache.path).status().unwrap();
        assert!(made.success());
        assert!(cache.read().is_err());
        assert!(cache.write(&token(NEW)).is_err());
        assert!(fs::metadata(&cache.path).unwrap().file_type().is_fifo());
        assert_eq!(folder.names(), ["token"], "no temporary file");
    }

    #[test]
    fn does_not_follow_a_lock_that_is_a_link() {
        let folder = Folder::new("lock-link");
        let cache = folder.cache();
        let target = folder.0.join("target");
        symlink(&target, cache.sibling(".lock")).unwrap();
        let text = format!("{:?}", cache.lock(in_a_minute()).unwrap_err());
        assert!(text.contains("its lock file is a link"), "{text}");
        assert!(!target.exists());
    }
}
