//! Tests of the stand-in over its sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Reply, Service, TRACE_ID};
use crate::task::{Progress, Status};

const PROCESS: &str = "/api/v1/oss/offline/download/process";
const CREATE: &str = "/api/v1/oss/offline/download";
const TOKEN: &str = "/api/v1/access_token";

/// Limit for waiting, which only a hang reaches.
const HANG_TIMEOUT: Duration = Duration::from_secs(30);

const HALF: Progress = Progress::new(Status::InProgress, 50);
const DONE: Progress = Progress::new(Status::Succeeded, 100);

/// A minimal HTTP client.
struct Peer(TcpStream);

impl Peer {
    #[track_caller]
    fn connect(service: &Service) -> Self {
        let stream = TcpStream::connect(service.address()).expect("a connection");
        stream
            .set_read_timeout(Some(HANG_TIMEOUT))
            .expect("a read timeout");
        Self(stream)
    }

    #[track_caller]
    fn send(&mut self, text: &str) -> &mut Self {
        self.0.write_all(text.as_bytes()).expect("a request sent");
        self
    }

    #[track_caller]
    fn poll(&mut self, task_id: &str) -> &mut Self {
        self.poll_as("any", task_id)
    }

    #[track_caller]
    fn poll_as(&mut self, token: &str, task_id: &str) -> &mut Self {
        self.send(&format!(
            "GET {PROCESS}?taskID={task_id} HTTP/1.1\r\nHost: x\r\nPlatform: open_platform\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        ))
    }

    #[track_caller]
    fn post(&mut self, path: &str, body: &str) -> &mut Self {
        let len = body.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nPlatform: open_platform\r\n\
             Authorization: Bearer any\r\nContent-Length: {len}\r\n\r\n{body}"
        ))
    }

    #[track_caller]
    fn take(&mut self, len: usize) -> String {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).expect("enough bytes");
        String::from_utf8(bytes).expect("UTF-8")
    }

    /// Reads the status line with the headers, and a body of their `Content-Length`.
    #[track_caller]
    fn response(&mut self) -> (String, String) {
        let mut headers = String::new();
        while !headers.ends_with("\r\n\r\n") {
            headers += &self.take(1);
        }
        let len = headers
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .map_or(0, |len| len.parse().expect("a number"));
        let body = self.take(len);
        (headers, body)
    }

    #[track_caller]
    fn envelope(&mut self) -> Value {
        serde_json::from_str(&self.response().1).expect("an envelope")
    }

    /// Reads an envelope; returns its code and message.
    #[track_caller]
    fn code_and_message(&mut self) -> (i64, String) {
        let envelope = self.envelope();
        let code = envelope["code"].as_i64().expect("a code");
        let message = envelope["message"].as_str().expect("a message");
        (code, message.to_owned())
    }

    /// Reads to the end of the connection.
    #[track_caller]
    fn read_to_end(&mut self) -> String {
        let mut text = String::new();
        self.0.read_to_string(&mut text).expect("an orderly end");
        text
    }
}

#[track_caller]
fn start() -> Service {
    let service = Service::start().expect("a stand-in");
    service.task(7, [HALF, DONE]);
    service
}

fn rendered_progress(progress: Progress) -> String {
    rendered(&Reply::progress(progress))
}

