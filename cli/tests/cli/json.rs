//! The lines of `--json`, on which scripts rely, against the committed listing `lines.txt`.

use std::collections::BTreeSet;
use std::net::TcpListener;

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Progress, Status};
use serde_json::Value;

use crate::tool::{Run, Tool};

const LISTING: &str = include_str!("lines.txt");

/// A stand-in with a task for each kind of line.
fn scene() -> Service {
    let service = Service::start().unwrap();
    let progress = |number, percent| Progress::new(Status::from(number), percent);
    for (id, number) in [(1, 0), (2, 1), (3, 2), (4, 3), (5, 9)] {
        service.task(id, [progress(number, 40)]);
    }
    service.task(6, [progress(0, 40), progress(3, 40), progress(2, 100)]);
    service.reply_with(|request| {
        let body = String::from_utf8_lossy(&request.body);
        Some(match request.task_id() {
            Some(10) => Reply::code(5113, "traffic quota used up"),
            Some(11) => Reply::code(429, "slow down")
                .status(429)
                .header("Retry-After", "3600"),
            Some(12) => Reply::code(401, "token is expired"),
            Some(13) => {
                Reply::json(r#"{"code":"403","message":"forbidden client ip 203.0.113.7"}"#)
            }
            Some(14) => Reply::new(404).body("<h1>404</h1>"),
            Some(15) => Reply::json(r#"{"message":"ok"}"#),
            Some(16) => Reply::json("{"),
            _ if body.contains("refused.png") => Reply::code(1, "no such directory"),
            _ if body.contains("lost.png") => Reply::new(502),
            _ => return None,
        })
    });
    service
}

/// Runs each command of the listing.
fn run(tool: &Tool, service: &Service, arguments: &str) -> Run {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let arguments = arguments.replace("NOBODY", &nobody.to_string());
    let mut run = tool.run(&format!("{arguments} --json --quiet"));
    for (changing, name) in [
        (nobody.to_string(), "NOBODY"),
        (service.address().to_string(), "SERVICE"),
    ] {
        run.stdout = run.stdout.replace(&changing, name);
    }
    run
}

/// Replaces texts that differ between runs by names: times, folders, errors of the system.
fn settled(mut line: Value) -> Value {
    if let Some(got) = line.get_mut("issued_at") {
        *got = "TIME".into();
    }
    if let Some(cache) = line.get_mut("token_cache") {
        let name = cache.as_str().unwrap().rsplit(['/', '\\']).next().unwrap();
        *cache = format!("CACHE/{name}").into();
    }
    if let Some(message) = line.pointer_mut("/error/message") {
        let text = message.as_str().unwrap();
        let text = between(text, "did not end within ", " s and ", "TIME");
        let text = between(
            &text,
            "check the address and the network: ",
            " (os error ",
            "REASON",
        );
        *message = between(&text, " (os error ", ")", "NUMBER").into();
    }
    line
}

/// The text with `name` between the first `start` and the `end` after it.
fn between(text: &str, start: &str, end: &str, name: &str) -> String {
    let Some((before, rest)) = text.split_once(start) else {
        return text.to_owned();
    };
    let (_, after) = rest.split_once(end).unwrap();
    format!("{before}{start}{name}{end}{after}")
}

#[test]
fn the_lines_are_those_of_the_listing() {
    let service = scene();
    let tool = Tool::of(&service);
    let account = Tool::at(&service).with_credentials();
    let mut actual = String::new();
    for command in LISTING.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let tool = if command == "login" { &account } else { &tool };
        let run = run(tool, &service, command);
        actual += &format!("$ {command}\n");
        for line in run.is_quiet().json() {
            actual += &format!("{}\n", settled(line));
        }
        actual += &format!("= {}\n\n", run.code());
    }
    assert!(actual == LISTING, "the listing would have to be:\n{actual}");
}

/// The lines have the fields that the docs list, no fewer and no more.
#[test]
fn each_kind_of_line_has_its_fields() {
    let kinds = [
        &[
            "task_id",
            "url",
            "status",
            "status_code",
            "percent",
            "end",
            "error",
        ][..],
        &["url", "task_id", "error"],
        &["token_cache", "issued_at"],
    ];
    let kinds: Vec<BTreeSet<_>> = kinds
        .iter()
        .map(|fields| fields.iter().copied().collect())
        .collect();
    let error_fields = "kind message code http_status trace_id retry_after transient unauthorized banned may_have_taken_effect";
    let error_fields: BTreeSet<_> = error_fields.split(' ').collect();
    let docs = include_str!("../../README.md");

    let lines = LISTING.lines().filter(|line| line.starts_with('{'));
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut seen = BTreeSet::new();
    for line in &lines {
        let fields = fields(line);
        assert!(kinds.contains(&fields), "{line}");
        seen.insert(fields);
        let error = line.get("error").filter(|error| !error.is_null());
        if let Some(error) = error {
            assert_eq!(self::fields(error), error_fields, "{line}");
        }
    }
    assert_eq!(
        seen.len(),
        kinds.len(),
        "the listing has a line of each kind"
    );
    for field in kinds.iter().flatten().chain(&error_fields) {
        assert!(
            docs.contains(&format!("`{field}`")),
            "the docs name `{field}`"
        );
    }
}

fn fields(object: &Value) -> BTreeSet<&str> {
    object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}
