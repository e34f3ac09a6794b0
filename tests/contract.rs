//! The wire format of `get_process` requests, compared byte by byte where it matters.

// A test whose setup fails should panic.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use mockito::{Matcher, Server};
use pan123_offline::{Client, ClientBuilder, Progress, Status};

/// The sample of the service's documentation.
const SAMPLE: &str = r#"{"code":0,"message":"ok","data":{"process":100,"status":2},"x-traceID":"1895c15e-dc5b-4f75-a01b-b7113bd176ca_kong-db-5898fdd8c6-t5pvc"}"#;
const PROCESS: &str = "/api/v1/oss/offline/download/process";
const TOKEN: &str = "eyJhbGciOi.J9-_~+/=";
const DEFAULT_USER_AGENT: &str = concat!("pan123-offline/", env!("CARGO_PKG_VERSION"));

/// The request line and the headers as they were sent. mockito hides their spelling, the HTTP
/// version and repeated headers.
struct RequestHeader {
    request_line: String,
    /// Names in lower case, sorted.
    headers: Vec<(String, String)>,
}

impl RequestHeader {
    #[track_caller]
    fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).expect("a request of this crate is ASCII");
        let (header, rest) = text
            .split_once("\r\n\r\n")
            .expect("the header ends with a blank line");
        assert_eq!(rest, "", "a GET has no body");
        let mut lines = header.split("\r\n");
        let request_line = lines.next().unwrap().to_owned();
        let mut headers: Vec<_> = lines
            .map(|line| {
                let (name, value) = line.split_once(": ").expect("`name: value`");
                (name.to_ascii_lowercase(), value.to_owned())
            })
            .collect();
        headers.sort();
        Self {
            request_line,
            headers,
        }
    }

    /// Compares the request line and all headers, so that an additional or repeated header fails,
    /// too.
    #[track_caller]
    fn assert(&self, target: &str, host: &str, token: &str, user_agent: &str) {
        assert_eq!(self.request_line, format!("GET {target} HTTP/1.1"));
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

/// Accepts one request on a new port of `bind`, responds with the sample, and returns the header of
/// the request.
#[track_caller]
fn capture(
    bind: &str,
    call: impl FnOnce(SocketAddr) -> pan123_offline::Result<Progress>,
) -> RequestHeader {
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
        // Any bytes that the client sends after the header arrive before it closes the connection.
        drop(stream.shutdown(std::net::Shutdown::Write));
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let result = call(address);
    // Ends the server's thread if the call never connected; otherwise the port is closed already.
    drop(TcpStream::connect(address));
    let bytes = server.join().expect("the server received a whole request");
    assert_eq!(
        result.expect("the sample is a success"),
        Progress::new(Status::Succeeded, 100)
    );
    RequestHeader::parse(&bytes)
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
    let header = capture("127.0.0.1:0", |address| {
        port = address.port();
        builder(format!("http://{address}"))
            .build()?
            .get_process(403316)
    });
    let host = format!("127.0.0.1:{port}");
    header.assert(
        "/api/v1/oss/offline/download/process?taskID=403316",
        &host,
        TOKEN,
        DEFAULT_USER_AGENT,
    );
}

#[test]
fn sends_the_documented_request_as_parsed_by_mockito() {
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
fn sends_every_task_id_in_full() {
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
fn prefixes_the_path_of_the_base_url() {
    // The maximum length of a path: the request line must fit into ureq's buffer, too.
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
        let header = capture("127.0.0.1:0", |address| {
            host = address.to_string();
            builder(format!("http://{address}{path}"))
                .build()?
                .get_process(1)
        });
        header.assert(
            &format!("{prefix}{PROCESS}?taskID=1"),
            &host,
            TOKEN,
            DEFAULT_USER_AGENT,
        );
    }
}

#[test]
fn sends_the_host_of_the_base_url() {
    let mut host = String::new();
    let header = capture("127.0.0.1:0", |address| {
        host = format!("localhost:{}", address.port());
        // The DNS lookup may return ::1 first, on which no server listens.
        builder(format!("http://{host}"))
            .configure_agent(|agent| {
                agent.ip_family(pan123_offline::ureq::config::IpFamily::Ipv4Only)
            })
            .build()?
            .get_process(1)
    });
    header.assert(
        &format!("{PROCESS}?taskID=1"),
        &host,
        TOKEN,
        DEFAULT_USER_AGENT,
    );

    // Skipped without IPv6, which containers often lack.
    if TcpListener::bind("[::1]:0").is_ok() {
        let header = capture("[::1]:0", |address| {
            host = address.to_string();
            builder(format!("http://{address}")).build()?.get_process(1)
        });
        assert!(host.starts_with("[::1]:"));
        header.assert(
            &format!("{PROCESS}?taskID=1"),
            &host,
            TOKEN,
            DEFAULT_USER_AGENT,
        );
    }
}

#[test]
fn sends_the_configured_user_agent() {
    let mut host = String::new();
    let header = capture("127.0.0.1:0", |address| {
        host = address.to_string();
        builder(format!("http://{address}"))
            .user_agent("album-mover/2.1 (nightly build)")
            .build()?
            .get_process(1)
    });
    header.assert(
        &format!("{PROCESS}?taskID=1"),
        &host,
        TOKEN,
        "album-mover/2.1 (nightly build)",
    );
}

#[test]
fn configure_agent_adds_no_header() {
    let mut host = String::new();
    let header = capture("127.0.0.1:0", |address| {
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
    header.assert(
        &format!("{PROCESS}?taskID=1"),
        &host,
        TOKEN,
        DEFAULT_USER_AGENT,
    );
}

#[test]
fn headers_of_maximum_length_arrive_whole() {
    // All bytes that are valid in a token instead of one repeated letter, so that a lost or moved
    // part is detected.
    let token: String = ('!'..='~').cycle().take(4096).collect();
    let user_agent: String = ('a'..='z').cycle().take(4096).collect();
    let mut host = String::new();
    let header = capture("127.0.0.1:0", |address| {
        host = address.to_string();
        builder(format!("http://{address}"))
            .access_token(token.as_str())
            .user_agent(user_agent.as_str())
            .build()?
            .get_process(u64::MAX)
    });
    header.assert(
        &format!("{PROCESS}?taskID={}", u64::MAX),
        &host,
        &token,
        &user_agent,
    );
}
