//! Standard input: lists of ids and URLs by `-`, long lists, and invalid lines.

use std::collections::HashSet;
use std::fmt::Write as _;

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Progress, Status};
use serde_json::{Value, json};

use crate::support::service;
use crate::tool::Tool;

const SUCCEEDED: Progress = Progress::new(Status::Succeeded, 100);

/// A stand-in where any task has succeeded.
pub(crate) fn service_of_any_task() -> Service {
    let service = Service::start().unwrap();
    service
        .keep_requests(0)
        .reply_with(|request| request.task_id().map(|_| Reply::progress(SUCCEEDED)));
    service
}

/// The ids from 1 on, one a line.
pub(crate) fn ids(count: u64) -> String {
    (1..=count).fold(String::new(), |mut text, id| {
        let _ = writeln!(text, "{id}");
        text
    })
}

/// Asserts that `lines` has exactly one end for each task.
#[track_caller]
pub(crate) fn all_ended(lines: &str, count: u64) {
    let ended: Vec<u64> = lines
        .lines()
        .map(|line| {
            line.strip_suffix("\tsucceeded\t100 %")
                .unwrap_or_else(|| panic!("{line}"))
                .parse()
                .unwrap()
        })
        .collect();
    assert_eq!(ended.len() as u64, count, "each once");
    assert_eq!(
        ended.into_iter().collect::<HashSet<_>>(),
        (1..=count).collect()
    );
}

#[test]
fn accepts_lines_of_each_form() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    let expected = "7\tsucceeded\t100 %\n8\tsucceeded\t100 %\n9\tsucceeded\t100 %\n";
    for input in [
        "7\n8\n9\n",
        "7\n8\n9",
        "7\r\n8\r\n9\r\n",
        "\u{feff}7\n8\n9\n",
        "\n\n7\n \t\n8\n\n9\n\n",
        "  7\thttp://a.example/1.png\n8\tanything after the first TAB\n\t9\n",
        "# a comment\n7\n{\"task_id\":8}\n#\n9\n",
        "7\n7\n8\n7\n9\n8\n",
    ] {
        for command in ["process", "wait"] {
            tool.feed(&format!("{command} - --rate inf --quiet"), input)
                .ends(0)
                .is_quiet()
                .prints(expected);
        }
    }
}

#[test]
fn accepts_standard_input_among_arguments() {
    let service = service_of_any_task();
    let run = Tool::of(&service).feed("process 1 - 2 - --rate inf", "7\n8\n");
    run.ends(0).is_quiet().prints(
        &[1, 7, 8, 2]
            .map(|id| format!("{id}\tsucceeded\t100 %\n"))
            .concat(),
    );
}

#[test]
fn an_invalid_line_is_named_and_does_not_stop_the_rest() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    for (input, text) in [
        (
            "1\n\n2\nthree\n",
            "line 4 of standard input: `three` is not a task id (expected a number)",
        ),
        (
            "1\n-5\n2\n",
            "line 2 of standard input: `-5` is not a task id",
        ),
        (
            "\u{1b}[2J\n1\n2\n",
            r"line 1 of standard input: `\u{1b}[2J` is not a task id",
        ),
        (
            "1\n1,2\n2\n",
            "line 2 of standard input: `1,2` is not a task id",
        ),
    ] {
        for command in ["process", "wait"] {
            tool.feed(&format!("{command} - --rate inf"), input)
                .ends(2)
                .prints("1\tsucceeded\t100 %\n2\tsucceeded\t100 %\n")
                .has_message(text);
        }
    }
    let run = tool.feed("wait -", b"1\n\xff\xfe\n".to_vec());
    run.ends(2)
        .prints("1\tsucceeded\t100 %\n")
        .has_message("line 2 of standard input: not UTF-8");
}

