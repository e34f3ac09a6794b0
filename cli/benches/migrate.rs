//! Costs of `pan123-offline migrate` beside its requests: CPU time per URL, memory per open task, and the time and
//! memory for a journal of ended URLs. Linux only.
//!
//! `cargo bench --bench migrate`

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Client, MigrationEvent, NewTask, Progress, Status};

const TOOL: &str = env!("CARGO_BIN_EXE_pan123-offline");

const MIGRATED: usize = 20_000;
const OPEN: usize = 100_000;
const ENDED: usize = 1_000_000;

const AT: &str = "2026-02-16T10:00:00.000Z";
const HEADER: &str =
    "{\"journal\":\"pan123-offline\",\"version\":1,\"at\":\"2026-02-16T10:00:00.000Z\"}\n";
const FIRST_TASK: usize = 403_316;

/// Number of measurements, of which the least counts: what else the machine does only adds to them.
const RUNS: usize = 5;

/// Length of a record in the journal, on average.
const RECORD_LEN: usize = 130;

/// Maximum CPU time of the command a URL beside requests and writes, in microseconds.
const MAX_REST: f64 = 30.0;

/// Unit in which Linux reports the CPU time of a process.
const TICK_MICROSECONDS: u64 = 10_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [mode, base_url, path] if mode == "floor" => return floor(base_url, Path::new(path)),
        _ => {}
    }
    if !cfg!(target_os = "linux") {
        println!("this bench reads /proc, which Linux alone has");
        return;
    }
    let folder = std::env::temp_dir().join(format!("pan123-bench-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    cpu_time(&folder);
    open_tasks(&folder);
    ended_urls(&folder);
    fs::remove_dir_all(&folder).unwrap();
}

fn url(number: usize) -> String {
    format!(
        "https://images.example.org/2026/album-{:04}/photo-{number:07}.jpg",
        number / 1000
    )
}

/// Writes a list of URLs and returns its path.
fn list(folder: &Path, count: usize) -> PathBuf {
    let path = folder.join(format!("{count}.txt"));
    let mut file = BufWriter::new(File::create(&path).unwrap());
    for number in 0..count {
        writeln!(file, "{}", url(number)).unwrap();
    }
    path
}

/// Writes the journal of a list: the first `count` tasks are created, and ended if `are_ended`.
fn journal(list: &Path, count: usize, are_ended: bool) {
    let mut file = BufWriter::new(File::create(journal_path(list)).unwrap());
    file.write_all(HEADER.as_bytes()).unwrap();
    let mut text = String::new();
    for number in 0..count {
        text.clear();
        let (url, id) = (url(number), FIRST_TASK + number);
        let _ = writeln!(text, r#"{{"at":"{AT}","step":"creating","url":"{url}"}}"#);
        let _ = writeln!(
            text,
            r#"{{"at":"{AT}","step":"created","url":"{url}","task_id":{id}}}"#
        );
        if are_ended {
            let end = r#""outcome":"succeeded""#;
            let _ = writeln!(
                text,
                r#"{{"at":"{AT}","step":"ended","url":"{url}","task_id":{id},{end}}}"#
            );
        }
        file.write_all(text.as_bytes()).unwrap();
    }
    file.flush().unwrap();
}

/// Returns the path of a list's journal.
fn journal_path(list: &Path) -> PathBuf {
    let mut name = list.as_os_str().to_owned();
    name.push(".journal");
    name.into()
}

fn service() -> Service {
    let service = Service::start().unwrap();
    service
        .keep_requests(0)
        .new_tasks(|_, _| vec![Progress::new(Status::Succeeded, 100)]);
    service
}

fn start(service: &Service, list: &Path) -> Child {
    let options = ["--rate", "inf", "--create-rate", "inf"];
    Command::new(TOOL)
        .arg("migrate")
        .arg(list)
        .args(options)
        .env("PAN123_ACCESS_TOKEN", "token")
        .env("PAN123_BASE_URL", service.base_url())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Returns the CPU time of a child that follows all URLs at a new stand-in, in microseconds a URL.
fn cpu_of(start: impl Fn(&Service) -> Child) -> f64 {
    let ticks = || {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        // CPU time of children that have ended: fields 16 and 17 of proc(5).
        fields
            .skip(13)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().unwrap())
            .sum::<u64>()
    };
    let service = service();
    let before = ticks();
    assert!(start(&service).wait().unwrap().success());
    ((ticks() - before) * TICK_MICROSECONDS) as f64 / MIGRATED as f64
}

/// Measures the CPU time of the command without that of its requests and writes.
fn cpu_time(folder: &Path) {
    let list = list(folder, MIGRATED);
    let (mut whole, mut minimum) = (f64::MAX, f64::MAX);
    for _ in 0..RUNS {
        whole = whole.min(cpu_of(|service| start(service, &list)));
        fs::remove_file(journal_path(&list)).unwrap();
        minimum = minimum.min(cpu_of(|service| {
            Command::new(std::env::current_exe().unwrap())
                .args(["floor", &service.base_url()])
                .arg(folder.join("records"))
                .spawn()
                .unwrap()
        }));
    }
    let rest = whole - minimum;
    println!("{MIGRATED} URLs, created and followed to their end: CPU time a URL, least of {RUNS}");
    println!("  {whole:6.1} us: the whole command");
    println!(
        "  {minimum:6.1} us: only the requests by the library, three writes and one sync_data"
    );
    println!("  {rest:6.1} us: the rest (limit: {MAX_REST} us)");
}

/// Makes the same requests, and the same writes to a file.
fn floor(base_url: &str, path: &Path) {
    let mut file = File::create(path).unwrap();
    let client = Client::builder()
        .access_token("token")
        .base_url(base_url)
        .min_request_gap(Duration::ZERO)
        .build()
        .unwrap();
    let tasks = (0..MIGRATED).map(|number| NewTask::new(url(number)));
    let mut ends = 0;
    for event in client.migrate(tasks).create_gap(Duration::ZERO) {
        file.write_all(&[b'x'; RECORD_LEN]).unwrap();
        match event {
            MigrationEvent::Creating { .. } => file.sync_data().unwrap(),
            MigrationEvent::Update { update, .. } => ends += usize::from(update.is_end()),
            _ => {}
        }
    }
    assert_eq!(ends, MIGRATED);
}

/// Returns a value of `/proc/<id>/status` in bytes.
fn memory(child: &Child, name: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    line.split_whitespace()
        .next()
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Starts a migration and waits until it sends its first request, which gets no response.
fn until_first_request(list: &Path) -> (Service, Child, Duration) {
    let service = service();
    service.reply_with(|_| Some(Reply::nothing().delay(Duration::from_secs(600))));
    let started = Instant::now();
    let child = start(&service, list);
    while service.request_count() == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    let elapsed = started.elapsed();
    (service, child, elapsed)
}

/// Measures the memory of open tasks, without that of a command with a single one.
fn open_tasks(folder: &Path) {
    let measure = |count: usize| {
        let list = list(folder, count);
        journal(&list, count, false);
        // The list has no new line, so the first poll comes after the end of the list.
        let (_service, child, _) = until_first_request(&list);
        let bytes = memory(&child, "VmRSS:");
        kill(child);
        bytes
    };
    let bytes = measure(OPEN).saturating_sub(measure(1)) / OPEN;
    let url_len = url(0).len();
    println!(
        "{OPEN} open tasks, whose URLs have {url_len} bytes: {bytes} bytes each (limit: {})",
        64 + url_len
    );
}

/// Measures the time and memory until the first new URL of a list, which follows the ended ones.
fn ended_urls(folder: &Path) {
    let list = list(folder, ENDED + 1);
    journal(&list, ENDED, true);
    let (_service, child, elapsed) = until_first_request(&list);
    let peak = memory(&child, "VmHWM:");
    kill(child);
    println!(
        "{ENDED} ended URLs are skipped in {:.2} s with {} MB at most (limits: 3 s, 300 MB)",
        elapsed.as_secs_f64(),
        peak / 1_000_000
    );
}
