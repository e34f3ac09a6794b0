//! A watch of two thousand tasks, with a fault in every tenth response.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Client, Error, Progress, Result, Status, TransportErrorKind, Update};

use crate::support::{Fault as _, TASK, builder, html, retry_at_once};
use crate::{DONE, fast, ms};

/// Timeout of a poll. Only the stalls reach it.
const POLL_TIMEOUT: Duration = Duration::from_secs(2);
/// Minimum time of a phase of such a poll. A machine that stops for longer may close a connection without any fault.
const MIN_PHASE: Duration = ms(100);
/// The progress in those faulty responses that are still valid. No script of a task contains it.
const ODD: Progress = Progress::new(Status::Unknown(77), 77);

// ---- Faults.

struct Fault {
    name: &'static str,
    reply: Reply,
    /// Whether the connection cannot be used again.
    closes: bool,
}

fn keeps(name: &'static str, reply: Reply) -> Fault {
    Fault {
        name,
        reply,
        closes: false,
    }
}

fn closes(name: &'static str, reply: Reply) -> Fault {
    Fault {
        closes: true,
        ..keeps(name, reply)
    }
}

/// Returns every kind of fault of a response, except the slow ones.
fn faults() -> Vec<Fault> {
    let odd = || Reply::progress(ODD);
    let (header, all) = (odd().header_len(), odd().len());
    let limited = || retry_at_once(Reply::code(429, "too many requests"));
    let delayed = html(503).header("Retry-After", "1");
    let page = html(502).len();
    let no_code = r#"{"message":"ok","data":{"process":1,"status":0}}"#;
    let no_data = r#"{"code":0,"message":"ok","data":null}"#;
    let bad_chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nzz\r\n";
    let twice = [response(ODD), response(ODD)].concat();
    let too_long = odd().header("Content-Length", "999").close_after();
    let long_header = odd().header("X-Long", "x".repeat(9 * 1024));
    vec![
        keeps("code 429", limited()),
        keeps("code 429 with HTTP 429", limited().status(429)),
        keeps("HTTP 429", retry_at_once(html(429))),
        closes("no response", Reply::nothing()),
        keeps("HTTP 500", Reply::new(500)),
        keeps("HTTP 502", html(502)),
        keeps("HTTP 503, Retry-After 1", delayed),
        keeps("HTTP 504, in chunks", html(504).chunked()),
        closes("HTTP 500, endless", Reply::new(500).body("x").endless()),
        closes("HTTP 502, cut short", html(502).cut_at(page - 9)),
        closes("HTTP 502, then the end", html(502).close_after()),
        keeps("HTTP 500 in an envelope", Reply::code(0, "ok").status(500)),
        keeps("HTML", html(200)),
        closes("HTML and Connection: close", html(200).announce_close()),
        closes("cut in the header", odd().cut_at(20)),
        keeps("no body", Reply::new(200)),
        keeps("no content", Reply::new(204)),
        keeps("no code", Reply::json(no_code)),
        closes("cut before the body", odd().cut_at(header)),
        keeps("no data", Reply::json(no_data)),
        closes("SSH", Reply::raw("SSH-2.0-OpenSSH_9.6\r\n\r\n")),
        closes("binary", Reply::raw([0, 255, 13, 10, 13, 10])),
        closes("cut in the body", odd().cut_at(all - 9)),
        closes("cut in a chunked body", odd().chunked().cut_at(all - 9)),
        closes("an invalid chunk size", Reply::raw(bad_chunks)),
        closes("a Content-Length too large", too_long),
        closes(
            "a Content-Length too small",
            odd().header("Content-Length", "20"),
        ),
        closes("two responses", Reply::raw(twice)),
        closes("an endless body", Reply::json("{").endless()),
        closes("a body of 100 KiB", Reply::json(vec![b'x'; 100 * 1024])),
        closes("a header of 9 KiB", long_header),
        keeps("in chunks", odd().chunked()),
        keeps("after a delay", odd().delay(ms(20))),
        closes("Connection: close", odd().announce_close()),
        closes("then the end", odd().close_after()),
        closes("no length", odd().until_close()),
    ]
}

/// Returns the faults that take time. Each is sent once, in place of every eightieth other fault.
fn slow_faults() -> Vec<Fault> {
    let odd = || Reply::progress(ODD);
    let in_body = odd().len() - 9;
    let interval = Duration::from_micros(20);
    let limited = Reply::code(429, "too many requests");
    let delayed = html(429).header("Retry-After", "1");
    vec![
        keeps("code 429 without Retry-After", limited),
        closes("a stall before the header", odd().stall_at(0)),
        keeps("HTTP 429, Retry-After 1", delayed),
        closes("a stall in the body", odd().stall_at(in_body)),
        closes("byte by byte", odd().drip(interval)),
        closes(
            "byte by byte, cut short",
            odd().cut_at(in_body).drip(interval),
        ),
    ]
}

