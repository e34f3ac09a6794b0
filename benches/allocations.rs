//! Allocations of one `get_process`. Fails if there are more than 32.
//!
//! `cargo bench --bench allocations`. Only those of this thread are counted, so the stand-in's are not.
#![allow(missing_docs, reason = "a program")]

use pan123_offline::testing::Service;
use pan123_offline::{Client, Progress, Status};

const CALLS: u64 = 1000;
const MAX_ALLOCATIONS: u64 = 32;

fn main() {
    let service = Service::start().unwrap();
    service.task(1, [Progress::new(Status::Succeeded, 100)]);
    let client = Client::builder()
        .access_token("t".repeat(600))
        .base_url(service.base_url())
        .build()
        .unwrap();
    // The first call opens the connection.
    client.get_process(1).unwrap();
    let counted = allocation_counter::measure(|| {
        for _ in 0..CALLS {
            client.get_process(1).unwrap();
        }
    });
    // Rounded down: now and then a buffer grows.
    let (count, bytes) = (counted.count_total / CALLS, counted.bytes_total / CALLS);
    println!("a call: {count} allocations, {bytes} bytes");
    assert!(count <= MAX_ALLOCATIONS, "at most {MAX_ALLOCATIONS}");
}
