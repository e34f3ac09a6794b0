//! Guarantees that are in no signature: traits, sizes, fields, no threads.

mod support;

use std::iter::FusedIterator;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use pan123_offline::testing::Reply;
use pan123_offline::{
    AccessToken, ApiError, Callback, CallbackStatus, Client, ClientBuilder, ConfigError,
    DecodeError, Envelope, Error, ErrorCode, HttpError, Images, NewTask, Progress, Status,
    TransportError, TransportErrorKind, Update, Wait, WaitIter, Watch,
};
use support::{client, service};

#[test]
fn types_have_their_traits() {
    fn send<T: Send + Unpin + 'static>() {}
    fn all_but_unwind_safe<T: Send + Sync + Unpin + 'static>() {}
    fn all<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}
    fn value<T: Clone + Eq + std::fmt::Debug>() {}
    fn hashed<T: Clone + Eq + std::hash::Hash + std::fmt::Debug>() {}
    fn small<T: Copy + Eq + std::hash::Hash + std::fmt::Debug>() {}
    fn serialized<T: serde::Serialize + serde::de::DeserializeOwned>() {}
    fn deserialized<T: serde::de::DeserializeOwned>() {}
    fn shown<T: std::fmt::Display>() {}
    fn error<T: std::error::Error + Clone>() {}
    fn fused<T: FusedIterator>() {}

    all::<AccessToken>();
    all::<ApiError>();
    all::<ConfigError>();
    all::<Envelope<Progress>>();
    all::<HttpError>();
    all::<Client>();
    all::<NewTask>();
    all::<Callback>();
    // A cause may be any error of another library, and a builder has closures.
    all_but_unwind_safe::<DecodeError>();
    all_but_unwind_safe::<Error>();
    all_but_unwind_safe::<TransportError>();
    all_but_unwind_safe::<Update>();
    all_but_unwind_safe::<Watch>();
    all_but_unwind_safe::<Wait>();
    send::<ClientBuilder>();
    send::<Images>();

    small::<ErrorCode>();
    small::<Progress>();
    small::<Status>();
    small::<TransportErrorKind>();
    small::<CallbackStatus>();
    hashed::<Callback>();
    hashed::<Envelope<Progress>>();
    hashed::<NewTask>();
    value::<AccessToken>();
    value::<ApiError>();
    value::<ConfigError>();
    value::<HttpError>();
    serialized::<Progress>();
    serialized::<Status>();
    deserialized::<Callback>();
    shown::<ErrorCode>();
    shown::<Progress>();
    shown::<Status>();
    error::<ApiError>();
    error::<ConfigError>();
    error::<DecodeError>();
    error::<Error>();
    error::<HttpError>();
    error::<TransportError>();
    fused::<Watch>();
    fused::<WaitIter>();
    fused::<Images>();
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
    let cause = boxed.source().unwrap();
    assert!(cause.is::<serde_json::Error>() && boxed.is::<Error>());
}

#[test]
fn statuses_and_codes_convert_and_display() {
    for (number, status, text, terminal) in [
        (0, Status::InProgress, "in progress", false),
        (1, Status::Failed, "failed", true),
        (2, Status::Succeeded, "succeeded", true),
        (3, Status::Retrying, "retrying", false),
        (-1, Status::Unknown(-1), "unknown status -1", false),
    ] {
        assert_eq!(Status::from(number), status);
        assert_eq!(status.as_i64(), number);
        assert_eq!(status.to_string(), text);
        assert_eq!(status.is_terminal(), terminal, "{status}");
    }
    let progress = Progress::new(Status::InProgress, 101);
    assert_eq!(progress.to_string(), "in progress, 100 %");
    assert_eq!(ErrorCode::from(-5).to_string(), "-5");
    assert_eq!(i64::from(ErrorCode::FILE_NOT_FOUND), 5066);
    assert!(ErrorCode::OK.is_ok() && !ErrorCode::INTERNAL.is_ok());
}

