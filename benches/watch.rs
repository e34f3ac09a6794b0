//! Costs of the scheduler behind `watch`, without a network: time of a poll and memory of a task.
//!
//! `cargo bench --bench watch`. A middleware of ureq responds. Fails if a task needs more memory than
//! [`MAX_TASK_BYTES`].
#![allow(missing_docs, reason = "a program")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pan123_offline::{Client, PollPolicy, ureq};

const POLLS_PER_TASK: u64 = 10;
const MAX_TASK_BYTES: u64 = 200;

fn main() {
    for tasks in [1_000, 100_000] {
        let client = client(tasks);
        let nanosecond = Duration::from_nanos(1);
        let policy = PollPolicy::new()
            .initial_interval(nanosecond)
            .max_interval(nanosecond);
        // Buffers that the first call allocates are not the watch's.
        client.get_process(0).unwrap();
        let mut watch = None;
        let memory = allocation_counter::measure(|| {
            let mut running = client.watch(0..tasks).policy(policy);
            running.next();
            watch = Some(running);
        });
        let bytes = memory.bytes_current.unsigned_abs() / tasks;
        println!("{tasks} tasks: {bytes} bytes a task");
        assert!(bytes <= MAX_TASK_BYTES, "at most {MAX_TASK_BYTES}");

        let started = Instant::now();
        let ended = watch.unwrap().filter(|update| update.is_end()).count();
        let nanoseconds = started.elapsed().as_nanos() as u64 / (tasks * POLLS_PER_TASK);
        println!("{tasks} tasks: {nanoseconds} ns a poll with its call");
        assert_eq!(ended as u64, tasks);
    }
}

/// Returns a client for which all tasks run, until each has been polled nine times.
fn client(tasks: u64) -> Client {
    let requests = Arc::new(AtomicU64::new(0));
    let respond = move |_: ureq::http::Request<ureq::SendBody>,
                        _: ureq::middleware::MiddlewareNext| {
        let is_running = requests.fetch_add(1, Ordering::Relaxed) < tasks * (POLLS_PER_TASK - 1);
        let data = match is_running {
            true => r#"{"process":37,"status":0}"#,
            false => r#"{"process":100,"status":2}"#,
        };
        let body = format!(r#"{{"code":0,"message":"ok","data":{data}}}"#);
        Ok(ureq::http::Response::new(ureq::Body::builder().data(body)))
    };
    Client::builder()
        .access_token("token")
        .base_url("http://127.0.0.1:9")
        .min_request_gap(Duration::ZERO)
        .configure_agent(|agent| agent.middleware(respond))
        .build()
        .unwrap()
}
