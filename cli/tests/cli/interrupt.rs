//! Ctrl-C, SIGTERM and SIGHUP end `wait` and `process` at once, with a summary. What they do to a creation stands in `kills`.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use pan123_offline::testing::{Reply, Service};

use crate::tasks::{ids, service_of_any_task, service_of_four};
use crate::tool::{RUNNING, Running, SUCCEEDED, TOOL, Tool, at_once, service, until};

/// A delay longer than the time limit of a run: a test that waits for it fails.
pub(crate) const NEVER: Duration = Duration::from_secs(600);

/// Task 1 succeeds, 2 fails, 3 runs, 4 does not exist; a request for task 9 hangs.
fn service_that_hangs() -> Service {
    let service = service_of_four();
    service.task(1, [SUCCEEDED]);
    service.reply_with(|request| {
        let hangs = request.task_id() == Some(9);
        hangs.then(|| Reply::progress(RUNNING).delay(NEVER))
    });
    service
}

fn start_until(service: &Service, arguments: &str, requests: usize) -> (Tool, Running) {
    let tool = Tool::of(service);
    let running = tool.start_interruptible(&format!("{arguments} --rate inf --request-timeout 1h"));
    assert!(until(|| service.request_count() >= requests));
    (tool, running)
}

#[test]
fn ctrl_c_ends_the_command_during_a_request() {
    for (signal, command, code) in [
        ("INT", "process", 130),
        ("TERM", "wait", 143),
        ("HUP", "wait", 129),
    ] {
        let service = service_that_hangs();
        let (_tool, running) = start_until(&service, &format!("{command} 1 2 3 4 9"), 5);
        running.signal(signal);
        let run = running.end();
        run.ends(code)
            .prints("1\tsucceeded\t100 %\n2\tfailed\t10 %\n3\tin progress\t37 %\n")
            .has_message(": 2 open, 1 succeeded, 1 failed, 1 unknown; the tasks go on at the s");
    }
    let service = service_that_hangs();
    let (_tool, running) = start_until(&service, "wait 1 9 --json", 2);
    running.signal("INT");
    let run = running.end();
    run.ends(130).has_message("interrupted: 2 tasks in ");
    assert_eq!(run.json().len(), 1, "no further line");
}

/// A full pipe blocks the output, but not the end of the command.
#[test]
fn ctrl_c_ends_the_command_while_its_output_is_not_read() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    tool.write("ids", ids(10_000));
    let script = format!("exec {TOOL} wait --rate inf - < ids");
    let line = ["--default-signal=INT", "sh", "-c", &script];
    let command = tool.command("env", &line);
    let (running, _) = Running::spawn(command, Some(Stdio::piped()));
    // Once there are no further requests, the pipe is full.
    let mut requests = 0;
    assert!(until(|| {
        sleep(Duration::from_millis(300));
        let before = std::mem::replace(&mut requests, service.request_count());
        requests > 0 && requests == before
    }));
    assert!(requests < 10_000);
    running.signal("INT");
    let run = running.end();
    run.ends(130).has_message("the tasks go on at the service");
}

/// `nohup` ignores SIGHUP, and a shell ignores SIGINT for the jobs in its background.
#[test]
fn an_ignored_signal_stays_ignored() {
    at_once(["HUP", "INT"], |ignored| {
        let service = service();
        let tool = Tool::of(&service);
        let ignore = format!("--ignore-signal={ignored}");
        let line = ["--default-signal", &ignore, TOOL, "wait", "403316"];
        let mut running = Running::start(tool.command("env", &line), "");
        assert!(until(|| service.request_count() > 0));
        running.signal(ignored);
        // It continues: two more requests are at least one whole interval after the signal.
        let more = service.request_count() + 2;
        let is_over = || running.has_ended() || service.request_count() >= more;
        assert!(until(is_over));
        assert!(!running.has_ended(), "{ignored} ended it");
        running.signal("TERM");
        running.end().ends(143);
    });
}

/// One thread makes requests, one waits for Ctrl-C, and one shows the progress; 10,000 tasks take less than 64 MiB.
#[test]
fn threads_and_memory_are_bounded() {
    at_once(["process", "wait"], |command| {
        let service = Service::start().unwrap();
        service.reply_with(|request| match request.task_id()? {
            10_000 => Some(Reply::progress(RUNNING).delay(NEVER)),
            _ => Some(Reply::progress(SUCCEEDED)),
        });
        let tool = Tool::of(&service);
        let arguments = format!("{command} - --rate inf --request-timeout 1h");
        let running = tool.start(&arguments, ids(10_000));
        assert!(until(|| service.request_count() == 10_000));
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
        let number = |name: &str| -> u64 {
            let (_, value) = status.split_once(name).unwrap();
            value.split_whitespace().next().unwrap().parse().unwrap()
        };
        println!("{command}: {} KiB at most", number("VmHWM:"));
        assert!(number("VmHWM:") < 64 * 1024, "{status}");
        assert!(number("Threads:") <= 3, "{status}");
    });
}