fn rendered(reply: &Reply) -> String {
    let mut bytes = Vec::new();
    reply.render(&mut bytes);
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn poll_gets_the_documented_response() {
    let service = start();
    service.task(7, [DONE]);
    let body = r#"{"code":0,"message":"ok","data":{"process":100,"status":2},"x-traceID":"stand-in-0001"}"#;
    let expected = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let response = Peer::connect(&service).poll("7").take(expected.len());
    assert_eq!(response, expected);
}

#[test]
fn steps_follow_in_order_and_the_last_one_repeats() {
    let service = start();
    let mut peer = Peer::connect(&service);
    for expected in [HALF, DONE, DONE] {
        assert_eq!(
            peer.poll("7").take(rendered_progress(expected).len()),
            rendered_progress(expected)
        );
    }
    service.task(7, []);
    let idle = rendered_progress(Progress::new(Status::InProgress, 0));
    assert_eq!(peer.poll("7").take(idle.len()), idle);
    assert_eq!(service.connection_count(), 1);
}

#[test]
fn connections_share_a_script() {
    let service = start();
    service.task(
        7,
        (0..40).map(|percent| Progress::new(Status::InProgress, percent)),
    );
    let mut seen: Vec<i64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut peer = Peer::connect(&service);
                    let poll = |_| peer.poll("7").envelope()["data"]["process"].as_i64();
                    (0..10).filter_map(poll).collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    seen.sort_unstable();
    assert_eq!(seen, (0..40).collect::<Vec<_>>());
    assert_eq!(service.connection_count(), 4);
}

#[test]
fn serves_pipelined_and_fragmented_requests_one_by_one() {
    let service = start();
    let mut peer = Peer::connect(&service);
    let poll = format!(
        "GET {PROCESS}?a=b&taskID=7 HTTP/1.1\r\nplatform:open_platform\r\n\
         authorization: Bearer x\r\n\r\n"
    );
    peer.send(&format!("{poll}{poll}"));
    assert_eq!(peer.envelope()["data"]["process"], 50);
    assert_eq!(peer.envelope()["data"]["process"], 100);
    for byte in poll.chars() {
        peer.send(&byte.to_string());
    }
    assert_eq!(peer.envelope()["data"]["process"], 100);
    assert_eq!(service.request_count(), 3);
}

#[test]
fn invalid_requests_get_the_errors_of_the_module_docs() {
    let service = start();
    let mut peer = Peer::connect(&service);
    let invalid_id = (1, "taskID is missing or not a number".to_owned());
    assert_eq!(
        peer.poll("8").code_and_message(),
        (1, "task not found".to_owned())
    );
    assert_eq!(peer.poll("").code_and_message(), invalid_id);
    assert_eq!(peer.poll("-1").code_and_message(), invalid_id);
    let invalid = (401, "token is invalid".to_owned());
    assert_eq!(peer.poll_as("", "7").code_and_message(), invalid);
    peer.send(&format!("GET {PROCESS}?taskID=7 HTTP/1.1\r\n\r\n"));
    let missing_platform = "the header Platform: open_platform is missing".to_owned();
    assert_eq!(peer.code_and_message(), (1, missing_platform));

    let (headers, body) = peer.send("GET / HTTP/1.1\r\n\r\n").response();
    assert!(
        headers.starts_with("HTTP/1.1 404 Not Found\r\n"),
        "{headers}"
    );
    assert!(body.starts_with("<html>"), "{body}");
    let (headers, _) = peer.post(PROCESS, "").response();
    assert!(
        headers.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"),
        "{headers}"
    );
    assert!(headers.contains("Allow: GET\r\n"), "{headers}");
    assert_eq!(service.connection_count(), 1);
}

#[test]
fn malformed_request_gets_an_error_and_closes_the_connection() {
    let service = start();
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000));
    for (request, status) in [
        ("hello\r\n\r\n", "400"),
        ("GET / HTTP/2.0\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nContent-Length: ten\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", "400"),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "411",
        ),
        (long.as_str(), "400"),
    ] {
        let response = Peer::connect(&service).send(request).read_to_end();
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{response}"
        );
        assert!(response.contains("Connection: close\r\n"), "{response}");
    }
    assert_eq!(service.request_count(), 0);
}

#[test]
fn closes_the_connection_on_connection_close() {
    let service = start();
    for request in [
        "GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        let response = Peer::connect(&service).send(request).read_to_end();
        assert!(response.ends_with("</html>\n"), "{response}");
    }
}

