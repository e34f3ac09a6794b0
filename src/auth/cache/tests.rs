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
        TokenCache {
            path: self.0.join("token"),
            base_url: "https://service".into(),
            client_id: "id".into(),
        }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        let mut names: Vec<String> = entries.map(|entry| name(entry).unwrap()).collect();
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

/// A temporary file that a killed process has left stays, too.
#[test]
fn reads_the_written_token_and_removes_no_other_file() {
    let folder = Folder::new("round-trip");
    let other = "token.0123456789abcdef.tmp";
    File::create(folder.0.join(other)).unwrap();
    let cache = folder.cache();
    assert!(cache.read().unwrap().is_none());
    cache.write(&token(OLD)).unwrap();
    cache.write(&token(NEW)).unwrap();
    assert_eq!(cache.read().unwrap(), Some(token(NEW)));
    assert_eq!(folder.names(), ["token", other]);
}

#[test]
fn ignores_damaged_caches() {
    let folder = Folder::new("damaged");
    let cache = folder.cache();
    cache.write(&token(OLD)).unwrap();
    let whole = fs::read(&cache.path).unwrap();
    let cut = (0..whole.len()).map(|end| whole[..end].to_vec());
    let odd = [&b"{}"[..], b"null", b"\xff\xfe", &whole[1..]].map(<[u8]>::to_vec);
    for text in cut.chain(odd).chain([[&whole[..], b"}"].concat()]) {
        fs::write(&cache.path, &text).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(cache.read().unwrap().is_none(), "{text}");
    }
    // 64 KiB are taken, and not a byte more.
    for (length, taken) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
        let blanks = vec![b' '; length - whole.len()];
        fs::write(&cache.path, [whole.as_slice(), &blanks].concat()).unwrap();
        assert_eq!(cache.read().unwrap().is_some(), taken, "{length}");
    }
}

/// An eighth of the caller's time is left for the request.
#[test]
fn waits_for_a_lock_for_seven_eighths_of_the_time() {
    let folder = Folder::new("locked");
    let cache = folder.cache();
    let _lock = cache.lock(Instant::now()).unwrap();
    let started = Instant::now();
    let deadline = started + Duration::from_millis(800);
    let error = cache.lock(deadline).unwrap_err();
    assert!(started.elapsed() >= Duration::from_millis(700));
    assert!(error.to_string().ends_with("is locked by another process"));
}

#[test]
fn a_reader_never_sees_half_of_a_token() {
    let folder = Folder::new("whole");
    folder.cache().write(&token(OLD)).unwrap();
    std::thread::scope(|scope| {
        // Windows does not replace a file that another process has open: such a write is an error.
        let write = || {
            for _ in 0..40 {
                let written = folder.cache().write(&token(NEW));
                assert!(written.is_ok() || cfg!(windows), "{written:?}");
            }
        };
        let writers = [scope.spawn(write), scope.spawn(write)];
        while writers.iter().any(|writer| !writer.is_finished()) {
            assert!(folder.cache().read().unwrap().is_some());
        }
    });
    assert_eq!(folder.names(), ["token"]);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    use std::process::Command;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_the_owner_can_read_cache_and_lock() {
        let folder = Folder::new("mode");
        let cache = folder.cache();
        let _lock = cache.lock(Instant::now()).unwrap();
        for (mode, is_used) in [
            (0o640, false),
            (0o620, false),
            (0o604, false),
            (0o602, false),
            (0o600, true),
            (0o400, true),
            (0o700, true),
        ] {
            cache.write(&token(OLD)).unwrap();
            for path in [cache.path.clone(), cache.sibling(".lock")] {
                let written = fs::metadata(path).unwrap().permissions().mode();
                assert_eq!(written & 0o777, 0o600);
            }
            set_mode(&cache.path, mode);
            match cache.read() {
                Ok(read) => assert!(is_used && read == Some(token(OLD)), "{mode:o}"),
                Err(error) => assert!(!is_used && error.to_string().contains("others can read")),
            }
        }
    }

    #[test]
    fn follows_no_link() {
        let folder = Folder::new("links");
        let cache = folder.cache();
        let target = folder.0.join("target");
        symlink(&target, cache.sibling(".lock")).unwrap();
        let text = format!("{:?}", cache.lock(Instant::now()).unwrap_err());
        assert!(text.contains("its lock file is a link"), "{text}");
        assert!(!target.exists());

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
        for error in [
            cache.read().unwrap_err(),
            cache.write(&token(NEW)).unwrap_err(),
        ] {
            let cause = error::Error::source(&error).unwrap();
            assert_eq!(cause.to_string(), "it is not a regular file");
        }
        assert!(fs::metadata(&cache.path).unwrap().file_type().is_fifo());
        assert_eq!(folder.names(), ["token"], "no temporary file");
    }
}
