//! `migrate`: a list, its state, and a second start.

use std::collections::HashMap;
use std::time::Duration;

use pan123_offline::testing::{Reply, Request, Service};
use pan123_offline::{Progress, Status};
use serde_json::{Value, json};

use crate::platform::is_private;
use crate::support::TOKEN;
use crate::tool::{Run, Tool, until};

pub(crate) const SUCCEEDED: Progress = Progress::new(Status::Succeeded, 100);
const FAILED: Progress = Progress::new(Status::Failed, 40);

/// Rates without a limit.
pub(crate) const FAST: &str = "--rate inf --create-rate inf";

/// A stand-in whose new tasks succeed at once; those of URLs with `fail` in them fail.
pub(crate) fn service() -> Service {
    let service = Service::start().unwrap();
    service.new_tasks(|_, url| {
        vec![if url.contains("fail") {
            FAILED
        } else {
            SUCCEEDED
        }]
    });
    service
}

pub(crate) fn url(number: usize) -> String {
    format!("https://images.example/album/{number:05}.png")
}

pub(crate) fn list(count: usize) -> String {
    (0..count).map(|number| url(number) + "\n").collect()
}

fn is_creation(request: &Request) -> bool {
    request.method == "POST" && request.path.ends_with("/download")
}

/// The bodies of the creations at the stand-in.
pub(crate) fn bodies(service: &Service) -> Vec<Value> {
    let requests = service.requests();
    let creations = requests.iter().filter(|request| is_creation(request));
    creations
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect()
}

/// The number of creations at the stand-in for each URL.
pub(crate) fn creations(service: &Service) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for body in bodies(service) {
        *counts
            .entry(body["url"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    counts
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
        tool.write("urls.txt", 0o600, list);
        Self { service, tool }
    }

    pub(crate) fn write(&self, list: &str) {
        self.tool.write("urls.txt", 0o600, list);
    }

    #[track_caller]
    pub(crate) fn migrate(&self, options: &str) -> Run {
        self.tool.run(&format!("migrate urls.txt {FAST} {options}"))
    }

    /// The counts of `status --json` that are not zero.
    #[track_caller]
    pub(crate) fn counts(&self) -> Value {
        let mut counts = self
            .tool
            .run("status urls.txt --json")
            .ends(0)
            .json()
            .remove(0);
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
    run.ends(0)
        .has_message(&format!(
            "{}; state urls.txt.db (new); 3 images: 3 new\n",
            case.service.base_url()
        ))
        .has_message("3 images in ")
        .has_message(": 3 succeeded\n");
    let lines: Vec<_> = run.stdout.lines().map(|line| line.split('\t')).collect();
    for (number, mut columns) in lines.into_iter().enumerate() {
        assert_eq!(columns.next().unwrap(), (number + 1).to_string());
        assert_eq!(columns.next().unwrap(), url(number));
        assert_eq!(columns.next().unwrap(), "succeeded");
        assert_eq!(columns.nth(1).unwrap(), "-");
    }
    is_private(&case.tool.path("urls.txt.db"));
    for other in ["urls.txt.db-wal", "urls.txt.db-shm"] {
        assert!(!case.tool.path(other).exists(), "{other}");
    }
    let requests = case.service.request_count();
    assert_eq!(requests, 6);
    let run = case.migrate("");
    run.ends(0)
        .prints("")
        .has_message("(continued); 3 images: 3 succeeded");
    assert_eq!(case.service.request_count(), requests, "nothing is sent");
}

/// Row 6.
#[test]
fn a_state_belongs_to_one_service_and_one_account() {
    let case = Case::new(&list(1));
    case.migrate("--timeout 0").ends(4);
    let requests = case.service.request_count();
    let other = service();
    let tool = case.tool.with("PAN123_BASE_URL", other.base_url());
    for options in ["", "--dry-run"] {
        tool.run(&format!("migrate urls.txt {options}"))
            .ends(2)
            .has_message(&case.service.base_url())
            .has_message(&other.base_url());
    }
    assert_eq!(
        other.request_count() + case.service.request_count(),
        requests
    );

    let case = Case::new(&list(1));
    let tool = case.tool.without("PAN123_ACCESS_TOKEN").with_credentials();
    tool.run(&format!("migrate urls.txt {FAST}")).ends(0);
    let tool = tool.with("PAN123_CLIENT_ID", "client-8");
    tool.run("migrate urls.txt")
        .ends(2)
        .has_message("client-7")
        .has_message("client-8");
}

/// Row 3.
#[test]
fn a_task_that_the_service_forgot_has_failed() {
    let case = Case::new(&list(2));
    case.service
        .new_tasks(|_, _| vec![Progress::new(Status::InProgress, 5)]);
    case.migrate("--timeout 1s").ends(4);
    assert_eq!(case.counts(), json!({"open": 2}));
    case.service
        .reply_with(|request| request.task_id().map(|_| Reply::code(1, "task not found")));
    // The first time it may be an error of the service, or the token of another account.
    for (code, state) in [(5, "open"), (1, "failed")] {
        case.migrate("").ends(code).has_message("another account?");
        assert_eq!(case.counts(), json!({state: 2}));
    }
    let reason = case.report("--failed").remove(0)["reason"].take();
    assert!(
        reason.as_str().unwrap().contains("task not found"),
        "{reason}"
    );
    case.service
        .new_tasks(|_, _| vec![SUCCEEDED])
        .reply_with(|_| None);
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
            return Some(Reply::code(1, "no image"));
        }
        has(b"/unknown").then(Reply::nothing)
    });
    let run = case.migrate("");
    let text = "1 succeeded, 1 failed, 1 refused, 1 unknown, 1 invalid";
    run.ends(2)
        .has_message("5 images in ")
        .has_message(text)
        .has_message("see `pan123-offline report urls.txt --failed --refused --unknown --invalid`");
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

