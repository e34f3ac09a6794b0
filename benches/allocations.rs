//! Allocations of one `get_process`. Fails if there are more than 32.
//!
//! `cargo bench --bench allocations`. Only those of this thread are counted, so the stand-in's are not.
#![allow(missing_docs, reason = "a program")]

use pan123_offline::testing::Service;
use pan123_offline::{Client, Progress, Status};

const CALLS: u32 = 1000;
const MAX_ALLOCATIONS: f64 = 32.0;

fn main() {
    let service = Service::start().unwrap();
    service
        .keep_requests(0)
        .task(1, [Progress::new(Status::Succeeded, 100)]);
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
    let each = |total: u64| total as f64 / f64::from(CALLS);
    let (count, bytes) = (each(counted.count_total), each(counted.bytes_total));
    println!("a call: {count:.1} allocations, {bytes:.0} bytes");
    assert!(count <= MAX_ALLOCATIONS, "at most {MAX_ALLOCATIONS}");
}
