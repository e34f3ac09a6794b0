//! Measures the command `pan123-offline`: the size of its program and its start-up time.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::calls::median;
use crate::machine;
use crate::results::Figures;
use crate::tables::BUILDS;

const STARTS: usize = 101;

/// Target of the static build; it needs musl-tools, and the target from rustup.
const MUSL: &str = "x86_64-unknown-linux-musl";

/// Builds the command in each way, and writes the results file.
pub fn measure() {
    let about = machine::about(false);
    let mut figures = Figures::default();
    let programs = BUILDS.map(build);
    let mut starts = BUILDS.map(|_| Vec::new());
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
    for ((build, program), starts) in BUILDS.iter().zip(programs).zip(starts) {
        let size = program.metadata().unwrap().len() as f64 / 1024.0;
        figures.set("command_kib", build, Some(size));
        figures.set("command_start_ms", build, Some(median(starts)));
    }
    figures.write(&machine::results(), "command", about);
}

/// Builds the command and returns the path of the program.
fn build(name: &str) -> PathBuf {
    eprintln!("the command, build {name}");
    let (profile, target) = match name.split_once(", ") {
        Some((profile, _)) => (profile, Some(MUSL)),
        None => (name, None),
    };
    let folder = crate::peer::target().join("command");
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--package", "pan123-offline-cli"])
        .args(["--bin", "pan123-offline", "--profile", profile])
        .args(target.iter().flat_map(|target| ["--target", target]))
        .arg("--manifest-path")
        .arg(machine::root().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder)
        .status();
    assert!(status.unwrap().success(), "cannot build the command");
    let folder = target
        .iter()
        .fold(folder, |folder, target| folder.join(target));
    folder.join(profile).join("pan123-offline")
}
