//! `migrate`: a list, its state, and a second start.

use std::collections::HashMap;
use std::time::Duration;

use pan123_offline::testing::{Reply, Request, Service};
use pan123_offline::{Progress, Status};
use serde_json::{Value, json};

use crate::platform::is_private;
use crate::tool::{Run, SUCCEEDED, Tool, at_once, until};

const FAILED: Progress = Progress::new(Status::Failed, 40);
/// The progress of a task that does not end.
const OPEN: Progress = Progress::new(Status::InProgress, 5);

/// Rates without a limit.
pub(crate) const FAST: &str = "--rate inf --create-rate inf";

/// A stand-in whose new tasks succeed at once; those of URLs with `fail` in them fail.
pub(crate) fn service() -> Service {
    let service = Service::start().unwrap();
    let end = |fails| if fails { FAILED } else { SUCCEEDED };
    service.new_tasks(move |_, url| vec![end(url.contains("fail"))]);
    service
}

pub(crate) fn url(number: usize) -> String {
    format!("https://images.example/album/{number:05}.png")
}

pub(crate) fn list(count: usize) -> String {
    (0..count).map(|number| url(number) + "\n").collect()
}

/// The bodies of the creations at the stand-in.
pub(crate) fn bodies(service: &Service) -> Vec<Value> {
    let mut requests = service.requests();
    requests.retain(|request| request.method == "POST" && request.path.ends_with("/download"));
    let body = |request: &Request| serde_json::from_slice(&request.body).unwrap();
    requests.iter().map(body).collect()
}

/// The number of creations at the stand-in for each URL.
pub(crate) fn creations(service: &Service) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for body in bodies(service) {
        let url = body["url"].as_str().unwrap().to_owned();
        *counts.entry(url).or_default() += 1;
    }
    counts
}

/// The response to a creation.
pub(crate) fn created_task(id: u64) -> Reply {
    let body = json!({"code": 0, "message": "ok", "data": {"taskID": id}});
    Reply::json(body.to_string())
}

/// A tool with a list in its home folder.
pub(crate) struct Case {
    pub(crate) service: Service,
    pub(crate) tool: Tool,
}

impl Case {
    pub(crate) fn new(list: &str) -> Self {
        let service = service();
        let tool = Tool::of(&service);
        tool.write("urls.txt", list);
        Self { service, tool }
    }

    pub(crate) fn write(&self, list: &str) {
        self.tool.write("urls.txt", list);
    }

    #[track_caller]
    pub(crate) fn migrate(&self, options: &str) -> Run {
        self.tool.run(&format!("migrate urls.txt {FAST} {options}"))
    }

    /// A list of which all has been migrated.
    #[track_caller]
    pub(crate) fn migrated(list: &str) -> Self {
        let case = Self::new(list);
        assert!(case.migrate("-q").code < 2);
        case
    }

    /// A list whose tasks are open, after a run that was killed.
    pub(crate) fn open(count: usize) -> Self {
        let case = Self::new(&list(count));
        case.service.new_tasks(|_, _| vec![OPEN]);
        let command = format!("migrate urls.txt {FAST}");
        let _running = case.tool.start(&command, "");
        assert!(until(|| bodies(&case.service).len() == count));
        assert!(until(|| case.counts() == json!({"open": count})));
        case
    }

    /// The counts of `status --json` that are not zero.
    #[track_caller]
    pub(crate) fn counts(&self) -> Value {
        let run = self.tool.run("status urls.txt --json");
        let mut counts = run.ends(0).json().remove(0);
        let object = counts.as_object_mut().unwrap();
        object.retain(|name, count| name != "total" && count != 0);
        counts
    }

    /// The objects of `report --json`.
    #[track_caller]
    pub(crate) fn report(&self, options: &str) -> Vec<Value> {
        let run = self.tool.run(&format!("report urls.txt --json {options}"));
        run.ends(0).is_quiet().json()
    }
}

#[test]
fn migrates_a_list_and_has_nothing_to_do_the_second_time() {
    let case = Case::new(&list(3));
    let run = case.migrate("");
    let service = case.service.base_url();
    let start = format!("{service}; state urls.txt.db (new); 3 images: 3 new\n");
    run.ends(0)
        .has_message(&start)
        .has_message("3 images in ")
        .has_message(": 3 succeeded\n");
    let line = |number| {
        let (line, url, task) = (number + 1, url(number), 403_316 + number);
        format!("{line}\t{url}\tsucceeded\t{task}\t-\n")
    };
    run.prints(&(0..3).map(line).collect::<String>());
    is_private(&case.tool.path("urls.txt.db"));
    // On Windows the file of the lock stays, too.
    let files = ["urls.txt", "urls.txt.db", "urls.txt.db.lock"];
    assert_eq!(case.tool.names(""), files[..if cfg!(unix) { 2 } else { 3 }]);
    assert_eq!(case.service.request_count(), 6);
    let run = case.migrate("");
    run.ends(0).prints("");
    run.has_message("(continued); 3 images: 3 succeeded");
    assert_eq!(case.service.request_count(), 6, "nothing is sent");
}

