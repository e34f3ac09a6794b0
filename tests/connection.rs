//! Reuse of connections to the stand-in. The fault table has their loss and replacement.

mod support;

use std::sync::Barrier;
use std::time::Duration;

use pan123_offline::testing::Reply;
use pan123_offline::{Error, NewTask, TransportErrorKind};
use support::{Fault, RUNNING, TASK, builder, client, service};

#[test]
fn a_hundred_calls_and_errors_of_clones_share_one_connection() {
    let service = service();
    let client = client(&service);
    for call in 0..100 {
        let fault = match call % 10 {
            3 => Some(Reply::code(5066, "file not found")),
            5 => Some(Reply::new(502).body("<html>".repeat(2000))),
            7 => Some(Reply::json(r#"{"message":"no code"}"#).chunked()),
            _ => None,
        };
        let is_ok = fault.is_none();
        fault.map(|reply| service.reply_next(reply));
        assert_eq!(client.clone().get_process(TASK).is_ok(), is_ok);
    }
    assert_eq!(service.request_count(), 100);
    assert_eq!(service.connection_count(), 1);
}

/// The polls are concurrent, so that each opens a connection.
#[test]
fn creation_and_replay_leave_idle_connections_alone() {
    const POLLS: usize = 8;

    let service = service();
    let client = client(&service);
    let poll_all = || {
        let started = Barrier::new(POLLS);
        std::thread::scope(|scope| {
            for _ in 0..POLLS {
                service.reply_next(Reply::progress(RUNNING).delay(Duration::from_millis(500)));
            }
            for _ in 0..POLLS {
                scope.spawn(|| {
                    started.wait();
                    client.get_process(TASK).unwrap();
                });
            }
        });
    };
    poll_all();
    assert_eq!(service.connection_count(), POLLS);
    let task = NewTask::new("https://example.org/cat.png");
    client.create_task(&task).unwrap();
    assert_eq!(service.connection_count(), POLLS + 1);
    service.reply_next(Reply::nothing());
    client.get_process(TASK).unwrap();
    assert_eq!(service.connection_count(), POLLS + 2, "a replay");
    poll_all();
    let opened = service.connection_count() - (POLLS + 2);
    assert_eq!(opened, 1, "only the closed connection is replaced");
}

#[test]
fn reads_at_most_64_kib_of_an_error_page() {
    let service = service();
    service.reply_next(Reply::new(500).body("x").endless());
    let error = client(&service).get_process(TASK).unwrap_err();
    assert!(matches!(error, Error::Http(e) if e.status == 500));
}

/// A label of 64 letters is invalid in a DNS name, so the lookup fails without a query.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[test]
fn failed_dns_lookup_is_a_dns_error() {
    let host = format!("{}.invalid", "a".repeat(64));
    let client = builder(format!("https://{host}")).build().unwrap();
    let error = client.get_process(TASK).unwrap_err();
    let text = format!("cannot look up {host}; check its name and the network");
    assert_eq!(error.to_string(), text);
    assert!(matches!(error, Error::Transport(e) if e.kind == TransportErrorKind::Dns));
}
