//! Retries: of which errors, how many, in which order and within which time.

mod support;

use std::time::{Duration, Instant};

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Error, ErrorCode, TransportErrorKind};
use support::{RUNNING, TASK, builder, retry_at_once, service, side_by_side};

#[test]
fn retries_a_transient_error_up_to_the_configured_number() {
    for retries in 0..4 {
        let service = service();
        service.reply_with(|_| Some(retry_at_once(Reply::code(429, "too many requests"))));
        let client = builder(service.base_url())
            .retries(retries)
            .build()
            .unwrap();
        let error = client.get_process(TASK).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::RATE_LIMITED));
        assert_eq!(error.retry_after(), Some(Duration::ZERO));
        assert_eq!(service.request_count(), 1 + retries as usize);
    }
}

#[test]
fn a_retry_gets_the_remaining_time() {
    let service = service();
    service
        .reply_next(Reply::new(503).header("Retry-After", "2"))
        .reply_next(Reply::new(200).stall_at(0));
    let client = builder(service.base_url())
        .retries(1)
        .timeout(Duration::from_secs(3))
        .build()
        .unwrap();
    let started = Instant::now();
    assert!(client.get_process(TASK).unwrap_err().is_timeout());
    // One of the three seconds remained, half of it for the header. With the whole timeout for the
    // retry it would take four and a half seconds.
    assert!(
        (2..4).contains(&started.elapsed().as_secs()),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn retries_twice_by_default() {
    let service = service();
    service.reply_with(|_| Some(retry_at_once(Reply::new(503))));
    let client = pan123_offline::Client::builder()
        .access_token("t")
        .base_url(service.base_url())
        .build()
        .unwrap();
    assert!(matches!(client.get_process(TASK).unwrap_err(), Error::Http(e) if e.status == 503));
    assert_eq!(service.request_count(), 3);
}

#[test]
fn retries_only_transient_errors() {
    let cases: [(Reply, bool); 12] = [
        (Reply::code(429, ""), true),
        (Reply::new(429), true),
        (Reply::new(500), true),
        (Reply::new(502).body("<html>"), true),
        (Reply::new(599), true),
        (Reply::code(1, ""), false),
        (Reply::code(401, ""), false),
        (Reply::code(403, ""), false),
        (Reply::new(401), false),
        (Reply::new(403), false),
        (Reply::new(404), false),
        (Reply::json("no JSON"), false),
    ];
    for (reply, is_retried) in cases {
        let service = service();
        service.reply_next(retry_at_once(reply.clone()));
        let client = builder(service.base_url()).retries(1).build().unwrap();
        assert_eq!(client.get_process(TASK).is_ok(), is_retried, "{reply:?}");
        assert_eq!(
            service.request_count(),
            1 + usize::from(is_retried),
            "{reply:?}"
        );
    }
}

/// A closed connection and a 503 within one call: the replay does not count as the retry. It has a connection of its own.
#[test]
fn a_replay_does_not_count_as_a_retry() {
    let service = service();
    service
        .reply_next(Reply::nothing())
        .reply_next(retry_at_once(Reply::new(503)));
    let client = builder(service.base_url()).retries(1).build().unwrap();
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    assert_eq!(
        (service.request_count(), service.connection_count()),
        (3, 3)
    );
}

#[test]
fn returns_the_last_error() {
    let service = service();
    service
        .reply_next(retry_at_once(Reply::new(503)))
        .reply_next(retry_at_once(Reply::code(429, "slow down")));
    let error = builder(service.base_url())
        .retries(1)
        .build()
        .unwrap()
        .get_process(TASK)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the service returned code 429: too many requests, wait and try again; received: slow down \
         (trace id stand-in-0001)"
    );
}

#[test]
fn retry_after_replaces_the_backoff() {
    let service = service();
    service
        .reply_next(Reply::new(503))
        .reply_next(Reply::new(503).header("Retry-After", "2"));
    builder(service.base_url())
        .retries(2)
        .build()
        .unwrap()
        .get_process(TASK)
        .unwrap();
    let at: Vec<Instant> = service
        .requests()
        .iter()
        .map(|request| request.at)
        .collect();
    let delays: Vec<Duration> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Lower bounds only: a slow machine makes them longer.
    assert!(delays[0] >= Duration::from_millis(500), "{delays:?}");
    // The backoff would be 1 s.
    assert!(delays[1] >= Duration::from_millis(2000), "{delays:?}");
}

#[test]
fn does_not_wait_for_a_retry_beyond_the_deadline() {
    let service = service();
    for seconds in ["20", "3600", "31536000"] {
        let before = service.request_count();
        service.reply_next(Reply::new(503).header("Retry-After", seconds));
        let client = builder(service.base_url())
            .retries(5)
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        let error = client.get_process(TASK).unwrap_err();
        assert!(matches!(&error, Error::Http(e) if e.status == 503));
        assert!(error.retry_after() >= Some(Duration::from_secs(20)));
        assert_eq!(service.request_count(), before + 1);
    }
}

/// `timeout` bounds a call with its retries, wherever the server stops sending.
#[test]
fn a_stall_in_a_response_is_bounded() {
    let whole = Reply::progress(RUNNING);
    let (header_len, len) = (whole.header_len(), whole.len());
    let byte_by_byte = Duration::from_millis(40);
    let cases = [
        ("before the header", whole.clone().stall_at(0)),
        ("in the header", whole.clone().stall_at(30)),
        (
            "before the end of the header",
            whole.clone().stall_at(header_len - 1),
        ),
        (
            "between header and body",
            whole.clone().stall_at(header_len),
        ),
        ("in the body", whole.clone().stall_at(header_len + 10)),
        ("before the last byte", whole.clone().stall_at(len - 1)),
        ("byte by byte", whole.clone().drip(byte_by_byte)),
        (
            "in a chunked body",
            whole.clone().chunked().stall_at(header_len + 30),
        ),
    ];
    side_by_side(cases, |(what, reply)| {
        let service = service();
        service.reply_with(move |_| Some(reply.clone()));
        bounded(what, &service, &service.base_url());
    });
}

/// The backlog of the listener is full: the system responds to no further connection.
#[cfg(target_os = "linux")]
#[test]
fn a_stall_while_connecting_is_bounded() {
    let full = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = full.local_addr().unwrap();
    let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200));
    let queued: Vec<_> = std::iter::from_fn(|| connect().ok()).take(10_000).collect();
    assert!(queued.len() < 10_000, "the backlog never fills");
    let service = service();
    let error = bounded("connecting", &service, &format!("http://{address}"));
    assert!(!error.may_have_taken_effect());
}

