//! Creating a task: what is sent, over which connection, and that it is never sent twice.

mod support;
#[cfg(feature = "rustls")]
#[path = "support/tls.rs"]
mod tls;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mockito::{Matcher, Server};
use pan123_offline::testing::{Reply, Request, Service};
use pan123_offline::{
    Client, ClientBuilder, Credentials, Error, ErrorCode, NewTask, PollPolicy, Progress, Status,
};
use support::{RUNNING, TASK, TOKEN, builder, client, service};

const CREATE: &str = "/api/v1/oss/offline/download";
const ACCESS_TOKEN: &str = "/api/v1/access_token";
const URL: &str = "https://example.org/cat.png";
const ID: &str = "client-id";
const SECRET: &str = "client-secret-that-must-not-show";

fn task() -> NewTask {
    NewTask::new(URL)
}

fn requests_to(service: &Service, path: &str) -> Vec<Request> {
    service
        .requests()
        .into_iter()
        .filter(|request| request.path == path)
        .collect()
}

fn creations(service: &Service) -> usize {
    requests_to(service, CREATE).len()
}

/// The answer of a service that has created a task.
fn created(task_id: u64) -> Reply {
    data(&format!(r#"{{"taskID":{task_id}}}"#))
}

fn data(json: &str) -> Reply {
    Reply::json(format!(
        r#"{{"code":0,"message":"ok","data":{json},"x-traceID":"1"}}"#
    ))
}

/// What a gateway says in the service's place.
fn html(status: u16) -> Reply {
    Reply::new(status)
        .header("Content-Type", "text/html")
        .body("<html><body>no</body></html>")
}

/// The layer an error is of, and what it says there.
#[track_caller]
fn layer(error: &Error) -> String {
    match error {
        Error::Transport(e) => format!("{:?}", e.kind()),
        Error::Http(e) => format!("HTTP {}", e.status()),
        Error::Decode(_) => "Decode".to_owned(),
        Error::Api(e) => format!("code {}", e.code()),
        other => panic!("{other:?}"),
    }
}

fn with_credentials(service: &Service) -> ClientBuilder {
    service.credentials(ID, SECRET);
    let credentials = Credentials::new(ID, SECRET);
    builder(service.base_url()).credentials(credentials)
}

/// A listener that treats each connection as told, and how many there were.
fn listener(treat: impl Fn(TcpStream) + Send + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            count.fetch_add(1, Ordering::SeqCst);
            treat(stream);
        }
    });
    (address, connections)
}

// What is sent.

