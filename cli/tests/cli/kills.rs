//! Kills and signals during `migrate` and `create --journal`: no URL is lost or created twice.

use std::fs;
use std::thread;
use std::time::Duration;

use pan123_offline::testing::Reply;

use crate::migrate::{Case, FAST, SUCCEEDED, creations, list, url};
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
    let report = case
        .tool
        .run("report urls.txt.journal --json")
        .ends(0)
        .json();
    assert_eq!(report.len(), count, "each URL once");
    let mut unknown = 0;
    let created = creations(&case.service);
    for line in &report {
        let times = created
            .get(line["url"].as_str().unwrap())
            .copied()
            .unwrap_or(0);
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
fn interrupt(case: &Case, command: &str, input: &str, signals: &[&str], times: usize) -> usize {
    let mut random = Random::new();
    for number in 0..times {
        let arguments = format!("--default-signal=INT,TERM,HUP {TOOL} {command}");
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        let mut running = Running::start(case.tool.command("env", &arguments), input);
        thread::sleep(Duration::from_micros(5_000 + random.below(95_000)));
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
    let commands = [
        ("migrate urls.txt --rate inf --create-rate 20", ""),
        ("create --journal urls.txt.journal - --rate 20", &*list(200)),
    ];
    for (command, input) in commands {
        let case = Case::new(&list(200));
        let interrupted = interrupt(&case, command, input, &["INT", "TERM", "KILL"], 50);
        assert_eq!(interrupted, 50, "{command}");
        let run = case.migrate("");
        assert!([0, 1].contains(&run.code()), "{run:#?}");
        assert_nothing_lost_or_repeated(&case, 200);
    }
}

#[test]
#[ignore = "takes half a minute; `.ci/run` runs it"]
fn two_hundred_kills_lose_nothing_and_create_nothing_twice() {
    let case = Case::new(&list(300));
    let command = "migrate urls.txt --rate inf --create-rate 4";
    assert_eq!(interrupt(&case, command, "", &["KILL"], 200), 200);
    let run = case.migrate("");
    assert!([0, 1].contains(&run.code()), "{run:#?}");
    assert_nothing_lost_or_repeated(&case, 300);
    // Only unknown URLs are created twice, and only on demand.
    let unknown = case.counts()["unknown"].as_u64().unwrap();
    let before: usize = creations(&case.service).into_values().sum();
    case.migrate("--recreate-unknown").ends(0);
    let after: usize = creations(&case.service).into_values().sum();
    assert_eq!(after - before, unknown as usize);
}

/// The journal of one URL is cut before, within and after each record, as by a kill there.
#[test]
fn a_kill_before_within_or_after_a_record_loses_nothing() {
    let whole = {
        let case = Case::new(&list(1));
        case.migrate("").ends(0);
        fs::read(case.journal()).unwrap()
    };
    let ends: Vec<usize> = whole
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1)
        .collect();
    // The header, and three records.
    assert_eq!(ends.len(), 4);
    for len in 0..=whole.len() {
        // Each end, each start, and some places in between.
        if !ends.iter().any(|end| len.abs_diff(*end) <= 1) && len % 29 != 0 {
            continue;
        }
        let case = Case::new(&list(1));
        case.service.task(403_316, [SUCCEEDED]);
        fs::write(case.journal(), &whole[..len]).unwrap();
        let run = case.migrate("");
        let made = creations(&case.service).len();
        let records = ends.iter().filter(|end| **end <= len).count();
        let (expected_made, expected_code) = match records {
            // Nothing, or the header only: it is created.
            0 | 1 => (1, 0),
            // `creating`: it may exist.
            2 => (0, 1),
            // `created`, or `ended` too.
            _ => (0, 0),
        };
        assert_eq!(
            (made, run.code()),
            (expected_made, expected_code),
            "{len} bytes: {run:#?}"
        );
    }
}

/// The process is killed while the request is pending, and after the response was sent.
#[test]
fn a_kill_before_or_after_the_response_loses_nothing() {
    for delay in [600, 0] {
        let case = Case::new(&list(1));
        let reply = Reply::json(&br#"{"code":0,"message":"ok","data":{"taskID":7}}"#[..]);
        case.service.task(7, [SUCCEEDED]);
        case.service
            .reply_next(reply.delay(Duration::from_secs(delay)));
        let running = start(&case, &format!("migrate urls.txt {FAST}"));
        let journal = case.tool.path("urls.txt.journal");
        let is_recorded =
            || fs::read_to_string(&journal).is_ok_and(|text| text.contains(r#""created""#));
        assert!(until(
            || case.service.request_count() > 0 && (delay > 0 || is_recorded())
        ));
        running.signal("KILL");
        // After the response, it may end by itself before the signal.
        let code = running.end().code();
        assert!(code == 137 || (code, delay) == (0, 0), "{code}");
        let run = case.migrate("");
        match delay {
            0 => run.ends(0).has_message("1 of 1 finished"),
            _ => run.ends(1).has_message("1 unknown"),
        };
        assert_eq!(creations(&case.service)[&url(0)], 1);
    }
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
            .has_message("interrupted: 0 of 3 finished")
            .has_message("1 open");
        assert_eq!(case.service.request_count(), 1);
        assert_eq!(
            (&case.counts()["open"], &case.counts()["new"]),
            (&1.into(), &2.into())
        );

        let case = Case::new(&list(3));
        case.service
            .reply_next(Reply::nothing().delay(Duration::from_secs(600)));
        let running = start(&case, &format!("migrate urls.txt {FAST}"));
        assert!(until(|| case.service.request_count() == 1));
        running.signal(signal);
        thread::sleep(Duration::from_millis(300));
        running.signal(signal);
        let run = running.end();
        run.ends(code)
            .has_message(&format!("a task may exist for {}", url(0)))
            .has_message("interrupted: 1 of 3 finished")
            .has_message("1 unknown");
        assert_eq!(case.counts()["unknown"], 1);
    }
}