#[test]
fn a_list_of_the_wrong_kind_is_refused_before_anything_is_sent() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    for command in ["wait -", "process -"] {
        tool.feed(command, "http://a.example/1.png\n7\n")
            .ends(2)
            .prints("")
            .has_message(
                "line 1 of standard input: `http://a.example/1.png` is a URL, not a task id",
            );
    }
    for line in ["403316\thttp://a.example/1.png", r#"{"task_id":403316}"#] {
        tool.feed("create -", format!("\n{line}\nhttp://a.example/1.png\n"))
            .ends(2)
            .prints("")
            .has_message("line 2 of standard input: ")
            .has_message("holds a task id, not a URL");
    }
    assert_eq!(service.request_count(), 0);
}

/// The second line comes only after the result of the first was printed.
#[cfg(target_os = "linux")]
#[test]
fn process_and_create_do_not_read_to_the_end_first() {
    let service = Service::start().unwrap();
    service.new_tasks(|_, _| vec![SUCCEEDED]);
    let tool = Tool::of(&service);
    let pipes = "mkfifo in out; pan123-offline create - --rate inf < in > out & \
                 exec 3> in 4< out; \
                 echo http://a.example/1.png >&3; read line <&4; echo \"$line\"; \
                 echo \"$line\" > line; pan123-offline process $(cut -f 1 line); \
                 echo http://a.example/2.png >&3; read line <&4; echo \"$line\"; exec 3>&-; wait";
    let run = tool.shell(pipes, "");
    run.ends(0).has_message("pan123-offline: 2 created\n").prints(
        "403316\thttp://a.example/1.png\n403316\tsucceeded\t100 %\n403317\thttp://a.example/2.png\n",
    );
}

#[test]
fn rejects_an_empty_list() {
    let service = service();
    let tool = Tool::of(&service);
    for command in ["process -", "wait -", "create -", "wait - -"] {
        for input in ["", "\n", " \r\n\t\n"] {
            tool.feed(command, input)
                .ends(2)
                .prints("")
                .has_message("the list is empty: there is nothing to do");
        }
        #[cfg(unix)]
        tool.shell(&format!("pan123-offline {command} <&-"), "")
            .ends(2)
            .prints("")
            .has_message("the list is empty");
    }
    assert_eq!(service.request_count(), 0);
}

#[test]
fn create_reads_urls_from_standard_input() {
    let service = Service::start().unwrap();
    let run = Tool::of(&service).feed(
        "create - --rate inf",
        "\u{feff}http://a.example/1.png\r\n\n# a comment\nhttps://b.example/2.png\n",
    );
    run.ends(0)
        .has_message("pan123-offline: 2 created\n")
        .prints("403316\thttp://a.example/1.png\n403317\thttps://b.example/2.png\n");
    let run = Tool::of(&service).feed("create - --file-name a.png", "http://a.example/1.png\n");
    run.ends(2)
        .prints("")
        .has_message("--file-name is for one URL");
}

#[test]
fn a_file_name_follows_a_tab() {
    let service = Service::start().unwrap();
    let run = Tool::of(&service).feed(
        "create - --rate inf",
        "https://e.org/my cat.png\nhttps://e.org/1\tmy cat.png\nhttps://e.org/2.png\n",
    );
    run.ends(2)
        .prints("403316\thttps://e.org/1\n403317\thttps://e.org/2.png\n")
        .has_message("line 1 of standard input: `https://e.org/my cat.png` contains a blank");
    let bodies: Vec<Value> = service
        .requests()
        .iter()
        .map(|r| serde_json::from_slice(&r.body).unwrap())
        .collect();
    let expected = [
        json!({"url": "https://e.org/1", "type": 1, "fileName": "my cat.png"}),
        json!({"url": "https://e.org/2.png", "type": 1}),
    ];
    assert_eq!(bodies, expected);
}

#[test]
fn a_duplicate_url_is_created_once() {
    let service = Service::start().unwrap();
    let urls = "http://a.example/1.png\nhttp://a.example/2.png\nhttp://a.example/1.png\n\
                http://a.example/1.png\tone.png\nhttp://a.example/1.png\n";
    Tool::of(&service)
        .feed("create - --rate inf", urls)
        .ends(0)
        .has_message("2 lines repeat a URL, which was created once");
    assert_eq!(service.request_count(), 3);
}

