//! The wire contract of `get_process`: what leaves the client, byte for byte where that matters.

// A test that cannot set itself up has nothing better to do than to panic.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use mockito::{Matcher, Server};
use pan123_offline::{Client, ClientBuilder, Progress, Status};

/// The document's own sample.
const SAMPLE: &str = r#"{"code":0,"message":"ok","data":{"process":100,"status":2},"x-traceID":"1895c15e-dc5b-4f75-a01b-b7113bd176ca_kong-db-5898fdd8c6-t5pvc"}"#;
const PROCESS: &str = "/api/v1/oss/offline/download/process";
const TOKEN: &str = "eyJhbGciOi.J9-_~+/=";
const DEFAULT_USER_AGENT: &str = concat!("pan123-offline/", env!("CARGO_PKG_VERSION"));

/// A request's head as it stood on the wire. mockito would hide its spelling, its version and doubled headers.
struct Head {
    line: String,
    /// Names in lower case, sorted.
    headers: Vec<(String, String)>,
}

impl Head {
    #[track_caller]
    fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).expect("a request of this crate is ASCII");
        let (head, rest) = text
            .split_once("\r\n\r\n")
            .expect("the head ends with an empty line");
        assert_eq!(rest, "", "a GET has no body");
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let mut headers: Vec<_> = lines
            .map(|line| {
                let (name, value) = line.split_once(": ").expect("`name: value`");
                (name.to_ascii_lowercase(), value.to_owned())
            })
            .collect();
        headers.sort();
        Self { line, headers }
    }

    /// Compares the whole head, so that one header more, or one twice, is an error, too.
    #[track_caller]
    fn assert(&self, target: &str, host: &str, token: &str, user_agent: &str) {
        assert_eq!(self.line, format!("GET {target} HTTP/1.1"));
        let authorization = format!("Bearer {token}");
        let expected = [
            ("accept", "application/json"),
            ("authorization", &authorization),
            ("content-type", "application/json"),
            ("host", host),
            ("platform", "open_platform"),
            ("user-agent", user_agent),
        ];
        let got: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(got, expected);
    }
}

/// Takes one request on a fresh port of `bind`, answers it with the sample, and gives back its head.
#[track_caller]
fn capture(bind: &str, call: impl FnOnce(SocketAddr) -> pan123_offline::Result<Progress>) -> Head {
    let listener = TcpListener::bind(bind).unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        let mut chunk = [0; 1024];
        while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
            match stream.read(&mut chunk).unwrap() {
                0 => break,
                read => bytes.extend_from_slice(&chunk[..read]),
            }
        }
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{SAMPLE}",
            SAMPLE.len()
        )
        .unwrap();
        // Whatever the client sends behind its head would come before its end of the connection.
        drop(stream.shutdown(std::net::Shutdown::Write));
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let result = call(address);
    // Lets the server go where the call never came to it; otherwise nobody listens any more.
    drop(TcpStream::connect(address));
    let bytes = server.join().expect("the server saw a whole request");
    assert_eq!(
        result.expect("the sample is a success"),
        Progress::new(Status::Succeeded, 100)
    );
    Head::parse(&bytes)
}

fn builder(base_url: impl Into<String>) -> ClientBuilder {
    Client::builder()
        .access_token(TOKEN)
        .base_url(base_url)
        .retries(0)
}

#[test]
fn sends_the_documented_headers_and_no_others() {
    let mut port = 0;
    let head = capture("127.0.0.1:0", |address| {
        port = address.port();
        builder(format!("http://{address}"))
            .build()?
            .get_process(403316)
    });
    let host = format!("127.0.0.1:{port}");
    head.assert(
        "/api/v1/oss/offline/download/process?taskID=403316",
        &host,
        TOKEN,
        DEFAULT_USER_AGENT,
    );
}

#[test]
fn the_contract_holds_as_a_http_library_reads_it() {
    let mut server = Server::new();
    let host = server.host_with_port();
    let mock = server
        .mock("GET", PROCESS)
        .match_query(Matcher::Exact("taskID=403316".into()))
        .match_header("authorization", Matcher::Exact(format!("Bearer {TOKEN}")))
        .match_header("platform", "open_platform")
        .match_header("content-type", "application/json")
        .match_header("accept", "application/json")
        .match_header("user-agent", DEFAULT_USER_AGENT)
        .match_header("host", host.as_str())
        .match_header("accept-encoding", Matcher::Missing)
        .match_header("content-length", Matcher::Missing)
        .match_header("transfer-encoding", Matcher::Missing)
        .match_header("connection", Matcher::Missing)
        .match_header("expect", Matcher::Missing)
        .match_body(Matcher::Exact(String::new()))
        .match_request(|request| {
            [
                "authorization",
                "platform",
                "content-type",
                "accept",
                "user-agent",
                "host",
            ]
            .iter()
            .all(|name| request.header(*name).len() == 1)
        })
        .with_body(SAMPLE)
        .expect(1)
        .create();
    let progress = builder(server.url())
        .build()
        .unwrap()
        .get_process(403316)
        .unwrap();
    assert_eq!(progress, Progress::new(Status::Succeeded, 100));
    mock.assert();
}

