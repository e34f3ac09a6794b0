//! The tables of `benches/README.md`.

use std::ops::Range;

use super::figure::{Template, number};
use super::limits;
use super::results::{FILES, Results};

pub const OWN: &str = "pan123-offline";
pub const FLOOR: &str = "floor";

/// The clients, this crate first.
pub const PEERS: [&str; 7] = [OWN, "ureq", "reqwest", "curl", "attohttpc", "minreq", FLOOR];

/// Milliseconds that the name server takes to respond.
pub const DELAYS: [u64; 4] = [0, 5, 20, 30];

/// Builds of the command.
pub const BUILDS: [&str; 3] = ["release", "dist", "dist, musl"];

/// Halves of a run of the bench `soak`.
pub const HALVES: [&str; 2] = ["first half", "second half"];

/// A table: the heading of the first column, and the heading and the cell of each other one. `$` is
/// the program of the row.
type Columns = (&'static str, &'static [(&'static str, &'static str)]);

const BY_NAME_WALL: Columns = (
    "wall time, µs",
    &[
        ("name server 0 ms away", "{by_name_0ms_wall_us|$|1}"),
        ("5 ms", "{by_name_5ms_wall_us|$|1}"),
        ("20 ms", "{by_name_20ms_wall_us|$|1}"),
        ("30 ms", "{by_name_30ms_wall_us|$|1}"),
        ("DNS queries, 1,000 calls", "{by_name_queries|$|0}"),
    ],
);
const BY_NAME_CPU: Columns = (
    "CPU time, µs",
    &[
        ("name server 0 ms away", "{by_name_0ms_cpu_us|$|1}"),
        ("5 ms", "{by_name_5ms_cpu_us|$|1}"),
        ("20 ms", "{by_name_20ms_cpu_us|$|1}"),
        ("30 ms", "{by_name_30ms_cpu_us|$|1}"),
        ("connections, 1,000 calls", "{by_name_connections|$|0}"),
    ],
);
const COUNTS: Columns = (
    "a call, counted",
    &[
        ("instructions", "{instructions|$|0}"),
        ("this crate's share", "{instructions|pan123-offline|$|3}"),
        ("allocations", "{allocations|$|1}"),
        ("bytes allocated", "{allocated_bytes|$|0}"),
        ("system calls", "{system_calls|$|1}"),
    ],
);
const HTTP: Columns = (
    "HTTP, by address",
    &[
        ("wall time, µs", "{http_wall_us|$|1}"),
        ("CPU time, µs", "{http_cpu_us|$|1}"),
        ("peak memory, KiB", "{http_peak_kib|$|0}"),
        ("start to first response, ms", "{http_start_ms|$|1}"),
        ("connections, 1,000 calls", "{connections|$|0}"),
    ],
);
const TLS: Columns = (
    "TLS, by address",
    &[
        ("wall time, µs", "{tls_wall_us|$|1}"),
        ("CPU time, µs", "{tls_cpu_us|$|1}"),
        ("peak memory, KiB", "{tls_peak_kib|$|0}"),
        ("start to first response, ms", "{tls_start_ms|$|1}"),
    ],
);
const DEV_BUILD: Columns = (
    "clean dev build",
    &[
        ("CPU time, s", "{dev_cpu_s|$|1}"),
        ("of ureq's", "{dev_cpu_s|$|ureq, rustls|2}"),
        ("of reqwest's", "{dev_cpu_s|$|reqwest, default features|2}"),
        ("wall time, s", "{dev_wall_s|$|1}"),
        ("packages below it", "{packages|$|0}"),
    ],
);
const RELEASE_BUILD: Columns = (
    "clean release build",
    &[
        ("CPU time, s", "{release_cpu_s|$|1}"),
        (
            "of reqwest's",
            "{release_cpu_s|$|reqwest, default features|2}",
        ),
        ("wall time, s", "{release_wall_s|$|1}"),
        ("stripped size, KiB", "{stripped_kib|$|0}"),
        (
            "of reqwest's size",
            "{stripped_kib|$|reqwest, default features|2}",
        ),
    ],
);
const COMMAND: Columns = (
    "profile of the command",
    &[
        ("size, KiB", "{command_kib|$|0}"),
        ("start-up, ms", "{command_start_ms|$|2}"),
    ],
);
const SOAK: Columns = (
    "calls with faults",
    &[
        ("peak memory, KiB", "{soak_peak_kib|$|0}"),
        ("descriptors, at most", "{soak_descriptors|$|0}"),
        ("threads, at most", "{soak_threads|$|0}"),
        ("left on the heap, bytes", "{soak_kept_bytes|$|0}"),
    ],
);

