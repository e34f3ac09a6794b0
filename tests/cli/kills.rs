//! `migrate` and `create --journal` are killed and interrupted: nothing is lost, and nothing created twice.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

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

/// Each URL has exactly one end, or is listed as unknown; none was created twice.
#[track_caller]
fn assert_nothing_lost_or_doubled(case: &Case, count: usize) {
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

/// Runs until everything has ended, and ends each run before by a random signal at a random time.
fn interrupt(case: &Case, command: &str, signals: &[&str], times: usize, max_delay: u64) -> usize {
    let mut random = Random::new();
    let mut kept = 0;
    for _ in 0..times {
        let mut running = start(case, command);
        let delay = Duration::from_micros(random.below(max_delay));
        let started = Instant::now();
        while started.elapsed() < delay && !running.has_ended() {
            thread::sleep(Duration::from_millis(1));
        }
        let signal = signals[random.below(signals.len() as u64) as usize];
        let was_running = !running.has_ended();
        running.signal(signal);
        let run = running.end();
        if was_running {
            let code = run.code();
            assert!([0, 1, 130, 137, 143].contains(&code), "{run:#?}");
        }
        kept += usize::from(was_running);
    }
    kept
}

#[test]
fn random_signals_lose_nothing_and_create_nothing_twice() {
    for command in ["migrate urls.txt", "create --journal urls.txt.journal -"] {
        let case = Case::new(&list(200));
        // Long enough for 50 interruptions.
        case.service.reply_with(|request| {
            (request.method == "GET")
                .then(|| Reply::progress(SUCCEEDED).delay(Duration::from_millis(1)))
        });
        let mut random = Random::new();
        let mut interrupted = 0;
        while interrupted < 50 {
            let rates = if command.starts_with("migrate") {
                "--rate inf --create-rate 40"
            } else {
                "--rate 40"
            };
            let input = if command.ends_with('-') {
                list(200)
            } else {
                String::new()
            };
            let arguments = format!("--default-signal=INT,TERM,HUP {TOOL} {command} {rates}");
            let arguments: Vec<_> = arguments.split_whitespace().collect();
            let mut running = Running::start(case.tool.command("env", &arguments), input);
            thread::sleep(Duration::from_millis(20 + random.below(150)));
            if running.has_ended() {
                running.end();
                break;
            }
            running.signal(["INT", "TERM", "KILL"][random.below(3) as usize]);
            let run = running.end();
            assert!([0, 1, 130, 137, 143].contains(&run.code()), "{run:#?}");
            interrupted += 1;
        }
        println!("{command}: {interrupted} interruptions");
        assert!(interrupted > 20);
        let run = case.migrate("");
        assert!([0, 1].contains(&run.code()), "{run:#?}");
        assert_nothing_lost_or_doubled(&case, 200);
    }
}

/// 200 times, at random moments: several minutes.
#[test]
#[ignore = "takes minutes"]
fn two_hundred_kills_lose_nothing_and_create_nothing_twice() {
    let case = Case::new(&list(300));
    let command = "migrate urls.txt --rate inf --create-rate 12";
    let killed = interrupt(&case, command, &["KILL"], 200, 250_000);
    println!("{killed} kills");
    assert!(killed > 150);
    let run = case.migrate("");
    assert!([0, 1].contains(&run.code()), "{run:#?}");
    assert_nothing_lost_or_doubled(&case, 300);
    let unknown = case.counts()["unknown"].as_u64().unwrap();
    // Those under `--recreate-unknown` only.
    let before: usize = creations(&case.service).into_values().sum();
    case.migrate("--recreate-unknown").ends(0);
    let after: usize = creations(&case.service).into_values().sum();
    assert_eq!(after - before, unknown as usize);
}

/// The steps of one URL's records: before, in the middle of, and after each. The journal is cut as a kill there
/// would leave it.
#[test]
fn a_kill_at_each_byte_of_the_journal() {
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

/// Killed while the service has the request, and after its response was sent.
#[test]
fn a_kill_before_and_after_the_response() {
    for delay in [600, 0] {
        let case = Case::new(&list(1));
        let reply = Reply::json(&br#"{"code":0,"message":"ok","data":{"taskID":7}}"#[..]);
        case.service.task(7, [SUCCEEDED]);
        case.service
            .reply_next(reply.delay(Duration::from_secs(delay)));
        let running = start(&case, &format!("migrate urls.txt {FAST}"));
        assert!(until(|| case.service.request_count() > 0));
        running.signal("KILL");
        running.end().ends(137);
        let run = case.migrate("");
        assert!([0, 1].contains(&run.code()), "{run:#?}");
        if delay > 0 {
            run.ends(1).says("1 unknown");
        }
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
            .says("ends after the request that is under way")
            .says("interrupted: 0 of 3 finished")
            .says("1 open");
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
            .says(&format!("a task may exist for {}", url(0)))
            .says("interrupted: 1 of 3 finished")
            .says("1 unknown");
        assert_eq!(case.counts()["unknown"], 1);
    }
}
