//! The exit codes, the messages beside them, and their order of severity.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Progress, Status};

use crate::support::{RUNNING, service};
use crate::tool::{Run, Tool};

const BAN: &str = r#"{"code":"403","message":"123pan-global-slb forbidden client ip 203.0.113.7"}"#;

/// A stand-in whose tasks each have a different end.
fn service_of_ends() -> Service {
    let service = Service::start().unwrap();
    service.task(1, [Progress::new(Status::Succeeded, 100)]);
    service.task(2, [Progress::new(Status::Failed, 20)]);
    service.task(3, [RUNNING]);
    service.reply_with(|request| match request.task_id()? {
        4 => Some(Reply::code(5113, "traffic quota used up")),
        5 => Some(Reply::code(401, "token is expired")),
        6 => Some(Reply::json(BAN)),
        _ => None,
    });
    service
}

#[track_caller]
fn ends(arguments: &str, code: i32) -> Run {
    let service = service_of_ends();
    let run = Tool::of(&service).run(&format!("{arguments} --rate inf"));
    run.ends(code);
    run
}

#[test]
fn success_ends_with_0() {
    ends("process 1 3", 0).is_quiet();
    ends("wait 1", 0).sums_up("1 succeeded");
}

#[test]
fn a_failed_task_ends_with_1() {
    ends("process 1 2 3", 1).is_quiet();
    ends("wait 1 2", 1)
        .has_message("pan123-offline: 2: failed\n")
        .has_message("2 of 2 finished in ")
        .has_message(": 1 succeeded, 1 failed\n");
}

#[test]
fn a_timeout_ends_with_4() {
    ends("wait 1 3 --timeout 0s", 4)
        .has_message("3: task 3 did not end within")
        .has_message("it continues at the service");
    ends("wait 3 --timeout 300ms", 4).has_message("its last progress was: in progress, 37 %");
}

#[test]
fn a_refused_task_ends_with_5() {
    ends("process 4", 5)
        .has_message("4: the service returned code 5113: the traffic quota is used up");
    ends("wait 4", 5).has_message("(trace id stand-in-0001)");
    ends("process 9", 5)
        .has_message("9: the service returned code 1")
        .has_message("task not found");
}

#[test]
fn a_refused_token_ends_with_3() {
    for command in ["process", "wait"] {
        let run = ends(&format!("{command} 5"), 3);
        run.prints("")
            .has_message("5: the service returned code 401")
            .has_message("token is expired");
        run.has_message(
            "set PAN123_CLIENT_ID and PAN123_CLIENT_SECRET and run `pan123-offline login`",
        );
        run.has_message("or set a new PAN123_ACCESS_TOKEN");
    }
}

/// A task with a transient error is polled again within the rate.
#[test]
fn the_rate_counts_repeated_polls() {
    let service = Service::start().unwrap();
    service.reply_with(|_| Some(Reply::code(429, "too many").header("Retry-After", "0")));
    Tool::of(&service).run("process 1 2 3 --rate 20").ends(5);
    let requests = service.requests();
    assert_eq!(requests.len(), 9);
    // The nine requests are eight times 50 ms apart; the network delay may differ.
    assert!(requests[8].at - requests[0].at > std::time::Duration::from_millis(300));
}

#[test]
fn a_creation_is_repeated_only_if_no_task_exists() {
    for (reply, requests) in [
        (Reply::code(429, "too many"), 3),
        (Reply::new(429), 3),
        (Reply::new(503), 3),
        (Reply::new(502), 1),
        (Reply::nothing(), 1),
    ] {
        let service = Service::start().unwrap();
        service.reply_with(move |_| Some(reply.clone().header("Retry-After", "0")));
        Tool::of(&service)
            .run("create http://a.example/1.png --rate inf")
            .ends(5);
        assert_eq!(service.request_count(), requests);
    }
}

#[test]
fn one_task_of_two_urls_is_followed_once() {
    let service = Service::start().unwrap();
    let created = r#"{"code":0,"message":"ok","data":{"taskID":7}}"#;
    service.task(7, [Progress::new(Status::Succeeded, 100)]);
    service.reply_with(move |request| (request.method == "POST").then(|| Reply::json(created)));
    let lines = "7\thttp://a.example/1.png\n7\thttp://a.example/2.png\n7\tsucceeded\t100 %\n";
    let tool = Tool::of(&service);
    tool.run("create --wait http://a.example/1.png http://a.example/2.png --rate inf")
        .ends(0)
        .prints(lines);
}

#[test]
fn advice_is_printed_once() {
    let service = Service::start().unwrap();
    service.reply_with(|_| Some(Reply::code(401, "token is expired")));
    let run = Tool::of(&service).run("wait 1 2 3 --rate inf");
    run.ends(3).has_message("1: the service");
    assert_eq!(
        run.stderr.matches("A token comes from").count(),
        1,
        "{}",
        run.stderr
    );
}

#[test]
fn a_ban_ends_with_3() {
    for command in ["process", "wait"] {
        let run = ends(&format!("{command} 6"), 3);
        run.prints("")
            .has_message("forbidden client ip 203.0.113.7")
            .has_message("Send no further request");
    }
}