/// Row 6.
#[test]
fn a_state_belongs_to_one_service_and_one_account() {
    let case = Case::new(&list(1));
    case.migrate("--timeout 0").ends(4);
    let other = service();
    let tool = case.tool.with("PAN123_BASE_URL", other.base_url());
    for options in ["", "--dry-run"] {
        let run = tool.run(&format!("migrate urls.txt {options}"));
        run.ends(2).has_message(&case.service.base_url());
        run.has_message(&other.base_url());
    }
    let requests = other.request_count() + case.service.request_count();
    assert_eq!(requests, 0);

    let case = Case::new(&list(1));
    let tool = case.tool.without("PAN123_ACCESS_TOKEN").with_credentials();
    tool.run(&format!("migrate urls.txt {FAST}")).ends(0);
    let tool = tool.with("PAN123_CLIENT_ID", "client-8");
    let run = tool.run("migrate urls.txt");
    run.ends(2).has_message("client-7").has_message("client-8");
}

/// Row 3.
#[test]
fn a_task_that_the_service_forgot_has_failed() {
    let case = Case::open(2);
    case.service
        .reply_with(|request| request.task_id().map(|_| Reply::code(1, "task not found")));
    // The first time it may be an error of the service, or the token of another account.
    for (code, state) in [(5, "open"), (1, "failed")] {
        case.migrate("").ends(code).has_message("another account?");
        assert_eq!(case.counts(), json!({state: 2}));
    }
    let reason = case.report("--failed")[0]["reason"].to_string();
    assert!(reason.contains("task not found"), "{reason}");
    case.service.new_tasks(|_, _| vec![SUCCEEDED]);
    case.service.reply_with(|_| None);
    case.migrate("--retry-failed").ends(0);
    assert_eq!(case.counts(), json!({"succeeded": 2}));
}

/// Row 11: counts add up, everywhere the same.
#[test]
fn counts_of_all_states_add_up() {
    let case = Case::new(
        "https://e.org/1.png\nhttps://e.org/fail.png\nhttps://e.org/refused.png\n\
         https://e.org/unknown.png\nnone\nhttps://e.org/1.png#x\n",
    );
    case.service.reply_with(|request| {
        let has = |name: &[u8]| request.body.windows(name.len()).any(|part| part == name);
        if has(b"/refused") {
            return Some(Reply::code(1, "\u{1b}[2Jno image"));
        }
        has(b"/unknown").then(Reply::nothing)
    });
    let run = case.migrate("");
    let text = "1 succeeded, 1 failed, 1 refused, 1 unknown, 1 invalid";
    run.ends(2)
        .has_message("5 images in ")
        .has_message(text)
        .has_message("see `pan123-offline report urls.txt --failed --refused --unknown --invalid`");
    // Some terminals obey the character that the service sends.
    let is_escaped = run.stdout.contains(r"received: \u{1b}[2Jno image");
    assert!(is_escaped && !run.stdout.contains('\u{1b}'), "{run:#?}");
    assert_eq!(run.stdout.lines().count(), 4, "{run:#?}");
    let expected = json!({"succeeded": 1, "failed": 1, "refused": 1, "unknown": 1, "invalid": 1});
    assert_eq!(case.counts(), expected);
    // Without a demand nothing is created again.
    let before = bodies(&case.service).len();
    case.migrate("").ends(2).has_message(text);
    assert_eq!(bodies(&case.service).len(), before);
    case.service.reply_with(|_| None);
    case.migrate("--recreate-unknown --retry-failed").ends(2);
    assert_eq!(bodies(&case.service).len(), before + 3);
    let expected = json!({"succeeded": 3, "failed": 1, "invalid": 1});
    assert_eq!(case.counts(), expected);
}

/// Rows 2 and 9. The first creation takes three seconds, where a run waits for one.
#[test]
fn a_timeout_ends_a_run_whose_creations_wait_and_lets_a_creation_finish() {
    let cases = [
        ("--create-rate 0.01 --timeout 2s", 0, 1),
        ("--create-rate inf --timeout 1s", 3, 1),
        ("--timeout 0", 0, 0),
    ];
    at_once(cases, |(options, delay, created)| {
        let case = Case::new(&list(3));
        case.service.task(7, [OPEN]);
        let reply = created_task(7).delay(Duration::from_secs(delay));
        case.service.reply_next(reply);
        let run = case.tool.run(&format!("migrate urls.txt {options}"));
        run.ends(4).has_message("timed out: 3 images in ");
        assert_eq!(bodies(&case.service).len(), created, "{run:#?}");
        assert_eq!(case.counts()["new"], 3 - created, "{run:#?}");
        assert_eq!(case.counts()["open"].as_u64().unwrap_or(0), created as u64);
    });
}

