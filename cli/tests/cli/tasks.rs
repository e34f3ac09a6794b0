//! `create`, `wait` and `process`: tasks by hand.

use std::time::{Duration, Instant};

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Progress, Status};
use serde_json::{Value, json};

use crate::migrate::{bodies, creations, url};
use crate::tool::{HALF, RUNNING, SUCCEEDED, TASK, Tool, service};

/// A stand-in where any task has succeeded.
pub(crate) fn service_of_any_task() -> Service {
    let service = Service::start().unwrap();
    service.reply_with(|request| request.task_id().map(|_| Reply::progress(SUCCEEDED)));
    service
}

/// The ids from 1 on, one a line.
pub(crate) fn ids(count: u64) -> String {
    (1..=count).map(|id| format!("{id}\n")).collect()
}

/// Task 1 succeeds after a change, 2 fails, 3 is in progress, 4 does not exist.
pub(crate) fn service_of_four() -> Service {
    let service = Service::start().unwrap();
    service.task(1, [HALF, SUCCEEDED]);
    service.task(2, [Progress::new(Status::Failed, 10)]);
    service.task(3, [RUNNING]);
    service
}

#[test]
fn process_prints_each_task_once() {
    let service = service_of_four();
    let run = Tool::of(&service).run("process 1 2 3 4 --rate inf");
    run.ends(5)
        .prints("1\tin progress\t50 %\n2\tfailed\t10 %\n3\tin progress\t37 %\n")
        .has_message("pan123-offline: 4: the service returned code 1: ");
    assert_eq!(service.request_count(), 4);
    let tool = Tool::of(&service);
    tool.run("process 3").ends(0).is_quiet();
    tool.run("process 2").ends(1).is_quiet();
}

#[test]
fn wait_prints_each_change_to_the_end() {
    let service = service_of_four();
    let tool = Tool::of(&service);
    tool.run("wait 1 --rate inf")
        .ends(0)
        .prints("1\tin progress\t50 %\n1\tsucceeded\t100 %\n");
    service.task(1, [HALF, SUCCEEDED]);
    let run = tool.run("wait 1 2 4 --rate inf --only-ends");
    run.ends(5)
        .prints("2\tfailed\t10 %\n1\tsucceeded\t100 %\n")
        .has_message("3 tasks in ")
        .has_message(": 1 succeeded, 1 failed, 1 unknown\n");
    tool.run("wait 3 --rate inf --timeout 1s")
        .ends(4)
        .prints("3\tin progress\t37 %\n")
        .has_message("timed out: 1 task in ")
        .has_message(": 1 open; the tasks go on at the service");
}

#[test]
fn standard_input_and_arguments_are_one_list() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    let input = "7\thttp://e.org/1.png\n{\"task_id\":8}\n7\n";
    let run = tool.feed("process 1 - 2 --rate inf", input);
    let expected = [1, 7, 8, 2].map(|id| format!("{id}\tsucceeded\t100 %\n"));
    run.ends(0).prints(&expected.concat());
    let run = tool.feed("process - --rate inf", "http://e.org/1.png\n7\n");
    run.ends(2)
        .prints("7\tsucceeded\t100 %\n")
        .has_message("line 1 of standard input: `http://e.org/1.png` is a URL");
    tool.feed("process -", "\n").ends(2).has_message("is empty");
    let run = tool.feed("wait - --rate inf --quiet", ids(2000));
    assert_eq!(run.ends(0).is_quiet().stdout.lines().count(), 2000);
}

#[test]
fn json_has_all_fields_for_each_task() {
    let service = service_of_four();
    let tool = Tool::of(&service);
    let input = r#"{"task_id":1,"url":"http://e.org"}"#;
    let run = tool.feed("process - 4 --rate inf --json", input);
    let lines = run.ends(5).json();
    let expected = json!({
        "task_id": 1, "url": "http://e.org", "status": "in_progress", "status_code": 0,
        "percent": 50, "is_end": false, "error": null
    });
    assert_eq!(lines[0], expected);
    let (line, error) = (&lines[1], &lines[1]["error"]);
    assert_eq!(line["is_end"], true);
    assert_eq!(line["status"], Value::Null);
    assert_eq!((&error["kind"], &error["code"]), (&json!("api"), &json!(1)));
    assert_eq!(error["trace_id"], "stand-in-0001");
}

