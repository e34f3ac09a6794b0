//! `wait` and `process` over lists: streaming, many equal errors, quiet and verbose output.

use std::sync::atomic::{AtomicUsize, Ordering};

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Progress, Status};

use crate::support::RUNNING;
use crate::tool::{CLIENT_ID, Run, Running, SECRET, TOOL, Tool, until};

const BAN: &str = r#"{"code":"403","message":"forbidden client ip 203.0.113.7"}"#;
const SUCCEEDED: Progress = Progress::new(Status::Succeeded, 100);

/// A stand-in whose tasks never end.
fn service_of_running_tasks() -> Service {
    let service = Service::start().unwrap();
    service.reply_with(|request| {
        request.task_id()?;
        Some(Reply::progress(RUNNING))
    });
    service
}

fn ids(count: u64) -> String {
    (1..=count).map(|id| format!("{id}\n")).collect()
}

/// Starts the tool in a shell, with the signals' default handling.
fn start_in_shell(tool: &Tool, script: &str, input: &str) -> Running {
    let signals = "--default-signal=INT,TERM";
    Running::start(tool.command("env", &[signals, "sh", "-c", script]), input)
}

#[test]
fn wait_follows_tasks_while_the_list_is_read() {
    let service = Service::start().unwrap();
    service.task(1, [RUNNING, RUNNING, SUCCEEDED]);
    service.task(2, [SUCCEEDED]);
    let tool = Tool::of(&service);
    let script = format!(
        "{{ echo 1; while [ ! -e go ]; do sleep 0.05; done; echo 2; }} | {TOOL} wait - --rate inf"
    );
    let running = Running::start(tool.command("sh", &["-c", &script]), "");
    // The list is not read to its end before the file exists.
    assert!(until(|| service.request_count() >= 2));
    tool.write("go", 0o600, "");
    let run = running.end();
    run.ends(0).sums_up("2 succeeded");
    assert!(run.stdout.contains("2\tsucceeded"), "{run:#?}");
}

#[cfg(target_os = "linux")]
#[test]
fn open_ids_of_a_pipe_are_printed() {
    let service = service_of_running_tasks();
    service.task(2, [SUCCEEDED]);
    service.reply_with(|request| (request.task_id()? != 2).then(|| Reply::progress(RUNNING)));
    let script = format!("exec {TOOL} wait - --rate inf");
    for (input, piped) in [("", false), ("1\n2\n3\n", true)] {
        let tool = Tool::of(&service);
        tool.write("ids", 0o600, "1\n2\n3\n");
        let from = if piped { "" } else { " < ids" };
        let before = service.request_count();
        let running = start_in_shell(&tool, &format!("{script}{from}"), input);
        assert!(until(|| service.request_count() >= before + 4));
        running.signal("INT");
        let run = running.end();
        run.ends(130)
            .has_message("interrupted: 1 of 3 finished in ")
            .has_message(": 1 succeeded, 2 still open; the tasks go on at the service");
        // A file can be read again.
        assert_eq!(
            run.stderr.contains("pan123-offline: still open: 1 3\n"),
            piped,
            "{run:#?}"
        );
    }
}

#[test]
fn many_timeouts_are_reported_in_one_line() {
    let service = service_of_running_tasks();
    let tool = Tool::of(&service);
    let run = tool.feed("wait - --timeout 0s --rate inf", ids(300));
    run.ends(4)
        .has_message("300 tasks did not end within ")
        .has_message("; they continue at the service")
        .has_message(": 0 succeeded, 300 still open\n");
    assert_eq!(run.stderr.matches("did not end within").count(), 1);
    let json = tool.feed("wait - --timeout 0s --rate inf --json --only-ends", ids(30));
    assert_eq!(json.ends(4).json().len(), 30);
}

#[test]
fn a_ban_is_reported_once() {
    for (command, summary) in [
        (
            "wait",
            ": 0 succeeded, 1 with an error, 1 no longer followed, 398 not polled\n",
        ),
        (
            "process",
            "1 of 400 finished: 0 succeeded, 1 with an error, 1 still open, 398 not polled\n",
        ),
    ] {
        let service = Service::start().unwrap();
        service.reply_with(|request| {
            Some(match request.task_id()? {
                1 => Reply::progress(RUNNING),
                _ => Reply::json(BAN),
            })
        });
        let run = Tool::of(&service).feed(&format!("{command} - --rate inf"), ids(400));
        run.ends(3)
            .has_message("pan123-offline: 2: the service returned code 403")
            .has_message(summary);
        assert_eq!(run.stderr.matches("203.0.113.7").count(), 1, "{run:#?}");
        assert_eq!(service.request_count(), 2);
    }
}

