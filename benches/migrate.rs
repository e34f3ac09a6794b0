//! Costs of `pan123-offline migrate` beside its requests: CPU time per URL, memory per open task, and the time and
//! memory for a journal of ended URLs. Linux only.
//!
//! `cargo bench --features cli --bench migrate`

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Client, NewTask, Progress, Status};

const TOOL: &str = env!("CARGO_BIN_EXE_pan123-offline");

const MIGRATED: usize = 20_000;
const OPEN: usize = 100_000;
const ENDED: usize = 1_000_000;

const AT: &str = "2026-02-16T10:00:00.000Z";
const HEADER: &str =
    "{\"journal\":\"pan123-offline\",\"version\":1,\"at\":\"2026-02-16T10:00:00.000Z\"}\n";
const FIRST_TASK: usize = 403_316;

/// Unit in which Linux reports the CPU time of a process.
const TICK_MICROSECONDS: u64 = 10_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [mode, base_url] if mode == "requests" => return requests(base_url),
        [mode, path] if mode == "records" => return records(Path::new(path)),
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
    let mut name = list.as_os_str().to_owned();
    name.push(".journal");
    let mut file = BufWriter::new(File::create(name).unwrap());
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

/// Waits for a child and returns its CPU time in microseconds.
fn cpu_of(mut child: Child) -> u64 {
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
    let before = ticks();
    assert!(child.wait().unwrap().success());
    (ticks() - before) * TICK_MICROSECONDS
}

/// Measures the CPU time of the command without that of its requests and of writing its records.
fn cpu_time(folder: &Path) {
    let list = list(folder, MIGRATED);
    let us = |microseconds: u64| microseconds as f64 / MIGRATED as f64;
    let own = |arguments: &[&str]| {
        let exe = std::env::current_exe().unwrap();
        cpu_of(Command::new(exe).args(arguments).spawn().unwrap())
    };
    let whole = cpu_of(start(&service(), &list));
    let requests = own(&["requests", &service().base_url()]);
    let records = own(&["records", folder.join("records").to_str().unwrap()]);
    let rest = whole.saturating_sub(requests + records);
    println!("{MIGRATED} URLs, created and followed to their end: CPU time per URL");
    println!("  {:6.1} us: the whole command", us(whole));
    println!(
        "  {:6.1} us: two requests, by the library alone",
        us(requests)
    );
    println!(
        "  {:6.1} us: writing three records and one sync_data",
        us(records)
    );
    println!("  {:6.1} us: the rest (limit: 30 us)", us(rest));
}

/// Makes the same requests by the library alone.
fn requests(base_url: &str) {
    let client = Client::builder()
        .access_token("token")
        .base_url(base_url)
        .min_poll_gap(Duration::ZERO)
        .build()
        .unwrap();
    let tasks = (0..MIGRATED).map(|number| NewTask::new(url(number)));
    assert!(client.migrate(tasks).create_gap(Duration::ZERO).count() >= MIGRATED);
}

/// Makes the same writes to a file.
fn records(path: &Path) {
    let mut file = File::create(path).unwrap();
    let line = [b'x'; 150];
    for _ in 0..MIGRATED {
        file.write_all(&line).unwrap();
        file.sync_data().unwrap();
        file.write_all(&line).unwrap();
        file.write_all(&line).unwrap();
    }
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
