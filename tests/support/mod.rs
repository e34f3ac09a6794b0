//! Helpers of several test files.
#![allow(dead_code, unused_imports, reason = "no test file uses all of it")]

mod fault;

use std::time::Duration;

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Client, ClientBuilder, Error, Progress, Status, TransportErrorKind};

pub(crate) use fault::{Fault, NEVER};

/// A token that no text contains by chance.
pub(crate) const TOKEN: &str = "s3cr3t-Zq81-token-that-must-not-show";
pub(crate) const TASK: u64 = 403_316;
pub(crate) const RUNNING: Progress = Progress::new(Status::InProgress, 37);

/// A stand-in with one running task.
pub(crate) fn service() -> Service {
    let service = Service::start().unwrap();
    service.task(TASK, [RUNNING]);
    service
}

/// The settings of most tests: no retries, so that each error is returned, and no time between
/// polls.
pub(crate) fn builder(base_url: impl Into<String>) -> ClientBuilder {
    Client::builder()
        .access_token(TOKEN)
        .base_url(base_url)
        .retries(0)
        .min_request_gap(Duration::ZERO)
        .timeout(Duration::from_secs(20))
}

pub(crate) fn client(service: &Service) -> Client {
    builder(service.base_url()).build().unwrap()
}

/// Returns all texts of an error and its causes.
pub(crate) fn all_texts(error: &dyn std::error::Error) -> String {
    let mut texts = format!("{error:?}\n{error:#?}\n{error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        texts += &format!("\n{error:?}\n{error}");
        cause = error.source();
    }
    texts
}

/// Returns the kind of an error of the transport.
#[track_caller]
pub(crate) fn transport_kind(error: &Error) -> TransportErrorKind {
    let Error::Transport(error) = error else {
        panic!("{error:?}")
    };
    error.kind
}

/// Returns the page of a gateway in front of the service.
pub(crate) fn html(status: u16) -> Reply {
    Reply::new(status)
        .header("Content-Type", "text/html")
        .body("<html><body>a gateway</body></html>")
}

/// Adds `Retry-After: 0`, so that a retry does not wait.
pub(crate) fn retry_at_once(reply: Reply) -> Reply {
    reply.header("Retry-After", "0")
}

/// Checks all cases at the same time, each in its own thread.
pub(crate) fn side_by_side<T: Send>(cases: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    let check = &check;
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || check(case));
        }
    });
}
