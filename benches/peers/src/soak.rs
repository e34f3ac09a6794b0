//! Runs the crate's bench `soak`, and takes over its figures.

use std::process::{Command, Stdio};

use crate::machine;
use crate::results::Figures;
use crate::tables::HALVES;

const CALLS: &str = "100000";
const SEED: &str = "42";

/// Lines of the output of the bench, and the names of their figures.
const LINES: [(&str, &str); 4] = [
    ("memory at its peak, KiB", "soak_peak_kib"),
    ("descriptors at their peak", "soak_descriptors"),
    ("threads at their peak", "soak_threads"),
    ("left on the heap, bytes", "soak_kept_bytes"),
];

/// Runs the bench, and writes the results file.
pub fn measure() {
    let about = machine::about(false);
    eprintln!("{CALLS} calls with faults");
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let output = Command::new(cargo)
        .args(["bench", "--quiet", "--locked", "--bench", "soak"])
        .arg("--manifest-path")
        .arg(machine::root().join("Cargo.toml"))
        .args(["--", CALLS, SEED])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the bench `soak` failed");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let mut figures = Figures::default();
    for (name, figure) in LINES {
        let line = stdout.lines().find_map(|line| line.strip_prefix(name));
        let values = line.unwrap().split_whitespace();
        for (half, value) in HALVES.iter().zip(values) {
            figures.set(figure, half, Some(value.parse().unwrap()));
        }
    }
    figures.write(&machine::results(), "soak", about);
}
