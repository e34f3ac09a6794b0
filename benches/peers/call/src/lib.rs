//! What all clients share: what they send, what they decode, and how they measure themselves.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use serde::Deserialize;

pub const TASK: u64 = 403_316;
pub const PLATFORM: &str = "open_platform";
pub const JSON: &str = "application/json";
pub const USER_AGENT: &str = "peers/0.0.0";

/// As long as the service's own tokens.
pub fn token() -> String {
    "t".repeat(600)
}

/// Where a client is sent.
pub struct Target {
    /// `http://` or `https://`, an address and a port.
    pub base: String,
    /// For https: a file with the one certificate to trust.
    pub certificate: Option<PathBuf>,
}

impl Target {
    /// The address of the call, made anew for each one, since a user's task ids differ.
    pub fn url(&self) -> String {
        format!("{}/api/v1/oss/offline/download/process?taskID={TASK}", self.base)
    }

    /// The certificate to trust, if there is one.
    pub fn pem(&self) -> Option<Vec<u8>> {
        self.certificate.as_ref().map(|path| fs::read(path).unwrap())
    }
}

/// The answer, as everybody would decode it.
#[derive(Deserialize)]
pub struct Envelope<Text = String> {
    code: i64,
    #[expect(dead_code, reason = "decoded all the same")]
    message: Text,
    data: Option<Progress>,
}

#[derive(Deserialize)]
struct Progress {
    process: u8,
    #[expect(dead_code, reason = "decoded all the same")]
    status: i64,
}

impl<Text> Envelope<Text> {
    pub fn percent(self) -> u8 {
        assert_eq!(self.code, 0);
        self.data.unwrap().process
    }
}

/// Runs a client as its arguments say: `CALLS BASE [CERTIFICATE]`.
///
/// Prints `first` after the first call, and after the last one what the calls since then took: wall time and CPU time in
/// nanoseconds, and the most memory the process has had, in KiB.
pub fn run<C: FnMut() -> u8>(connect: impl FnOnce(Target) -> C) {
    let mut arguments = std::env::args().skip(1);
    let calls: u32 = arguments.next().expect("the number of calls").parse().unwrap();
    let base = arguments.next().expect("the base URL");
    let mut call = connect(Target { base, certificate: arguments.next().map(PathBuf::from) });

    let mut checked = || assert_eq!(call(), 100);
    checked();
    let mut out = std::io::stdout();
    out.write_all(b"first\n").unwrap();

    let (started, cpu) = (Instant::now(), cpu_time());
    for _ in 1..calls {
        checked();
    }
    let (wall, cpu) = (started.elapsed().as_nanos(), cpu_time() - cpu);
    println!("{wall} {cpu} {}", peak_memory());
}

/// Nanoseconds of all threads there are, in user and in kernel mode.
fn cpu_time() -> u64 {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    threads.map(|thread| first_number(&fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap())).sum()
}

fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    first_number(status.split("VmHWM:").nth(1).unwrap())
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().unwrap().parse().unwrap()
}
