//! The machine and the versions that a measurement was made with.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Map, Value, json};

/// The crates whose versions are recorded.
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

/// Describes the run of a command, for its results file.
pub fn about(is_quick: bool) -> Map<String, Value> {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = cpus
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split(": ").nth(1))
        .unwrap_or("unknown CPU");
    let date = output_of("date", "+%F");
    let about = json!({
        "date": if is_quick { format!("{date}, a quick run") } else { date },
        "cpu": format!("{model}, {} cores", core_count()),
        "linux": output_of("uname", "-r"),
        "rustc": output_of("rustc", "--version"),
        "versions": versions(),
    });
    match about {
        Value::Object(about) => about,
        _ => unreachable!("an object"),
    }
}

/// Counts the cores of the machine, not only those that this process may use.
fn core_count() -> usize {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap();
    let cores = cpus.lines().filter(|line| line.starts_with("processor"));
    cores.count()
}

/// Keeps this process, and those that it starts from now on, to one core.
///
/// A client and a server on two cores wake up each other's idle core for every message, which takes
/// several times as long as the call.
pub fn keep_to_one_core() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let cores = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .unwrap();
    let last = cores.trim().rsplit([',', '-']).next().unwrap();
    let process = std::process::id().to_string();
    let output = Command::new("taskset")
        .args(["-c", "-p", last, &process])
        .output();
    let success = output.is_ok_and(|output| output.status.success());
    assert!(success, "taskset (of util-linux) is missing");
}

/// Returns the folder of the package of these benches.
pub fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the root of the repository.
pub fn root() -> PathBuf {
    package().join("../..").canonicalize().unwrap()
}

/// Returns the folder of the results files, which it creates.
pub fn results() -> PathBuf {
    let folder = root().join("benches/results");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn output_of(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    output.map_or("unknown".to_owned(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}

/// Reads versions from the lock file.
fn versions() -> Map<String, Value> {
    let lock = fs::read_to_string(package().join("Cargo.lock")).unwrap();
    let version = |name: &str| {
        let (_, rest) = lock
            .split_once(&format!("name = \"{name}\"\nversion = \""))
            .unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    CRATES
        .iter()
        .map(|&name| (name.to_owned(), version(name).into()))
        .collect()
}
