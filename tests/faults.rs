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
    let rows = TABLE.lines().filter(|line| line.starts_with('|'));
    let expected: Vec<_> = rows.skip(2).map(str::to_owned).collect();
    let seen = run_all(&rows::all());
    let differing = expected.iter().chain(&seen);
    let differences: Vec<_> = differing
        .filter(|line| !(expected.contains(line) && seen.contains(line)))
        .map(String::as_str)
        .collect();
    assert!(
        expected == seen,
        "the table should be:\n\n{}\n\ndifferences, first of the table:\n\n{}\n",
        seen.join("\n"),
        differences.join("\n")
    );
}

/// Runs each row for each call, and returns the lines of the table.
fn run_all(places: &[(&str, Vec<Row>)]) -> Vec<String> {
    let rows = || places.iter().flat_map(|(_, rows)| rows);
    let cells: Vec<_> = rows()
        .flat_map(|row| Call::ALL.map(|call| (row, call)))
        .collect();
    let next = Mutex::new(cells.iter().enumerate());
    let seen = Mutex::new(vec![String::new(); cells.len()]);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((at, (row, call))) = { next.lock().unwrap().next() } {
                    let cell = row.cell(*call);
                    seen.lock().unwrap()[at] = cell;
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    let places = places
        .iter()
        .flat_map(|(place, rows)| rows.iter().map(move |row| (place, row)));
    places
        .zip(seen.chunks(Call::ALL.len()))
        .map(|((place, row), cells)| format!("| {place} | {} | {} |", row.fault, cells.join(" | ")))
        .collect()
}