#[test]
fn queued_replies_precede_the_hook_and_the_hook_the_documented_response() {
    let service = start();
    service
        .reply_with(|request| (request.task_id() == Some(9)).then(|| Reply::code(9, "hook")))
        .reply_next(Reply::code(429, "say \"slow\""))
        .reply_next(Reply::new(503));
    let mut peer = Peer::connect(&service);

    let envelope = peer.poll("9").envelope();
    let expected = json!({
        "code": 429, "message": "say \"slow\"", "data": null, "x-traceID": TRACE_ID,
    });
    assert_eq!(envelope, expected);
    let (headers, body) = peer.poll("9").response();
    assert_eq!(
        headers,
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(body, "");
    assert_eq!(peer.poll("9").code_and_message().0, 9);
    assert_eq!(peer.poll("7").code_and_message().0, 0);
    assert_eq!(service.connection_count(), 1);
}

#[test]
fn panic_in_a_hook_closes_its_connection_and_no_other() {
    let service = start();
    service.reply_with(|request| {
        assert_ne!(request.task_id(), Some(8), "an intended panic");
        None
    });
    assert_eq!(Peer::connect(&service).poll("8").read_to_end(), "");
    assert_eq!(Peer::connect(&service).poll("7").code_and_message().0, 0);
}

#[test]
fn reply_ends_its_connection_as_scripted() {
    let service = start();
    let whole = rendered_progress(DONE);
    let reply = || Reply::progress(DONE);
    let unsized_body = format!(
        "{}[]",
        rendered(&Reply::json("[]").until_close()).replace("[]", "")
    );
    for (reply, expected) in [
        (reply().close_after(), whole.as_str()),
        (
            reply().cut_at(reply().header_len() + 3),
            &whole[..reply().header_len() + 3],
        ),
        (reply().cut_at(usize::MAX), &whole),
        (reply().drip(Duration::ZERO).close_after(), &whole),
        (
            reply().delay(Duration::from_millis(1)).close_after(),
            &whole,
        ),
        (Reply::json("[]").until_close(), &unsized_body),
        (Reply::raw("no HTTP").close_after(), "no HTTP"),
        (Reply::nothing(), ""),
    ] {
        service.reply_next(reply);
        assert_eq!(Peer::connect(&service).poll("7").read_to_end(), expected);
    }
    assert!(!unsized_body.contains("Content-Length"), "{unsized_body}");

    service.reply_next(reply().announce_close());
    let response = Peer::connect(&service).poll("7").read_to_end();
    assert!(
        response.contains("\r\nConnection: close\r\n\r\n{"),
        "{response}"
    );
}

#[test]
fn chunked_body_has_three_chunks() {
    let reply = Reply::new(200).body("0123456789").chunked();
    let expected = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                    4\r\n0123\r\n4\r\n4567\r\n2\r\n89\r\n0\r\n\r\n";
    assert_eq!(rendered(&reply), expected);
    let empty = rendered(&Reply::new(200).chunked());
    assert!(empty.ends_with("\r\n\r\n0\r\n\r\n"), "{empty}");
}

#[test]
fn content_length_can_be_overridden() {
    let reply = Reply::new(200).header("content-length", "99").body("short");
    let expected = "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nshort";
    assert_eq!(rendered(&reply), expected);
    assert_eq!(
        rendered(&Reply::new(204)),
        "HTTP/1.1 204 No Content\r\n\r\n"
    );
}

#[test]
fn lengths_count_the_bytes_sent() {
    let reply = Reply::json("[1]").header("Retry-After", "3");
    let text = rendered(&reply);
    assert_eq!(reply.len(), text.len());
    assert_eq!(reply.header_len(), text.len() - 3);
    assert!(text[..reply.header_len()].ends_with("\r\n\r\n"));
    assert!(!reply.is_empty());

    assert_eq!(
        (Reply::raw("abc").header_len(), Reply::raw("abc").len()),
        (0, 3)
    );
    assert!(Reply::nothing().is_empty());
    assert!(!Reply::raw("abc").is_empty() && !Reply::new(200).is_empty());
}

#[test]
fn status_line_has_the_reason_phrase() {
    for (status, reason) in [
        (200, "OK"),
        (204, "No Content"),
        (301, "Moved Permanently"),
        (302, "Found"),
        (307, "Temporary Redirect"),
        (308, "Permanent Redirect"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (411, "Length Required"),
        (429, "Too Many Requests"),
        (500, "Internal Server Error"),
        (502, "Bad Gateway"),
        (503, "Service Unavailable"),
        (504, "Gateway Timeout"),
        (599, "Unknown"),
    ] {
        let expected = format!("HTTP/1.1 {status} {reason}\r\n");
        assert!(
            rendered(&Reply::new(status)).starts_with(&expected),
            "{status}"
        );
    }
}

#[test]
fn delay_and_drip_last_as_long_as_scripted() {
    let service = start();
    let interval = Duration::from_millis(100);
    for (reply, min) in [
        (Reply::raw("abc").close_after().delay(interval), interval),
        (Reply::raw("abc").close_after().drip(interval), 2 * interval),
        (
            Reply::raw("abc")
                .close_after()
                .drip(interval)
                .delay(interval),
            3 * interval,
        ),
    ] {
        service.reply_next(reply);
        let started = Instant::now();
        assert_eq!(Peer::connect(&service).poll("7").read_to_end(), "abc");
        assert!(started.elapsed() >= min);
    }
}

#[test]
fn stalled_connection_stays_open() {
    let service = start();
    service.reply_next(Reply::raw("abc").stall_at(2));
    let mut peer = Peer::connect(&service);
    assert_eq!(peer.poll("7").take(2), "ab");
    peer.0
        .set_read_timeout(Some(Duration::from_millis(100)))
        .expect("a read timeout");
    let error = peer.0.read(&mut [0]).expect_err("silence");
    assert!(
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{error:?}"
    );
}

#[test]
fn accepts_16_kib_of_headers_and_64_kib_of_body() {
    let service = start();
    let headers = |body: usize| {
        format!("POST /x HTTP/1.1\r\nConnection: close\r\nContent-Length: {body}\r\nX: ")
    };
    let padded = |len: usize, body: usize| {
        let start = headers(body);
        format!(
            "{start}{}\r\n\r\n{}",
            "x".repeat(len - start.len() - 4),
            "y".repeat(body)
        )
    };
    for (request, status) in [
        (padded(16 * 1024, 0), "404"),
        (padded(16 * 1024 + 1, 0), "400"),
        (padded(1000, 64 * 1024), "404"),
        (padded(1000, 64 * 1024 + 1), "400"),
    ] {
        let response = Peer::connect(&service).send(&request).read_to_end();
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{response}"
        );
    }
}

#[test]
fn endless_body_ends_with_its_limit_or_the_peer() {
    let service = start();
    let reply = Reply::json("[]").endless();
    service.reply_next(reply.clone().cut_at(reply.len() + 100_000));
    let response = Peer::connect(&service).poll("7").read_to_end();
    assert!(!response.contains("Content-Length"));
    assert_eq!(response.len(), reply.len() + 100_000);
    assert!(response.trim_end().ends_with("[]"));

    service.reply_next(reply);
    let mut peer = Peer::connect(&service);
    peer.poll("7").take(1_000_000);
}

/// Opens connections in every state in which a thread can wait: reading, writing, sleeping.
fn busy_connections(service: &Service) -> Vec<Peer> {
    let hour = Duration::from_secs(3600);
    let whole = Reply::progress(DONE);
    let mut peers = Vec::new();
    for (reply, received_len) in [
        (whole.clone(), whole.len()),
        (whole.clone().stall_at(20), 20),
        (whole.clone().stall_at(whole.len()), whole.len()),
        (whole.clone().drip(hour), 1),
        (whole.clone().endless(), 20),
        (whole.clone().delay(Duration::MAX), 0),
    ] {
        service.reply_next(reply);
        let mut peer = Peer::connect(service);
        peer.poll("7").take(received_len);
        peers.push(peer);
    }
    // The last peer receives nothing, so its request is awaited here.
    while service.request_count() < peers.len() {
        thread::yield_now();
    }
    peers.push(Peer::connect(service));
    while service.connection_count() < peers.len() {
        thread::yield_now();
    }
    peers
}

#[test]
fn drop_closes_port_and_every_connection() {
    let service = start();
    let peers = busy_connections(&service);
    let (address, shared) = (service.address(), Arc::clone(&service.shared));
    let started = Instant::now();
    drop(service);
    // The limit is 0.15 s; the difference is for a machine under load.
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );

    for mut peer in peers {
        if let Err(error) = peer.0.read_to_end(&mut Vec::new()) {
            assert!(matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted
            ));
        }
    }
    assert!(
        shared.connections.wait_closed(HANG_TIMEOUT),
        "a thread still runs"
    );
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn every_thread_ends_without_shutdown() {
    let service = start();
    let _peers = busy_connections(&service);
    service.shared.connections.announce_stop();
    assert!(
        service.shared.connections.wait_closed(HANG_TIMEOUT),
        "a thread still runs"
    );
}