#[test]
fn create_prints_ids_and_follows_on_demand() {
    let service = Service::start().unwrap();
    let tool = Tool::of(&service);
    let [first, second] = [url(1), url(2)];
    let run = tool.run(&format!("create {first} {second} {first}#x --rate inf"));
    run.ends(0)
        .prints(&format!("403316\t{first}\n403317\t{second}\n"))
        .has_message(": 2 created; the tasks go on");
    assert_eq!(creations(&service).len(), 2);
    let command = format!("create {first} --wait --rate inf --file-name x.png");
    let run = tool.run(&command);
    run.ends(0)
        .prints(&format!("403318\t{first}\n403318\t{first}\tsucceeded\n"));
    assert_eq!(bodies(&service)[2]["fileName"], "x.png");
    let run = tool.run(&format!("create {first} --json"));
    let object = run.ends(0).json().remove(0);
    assert_eq!(object["state"], "open");
    assert_eq!(object["task_id"], 403_319);
}

#[test]
fn create_takes_urls_and_tells_what_is_none() {
    let service = Service::start().unwrap();
    let tool = Tool::of(&service);
    let png = "create http://e.org/a.png";
    let two = format!("{png} http://e.org/2.png --file-name a.png");
    for (command, text) in [
        ("create -", "migrate --state FILE -"),
        ("create http://e.org/a.pdf", "takes no pdf file"),
        (&format!("{png} --file-name a.exe"), "must end in one of"),
        (&format!("{png} --callback-url x"), "--callback-url: "),
        (&two, "for one URL"),
        ("wait http://e.org/a.png", "is a URL, not a task id"),
        ("process x", "`x` is not a task id"),
        ("process 1 --rate 0", "--rate"),
        ("process 1 --rate=-1", "--rate"),
        ("process 1 --rate x", "--rate"),
    ] {
        tool.run(command).is_rejected(text);
    }
    assert_eq!(service.request_count(), 0);
}

#[test]
fn create_does_not_repeat_an_unclear_request_and_tries_a_clear_one_three_times() {
    for (reply, requests, code, text) in [
        (Reply::nothing(), 1, 1, "the task may exist"),
        (Reply::new(503), 3, 5, "HTTP 503"),
        (Reply::code(1, "no image"), 1, 5, "no image"),
    ] {
        let service = Service::start().unwrap();
        service.reply_with(move |_| Some(reply.clone()));
        let run = Tool::of(&service).run(&format!("create {} --rate inf", url(1)));
        run.ends(code).prints("").has_message(text);
        assert_eq!(service.request_count(), requests, "{text}");
    }
}

/// Row 22: the names of options, and whole sentences.
#[test]
fn errors_name_options_and_no_setters() {
    let service = Service::start().unwrap();
    service.reply_with(|_| Some(Reply::nothing().delay(Duration::from_secs(60))));
    let tool = Tool::of(&service);
    let run = tool.run(&format!("process {TASK} --request-timeout 100ms"));
    run.ends(5).has_message("raise `--request-timeout`");
    assert!(!run.stderr.contains(": timeout: "), "{run:#?}");
    let run = tool.run(&format!("process {TASK} --request-timeout 0s"));
    run.is_rejected("--request-timeout: it must be longer than zero");
    let run = tool.run(&format!("process {TASK} --base-url http://127.0.0.1:1"));
    run.ends(5);
    assert!(!run.stderr.contains("io: "), "{run:#?}");
}

/// Row 18, and an outage during polls.
#[test]
fn an_outage_is_shown_every_ten_seconds_with_its_reason() {
    let service = service();
    service.reply_with(|_| Some(Reply::new(502)));
    let run = Tool::of(&service).run(&format!("wait {TASK} --timeout 12s"));
    run.ends(4)
        .has_message("0 of 1 (0 %): 1 open; 1")
        .has_message("s; HTTP 502 for ");
}

#[test]
fn verbose_prints_each_request_without_the_token() {
    let service = service_of_any_task();
    let run = Tool::of(&service).run("process 1 --verbose");
    run.ends(0)
        .has_message("GET http://127.0.0.1:")
        .has_message("taskID=1: HTTP 200, code 0, trace id stand-in-0001, ");
}

#[test]
fn rates_hold_for_polls_and_creations() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    let started = Instant::now();
    tool.run("process 1 2 3 4 5 --rate 5").ends(0);
    assert!(started.elapsed() >= Duration::from_millis(800));
    let command = format!("create {} {} --rate 2", url(1), url(2));
    tool.run(&command).ends(0);
    assert!(started.elapsed() >= Duration::from_millis(1300));
}
