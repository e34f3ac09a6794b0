//! Guarantees that are in no signature: auto traits, sizes, no threads.

// A test whose setup fails should panic.
#![allow(clippy::unwrap_used)]

use std::panic::{RefUnwindSafe, UnwindSafe};

use pan123_offline::{
    AccessToken, ApiError, Callback, CallbackStatus, Client, ClientBuilder, ConfigError,
    DecodeError, Envelope, Error, ErrorCode, HttpError, NewTask, Progress, Status, TransportError,
    TransportErrorKind,
};

fn send_and_unpin<T: Send + Unpin + 'static>() {}
fn all_but_unwind_safe<T: Send + Sync + Unpin + 'static>() {}
fn all<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}

#[test]
fn types_have_their_auto_traits() {
    all::<AccessToken>();
    all::<ApiError>();
    all::<ConfigError>();
    all::<Envelope<Progress>>();
    all::<ErrorCode>();
    all::<HttpError>();
    all::<Progress>();
    all::<Status>();
    all::<TransportErrorKind>();
    all::<Client>();
    all::<NewTask>();
    all::<Callback>();

    // A cause may be any error of another library, and a builder has closures.
    all_but_unwind_safe::<DecodeError>();
    all_but_unwind_safe::<Error>();
    all_but_unwind_safe::<TransportError>();
    send_and_unpin::<ClientBuilder>();
}

#[test]
fn types_have_their_common_traits() {
    fn value<T: Clone + Eq + std::fmt::Debug>() {}
    fn small<T: Copy + Eq + std::hash::Hash + std::fmt::Debug>() {}
    fn hashed<T: Clone + Eq + std::hash::Hash + std::fmt::Debug>() {}
    fn serialized<T: serde::Serialize + serde::de::DeserializeOwned>() {}
    fn deserialized<T: serde::de::DeserializeOwned>() {}
    fn shown<T: std::fmt::Display>() {}
    fn error<T: std::error::Error + Clone>() {}

    small::<ErrorCode>();
    small::<Progress>();
    small::<Status>();
    small::<TransportErrorKind>();
    small::<CallbackStatus>();
    hashed::<Callback>();
    hashed::<Envelope<Progress>>();
    hashed::<NewTask>();
    serialized::<Progress>();
    serialized::<Status>();
    deserialized::<Callback>();
    value::<AccessToken>();
    value::<ApiError>();
    value::<ConfigError>();
    value::<Envelope<Progress>>();
    value::<HttpError>();
    shown::<ErrorCode>();
    shown::<Progress>();
    shown::<Status>();
    error::<ApiError>();
    error::<ConfigError>();
    error::<DecodeError>();
    error::<Error>();
    error::<HttpError>();
    error::<TransportError>();
}

#[test]
fn error_is_small_and_can_be_boxed() {
    // The limit of clippy's `result_large_err`.
    assert!(size_of::<Error>() <= 128, "{}", size_of::<Error>());
    assert!(size_of::<pan123_offline::Result<Progress>>() <= 128);

    let error = Envelope::<Progress>::from_slice(b"{").unwrap_err();
    // A clone keeps its cause.
    let boxed: Box<dyn std::error::Error + Send + Sync> = error.clone().into();
    assert_eq!(boxed.to_string(), error.to_string());
    assert!(
        boxed
            .source()
            .is_some_and(|cause| cause.is::<serde_json::Error>())
    );
    assert!(boxed.is::<Error>());
}

#[test]
fn statuses_and_codes_convert_and_display() {
    for (number, status, text, terminal) in [
        (0, Status::InProgress, "in progress", false),
        (1, Status::Failed, "failed", true),
        (2, Status::Succeeded, "succeeded", true),
        (3, Status::Retrying, "retrying", false),
        (4, Status::Unknown(4), "unknown status 4", false),
        (-1, Status::Unknown(-1), "unknown status -1", false),
        (
            i64::MIN,
            Status::Unknown(i64::MIN),
            "unknown status -9223372036854775808",
            false,
        ),
    ] {
        assert_eq!(Status::from(number), status);
        assert_eq!(status.as_i64(), number);
        assert_eq!(status.to_string(), text);
        assert_eq!(status.is_terminal(), terminal, "{status}");
    }
    assert_eq!(
        Progress::new(Status::InProgress, 37).to_string(),
        "in progress, 37 %"
    );
    assert_eq!(Progress::new(Status::InProgress, 101).percent, 100);
    assert_eq!(ErrorCode::from(-5).to_string(), "-5");
    assert_eq!(
        i64::from(ErrorCode(5066)),
        ErrorCode::FILE_NOT_FOUND.as_i64()
    );
    assert!(ErrorCode::OK.is_ok() && !ErrorCode::INTERNAL.is_ok());
}

