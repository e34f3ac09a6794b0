//! Creating a task: the request, its connection, and no second request once a task may exist.

#[path = "create/fields.rs"]
mod fields;
#[cfg(feature = "rustls")]
#[path = "create/over_tls.rs"]
mod over_tls;
mod support;
#[cfg(feature = "rustls")]
#[path = "support/tls.rs"]
mod tls;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mockito::{Matcher, Server};
use pan123_offline::testing::{Reply, Request, Service};
use pan123_offline::{
    Client, ClientBuilder, Credentials, Error, ErrorCode, NewTask, PollPolicy, Progress, Status,
};
use support::{RUNNING, TASK, TOKEN, builder, client, html, retry_at_once, service, side_by_side};

const CREATE: &str = "/api/v1/oss/offline/download";
const ACCESS_TOKEN: &str = "/api/v1/access_token";
const URL: &str = "https://example.org/cat.png";
/// The id of the first task that the stand-in creates.
const CREATED: u64 = TASK + 1;
const ID: &str = "client-id";
const SECRET: &str = "client-secret-that-must-not-show";

fn task() -> NewTask {
    NewTask::new(URL)
}

fn requests_to(service: &Service, path: &str) -> Vec<Request> {
    let mut requests = service.requests();
    requests.retain(|request| request.path == path);
    requests
}

fn creations(service: &Service) -> usize {
    requests_to(service, CREATE).len()
}

/// Returns the response to the creation of a task.
fn created(task_id: u64) -> Reply {
    data(&format!(r#"{{"taskID":{task_id}}}"#))
}

fn data(json: &str) -> Reply {
    let envelope = format!(r#"{{"code":0,"message":"ok","data":{json},"x-traceID":"1"}}"#);
    Reply::json(envelope)
}

/// Returns the layer of an error, with its kind, status or code.
#[track_caller]
fn layer(error: &Error) -> String {
    match error {
        Error::Transport(e) => format!("{:?}", e.kind),
        Error::Http(e) => format!("HTTP {}", e.status),
        Error::Decode(_) => "Decode".to_owned(),
        Error::Api(e) => format!("code {}", e.code),
        other => panic!("{other:?}"),
    }
}

/// Checks the error of a creation: its layer, and whether the task may exist. Returns the error.
#[track_caller]
fn error_of(client: &Client, name: &str, expected: &str, may_exist: bool) -> Error {
    let error = client.create_task(&task()).expect_err(name);
    assert_eq!(layer(&error), expected, "{name}: {error:?}");
    assert_eq!(
        error.may_have_taken_effect(),
        may_exist,
        "{name}: {error:?}"
    );
    let advice = "; the task may exist, check before you create it again";
    let text = error.to_string();
    assert_eq!(text.contains(advice), may_exist, "{name}: {text}");
    error
}

/// Returns a client that retries three times.
fn retrying(builder: ClientBuilder) -> Client {
    builder.retries(3).build().unwrap()
}

fn with_credentials(service: &Service) -> ClientBuilder {
    service.credentials(ID, SECRET);
    let credentials = Credentials::new(ID, SECRET);
    builder(service.base_url()).credentials(credentials)
}

/// Starts a listener that handles one connection after the other. Returns its address and the number of connections.
fn listener(handle: impl Fn(TcpStream) + Send + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            count.fetch_add(1, Ordering::SeqCst);
            handle(stream);
        }
    });
    (address, connections)
}

// ---- The request.

