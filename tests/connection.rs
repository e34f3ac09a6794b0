//! Reuse, loss and replacement of connections to the stand-in.

mod support;

use std::sync::Barrier;
use std::time::Duration;

use pan123_offline::testing::Reply;
use pan123_offline::{Error, ErrorCode, NewTask, TransportErrorKind};
use support::{RUNNING, TASK, builder, client, service};

#[test]
fn a_hundred_calls_and_errors_share_one_connection() {
    let service = service();
    let client = client(&service);
    let html = "<html>".repeat(2000);
    for call in 0..100 {
        match call % 10 {
            3 => {
                service.reply_next(Reply::code(5066, "file not found"));
                assert_eq!(
                    client.get_process(TASK).unwrap_err().code(),
                    Some(ErrorCode::FILE_NOT_FOUND)
                );
            }
            5 => {
                service.reply_next(Reply::new(502).body(html.as_str()));
                assert!(
                    matches!(client.get_process(TASK).unwrap_err(), Error::Http(e) if e.status == 502)
                );
            }
            7 => {
                service.reply_next(Reply::new(200).chunked().body(r#"{"message":"no code"}"#));
                assert!(matches!(
                    client.get_process(TASK).unwrap_err(),
                    Error::Decode(_)
                ));
            }
            _ => assert_eq!(client.get_process(TASK).unwrap(), RUNNING),
        }
    }
    assert_eq!(
        (service.request_count(), service.connection_count()),
        (100, 1)
    );
}

#[test]
fn clones_share_the_connection() {
    let service = service();
    let client = client(&service);
    for clone in [client.clone(), client.clone(), client] {
        clone.get_process(TASK).unwrap();
    }
    assert_eq!(service.connection_count(), 1);
}

/// Every third response is the last of its connection, without `Connection: close`.
#[test]
fn no_call_fails_if_the_server_closes_without_notice() {
    let service = service();
    let client = client(&service);
    for call in 0..300 {
        if call % 3 == 2 {
            service.reply_next(Reply::progress(RUNNING).close_after());
        }
        assert_eq!(client.get_process(TASK).unwrap(), RUNNING, "call {call}");
        // Some connections are closed before the next call takes one from the pool, some during
        // that call.
        match call % 4 {
            0 => {}
            1 => std::thread::sleep(Duration::from_millis(2)),
            2 => std::thread::yield_now(),
            _ => std::thread::sleep(Duration::from_micros(50)),
        }
    }
    // A replay has a connection of its own.
    let connections = service.connection_count();
    assert!((100..=200).contains(&connections), "{connections}");
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
fn keeps_the_http_status_if_the_body_is_incomplete() {
    let service = service();
    let reply = Reply::new(403).body("<html>banned</html>");
    service.reply_next(reply.clone().cut_at(reply.len() - 7));
    let error = client(&service).get_process(TASK).unwrap_err();
    assert!(error.is_banned());
    assert!(matches!(error, Error::Http(e) if e.body == "<html>banned"));
    assert_eq!(service.request_count(), 1, "a ban is not retried");
}

#[test]
fn does_not_reuse_a_connection_after_connection_close() {
    let service = service();
    let client = client(&service);
    for _ in 0..5 {
        service.reply_next(Reply::progress(RUNNING).announce_close());
        client.get_process(TASK).unwrap();
    }
    assert_eq!(
        (service.request_count(), service.connection_count()),
        (5, 5)
    );
}

#[test]
fn reads_at_most_64_kib_of_a_body() {
    let service = service();
    let client = client(&service);
    for status in [200, 500] {
        service.reply_next(Reply::new(status).body("x").endless());
        let error = client.get_process(TASK).unwrap_err();
        match error {
            Error::Decode(e) => assert_eq!(
                (status, e.reason.as_str()),
                (200, "its body is longer than 64 KiB")
            ),
            Error::Http(e) => assert_eq!((status, e.status), (500, 500)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    assert_eq!(service.connection_count(), 3);
}

/// A label of 64 letters is invalid in a DNS name, so the lookup fails without a query.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[test]
fn failed_dns_lookup_is_a_dns_error() {
    let host = format!("{}.invalid", "a".repeat(64));
    let client = builder(format!("https://{host}")).build().unwrap();
    let error = client.get_process(TASK).unwrap_err();
    assert!(
        matches!(&error, Error::Transport(e) if e.kind == TransportErrorKind::Dns),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        format!("cannot look up {host}; check its name and the network")
    );
}
