//! Shared by all clients: the request, the decoded response, and how a client measures itself.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use serde::Deserialize;

pub const TASK: u64 = 403_316;
pub const PLATFORM: &str = "open_platform";
pub const JSON: &str = "application/json";
pub const USER_AGENT: &str = "peers/0.0.0";

/// Calls before the first one that is timed, besides the very first one.
const WARM_UP_CALLS: u32 = 20;

/// Returns a token as long as the service's own.
pub fn token() -> String {
    "t".repeat(600)
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

/// Runs a client as its arguments say: `count|time CALLS BASE [CERTIFICATE]`.
///
/// Prints `first` after the first call. `count` then makes the other calls and nothing else. `time`
/// warms up, makes `CALLS` calls and prints their median wall time and their mean CPU time in
/// nanoseconds, and the peak memory of the process in KiB.
pub fn run<C: FnMut() -> u8>(connect: impl FnOnce(Target) -> C) {
    let mut arguments = std::env::args().skip(1);
    let is_timed = arguments.next().expect("count or time") == "time";
    let calls: u32 = arguments.next().expect("number of calls").parse().unwrap();
    let base = arguments.next().expect("base URL");
    let certificate = arguments.next().map(PathBuf::from);
    let mut call = connect(Target { base, certificate });

    let mut checked = || assert_eq!(call(), 100);
    checked();
    std::io::stdout().write_all(b"first\n").unwrap();
    if is_timed {
        time(calls, checked);
    } else {
        (1..calls).for_each(|_| checked());
    }
}

fn time(calls: u32, mut call: impl FnMut()) {
    (0..WARM_UP_CALLS).for_each(|_| call());
    let mut durations = Vec::with_capacity(calls as usize);
    let cpu = cpu_time();
    for _ in 0..calls {
        let started = Instant::now();
        call();
        durations.push(started.elapsed().as_nanos());
    }
    let cpu = (cpu_time() - cpu) / u64::from(calls);
    durations.sort_unstable();
    println!("{} {cpu} {}", durations[durations.len() / 2], peak_memory());
}

/// Returns the nanoseconds of all threads that exist, in user and in kernel mode.
fn cpu_time() -> u64 {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    threads
        .map(|thread| {
            first_number(&fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap())
        })
        .sum()
}

fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    first_number(status.split("VmHWM:").nth(1).unwrap())
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().unwrap().parse().unwrap()
}