/// A program reads the fields of an error directly, with no getter.
#[test]
fn errors_are_plain_structs() {
    let service = service();
    let client = client(&service);
    service
        .reply_next(Reply::code(5113, "traffic is used up").header("Retry-After", "0"))
        .reply_next(Reply::new(404).body("slow down").header("Retry-After", "0"))
        .reply_next(Reply::new(200).body("<html>"));
    let next = || client.get_process(1).unwrap_err();
    let Error::Api(error) = next() else { panic!() };
    assert_eq!((error.code.0, error.http_status), (5113, Some(200)));
    let texts = (error.message.as_str(), error.trace_id.as_deref());
    assert_eq!(texts, ("traffic is used up", Some("stand-in-0001")));
    assert_eq!(error.retry_after, Some(Duration::ZERO));
    let Error::Http(error) = next() else { panic!() };
    assert_eq!((error.status, error.body.as_str()), (404, "slow down"));
    assert_eq!(error.retry_after, Some(Duration::ZERO));
    let Error::Decode(error) = next() else {
        panic!()
    };
    let texts = (error.reason.as_str(), error.body.as_str());
    assert_eq!(texts, ("it is not JSON", "<html>"));
    let Error::Config(error) = Client::new("").unwrap_err() else {
        panic!()
    };
    assert_eq!(error.setting, "access_token");
    assert!(error.reason.starts_with("it is empty"), "{error}");
    drop(service);
    let Error::Transport(error) = next() else {
        panic!()
    };
    assert_eq!(error.kind, TransportErrorKind::Connect);
    assert!(error.message.contains("127.0.0.1"), "{}", error.message);
}

/// A program reads and sets the fields of a task, and makes one from a text.
#[test]
fn new_task_is_a_plain_struct() {
    let mut task = NewTask::new("https://example.org/cat.png").directory("7");
    task.file_name = Some("cat.txt".to_owned());
    assert_eq!(task.url, "https://example.org/cat.png");
    let others = (task.directory.as_deref(), &task.callback_url);
    assert_eq!(others, (Some("7"), &None));
    assert!(matches!(task.validate(), Err(Error::Config(error)) if error.setting == "file_name"));
    for task in [NewTask::from("u"), NewTask::from("u".to_owned())] {
        assert_eq!(task, NewTask::new("u"));
    }
    assert_eq!(AccessToken::from(&"t".to_owned()), AccessToken::from("t"));
}

/// Runs calls and a watch in a child process without a server, so that every additional thread in it is the client's. To
/// detect threads that end within a call, the parent sets `RUST_MIN_STACK` to more than any address space, which makes
/// each start of a thread fail. (libtest then runs the test on the main thread.)
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
#[test]
fn calls_and_watches_start_no_thread() {
    let service = service();
    // An error and its retry, which has its own timeouts.
    service.reply_next(Reply::new(502));
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_counts_threads", "--ignored"])
        .arg("--nocapture")
        .env("SURFACE_TEST_BASE_URL", service.base_url())
        .env("RUST_MIN_STACK", (1_u64 << 60).to_string())
        .arg("--test-threads=1")
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let has_passed = output.status.success() && stdout.contains("1 passed");
    assert!(has_passed, "{stdout}\n{stderr}");
    assert_eq!(service.request_count(), 1 + 20 + 2);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by calls_and_watches_start_no_thread in its own process"]
fn child_counts_threads() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let base_url = std::env::var("SURFACE_TEST_BASE_URL").expect("set by the parent");
    let builder = support::builder(base_url).retries(1);
    let client = builder.build().unwrap();
    assert_eq!(threads(), 1);
    let spawned = std::thread::Builder::new().spawn(|| ());
    assert!(spawned.is_err(), "a short-lived thread is not detected");
    for _ in 0..20 {
        client.get_process(support::TASK).unwrap();
        assert_eq!(threads(), 1);
    }
    // The stand-in does not know these tasks.
    for update in client.watch([1, 2]) {
        assert!(update.is_end());
        assert_eq!(threads(), 1);
    }
}
