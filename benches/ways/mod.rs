//! The ways of making a call that the benches compare.

use std::io::{Read, Write};
use std::net::TcpStream;

use pan123_offline::testing::Service;
use pan123_offline::{Client, Progress, Status};
use serde::Deserialize;

pub const TASK: u64 = 403_316;
pub const WAYS: [&str; 3] = ["pan123-offline", "plain ureq", "hand-written"];

/// Runs the stand-in until standard input ends.
pub fn serve() {
    let service = Service::start().unwrap();
    service
        .keep_requests(0)
        .task(TASK, [Progress::new(Status::Succeeded, 100)]);
    println!("{}", service.base_url());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Returns the arguments of this program without those that cargo adds.
pub fn arguments() -> Vec<String> {
    std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect()
}

/// Prints a row of the table: a value for each way, and this crate's share of plain ureq's.
pub fn row(name: &str, values: [Option<f64>; 3]) {
    let cell = |value: Option<f64>| {
        value.map_or("not installed".to_owned(), |value| format!("{value:.1}"))
    };
    let ratio = match values {
        [Some(own), Some(plain), _] => format!("{:.3}", own / plain),
        _ => String::new(),
    };
    let [own, plain, hand] = values.map(cell);
    println!("{name:<34}{own:>16}{plain:>16}{hand:>16}{ratio:>16}");
}

pub fn heading() {
    println!("one get_process over a kept-alive loopback connection, token of 600 characters");
    println!(
        "{:<34}{:>16}{:>16}{:>16}{:>16}",
        "", WAYS[0], WAYS[1], WAYS[2], "to plain ureq"
    );
}

/// Returns a function that makes a call in one of the ways, and returns the percentage.
pub fn caller(way: &str, base: &str) -> Box<dyn FnMut() -> u8> {
    let token = "t".repeat(600);
    let base = base.to_owned();
    match way {
        "pan123-offline" => {
            let client = Client::builder()
                .access_token(token)
                .base_url(base)
                .build()
                .unwrap();
            Box::new(move || client.get_process(TASK).unwrap().percent)
        }
        "plain ureq" => {
            let agent = ureq::Agent::new_with_defaults();
            Box::new(move || plain_ureq(&agent, &base, &token))
        }
        "hand-written" => {
            let address = base.trim_start_matches("http://").to_owned();
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.set_nodelay(true).unwrap();
            let mut request = Vec::new();
            Box::new(move || hand_written(&mut stream, &mut request, &address, &token))
        }
        other => panic!("no way is called {other}"),
    }
}

#[derive(Deserialize)]
struct Envelope {
    code: i64,
    #[expect(dead_code, reason = "decoded as everybody would")]
    message: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    process: u8,
    #[expect(dead_code, reason = "decoded as everybody would")]
    status: i64,
}

fn plain_ureq(agent: &ureq::Agent, base: &str, token: &str) -> u8 {
    let envelope: Envelope = agent
        .get(format!(
            "{base}/api/v1/oss/offline/download/process?taskID={TASK}"
        ))
        .header("Authorization", format!("Bearer {token}"))
        .header("Platform", "open_platform")
        .header("Content-Type", "application/json")
        .call()
        .unwrap()
        .body_mut()
        .read_json()
        .unwrap();
    assert_eq!(envelope.code, 0);
    envelope.data.unwrap().process
}

/// The floor: one write, one read, the length from the header, the JSON from the rest.
fn hand_written(stream: &mut TcpStream, request: &mut Vec<u8>, address: &str, token: &str) -> u8 {
    request.clear();
    write!(
        request,
        "GET /api/v1/oss/offline/download/process?taskID={TASK} HTTP/1.1\r\nHost: {address}\r\n\
         Authorization: Bearer {token}\r\nPlatform: open_platform\r\nContent-Type: application/json\r\n\r\n"
    )
    .unwrap();
    stream.write_all(request).unwrap();
    let mut buffer = [0; 4096];
    let mut filled = 0;
    loop {
        filled += stream.read(&mut buffer[filled..]).unwrap();
        let response = &buffer[..filled];
        let Some(end) = response.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let header = std::str::from_utf8(&response[..end]).unwrap();
        let length = header
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .unwrap();
        let body = &response[end + 4..];
        if body.len() >= length.parse().unwrap() {
            let envelope: Envelope = serde_json::from_slice(body).unwrap();
            assert_eq!(envelope.code, 0);
            return envelope.data.unwrap().process;
        }
    }
}