#[test]
fn wait_reads_the_output_of_create() {
    let service = Service::start().unwrap();
    service.new_tasks(|id, _| match id {
        403_317 | 403_319 => vec![Progress::new(Status::Failed, 20)],
        _ => vec![SUCCEEDED],
    });
    let urls = "http://a.example/1.png http://a.example/2.png";
    for (json, [first, second]) in [("", [403_316, 403_317]), ("--json", [403_318, 403_319])] {
        let tool = Tool::of(&service);
        let created = tool.run(&format!("create --rate inf {json} {urls}"));
        created.ends(0).has_message("pan123-offline: 2 created\n");
        let run = tool.feed("wait --rate inf -", created.stdout);
        run.ends(1)
            .prints(&format!(
                "{first}\tsucceeded\t100 %\n{second}\tfailed\t20 %\n"
            ))
            .has_message(&format!("{second} (http://a.example/2.png): failed"));
    }
    let run = Tool::of(&service).feed("wait --json -", "403317\thttp://a.example/2.png\n");
    assert_eq!(
        run.ends(1).sums_up("0 succeeded, 1 failed").json()[0]["url"],
        "http://a.example/2.png"
    );
}

#[test]
fn follows_ten_thousand_tasks() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    for command in ["process", "wait"] {
        let run = tool.feed(&format!("{command} - --rate inf"), ids(10_000));
        run.ends(0).sums_up("10000 succeeded");
        all_ended(&run.stdout, 10_000);
    }
    assert_eq!(service.request_count(), 20_000);
    assert_eq!(service.connection_count(), 2);
}

#[test]
fn creates_ten_thousand_tasks() {
    let service = Service::start().unwrap();
    service.keep_requests(0);
    let urls: String = (0..10_000)
        .map(|number| format!("http://a.example/{number}.png\n"))
        .collect();
    let run = Tool::of(&service).feed("create - --rate inf", urls);
    let expected: String = (0..10_000)
        .map(|n| format!("{}\thttp://a.example/{n}.png\n", 403_316 + n))
        .collect();
    assert!(run.ends(0).has_message("10000 created\n").stdout == expected);
}

/// Takes a minute in an unoptimised build: `cargo test --test cli -- --ignored`.
#[test]
#[ignore = "takes long"]
fn follows_a_hundred_thousand_tasks() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    for command in ["process", "wait"] {
        let run = tool.feed(&format!("{command} - --rate inf"), ids(100_000));
        all_ended(&run.ends(0).stdout, 100_000);
    }
}

/// The command ends without a message, with the exit code of a program that SIGPIPE has ended.
#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_the_command() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    for json in ["", " --json"] {
        for command in ["process", "wait"] {
            let script = format!(
                "{{ pan123-offline {command} --rate inf -{json}; echo $? > code; }} | head -n 1"
            );
            let run = tool.shell(&script, ids(10_000));
            assert_eq!(run.ends(0).is_quiet().stdout.lines().count(), 1, "{run:?}");
            assert_eq!(std::fs::read_to_string(tool.path("code")).unwrap(), "141\n");
        }
    }
    assert!(service.request_count() < 40_000, "it stopped asking");
    for command in ["man", "completions bash", "--help"] {
        tool.shell(&format!("pan123-offline {command} | true"), "")
            .ends(0)
            .is_quiet();
    }
}

#[cfg(unix)]
#[test]
fn a_closed_output_is_ignored() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    tool.shell("pan123-offline wait 1 >&-", "")
        .ends(0)
        .sums_up("1 succeeded");
    tool.shell("pan123-offline wait x 2>&-", "")
        .ends(2)
        .is_quiet();
}

/// A result that was not written is no success.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let service = service_of_any_task();
    let tool = Tool::of(&service);
    for command in [
        "wait 1",
        "process 1",
        "process 1 --json",
        "create http://a.example/1.png",
        "man",
        "completions fish",
    ] {
        let run = tool.shell(&format!("pan123-offline {command} > /dev/full"), "");
        if command.starts_with("create") {
            run.has_message("created task 403316 for http://a.example/1.png");
        }
        run.ends(5)
            .has_message("pan123-offline: standard output: No space left on device");
    }
    tool.shell("pan123-offline wait x 2> /dev/full", "").ends(2);
}