/// A program reads the fields of an error directly, with no getter.
#[test]
fn errors_are_plain_structs() {
    let body = br#"{"code":5113,"message":"traffic is used up","x-traceID":"1895c15e"}"#;
    match Envelope::<Progress>::from_slice(body)
        .unwrap()
        .into_result()
    {
        Err(Error::Api(error)) => {
            assert_eq!(error.code, ErrorCode::QUOTA_EXHAUSTED);
            assert_eq!(error.code.0, 5113);
            assert_eq!(error.message, "traffic is used up");
            assert_eq!(error.trace_id.as_deref(), Some("1895c15e"));
            assert_eq!((error.http_status, error.retry_after), (None, None));
        }
        other => panic!("{other:?}"),
    }
    match Envelope::<Progress>::from_slice(b"<html>") {
        Err(Error::Decode(error)) => {
            assert_eq!(
                (error.reason.as_str(), error.body.as_str()),
                ("it is not JSON", "<html>")
            );
        }
        other => panic!("{other:?}"),
    }
    match Client::new("").unwrap_err() {
        Error::Config(error) => {
            assert_eq!(error.setting, "access_token");
            assert!(error.reason.starts_with("it is empty"), "{error}");
        }
        other => panic!("{other:?}"),
    }

    let mut server = mockito::Server::new();
    server
        .mock("GET", mockito::Matcher::Any)
        .with_status(429)
        .with_header("Retry-After", "7")
        .with_body("slow down")
        .create();
    let client = |base_url| {
        Client::builder()
            .access_token("token")
            .base_url(base_url)
            .retries(0)
            .build()
            .unwrap()
    };
    match client(format!(
        "http://127.0.0.1:{}",
        server.socket_address().port()
    ))
    .get_process(1)
    .unwrap_err()
    {
        Error::Http(error) => {
            assert_eq!((error.status, error.body.as_str()), (429, "slow down"));
            assert_eq!(error.retry_after, Some(std::time::Duration::from_secs(7)));
        }
        other => panic!("{other:?}"),
    }
    match client("http://127.0.0.1:1".to_owned())
        .get_process(1)
        .unwrap_err()
    {
        Error::Transport(error) => {
            assert_eq!(error.kind, TransportErrorKind::Connect);
            assert!(error.message.contains("127.0.0.1"), "{}", error.message);
        }
        other => panic!("{other:?}"),
    }
}

/// A program reads and sets the fields of a task, and makes one from a text.
#[test]
fn new_task_is_a_plain_struct() {
    let mut task = NewTask::new("https://example.org/cat.png").directory("7");
    task.file_name = Some("cat-1.png".to_owned());
    assert_eq!(task.url, "https://example.org/cat.png");
    assert_eq!(task.directory.as_deref(), Some("7"));
    assert_eq!(task.callback_url, None);
    task.validate().unwrap();
    task.file_name = Some("cat.txt".to_owned());
    assert!(matches!(task.validate(), Err(Error::Config(error)) if error.setting == "file_name"));
    for task in [NewTask::from("u"), NewTask::from("u".to_owned())] {
        assert_eq!(task, NewTask::new("u"));
    }
    assert_eq!(AccessToken::from(&"t".to_owned()), AccessToken::from("t"));
}

/// Set by the parent for its child: the base URL.
#[cfg(target_os = "linux")]
const BASE_URL: &str = "SURFACE_TEST_BASE_URL";

/// Runs the calls in a child process without a server, so that every additional thread in it is the
/// client's. To detect threads that end within a call, the parent sets `RUST_MIN_STACK` to more
/// than any address space, which makes each start of a thread fail. (libtest then runs the test on
/// the main thread.)
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
#[test]
fn call_to_an_address_starts_no_thread() {
    let mut server = mockito::Server::new();
    let mock_response = |server: &mut mockito::Server, task_id: &str, status: usize, body: &str| {
        let path = format!("/api/v1/oss/offline/download/process?taskID={task_id}");
        server
            .mock("GET", path.as_str())
            .with_status(status)
            .with_body(body)
            .create()
    };
    let success = r#"{"code":0,"message":"ok","data":{"process":50,"status":0}}"#;
    let good = mock_response(&mut server, "1", 200, success).expect(20);
    let bad = mock_response(&mut server, "2", 502, "<html>").expect(2);
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_counts_threads",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(
            BASE_URL,
            format!("http://127.0.0.1:{}", server.socket_address().port()),
        )
        .env("RUST_MIN_STACK", (1_u64 << 60).to_string())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{stdout}\n{stderr}"
    );
    good.assert();
    bad.assert();
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by call_to_an_address_starts_no_thread in its own process"]
fn child_counts_threads() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let base_url = std::env::var(BASE_URL).expect("set by the parent");
    let client = Client::builder()
        .access_token("token")
        .base_url(base_url)
        .retries(1)
        .configure_agent(|agent| agent.ip_family(pan123_offline::ureq::config::IpFamily::Ipv4Only))
        .build()
        .unwrap();
    assert_eq!(threads(), 1);
    assert!(
        std::thread::Builder::new().spawn(|| ()).is_err(),
        "this test cannot detect a short-lived thread"
    );
    for _ in 0..20 {
        client.get_process(1).unwrap();
        assert_eq!(threads(), 1);
    }
    // An error and its retry, which has its own timeouts.
    client.get_process(2).unwrap_err();
    assert_eq!(threads(), 1);
}