#[test]
fn the_contract_holds_as_a_http_library_reads_it() {
    let minimal = r#"{"url":"https://example.org/cat.png","type":1}"#;
    let full = r#"{"url":"http://例.org/a b.png?x=\"1\"&y=\\","type":1,"fileName":"猫.PNG","businessDirID":"yk6baz03t0l000d7w33fbyt8704m2bohDIYPAIDOBIY0DcxvDwFO","callBackUrl":"https://example.org/done"}"#;
    let everything = NewTask::new(r#"http://例.org/a b.png?x="1"&y=\"#)
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
            .match_body(Matcher::Exact(body.to_owned()))
            // The whole head, so that a header more, or one twice, is none of it, either.
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
fn the_base_urls_path_goes_before_the_services_own() {
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

/// Longer than what is sent at once, and than what usual answers have room for.
#[test]
fn a_long_task_arrives_whole() {
    let service = service();
    let url: String = URL
        .chars()
        .chain(
            ('!'..='~')
                .filter(|c| !"\"\\".contains(*c))
                .cycle()
                .take(60_000),
        )
        .collect();
    client(&service).create_task(&NewTask::new(&url)).unwrap();
    let request = &service.requests()[0];
    assert_eq!(
        request.body,
        format!(r#"{{"url":"{url}","type":1}}"#).into_bytes()
    );
    assert_eq!(service.request_count(), 1);
}

#[test]
fn every_task_id_comes_through() {
    let service = service();
    let client = client(&service);
    for task_id in [
        0,
        1,
        403_316,
        u64::from(u32::MAX) + 1,
        (1 << 53) + 1,
        u64::MAX,
    ] {
        service.reply_next(created(task_id));
        assert_eq!(client.create_task(&task()).unwrap(), task_id);
    }
    service.reply_next(data(r#"{"taskID":7,"more":{"taskID":8}}"#));
    assert_eq!(client.create_task(&task()).unwrap(), 7);
}

#[test]
fn a_created_task_can_be_followed_to_its_end() {
    let service = service();
    let client = client(&service);
    let first = client.create_task(&task()).unwrap();
    let second = client
        .create_task(
            &task()
                .file_name("cat-2.jpg")
                .directory("7")
                .callback_url(URL),
        )
        .unwrap();
    assert_ne!(first, second);
    for task_id in [first, second] {
        assert_eq!(
            client.get_process(task_id).unwrap(),
            Progress::new(Status::InProgress, 50)
        );
        let pause = Duration::from_millis(1);
        let end = client
            .wait(task_id)
            .policy(
                PollPolicy::new()
                    .initial_interval(pause)
                    .max_interval(pause),
            )
            .run()
            .unwrap();
        assert_eq!(end, Progress::new(Status::Succeeded, 100));
    }
}

// What is checked before anything is sent, a request for a token among it.

#[track_caller]
fn refused(service: &Service, client: &Client, task: &NewTask, text: &str) {
    let error = client.create_task(task).unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{task:?}: {error:?}");
    assert_eq!(error.to_string(), text, "{task:?}");
    assert!(
        !error.may_have_been_sent() && !error.is_transient(),
        "{task:?}"
    );
    assert_eq!(
        (service.request_count(), service.connection_count()),
        (0, 0),
        "{task:?}"
    );
}

#[test]
fn an_address_that_is_not_of_the_web_is_refused() {
    let service = service();
    let client = with_credentials(&service).build().unwrap();
    for address in [
        "",
        "http",
        "http:",
        "http:/",
        "http://",
        "https://",
        "http:///cat.png",
        "https://?cat.png",
        "https://#cat.png",
        "http:/example.org/cat.png",
        "http:example.org/cat.png",
        "http//example.org/cat.png",
        "//example.org/cat.png",
        "example.org/cat.png",
        "/home/me/cat.png",
        "ftp://example.org/cat.png",
        "file:///home/me/cat.png",
        "httpx://example.org/cat.png",
        "shttp://example.org/cat.png",
        "data:image/png;base64,AAAA",
        " https://example.org/cat.png",
        "\u{feff}https://example.org/cat.png",
        "http\u{ff1a}//example.org/cat.png",
        "http:\\\\example.org\\cat.png",
        // A letter of two bytes where the scheme would end.
        "https:/é",
        "http:/é",
    ] {
        let task = NewTask::new(address);
        refused(
            &service,
            &client,
            &task,
            "setting `url`: it is not an http or https URL",
        );
        let task = self::task().callback_url(address);
        refused(
            &service,
            &client,
            &task,
            "setting `callback_url`: it is not an http or https URL",
        );
    }
}

#[test]
fn an_address_of_the_web_is_taken() {
    let service = service();
    service.reply_with(|_| Some(created(1)));
    let client = client(&service);
    for address in [
        "http://example.org",
        "HTTP://EXAMPLE.ORG/CAT.PNG",
        "hTTpS://example.org/cat.png",
        "https://user:password@example.org:8443/cat.png?size=1#top",
        "http://[2001:db8::1]/cat.png",
        "http://192.0.2.1/cat",
        "https://例.org/猫.png",
    ] {
        let task = NewTask::new(address).callback_url(address);
        assert_eq!(client.create_task(&task).unwrap(), 1, "{address}");
    }
}

#[test]
fn a_file_name_needs_the_ending_of_an_image() {
    let service = service();
    let client = with_credentials(&service).build().unwrap();
    for name in [
        "",
        ".",
        "cat",
        "png",
        "cat.",
        "cat.exe",
        "cat.png.exe",
        "cat.png ",
        "cat.png.",
        "cat.pn",
        "cat.pngx",
        "cat.heic",
        "cat,png",
        "cat\u{ff0e}png",
        "cat.ｐｎｇ",
        "jpg.zip",
        ".png",
    ] {
        let text = "setting `file_name`: it must be a name that ends in one of .png, .gif, .jpeg, .jpg, .tif, .tiff, .webp, .svg, .bmp";
        refused(&service, &client, &task().file_name(name), text);
    }
    refused(
        &service,
        &client,
        &task().directory(""),
        "setting `directory`: it is empty",
    );
}

#[test]
fn every_ending_of_the_document_is_taken_in_either_case() {
    let service = service();
    let client = client(&service);
    for ending in [
        "png", "gif", "jpeg", "jpg", "tif", "tiff", "webp", "svg", "bmp",
    ] {
        let mixed = format!("{}{}", ending[..1].to_uppercase(), &ending[1..]);
        for ending in [ending.to_owned(), ending.to_uppercase(), mixed] {
            client
                .create_task(&task().file_name(format!("ｃat.x.{ending}")))
                .unwrap();
        }
    }
    // Without a name the URL's own ending does not count: many an image has none there.
    client
        .create_task(&NewTask::new("https://example.org/image?id=7"))
        .unwrap();
}

// Over a new connection, always.

#[test]
fn each_creation_goes_over_a_connection_of_its_own() {
    let service = service();
    let client = client(&service);
    for _ in 0..10 {
        client.get_process(TASK).unwrap();
        client.create_task(&task()).unwrap();
        client.create_task(&task()).unwrap();
    }
    let (mut seen, mut creations) = (Vec::new(), 0);
    for request in service.requests() {
        if request.path == CREATE {
            creations += 1;
            assert!(
                !seen.contains(&request.connection),
                "connection {} was used before",
                request.connection
            );
        }
        seen.push(request.connection);
    }
    assert_eq!((creations, service.request_count()), (20, 30));
}

/// Every answer is the last of its connection, and nothing says so.
#[test]
fn a_server_that_closes_without_notice_costs_no_creation() {
    let service = service();
    let next = AtomicU64::new(0);
    service.reply_with(move |request| {
        let reply = match request.path.as_str() {
            CREATE => created(next.fetch_add(1, Ordering::SeqCst)),
            _ => Reply::progress(RUNNING),
        };
        Some(reply.close_after())
    });
    let client = client(&service);
    for call in 0..300 {
        // Leaves a connection in the pool, too.
        if call % 3 == 0 {
            client.get_process(TASK).unwrap();
        }
        assert_eq!(client.create_task(&task()).unwrap(), call);
        // Some closings are there before the next call, some arrive in the middle of it.
        match call % 4 {
            0 => {}
            1 => std::thread::sleep(Duration::from_millis(2)),
            2 => std::thread::yield_now(),
            _ => std::thread::sleep(Duration::from_micros(50)),
        }
    }
    assert_eq!(creations(&service), 300);
}

// Never sent twice once it may have left.

/// Creates a task where a retry would be allowed thrice, would not have to wait, and would succeed.
#[track_caller]
fn fails_once(what: &str, fault: Reply, expected: &str, may_have_been_sent: bool) {
    let service = service();
    let client = builder(service.base_url()).retries(3).build().unwrap();
    client.get_process(TASK).unwrap();
    service.reply_next(fault);
    let error = client.create_task(&task()).expect_err(what);
    assert_eq!(layer(&error), expected, "{what}: {error:?}");
    assert_eq!(
        error.may_have_been_sent(),
        may_have_been_sent,
        "{what}: {error:?}"
    );
    let advice = "; the task may exist, check before you create it again";
    let advised = error.to_string().contains(advice);
    assert_eq!(
        advised,
        may_have_been_sent && !matches!(error, Error::Api(_)),
        "{what}: {error}"
    );
    assert_eq!(
        (creations(&service), service.request_count()),
        (1, 2),
        "{what}"
    );
    // The client is none the worse for it.
    client.create_task(&task()).unwrap();
    assert_eq!(creations(&service), 2, "{what}");
}

/// An answer that contradicts itself: the status says no, the envelope says that there is a task.
#[test]
fn rejects_code_0_with_an_error_status() {
    for status in [302, 401, 404, 429, 500, 502, 503] {
        let service = service();
        let client = with_credentials(&service).retries(2).build().unwrap();
        client.get_process(TASK).unwrap();
        service.reply_next(created(1).status(status));
        let error = client.create_task(&task()).unwrap_err();
        assert!(error.may_have_been_sent(), "{status}: {error:?}");
        assert_eq!(creations(&service), 1, "{status}");
    }
}

#[test]
fn a_connection_that_breaks_after_sending() {
    let whole = created(1).header("Retry-After", "0");
    let (head, all) = (whole.header_len(), whole.len());
    fails_once("nothing", Reply::nothing(), "Closed", true);
    for at in [1, 20, head - 1, head, head + 1, all - 1] {
        fails_once(
            &format!("cut at {at} of {all}"),
            whole.clone().cut_at(at),
            "Closed",
            true,
        );
    }
    let until_close = whole.until_close();
    fails_once(
        "cut without a length",
        until_close.clone().cut_at(until_close.len() - 1),
        "Decode",
        true,
    );
}

#[test]
fn rejects_chunked_response_cut_short() {
    let whole = created(1).chunked();
    // Without the very last line break it is whole all the same.
    for at in whole.header_len()..whole.len() - 2 {
        fails_once(
            &format!("cut at {at} of {}", whole.len()),
            whole.clone().cut_at(at),
            "Closed",
            true,
        );
    }
}

#[test]
fn rejects_non_http_response() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\0\0\0\0\0\0\0\0\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/0.9 200\r\n\r\n",
    ] {
        fails_once(garbage, Reply::raw(garbage).close_after(), "Protocol", true);
    }
    fails_once(
        "a long head",
        created(1).header("X-Long", "x".repeat(8 * 1024)),
        "Protocol",
        true,
    );
}

#[test]
fn a_gateways_page() {
    for status in [500, 502, 504] {
        fails_once(
            "a page",
            html(status).header("Retry-After", "0"),
            &format!("HTTP {status}"),
            true,
        );
        fails_once(
            "an empty page",
            Reply::new(status).header("Retry-After", "0"),
            &format!("HTTP {status}"),
            true,
        );
        let page = html(status);
        fails_once(
            "half a page",
            page.clone().cut_at(page.len() - 9),
            &format!("HTTP {status}"),
            true,
        );
        fails_once(
            "an endless page",
            page.endless(),
            &format!("HTTP {status}"),
            true,
        );
    }
    // Turned away before it came to the service.
    fails_once(
        "a page",
        html(503).header("Retry-After", "0"),
        "HTTP 503",
        false,
    );
}

#[test]
fn rejects_undecodable_responses() {
    for (what, answer) in [
        ("HTML", html(200)),
        ("nothing at all", Reply::new(200)),
        ("no content", Reply::new(204)),
        (
            "half of it",
            Reply::json(r#"{"code":0,"message":"ok","data":{"taskI"#),
        ),
        (
            "no code",
            Reply::json(r#"{"message":"ok","data":{"taskID":403316}}"#),
        ),
        ("no data", Reply::json(r#"{"code":0,"message":"ok"}"#)),
        ("null", data("null")),
        ("no taskID", data("{}")),
        ("the name in lower case", data(r#"{"taskid":403316}"#)),
        ("taskID null", data(r#"{"taskID":null}"#)),
        ("taskID below 0", data(r#"{"taskID":-1}"#)),
        ("taskID with a fraction", data(r#"{"taskID":403316.5}"#)),
        (
            "taskID beyond 64 bits",
            data(r#"{"taskID":18446744073709551616}"#),
        ),
        ("a progress", Reply::progress(RUNNING)),
        ("a number", data("403316")),
        ("an endless body", created(1).endless()),
        ("a long one", created(1).body(" ".repeat(65 * 1024))),
    ] {
        fails_once(what, answer.header("Retry-After", "0"), "Decode", true);
    }
}

/// A derived struct would be read from a list, too, field by field.
#[test]
fn a_list_is_no_task() {
    fails_once("a list", data("[403316]"), "Decode", true);
}

#[test]
fn decodes_errors_of_the_service_and_its_gateway() {
    for code in [-1, 1, 2, 401, 403, 404, 5066, 5113, i64::MAX] {
        let expected = format!("code {code}");
        fails_once(
            "a code",
            Reply::code(code, "no").header("Retry-After", "0"),
            &expected,
            false,
        );
        fails_once(
            "a code with HTTP 400",
            Reply::code(code, "no").status(400),
            &expected,
            false,
        );
    }
    fails_once(
        "a code with HTTP 500",
        Reply::code(1, "no").status(500),
        "code 1",
        false,
    );
    fails_once(
        "a ban",
        Reply::json(r#"{"code":"403","message":"forbidden client ip"}"#),
        "code 403",
        false,
    );
    for status in [400, 401, 403, 404, 405, 413, 422] {
        fails_once(
            "a page",
            html(status).header("Retry-After", "0"),
            &format!("HTTP {status}"),
            false,
        );
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = service();
    let target = format!("{}{CREATE}", elsewhere.base_url());
    for status in [301, 302, 303, 307, 308] {
        let reply = Reply::new(status)
            .header("Location", target.as_str())
            .header("Retry-After", "0");
        fails_once("a redirect", reply, &format!("HTTP {status}"), false);
    }
    assert_eq!(elsewhere.request_count(), 0);
}

/// All at once, since each of them sits out its time.
#[test]
fn a_timeout_after_sending() {
    let whole = created(1);
    let (head, all) = (whole.header_len(), whole.len());
    let page = html(502);
    let mut faults = vec![
        (
            "a slow answer".to_owned(),
            whole.clone().delay(Duration::from_secs(3600)),
            "Timeout",
        ),
        (
            "byte by byte".to_owned(),
            whole.clone().drip(Duration::from_millis(200)),
            "Timeout",
        ),
        // Its status says enough.
        (
            "half a page".to_owned(),
            page.clone().stall_at(page.len() - 9),
            "HTTP 502",
        ),
    ];
    for at in [0, 1, 20, head - 1, head, head + 1, all - 1] {
        faults.push((
            format!("silence at {at} of {all}"),
            whole.clone().stall_at(at),
            "Timeout",
        ));
    }
    std::thread::scope(|scope| {
        for (what, fault, expected) in faults {
            scope.spawn(move || {
                let service = service();
                service.reply_with(move |_| Some(fault.clone()));
                let client = builder(service.base_url())
                    .retries(3)
                    .timeout(Duration::from_secs(3))
                    .build()
                    .unwrap();
                let error = client.create_task(&task()).expect_err(&what);
                assert_eq!(layer(&error), expected, "{what}: {error:?}");
                assert_eq!(error.is_timeout(), expected == "Timeout", "{what}");
                assert!(error.may_have_been_sent(), "{what}: {error:?}");
                assert_eq!(
                    (creations(&service), service.request_count()),
                    (1, 1),
                    "{what}"
                );
            });
        }
    });
}

/// A server that takes the connection and reads nothing, until the sockets' buffers are full.
#[test]
fn a_timeout_while_sending() {
    let held = std::sync::Mutex::new(Vec::new());
    let (address, connections) = listener(move |stream| held.lock().unwrap().push(stream));
    let client = builder(format!("http://{address}"))
        .retries(3)
        .timeout(Duration::from_secs(3))
        .build()
        .unwrap();
    let long = NewTask::new(format!("{URL}?{}", "x".repeat(64 << 20)));
    let error = client.create_task(&long).unwrap_err();
    assert_eq!(layer(&error), "Timeout", "{error:?}");
    assert!(error.may_have_been_sent());
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

// Sent again where nothing can have left.

#[test]
fn a_refused_connection_is_tried_again() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for retries in [0, 1] {
        let client = builder(format!("http://{address}"))
            .retries(retries)
            .build()
            .unwrap();
        let started = Instant::now();
        let error = client.create_task(&task()).unwrap_err();
        // Nobody is there to count; but the pause before a retry is never shorter.
        assert!(retries == 0 || started.elapsed() >= Duration::from_millis(500));
        assert_eq!(layer(&error), "Connect", "{error:?}");
        assert!(error.is_transient() && !error.may_have_been_sent());
    }
}

#[test]
fn retries_after_429() {
    let replies = [
        (Reply::code(429, "too many requests"), "code 429"),
        (
            Reply::code(429, "too many requests").status(429),
            "code 429",
        ),
        (html(429), "HTTP 429"),
        (html(429).cut_at(html(429).len() + 10), "HTTP 429"),
    ];
    for (reply, expected) in
        replies.map(|(reply, expected)| (reply.header("Retry-After", "0"), expected))
    {
        for retries in 0..3 {
            let service = service();
            let client = builder(service.base_url())
                .retries(retries as u32)
                .build()
                .unwrap();
            for _ in 0..=retries {
                service.reply_next(reply.clone());
            }
            let error = client.create_task(&task()).unwrap_err();
            assert_eq!(layer(&error), expected);
            assert_eq!(error.retry_after(), Some(Duration::ZERO));
            assert!(
                error.is_transient() && !error.may_have_been_sent(),
                "{error:?}"
            );
            assert_eq!(
                (creations(&service), service.connection_count()),
                (1 + retries, 1 + retries)
            );

            // One less, and there is a task: one.
            for _ in 0..retries {
                service.reply_next(reply.clone());
            }
            let task_id = client.create_task(&task()).unwrap();
            assert_eq!(task_id, TASK + 1);
            assert_eq!(creations(&service), 2 + 2 * retries);
        }
    }
}

/// A retry that was allowed does not allow the next one.
#[test]
fn what_follows_a_retry_is_judged_by_itself() {
    for (fault, expected) in [
        (Reply::nothing(), "Closed"),
        (html(504), "HTTP 504"),
        (html(200), "Decode"),
    ] {
        let service = service();
        service
            .reply_next(html(429).header("Retry-After", "0"))
            .reply_next(fault);
        let error = builder(service.base_url())
            .retries(3)
            .build()
            .unwrap()
            .create_task(&task())
            .unwrap_err();
        assert_eq!(layer(&error), expected);
        assert!(error.may_have_been_sent(), "{error:?}");
        assert_eq!(creations(&service), 2);
    }
}

// With tokens.

/// The ways to say that a token does not do.
fn refusals() -> [Reply; 3] {
    [
        Reply::code(401, "token is invalid"),
        Reply::code(401, "token is expired").status(401),
        html(401),
    ]
}

#[test]
fn a_given_token_that_is_refused() {
    for refusal in refusals() {
        let service = service();
        service.reply_with(move |_| Some(refusal.clone().header("Retry-After", "0")));
        let error = builder(service.base_url())
            .retries(3)
            .build()
            .unwrap()
            .create_task(&task())
            .unwrap_err();
        assert!(
            error.is_unauthorized() && !error.is_transient() && !error.may_have_been_sent(),
            "{error:?}"
        );
        assert_eq!(service.request_count(), 1);
    }
}

#[test]
fn requests_a_token_first() {
    let service = service();
    let client = with_credentials(&service).build().unwrap();
    assert_eq!(client.create_task(&task()).unwrap(), TASK + 1);
    let paths: Vec<_> = service
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(paths, [ACCESS_TOKEN, CREATE]);
}

#[test]
fn an_invalidated_token_costs_one_replay_and_no_task() {
    let service = service();
    let client = with_credentials(&service).build().unwrap();
    client.get_process(TASK).unwrap();
    service.revoke_tokens();
    assert_eq!(client.create_task(&task()).unwrap(), TASK + 1);
    assert_eq!(
        (service.tokens_issued(), creations(&service)),
        (2, 2),
        "one refused, one replayed"
    );
    let creations = requests_to(&service, CREATE);
    assert_ne!(
        creations[0].header("Authorization"),
        creations[1].header("Authorization")
    );
    assert_eq!(creations[0].body, creations[1].body);
    assert_eq!(
        client.create_task(&task()).unwrap(),
        TASK + 2,
        "there was one task only"
    );

    // Within the same minute there is no other token, so there is no replay.
    service.revoke_tokens();
    let error = client.create_task(&task()).unwrap_err();
    assert!(
        error.is_unauthorized() && !error.may_have_been_sent(),
        "{error:?}"
    );
    assert_eq!((service.tokens_issued(), self::creations(&service)), (2, 4));
}

#[test]
fn a_refusal_that_stays() {
    for refusal in refusals() {
        let service = service();
        let client = with_credentials(&service).retries(3).build().unwrap();
        service.reply_with(move |request| (request.path == CREATE).then(|| refusal.clone()));
        let error = client.create_task(&task()).unwrap_err();
        assert!(
            error.is_unauthorized() && !error.may_have_been_sent(),
            "{error:?}"
        );
        assert_eq!(
            (service.tokens_issued(), creations(&service)),
            (2, 2),
            "one new token, one replay"
        );
    }
}

#[test]
fn a_replay_that_breaks_is_not_sent_again() {
    for (fault, expected) in [
        (Reply::nothing(), "Closed"),
        (html(502), "HTTP 502"),
        (html(200), "Decode"),
    ] {
        let service = service();
        let client = with_credentials(&service).retries(3).build().unwrap();
        let asked = AtomicUsize::new(0);
        service.reply_with(move |request| match request.path.as_str() {
            CREATE if asked.fetch_add(1, Ordering::SeqCst) == 0 => {
                Some(Reply::code(401, "token is expired"))
            }
            CREATE => Some(fault.clone()),
            _ => None,
        });
        let error = client.create_task(&task()).unwrap_err();
        assert_eq!(layer(&error), expected);
        assert!(error.may_have_been_sent(), "{error:?}");
        assert_eq!((service.tokens_issued(), creations(&service)), (2, 2));
    }
}

/// What goes wrong on the way to a token, and whether it passes.
fn token_faults() -> [(Reply, &'static str); 10] {
    let token = Reply::json(r#"{"code":0,"message":"ok","data":{"accessToken":"a-token"}}"#);
    [
        (html(500), "HTTP 500"),
        (html(502), "HTTP 502"),
        (html(504), "HTTP 504"),
        (html(200), "Decode"),
        (
            Reply::raw("SSH-2.0-OpenSSH_9.2\r\n").close_after(),
            "Protocol",
        ),
        (Reply::nothing(), "Closed"),
        (token.clone().cut_at(token.len() - 9), "Closed"),
        (token.clone().endless(), "Decode"),
        (
            token.body(r#"{"code":0,"data":{"accessToken":""}}"#),
            "Decode",
        ),
        (Reply::code(1, "client id or secret is wrong"), "code 1"),
    ]
}

#[test]
fn without_a_token_nothing_was_sent() {
    for (fault, expected) in token_faults() {
        let service = service();
        service.reply_with(move |request| (request.path == ACCESS_TOKEN).then(|| fault.clone()));
        let client = with_credentials(&service).build().unwrap();
        let error = client.create_task(&task()).unwrap_err();
        assert_eq!(layer(&error), expected, "{error:?}");
        assert!(!error.may_have_been_sent(), "{error:?}");
        assert_eq!(
            (creations(&service), service.request_count()),
            (0, 1),
            "{expected}"
        );
    }
}

/// What passes on the way to a token may be tried again: the task has not been sent yet.
#[test]
fn transient_errors_of_a_token_request_are_retried_for_a_creation() {
    for fault in [
        html(502).header("Retry-After", "0"),
        html(429).header("Retry-After", "0"),
        Reply::nothing(),
    ] {
        let service = service();
        service.reply_next(fault);
        let client = with_credentials(&service).retries(1).build().unwrap();
        assert_eq!(client.create_task(&task()).unwrap(), TASK + 1);
        assert_eq!(
            (
                creations(&service),
                service.tokens_issued(),
                service.request_count()
            ),
            (1, 1, 3)
        );
    }
}

/// The task was refused with its token, and then no other token came.
#[test]
fn without_a_new_token_a_refused_task_was_not_sent() {
    for (fault, expected) in token_faults() {
        let service = service();
        let client = with_credentials(&service).build().unwrap();
        client.get_process(TASK).unwrap();
        service.revoke_tokens();
        service.reply_with(move |request| (request.path == ACCESS_TOKEN).then(|| fault.clone()));
        let error = client.create_task(&task()).unwrap_err();
        assert_eq!(layer(&error), expected, "{error:?}");
        assert!(!error.may_have_been_sent(), "{error:?}");
        assert_eq!(creations(&service), 1, "{expected}");
    }
}

#[test]
fn a_token_that_never_comes() {
    let service = service();
    service
        .reply_with(|request| (request.path == ACCESS_TOKEN).then(|| Reply::new(200).stall_at(0)));
    let client = with_credentials(&service)
        .timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    let error = client.create_task(&task()).unwrap_err();
    assert!(
        error.is_timeout() && !error.may_have_been_sent(),
        "{error:?}"
    );
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

// Over TLS.

#[cfg(feature = "rustls")]
mod over_tls {
    use std::io::{Read, Write};
    use std::sync::Mutex;

    use pan123_offline::TransportErrorKind;

    use super::tls::TlsFront;
    use super::*;

    fn trusting(front: &TlsFront, base_url: String) -> ClientBuilder {
        let trust = front.trust();
        builder(base_url).configure_agent(|agent| agent.tls_config(trust))
    }

    #[test]
    fn a_task_is_created() {
        let service = service();
        let front = TlsFront::start(service.address(), |_| {});
        let client = trusting(&front, front.base_url()).build().unwrap();
        for number in 1..=3 {
            client.get_process(TASK).unwrap();
            assert_eq!(client.create_task(&task()).unwrap(), TASK + number);
        }
        assert_eq!((creations(&service), front.connections()), (3, 4));
    }

    #[test]
    fn a_connection_that_breaks_after_sending() {
        for fault in [
            Reply::nothing(),
            created(1).cut_at(20),
            created(1).cut_at(created(1).len() - 1),
        ] {
            let service = service();
            let front = TlsFront::start(service.address(), |_| {});
            let client = trusting(&front, front.base_url())
                .retries(3)
                .build()
                .unwrap();
            client.get_process(TASK).unwrap();
            service.reply_next(fault);
            let error = client.create_task(&task()).unwrap_err();
            assert_eq!(layer(&error), "Closed", "{error:?}");
            assert!(error.may_have_been_sent(), "{error:?}");
            assert_eq!((creations(&service), front.connections()), (1, 2));
        }
    }

    /// The answer arrives damaged, so TLS itself gives up: after the service got the task.
    #[test]
    fn rejects_damaged_responses() {
        let service = Arc::new(service());
        let front = TlsFront::start(service.address(), |_| {});
        let target = front.base_url().trim_start_matches("https://").to_owned();
        let seen = Arc::clone(&service);
        let (relay, connections) = listener(move |mut client| {
            let mut server = TcpStream::connect(&target).unwrap();
            let (mut up_from, mut up_to) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut up_from, &mut up_to));
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = server.read(&mut buffer) {
                if seen.request_count() > 0 {
                    buffer[..read].fill(b'x');
                }
                if client.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
        });
        let client = trusting(&front, format!("https://{relay}"))
            .retries(3)
            .build()
            .unwrap();
        let error = client.create_task(&task()).unwrap_err();
        assert_eq!(
            (creations(&service), connections.load(Ordering::SeqCst)),
            (1, 1)
        );
        assert!(matches!(error, Error::Transport(_)), "{error:?}");
        assert!(error.may_have_been_sent(), "{error:?}");
    }

    /// A handshake that is cut sends no task, whatever it has got of the service's greeting.
    #[test]
    fn a_handshake_that_is_cut_is_tried_again() {
        for (what, greeted, start) in [
            ("at once", false, &b""[..]),
            ("after the greeting", true, b""),
            (
                "in the service's greeting",
                true,
                b"\x16\x03\x03\x00\x7a\x02\x00",
            ),
        ] {
            let (address, connections) = listener(move |mut stream| {
                if greeted {
                    assert_ne!(stream.read(&mut [0; 4096]).unwrap(), 0);
                    stream.write_all(start).unwrap();
                }
            });
            let client = builder(format!("https://{address}"))
                .retries(1)
                .build()
                .unwrap();
            let error = client.create_task(&task()).unwrap_err();
            assert_eq!(layer(&error), "Closed", "{what}: {error:?}");
            assert!(!error.may_have_been_sent(), "{what}: {error:?}");
            assert_eq!(connections.load(Ordering::SeqCst), 2, "{what}");
        }
    }

    #[test]
    fn a_handshake_that_stalls() {
        for start in [&b""[..], b"\x16\x03\x03\x00\x7a\x02\x00"] {
            let held = Mutex::new(Vec::new());
            let (address, _) = listener(move |mut stream| {
                stream.write_all(start).unwrap();
                held.lock().unwrap().push(stream);
            });
            let client = builder(format!("https://{address}"))
                .retries(3)
                .timeout(Duration::from_secs(1))
                .build()
                .unwrap();
            let error = client.create_task(&task()).unwrap_err();
            assert_eq!(layer(&error), "Timeout", "{error:?}");
            assert!(!error.may_have_been_sent(), "{error:?}");
        }
    }

    #[test]
    fn a_handshake_that_is_refused() {
        for refusal in [
            &b"\x15\x03\x03\x00\x02\x02\x28"[..],
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
        ] {
            let (address, connections) = listener(move |mut stream| {
                assert_ne!(stream.read(&mut [0; 4096]).unwrap(), 0);
                stream.write_all(refusal).unwrap();
            });
            let client = builder(format!("https://{address}"))
                .retries(3)
                .build()
                .unwrap();
            let error = client.create_task(&task()).unwrap_err();
            assert!(
                matches!(&error, Error::Transport(e) if e.kind() == TransportErrorKind::Tls),
                "{error:?}"
            );
            assert!(
                !error.may_have_been_sent() && !error.is_transient(),
                "{error:?}"
            );
            assert_eq!(
                connections.load(Ordering::SeqCst),
                1,
                "what does not hold will not pass"
            );
        }
    }
}