#[test]
fn drop_does_not_wait_for_a_hook_that_does_not_return() {
    let service = start();
    let (entered, has_entered) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    service.reply_with(move |_| {
        entered.send(()).expect("a test that is still waiting");
        let _ = released.lock().expect("no panic").recv();
        None
    });
    let mut peer = Peer::connect(&service);
    peer.poll("7");
    has_entered
        .recv_timeout(HANG_TIMEOUT)
        .expect("a call of the hook");
    drop(service);
    // The receiver still exists, so the hook has not returned.
    release.send(()).expect("a hook that is waiting");
}

#[test]
fn stalled_connection_ends_with_its_peer() {
    let service = start();
    service.reply_next(Reply::nothing().stall_at(0));
    let mut peer = Peer::connect(&service);
    peer.poll("7");
    peer.0
        .shutdown(std::net::Shutdown::Write)
        .expect("half a close");
    assert_eq!(peer.read_to_end(), "");
}

#[test]
fn accepts_only_the_required_token() {
    let service = start();
    service.require_token("right");
    let mut peer = Peer::connect(&service);
    assert_eq!(peer.poll_as("right", "7").code_and_message().0, 0);
    let wrong = peer.poll_as("wrong", "7").code_and_message();
    assert_eq!(wrong, (401, "token is invalid".to_owned()));
}

