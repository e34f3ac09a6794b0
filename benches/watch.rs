//! Costs of the scheduler behind `watch`, beside its polls: time per poll and memory per task.
//!
//! `cargo bench --bench watch`: the responses come from memory, by a ureq middleware, and nothing limits the rate.
//! The same calls are also made one by one; the difference is the scheduling. Ends with an error if a task needs more
//! memory than [`MAX_TASK_BYTES`], or its last error more than [`MAX_ERROR_BYTES`].
#![allow(missing_docs, reason = "a program")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pan123_offline::{Client, PollPolicy, ureq};

const POLLS_PER_TASK: u64 = 10;
const ROUNDS: usize = 8;

/// Number of tasks whose memory is checked.
const TASKS: u64 = 100_000;

/// Maximum memory of a followed task, with its id.
const MAX_TASK_BYTES: u64 = 200;
/// Maximum memory of an error, whatever the length of its message.
const MAX_ERROR_BYTES: u64 = 1024;

fn main() -> ExitCode {
    println!(
        "{:<10}{:>14}{:>14}{:>16}{:>16}{:>16}",
        "tasks", "call, ns", "poll, ns", "scheduling, ns", "bytes per task", "peak"
    );
    let [few, many] = [1_000, 100_000].map(report);
    println!(
        "from 1,000 to 100,000 tasks the scheduling of a poll grows by {:.2}\n",
        many / few
    );
    let [running, _] = InMemory::new().memory(TASKS);
    let failing = bytes_of_failing(TASKS);
    let limits = [
        ("100,000 running tasks", running, 0),
        ("100,000 failing tasks, messages of 60 KB", failing, TASKS),
    ];
    let mut exit = ExitCode::SUCCESS;
    for (name, bytes, errors) in limits {
        let limit = TASKS * MAX_TASK_BYTES + errors * MAX_ERROR_BYTES;
        let holds = bytes <= limit;
        let [measured, at_most] = [bytes, limit].map(|bytes| bytes as f64 / TASKS as f64);
        let verdict = if holds { "PASS" } else { "FAIL" };
        println!("{name}: {measured:.5} bytes per task, at most {at_most:.5}: {verdict}");
        if !holds {
            exit = ExitCode::FAILURE;
        }
    }
    exit
}

/// Prints a line, and returns the nanoseconds of scheduling per poll.
fn report(tasks: u64) -> f64 {
    let service = InMemory::new();
    // As many polls for few tasks as for many, alternately, so that a busy moment affects both.
    let repeat = 100_000 / tasks;
    let (mut calls, mut polls) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        calls.push(service.time(tasks * repeat, || {
            (0..repeat).for_each(|_| service.call(tasks))
        }));
        polls.push(service.time(tasks * repeat, || {
            (0..repeat).for_each(|_| service.watch(tasks))
        }));
    }
    // Other load only makes a round longer, so the minimum is the most precise.
    let [call, poll] =
        [calls, polls].map(|rounds| rounds.into_iter().fold(f64::INFINITY, f64::min));
    let [bytes, peak] = service
        .memory(tasks)
        .map(|bytes| bytes as f64 / tasks as f64);
    println!(
        "{tasks:<10}{call:>14.0}{poll:>14.0}{:>16.0}{bytes:>16.2}{peak:>16.2}",
        poll - call
    );
    poll - call
}

/// A client whose responses come from memory: the first polls find a running task, the others a finished one.
struct InMemory {
    client: Client,
    requests: Arc<AtomicU64>,
    ends_after: Arc<AtomicU64>,
}

impl InMemory {
    fn new() -> Self {
        let (requests, ends_after) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (count, end) = (Arc::clone(&requests), Arc::clone(&ends_after));
        let client = client(move || {
            let is_finished = count.fetch_add(1, Ordering::Relaxed) >= end.load(Ordering::Relaxed);
            let data = match is_finished {
                true => r#"{"process":100,"status":2}"#,
                false => r#"{"process":37,"status":0}"#,
            };
            format!(r#"{{"code":0,"message":"ok","data":{data},"x-traceID":"t"}}"#)
        });
        Self {
            client,
            requests,
            ends_after,
        }
    }

    fn restart(&self, tasks: u64) {
        self.requests.store(0, Ordering::Relaxed);
        self.ends_after
            .store(tasks * (POLLS_PER_TASK - 1), Ordering::Relaxed);
    }

    /// Makes the polls of a watch as single calls.
    fn call(&self, tasks: u64) {
        self.restart(tasks);
        for _ in 0..POLLS_PER_TASK {
            for task in 0..tasks {
                self.client.get_process(task).unwrap();
            }
        }
    }

    fn watch(&self, tasks: u64) {
        self.restart(tasks);
        let nanosecond = Duration::from_nanos(1);
        let watch = self.client.watch(0..tasks).policy(
            PollPolicy::new()
                .initial_interval(nanosecond)
                .max_interval(nanosecond),
        );
        assert_eq!(watch.filter(|update| update.is_end()).count() as u64, tasks);
        let requests = self.requests.load(Ordering::Relaxed);
        assert_eq!(requests, tasks * POLLS_PER_TASK);
    }

    fn time(&self, tasks: u64, work: impl FnOnce()) -> f64 {
        let started = Instant::now();
        work();
        started.elapsed().as_nanos() as f64 / (tasks * POLLS_PER_TASK) as f64
    }

    /// Returns the bytes of a watch that follows all tasks, and the most that making it needed.
    fn memory(&self, tasks: u64) -> [u64; 2] {
        self.restart(tasks);
        // Buffers that the first call allocates are not the watch's.
        self.client.get_process(0).unwrap();
        let mut watch = None;
        let counted = allocation_counter::measure(|| {
            let mut started = self.client.watch(0..tasks);
            started.next();
            watch = Some(started);
        });
        drop(watch);
        [counted.bytes_current.unsigned_abs(), counted.bytes_max]
    }
}

/// Returns a client that gets its response bodies from a function.
fn client(body: impl Fn() -> String + Send + Sync + 'static) -> Client {
    let respond = move |_: ureq::http::Request<ureq::SendBody>,
                        _: ureq::middleware::MiddlewareNext| {
        let body = ureq::Body::builder().data(body());
        Ok(ureq::http::Response::new(body))
    };
    Client::builder()
        .access_token("token")
        .base_url("http://127.0.0.1:9")
        .min_request_gap(Duration::ZERO)
        .configure_agent(|agent| agent.middleware(respond))
        .build()
        .unwrap()
}

/// Returns the bytes of a watch after every task has failed once.
fn bytes_of_failing(tasks: u64) -> u64 {
    let text = "错误".repeat(10_000);
    let requests = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&requests);
    let client = client(move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        format!(r#"{{"code":502,"message":"{number} {text}"}}"#)
    });
    // Buffers that the first call allocates are not the watch's.
    client.get_process(0).unwrap_err();
    let policy = PollPolicy::new().initial_interval(Duration::from_secs(600));
    let mut watch = None;
    let counted = allocation_counter::measure(|| {
        let mut started = client.watch(0..tasks).policy(policy);
        while requests.load(Ordering::Relaxed) <= tasks {
            // A poll that is due is made, and fails.
            assert!(started.next_timeout(Duration::ZERO).is_err());
        }
        watch = Some(started);
    });
    drop(watch);
    counted.bytes_current.unsigned_abs()
}
