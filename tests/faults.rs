//! Tests of the fault table `src/docs/faults.md`: injects each fault into each call, and compares
//! the results with the table.
//!
//! Linux only: some faults depend on its sockets, for example a reset and a full backlog.
#![cfg(all(feature = "rustls", target_os = "linux"))]

#[path = "faults/call.rs"]
mod call;
#[path = "support/front.rs"]
mod front;
#[path = "faults/rows.rs"]
mod rows;
#[path = "faults/scenario.rs"]
mod scenario;
mod support;
#[path = "support/tls.rs"]
mod tls;

use std::sync::Mutex;

use call::Call;
use scenario::Row;

const TABLE: &str = include_str!("../src/docs/faults.md");

/// More than there are cores, because most cells wait for a timeout.
const THREADS: usize = 32;

#[test]
fn results_are_those_of_the_table() {
    let expected: Vec<_> = TABLE
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .map(str::to_owned)
        .collect();
    let seen = run_all(&rows::all());
    let missing = |from: &[String], all: &[String], sign: char| -> Vec<_> {
        from.iter()
            .filter(|line| !all.contains(line))
            .map(|line| format!("{sign} {line}"))
            .collect()
    };
    let differences = [
        missing(&expected, &seen, '-'),
        missing(&seen, &expected, '+'),
    ]
    .concat()
    .join("\n");
    assert!(
        expected == seen,
        "the table should be:\n\n{}\n\ndifferences:\n\n{differences}\n",
        seen.join("\n")
    );
}

/// Runs each row for each call, and returns the lines of the table.
fn run_all(rows: &[Row]) -> Vec<String> {
    let cells: Vec<_> = rows
        .iter()
        .flat_map(|row| Call::ALL.map(|call| (row, call)))
        .collect();
    let next = Mutex::new(cells.iter().enumerate());
    let seen = Mutex::new(vec![String::new(); cells.len()]);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((at, (row, call))) = { next.lock().unwrap().next() } {
                    let cell = (row.cell)(*call);
                    seen.lock().unwrap()[at] = cell;
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    rows.iter()
        .zip(seen.chunks(Call::ALL.len()))
        .map(|(Row { place, fault, .. }, cells)| {
            format!("| {place} | {fault} | {} |", cells.join(" | "))
        })
        .collect()
}
