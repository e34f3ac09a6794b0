//! A million calls over one client, some 4 % of them with a fault. Fails if a result is not the
//! expected one, or if memory, descriptors or threads grow in the second half.
//!
//! `cargo bench --bench soak`, or with `-- CALLS SEED`. The stand-in runs in a process of its own,
//! this program with the argument `serve`. Linux only.
#![allow(missing_docs, reason = "a program")]

#[path = "../tests/support/fault.rs"]
mod fault;

use std::collections::HashSet;
use std::fmt::Debug;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use pan123_offline::testing::{Reply, Request, Service};
use pan123_offline::{Client, Error, NewTask, PollPolicy, Progress, Status};
use pan123_offline::{Result, TransportErrorKind};

use fault::Fault;

const CALLS: u64 = 1_000_000;
/// Ids of tasks are `fault * IDS_PER_FAULT + n`.
const IDS_PER_FAULT: u64 = 100;
const FAULTS: u64 = 32;
/// The faults from this one on take time, and are rare.
const FIRST_SLOW: u64 = 27;
/// Short, since each stall takes this long, but enough for a busy machine.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum memory in the second half, in percent of that in the first.
const MAX_GROWTH: u64 = 102;

/// Returns how a client sees a fault, and the response. Fault 0 is none.
fn respond(fault: u64, good: Reply) -> (&'static str, Reply) {
    let (header, len) = (good.header_len(), good.len());
    let length = |good: Reply, value: &str| good.header("Content-Length", value);
    match fault {
        1 => ("right", good.close_after()),
        2 => ("right", good.header("Connection", "close")),
        3 => ("right", good.chunked()),
        4 => ("right", good.until_close()),
        5 => ("right", good.delay(Duration::from_millis(5))),
        6 => ("closed", Reply::nothing()),
        7 => ("closed", good.cut_at(12)),
        8 => ("closed", good.cut_at(header)),
        9 => ("closed", good.cut_at(len - 1)),
        10 => ("closed", length(good, "1000").close_after()),
        11 => ("protocol", length(good, "x")),
        12 => ("protocol", good.header("X-Long", "x".repeat(9 * 1024))),
        13 => ("protocol", Reply::raw("SSH-2.0-OpenSSH_9.2\r\n")),
        14 => ("decode", length(good, "30")),
        15 => ("decode", good.endless()),
        16 => ("decode", good.body(" ".repeat(65 * 1024))),
        17 => ("decode", good.body("<html><body>no</body></html>")),
        18 => ("decode", good.body(r#"{"data":{"process":100}}"#)),
        19 => ("decode", good.body(r#"{"code":0,"message":""}"#)),
        20 => ("api", Reply::code(1, "internal error")),
        21 => ("api", Reply::code(403, "forbidden client ip")),
        // Without the header the client would make a pause.
        22 => ("api", Reply::code(429, "").header("Retry-After", "0")),
        23 => ("api", good.status(502)),
        24 => ("http", Reply::new(301).header("Location", "/")),
        25 => ("http", good.status(404).body("<html>Not Found</html>")),
        26 => (
            "http",
            good.status(502)
                .body("Bad Gateway")
                .header("Connection", "close"),
        ),
        27 => ("right", good.drip(Duration::from_micros(10))),
        28 => ("timeout", good.drip(Duration::from_millis(100))),
        29 => ("timeout", good.stall_at(0)),
        30 => ("timeout", good.stall_at(len - 1)),
        31 => ("timeout", length(good, "1000")),
        _ => ("right", good),
    }
}

fn seen<T>(result: &Result<T>) -> &'static str {
    match result {
        Ok(_) => "right",
        Err(Error::Transport(error)) if error.kind == TransportErrorKind::Closed => "closed",
        Err(Error::Transport(error)) if error.kind == TransportErrorKind::Protocol => "protocol",
        Err(Error::Transport(error)) if error.kind == TransportErrorKind::Timeout => "timeout",
        Err(Error::Http(_)) => "http",
        Err(Error::Api(_)) => "api",
        Err(Error::Decode(_)) => "decode",
        Err(_) => "another error",
    }
}

fn main() {
    let arguments = std::env::args().skip(1).filter(|it| it != "--bench");
    let arguments: Vec<_> = arguments.collect();
    if arguments == ["serve"] {
        return serve();
    }
    let mut numbers = arguments.iter().map(|it| it.parse().expect("a number"));
    let calls = numbers.next().unwrap_or(CALLS);
    let seed = numbers.next().unwrap_or(std::process::id().into());
    println!("{calls} calls, seed {seed}");

    // Ends with this process also after a failure, because its standard input ends then.
    let mut server = Command::new(std::env::current_exe().unwrap())
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut base = String::new();
    let mut output = BufReader::new(server.stdout.take().unwrap());
    output.read_line(&mut base).unwrap();
    let client = Client::builder()
        .access_token("token")
        .base_url(base.trim())
        .timeout(TIMEOUT)
        // Each response is checked.
        .retries(0)
        .min_request_gap(Duration::ZERO)
        .build()
        .unwrap();
    let mut soak = Soak {
        client,
        random: seed,
        calls: 0,
        late: 0,
    };
    // Everything once, before the measurement.
    for fault in 0..FAULTS {
        soak.poll(fault * IDS_PER_FAULT + 1);
        soak.create(fault * IDS_PER_FAULT + 1);
    }
    soak.run_until(calls / 20);
    let [first, second] = [calls / 2, calls].map(|end| soak.run_until(end));
    server.kill().unwrap();
    server.wait().unwrap();
    println!("{} responses came too late", soak.late);
    println!("KiB, descriptors, threads: {first:?} in the first half, {second:?} in the second");
    assert!(second[0] * 100 <= first[0] * MAX_GROWTH, "memory grows");
    assert!(second[1] <= first[1], "descriptors grow");
    assert_eq!(second[2], 1, "there is more than one thread");
    assert!(soak.late <= calls / 10_000 + 1, "too many are late");
}

struct Soak {
    client: Client,
    /// State of a linear congruential generator.
    random: u64,
    calls: u64,
    /// Number of good responses that came too late, on a very busy machine.
    late: u64,
}

impl Soak {
    /// Makes calls up to that number. Returns the peak usage.
    fn run_until(&mut self, end: u64) -> [u64; 3] {
        let mut peak = usage();
        while self.calls < end {
            let id = self.id();
            match self.below(1000) {
                0 => self.watch(),
                1..=20 => self.create(id),
                _ => self.poll(id),
            }
            if self.calls.is_multiple_of(100) {
                let now = usage();
                peak = [0, 1, 2].map(|at| peak[at].max(now[at]));
            }
        }
        peak
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(1);
        (self.random >> 33) % end
    }

    /// Returns the id of a task: one of 25 has a fault, and seldom one that takes time.
    fn id(&mut self) -> u64 {
        // There is no task 0.
        let n = 1 + self.below(IDS_PER_FAULT - 1);
        let fault = self.below(25 * FAULTS);
        let is_left_out = fault >= FIRST_SLOW && self.below(150) > 0;
        if fault >= FAULTS || is_left_out {
            n
        } else {
            fault * IDS_PER_FAULT + n
        }
    }

    fn poll(&mut self, id: u64) {
        let result = self.client.get_process(id);
        self.check(id, progress_of(id), result);
    }

    fn create(&mut self, id: u64) {
        let task = NewTask::new(format!("https://example.org/{id}.png"));
        let result = self.client.create_task(&task);
        self.check(id, id, result);
    }

    fn check<T: Debug + PartialEq>(&mut self, id: u64, good: T, result: Result<T>) {
        self.calls += 1;
        let (expected, _) = respond(id / IDS_PER_FAULT, Reply::progress(progress_of(id)));
        if expected != "timeout" && seen(&result) == "timeout" {
            self.late += 1;
            return;
        }
        let is_right =
            expected == seen(&result) && result.as_ref().ok().is_none_or(|it| *it == good);
        let calls = self.calls;
        assert!(is_right, "call {calls}, task {id}, {expected}: {result:?}");
    }

    /// Follows six tasks with random faults until each has ended once.
    fn watch(&mut self) {
        let mut running: HashSet<_> = (0..6).map(|_| self.id()).collect();
        let pause = Duration::from_nanos(1);
        let policy = PollPolicy::new()
            .initial_interval(pause)
            .max_interval(pause)
            .max_consecutive_errors(2)
            .error_window(Duration::ZERO);
        for update in self.client.watch(running.clone()).policy(policy) {
            self.calls += 1;
            let id = update.task_id;
            let is_new = !update.is_end() || running.remove(&id);
            assert!(is_new, "task {id} has ended twice");
        }
        assert!(running.is_empty(), "without an end: {running:?}");
    }
}

/// Returns the progress of a task, which has ended.
fn progress_of(id: u64) -> Progress {
    let status = [Status::Succeeded, Status::Failed][(id % 2) as usize];
    Progress::new(status, (id * 7 % 101) as u8)
}

/// Runs the stand-in until standard input ends.
fn serve() {
    let service = Service::start().unwrap();
    service.reply_with(reply);
    for id in 0..IDS_PER_FAULT {
        service.task(id, [progress_of(id)]);
    }
    println!("{}", service.base_url());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Returns the response to a request; `None` for the stand-in's own, which needs a valid token.
fn reply(request: &Request) -> Option<Reply> {
    let body = String::from_utf8_lossy(&request.body);
    let in_url = || body.split_once("example.org/")?.1.split_once(".png");
    let (id, good) = match (request.task_id(), in_url()) {
        (Some(id), _) => (id, Reply::progress(progress_of(id))),
        (None, Some((id, _))) => {
            let body = format!(r#"{{"code":0,"message":"ok","data":{{"taskID":{id}}}}}"#);
            (id.parse().ok()?, Reply::json(body))
        }
        (None, None) => return None,
    };
    let is_plain_poll = request.task_id().is_some() && id < IDS_PER_FAULT;
    (!is_plain_poll).then(|| respond(id / IDS_PER_FAULT, good).1)
}

/// Returns memory in KiB, descriptors and threads of this process.
fn usage() -> [u64; 3] {
    // VmRSS in `status` may be wrong by some hundred KiB on older kernels.
    let text = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let kib = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let count = |path| fs::read_dir(path).unwrap().count() as u64;
    [
        kib.unwrap().trim_end_matches("kB").trim().parse().unwrap(),
        count("/proc/self/fd"),
        count("/proc/self/task"),
    ]
}
