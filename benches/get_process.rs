//! Cost of one `get_process`, compared with ureq as its README uses it and with a hand-written loop over a socket.
//!
//! `cargo bench --bench get_process`: all three in one run against the stand-in, which runs in a process of its own.
//! Instructions need valgrind, system calls need strace; without the tool its row is omitted.
//! The allocations are counted by `cargo bench --bench allocations`.
#![allow(missing_docs, unreachable_pub, reason = "a program")]

mod server;
mod ways;

use std::process::{Command, Stdio};
use std::time::Instant;

use server::Server;
use ways::{WAYS, arguments, caller, heading, row, serve};

/// Counts are differences of a long and a short run, so that setup does not count.
const LONG: u32 = 1200;
const SHORT: u32 = 200;

fn main() {
    let arguments = arguments();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve(),
        ["run", way, calls, base] => run(way, calls.parse().unwrap(), base),
        _ => report(&Server::start().base),
    }
}

fn run(way: &str, calls: u32, base: &str) {
    let mut call = caller(way, base);
    for _ in 0..calls {
        assert_eq!(call(), 100);
    }
}

fn report(base: &str) {
    heading();
    row(
        "instructions (callgrind)",
        WAYS.map(|way| difference(way, base, instructions)),
    );
    row(
        "system calls (strace)",
        WAYS.map(|way| difference(way, base, system_calls)),
    );
    row("microseconds, median of runs", times(base).map(Some));
}

/// Returns the count of `measure` for one call.
fn difference(way: &str, base: &str, measure: fn(&str, u32, &str) -> Option<f64>) -> Option<f64> {
    let (long, short) = (measure(way, LONG, base)?, measure(way, SHORT, base)?);
    Some((long - short) / f64::from(LONG - SHORT))
}

/// Runs this program under a tool, and returns the tool's standard error.
fn under(tool: &str, options: &[&str], way: &str, calls: u32, base: &str) -> Option<String> {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(tool)
        .args(options)
        .arg(program)
        .args(["run", way, &calls.to_string(), base])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{tool}: {stderr}");
    Some(stderr)
}

fn instructions(way: &str, calls: u32, base: &str) -> Option<f64> {
    let stderr = under(
        "valgrind",
        &["--tool=callgrind", "--callgrind-out-file=/dev/null"],
        way,
        calls,
        base,
    )?;
    let line = stderr
        .lines()
        .find_map(|line| line.split("Collected :").nth(1))
        .unwrap();
    Some(line.trim().parse().unwrap())
}

fn system_calls(way: &str, calls: u32, base: &str) -> Option<f64> {
    // One line for each system call.
    Some(
        under("strace", &["-f", "-qq"], way, calls, base)?
            .lines()
            .count() as f64,
    )
}

/// Returns the medians of alternating runs, so that a busy moment affects all ways.
fn times(base: &str) -> [f64; 3] {
    const CALLS: u32 = 2000;
    const ROUNDS: usize = 7;
    let mut callers = WAYS.map(|way| caller(way, base));
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (call, times) in callers.iter_mut().zip(&mut times) {
            let started = Instant::now();
            for _ in 0..CALLS {
                call();
            }
            times.push(started.elapsed() / CALLS);
        }
    }
    times.map(|mut rounds: Vec<_>| {
        rounds.sort();
        rounds[ROUNDS / 2].as_secs_f64() * 1e6
    })
}