#[test]
fn only_ends_prints_no_changes() {
    for json in ["", "--json"] {
        let service = Service::start().unwrap();
        service.task(1, [RUNNING, SUCCEEDED]);
        service.task(2, [RUNNING, Progress::new(Status::Failed, 40)]);
        let run = Tool::of(&service).run(&format!("wait 1 2 --only-ends --rate inf {json}"));
        assert_eq!(run.ends(1).stdout.lines().count(), 2, "{run:#?}");
        assert!(!run.stdout.contains("progress"), "{run:#?}");
    }
}

#[test]
fn quiet_prints_results_and_errors_only() {
    let service = Service::start().unwrap();
    service.task(1, [SUCCEEDED]);
    let tool = Tool::of(&service);
    for command in ["wait", "process"] {
        let run = tool.run(&format!("{command} 1 -q"));
        run.ends(0).is_quiet().prints("1\tsucceeded\t100 %\n");
        let run = tool.run(&format!("{command} 1 9 --quiet --rate inf"));
        run.ends(5)
            .has_message("pan123-offline: 9: the service returned code 1");
        assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
    }
    tool.run("wait 1 -q -v")
        .ends(2)
        .has_message("cannot be used with");
}

fn verbose_lines(run: &Run) -> Vec<&str> {
    let requests = run.stderr.lines().filter(|line| line.contains("/api/v1/"));
    requests.collect()
}

#[test]
fn verbose_prints_each_request_without_the_token() {
    let service = Service::start().unwrap();
    service.credentials(CLIENT_ID, SECRET);
    service.task(1, [RUNNING, SUCCEEDED]);
    service.reply_with(|request| {
        let limited = Reply::code(429, "slow down").header("Retry-After", "1");
        (request.task_id()? == 2).then_some(limited)
    });
    // Every run is searched for the token and the secret.
    let tool = Tool::at(&service).with_credentials();
    let run = tool.run("wait 1 --verbose");
    let lines = verbose_lines(run.ends(0));
    assert_eq!(lines.len(), 3, "{run:#?}");
    let base = service.base_url();
    let token = format!("pan123-offline: POST {base}/api/v1/access_token: HTTP 200, code 0, ");
    assert!(lines[0].starts_with(&token), "{run:#?}");
    let poll = "/api/v1/oss/offline/download/process?taskID=1: HTTP 200, code 0, trace id ";
    for line in &lines[1..] {
        assert!(line.contains(poll) && line.ends_with(" ms"), "{line}");
    }
    let run = tool.run("process 2 -v");
    let lines = verbose_lines(run.ends(5));
    assert!(
        lines[0].contains("taskID=2: HTTP 200, code 429, retry after 1 s, trace id "),
        "{run:#?}"
    );
}

#[test]
fn verbose_prints_requests_without_a_response() {
    let service = Service::start().unwrap();
    service.reply_with(|_| Some(Reply::nothing()));
    let run = Tool::of(&service).run("process 1 -v");
    let lines = verbose_lines(run.ends(5));
    assert!(!lines.is_empty(), "{run:#?}");
    for line in lines {
        assert!(
            line.contains("taskID=1: ") && !line.contains("HTTP"),
            "{line}"
        );
    }
}

#[test]
fn without_a_terminal_progress_is_a_line() {
    let service = service_of_running_tasks();
    let run = Tool::of(&service).feed("wait - --rate inf --timeout 12s", ids(20));
    run.ends(4)
        .has_message("pan123-offline: 0 of 20 ended (0 %): 0 succeeded, 0 failed, 20 open; 1")
        .has_message("20 tasks did not end within ");
}

/// The outage gives each task eight errors in a row, as one of 32 s does.
#[test]
#[ignore = "takes almost a minute; `.ci/run` runs it"]
fn wait_continues_after_an_outage() {
    let service = Service::start().unwrap();
    let polls = AtomicUsize::new(0);
    service.reply_with(move |request| {
        request.task_id()?;
        Some(match polls.fetch_add(1, Ordering::Relaxed) {
            ..24 => Reply::new(502),
            _ => Reply::progress(SUCCEEDED),
        })
    });
    Tool::of(&service)
        .run("wait 1 2 3 --rate inf")
        .ends(0)
        .sums_up("3 succeeded");
    assert_eq!(service.request_count(), 27);
}
