//! Kills, signals and a full disk during `migrate`: no URL is lost or created twice.

use std::fs;
use std::thread;
use std::time::Duration;

use pan123_offline::testing::Reply;
use serde_json::json;

use crate::migrate::{Case, FAST, bodies, creations, list, url};
use crate::tool::{Running, TOOL, until};

/// Random numbers that differ in each run; a failed test prints the seed.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let time = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let seed = time.as_nanos() as u64 | 1;
        println!("seed {seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % bound
    }
}

fn start(case: &Case, arguments: &str) -> Running {
    let command = ["--default-signal=INT,TERM,HUP", TOOL].into_iter();
    let arguments: Vec<_> = command.chain(arguments.split_whitespace()).collect();
    Running::start(case.tool.command("env", &arguments), "")
}

/// Asserts that each URL has exactly one end or is listed as unknown, and none was created twice.
#[track_caller]
fn assert_nothing_lost_or_repeated(case: &Case, count: usize) {
    let report = case.report("");
    assert_eq!(report.len(), count, "each URL once");
    let mut unknown = 0;
    let created = creations(&case.service);
    for line in &report {
        let url = line["url"].as_str().unwrap();
        let times = created.get(url).copied().unwrap_or(0);
        match line["state"].as_str().unwrap() {
            "succeeded" => assert_eq!(times, 1, "{line}"),
            "unknown" => {
                assert!(times <= 1, "{line}");
                unknown += 1;
            }
            _ => panic!("{line}"),
        }
    }
    println!("{unknown} of {count} unknown");
}

/// Starts a command repeatedly, and ends each run by a random signal at a random time. Returns the
/// number of runs that a signal ended: fewer than `times` if a run has ended by itself.
fn interrupt(case: &Case, command: &str, signals: &[&str], times: usize) -> usize {
    let mut random = Random::new();
    for number in 0..times {
        let mut running = start(case, command);
        thread::sleep(Duration::from_micros(5_000 + random.below(195_000)));
        if running.has_ended() {
            running.end();
            return number;
        }
        running.signal(signals[random.below(signals.len() as u64) as usize]);
        let run = running.end();
        assert!([0, 1, 130, 137, 143].contains(&run.code()), "{run:#?}");
    }
    times
}

#[test]
fn random_signals_lose_nothing_and_create_nothing_twice() {
    let case = Case::new(&list(200));
    let command = "migrate urls.txt --rate inf --create-rate 20";
    let interrupted = interrupt(&case, command, &["INT", "TERM", "KILL"], 50);
    assert_eq!(interrupted, 50);
    let run = case.migrate("");
    assert!([0, 1].contains(&run.code()), "{run:#?}");
    assert_nothing_lost_or_repeated(&case, 200);
}

#[test]
#[ignore = "takes half a minute; `.ci/run` runs it"]
fn two_hundred_kills_lose_nothing_and_create_nothing_twice() {
    let case = Case::new(&list(300));
    let command = "migrate urls.txt --rate inf --create-rate 4";
    assert_eq!(interrupt(&case, command, &["KILL"], 200), 200);
    let run = case.migrate("");
    assert!([0, 1].contains(&run.code()), "{run:#?}");
    assert_nothing_lost_or_repeated(&case, 300);
    // Only unknown URLs are created twice, and only on demand.
    let unknown = case.report("--unknown").len();
    let before = bodies(&case.service).len();
    case.migrate("--recreate-unknown").ends(0);
    assert_eq!(bodies(&case.service).len() - before, unknown);
}

