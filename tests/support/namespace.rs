//! Runs a program in its own network, mount and process namespaces, in which 127.0.0.1 is the only
//! name server.
#![allow(
    dead_code,
    reason = "no program that includes this file uses all of it"
)]

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Set for the process inside the namespaces.
const INSIDE: &str = "PAN123_TEST_NAMESPACE";

/// Timeout of a test in seconds, which only a hang exceeds.
const MAX_SECONDS: u32 = 300;

/// Brings loopback up, makes 127.0.0.1 the name server, and becomes the program in its arguments.
const SETUP: &str = "
    set -e
    ip link set lo up
    folder=$(mktemp -d)
    echo 'nameserver 127.0.0.1' >$folder/resolv.conf
    echo 'hosts: files dns' >$folder/nsswitch.conf
    for file in resolv.conf nsswitch.conf; do mount --bind $folder/$file /etc/$file; done
    rm -r $folder
    exec \"$@\"
";

/// Returns whether this process is inside. If not, runs the test whose closure has this type in such a process. Panics if
/// the namespaces cannot be created.
#[track_caller]
pub(crate) fn is_inside(closure: &'static str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let name = test_name(closure);
    let output = command(MAX_SECONDS, &env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .arg("--test-threads=1")
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stdout.contains("running "),
        "cannot create namespaces (needs root, util-linux, iproute2) for {name}: {stderr}"
    );
    let status = output.status;
    let passed = status.success() && stdout.contains("test result: ok. 1 passed");
    assert!(passed, "{name} failed, {status}:\n{stdout}\n{stderr}");
    false
}

/// A command that runs a program inside the namespaces, and ends it after `max_seconds`.
pub(crate) fn command(max_seconds: u32, program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args([&max_seconds.to_string(), "unshare", "--net", "--mount"]);
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    // A user other than root needs a user namespace in addition, if the system permits it.
    if fs::metadata("/proc/self").is_ok_and(|process| process.uid() != 0) {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["sh", "-c", SETUP, "sh"]).arg(program);
    for variable in ["https_proxy", "http_proxy", "all_proxy", "no_proxy"] {
        command
            .env_remove(variable)
            .env_remove(variable.to_uppercase());
    }
    command.env_remove("RES_OPTIONS").env_remove("LOCALDOMAIN");
    command
}

/// The path of a test inside its program, from the type of its closure:
/// `dns::some_test::{{closure}}`.
fn test_name(closure: &'static str) -> &'static str {
    let (_program, path) = closure.split_once("::").unwrap();
    path.split("::{{closure}}").next().unwrap()
}
