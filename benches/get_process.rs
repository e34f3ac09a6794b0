//! Time and allocations of one `get_process` over a kept-alive loopback connection. Fails above 32 allocations.
//!
//! `cargo bench --bench get_process`. Only allocations of this thread are counted, so the stand-in's are not.
//! `benches/compare.py` compares the call with other clients.
#![allow(missing_docs, reason = "a program")]

use std::time::Instant;

use pan123_offline::testing::Service;
use pan123_offline::{Client, Progress, Status};

const CALLS: u32 = 2000;
const ROUNDS: usize = 7;
const MAX_ALLOCATIONS: u64 = 32;

fn main() {
    let service = Service::start().unwrap();
    let end = Progress::new(Status::Succeeded, 100);
    service.task(1, [end]);
    let client = Client::builder()
        .access_token("t".repeat(600))
        .base_url(service.base_url())
        .build()
        .unwrap();
    let mut rounds = [(); ROUNDS].map(|()| {
        let started = Instant::now();
        for _ in 0..CALLS {
            assert_eq!(client.get_process(1).unwrap(), end);
        }
        started.elapsed() / CALLS
    });
    rounds.sort();
    let counted = allocation_counter::measure(|| drop(client.get_process(1)));
    let (time, count, bytes) = (rounds[ROUNDS / 2], counted.count_total, counted.bytes_total);
    println!("a call: {time:?}, the median of {ROUNDS} rounds; {count} allocations, {bytes} bytes");
    assert!(count <= MAX_ALLOCATIONS, "at most {MAX_ALLOCATIONS}");
}
