//! The time and the memory of `pan123-offline migrate` for a list of a million URLs: read into a new state, and read
//! again when all have ended. Linux only.
//!
//! `cargo bench --bench migrate`

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const TOOL: &str = env!("CARGO_BIN_EXE_pan123-offline");

const URLS: usize = 1_000_000;

/// Maximum times, and the maximum memory of the second start in MB.
const MAX_FIRST: Duration = Duration::from_secs(15);
const MAX_SECOND: Duration = Duration::from_secs(5);
const MAX_MEMORY: u64 = 200;

fn main() {
    if !cfg!(target_os = "linux") {
        println!("this bench reads /proc, which Linux alone has");
        return;
    }
    let folder = std::env::temp_dir().join(format!("pan123-bench-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let mut list = String::new();
    for number in 0..URLS {
        let album = number / 500;
        let _ = writeln!(
            list,
            "https://images.example.org/2026/album-{album:04}/photo-{number:07}.jpg"
        );
    }
    fs::write(folder.join("urls.txt"), list).unwrap();
    let first = start(&folder);
    report("a new state", first);
    let state = rusqlite::Connection::open(folder.join("urls.txt.db")).unwrap();
    let sql = "UPDATE image SET state = 'succeeded', task_id = id, percent = 100";
    assert_eq!(state.execute(sql, []).unwrap(), URLS);
    drop(state);
    let second = start(&folder);
    report("all ended", second);
    fs::remove_dir_all(&folder).unwrap();
    assert!(first.0 < MAX_FIRST && second.0 < MAX_SECOND && second.1 < MAX_MEMORY);
}

fn report(what: &str, (time, memory): (Duration, u64)) {
    println!(
        "{URLS} URLs, {what}: {:.1} s, {memory} MB",
        time.as_secs_f64()
    );
}

/// Starts a migration that sends nothing. Returns its time, and its most memory in MB.
fn start(folder: &Path) -> (Duration, u64) {
    let started = Instant::now();
    let mut child = Command::new(TOOL)
        .args(["migrate", "urls.txt", "--timeout", "0"])
        .env_clear()
        .env("PAN123_ACCESS_TOKEN", "bench")
        .env("PAN123_BASE_URL", "http://127.0.0.1:9")
        .current_dir(folder)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut memory = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let size = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        memory = memory.max(size.unwrap_or(0));
        thread::sleep(Duration::from_millis(10));
    }
    (started.elapsed(), memory / 1000)
}