#[test]
fn a_refused_connection_ends_with_5() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let tool = Tool::of(&service()).with("PAN123_BASE_URL", format!("http://127.0.0.1:{port}"));
    tool.run("process 1")
        .ends(5)
        .prints("")
        .has_message("Connection refused");
    tool.run("create http://a.example/1.png")
        .ends(5)
        .prints("")
        .has_message("http://a.example/1.png: ");
}

#[test]
fn a_gateway_error_is_quoted() {
    let service = service();
    service.reply_with(|_| {
        Some(
            Reply::new(502)
                .header("Content-Type", "text/html")
                .body("<h1>502</h1>"),
        )
    });
    let run = Tool::of(&service).run("process 1");
    run.ends(5)
        .prints("")
        .has_message("1: HTTP 502 without the service's envelope")
        .has_message("<h1>502</h1>");
}

#[test]
fn the_worst_exit_code_is_used() {
    ends("wait 1 2 3 --timeout 0s", 4);
    ends("wait 3 2 1 4 --timeout 0s", 5);
    ends("process 2 4 1", 5);
    ends("process 2 4 6", 3);
    ends("wait 1 2 4 3 5", 3);
}

/// After a ban or a refused token no further request is made.
#[test]
fn a_ban_ends_all_polls() {
    for id in [5, 6] {
        let service = service_of_ends();
        Tool::of(&service)
            .run(&format!("process 1 {id} 2 3 --rate inf"))
            .ends(3)
            .prints("1\tsucceeded\t100 %\n");
        assert_eq!(service.request_count(), 2);
    }
    let service = service_of_ends();
    let run = Tool::of(&service).run("wait 3 6 1 2 --rate inf");
    run.ends(3)
        .prints("3\tin progress\t37 %\n")
        .has_message("pan123-offline: 6: the service returned code 403")
        .has_message(": 0 succeeded, 1 with an error, 1 no longer followed, 2 not polled\n");
    assert_eq!(run.stderr.matches("code 403").count(), 1, "{run:#?}");
    assert_eq!(service.request_count(), 2);
}

#[test]
fn a_ban_ends_the_polls_of_created_tasks() {
    let service = Service::start().unwrap();
    service.reply_with(|request| {
        String::from_utf8_lossy(&request.body)
            .contains("2.png")
            .then(|| Reply::json(BAN))
    });
    let urls = "http://a.example/1.png http://a.example/2.png http://a.example/3.png";
    let run = Tool::of(&service).run(&format!("create {urls} --wait --rate inf"));
    run.ends(3)
        .prints("403316\thttp://a.example/1.png\n")
        .has_message("203.0.113.7");
    assert_eq!(service.request_count(), 2, "{:#?}", service.requests());
}

/// Wrong usage sends no request.
#[test]
fn wrong_usage_ends_with_2() {
    let service = service();
    let tool = Tool::of(&service);
    for (arguments, text) in [
        ("", "Usage: "),
        ("nonsense", "unrecognized subcommand 'nonsense'"),
        ("process", "<ID>..."),
        ("wait", "<ID>..."),
        ("create", "<URL>..."),
        (
            "process 403316 --token secret",
            "unexpected argument '--token'",
        ),
        ("process x", "`x` is not a task id (expected a number)"),
        ("process -5", "unexpected argument '-5'"),
        ("process -- -5", "`-5` is not a task id"),
        (
            "process 18446744073709551616",
            "`18446744073709551616` is not a task id",
        ),
        ("process 1.5", "`1.5` is not a task id"),
        (
            "wait 1 --timeout soon",
            "invalid value 'soon' for '--timeout <TIME>'",
        ),
        ("wait 1 --timeout -1s", "unexpected argument '-1'"),
        (
            "wait 1 --timeout 99999999999999999999s",
            "invalid value '99999999999999999999s' for '--timeout <TIME>'",
        ),
        ("process 1 --timeout 1s", "unexpected argument '--timeout'"),
        ("process 1 --request-timeout 0s", "setting `timeout`"),
        (
            "process 1 2 --rate 0",
            "invalid value '0' for '--rate <NUMBER>'",
        ),
        (
            "process 1 2 --rate=-1",
            "invalid value '-1' for '--rate <NUMBER>'",
        ),
        (
            "process 1 2 --rate NaN",
            "invalid value 'NaN' for '--rate <NUMBER>'",
        ),
        (
            "process 1 2 --rate 1e-300",
            "invalid value '1e-300' for '--rate <NUMBER>'",
        ),
        (
            "wait 1 2 --rate 1e-300",
            "invalid value '1e-300' for '--rate <NUMBER>'",
        ),
        (
            "process 1 2 --rate fast",
            "invalid value 'fast' for '--rate <NUMBER>'",
        ),
        (
            "create http://a.example/1.png http://a.example/2.png --file-name a.png",
            "--file-name is for one URL",
        ),
        (
            "create http://a.example/1.png --file-name a.exe",
            "setting `file_name`",
        ),
        (
            "create http://a.example/1.png --callback-url example.org",
            "setting `callback_url`",
        ),
        (
            "create ftp://a.example/1.png",
            "`ftp://a.example/1.png` is not an http or https URL",
        ),
    ] {
        tool.run(arguments).ends(2).prints("").has_message(text);
    }
    tool.run_args(&["process", "1 2"])
        .ends(2)
        .prints("")
        .has_message("`1 2` is not a task id");
    tool.run_args(&["process", ""])
        .ends(2)
        .prints("")
        .has_message("`` is not a task id");
    tool.run_args(&["process", "\u{1b}[2J"])
        .ends(2)
        .prints("")
        .has_message(r"`\u{1b}[2J` is not a task id");
    assert_eq!(service.request_count(), 0);
}