/// Rows 2 and 9.
#[test]
fn a_timeout_ends_a_run_whose_creations_wait_and_lets_a_creation_finish() {
    for (options, limit) in [
        ("--create-rate 0.01 --rate inf --timeout 2s", 1),
        ("--timeout 0", 0),
    ] {
        let case = Case::new(&list(3));
        let run = case.tool.run(&format!("migrate urls.txt {options}"));
        run.ends(4).has_message("timed out: 3 images in ");
        assert_eq!(bodies(&case.service).len(), limit, "{run:#?}");
        assert_eq!(case.counts()["new"], 3 - limit, "{run:#?}");
    }
    let case = Case::new(&list(2));
    let reply = Reply::json(&br#"{"code":0,"message":"ok","data":{"taskID":7}}"#[..]);
    case.service.reply_next(reply.delay(Duration::from_secs(3)));
    case.migrate("--timeout 1s").ends(4);
    assert_eq!(case.counts(), json!({"new": 1, "open": 1}));
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
    let case = Case::new(&list(5));
    case.service
        .new_tasks(|_, _| vec![Progress::new(Status::InProgress, 5)]);
    case.migrate("--timeout 1s").ends(4);
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
    run.ends(0).has_no_state(&case);
    assert!(run.stdout.contains("to create\t5\n") && run.stdout.contains("at least 5s"));
    case.migrate("").ends(0);
    let requests = case.service.request_count();
    case.write(&list(7));
    let run = case.migrate("--dry-run --json");
    let plan = &run.ends(0).json()[0];
    assert_eq!(
        (&plan["to_create"], &plan["succeeded"]),
        (&2.into(), &5.into())
    );
    assert_eq!(case.counts(), json!({"succeeded": 5}));
    assert_eq!(case.service.request_count(), requests);
}

impl Run {
    #[track_caller]
    fn has_no_state(&self, case: &Case) {
        assert!(!case.tool.path("urls.txt.db").exists(), "{self:#?}");
    }
}

#[test]
fn max_failures_stops_creating() {
    let case = Case::new("https://e.org/fail1.png\nhttps://e.org/fail2.png\nhttps://e.org/3.png\n");
    let options = "migrate urls.txt --rate inf --create-rate 2 --max-failures 1";
    let run = case.tool.run(options);
    run.ends(1).has_message("no further task is created");
    assert!(case.counts()["new"].as_u64() >= Some(1));
}

#[test]
fn an_error_of_all_creations_stops_them_and_leaves_the_images_new() {
    let case = Case::new(&list(3));
    case.service
        .reply_next(Reply::code(5113, "traffic quota used up"));
    case.migrate("")
        .ends(5)
        .has_message("traffic quota used up")
        .has_message("No further task was created");
    assert_eq!(case.counts(), json!({"new": 3}));
    assert_eq!(case.service.request_count(), 1);
}

/// Row 10.
#[test]
#[ignore = "takes a minute; `.ci/run` runs it"]
fn an_outage_of_45_seconds_makes_two_unknown_at_most() {
    let case = Case::new(&list(40));
    case.service
        .new_tasks(|_, _| vec![Progress::new(Status::InProgress, 5); 9]);
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
    let tool = Tool::new().with("PAN123_ACCESS_TOKEN", TOKEN);
    let tool = tool.with("PAN123_BASE_URL", "http://127.0.0.1:1");
    tool.write("urls.txt", 0o600, list(1));
    tool.run(&format!("migrate urls.txt {FAST} --timeout 2s"))
        .ends(4)
        .has_message("timed out: 1 image in ")
        .has_message(": 1 new; Connection refused");
    let case = Case::new(&list(2));
    case.service
        .reply_with(|_| Some(Reply::code(429, "slow down")));
    case.migrate("--timeout 5s")
        .ends(4)
        .has_message("rate limited");
}

/// A quota that is used up concerns all tasks.
#[test]
fn an_error_of_all_polls_is_told_once() {
    let case = Case::new(&list(5));
    case.service.reply_with(|request| {
        let is_poll = request.path.ends_with("/process");
        is_poll.then(|| Reply::code(5113, "no traffic"))
    });
    let run = case.migrate("");
    run.ends(5).has_message("quota");
    assert_eq!(run.stderr.matches("quota").count(), 1, "{run:#?}");
    assert_eq!(case.counts(), json!({"open": 5}));
}
