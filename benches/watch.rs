//! What the engine behind `watch` costs beside its polls: time a poll and memory a task.
//!
//! `cargo bench --bench watch`: tasks whose answers come from memory, by a ureq middleware, with no limit to the rate.
//! The same calls are made one by one, too; the difference is the scheduling.
#![allow(missing_docs, reason = "a program")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pan123_offline::{Client, PollPolicy, ureq};

const POLLS_A_TASK: u64 = 10;
const ROUNDS: usize = 8;

fn main() {
    println!(
        "{:<10}{:>14}{:>14}{:>16}{:>16}{:>16}",
        "tasks", "a call, ns", "a poll, ns", "scheduling, ns", "bytes a task", "at the peak"
    );
    let [few, many] = [1_000, 100_000].map(report);
    println!(
        "from 1,000 to 100,000 tasks the scheduling of a poll grows by {:.2}",
        many / few
    );
    for (name, is_distinct) in [("one message", false), ("each another message", true)] {
        let bytes = bytes_of_errors(100_000, is_distinct);
        println!("100,000 tasks that fail, {name} of 60 KB: {bytes:.1} bytes a task");
    }
}

/// Prints a line, and returns the nanoseconds that scheduling takes a poll.
fn report(tasks: u64) -> f64 {
    let service = InMemory::new();
    // As many polls for few tasks as for many, and in turns, so that a busy moment hits both alike.
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
    // What a busy machine does to a round only makes it longer, so the shortest is nearest to the truth.
    let [call, poll] =
        [calls, polls].map(|rounds| rounds.into_iter().fold(f64::INFINITY, f64::min));
    let (bytes, peak) = service.memory(tasks);
    println!(
        "{tasks:<10}{call:>14.0}{poll:>14.0}{:>16.0}{bytes:>16.1}{peak:>16.1}",
        poll - call
    );
    poll - call
}

/// A client that is answered from memory: each task goes on for so many polls, then succeeds.
struct InMemory {
    client: Client,
    asked: Arc<AtomicU64>,
    ends_after: Arc<AtomicU64>,
}

impl InMemory {
    fn new() -> Self {
        let (asked, ends_after) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (count, end) = (Arc::clone(&asked), Arc::clone(&ends_after));
        let answer =
            move |_: ureq::http::Request<ureq::SendBody>, _: ureq::middleware::MiddlewareNext| {
                let over = count.fetch_add(1, Ordering::Relaxed) >= end.load(Ordering::Relaxed);
                Ok(ureq::http::Response::new(ureq::Body::builder().data(if over {
                r#"{"code":0,"message":"ok","data":{"process":100,"status":2},"x-traceID":"t"}"#
            } else {
                r#"{"code":0,"message":"ok","data":{"process":37,"status":0},"x-traceID":"t"}"#
            })))
            };
        let client = Client::builder()
            .access_token("token")
            .base_url("http://127.0.0.1:9")
            .min_poll_gap(Duration::ZERO)
            .configure_agent(|agent| agent.middleware(answer))
            .build()
            .unwrap();
        Self {
            client,
            asked,
            ends_after,
        }
    }

    fn restart(&self, tasks: u64) {
        self.asked.store(0, Ordering::Relaxed);
        self.ends_after
            .store(tasks * (POLLS_A_TASK - 1), Ordering::Relaxed);
    }

    /// The polls of a watch, as single calls.
    fn call(&self, tasks: u64) {
        self.restart(tasks);
        for _ in 0..POLLS_A_TASK {
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
        assert_eq!(self.asked.load(Ordering::Relaxed), tasks * POLLS_A_TASK);
    }

    fn time(&self, tasks: u64, work: impl FnOnce()) -> f64 {
        let started = Instant::now();
        work();
        started.elapsed().as_nanos() as f64 / (tasks * POLLS_A_TASK) as f64
    }

    /// Bytes a task beyond its id, while all are watched and at the most while the watch was made.
    fn memory(&self, tasks: u64) -> (f64, f64) {
        self.restart(tasks);
        // The list of ids is the caller's; so is a first call's buffers.
        self.client.get_process(0).unwrap();
        let mut watch = None;
        let counted = allocation_counter::measure(|| {
            let mut started = self.client.watch(0..tasks);
            started.next();
            watch = Some(started);
        });
        drop(watch);
        let beyond_id = |bytes: f64| bytes / tasks as f64 - 8.0;
        (
            beyond_id(counted.bytes_current as f64),
            beyond_id(counted.bytes_max as f64),
        )
    }
}

/// Memory of a watch after every task has failed once, in bytes a task.
fn bytes_of_errors(tasks: u64, is_distinct: bool) -> f64 {
    let text = "x".repeat(60_000);
    let requests = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&requests);
    let reply = move |_: ureq::http::Request<ureq::SendBody>,
                      _: ureq::middleware::MiddlewareNext| {
        let number = count.fetch_add(1, Ordering::Relaxed) * u64::from(is_distinct);
        let body = format!(r#"{{"code":502,"message":"{number} {text}"}}"#);
        Ok(ureq::http::Response::new(ureq::Body::builder().data(body)))
    };
    let client = Client::builder()
        .access_token("token")
        .base_url("http://127.0.0.1:9")
        .min_poll_gap(Duration::ZERO)
        .configure_agent(|agent| agent.middleware(reply))
        .build()
        .unwrap();
    // The list of ids is the caller's; so are a first call's buffers.
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
    counted.bytes_current as f64 / tasks as f64
}
