//! Ctrl-C, SIGTERM and SIGHUP end the command with a summary: after a creation, otherwise at once.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Progress, Status};

use crate::tasks::{ids, service_of_any_task};
use crate::tool::{RUNNING, Running, SUCCEEDED, TOOL, Tool, service, until};

/// A delay longer than the time limit of a run: a test that waits for it fails.
pub(crate) const NEVER: Duration = Duration::from_secs(600);

/// Task 1 succeeds, 2 fails, 3 runs, 4 does not exist; a request for task 9 hangs.
fn service_that_hangs() -> Service {
    let service = Service::start().unwrap();
    service.task(1, [SUCCEEDED]);
    service.task(2, [Progress::new(Status::Failed, 10)]);
    service.task(3, [RUNNING]);
    service.reply_with(|request| {
        let body = String::from_utf8_lossy(&request.body);
        let hangs = request.task_id() == Some(9) || body.contains("9.png");
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
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        for command in ["process", "wait"] {
            let service = service_that_hangs();
            let (_tool, running) = start_until(&service, &format!("{command} 1 2 3 4 9"), 5);
            running.signal(signal);
            let run = running.end();
            run.ends(code)
                .prints("1\tsucceeded\t100 %\n2\tfailed\t10 %\n3\tin progress\t37 %\n")
                .has_message(
                    ": 2 open, 1 succeeded, 1 failed, 1 unknown; the tasks go on at the s",
                );
        }
    }
    let service = service_that_hangs();
    let (_tool, running) = start_until(&service, "wait 1 9 --json", 2);
    running.signal("INT");
    let run = running.end();
    run.ends(130).has_message("interrupted: 2 tasks in ");
    assert_eq!(run.json().len(), 1, "no further line");
}

#[test]
fn ctrl_c_ends_the_command_between_two_requests() {
    let service = service();
    let tool = Tool::of(&service);
    // The second is due in three hours.
    let running = tool.start_interruptible("process 403316 403317 --rate 0.0001");
    assert!(until(|| service.request_count() == 1));
    running.signal("INT");
    // The response to the first may be on its way still.
    let run = running.end();
    run.ends(130).has_message("interrupted: 2 tasks in ");
}

#[test]
fn ctrl_c_ends_create_after_the_current_request() {
    let service = service_that_hangs();
    let urls = "http://a.example/1.png http://a.example/2.png http://a.example/9.png";
    let (_tool, running) = start_until(&service, &format!("create {urls}"), 3);
    running.signal("INT");
    // The creation that is under way would be finished first.
    sleep(Duration::from_millis(300));
    running.signal("INT");
    let run = running.end();
    run.ends(130)
        .prints("403316\thttp://a.example/1.png\n403317\thttp://a.example/2.png\n")
        .has_message("ends after the request that is under way")
        .has_message("a task may exist for http://a.example/9.png")
        .has_message("interrupted: 3 images in ");
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
    for ignored in ["HUP", "INT"] {
        let service = service();
        let tool = Tool::of(&service);
        let ignore = format!("--ignore-signal={ignored}");
        let line = ["--default-signal", &ignore, TOOL, "wait", "403316"];
        let mut running = Running::start(tool.command("env", &line), "");
        assert!(until(|| service.request_count() > 0));
        running.signal(ignored);
        // It continues: two more requests are at least one whole interval after the signal.
        let more = service.request_count() + 2;
        assert!(until(
            || service.request_count() >= more || running.has_ended()
        ));
        assert!(!running.has_ended(), "{ignored} ended it");
        running.signal("TERM");
        running.end().ends(143);
    }
}

/// One thread makes requests, one waits for Ctrl-C, and one shows the progress; 10,000 tasks take less than 64 MiB.
#[test]
fn threads_and_memory_are_bounded() {
    let service = Service::start().unwrap();
    service.reply_with(|request| match request.task_id()? {
        10_000 => Some(Reply::progress(RUNNING).delay(NEVER)),
        _ => Some(Reply::progress(SUCCEEDED)),
    });
    for command in ["process", "wait"] {
        let tool = Tool::of(&service);
        let all = service.request_count() + 10_000;
        let arguments = format!("{command} - --rate inf --request-timeout 1h");
        let running = tool.start(&arguments, ids(10_000));
        assert!(until(|| service.request_count() == all));
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
        let number = |name: &str| -> u64 {
            let (_, value) = status.split_once(name).unwrap();
            value.split_whitespace().next().unwrap().parse().unwrap()
        };
        println!("{command}: {} KiB at most", number("VmHWM:"));
        assert!(number("VmHWM:") < 64 * 1024, "{status}");
        assert!(number("Threads:") <= 3, "{status}");
    }
}