fn issue(peer: &mut Peer, client: &str) -> String {
    let body = format!(r#"{{"clientID":"{client}","clientSecret":"secret"}}"#);
    let envelope = peer.post(TOKEN, &body).envelope();
    assert!(envelope["data"]["expiredAt"].is_string(), "{envelope}");
    let token = envelope["data"]["accessToken"].as_str().expect("a token");
    token.to_owned()
}

#[test]
fn three_issued_tokens_are_valid_and_a_fourth_revokes_the_oldest() {
    let service = start();
    service.credentials("me", "secret");
    let mut peer = Peer::connect(&service);
    let revoked = (401, "tokens number has exceeded the limit".to_owned());
    assert_eq!(peer.poll("7").code_and_message().0, 401);

    let tokens: Vec<_> = (0..3).map(|_| issue(&mut peer, "me")).collect();
    for token in &tokens {
        assert_eq!(token.len(), 100);
        assert_eq!(peer.poll_as(token, "7").code_and_message().0, 0);
    }
    let fourth = issue(&mut peer, "me");
    assert_eq!(peer.poll_as(&tokens[0], "7").code_and_message(), revoked);
    for token in [&tokens[1], &tokens[2], &fourth] {
        assert_eq!(peer.poll_as(token, "7").code_and_message().0, 0);
    }

    service.revoke_tokens();
    assert_eq!(peer.poll_as(&fourth, "7").code_and_message(), revoked);
    let fifth = issue(&mut peer, "me");
    assert_eq!(peer.poll_as(&fifth, "7").code_and_message().0, 0);
    assert_eq!(peer.poll_as(&fourth, "7").code_and_message(), revoked);
    assert_eq!(service.tokens_issued(), 5);
}

#[test]
fn rejects_tokens_after_revoking_until_one_is_required() {
    let service = start();
    let mut peer = Peer::connect(&service);
    assert_eq!(peer.poll("7").code_and_message().0, 0);
    service.revoke_tokens();
    assert_eq!(peer.poll("7").code_and_message().0, 401);
    service.require_token("any");
    assert_eq!(peer.poll("7").code_and_message().0, 0);
}

#[test]
fn issues_tokens_to_the_configured_client_only() {
    let service = start();
    let mut peer = Peer::connect(&service);
    let wrong = (1, "client id or secret is wrong".to_owned());
    assert_eq!(peer.post(TOKEN, "{}").code_and_message(), wrong);
    assert_eq!(peer.post(TOKEN, "").code_and_message().0, 1);
    // Each of the two is required.
    assert_eq!(
        peer.post(TOKEN, r#"{"clientID":"you"}"#).code_and_message(),
        wrong
    );
    assert_eq!(
        peer.post(TOKEN, r#"{"clientSecret":"secret"}"#)
            .code_and_message(),
        wrong
    );
    issue(&mut peer, "any-client");
    // Any token is valid so far.
    assert_eq!(peer.poll("7").code_and_message().0, 0);

    service.credentials("me", "secret");
    let body = r#"{"clientID":"you","clientSecret":"secret"}"#;
    assert_eq!(peer.post(TOKEN, body).code_and_message(), wrong);
    assert_eq!(service.tokens_issued(), 1);
}

#[test]
fn created_task_gets_the_next_unused_id_and_a_script() {
    let service = start();
    service.task(403_317, [DONE]);
    let mut peer = Peer::connect(&service);
    let body = r#"{"url":"https://example.com/a.png","type":1}"#;
    assert_eq!(
        peer.post(CREATE, body).envelope()["data"],
        json!({"taskID": 403_316})
    );
    assert_eq!(
        peer.post(CREATE, body).envelope()["data"],
        json!({"taskID": 403_318})
    );
    for percent in [50, 100, 100] {
        assert_eq!(peer.poll("403316").envelope()["data"]["process"], percent);
    }

    service.new_tasks(|task_id, url| {
        let status = Status::from(i64::try_from(task_id).unwrap_or_default());
        vec![Progress::new(status, url.len() as u8)]
    });
    peer.post(CREATE, body).envelope();
    let data = &peer.poll("403319").envelope()["data"];
    assert_eq!(data, &json!({"process": 25, "status": 403_319}));
}

#[test]
fn tasks_created_concurrently_have_different_ids() {
    let service = start();
    let both = Arc::new(std::sync::Barrier::new(2));
    service.new_tasks(move |_, _| {
        both.wait();
        vec![DONE]
    });
    let create = || {
        let body = r#"{"url":"https://example.com/a.png","type":1}"#;
        Peer::connect(&service).post(CREATE, body).envelope()["data"]["taskID"].as_u64()
    };
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(create);
        (create(), one.join().expect("no panic"))
    });
    assert_eq!(one.max(other), Some(403_317));
    assert_ne!(one, other);
}

#[test]
fn rejects_invalid_new_task() {
    let service = start();
    let mut peer = Peer::connect(&service);
    let invalid_url = (1, "url is not an http or https URL".to_owned());
    for body in [
        "{}",
        r#"{"url":"ftp://x/a.png","type":1}"#,
        r#"{"url":"https://","type":1}"#,
    ] {
        assert_eq!(peer.post(CREATE, body).code_and_message(), invalid_url);
    }
    let body = r#"{"url":"http://x/a.png","type":"1"}"#;
    assert_eq!(
        peer.post(CREATE, body).code_and_message(),
        (1, "type is not 1".to_owned())
    );
    let invalid_json = (1, "the body is not JSON".to_owned());
    assert_eq!(peer.post(CREATE, "url").code_and_message(), invalid_json);
}

#[test]
fn requests_are_kept_as_sent() {
    let service = start();
    Peer::connect(&service).poll("7").response();
    Peer::connect(&service).post(CREATE, "abc").response();
    let [poll, create] = <[_; 2]>::try_from(service.requests()).expect("two requests");

    assert_eq!((poll.connection, create.connection), (0, 1));
    assert_eq!((poll.method.as_str(), poll.path.as_str()), ("GET", PROCESS));
    assert_eq!(
        (poll.query.as_deref(), poll.task_id()),
        (Some("taskID=7"), Some(7))
    );
    assert_eq!(poll.headers[0], ("Host".to_owned(), "x".to_owned()));
    assert_eq!(poll.header("AUTHORIZATION"), Some("Bearer any"));
    assert_eq!(
        (create.query.as_deref(), create.body.as_slice()),
        (None, &b"abc"[..])
    );
    assert!(poll.at <= create.at);
}

#[test]
fn keeps_at_most_the_set_number_of_requests() {
    let service = start();
    let mut peer = Peer::connect(&service);
    let mut kept_after = |max| {
        service.keep_requests(max);
        for id in ["1", "2", "3"] {
            peer.poll(id).response();
        }
        let ids = service
            .requests()
            .iter()
            .filter_map(super::Request::task_id)
            .collect();
        (service.request_count(), ids)
    };
    assert_eq!(kept_after(2), (3, vec![2, 3]));
    assert_eq!(kept_after(0), (6, vec![]));
    assert_eq!(kept_after(1), (9, vec![3]));
}

#[test]
fn service_can_be_shared_and_formatted() {
    let service = Arc::new(start());
    let other = Arc::clone(&service);
    let url = thread::spawn(move || other.base_url())
        .join()
        .expect("no panic");
    assert_eq!(url, format!("http://{}", service.address()));
    let text = format!("{service:?}");
    assert!(text.contains("connections: 0, requests: 0, .."), "{text}");
}