#[test]
fn every_task_id_is_sent_in_full() {
    for (task_id, query) in [
        (0, "taskID=0"),
        (403316, "taskID=403316"),
        (u64::MAX, "taskID=18446744073709551615"),
    ] {
        let mut server = Server::new();
        let mock = server
            .mock("GET", PROCESS)
            .match_query(Matcher::Exact(query.into()))
            .with_body(SAMPLE)
            .create();
        builder(server.url())
            .build()
            .unwrap()
            .get_process(task_id)
            .unwrap();
        mock.assert();
    }
}

#[test]
fn the_base_urls_path_goes_before_the_services_own() {
    // As long as a token may be: a request line must fit into ureq's buffer, too.
    let long = format!("/{}", "p".repeat(4095));
    for (path, prefix) in [
        ("", ""),
        ("/", ""),
        ("/gateway", "/gateway"),
        ("/gateway/", "/gateway"),
        ("/gate/way//", "/gate/way"),
        ("/%E7%BD%91%E5%85%B3", "/%E7%BD%91%E5%85%B3"),
        (&long, &long),
    ] {
        let mut host = String::new();
        let head = capture("127.0.0.1:0", |address| {
            host = address.to_string();
            builder(format!("http://{address}{path}"))
                .build()?
                .get_process(1)
        });
        head.assert(
            &format!("{prefix}{PROCESS}?taskID=1"),
            &host,
            TOKEN,
            DEFAULT_USER_AGENT,
        );
    }
}

#[test]
fn the_host_header_is_the_base_urls() {
    let mut host = String::new();
    let head = capture("127.0.0.1:0", |address| {
        host = format!("localhost:{}", address.port());
        // Its look-up may give ::1 first, where nobody listens.
        builder(format!("http://{host}"))
            .configure_agent(|agent| {
                agent.ip_family(pan123_offline::ureq::config::IpFamily::Ipv4Only)
            })
            .build()?
            .get_process(1)
    });
    head.assert(
        &format!("{PROCESS}?taskID=1"),
        &host,
        TOKEN,
        DEFAULT_USER_AGENT,
    );

    // Not every machine has IPv6, and a container often has none.
    if TcpListener::bind("[::1]:0").is_ok() {
        let head = capture("[::1]:0", |address| {
            host = address.to_string();
            builder(format!("http://{address}")).build()?.get_process(1)
        });
        assert!(host.starts_with("[::1]:"));
        head.assert(
            &format!("{PROCESS}?taskID=1"),
            &host,
            TOKEN,
            DEFAULT_USER_AGENT,
        );
    }
}

#[test]
fn the_user_agent_can_be_set() {
    let mut host = String::new();
    let head = capture("127.0.0.1:0", |address| {
        host = address.to_string();
        builder(format!("http://{address}"))
            .user_agent("album-mover/2.1 (nightly build)")
            .build()?
            .get_process(1)
    });
    head.assert(
        &format!("{PROCESS}?taskID=1"),
        &host,
        TOKEN,
        "album-mover/2.1 (nightly build)",
    );
}

#[test]
fn configure_agent_adds_no_header() {
    let mut host = String::new();
    let head = capture("127.0.0.1:0", |address| {
        host = address.to_string();
        builder(format!("http://{address}"))
            .configure_agent(|agent| {
                agent
                    .user_agent("other")
                    .accept("text/html")
                    .accept_encoding("gzip")
            })
            .build()?
            .get_process(1)
    });
    head.assert(
        &format!("{PROCESS}?taskID=1"),
        &host,
        TOKEN,
        DEFAULT_USER_AGENT,
    );
}

#[test]
fn the_longest_headers_arrive_whole() {
    // Every byte that a token may hold, and not one letter over and over, so that a lost or moved piece shows.
    let token: String = ('!'..='~').cycle().take(4096).collect();
    let user_agent: String = ('a'..='z').cycle().take(4096).collect();
    let mut host = String::new();
    let head = capture("127.0.0.1:0", |address| {
        host = address.to_string();
        builder(format!("http://{address}"))
            .access_token(token.as_str())
            .user_agent(user_agent.as_str())
            .build()?
            .get_process(u64::MAX)
    });
    head.assert(
        &format!("{PROCESS}?taskID={}", u64::MAX),
        &host,
        &token,
        &user_agent,
    );
}
