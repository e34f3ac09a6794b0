//! The programs that make the call, one package each, so that no features are unified.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::machine;
use crate::server::Place;

/// This crate first, plain ureq second, the floor last.
pub const NAMES: [&str; 7] = ["pan123-offline", "ureq", "reqwest", "curl", "attohttpc", "minreq", "floor"];

/// What must not differ between machines: proxies, and where certificates are.
const UNSET: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

pub struct Peer {
    pub name: &'static str,
    program: PathBuf,
}

/// What a run took after its first call.
pub struct Sample {
    /// Microseconds a call.
    pub wall: f64,
    /// Microseconds a call, of all threads, in user and in kernel mode.
    pub cpu: f64,
    /// KiB.
    pub peak: f64,
}

/// `cargo build` of one program.
pub fn cargo_build(package: &str, target: &Path) -> Command {
    let mut command = cargo("build");
    command.args(["--quiet", "--package", package, "--target-dir"]).arg(target);
    command
}

/// A cargo command in the workspace of these benches.
pub fn cargo(subcommand: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.arg(subcommand).arg("--locked").arg("--manifest-path").arg(machine::package().join("Cargo.toml"));
    command
}

/// The name of the package for a peer, and of its program.
pub fn package(name: &str) -> String {
    format!("call-{name}")
}

/// The folder that cargo built this very program in.
pub fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(2).unwrap().to_owned()
}

impl Peer {
    pub fn build(name: &'static str) -> Self {
        let package = package(name);
        let built = cargo_build(&package, &target()).arg("--release").status().unwrap();
        assert!(built.success(), "{package} could not be built");
        Self { name, program: target().join("release").join(package) }
    }

    /// Lets a tool run it, and returns what is said on standard error; `None` if there is no such tool.
    pub fn under(&self, tool: &[&str], place: &Place<'_>, calls: u32) -> Option<String> {
        let mut command = Command::new(tool[0]);
        command.args(&tool[1..]).arg(&self.program);
        let output = arguments(&mut command, place, calls).output().ok()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{} under {}: {said}", self.name, tool[0]);
        Some(said)
    }

    pub fn run(&self, place: &Place<'_>, calls: u32) -> Sample {
        let (_, report) = self.start(place, calls);
        let numbers: Vec<f64> = report.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let a_call = |nanoseconds: f64| nanoseconds / 1e3 / f64::from(calls - 1);
        Sample { wall: a_call(numbers[0]), cpu: a_call(numbers[1]), peak: numbers[2] }
    }

    /// From the start of the process to its first answer, in milliseconds.
    pub fn first_answer(&self, place: &Place<'_>) -> f64 {
        self.start(place, 1).0.as_secs_f64() * 1e3
    }

    /// One run: the time to the first answer, and the report.
    fn start(&self, place: &Place<'_>, calls: u32) -> (Duration, String) {
        let mut command = Command::new(&self.program);
        arguments(&mut command, place, calls).stdout(Stdio::piped());
        let started = Instant::now();
        let mut process = command.spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut text = String::new();
        output.read_line(&mut text).unwrap();
        let passed = started.elapsed();
        text.clear();
        output.read_to_string(&mut text).unwrap();
        assert!(process.wait().unwrap().success(), "{} failed", self.name);
        (passed, text)
    }
}

fn arguments<'a>(command: &'a mut Command, place: &Place<'_>, calls: u32) -> &'a mut Command {
    command.arg(calls.to_string()).arg(place.base).stdin(Stdio::null());
    for name in UNSET {
        command.env_remove(name);
    }
    if let Some(certificate) = place.certificate {
        // The variable is for the peer that takes no certificate from its user.
        command.arg(certificate).env("SSL_CERT_FILE", certificate);
    }
    command
}
