//! `migrate`: a list of images, its journal, and a second start.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Progress, Status};
use serde_json::{Value, json};

use crate::platform::is_private;
use crate::tool::{Run, Tool};

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

/// The number of creations at the stand-in for each URL.
pub(crate) fn creations(service: &Service) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for request in service.requests() {
        if request.method == "POST" && request.path.ends_with("/download") {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            *counts
                .entry(body["url"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
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

    pub(crate) fn journal(&self) -> PathBuf {
        self.tool.path("urls.txt.journal")
    }

    #[track_caller]
    pub(crate) fn migrate(&self, options: &str) -> Run {
        self.tool.run(&format!("migrate urls.txt {FAST} {options}"))
    }

    /// The counts of `status --json`.
    #[track_caller]
    pub(crate) fn counts(&self) -> Value {
        self.tool
            .run("status urls.txt.journal urls.txt --json")
            .ends(0)
            .json()
            .remove(0)
    }
}

#[track_caller]
fn assert_counts(case: &Case, expected: Value) {
    let mut all =
        json!({"new": 0, "open": 0, "succeeded": 0, "failed": 0, "unknown": 0, "invalid": 0});
    all.as_object_mut()
        .unwrap()
        .extend(expected.as_object().unwrap().clone());
    assert_eq!(case.counts(), all);
}

#[test]
fn migrates_a_list_and_has_nothing_to_do_the_second_time() {
    let case = Case::new(&list(5));
    let run = case.migrate("");
    run.ends(0).prints("").has_message("5 of 5 finished in ");
    is_private(&case.journal());
    assert_counts(&case, json!({"succeeded": 5}));
    let requests = case.service.request_count();
    assert_eq!(requests, 10);

    case.migrate("")
        .ends(0)
        .prints("")
        .has_message("5 of 5 finished in ");
    assert_eq!(case.service.request_count(), requests, "nothing is sent");
}

#[test]
fn reports_failed_refused_and_invalid_lines_and_goes_on() {
    let case = Case::new(
        "https://a.example/fail.png\nhttps://a.example/my cat.png\nhttps://a.example/no.png\n\
         https://a.example/x.png\tname.exe\nhttps://a.example/1.png\n# a comment\nhttps://a.example/1.png\n",
    );
    case.service.reply_with(|request| {
        let is_refused = request.body.windows(7).any(|part| part == b"/no.png");
        is_refused.then(|| Reply::code(1, "no image"))
    });
    let run = case.migrate("");
    run.ends(2)
        .has_message("https://a.example/fail.png (task 403316): failed")
        .has_message("line 2 of urls.txt: `https://a.example/my cat.png` contains a blank")
        .has_message("https://a.example/no.png: refused")
        .has_message("line 4 of urls.txt: ")
        .has_message("5 of 5 finished in ")
        .has_message("2 failed, 2 invalid, 1 duplicate");
    assert_counts(&case, json!({"succeeded": 1, "failed": 2, "invalid": 2}));
    // Each is reported every time, but recorded once.
    let lines = fs::read_to_string(case.journal()).unwrap().lines().count();
    case.migrate("").ends(2).has_message("line 2 of urls.txt: ");
    assert_eq!(
        fs::read_to_string(case.journal()).unwrap().lines().count(),
        lines
    );

    let again = case.migrate("--retry-failed");
    again.ends(2);
    let counts = creations(&case.service);
    assert_eq!(counts["https://a.example/fail.png"], 2);
    assert_eq!(counts["https://a.example/no.png"], 2);
    assert_eq!(counts["https://a.example/1.png"], 1);
}

/// The exit code is 1 if all tasks have ended and some have failed or are unknown.
#[test]
fn the_exit_code_is_that_of_the_whole_journal() {
    let case = Case::new("https://a.example/fail.png\nhttps://a.example/1.png\n");
    case.migrate("").ends(1);
    case.migrate("").ends(1);
    case.service.new_tasks(|_, _| vec![SUCCEEDED]);
    case.migrate("--retry-failed").ends(0);
}

#[test]
fn sends_the_file_names_and_the_options() {
    let case = Case::new("https://a.example/1.png\tone.png\n");
    case.migrate("--directory 77 --callback-url http://c.example/done")
        .ends(0);
    let body: Value = serde_json::from_slice(&case.service.requests()[0].body).unwrap();
    let expected = json!({"url": "https://a.example/1.png", "type": 1, "fileName": "one.png",
        "businessDirID": "77", "callBackUrl": "http://c.example/done"});
    assert_eq!(body, expected);
    // An invalid option is one error, and not one for each URL.
    case.migrate("--callback-url ftp://c.example")
        .ends(2)
        .has_message("callback_url");
}

#[test]
fn prints_an_event_on_each_line_as_json() {
    let case = Case::new("https://a.example/1.png\tone.png\nhttps://a.example/fail.png\nno url\n");
    let run = case.migrate("--json");
    let events = run.ends(2).json();
    let names: Vec<_> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(names.iter().filter(|name| **name == "created").count(), 2);
    assert_eq!(names.iter().filter(|name| **name == "progress").count(), 2);
    assert_eq!(names.iter().filter(|name| **name == "invalid").count(), 1);
    let created = events
        .iter()
        .find(|event| event["event"] == "created")
        .unwrap();
    let expected = json!({"event": "created", "url": "https://a.example/1.png", "file_name": "one.png",
        "task_id": 403_316, "error": null});
    assert_eq!(*created, expected);
    let failed = events
        .iter()
        .find(|event| event["status"] == "failed")
        .unwrap();
    assert_eq!(failed["url"], "https://a.example/fail.png");
    assert_eq!(
        (&failed["end"], &failed["percent"]),
        (&json!(true), &json!(40))
    );
}

#[test]
fn a_list_from_standard_input_needs_a_journal() {
    let case = Case::new("");
    let run = case.tool.feed("migrate -", list(1));
    run.ends(2).prints("").has_message("--journal");
    let run = case
        .tool
        .feed(&format!("migrate - --journal j {FAST}"), list(3));
    run.ends(0).has_message("3 of 3 finished in ");
}

#[test]
fn an_empty_or_absent_list_is_an_error() {
    let case = Case::new("# nothing\n");
    case.migrate("").ends(2).has_message("the list is empty");
    let run = case.tool.run("migrate absent.txt");
    run.ends(2).has_message("the list absent.txt: ");
    assert!(!case.tool.path("absent.txt.journal").exists());
    assert_eq!(case.service.request_count(), 0);
}

#[test]
fn a_dry_run_prints_the_plan_and_sends_nothing() {
    let case = Case::new(&(list(4) + &list(1) + "no url\n"));
    let run = case.tool.run("migrate urls.txt --dry-run");
    let expected = "lines\t6\nduplicates\t1\nnew\t4\nopen\t0\nsucceeded\t0\nfailed\t0\nunknown\t0\ninvalid\t1\n\
                    to create\t4\nto follow\t0\nexpected time\tat least 4s\n";
    run.ends(2)
        .prints(expected)
        .has_message("line 6 of urls.txt: `no url` is not an http or https URL");
    assert!(!case.journal().exists());
    assert_eq!(case.service.request_count(), 0);

    case.migrate("").ends(2);
    let requests = case.service.request_count();
    let plan = case
        .tool
        .run("migrate urls.txt --dry-run --json")
        .ends(2)
        .json()
        .remove(0);
    assert_eq!(
        (&plan["succeeded"], &plan["to_create"]),
        (&json!(4), &json!(0))
    );
    assert_eq!(case.service.request_count(), requests);
}

#[test]
fn unknown_urls_are_created_again_on_demand_only() {
    let case = Case::new(&list(3));
    // The creation of the first URL has no known result.
    case.service.reply_next(Reply::nothing());
    let run = case.migrate("");
    run.ends(1)
        .has_message(&format!("{}: a task may exist", url(0)))
        .has_message("1 unknown")
        .has_message("see `pan123-offline report urls.txt.journal --unknown`");
    case.tool
        .run("report urls.txt.journal --unknown --urls")
        .ends(0)
        .prints(&(url(0) + "\n"));
    case.migrate("").ends(1);
    assert_eq!(creations(&case.service)[&url(0)], 1);
    case.migrate("--recreate-unknown").ends(0);
    assert_eq!(creations(&case.service)[&url(0)], 2);
    assert_counts(&case, json!({"succeeded": 3}));
}

#[test]
fn open_tasks_are_followed_at_the_next_start() {
    let case = Case::new(&list(3));
    case.service
        .new_tasks(|_, _| vec![Progress::new(Status::InProgress, 10)]);
    let run = case.migrate("--timeout 1s");
    run.ends(4).has_message("3 open");
    assert_eq!(
        run.stderr.matches("no task is followed any longer").count(),
        1,
        "{run:?}"
    );
    assert_counts(&case, json!({"open": 3}));
    for id in 403_316..403_319 {
        case.service.task(id, [SUCCEEDED]);
    }
    case.migrate("").ends(0);
    assert_eq!(creations(&case.service).into_values().max(), Some(1));
    assert_counts(&case, json!({"succeeded": 3}));
}

#[test]
fn stops_after_the_maximum_number_of_failures() {
    let case = Case::new(
        &(0..9)
            .map(|n| format!("https://a.example/fail{n}.png\n"))
            .collect::<String>(),
    );
    let run = case
        .tool
        .run("migrate urls.txt --rate inf --create-rate 20 --max-failures 3");
    run.ends(1)
        .has_message("3 failures: no further task is created");
    let counts = case.counts();
    assert_eq!(counts["open"], 0);
    assert!(
        counts["failed"].as_u64() >= Some(3) && counts["new"].as_u64() > Some(0),
        "{counts}"
    );
}

#[test]
fn json_lines_report_progress_before_the_end() {
    let service = Service::start().unwrap();
    service.new_tasks(|_, _| vec![Progress::new(Status::InProgress, 30), SUCCEEDED]);
    let tool = Tool::of(&service);
    let run = tool.feed(&format!("migrate --json --journal j - {FAST}"), list(1));
    let progress: Vec<_> = run
        .ends(0)
        .json()
        .into_iter()
        .filter(|line| line["event"] == "progress")
        .map(|line| (line["percent"].clone(), line["end"].clone()))
        .collect();
    assert_eq!(
        progress,
        [(json!(30), json!(false)), (json!(100), json!(true))]
    );
}
