//! Errors of the operating system that are hard to cause: strace returns them in place of a system call's result.

#![cfg(target_os = "linux")]

mod support;

use std::env;
use std::process::Command;

use pan123_offline::{Error, NewTask, TransportErrorKind};
use support::{RUNNING, TASK, builder, service};

/// Set for the process under strace: the base URL of the stand-in.
const BASE_URL: &str = "PAN123_TEST_BASE_URL";

const URL: &str = "https://example.org/cat.png";

/// A system call's error in strace's syntax, and the only path to which it applies, if any.
type Injection = (&'static str, Option<&'static str>);

/// Runs `test`, the body of the test function `name`, in one process for each error.
#[track_caller]
fn with_errors(name: &str, injections: &[Injection], test: impl FnOnce(&str)) {
    if let Ok(base_url) = env::var(BASE_URL) {
        return test(&base_url);
    }
    for (inject, path) in injections {
        let service = service();
        let mut strace = Command::new("strace");
        let (calls, _) = inject.split_once(':').unwrap();
        strace.args(["-f", "-qq", "-e", "signal=none"]);
        strace.args([
            "-e",
            &format!("trace={calls}"),
            "-e",
            &format!("inject={inject}"),
        ]);
        strace.args(path.iter().flat_map(|path| ["-P", path]));
        let output = strace
            .arg(env::current_exe().unwrap())
            // The harness itself then starts no thread.
            .args(["--test-threads=1", "--exact", name])
            .args(["--ignored", "--nocapture"])
            .env(BASE_URL, service.base_url())
            .output()
            .expect("strace is installed");
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && stdout.contains("1 passed"),
            "{inject}: {stdout}\n{stderr}"
        );
        assert!(stderr.contains("(INJECTED)"), "{inject}: {stderr}");
    }
}

#[track_caller]
fn assert_unsent(error: &Error, kind: TransportErrorKind) {
    let Error::Transport(transport) = error else {
        panic!("{error:?}")
    };
    assert_eq!(transport.kind, kind, "{error:?}");
    assert!(
        error.is_transient() && !error.may_have_taken_effect(),
        "{error:?}"
    );
}

#[test]
#[ignore = "needs strace"]
fn error_before_a_connection_stands_is_transient_and_unsent() {
    let injections = [
        ("socket:error=EMFILE", None),
        ("socket:error=ENFILE", None),
        ("socket:error=ENOBUFS", None),
        ("socket:error=ENOMEM", None),
        ("connect:error=EHOSTDOWN", None),
        ("connect:error=EHOSTUNREACH", None),
        ("connect:error=ENETDOWN", None),
        ("connect:error=ENOBUFS", None),
        ("connect:error=ENOMEM", None),
        ("connect:error=EADDRNOTAVAIL", None),
    ];
    let name = "error_before_a_connection_stands_is_transient_and_unsent";
    with_errors(name, &injections, |base_url| {
        let client = builder(base_url).build().unwrap();
        let poll = client.get_process(TASK).unwrap_err();
        assert_unsent(&poll, TransportErrorKind::Connect);
        let creation = client.create_task(&NewTask::new(URL)).unwrap_err();
        assert_unsent(&creation, TransportErrorKind::Connect);
    });
}

/// `getaddrinfo` fails with `EAI_SYSTEM` where it cannot read its configuration.
#[test]
#[ignore = "needs strace"]
fn error_of_a_lookup_is_transient_and_unsent() {
    let configuration = Some("/etc/nsswitch.conf");
    let injections = [
        ("openat:error=EMFILE", configuration),
        ("openat:error=ENOMEM", configuration),
        // No thread can be started.
        ("clone,clone3:error=EAGAIN", None),
    ];
    let name = "error_of_a_lookup_is_transient_and_unsent";
    with_errors(name, &injections, |base_url| {
        let by_name = base_url.replace("127.0.0.1", "localhost");
        let client = builder(by_name).build().unwrap();
        let poll = client.get_process(TASK).unwrap_err();
        assert_unsent(&poll, TransportErrorKind::Dns);
        let creation = client.create_task(&NewTask::new(URL)).unwrap_err();
        assert_unsent(&creation, TransportErrorKind::Dns);
    });
}

/// On an open connection the same errors may come after the request.
#[test]
#[ignore = "needs strace"]
fn error_on_an_open_connection_may_be_sent() {
    let injections = [
        ("recvfrom:error=ENOMEM:when=2+", None),
        ("recvfrom:error=EHOSTDOWN:when=2+", None),
    ];
    let name = "error_on_an_open_connection_may_be_sent";
    with_errors(name, &injections, |base_url| {
        let client = builder(base_url).build().unwrap();
        assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
        let error = client.create_task(&NewTask::new(URL)).unwrap_err();
        assert!(error.may_have_taken_effect(), "{error:?}");
    });
}