/// Row 16.
#[test]
fn a_pause_lasts_until_its_end_through_interruptions() {
    let case = Case::new(&list(2));
    let limited = Reply::code(429, "slow down").header("Retry-After", "600");
    case.service.reply_next(limited);
    for start in 0..3 {
        case.migrate("--timeout 1s").ends(4);
        assert_eq!(case.service.request_count(), 1, "{start}");
    }
    assert_eq!(case.counts(), json!({"new": 2}));
}

/// Row 19.
#[test]
fn a_refused_token_ends_the_run_with_one_message() {
    let case = Case::open(5);
    case.service.revoke_tokens();
    let run = case.migrate("");
    run.ends(3).has_message("5 open");
    assert_eq!(run.stderr.matches("code 401").count(), 1, "{run:#?}");
    assert_eq!(case.counts(), json!({"open": 5}));
}

/// Row 20, and 17: a line for each end on standard output, and nothing else.
#[test]
fn quiet_prints_results_and_errors_only() {
    let case = Case::new(&list(2));
    let run = case.migrate("--quiet");
    run.ends(0).is_quiet();
    assert_eq!(run.stdout.lines().count(), 2);
    case.migrate("--quiet").ends(0).is_quiet().prints("");
}

#[test]
fn a_dry_run_sends_nothing_and_changes_nothing() {
    let case = Case::new(&list(5));
    let run = case.tool.run("migrate urls.txt --dry-run");
    assert!(run.ends(0).stdout.contains("to create\t5\n"), "{run:#?}");
    assert!(run.stdout.contains("at least 5s"), "{run:#?}");
    assert_eq!(case.tool.names(""), ["urls.txt"]);
    case.migrate("").ends(0);
    let requests = case.service.request_count();
    case.write(&list(7));
    let plan = case.migrate("--dry-run --json").ends(0).json().remove(0);
    assert_eq!(plan["to_create"], 2);
    assert_eq!(plan["succeeded"], 5);
    assert_eq!(case.counts(), json!({"succeeded": 5}));
    assert_eq!(case.service.request_count(), requests);
}

#[test]
fn max_failures_stops_creating() {
    let case = Case::new("https://e.org/fail.png\nhttps://e.org/2.png\n");
    let command = "migrate urls.txt --rate inf --create-rate 0.1 --max-failures 1";
    let run = case.tool.run(command);
    run.ends(1).has_message("no further task is created");
    assert_eq!(case.counts(), json!({"failed": 1, "new": 1}));
}

/// A quota that is used up concerns all tasks.
#[test]
fn an_error_of_all_creations_or_polls_is_told_once() {
    for (path, created, counts) in [
        ("/download", 1, json!({"new": 5})),
        ("/process", 5, json!({"open": 5})),
    ] {
        let case = Case::new(&list(5));
        case.service.reply_with(move |request| {
            let fails = request.path.ends_with(path);
            fails.then(|| Reply::code(5113, "no traffic"))
        });
        let run = case.migrate("");
        let count = run.ends(5).stderr.matches("no traffic").count();
        assert_eq!(count, 1, "{run:#?}");
        assert_eq!(bodies(&case.service).len(), created);
        assert_eq!(case.counts(), counts);
        if created == 1 {
            run.has_message("No further task was created");
        }
    }
}

/// Row 10.
#[test]
#[ignore = "takes a minute; `.ci/run` runs it"]
fn an_outage_of_45_seconds_makes_two_unknown_at_most() {
    let case = Case::new(&list(40));
    case.service.new_tasks(|_, _| vec![OPEN; 9]);
    let running = case.tool.start("migrate urls.txt --timeout 52s", "");
    assert!(until(|| bodies(&case.service).len() >= 4));
    case.service.reply_with(|_| Some(Reply::new(502)));
    std::thread::sleep(Duration::from_secs(45));
    case.service.reply_with(|_| None);
    running.end().has_message("HTTP 502 for ");
    let counts = case.counts();
    println!("{counts}");
    assert!(counts["unknown"].as_u64() <= Some(2), "{counts}");
}

#[test]
fn an_end_in_a_pause_names_its_reason() {
    let cases = [
        ("Connection refused", "--base-url http://127.0.0.1:1"),
        ("rate limited", ""),
    ];
    at_once(cases, |(reason, closed)| {
        let case = Case::new(&list(1));
        let limited = Reply::code(429, "slow down");
        case.service.reply_with(move |_| Some(limited.clone()));
        let run = case.migrate(&format!("--timeout 3s {closed}"));
        run.ends(4).has_message("timed out: 1 image in ");
        run.has_message(&format!(": 1 new; {reason}"));
    });
}