/// A table in Markdown: rows of cells, the heading first.
pub struct Table(Vec<Vec<String>>);

/// Returns all tables.
pub fn all(results: &Results) -> Vec<Table> {
    let by_peer = [BY_NAME_WALL, BY_NAME_CPU, COUNTS, HTTP, TLS];
    let by_peer = by_peer.map(|columns| Table::new(&columns, &PEERS, results));
    let programs = results.programs_by("dev_cpu_s");
    let by_program =
        [DEV_BUILD, RELEASE_BUILD].map(|columns| Table::new(&columns, &programs, results));
    let command = Table::new(&COMMAND, &BUILDS, results);
    let soak = Table::new(&SOAK, &HALVES, results);
    let others = [
        command,
        soak,
        limits(results),
        runs(results),
        versions(results),
    ];
    by_peer
        .into_iter()
        .chain(by_program)
        .chain(others)
        .collect()
}

pub fn limits(results: &Results) -> Table {
    let mut rows = vec![row(["limit", "measured", "at most", ""])];
    rows.extend(limits::check(results).iter().map(|checked| {
        let measured = checked
            .measured
            .map_or("not measured".to_owned(), |it| number(it, 3));
        let mark = if checked.holds() { "PASS" } else { "FAIL" };
        row([checked.name, &measured, &number(checked.at_most, 3), mark])
    }));
    Table(rows)
}

/// The run that made each file.
fn runs(results: &Results) -> Table {
    let keys = ["date", "cpu", "linux", "rustc"];
    let mut rows = vec![row(["benches/results/", "date", "CPU", "Linux", "Rust"])];
    rows.extend(FILES.map(|file| {
        let about = keys.map(|key| results.about(file, key));
        [&[file][..], &about]
            .concat()
            .iter()
            .map(|&it| it.to_owned())
            .collect()
    }));
    Table(rows)
}

fn versions(results: &Results) -> Table {
    let versions = results.versions(FILES[0]);
    let rows = versions.iter().map(|&(name, version)| row([name, version]));
    Table(
        [row(["package", "version"])]
            .into_iter()
            .chain(rows)
            .collect(),
    )
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

impl Table {
    fn new(&(title, columns): &Columns, programs: &[&str], results: &Results) -> Self {
        let headings = columns.iter().map(|&(heading, _)| heading.to_owned());
        let mut rows = vec![[title.to_owned()].into_iter().chain(headings).collect()];
        for &program in programs {
            let cells = columns
                .iter()
                .map(|(_, cell)| Template::new(&cell.replace('$', program)).fill(results));
            rows.push([program.to_owned()].into_iter().chain(cells).collect());
        }
        Self(rows)
    }

    /// Replaces the table with this heading in a text; `None` if there is no such table.
    pub fn replace_in(&self, text: &str) -> Option<String> {
        let range = self.find_in(text)?;
        Some(
            [
                &text[..range.start],
                &self.to_markdown(),
                &text[range.end..],
            ]
            .concat(),
        )
    }

    /// Finds the lines of the table with this heading.
    pub fn find_in(&self, text: &str) -> Option<Range<usize>> {
        let mut start = 0;
        let is_heading = |line: &str| cells(line).is_some_and(|cells| cells == self.0[0]);
        for line in text.split_inclusive('\n') {
            if is_heading(line) {
                let lines = text[start..].split_inclusive('\n');
                let len: usize = lines
                    .take_while(|line| line.starts_with('|'))
                    .map(str::len)
                    .sum();
                return Some(start..start + len);
            }
            start += line.len();
        }
        None
    }

    pub fn to_markdown(&self) -> String {
        let column_width = |column: usize| {
            let widths = self.0.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.0[0].len()).map(column_width).collect();
        let line = |row: &[String]| {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("| {cell:<width$} "));
            cells.collect::<String>() + "|\n"
        };
        let dashes: Vec<_> = widths.iter().map(|&width| "-".repeat(width)).collect();
        let rows = self.0[1..].iter().map(|row| line(row));
        line(&self.0[0]) + &line(&dashes) + &rows.collect::<String>()
    }
}

/// Returns the cells of a line of a table.
fn cells(line: &str) -> Option<Vec<&str>> {
    let cells = line.trim_end().strip_prefix('|')?.strip_suffix('|')?;
    Some(cells.split('|').map(str::trim).collect())
}