/// The process is killed while the request is pending, and after the response was recorded.
#[test]
fn a_kill_before_or_after_the_response_loses_nothing() {
    for delay in [600, 0] {
        let case = Case::new(&list(1));
        let reply = Reply::json(&br#"{"code":0,"message":"ok","data":{"taskID":7}}"#[..]);
        case.service.task(7, []);
        case.service
            .reply_next(reply.delay(Duration::from_secs(delay)));
        let running = start(&case, &format!("migrate urls.txt {FAST}"));
        // With a response, the first poll shows that it was recorded.
        let requests = if delay > 0 { 1 } else { 2 };
        assert!(until(|| case.service.request_count() >= requests));
        running.signal("KILL");
        assert_eq!(running.end().code(), 137);
        let state = if delay > 0 { "unknown" } else { "open" };
        assert_eq!(case.counts(), json!({state: 1}));
        assert_eq!(case.report(&format!("--{state}")).len(), 1);
        case.service.task(7, [crate::migrate::SUCCEEDED]);
        let code = if delay > 0 { 1 } else { 0 };
        case.migrate("").ends(code);
        assert_eq!(creations(&case.service)[&url(0)], 1);
    }
}

#[test]
fn status_and_report_work_during_a_run_and_a_second_run_does_not() {
    let case = Case::new(&list(2));
    let mut running = start(&case, "migrate urls.txt --rate inf --create-rate 0.01");
    assert!(until(|| case.service.request_count() >= 2));
    assert!(until(|| case.counts() == json!({"new": 1, "succeeded": 1})));
    assert_eq!(case.report("").len(), 2);
    case.migrate("").ends(2).has_message("another process");
    assert!(!running.has_ended());
    running.signal("TERM");
    running.end().ends(143);
}

#[test]
fn the_first_signal_finishes_the_creation_and_the_second_names_its_url() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let case = Case::new(&list(3));
        let reply = Reply::json(&br#"{"code":0,"message":"ok","data":{"taskID":7}}"#[..]);
        case.service.reply_next(reply.delay(Duration::from_secs(2)));
        let running = start(&case, &format!("migrate urls.txt {FAST}"));
        assert!(until(|| case.service.request_count() == 1));
        running.signal(signal);
        let run = running.end();
        run.ends(code)
            .has_message("ends after the request that is under way")
            .has_message("interrupted: 3 images in ")
            .has_message("2 new, 1 open");
        assert_eq!(case.service.request_count(), 1);
        assert_eq!(case.counts(), json!({"open": 1, "new": 2}));

        let case = Case::new(&list(3));
        case.service
            .reply_next(Reply::nothing().delay(Duration::from_secs(600)));
        let running = start(&case, &format!("migrate urls.txt {FAST} --quiet"));
        assert!(until(|| case.service.request_count() == 1));
        running.signal(signal);
        thread::sleep(Duration::from_millis(300));
        running.signal(signal);
        let run = running.end();
        run.ends(code);
        let expected = format!(
            "pan123-offline: the creation was cut off: a task may exist for {}\n",
            url(0)
        );
        assert_eq!(run.stderr, expected);
        assert_eq!(case.counts(), json!({"unknown": 1, "new": 2}));
    }
}

/// Row 13. The limit of the shell stands for a full disk: the file of the state cannot grow.
#[test]
fn on_a_full_disk_nothing_is_sent_and_nothing_is_lost() {
    let case = Case::new(&list(400));
    // Some creations succeed before the file is full.
    let script = format!("ulimit -f 300; exec {TOOL} migrate urls.txt {FAST}");
    let run = case.tool.shell(&script, "");
    run.ends(5).has_message("disk full");
    let created = bodies(&case.service).len();
    let counts = case.counts();
    assert_eq!(
        counts["unknown"].as_u64().unwrap_or(0),
        case.report("--unknown").len() as u64
    );
    assert!(counts["unknown"].as_u64() <= Some(1), "{counts}");
    println!("{created} created: {counts}");
    let run = case.migrate("");
    assert!([0, 1].contains(&run.code()), "{run:#?}");
    assert_nothing_lost_or_repeated(&case, 400);
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_before_anything_is_sent() {
    let case = Case::new(&list(1));
    fs::create_dir(case.tool.path("urls.txt.db")).unwrap();
    case.migrate("").ends(2).has_message("--state");
    case.migrate("--state none/x.db")
        .ends(2)
        .has_message("the folder of the state none/x.db does not exist");
    case.migrate("--state urls.txt")
        .ends(2)
        .has_message("is no state");
    assert_eq!(case.service.request_count(), 0);
}
