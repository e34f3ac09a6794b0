//! Where and with what a table was made.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The crates whose versions a reader wants to know.
const CRATES: [&str; 10] = [
    "pan123-offline",
    "ureq",
    "reqwest",
    "curl",
    "curl-sys",
    "attohttpc",
    "minreq",
    "httparse",
    "rustls",
    "serde_json",
];

pub fn print() {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = cpus.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    // Not those that this process may use: by now that can be one.
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let [date, linux, rustc] = [("date", "+%F"), ("uname", "-r"), ("rustc", "--version")].map(said);
    println!("{date}; {}, {cores} cores; Linux {linux}", model.unwrap_or("unknown CPU"));
    println!("{rustc}; {}\n", versions().join(", "));
}

/// Keeps this process and all that it starts from now on to one core; whether that worked.
///
/// A client and a server that wake up each other's idle core for every message take several times as long, and mostly
/// that is what one would measure.
pub fn keep_to_one_core() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let last = cores.trim().rsplit([',', '-']).next().unwrap();
    let done = Command::new("taskset").args(["-c", "-p", last, &std::process::id().to_string()]).output();
    done.is_ok_and(|output| output.status.success())
}

/// Where the package of these benches lies.
pub fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn said((program, argument): (&str, &str)) -> String {
    let output = Command::new(program).arg(argument).output();
    output.map_or("unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// From the lock file.
fn versions() -> Vec<String> {
    let lock = fs::read_to_string(package().join("Cargo.lock")).unwrap();
    let version = |name: &str| {
        let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    CRATES.iter().map(|name| format!("{name} {}", version(name))).collect()
}
