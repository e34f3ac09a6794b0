//! Time of one `get_process` over a kept-alive loopback connection.
//!
//! `cargo bench --bench get_process`. `benches/compare.py` compares it with other clients.
#![allow(missing_docs, reason = "a program")]

use std::time::Instant;

use pan123_offline::testing::Service;
use pan123_offline::{Client, Progress, Status};

const CALLS: u32 = 2000;
const ROUNDS: usize = 7;

fn main() {
    let service = Service::start().unwrap();
    let end = Progress::new(Status::Succeeded, 100);
    service.task(1, [end]);
    let client = Client::builder()
        .access_token("t".repeat(600))
        .base_url(service.base_url())
        .build()
        .unwrap();
    let round = |_| {
        let started = Instant::now();
        for _ in 0..CALLS {
            assert_eq!(client.get_process(1).unwrap(), end);
        }
        started.elapsed() / CALLS
    };
    let mut rounds = Vec::from_iter((0..ROUNDS).map(round));
    rounds.sort();
    println!(
        "a call: {:?}, the median of {ROUNDS} rounds",
        rounds[ROUNDS / 2]
    );
}
