//! Tests of the stand-in over its sockets: one for each behaviour that its docs promise.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Reply, Service, TRACE_ID};
use crate::task::{Progress, Status};

const PROCESS: &str = "/api/v1/oss/offline/download/process";
const CREATE: &str = "/api/v1/oss/offline/download";
const TOKEN: &str = "/api/v1/access_token";

const DONE: Progress = Progress::new(Status::Succeeded, 100);

fn start() -> Service {
    let service = Service::start().unwrap();
    service.task(7, [DONE]);
    service
}

fn poll(token: &str, task_id: &str) -> String {
    request("GET", &format!("{PROCESS}?taskID={task_id}"), token, "")
}

fn post(path: &str, body: &str) -> String {
    request("POST", path, "any", body)
}

fn request(method: &str, path: &str, token: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nPlatform: open_platform\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

impl Service {
    fn connect(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Sends a request over a connection of its own, and reads to its end.
    fn send(&self, request: &str) -> String {
        let mut response = String::new();
        self.connect(request).read_to_string(&mut response).unwrap();
        response
    }

    fn envelope(&self, request: &str) -> Value {
        let response = self.send(request);
        serde_json::from_str(response.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    #[track_caller]
    fn check(&self, request: &str, code: i64, message: &str) {
        let envelope = self.envelope(request);
        let found = ["code", "message", "x-traceID"].map(|name| &envelope[name]);
        assert_eq!(json!(found), json!([code, message, TRACE_ID]));
    }
}

#[test]
fn invalid_requests_get_the_errors_of_the_module_docs() {
    let service = start();
    let create = |body| post(CREATE, body);
    let unmarked = poll("any", "7").replace("Platform", "Form");
    let invalid_url = "url is not an http or https URL";
    let wrong_client = "client id or secret is wrong";
    for (request, code, message) in [
        (poll("any", "8"), 1, "task not found"),
        (poll("any", "-1"), 1, "taskID is missing or not a number"),
        (poll("", "7"), 401, "token is invalid"),
        (unmarked, 1, "the header Platform: open_platform is missing"),
        (create(r#"{"url":"ftp://x/","type":1}"#), 1, invalid_url),
        (create(r#"{"url":"https://","type":1}"#), 1, invalid_url),
        (create(r#"{"url":"http://x/"}"#), 1, "type is not 1"),
        (create("url"), 1, "the body is not JSON"),
        (post(TOKEN, r#"{"clientID":"x"}"#), 1, wrong_client),
        (post(TOKEN, r#"{"clientSecret":"x"}"#), 1, wrong_client),
    ] {
        service.check(&request, code, message);
    }
    let response = service.send(&post(PROCESS, ""));
    assert!(response.starts_with("HTTP/1.1 405 "), "{response}");
}

#[test]
fn malformed_request_ends_its_connection() {
    let service = start();
    for request in [
        "hello\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n",
        &"x".repeat(16 * 1024),
    ] {
        assert_eq!(service.send(request), "");
    }
    assert_eq!(service.request_count(), 0);
    let long = format!("/{}", "x".repeat(16_000));
    let response = service.send(&post(&long, &"x".repeat(64 * 1024)));
    assert!(response.starts_with("HTTP/1.1 404 "), "{response}");
}

#[test]
fn queued_replies_precede_the_hook_and_the_hook_the_documented_response() {
    let service = start();
    service
        .reply_with(|request| match request.task_id() {
            Some(8) => panic!("an intended panic"),
            Some(9) => Some(Reply::code(9, "hook")),
            _ => None,
        })
        .reply_next(Reply::code(429, "say \"slow\""));
    service.check(&poll("any", "9"), 429, "say \"slow\"");
    service.check(&poll("any", "9"), 9, "hook");
    assert_eq!(service.send(&poll("any", "8")), "");
    service.check(&poll("any", "7"), 0, "ok");
}

#[test]
fn reply_ends_its_connection_as_scripted() {
    let service = start();
    let pause = Duration::from_millis(100);
    let closing = Reply::new(200).header("Connection", "close").body("x");
    let whole = "HTTP/1.1 200 \r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    let other = "HTTP/1.1 9 \r\ncontent-length: 2\r\n\r\nz";
    let wrong = Reply::new(9).header("content-length", "2").delay(pause);
    for (reply, expected, min) in [
        (closing, whole, Duration::ZERO),
        (wrong.then(pause, "z"), other, 2 * pause),
        (Reply::nothing(), "", Duration::ZERO),
    ] {
        assert_eq!(reply.to_bytes(), expected.as_bytes());
        service.reply_next(reply);
        let started = Instant::now();
        let request = poll("any", "7").replace("Connection: close\r\n", "");
        assert_eq!(service.send(&request), expected);
        assert!(started.elapsed() >= min, "{expected}");
    }
}

/// One connection for each state in which a thread can wait: sleeping, in a hook, reading.
#[test]
fn drop_closes_port_and_every_connection() {
    let service = start();
    service
        .reply_next(Reply::nothing().delay(Duration::MAX))
        .reply_next(Reply::nothing().then(Duration::MAX, "x"))
        .reply_with(|_| {
            std::thread::sleep(Duration::MAX);
            None
        });
    let poll = &*poll("any", "7");
    let peers = [poll, poll, poll, ""].map(|request| service.connect(request));
    while (service.request_count(), service.connection_count()) != (3, 4) {
        std::thread::yield_now();
    }
    let (address, shared) = (service.address(), Arc::downgrade(&service.shared));
    drop(service);
    for mut peer in peers {
        // The end, or a reset.
        let _ = peer.read_to_end(&mut Vec::new());
    }
    let started = Instant::now();
    // A process that another test starts has the socket, too, until it runs its program. Only the thread in the hook
    // remains.
    while TcpStream::connect(address).is_ok() || shared.strong_count() > 1 {
        assert!(started.elapsed() < Duration::from_secs(30), "it still runs");
        std::thread::yield_now();
    }
}

#[test]
fn three_issued_tokens_are_valid_and_a_fourth_revokes_the_oldest() {
    let service = start();
    service.check(&poll("any", "7"), 0, "ok");
    service.credentials("me", "secret");
    service.check(&poll("any", "7"), 401, "token is invalid");
    let request = r#"{"clientID":"me","clientSecret":"secret"}"#;
    let wrong = request.replace("secret\"}", "other\"}");
    service.check(&post(TOKEN, &wrong), 1, "client id or secret is wrong");

    let issue = || {
        let data = &service.envelope(&post(TOKEN, request))["data"];
        assert!(data["expiredAt"].is_string(), "{data}");
        data["accessToken"].as_str().unwrap().to_owned()
    };
    let tokens = [(); 4].map(|()| issue());
    let revoked = "tokens number has exceeded the limit";
    service.check(&poll(&tokens[0], "7"), 401, revoked);
    for token in &tokens[1..] {
        assert_eq!(token.len(), 100);
        service.check(&poll(token, "7"), 0, "ok");
    }
    service.revoke_tokens();
    service.check(&poll(&tokens[3], "7"), 401, revoked);
    service.check(&poll(&issue(), "7"), 0, "ok");
    service.require_token("right");
    service.check(&poll("right", "7"), 0, "ok");
    assert_eq!(service.tokens_issued(), 5);
}

/// The closure may call the service.
#[test]
fn created_task_gets_the_next_unused_id_and_a_script() {
    let service = Arc::new(start());
    service.task(403_317, [DONE]);
    let create = || {
        let request = post(CREATE, r#"{"url":"https://example.com/","type":1}"#);
        service.envelope(&request)["data"]["taskID"].clone()
    };
    let step = |task_id| service.envelope(&poll("any", task_id))["data"].clone();
    let progress = |percent, status| json!({"process": percent, "status": status});
    assert_eq!([create(), create()], [403_316, 403_318]);
    let steps = [(50, 0), (100, 2), (100, 2)].map(|step| progress(step.0, step.1));
    assert_eq!([(); 3].map(|()| step("403316")), steps);
    service.task(403_316, []);
    assert_eq!(step("403316"), progress(0, 0));
    let same = Arc::downgrade(&service);
    service.new_tasks(move |task_id, url| {
        same.upgrade().unwrap().task(task_id + 1, []);
        vec![Progress::new(Status::from(5), url.len() as u8)]
    });
    assert_eq!([create(), create()], [403_319, 403_321]);
    assert_eq!(step("403319"), progress(20, 5));
}

#[test]
fn requests_are_kept_as_sent() {
    let service = start();
    service.send(&post(&format!("{PROCESS}?taskID=7"), "abc"));
    let request = service.requests().pop().unwrap();
    assert_eq!((&*request.method, &*request.path), ("POST", PROCESS));
    assert_eq!(request.query.as_deref(), Some("taskID=7"));
    assert_eq!(request.headers[0].0, "Platform");
    assert_eq!(request.header("AUTHORIZATION"), Some("Bearer any"));
    assert_eq!(request.body, b"abc");
}
