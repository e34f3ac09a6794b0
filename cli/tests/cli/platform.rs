//! Differences between Unix and Windows: processes, file modes, the user's folders, system errors.

use std::fs;
use std::io;
#[cfg(unix)]
use std::os::unix::{fs::PermissionsExt, process::CommandExt, process::ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};

/// The variables of the home folder and of the folders for configuration and caches.
pub(crate) const FOLDERS: [&str; 3] = if cfg!(windows) {
    ["USERPROFILE", "APPDATA", "LOCALAPPDATA"]
} else {
    ["HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"]
};

/// The folders for configuration and caches in the home folder. macOS has no variables for them.
const IN_HOME: [&str; 2] = if cfg!(target_os = "macos") {
    ["Library/Preferences", "Library/Caches"]
} else {
    ["config", "cache"]
};
pub(crate) const CONFIG: &str = IN_HOME[0];
pub(crate) const CACHE: &str = IN_HOME[1];

/// Starts a process group on Unix, so that `kill` ends all of it. No test on Windows starts more than one process.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    #[cfg(unix)]
    command.process_group(0);
    command.spawn()
}

/// Ends the child and all that it has started.
pub(crate) fn kill(child: &mut Child) {
    #[cfg(unix)]
    signal("KILL", &format!("-{}", child.id()));
    let _ = child.kill();
}

#[cfg(unix)]
pub(crate) fn signal(name: &str, target: &str) {
    let mut command = Command::new("kill");
    let command = command.args(["-s", name, "--", target]);
    let _ = command.stderr(std::process::Stdio::null()).status();
}

/// Returns the exit code, or that of a shell for a program that a signal has ended.
pub(crate) fn code(status: ExitStatus) -> i32 {
    #[cfg(unix)]
    if let Some(signal) = status.signal() {
        return 128 + signal;
    }
    status.code().unwrap()
}

/// Windows has no file modes, and the folder decides.
#[cfg_attr(windows, expect(unused_variables))]
pub(crate) fn set_mode(path: &Path, mode: u32) {
    #[cfg(unix)]
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
pub(crate) fn is_private(path: &Path) {
    let metadata = fs::metadata(path).unwrap();
    assert!(metadata.is_file(), "{}", path.display());
    #[cfg(unix)]
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{path:?}");
}
