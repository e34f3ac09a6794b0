//! Differences between Unix and Windows: processes, file modes, the user's folders, system errors.

#[cfg(unix)]
mod imp {
    use std::fs::{self, Permissions};
    use std::io;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::path::Path;
    use std::process::{Child, Command, ExitStatus, Stdio};

    /// The variables of the home folder and of the folders for configuration and caches.
    pub(crate) const FOLDERS: [&str; 3] = ["HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"];

    /// Starts a process group, so that `kill` ends all of it.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
        command.process_group(0).spawn()
    }

    /// Ends the child and all that it has started.
    pub(crate) fn kill(child: &mut Child) {
        signal("KILL", &format!("-{}", child.id()));
    }

    pub(crate) fn signal(name: &str, target: &str) {
        let _ = Command::new("kill")
            .args(["-s", name, "--", target])
            .stderr(Stdio::null())
            .status();
    }

    /// Returns the exit code, or that of a shell for a program that a signal has ended.
    pub(crate) fn code(status: ExitStatus) -> i32 {
        status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap())
    }

    pub(crate) fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[track_caller]
    pub(crate) fn is_private(path: &Path) {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
}

#[cfg(windows)]
mod imp {
    use std::io;
    use std::path::Path;
    use std::process::{Child, Command, ExitStatus};

    /// The variables of the home folder and of the folders for configuration and caches.
    pub(crate) const FOLDERS: [&str; 3] = ["USERPROFILE", "APPDATA", "LOCALAPPDATA"];

    pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
        command.spawn()
    }

    /// No test on Windows starts more than one process.
    pub(crate) fn kill(child: &mut Child) {
        let _ = child.kill();
    }

    pub(crate) fn code(status: ExitStatus) -> i32 {
        status.code().unwrap()
    }

    /// Accepts any file: Windows has no file modes, and the folder decides.
    pub(crate) fn set_mode(_: &Path, _: u32) {}

    #[track_caller]
    pub(crate) fn is_private(path: &Path) {
        assert!(path.is_file(), "{}", path.display());
    }
}

pub(crate) use imp::*;

/// The folders for configuration and caches in the home folder. macOS has no variables for them.
const IN_HOME: [&str; 2] = if cfg!(target_os = "macos") {
    ["Library/Preferences", "Library/Caches"]
} else {
    ["config", "cache"]
};
pub(crate) const CONFIG: &str = IN_HOME[0];
pub(crate) const CACHE: &str = IN_HOME[1];