#[test]
fn sends_exactly_the_documented_request() {
    let minimal = r#"{"url":"https://example.org/cat.png","type":1}"#;
    let full = r#"{"url":"http://例.org/a%20b.png?x=\"1\"&y=\\","type":1,"fileName":"猫.PNG","businessDirID":"yk6baz03t0l000d7w33fbyt8704m2bohDIYPAIDOBIY0DcxvDwFO","callBackUrl":"https://example.org/done"}"#;
    let everything = NewTask::new(r#"http://例.org/a%20b.png?x="1"&y=\"#)
        .file_name("猫.PNG")
        .directory("yk6baz03t0l000d7w33fbyt8704m2bohDIYPAIDOBIY0DcxvDwFO")
        .callback_url("https://example.org/done");
    for (task, body) in [(task(), minimal), (everything, full)] {
        let mut server = Server::new();
        let host = server.host_with_port();
        let expected = [
            ("accept", "application/json"),
            ("authorization", &format!("Bearer {TOKEN}")),
            ("content-length", &body.len().to_string()),
            ("content-type", "application/json"),
            ("host", &host),
            ("platform", "open_platform"),
            (
                "user-agent",
                concat!("pan123-offline/", env!("CARGO_PKG_VERSION")),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mock = server
            .mock("POST", CREATE)
            .match_query(Matcher::Missing)
            .match_body(Matcher::JsonString(body.to_owned()))
            // All headers, so that an additional or a repeated one does not match.
            .match_request(move |request| {
                let mut headers: Vec<_> = request
                    .headers()
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                    .collect();
                headers.sort();
                headers == expected
            })
            .with_body(r#"{"code":0,"message":"ok","data":{"taskID":403316},"x-traceID":"1"}"#)
            .expect(1)
            .create();
        let anything_else = server.mock("GET", Matcher::Any).expect(0).create();
        let client = builder(server.url()).retries(3).build().unwrap();
        assert_eq!(client.create_task(&task).unwrap(), 403_316);
        mock.assert();
        anything_else.assert();
    }
}

#[test]
fn prepends_the_path_of_the_base_url() {
    let mut server = Server::new();
    let mock = server
        .mock("POST", "/gateway/api/v1/oss/offline/download")
        .with_body(r#"{"code":0,"data":{"taskID":1}}"#)
        .expect(1)
        .create();
    let client = builder(format!("{}/gateway/", server.url()))
        .build()
        .unwrap();
    assert_eq!(client.create_task(&task()).unwrap(), 1);
    mock.assert();
}

/// The body is longer than the client's buffers.
#[test]
fn sends_a_long_task_whole() {
    let service = service();
    let plain = ('!'..='~').filter(|c| !"\"\\".contains(*c));
    let url: String = URL.chars().chain(plain.cycle().take(60_000)).collect();
    client(&service).create_task(&NewTask::new(&url)).unwrap();
    let request = &service.requests()[0];
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, serde_json::json!({"url": url, "type": 1}));
    assert_eq!(service.request_count(), 1);
}

#[test]
fn returns_any_task_id() {
    let service = service();
    let client = client(&service);
    let beyond_u32 = u64::from(u32::MAX) + 1;
    let beyond_f64 = (1 << 53) + 1;
    for task_id in [1, 403_316, beyond_u32, beyond_f64, u64::MAX] {
        service.reply_next(created(task_id));
        assert_eq!(client.create_task(&task()).unwrap(), task_id);
    }
    service.reply_next(data(r#"{"taskID":7,"more":{"taskID":8}}"#));
    assert_eq!(client.create_task(&task()).unwrap(), 7);
}

#[test]
fn created_task_runs_to_its_end() {
    let service = service();
    let client = client(&service);
    let other = task().file_name("cat-2.jpg").directory("7");
    let tasks = [task(), other.callback_url(URL)];
    let [first, second] = tasks.map(|task| client.create_task(&task).unwrap());
    assert_ne!(first, second);
    let interval = Duration::from_millis(1);
    let policy = PollPolicy::new()
        .initial_interval(interval)
        .max_interval(interval);
    for task_id in [first, second] {
        let half = Progress::new(Status::InProgress, 50);
        assert_eq!(client.get_process(task_id).unwrap(), half);
        let end = client.wait(task_id).policy(policy).run().unwrap();
        assert_eq!(end, Progress::new(Status::Succeeded, 100));
    }
}

// ---- The connection, which is always new.

#[test]
fn each_creation_opens_a_connection() {
    let service = service();
    let client = client(&service);
    for _ in 0..10 {
        client.get_process(TASK).unwrap();
        client.create_task(&task()).unwrap();
        client.create_task(&task()).unwrap();
    }
    let mut seen = Vec::new();
    for request in service.requests() {
        let connection = request.connection;
        assert!(
            request.path != CREATE || !seen.contains(&connection),
            "connection {connection} was used before"
        );
        seen.push(connection);
    }
    assert_eq!((creations(&service), service.request_count()), (20, 30));
}

/// The server closes each connection after its response, without `Connection: close`.
#[test]
fn unannounced_closes_lose_no_creation() {
    let service = service();
    let next = AtomicU64::new(1);
    service.reply_with(move |request| {
        let reply = match request.path.as_str() {
            CREATE => created(next.fetch_add(1, Ordering::SeqCst)),
            _ => Reply::progress(RUNNING),
        };
        Some(reply.close_after())
    });
    let client = client(&service);
    for call in 1..=300 {
        // Leaves a connection in the pool, too.
        if call % 3 == 0 {
            client.get_process(TASK).unwrap();
        }
        assert_eq!(client.create_task(&task()).unwrap(), call);
        // Some closes arrive before the next call, others during it.
        match call % 4 {
            0 => {}
            1 => std::thread::sleep(Duration::from_millis(2)),
            2 => std::thread::yield_now(),
            _ => std::thread::sleep(Duration::from_micros(50)),
        }
    }
    assert_eq!(creations(&service), 300);
}

// ---- No retry once a task may exist.

/// Checks that a creation with this response fails without a retry, and that the next one succeeds.
#[track_caller]
fn fails_once(name: &str, reply: Reply, expected: &str, may_exist: bool) {
    let service = service();
    let client = retrying(builder(service.base_url()));
    client.get_process(TASK).unwrap();
    service.reply_next(reply);
    error_of(&client, name, expected, may_exist);
    let requests = (creations(&service), service.request_count());
    assert_eq!(requests, (1, 2), "{name}");
    client.create_task(&task()).unwrap();
    assert_eq!(creations(&service), 2, "{name}");
}

#[track_caller]
fn may_exist(name: &str, reply: Reply, expected: &str) {
    fails_once(name, reply, expected, true);
}

#[track_caller]
fn cannot_exist(name: &str, reply: Reply, expected: &str) {
    fails_once(name, reply, expected, false);
}

#[test]
fn task_may_exist_after_a_response_cut_short() {
    let whole = retry_at_once(created(1));
    let (header, all) = (whole.header_len(), whole.len());
    may_exist("no response", Reply::nothing(), "Closed");
    for at in [1, 20, header - 1, header, header + 1, all - 1] {
        let name = format!("cut at {at} of {all}");
        may_exist(&name, whole.clone().cut_at(at), "Closed");
    }
    // Complete without the very last line break.
    let chunked = created(1).chunked();
    let (header, all) = (chunked.header_len(), chunked.len());
    for at in header..all - 2 {
        let name = format!("in chunks, cut at {at} of {all}");
        may_exist(&name, chunked.clone().cut_at(at), "Closed");
    }
    let unframed = whole.until_close();
    let all = unframed.len();
    may_exist("cut without a length", unframed.cut_at(all - 1), "Decode");
}

#[test]
fn task_may_exist_after_a_non_http_response() {
    for text in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\0\0\0\0\0\0\0\0\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/0.9 200\r\n\r\n",
    ] {
        may_exist(text, Reply::raw(text).close_after(), "Protocol");
    }
    let long = created(1).header("X-Long", "x".repeat(8 * 1024));
    may_exist("a long header", long, "Protocol");
}

#[test]
fn task_may_exist_after_an_error_page() {
    for status in [500, 502, 504] {
        let expected = format!("HTTP {status}");
        let page = html(status);
        let cut = page.clone().cut_at(page.len() - 9);
        let empty = retry_at_once(Reply::new(status));
        may_exist("an empty page", empty, &expected);
        may_exist("half a page", cut, &expected);
        may_exist("an endless page", page.clone().endless(), &expected);
        may_exist("a page", retry_at_once(page), &expected);
    }
}

#[test]
fn task_may_exist_after_an_undecodable_response() {
    for body in [
        r#"{"code":0,"message":"ok","data":{"taskI"#,
        r#"{"message":"ok","data":{"taskID":403316}}"#,
        r#"{"code":0,"message":"ok"}"#,
    ] {
        may_exist(body, retry_at_once(Reply::json(body)), "Decode");
    }
    for value in [
        "null",
        "{}",
        "403316",
        // A derived struct would be read from a list, field by field.
        "[403316]",
        r#"{"taskid":403316}"#,
        r#"{"taskID":null}"#,
        r#"{"taskID":-1}"#,
        // No task has this id.
        r#"{"taskID":0}"#,
        r#"{"taskID":"0"}"#,
        r#"{"taskID":0.0}"#,
        r#"{"taskID":403316.5}"#,
        r#"{"taskID":18446744073709551616}"#,
    ] {
        may_exist(value, retry_at_once(data(value)), "Decode");
    }
    let long = created(1).body(" ".repeat(65 * 1024));
    for (name, reply) in [
        ("HTML", html(200)),
        ("no body", Reply::new(200)),
        ("no content", Reply::new(204)),
        ("a progress", Reply::progress(RUNNING)),
        ("an endless body", created(1).endless()),
        ("a long body", long),
    ] {
        may_exist(name, retry_at_once(reply), "Decode");
    }
}

/// The status reports an error, and the envelope a task. A client with credentials could replace its token.
#[test]
fn task_may_exist_after_code_0_with_an_error_status() {
    for status in [302, 401, 404, 429, 500, 502, 503] {
        let service = service();
        let client = with_credentials(&service).retries(2).build().unwrap();
        client.get_process(TASK).unwrap();
        service.reply_next(created(1).status(status));
        let error = client.create_task(&task()).unwrap_err();
        assert!(error.may_have_taken_effect(), "{status}: {error:?}");
        assert_eq!(creations(&service), 1, "{status}");
    }
}

#[test]
fn no_task_exists_after_an_error_response() {
    for code in [-1, 1, 2, 401, 403, 404, 5066, 5113, i64::MAX] {
        let expected = format!("code {code}");
        let reply = Reply::code(code, "no");
        cannot_exist("a code", retry_at_once(reply.clone()), &expected);
        cannot_exist("a code with HTTP 400", reply.status(400), &expected);
    }
    let reply = Reply::code(1, "no").status(500);
    cannot_exist("a code with HTTP 500", reply, "code 1");
    for status in [502, 504] {
        let reply = retry_at_once(Reply::code(1, "no").status(status));
        may_exist("a code from a gateway", reply, "code 1");
    }
    let reply = Reply::json(r#"{"code":"403","message":"forbidden client ip"}"#);
    cannot_exist("a ban", reply, "code 403");
    for status in [400, 401, 403, 404, 405, 407, 413, 422] {
        let reply = retry_at_once(html(status));
        cannot_exist("a page", reply, &format!("HTTP {status}"));
    }
}

#[test]
fn does_not_follow_redirects() {
    let other = service();
    let target = format!("{}{CREATE}", other.base_url());
    for status in [301, 302, 303, 307, 308] {
        let reply = retry_at_once(Reply::new(status).header("Location", &target));
        cannot_exist("a redirect", reply, &format!("HTTP {status}"));
    }
    assert_eq!(other.request_count(), 0);
}

#[test]
fn task_may_exist_after_a_timeout() {
    let whole = created(1);
    let (header, all) = (whole.header_len(), whole.len());
    // The status of half a page is enough.
    let page = html(502).stall_at(html(502).len() - 9);
    let late = whole.clone().delay(Duration::from_secs(3600));
    let drip = whole.clone().drip(Duration::from_millis(200));
    let mut faults = vec![
        ("late".to_owned(), late, "Timeout"),
        ("byte by byte".to_owned(), drip, "Timeout"),
        ("half a page".to_owned(), page, "HTTP 502"),
    ];
    for at in [0, 1, 20, header - 1, header, header + 1, all - 1] {
        let name = format!("silent at {at} of {all}");
        faults.push((name, whole.clone().stall_at(at), "Timeout"));
    }
    side_by_side(faults, |(name, fault, expected)| {
        let service = service();
        service.reply_with(move |_| Some(fault.clone()));
        let client = retrying(builder(service.base_url()).timeout(Duration::from_secs(3)));
        let error = error_of(&client, &name, expected, true);
        assert_eq!(error.is_timeout(), expected == "Timeout", "{name}");
        let requests = (creations(&service), service.request_count());
        assert_eq!(requests, (1, 1), "{name}");
    });
}

/// The server accepts the connection and reads nothing, so the sockets' buffers fill.
#[test]
fn task_may_exist_after_a_timeout_while_sending() {
    let held = Mutex::new(Vec::new());
    let (address, connections) = listener(move |stream| held.lock().unwrap().push(stream));
    let base_url = format!("http://{address}");
    let client = retrying(builder(base_url).timeout(Duration::from_secs(3)));
    let long = NewTask::new(format!("{URL}?{}", "x".repeat(16 << 20)));
    let error = client.create_task(&long).unwrap_err();
    assert_eq!(layer(&error), "Timeout", "{error:?}");
    assert!(error.may_have_taken_effect());
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

// ---- Retries where no task can exist. `src/retry.rs` has the table of them.

#[test]
fn no_task_exists_after_a_refused_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = builder(format!("http://{address}")).build().unwrap();
    let error = error_of(&client, "no listener", "Connect", false);
    assert!(error.is_transient());
}

#[test]
fn retries_what_has_not_taken_effect() {
    let code = || Reply::code(429, "too many requests");
    let cut = html(429).cut_at(html(429).len() + 10);
    for (name, reply, expected) in [
        ("code", code(), "code 429"),
        ("code and status", code().status(429), "code 429"),
        ("status", html(429), "HTTP 429"),
        ("status, and its page is cut", cut, "HTTP 429"),
        (
            "the gateway's timeout for the request",
            html(408),
            "HTTP 408",
        ),
        ("another server", html(421), "HTTP 421"),
        ("too early", html(425), "HTTP 425"),
        ("unavailable", html(503), "HTTP 503"),
    ] {
        for retries in 0..3 {
            let name = format!("{name}, {retries} retries");
            let reply = retry_at_once(reply.clone());
            let service = service();
            let builder = builder(service.base_url()).retries(retries as u32);
            let client = builder.build().unwrap();
            for _ in 0..=retries {
                service.reply_next(reply.clone());
            }
            let error = error_of(&client, &name, expected, false);
            assert_eq!(error.retry_after(), Some(Duration::ZERO), "{name}");
            assert!(error.is_transient(), "{name}: {error:?}");
            let sent = (creations(&service), service.connection_count());
            assert_eq!(sent, (1 + retries, 1 + retries), "{name}");

            // One error less: the last retry creates one task.
            for _ in 0..retries {
                service.reply_next(reply.clone());
            }
            assert_eq!(client.create_task(&task()).unwrap(), CREATED, "{name}");
            assert_eq!(creations(&service), 2 + 2 * retries, "{name}");
        }
    }
}

/// The second request, after a 429 or with a new token, is judged by its own error.
#[test]
fn second_request_is_the_last_if_a_task_may_exist() {
    let limited = retry_at_once(html(429));
    let refused = Reply::code(401, "token is expired");
    for (first, tokens) in [(limited, 1), (refused, 2)] {
        for (fault, expected) in [
            (Reply::nothing(), "Closed"),
            (html(502), "HTTP 502"),
            (html(504), "HTTP 504"),
            (html(200), "Decode"),
        ] {
            let service = service();
            let (first, sent) = (first.clone(), AtomicUsize::new(0));
            service.reply_with(move |request| match request.path.as_str() {
                CREATE if sent.fetch_add(1, Ordering::SeqCst) == 0 => Some(first.clone()),
                CREATE => Some(fault.clone()),
                _ => None,
            });
            let client = retrying(with_credentials(&service));
            let name = format!("{tokens} tokens, {expected}");
            error_of(&client, &name, expected, true);
            let counts = (service.tokens_issued(), creations(&service));
            assert_eq!(counts, (tokens, 2), "{name}");
        }
    }
}

// ---- Tokens.

/// A token that was given cannot be replaced; one of the client's credentials is replaced once.
#[test]
fn no_task_exists_after_a_refused_token() {
    let code = || Reply::code(401, "token is expired");
    for (name, refusal, expected) in [
        ("code", code(), "code 401"),
        ("code and status", code().status(401), "code 401"),
        ("status", html(401), "HTTP 401"),
    ] {
        for (has_credentials, counts) in [(false, (0, 1)), (true, (2, 2))] {
            let name = format!("{name}, credentials: {has_credentials}");
            let service = service();
            let reply = retry_at_once(refusal.clone());
            service.reply_with(move |request| (request.path == CREATE).then(|| reply.clone()));
            let builder = match has_credentials {
                true => with_credentials(&service),
                false => builder(service.base_url()),
            };
            let error = error_of(&retrying(builder), &name, expected, false);
            let is_refusal = error.is_unauthorized() && !error.is_transient();
            assert!(is_refusal, "{name}: {error:?}");
            let (issued, sent) = (service.tokens_issued(), creations(&service));
            assert_eq!((issued, sent), counts, "{name}");
            assert_eq!(service.request_count(), issued + sent, "{name}");
        }
    }
}

#[test]
fn requests_a_token_first() {
    let service = service();
    let client = with_credentials(&service).build().unwrap();
    assert_eq!(client.create_task(&task()).unwrap(), CREATED);
    let requests = service.requests();
    let paths: Vec<_> = requests.iter().map(|request| &request.path).collect();
    assert_eq!(paths, [ACCESS_TOKEN, CREATE]);
}

#[test]
fn creates_one_task_with_a_replaced_token() {
    let service = service();
    let client = with_credentials(&service).build().unwrap();
    client.get_process(TASK).unwrap();
    service.revoke_tokens();
    assert_eq!(client.create_task(&task()).unwrap(), CREATED);
    assert_eq!(service.tokens_issued(), 2);
    let requests = requests_to(&service, CREATE);
    let [refused, repeated] = &requests[..] else {
        panic!("{requests:?}")
    };
    let token = |request: &Request| request.header("Authorization").map(str::to_owned);
    assert_ne!(token(refused), token(repeated));
    assert_eq!(refused.body, repeated.body);
    let next = client.create_task(&task()).unwrap();
    assert_eq!(next, TASK + 2, "there was one task only");

    // A second token within a minute is not requested, so the request is not repeated.
    service.revoke_tokens();
    error_of(&client, "no second token", "code 401", false);
    assert_eq!((service.tokens_issued(), creations(&service)), (2, 4));
}

/// Both for the first token and for one that replaces a refused token.
#[test]
fn no_task_exists_after_a_failed_token_request() {
    let token = Reply::json(r#"{"code":0,"message":"ok","data":{"accessToken":"a-token"}}"#);
    let ssh = Reply::raw("SSH-2.0-OpenSSH_9.2\r\n").close_after();
    let cut = token.clone().cut_at(token.len() - 9);
    let endless = token.clone().endless();
    let empty = token.body(r#"{"code":0,"data":{"accessToken":""}}"#);
    for (name, fault, expected) in [
        ("HTTP 500", html(500), "HTTP 500"),
        ("HTTP 502", html(502), "HTTP 502"),
        ("HTTP 504", html(504), "HTTP 504"),
        ("HTML", html(200), "Decode"),
        ("SSH", ssh, "Protocol"),
        ("no response", Reply::nothing(), "Closed"),
        ("cut short", cut, "Closed"),
        ("endless", endless, "Decode"),
        ("an empty token", empty, "Decode"),
        ("code 1", Reply::code(1, "wrong client id"), "code 1"),
    ] {
        for is_replacement in [false, true] {
            let name = format!("{name}, replacement: {is_replacement}");
            let service = service();
            let client = with_credentials(&service).build().unwrap();
            if is_replacement {
                client.get_process(TASK).unwrap();
                service.revoke_tokens();
            }
            let (fault, before) = (fault.clone(), service.request_count());
            service.reply_with(move |r| (r.path == ACCESS_TOKEN).then(|| fault.clone()));
            error_of(&client, &name, expected, false);
            let refused = usize::from(is_replacement);
            let counts = (creations(&service), service.request_count() - before);
            assert_eq!(counts, (refused, refused + 1), "{name}");
        }
    }
}

#[test]
fn retries_transient_errors_of_the_token_request() {
    for (name, fault) in [
        ("HTTP 502", retry_at_once(html(502))),
        ("HTTP 429", retry_at_once(html(429))),
        ("no response", Reply::nothing()),
    ] {
        let service = service();
        service.reply_next(fault);
        let client = with_credentials(&service).retries(1).build().unwrap();
        let result = client.create_task(&task());
        assert!(matches!(result, Ok(CREATED)), "{name}: {result:?}");
        let counts = (service.tokens_issued(), creations(&service));
        assert_eq!(counts, (1, 1), "{name}");
        assert_eq!(service.request_count(), 3, "{name}");
    }
}

#[test]
fn no_task_exists_after_a_timeout_of_the_token_request() {
    let service = service();
    let silent = Reply::new(200).stall_at(0);
    service.reply_with(move |request| (request.path == ACCESS_TOKEN).then(|| silent.clone()));
    let builder = with_credentials(&service).timeout(Duration::from_secs(1));
    let error = error_of(&builder.build().unwrap(), "no token", "Timeout", false);
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(creations(&service), 0);
}

#[test]
fn keeps_the_message_of_the_service() {
    let service = service();
    service.reply_next(Reply::code(5113, "traffic quota used up"));
    let error = client(&service).create_task(&task()).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::QUOTA_EXHAUSTED));
    assert_eq!(
        error.to_string(),
        "the service returned code 5113: the traffic quota is used up; received: traffic quota used up \
         (trace id stand-in-0001)"
    );
}
