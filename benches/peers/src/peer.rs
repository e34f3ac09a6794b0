//! The clients that make the call: one package for each, so that no features are unified.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::machine;
use crate::server::Endpoint;
use crate::tables::PEERS;

/// Variables that differ between machines: proxies, and the place of root certificates.
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

/// Measurements of a run after its warm-up.
pub struct Sample {
    /// Microseconds, the median of the calls.
    pub wall: f64,
    /// Microseconds per call, of all threads, in user and in kernel mode.
    pub cpu: f64,
    /// KiB.
    pub peak: f64,
}

/// Returns `cargo build` of one client.
pub fn cargo_build(package: &str, target: &Path) -> Command {
    let mut command = cargo("build");
    command
        .args(["--quiet", "--package", package, "--target-dir"])
        .arg(target);
    command
}

/// Returns a cargo command in the workspace of these benches.
pub fn cargo(subcommand: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command
        .arg(subcommand)
        .arg("--locked")
        .arg("--manifest-path")
        .arg(machine::package().join("Cargo.toml"));
    command
}

/// Returns the name of a peer's package, which is also the name of its program.
pub fn package(name: &str) -> String {
    format!("call-{name}")
}

/// Returns the target folder of this program.
pub fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(2).unwrap().to_owned()
}

/// Builds all clients.
pub fn build_all() {
    for name in PEERS {
        let package = package(name);
        let status = cargo_build(&package, &target()).arg("--release").status();
        assert!(status.unwrap().success(), "cannot build {package}");
    }
}

/// Returns all clients, which must have been built.
pub fn all() -> [Peer; PEERS.len()] {
    PEERS.map(|name| Peer {
        name,
        program: target().join("release").join(package(name)),
    })
}

impl Peer {
    /// Makes calls under a tool, and returns its standard error; `None` if there is no such tool.
    pub fn run_under(&self, tool: &[&str], endpoint: &Endpoint<'_>, calls: u32) -> Option<String> {
        let mut command = Command::new(tool[0]);
        command.args(&tool[1..]).arg(&self.program);
        let command = with_arguments(&mut command, "count", endpoint, calls);
        let output = command.output().ok()?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let success = output.status.success();
        assert!(success, "{} under {}: {stderr}", self.name, tool[0]);
        Some(stderr)
    }

    /// Makes calls without any measurement.
    pub fn call(&self, endpoint: &Endpoint<'_>, calls: u32) {
        self.start("count", endpoint, calls);
    }

    pub fn time(&self, endpoint: &Endpoint<'_>, calls: u32) -> Sample {
        let (_, report) = self.start("time", endpoint, calls);
        let numbers: Vec<f64> = report
            .split_whitespace()
            .map(|number| number.parse().unwrap())
            .collect();
        Sample {
            wall: numbers[0] / 1e3,
            cpu: numbers[1] / 1e3,
            peak: numbers[2],
        }
    }

    /// Returns the milliseconds from the start of the process to its first response.
    pub fn time_to_first_response(&self, endpoint: &Endpoint<'_>) -> f64 {
        self.start("count", endpoint, 1).0.as_secs_f64() * 1e3
    }

    /// Runs the client, and returns the time to its first response and its report.
    fn start(&self, mode: &str, endpoint: &Endpoint<'_>, calls: u32) -> (Duration, String) {
        let mut command = Command::new(&self.program);
        with_arguments(&mut command, mode, endpoint, calls).stdout(Stdio::piped());
        let started = Instant::now();
        let mut process = command.spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut text = String::new();
        output.read_line(&mut text).unwrap();
        let elapsed = started.elapsed();
        text.clear();
        output.read_to_string(&mut text).unwrap();
        assert!(process.wait().unwrap().success(), "{} failed", self.name);
        (elapsed, text)
    }
}

fn with_arguments<'a>(
    command: &'a mut Command,
    mode: &str,
    endpoint: &Endpoint<'_>,
    calls: u32,
) -> &'a mut Command {
    command
        .arg(mode)
        .arg(calls.to_string())
        .arg(endpoint.base)
        .stdin(Stdio::null());
    for name in UNSET {
        command.env_remove(name);
    }
    if let Some(certificate) = endpoint.certificate {
        // The variable is for minreq, which takes no certificate from its user.
        command.arg(certificate).env("SSL_CERT_FILE", certificate);
    }
    command
}
