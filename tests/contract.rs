//! The request of `get_process`: method, target and headers, and no others.

mod support;

use std::net::TcpListener;

use mockito::{Matcher, Server, ServerOpts};
use pan123_offline::testing::{Reply, Service};
use pan123_offline::ureq::config::IpFamily;
use pan123_offline::{Progress, Status};
use support::{RUNNING, TOKEN, builder};

/// The sample of the service's documentation.
const SAMPLE: &str = r#"{"code":0,"message":"ok","data":{"process":100,"status":2},"x-traceID":"1895c15e-dc5b-4f75-a01b-b7113bd176ca_kong-db-5898fdd8c6-t5pvc"}"#;
const PROCESS: &str = "/api/v1/oss/offline/download/process";
const USER_AGENT: &str = concat!("pan123-offline/", env!("CARGO_PKG_VERSION"));

type Headers = Vec<(String, String)>;

/// Returns all headers of the request. A list that is compared with it shows an additional and a repeated one, too.
fn expected(host: &str, token: &str, user_agent: &str) -> Headers {
    let headers = [
        ("accept", "application/json"),
        ("authorization", &format!("Bearer {token}")),
        ("content-type", "application/json"),
        ("host", host),
        ("platform", "open_platform"),
        ("user-agent", user_agent),
    ];
    headers
        .map(|(name, value)| (name.into(), value.into()))
        .into()
}

fn sorted<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Headers {
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let mut headers: Headers = headers.collect();
    headers.sort();
    headers
}

#[test]
fn sends_exactly_the_documented_request() {
    let mut servers = vec![Server::new_with_opts(ServerOpts::default())];
    // Skipped without IPv6, which containers often lack.
    if TcpListener::bind("[::1]:0").is_ok() {
        servers.push(Server::new_with_opts(ServerOpts {
            host: "::1",
            ..ServerOpts::default()
        }));
    }
    for mut server in servers {
        let expected = expected(&server.host_with_port(), TOKEN, USER_AGENT);
        let mock = server
            .mock("GET", PROCESS)
            .match_query(Matcher::Exact("taskID=403316".into()))
            .match_body(Matcher::Exact(String::new()))
            .match_request(move |request| {
                let headers = request.headers().iter();
                let headers = headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
                sorted(headers) == expected
            })
            .with_body(SAMPLE)
            .create();
        let client = builder(server.url()).build().unwrap();
        let progress = client.get_process(403_316).unwrap();
        assert_eq!(progress, Progress::new(Status::Succeeded, 100));
        mock.assert();
    }
}

#[test]
fn prefixes_the_path_of_the_base_url_and_sends_the_whole_task_id() {
    // The maximum length of a path: the request line must fit into ureq's buffer, too.
    let long = format!("/{}", "p".repeat(4095));
    let service = Service::start().unwrap();
    service.reply_with(|_| Some(Reply::progress(RUNNING)));
    for (path, prefix, task_id) in [
        ("", "", 0),
        ("/", "", 403_316),
        ("/gateway", "/gateway", u64::MAX),
        ("/gate/way//", "/gate/way", 1),
        ("/%E7%BD%91%E5%85%B3", "/%E7%BD%91%E5%85%B3", 1),
        (&long, &long, 1),
    ] {
        let client = builder(service.base_url() + path).build().unwrap();
        client.get_process(task_id).unwrap();
        let request = service.requests().pop().unwrap();
        assert_eq!(request.path, format!("{prefix}{PROCESS}"));
        assert_eq!(request.query, Some(format!("taskID={task_id}")));
    }
}

#[test]
fn sends_the_configured_host_token_and_user_agent_and_no_other_header() {
    // All bytes that are valid in a token instead of one repeated letter, so that a lost or moved part is detected.
    let token: String = ('!'..='~').cycle().take(4096).collect();
    let user_agent: String = ('a'..='z').cycle().take(4096).collect();
    let service = Service::start().unwrap();
    service.reply_with(|_| Some(Reply::progress(RUNNING)));
    let host = format!("localhost:{}", service.address().port());
    let client = builder(format!("http://{host}"))
        .access_token(&token)
        .user_agent(&user_agent)
        .configure_agent(|agent| {
            let agent = agent.user_agent("other").accept("text/html");
            // The DNS lookup may return ::1 first, on which no server listens.
            let agent = agent.ip_family(IpFamily::Ipv4Only);
            agent.accept_encoding("gzip")
        })
        .build()
        .unwrap();
    client.get_process(1).unwrap();
    let request = service.requests().pop().unwrap();
    let headers = request.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.as_str()));
    assert_eq!(sorted(headers), expected(&host, &token, &user_agent));
}
