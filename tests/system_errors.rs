//! Errors of the operating system that are hard to cause: strace returns them in place of a system
//! call's result.
#![cfg(target_os = "linux")]

mod support;

use std::env;
use std::process::Command;

use pan123_offline::{Error, NewTask, TransportErrorKind};
use support::{RUNNING, TASK, builder, service};

/// Set for the process under strace: the base URL of the stand-in.
const BASE_URL: &str = "PAN123_TEST_BASE_URL";
/// Set for the process under strace: the index of the case.
const CASE: &str = "PAN123_TEST_CASE";

/// Checks the calls to a base URL.
type Check = fn(&str);

/// An error in strace's syntax, and the check of the calls that it meets.
const CASES: [(&str, Check); 11] = [
    ("socket:error=EMFILE", fails_to_connect),
    ("socket:error=ENOBUFS", fails_to_connect),
    ("socket:error=ENOMEM", fails_to_connect),
    ("connect:error=EHOSTDOWN", fails_to_connect),
    ("connect:error=EHOSTUNREACH", fails_to_connect),
    ("connect:error=ENETDOWN", fails_to_connect),
    ("connect:error=ENOBUFS", fails_to_connect),
    ("connect:error=EADDRNOTAVAIL", fails_to_connect),
    // Applied to /etc/nsswitch.conf only. `getaddrinfo` cannot read its configuration.
    ("openat:error=EMFILE", fails_to_look_up),
    // No thread can be started.
    ("clone,clone3:error=EAGAIN", fails_to_look_up),
    ("recvfrom:error=ENOMEM:when=2+", fails_after_the_request),
];

#[test]
#[ignore = "needs strace"]
fn an_error_of_the_system_may_have_taken_effect_only_after_the_request() {
    if let (Ok(base_url), Ok(case)) = (env::var(BASE_URL), env::var(CASE)) {
        return CASES[case.parse::<usize>().unwrap()].1(&base_url);
    }
    for (case, (error, _)) in CASES.iter().enumerate() {
        let service = service();
        let (calls, _) = error.split_once(':').unwrap();
        let path = (calls == "openat").then_some(["-P", "/etc/nsswitch.conf"]);
        let name = "an_error_of_the_system_may_have_taken_effect_only_after_the_request";
        let output = Command::new("strace")
            .args(["-f", "-qq", "-e", "signal=none"])
            .args(["-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={error}")])
            .args(path.iter().flatten())
            .arg(env::current_exe().unwrap())
            // The harness itself then starts no thread.
            .args(["--test-threads=1", "--exact", name])
            .args(["--ignored", "--nocapture"])
            .env(BASE_URL, service.base_url())
            .env(CASE, case.to_string())
            .output()
            .expect("strace is installed");
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let is_green = output.status.success() && stdout.contains("1 passed");
        let is_injected = stderr.contains("(INJECTED)");
        assert!(is_green && is_injected, "{error}: {stdout}\n{stderr}");
    }
}

fn fails_to_connect(base_url: &str) {
    fails_unsent(base_url, TransportErrorKind::Connect);
}

fn fails_to_look_up(base_url: &str) {
    let by_name = base_url.replace("127.0.0.1", "localhost");
    fails_unsent(&by_name, TransportErrorKind::Dns);
}

fn fails_unsent(base_url: &str, kind: TransportErrorKind) {
    let client = builder(base_url).build().unwrap();
    let poll = client.get_process(TASK).unwrap_err();
    let creation = client.create_task(&task()).unwrap_err();
    for error in [poll, creation] {
        let is_kind = matches!(&error, Error::Transport(e) if e.kind == kind);
        let is_unsent = error.is_transient() && !error.may_have_taken_effect();
        assert!(is_kind && is_unsent, "{error:?}");
    }
}

fn fails_after_the_request(base_url: &str) {
    let client = builder(base_url).build().unwrap();
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    let error = client.create_task(&task()).unwrap_err();
    assert!(error.may_have_taken_effect(), "{error:?}");
}

fn task() -> NewTask {
    NewTask::new("https://example.org/cat.png")
}