/// Returns the bytes of a response.
fn response(progress: Progress) -> Vec<u8> {
    let (percent, status) = (progress.percent, progress.status.as_i64());
    let body =
        format!(r#"{{"code":0,"message":"ok","data":{{"process":{percent},"status":{status}}}}}"#);
    let len = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{body}").into_bytes()
}

// ---- Tasks.

/// The expected end of a task.
#[derive(Debug, Clone, Copy)]
enum End {
    Progress(Progress),
    /// A permanent error.
    Code(i64),
    /// A permanent error.
    Http(u16),
    /// Too many transient errors: this response, always. The last one may be a fault of another kind.
    Exhausted(fn() -> Reply),
}

impl End {
    fn of(task_id: u64) -> Self {
        match task_id % 100 {
            3 => Self::Code(1),
            13 => Self::Code(5066),
            23 => Self::Http(404),
            33 => Self::Http(302),
            43 => Self::Exhausted(|| html(502)),
            53 => Self::Exhausted(|| retry_at_once(Reply::code(429, "too many requests"))),
            63 => Self::Exhausted(|| html(200)),
            _ if task_id.is_multiple_of(7) => Self::Progress(Progress::new(Status::Failed, 99)),
            _ => Self::Progress(DONE),
        }
    }

    fn matches(self, result: &Result<Progress>) -> bool {
        match (self, result) {
            (Self::Progress(expected), Ok(progress)) => expected == *progress,
            (Self::Code(code), Err(Error::Api(error))) => error.code.as_i64() == code,
            (Self::Http(status), Err(Error::Http(error))) => error.status == status,
            (Self::Exhausted(_), Err(error)) => {
                error.is_transient() || matches!(error, Error::Decode(_)) || is_protocol(error)
            }
            _ => false,
        }
    }

    /// Returns the response to every poll of such a task, unless the stand-in has a script for it.
    fn reply(self) -> Option<Reply> {
        match self {
            // The stand-in does not know the task of code 1.
            Self::Progress(_) | Self::Code(1) => None,
            Self::Code(code) => Some(Reply::code(code, "no")),
            Self::Http(status) => Some(html(status)),
            Self::Exhausted(reply) => Some(reply()),
        }
    }
}

fn is_protocol(error: &Error) -> bool {
    matches!(error, Error::Transport(e) if e.kind == TransportErrorKind::Protocol)
}

/// Returns the progress of a task, poll by poll. Some polls repeat the one before.
fn script(task_id: u64) -> Vec<Progress> {
    let End::Progress(end) = End::of(task_id) else {
        return Vec::new();
    };
    let unknown = Status::Unknown(9);
    let running = Status::InProgress;
    let statuses = [running, Status::Retrying, unknown, running];
    let times = 1 + usize::from(task_id.is_multiple_of(3));
    let steps = (0..task_id % 4).flat_map(|step| {
        let status = statuses[(task_id / 4 + step) as usize % 4];
        std::iter::repeat_n(Progress::new(status, 20 * step as u8), times)
    });
    steps.chain([end]).collect()
}

fn crowd_ids(tasks: u64) -> impl Iterator<Item = u64> + Clone {
    TASK..TASK + tasks
}

// ---- The service.

/// A stand-in with many tasks, and a fault in every tenth response.
struct Crowd {
    service: Service,
    sent: Arc<Mutex<Sent>>,
}

/// The responses so far.
#[derive(Default)]
struct Sent {
    /// For each response, whether its fault closed the connection.
    closed: Vec<bool>,
    faults: BTreeMap<&'static str, usize>,
}

impl Crowd {
    fn new(tasks: u64) -> Self {
        let service = Service::start().unwrap();
        for task_id in crowd_ids(tasks).filter(|id| !matches!(End::of(*id), End::Code(1))) {
            service.task(task_id, script(task_id));
        }
        let sent: Arc<Mutex<Sent>> = Arc::default();
        let (log, fast, slow) = (Arc::clone(&sent), faults(), slow_faults());
        service.reply_with(move |request| {
            let mut sent = log.lock().unwrap();
            let poll = sent.closed.len();
            sent.closed.push(false);
            if poll % 10 != 9 {
                return End::of(request.task_id().unwrap()).reply();
            }
            let fault = match poll / 10 {
                nth if nth % 80 == 10 && nth / 80 < slow.len() => &slow[nth / 80],
                nth => &fast[nth % fast.len()],
            };
            sent.closed[poll] = fault.closes;
            *sent.faults.entry(fault.name).or_default() += 1;
            Some(fault.reply.clone())
        });
        Self { service, sent }
    }

    /// Checks that there is one connection, and at most two more for each that a fault closed: a replay has a connection
    /// of its own.
    #[track_caller]
    fn check_connections(&self) {
        let sent = self.sent.lock().unwrap();
        let requests = self.service.requests();
        assert_eq!(requests.len(), sent.closed.len());
        let mut explained = 0;
        for (poll, pair) in requests.windows(2).enumerate() {
            let is_new = pair[0].connection != pair[1].connection;
            let is_late = pair[1].at - pair[0].at >= MIN_PHASE;
            explained += usize::from(sent.closed[poll] || is_new && is_late);
        }
        let connections = self.service.connection_count();
        assert!(
            connections <= 1 + 2 * explained,
            "{connections} connections, but {explained} were closed"
        );
        assert!(
            connections > requests.len() / 30,
            "{connections} connections: no fault closes any"
        );
    }
}

// ---- The watch.

/// Returns a client with retries, which do not apply to polls of a watch.
fn crowd_client(base_url: String) -> Client {
    let builder = builder(base_url).retries(7).timeout(POLL_TIMEOUT);
    builder.build().unwrap()
}

/// Watches a crowd to its end, and checks all updates and counts.
fn follow(client: &Client, tasks: u64, mut on_update: impl FnMut(&Update)) {
    let ids = crowd_ids(tasks);
    let tasks = usize::try_from(tasks).unwrap();
    // Some are named twice.
    let mut watch = fast(client.watch(ids.clone().chain(ids.clone().step_by(3))));
    let counts = (watch.pending(), watch.finished(), watch.size_hint());
    assert_eq!(counts, (tasks, 0, (tasks, None)));

    let mut reported: HashMap<u64, Vec<Progress>> = HashMap::new();
    let mut ends: HashMap<u64, Result<Progress>> = HashMap::new();
    while let Some(update) = watch.next() {
        let task_id = update.task_id;
        let end = ends.get(&task_id);
        assert!(end.is_none(), "{update:?} after the end {end:?}");
        if let Ok(progress) = update.result {
            let reported = reported.entry(task_id).or_default();
            let last = reported.last();
            assert_ne!(last, Some(&progress), "{task_id} is reported twice");
            reported.push(progress);
        }
        if update.is_end() {
            ends.insert(task_id, update.result.clone());
        }
        let pending = tasks - ends.len();
        assert_eq!((watch.pending(), watch.finished()), (pending, ends.len()));
        assert_eq!(watch.size_hint(), (pending, (pending == 0).then_some(0)));
        on_update(&update);
    }
    assert!(watch.next().is_none() && watch.next().is_none());

    assert_eq!(ends.len(), tasks, "a task is lost");
    for task_id in ids {
        let (end, expected) = (&ends[&task_id], End::of(task_id));
        assert!(
            expected.matches(end),
            "{task_id}: {end:?}, not {expected:?}"
        );
        // The updates are those of the script, in order.
        let mut reported = reported.remove(&task_id).unwrap_or_default();
        reported.retain(|progress| *progress != ODD);
        reported.dedup();
        let mut scripted = script(task_id);
        scripted.dedup();
        assert_eq!(reported, scripted, "{task_id}");
    }
    assert!(reported.is_empty(), "of other tasks: {reported:?}");
}

#[test]
fn watches_two_thousand_tasks_through_every_fault() {
    let tasks = 2000;
    let crowd = Crowd::new(tasks);
    let client = crowd_client(crowd.service.base_url());
    let mut ended = Vec::new();
    follow(&client, tasks, |update| {
        if update.is_end() {
            ended.push((update.task_id, crowd.service.request_count()));
        }
    });

    crowd.check_connections();
    let requests = crowd.service.requests();
    let mut last: HashMap<u64, usize> = HashMap::new();
    for (poll, request) in requests.iter().enumerate() {
        assert_eq!(request.method, "GET");
        assert!(request.header("Authorization").is_some());
        last.insert(request.task_id().unwrap(), poll);
    }
    for (task_id, polls) in ended {
        assert!(last[&task_id] < polls, "{task_id} is polled after its end");
    }
    let sent = crowd.sent.lock().unwrap();
    for Fault { name, .. } in faults().iter().chain(&slow_faults()) {
        let polls = requests.len();
        assert!(
            sent.faults.contains_key(name),
            "not sent in {polls} polls: {name}"
        );
    }
    assert_eq!(sent.faults.values().sum::<usize>(), requests.len() / 10);
}

/// Name of the variable by which the parent gives its child the base URL.
#[cfg(target_os = "linux")]
const BASE_URL: &str = "WATCH_TEST_BASE_URL";
#[cfg(target_os = "linux")]
const FEWER_TASKS: u64 = 200;

/// As in `surface.rs`, the child watches in a process of its own, where no thread can be started.
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
#[test]
fn watch_starts_no_thread() {
    let crowd = Crowd::new(FEWER_TASKS);
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crowd::child_watches", "--ignored"])
        .args(["--nocapture", "--test-threads=1"])
        .env(BASE_URL, crowd.service.base_url())
        .env("RUST_MIN_STACK", (1_u64 << 60).to_string())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let has_passed = output.status.success() && stdout.contains("1 passed");
    assert!(has_passed, "{stdout}\n{stderr}");
    crowd.check_connections();
    assert!(crowd.service.request_count() > 400);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by watch_starts_no_thread in a process of its own"]
fn child_watches() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let client = crowd_client(std::env::var(BASE_URL).expect("set by the parent"));
    assert_eq!(threads(), 1);
    assert!(
        std::thread::Builder::new().spawn(|| ()).is_err(),
        "this test cannot see a short-lived thread"
    );
    follow(&client, FEWER_TASKS, |_| assert_eq!(threads(), 1));
}
