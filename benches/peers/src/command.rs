//! Measures the command `pan123-offline`: the size of its program and its start-up time.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::calls::median;
use crate::machine;
use crate::results::Figures;
use crate::tables::PROFILES;

const STARTS: usize = 101;

/// Builds the command with each profile, and writes the results file.
pub fn measure() {
    let about = machine::about(false);
    let mut figures = Figures::default();
    let programs = PROFILES.map(|profile| {
        eprintln!("the command, profile {profile}");
        let target = crate::peer::target().join("command");
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--features", "cli"])
            .args(["--bin", "pan123-offline", "--profile", profile])
            .arg("--manifest-path")
            .arg(machine::root().join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .status();
        assert!(status.unwrap().success(), "cannot build the command");
        target.join(profile).join("pan123-offline")
    });
    let mut starts = PROFILES.map(|_| Vec::new());
    for _ in 0..STARTS {
        for (program, starts) in programs.iter().zip(&mut starts) {
            let started = Instant::now();
            let status = Command::new(program)
                .arg("--version")
                .stdout(Stdio::null())
                .status();
            starts.push(started.elapsed().as_secs_f64() * 1e3);
            assert!(status.unwrap().success());
        }
    }
    for ((profile, program), starts) in PROFILES.iter().zip(programs).zip(starts) {
        let size = program.metadata().unwrap().len() as f64 / 1024.0;
        figures.set("command_kib", profile, Some(size));
        figures.set("command_start_ms", profile, Some(median(starts)));
    }
    figures.write(&machine::results(), "command", about);
}
