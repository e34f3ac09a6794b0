//! `report` and `status`: their output, which other commands can read. They need no account and
//! send no request.

use std::fs;

use pan123_offline::testing::Service;
use pan123_offline::{Progress, Status};
use serde_json::{Value, json};

use crate::tool::Tool;

/// The documented form of the journal, independent of the command's own writer.
fn record(step: &str, url: &str, more: &str) -> String {
    format!("{{\"at\":\"2026-02-16T10:00:00.000Z\",\"step\":\"{step}\",\"url\":\"{url}\"{more}}}\n")
}

/// A journal with a line in each state.
fn journal() -> String {
    let url = |name| format!("https://a.example/{name}.png");
    let mut text =
        "{\"journal\":\"pan123-offline\",\"version\":1,\"at\":\"2026-02-16T10:00:00.000Z\"}\n"
            .to_owned();
    let mut task_id = 403_316;
    let mut add = |name, end: Option<(&str, &str)>| {
        let file_name = if name == "failed" {
            ",\"file_name\":\"my cat.png\""
        } else {
            ""
        };
        text += &record("creating", &url(name), file_name);
        match end {
            Some(("not_created", outcome)) => {
                let more = format!(",\"outcome\":\"{outcome}\",\"reason\":\"a \\u001breason\"");
                text += &record("not_created", &url(name), &more);
            }
            Some((step, more)) => {
                let id = format!("{file_name},\"task_id\":{task_id}");
                text += &record("created", &url(name), &id);
                if step != "created" {
                    text += &record(step, &url(name), &format!("{id}{more}"));
                }
                task_id += 1;
            }
            None => {}
        }
    };
    add("succeeded", Some(("ended", ",\"outcome\":\"succeeded\"")));
    add("failed", Some(("ended", ",\"outcome\":\"failed\"")));
    add("open", Some(("created", "")));
    add(
        "given-up",
        Some(("given_up", ",\"reason\":\"eight errors\"")),
    );
    add("refused", Some(("not_created", "refused")));
    add("killed", None);
    add("lost", Some(("not_created", "may_exist")));
    add("limited", Some(("not_created", "not_sent")));
    let more = ",\"outcome\":\"invalid\",\"reason\":\"no address\"";
    text += &record("not_created", "cat.png", more);
    text
}

fn tool() -> Tool {
    let tool = Tool::new();
    tool.write("urls.journal", 0o600, journal());
    tool
}

#[test]
fn status_counts_each_group() {
    let tool = tool();
    let counts = "new\t1\nopen\t2\nsucceeded\t1\nfailed\t2\nunknown\t2\ninvalid\t1\n";
    tool.run("status urls.journal")
        .ends(0)
        .is_quiet()
        .prints(counts);
    let run = tool.run("status urls.journal --json");
    let counts =
        json!({"new": 1, "open": 2, "succeeded": 1, "failed": 2, "unknown": 2, "invalid": 1});
    assert_eq!(run.ends(0).is_quiet().json(), [counts]);
}

#[test]
fn status_counts_lines_of_the_list_that_the_journal_does_not_have() {
    let tool = tool();
    let list = "https://a.example/succeeded.png\nhttps://a.example/new.png\n# a comment\n\
                https://a.example/new.png\nhttps://a.example/failed.png\ncat.png\na cat.png\n";
    tool.write("urls", 0o600, list);
    // `failed.png` has a file name in the journal: without one it is another line.
    let counts = "new\t3\nopen\t2\nsucceeded\t1\nfailed\t2\nunknown\t2\ninvalid\t2\n";
    tool.run("status urls.journal urls")
        .ends(0)
        .is_quiet()
        .prints(counts);
    tool.run("status urls.journal none")
        .ends(2)
        .prints("")
        .has_message("the list none: ")
        .has_message("(os error 2)");
}

#[test]
fn report_lists_each_group() {
    let tool = tool();
    let succeeded = "403316\thttps://a.example/succeeded.png\tsucceeded\n";
    let failed = "403317\thttps://a.example/failed.png\tfailed\n";
    let open = "403318\thttps://a.example/open.png\topen\n\
                403319\thttps://a.example/given-up.png\topen\teight errors\n";
    let refused = "-\thttps://a.example/refused.png\tfailed\ta \\u{1b}reason\n";
    let unknown = "-\thttps://a.example/killed.png\tunknown\n\
                   -\thttps://a.example/lost.png\tunknown\ta \\u{1b}reason\n";
    let rest = "-\thttps://a.example/limited.png\tnew\ta \\u{1b}reason\n\
                -\tcat.png\tinvalid\tno address\n";
    for (options, expected) in [
        ("", vec![succeeded, failed, open, refused, unknown, rest]),
        ("--failed", vec![failed, refused]),
        ("--open", vec![open]),
        ("--unknown", vec![unknown]),
        (
            "--failed --unknown --open",
            vec![failed, open, refused, unknown],
        ),
    ] {
        let run = tool.run(&format!("report urls.journal {options}"));
        run.ends(0).is_quiet().prints(&expected.concat());
    }
}

