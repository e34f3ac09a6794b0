//! The wire format of `get_process` requests, compared byte by byte where it matters.

// A test whose setup fails should panic.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use mockito::{Matcher, Server};
use pan123_offline::ureq::config::IpFamily;
use pan123_offline::{Client, ClientBuilder, Progress, Status};

/// The sample of the service's documentation.
const SAMPLE: &str = r#"{"code":0,"message":"ok","data":{"process":100,"status":2},"x-traceID":"1895c15e-dc5b-4f75-a01b-b7113bd176ca_kong-db-5898fdd8c6-t5pvc"}"#;
const PROCESS: &str = "/api/v1/oss/offline/download/process";
const TOKEN: &str = "eyJhbGciOi.J9-_~+/=";
const DEFAULT_USER_AGENT: &str = concat!("pan123-offline/", env!("CARGO_PKG_VERSION"));

/// The request line and the headers, in lower case and sorted, as they were sent. mockito hides their spelling, the
/// HTTP version and repeated headers.
#[track_caller]
fn parse(request: &[u8]) -> (String, Vec<String>) {
    let text = std::str::from_utf8(request).expect("a request of this crate is ASCII");
    let header = text
        .strip_suffix("\r\n\r\n")
        .expect("a header, and no body");
    let mut lines = header.split("\r\n").map(str::to_owned);
    let request_line = lines.next().unwrap();
    let mut headers: Vec<_> = lines
        .map(|line| {
            let (name, value) = line.split_once(": ").expect("`name: value`");
            format!("{}: {value}", name.to_ascii_lowercase())
        })
        .collect();
    headers.sort();
    (request_line, headers)
}

/// Accepts one request on a new port of `bind`, responds with the sample, and returns the request.
#[track_caller]
fn capture(
    bind: &str,
    call: impl FnOnce(SocketAddr) -> pan123_offline::Result<Progress>,
) -> Vec<u8> {
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
    bytes
}

fn builder(base_url: impl Into<String>) -> ClientBuilder {
    Client::builder()
        .access_token(TOKEN)
        .base_url(base_url)
        .retries(0)
}

/// Compares the request line and all headers, so that an additional or repeated header fails, too.
#[test]
fn sends_the_documented_headers_and_no_others() {
    // The maximum length of a path: the request line must fit into ureq's buffer, too.
    let long = format!("/{}", "p".repeat(4095));
    // All bytes that are valid in a token, so that a lost or moved part is detected.
    let long_token: String = ('!'..='~').cycle().take(4096).collect();
    let long_agent: String = ('a'..='z').cycle().take(4096).collect();
    let agent = "album-mover/2.1 (nightly build)";
    for (host, path, prefix, task_id, token, user_agent) in [
        ("127.0.0.1", "", "", 403_316, TOKEN, DEFAULT_USER_AGENT),
        ("127.0.0.1", "/", "", 0, TOKEN, agent),
        ("127.0.0.1", "/gateway", "/gateway", 1, TOKEN, agent),
        ("127.0.0.1", "/gate/way//", "/gate/way", 1, TOKEN, agent),
        ("127.0.0.1", "/%E7%BD%91", "/%E7%BD%91", 1, TOKEN, agent),
        (
            "127.0.0.1",
            &long,
            &long,
            u64::MAX,
            &long_token,
            &long_agent,
        ),
        ("localhost", "", "", 1, TOKEN, agent),
        ("[::1]", "", "", 1, TOKEN, agent),
    ] {
        let bind = if host == "localhost" {
            "127.0.0.1"
        } else {
            host
        };
        if TcpListener::bind((bind.trim_matches(['[', ']']), 0)).is_err() {
            println!("skipped: this machine has no {host}");
            continue;
        }
        let family = match bind {
            "127.0.0.1" => IpFamily::Ipv4Only,
            _ => IpFamily::Any,
        };
        let mut port = 0;
        let request = capture(&format!("{bind}:0"), |address| {
            port = address.port();
            // Settings of the agent add no header, and `localhost` may be ::1 first.
            let builder = builder(format!("http://{host}:{port}{path}"))
                .access_token(token)
                .configure_agent(move |agent| {
                    agent
                        .user_agent("other")
                        .accept("text/html")
                        .accept_encoding("gzip")
                        .ip_family(family)
                });
            let is_default = user_agent == DEFAULT_USER_AGENT;
            let builder = if is_default {
                builder
            } else {
                builder.user_agent(user_agent)
            };
            builder.build()?.get_process(task_id)
        });
        let (request_line, headers) = parse(&request);
        assert_eq!(
            request_line,
            format!("GET {prefix}{PROCESS}?taskID={task_id} HTTP/1.1")
        );
        let expected = [
            "accept: application/json".to_owned(),
            format!("authorization: Bearer {token}"),
            "content-type: application/json".to_owned(),
            format!("host: {host}:{port}"),
            "platform: open_platform".to_owned(),
            format!("user-agent: {user_agent}"),
        ];
        assert_eq!(headers, expected);
    }
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
