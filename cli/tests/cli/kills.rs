//! Kills, signals and a full disk during `migrate`: no URL is lost or created twice.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::thread::sleep;
use std::time::Duration;

use pan123_offline::testing::Reply;
use serde_json::json;

use crate::interrupt::NEVER;
use crate::migrate::{Case, FAST, bodies, created_task, creations, list, url};
use crate::tool::{SUCCEEDED, TOOL, at_once, until};

/// Returns a random number, from the random keys of a hasher.
fn random_below(bound: u64) -> u64 {
    RandomState::new().hash_one(bound) % bound
}

/// Lets a last run end, and asserts that each URL has one end or is listed as unknown, and none was created twice.
#[track_caller]
fn assert_nothing_lost_or_repeated(case: &Case, count: usize) {
    let run = case.migrate("");
    assert!([0, 1].contains(&run.code), "{run:#?}");
    let report = case.report("");
    assert_eq!(report.len(), count, "each URL once");
    let created = creations(&case.service);
    for line in &report {
        let times = created.get(line["url"].as_str().unwrap()).copied();
        match line["state"].as_str() {
            Some("succeeded") => assert_eq!(times, Some(1), "{line}"),
            Some("unknown") => assert!(times <= Some(1), "{line}"),
            _ => panic!("{line}"),
        }
    }
    println!("{} unknown", case.counts()["unknown"]);
}

/// Runs a migration repeatedly, and ends each run but the last by a random signal at a random time.
#[track_caller]
fn interrupt(count: usize, create_rate: u32, signals: &[&str], times: usize) -> Case {
    let case = Case::new(&list(count));
    let command = format!("migrate urls.txt --rate inf --create-rate {create_rate}");
    for number in 0..times {
        let mut running = case.tool.start_interruptible(&command);
        sleep(Duration::from_micros(5_000 + random_below(195_000)));
        assert!(!running.has_ended(), "run {number}: {:#?}", running.end());
        running.signal(signals[random_below(signals.len() as u64) as usize]);
        let run = running.end();
        assert!([0, 1, 130, 137, 143].contains(&run.code), "{run:#?}");
    }
    assert_nothing_lost_or_repeated(&case, count);
    case
}

/// The rate is low enough that no run reaches the end of the list, on a slow machine neither.
#[test]
#[ignore = "takes ten seconds; `.ci/run` runs it"]
fn random_signals_lose_nothing_and_create_nothing_twice() {
    interrupt(200, 4, &["INT", "TERM", "KILL"], 50);
}

#[test]
#[ignore = "takes half a minute; `.ci/run` runs it"]
fn two_hundred_kills_lose_nothing_and_create_nothing_twice() {
    let case = interrupt(300, 1, &["KILL"], 200);
    // Only unknown URLs are created twice, and only on demand.
    let unknown = case.report("--unknown").len();
    let before = bodies(&case.service).len();
    case.migrate("--recreate-unknown").ends(0);
    assert_eq!(bodies(&case.service).len() - before, unknown);
}

/// The process is killed while the request is pending, and after the response was recorded: its first poll shows that.
#[test]
fn a_kill_before_or_after_the_response_loses_nothing() {
    for (delay, requests, state, code) in [(NEVER, 1, "unknown", 1), (Duration::ZERO, 2, "open", 0)]
    {
        let case = Case::new(&list(1));
        case.service.task(7, []);
        case.service.reply_next(created_task(7).delay(delay));
        let command = format!("migrate urls.txt {FAST}");
        let running = case.tool.start_interruptible(&command);
        assert!(until(|| case.service.request_count() >= requests));
        running.signal("KILL");
        running.end().ends(137);
        assert_eq!(case.counts(), json!({state: 1}));
        assert_eq!(case.report(&format!("--{state}")).len(), 1);
        case.service.task(7, [SUCCEEDED]);
        case.migrate("").ends(code);
        assert_eq!(creations(&case.service)[&url(0)], 1);
    }
}

#[test]
fn status_and_report_work_during_a_run_and_a_second_run_does_not() {
    let case = Case::new(&list(2));
    let command = "migrate urls.txt --rate inf --create-rate 0.01";
    let mut running = case.tool.start_interruptible(command);
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
    at_once([("INT", 130), ("TERM", 143)], |(signal, code)| {
        let case = Case::new(&list(3));
        let delay = Duration::from_secs(2);
        case.service.reply_next(created_task(7).delay(delay));
        let command = format!("migrate urls.txt {FAST}");
        let running = case.tool.start_interruptible(&command);
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
        case.service.reply_next(Reply::nothing().delay(NEVER));
        let mut running = case.tool.start_interruptible(&(command + " -q"));
        assert!(until(|| case.service.request_count() == 1));
        assert!(until(|| {
            running.signal(signal);
            sleep(Duration::from_millis(300));
            running.has_ended()
        }));
        let text = "pan123-offline: the creation was cut off: a task may exist for ";
        let expected = format!("{text}{}\n", url(0));
        assert_eq!(running.end().ends(code).stderr, expected);
        assert_eq!(case.counts(), json!({"unknown": 1, "new": 2}));
    });
}

/// Row 13. The limit of the shell stands for a full disk: the file of the state cannot grow.
#[test]
fn on_a_full_disk_nothing_is_sent_and_nothing_is_lost() {
    let case = Case::new(&list(400));
    // Some creations succeed before the file is full.
    let script = format!("ulimit -f 300; exec {TOOL} migrate urls.txt {FAST}");
    let run = case.tool.shell(&script);
    run.ends(5).has_message("disk full");
    let counts = case.counts();
    println!("{} created: {counts}", bodies(&case.service).len());
    let unknown = case.report("--unknown").len() as u64;
    assert_eq!(counts["unknown"].as_u64().unwrap_or(0), unknown);
    assert!(unknown <= 1, "{counts}");
    assert_nothing_lost_or_repeated(&case, 400);
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_before_anything_is_sent() {
    let case = Case::new(&list(1));
    fs::create_dir(case.tool.path("urls.txt.db")).unwrap();
    case.migrate("").is_rejected("--state");
    let run = case.migrate("--state none/x.db");
    run.is_rejected("the folder of the state none/x.db does not exist");
    assert_eq!(case.service.request_count(), 0);
}