/// TLS to a server that never responds.
#[cfg(feature = "rustls")]
#[test]
fn a_stall_in_the_handshake_is_bounded() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("https://{}", silent.local_addr().unwrap());
    let service = service();
    let error = bounded("in the handshake", &service, &base);
    assert!(!error.may_have_taken_effect());
    assert!(
        error
            .to_string()
            .starts_with("timed out connecting to 127.0.0.1:"),
        "{error}"
    );
}

/// Asserts that the call times out. The bound is generous: a stall that is not bounded would never
/// end.
#[track_caller]
fn bounded(what: &str, service: &Service, base: &str) -> Error {
    let timeout = Duration::from_secs(2);
    let client = builder(base).retries(2).timeout(timeout).build().unwrap();
    let started = Instant::now();
    let error = client.get_process(TASK).unwrap_err();
    let elapsed = started.elapsed();
    assert!(
        error.is_timeout() && error.is_transient(),
        "{what}: {error:?}"
    );
    assert!(matches!(&error, Error::Transport(e) if e.kind == TransportErrorKind::Timeout));
    // Three whole timeouts and the retry delays would be 7.5 s.
    assert!(
        elapsed < Duration::from_secs(7),
        "{what}: {elapsed:?}, {} requests",
        service.request_count()
    );
    error
}
