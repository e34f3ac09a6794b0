//! Allocations of one `get_process`, compared with the other ways of the bench `get_process`.
//!
//! `cargo bench --bench allocations`. A program of its own, since the counting allocator costs instructions.
#![allow(missing_docs, unreachable_pub, reason = "a program")]

mod server;
mod ways;

use server::Server;
use ways::{WAYS, arguments, caller, heading, row, serve};

const CALLS: u32 = 1000;

fn main() {
    if arguments() == ["serve"] {
        return serve();
    }
    let server = Server::start();
    heading();
    let counted = WAYS.map(|way| count(way, &server.base));
    row("allocations", counted.map(|(count, _)| Some(count)));
    row("bytes allocated", counted.map(|(_, bytes)| Some(bytes)));
}

/// Allocations and bytes a call, after one that opens the connection.
fn count(way: &str, base: &str) -> (f64, f64) {
    let mut call = caller(way, base);
    call();
    let counted = allocation_counter::measure(|| {
        for _ in 0..CALLS {
            call();
        }
    });
    let each = |total: u64| total as f64 / f64::from(CALLS);
    (each(counted.count_total), each(counted.bytes_total))
}
