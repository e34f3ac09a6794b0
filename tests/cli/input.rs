//! Standard input: ids and URLs by `-`, few and many, and what is no such thing.

use std::collections::HashSet;
use std::fmt::Write as _;

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Progress, Status};

use crate::support::service;
use crate::tool::Tool;

const SUCCEEDED: Progress = Progress::new(Status::Succeeded, 100);

/// A stand-in where any task has succeeded.
pub(crate) fn service_of_any_task() -> Service {
    let service = Service::start().unwrap();
    service.keep_requests(0).reply_with(|request| request.task_id().map(|_| Reply::progress(SUCCEEDED)));
    service
}

/// The ids from 1 on, one a line.
pub(crate) fn ids(count: u64) -> String {
    (1..=count).fold(String::new(), |mut text, id| {
        let _ = writeln!(text, "{id}");
        text
    })
}

/// Each of so many tasks has its one end in `lines`.
#[track_caller]
pub(crate) fn all_ended(lines: &str, count: u64) {
    let ended: Vec<u64> = lines
        .lines()
        .map(|line| line.strip_suffix("\tsucceeded\t100 %").unwrap_or_else(|| panic!("{line}")).parse().unwrap())
        .collect();
    assert_eq!(ended.len() as u64, count, "each once");
    assert_eq!(ended.into_iter().collect::<HashSet<_>>(), (1..=count).collect());
}

#[test]
fn lines_of_any_form() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    let expected = "7\tsucceeded\t100 %\n8\tsucceeded\t100 %\n9\tsucceeded\t100 %\n";
    for input in [
        "7\n8\n9\n",
        "7\n8\n9",
        "7\r\n8\r\n9\r\n",
        "\u{feff}7\n8\n9\n",
        "\n\n7\n \t\n8\n\n9\n\n",
        "  7\thttp://a.example/1.png\n8 what follows a blank is not looked at\n\t9\n",
        "7\n7\n8\n7\n9\n8\n",
    ] {
        for command in ["process", "wait"] {
            tool.feed(&format!("{command} - --rate inf"), input).ends(0).is_quiet().prints(expected);
        }
    }
}

#[test]
fn standard_input_among_arguments() {
    let service = service_of_any_task();
    let run = Tool::of(&service).feed("process 1 - 2 - --rate inf", "7\n8\n");
    run.ends(0).is_quiet().prints(&[1, 7, 8, 2].map(|id| format!("{id}\tsucceeded\t100 %\n")).concat());
}

#[test]
fn a_line_that_is_no_id_is_named() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    for (input, text) in [
        ("1\n\n2\nthree\n4\n", "line 4 of standard input: `three` is no task id, which is a number"),
        ("1\n-5\n", "line 2 of standard input: `-5` is no task id"),
        ("\u{1b}[2J\n", r"line 1 of standard input: `\u{1b}[2J` is no task id"),
        ("1,2\n", "line 1 of standard input: `1,2` is no task id"),
    ] {
        for command in ["process", "wait"] {
            tool.feed(&format!("{command} -"), input).ends(2).prints("").says(text);
        }
    }
    let run = tool.feed("wait -", b"1\n2\n\xff\xfe\n".to_vec());
    run.ends(2).prints("").says("line 3 of standard input: ").says("UTF-8");
    assert_eq!(service.request_count(), 0);
}

#[test]
fn nothing_to_do() {
    let service = service();
    let tool = Tool::of(&service);
    for command in ["process -", "wait -", "create -", "wait - -"] {
        for input in ["", "\n", " \r\n\t\n"] {
            tool.feed(command, input).ends(2).prints("").says("standard input is empty: there is nothing to do");
        }
        let run = tool.shell(&format!("pan123-offline {command} <&-"), "");
        run.ends(2).prints("").says("standard input is empty");
    }
    assert_eq!(service.request_count(), 0);
}

#[test]
fn urls_from_standard_input() {
    let service = Service::start().unwrap();
    let run = Tool::of(&service).feed("create - --rate inf", "http://a.example/1.png\r\n\nhttps://b.example/2.png\n");
    run.ends(0).is_quiet().prints("403316\thttp://a.example/1.png\n403317\thttps://b.example/2.png\n");
    let run = Tool::of(&service).feed("create - --file-name a.png", "http://a.example/1.png\nhttp://a.example/2.png\n");
    run.ends(2).prints("").says("--file-name is for one URL");
}

#[test]
fn what_is_created_can_be_waited_for() {
    let service = Service::start().unwrap();
    service.new_tasks(|_, _| vec![SUCCEEDED]);
    let create = "pan123-offline create --rate inf http://a.example/1.png http://a.example/2.png";
    let run = Tool::of(&service).shell(&format!("{create} | pan123-offline wait --rate inf -"), "");
    run.ends(0).is_quiet().prints("403316\tsucceeded\t100 %\n403317\tsucceeded\t100 %\n");
}

#[test]
fn ten_thousand() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    for command in ["process", "wait"] {
        let run = tool.feed(&format!("{command} - --rate inf"), ids(10_000));
        all_ended(&run.ends(0).is_quiet().stdout, 10_000);
    }
    assert_eq!(service.request_count(), 20_000);
    assert_eq!(service.connection_count(), 2);
}

#[test]
fn ten_thousand_new_tasks() {
    let service = Service::start().unwrap();
    service.keep_requests(0);
    let urls: String = (0..10_000).map(|number| format!("http://a.example/{number}.png\n")).collect();
    let run = Tool::of(&service).feed("create - --rate inf", urls);
    let expected: String = (0..10_000).map(|n| format!("{}\thttp://a.example/{n}.png\n", 403_316 + n)).collect();
    assert!(run.ends(0).is_quiet().stdout == expected);
}

/// A minute's work for an unoptimised build on a slow machine: `cargo test --features cli --test cli -- --ignored`.
#[test]
#[ignore = "takes long"]
fn a_hundred_thousand() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    for command in ["process", "wait"] {
        let run = tool.feed(&format!("{command} - --rate inf"), ids(100_000));
        all_ended(&run.ends(0).is_quiet().stdout, 100_000);
    }
}

/// Whoever reads goes away: no word of it, and the exit code of a program that a closed pipe kills.
#[test]
fn a_closed_pipe() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    for json in ["", " --json"] {
        for command in ["process", "wait"] {
            let script = format!("{{ pan123-offline {command} --rate inf -{json}; echo $? > code; }} | head -n 1");
            let run = tool.shell(&script, ids(10_000));
            assert_eq!(run.ends(0).is_quiet().stdout.lines().count(), 1, "{run:?}");
            assert_eq!(std::fs::read_to_string(tool.path("code")).unwrap(), "141\n");
        }
    }
    assert!(service.request_count() < 40_000, "it stopped asking");
    for command in ["man", "completions bash", "--help"] {
        tool.shell(&format!("pan123-offline {command} | true"), "").ends(0).is_quiet();
    }
}

#[test]
fn a_closed_output() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    tool.shell("pan123-offline wait 1 >&-", "").ends(0).is_quiet();
    tool.shell("pan123-offline wait x 2>&-", "").ends(2).is_quiet();
}

/// A result that was not written is no success.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    for command in
        ["wait 1", "process 1", "process 1 --json", "create http://a.example/1.png", "man", "completions fish"]
    {
        let run = tool.shell(&format!("pan123-offline {command} > /dev/full"), "");
        run.ends(5).says("pan123-offline: standard output: No space left on device");
    }
    tool.shell("pan123-offline wait x 2> /dev/full", "").ends(2);
}