/// An invalid URL is reported, and the other URLs are created.
#[test]
fn an_invalid_url_is_reported_and_the_others_are_created() {
    let service = Service::start().unwrap();
    let urls = "http://a.example/1.png\nnonsense\nhttp://a.example/3.png\n";
    let run = Tool::of(&service).feed("create - --rate inf", urls);
    run.ends(2)
        .has_message("line 2 of standard input: `nonsense` is not an http or https URL")
        .prints("403316\thttp://a.example/1.png\n403317\thttp://a.example/3.png\n");
    assert_eq!(service.request_count(), 2);
}

#[test]
fn a_ban_after_an_invalid_url_ends_the_list() {
    let service = Service::start().unwrap();
    service.reply_with(|_| Some(Reply::json(BAN)));
    Tool::of(&service)
        .run("create nonsense http://a.example/1.png http://a.example/2.png --rate inf")
        .ends(3)
        .prints("");
    assert_eq!(service.request_count(), 1);
}

#[test]
fn accepts_the_largest_and_the_smallest_values() {
    let service = Service::start().unwrap();
    service.task(0, [Progress::new(Status::Succeeded, 100)]);
    service.task(u64::MAX, [Progress::new(Status::Succeeded, 100)]);
    let tool = Tool::of(&service);
    let lines = "0\tsucceeded\t100 %\n18446744073709551615\tsucceeded\t100 %\n";
    tool.run("process 0 18446744073709551615 --rate 1e300")
        .ends(0)
        .is_quiet()
        .prints(lines);
    // Deadlines beyond the range of the clock.
    tool.run("wait 0 18446744073709551615 --timeout 500000000000years --request-timeout 500000000000years")
        .ends(0)
        .prints(lines);
}

#[test]
fn request_timeout_bounds_a_request() {
    let service = Service::start().unwrap();
    service.reply_with(|_| Some(Reply::progress(RUNNING).delay(Duration::from_secs(300))));
    let started = Instant::now();
    let run = Tool::of(&service).run("process 403316 --request-timeout 500ms");
    run.ends(5)
        .prints("")
        .has_message("403316: timed out waiting for the response");
    // Without the option it would be half a minute.
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// Control characters are escaped in each field of a response.
#[test]
fn control_characters_of_the_service_are_escaped() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\r\n\u{7f}";
    let quoted = serde_json::Value::from(evil).to_string();
    let replies = vec![
        Reply::code(5066, evil),
        Reply::json(format!(
            r#"{{"code":7,"message":"m","data":null,"x-traceID":{quoted}}}"#
        )),
        Reply::json(format!(r#"{{"code":{quoted},"message":"m"}}"#)),
        Reply::json(format!(
            r#"{{"code":0,"data":{{"status":{quoted},"process":1}}}}"#
        )),
        Reply::json(format!(r#"{{"code":0,"data":{quoted}}}"#)),
        Reply::new(404).body(evil),
        Reply::new(302).header("Location", "http://127.0.0.1/\u{9b}31m"),
        Reply::new(200).body(evil),
        Reply::raw(format!("{evil}\r\n\r\n")),
        Reply::raw(format!("HTTP/1.1 200 {evil}\r\nContent-Length: 0\r\n\r\n")),
        Reply::raw(format!(
            "HTTP/1.1 200 OK\r\n{evil}: {evil}\r\nContent-Length: 0\r\n\r\n"
        )),
        Reply::raw(format!("HTTP/1.1 404 OK\r\nContent-Length: {evil}\r\n\r\n")),
    ];
    for reply in replies {
        let service = Service::start().unwrap();
        service.reply_with({
            let reply = reply.clone();
            move |_| Some(reply.clone())
        });
        for arguments in [
            "process 1",
            "process 1 --json",
            "create http://a.example/1.png",
        ] {
            let run = Tool::of(&service).run(&format!("{arguments} --request-timeout 5s"));
            assert_eq!(run.code(), 5, "{reply:?}: {run:#?}");
            let steers = |character: char| character.is_control() && character != '\n';
            assert!(
                !run.stdout.contains(steers) && !run.stderr.contains(steers),
                "{reply:?}: {run:#?}"
            );
        }
    }
}

/// A list may come from an untrusted source.
#[test]
fn control_characters_of_a_list_are_escaped() {
    let service = Service::start().unwrap();
    let run = Tool::of(&service).feed("create -", "\u{1b}]0;owned\u{7}\n");
    run.ends(2).prints("");
    assert!(!run.stderr.contains('\u{1b}'), "{run:#?}");
}