#[test]
fn report_in_json_has_each_field() {
    let lines = tool().run("report urls.journal --failed --json");
    let at = "2026-02-16T10:00:00.000Z";
    let expected = [
        json!({"url": "https://a.example/failed.png", "file_name": "my cat.png", "task_id": 403317,
               "state": "failed", "reason": null, "at": at}),
        json!({"url": "https://a.example/refused.png", "file_name": null, "task_id": null,
               "state": "failed", "reason": "a \u{1b}reason", "at": at}),
    ];
    assert_eq!(lines.ends(0).is_quiet().json(), expected);
}

#[test]
fn report_can_be_fed_back() {
    let service = Service::start().unwrap();
    for id in [403_318, 403_319] {
        service.task(id, [Progress::new(Status::Succeeded, 100)]);
    }
    let tool = Tool::of(&service);
    tool.write("urls.journal", 0o600, journal());
    let pipe = |report: &str, command: &str| {
        let report = tool.run(&format!("report urls.journal {report}"));
        report.ends(0).is_quiet();
        tool.feed(&format!("{command} - --rate inf --quiet"), report.stdout)
    };
    let ended = "403318\tsucceeded\t100 %\n403319\tsucceeded\t100 %\n";
    pipe("--open", "wait").ends(0).is_quiet().prints(ended);
    pipe("--open --json", "wait")
        .ends(0)
        .is_quiet()
        .prints(ended);
    // URLs have no control characters, and an invalid line is not among them.
    let run = pipe("--urls", "create");
    assert_eq!(run.ends(0).is_quiet().stdout.lines().count(), 8);

    let before = service.request_count();
    pipe("--failed --urls", "create").ends(0).is_quiet();
    let requests = service.requests();
    let bodies = requests[before..]
        .iter()
        .map(|request| serde_json::from_slice(&request.body));
    let bodies: Vec<Value> = bodies.collect::<Result<_, _>>().unwrap();
    let expected = [
        json!({"url": "https://a.example/failed.png", "type": 1, "fileName": "my cat.png"}),
        json!({"url": "https://a.example/refused.png", "type": 1}),
    ];
    assert_eq!(bodies, expected);
}

/// Reading takes no lock and changes nothing.
#[test]
fn a_journal_that_is_in_use_can_be_read() {
    let tool = tool();
    let path = tool.path("urls.journal");
    let torn = journal() + "{\"at\":\"2026-02";
    fs::write(&path, &torn).unwrap();
    // On Windows the lock is a file of its own, because a locked file cannot be read.
    let locked = if cfg!(windows) {
        tool.write("urls.journal.lock", 0o600, "")
    } else {
        path.clone()
    };
    let file = fs::File::options().write(true).open(locked).unwrap();
    file.lock().unwrap();
    tool.run("status urls.journal").ends(0).is_quiet();
    tool.run("report urls.journal --open").ends(0).is_quiet();
    assert_eq!(fs::read_to_string(&path).unwrap(), torn);
}

#[test]
fn a_journal_that_cannot_be_read_is_an_error() {
    let tool = Tool::new();
    let damaged = journal().replacen("\"step\":\"created\"", "\"step\":\"cre\u{1b}ted\"", 1);
    let next = journal().replacen("\"version\":1", "\"version\":2", 1);
    tool.write("damaged", 0o600, damaged);
    tool.write("next", 0o600, next);
    tool.write("urls", 0o600, "https://a.example/1.png\n");
    for (name, message) in [
        (
            "damaged",
            "the journal damaged is damaged: line 3: control character",
        ),
        (
            "next",
            "the journal next has format version 2; this program reads version 1",
        ),
        ("urls", "urls is not a journal of pan123-offline"),
        ("none", "the journal none: "),
        (".", "the journal . is not a regular file"),
        #[cfg(unix)]
        ("/dev/zero", "the journal /dev/zero is not a regular file"),
    ] {
        for command in ["status", "report"] {
            let run = tool.run(&format!("{command} {name}"));
            run.ends(2).prints("").has_message(message);
            assert!(!run.stderr.contains('\u{1b}'), "{run:#?}");
        }
    }
    tool.run("report urls.journal --urls --json")
        .ends(2)
        .has_message("cannot be used with");
}
