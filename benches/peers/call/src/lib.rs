//! Shared by all clients: the request, the decoded response, and the arguments of a client.

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

pub const TASK: u64 = 403_316;
pub const USER_AGENT: &str = "peers/0.0.0";

/// Returns a token as long as the service's own.
pub fn token() -> String {
    "t".repeat(600)
}

/// Returns the headers of every request.
pub fn headers() -> [(&'static str, String); 5] {
    [
        ("Authorization", format!("Bearer {}", token())),
        ("Platform", "open_platform".to_owned()),
        ("Content-Type", "application/json".to_owned()),
        ("Accept", "application/json".to_owned()),
        ("User-Agent", USER_AGENT.to_owned()),
    ]
}

/// The server that a client calls.
pub struct Target {
    /// `http://` or `https://`, a host and a port.
    pub base: String,
    /// For https: a file with the one certificate to trust.
    pub certificate: Option<PathBuf>,
}

impl Target {
    /// Returns the URL of the call. Each call makes it anew, since a user's task ids differ.
    pub fn url(&self) -> String {
        format!(
            "{}/api/v1/oss/offline/download/process?taskID={TASK}",
            self.base
        )
    }

    /// Returns the certificate to trust, if there is one.
    pub fn pem(&self) -> Option<Vec<u8>> {
        self.certificate
            .as_ref()
            .map(|path| fs::read(path).unwrap())
    }
}

/// The body of a response.
#[derive(Deserialize)]
pub struct Envelope<Text = String> {
    code: i64,
    #[expect(dead_code, reason = "decoded, as a user's program would")]
    message: Text,
    data: Option<Progress>,
}

#[derive(Deserialize)]
struct Progress {
    process: u8,
    #[expect(dead_code, reason = "decoded, as a user's program would")]
    status: i64,
}

impl<Text> Envelope<Text> {
    pub fn percent(self) -> u8 {
        assert_eq!(self.code, 0);
        self.data.unwrap().process
    }
}

/// Runs a client as its arguments say: `CALLS BASE [CERTIFICATE]`.
pub fn run<C: FnMut() -> u8>(connect: impl FnOnce(Target) -> C) {
    let mut arguments = std::env::args().skip(1);
    let calls: u32 = arguments.next().expect("number of calls").parse().unwrap();
    let base = arguments.next().expect("base URL");
    let certificate = arguments.next().map(PathBuf::from);
    let mut call = connect(Target { base, certificate });
    (0..calls).for_each(|_| assert_eq!(call(), 100));
}
