//! Each command: its requests and its output.

use std::fs;
use std::path::Path;
use std::time::Duration;

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Progress, Status};
use serde_json::{Value, json};

use crate::platform::{CACHE, is_private};
use crate::support::{RUNNING, TASK, TOKEN, service};
use crate::tool::{CLIENT_ID, SECRET, Tool};

/// The tool's name, which is also that of its folders.
const NAME: &str = "pan123-offline";

const COMMANDS: [&str; 10] = [
    "migrate",
    "status",
    "report",
    "process",
    "wait",
    "create",
    "login",
    "demo",
    "completions",
    "man",
];

fn bodies(service: &Service) -> Vec<Value> {
    let requests = service
        .requests()
        .into_iter()
        .filter(|request| request.method == "POST");
    requests
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect()
}

#[test]
fn process_sends_one_request() {
    let service = service();
    Tool::of(&service)
        .run("process 403316")
        .ends(0)
        .is_quiet()
        .prints("403316\tin progress\t37 %\n");
    let [request] = &service.requests()[..] else {
        panic!("one request")
    };
    assert_eq!(request.task_id(), Some(TASK));
    assert_eq!(
        request.header("Authorization"),
        Some(&*format!("Bearer {TOKEN}"))
    );
}

#[test]
fn process_requests_each_task_once_and_in_order() {
    let service = Service::start().unwrap();
    for (id, number) in [(1, 0), (2, 1), (3, 2), (4, 3), (5, 77)] {
        service.task(id, [Progress::new(Status::from(number), 40)]);
    }
    let lines = "5\tunknown status 77\t40 %\n1\tin progress\t40 %\n2\tfailed\t40 %\n3\tsucceeded\t40 %\n4\tretrying\t40 %\n";
    Tool::of(&service)
        .run("process 5 1 2 3 1 4 5 --rate inf")
        .ends(1)
        .is_quiet()
        .prints(lines);
    assert_eq!(service.request_count(), 5);
    assert_eq!(service.connection_count(), 1);
}

#[test]
fn wait_prints_each_change() {
    let service = Service::start().unwrap();
    service.task(
        TASK,
        [RUNNING, RUNNING, Progress::new(Status::Succeeded, 100)],
    );
    let lines = "403316\tin progress\t37 %\n403316\tsucceeded\t100 %\n";
    Tool::of(&service)
        .run("wait 403316")
        .ends(0)
        .sums_up("1 succeeded")
        .prints(lines);
    assert_eq!(service.request_count(), 3);
}

#[test]
fn create_sends_each_option() {
    let service = Service::start().unwrap();
    let options = "--file-name cat.png --directory 77 --callback-url https://example.org/hook";
    let run = Tool::of(&service).run(&format!("create https://example.org/a.png {options}"));
    run.ends(0)
        .is_quiet()
        .prints("403316\thttps://example.org/a.png\n");
    let body = json!({
        "url": "https://example.org/a.png",
        "type": 1,
        "fileName": "cat.png",
        "businessDirID": "77",
        "callBackUrl": "https://example.org/hook",
    });
    assert_eq!(bodies(&service), [body]);
}

#[test]
fn create_sends_only_the_options_that_are_set() {
    let service = Service::start().unwrap();
    let run = Tool::of(&service)
        .run("create https://example.org/a.png http://example.org/b.png --rate inf");
    run.ends(0)
        .has_message("pan123-offline: 2 created\n")
        .prints("403316\thttps://example.org/a.png\n403317\thttp://example.org/b.png\n");
    let body = |url| json!({"url": url, "type": 1});
    assert_eq!(
        bodies(&service),
        [
            body("https://example.org/a.png"),
            body("http://example.org/b.png")
        ]
    );
}

#[test]
fn create_wait_follows_the_created_tasks() {
    let service = Service::start().unwrap();
    service.new_tasks(|id, _| match id {
        403_316 => vec![Progress::new(Status::Succeeded, 100)],
        _ => vec![Progress::new(Status::Failed, 20)],
    });
    let run = Tool::of(&service)
        .run("create http://a.example/1.png http://a.example/2.png --wait --rate inf");
    let lines = "403316\thttp://a.example/1.png\n403317\thttp://a.example/2.png\n\
                 403316\tsucceeded\t100 %\n403317\tfailed\t20 %\n";
    run.ends(1)
        .prints(lines)
        .has_message("403317 (http://a.example/2.png): failed");
}

#[test]
fn create_wait_obeys_the_timeout() {
    let service = Service::start().unwrap();
    let run = Tool::of(&service).run("create http://a.example/1.png --wait --timeout 0s");
    run.ends(4)
        .has_message("403316 (http://a.example/1.png): task 403316 did not end within")
        .prints("403316\thttp://a.example/1.png\n403316\tin progress\t50 %\n");
}

/// The login writes the default file, from which the other commands read the token.
#[test]
fn login_requests_one_token_for_all_commands() {
    let service = service();
    service.credentials(CLIENT_ID, SECRET);
    let tool = Tool::at(&service).with_credentials();
    let first = tool.run("login");
    first.ends(0).is_quiet();
    assert_eq!(service.tokens_issued(), 1);

    let cache = tool.path(CACHE).join(NAME).join("token");
    is_private(&cache);
    let issued_at = time_of(&cache);
    first.prints(&format!(
        "the token in {} was issued at {issued_at}\n",
        cache.display()
    ));
    assert!(
        fs::read_to_string(&cache)
            .unwrap()
            .contains("issued-token-")
    );

    tool.run("login").ends(0).is_quiet().prints(&first.stdout);
    tool.run("process 403316").ends(0).is_quiet();
    tool.run("login --json").ends(0).is_quiet().prints(&format!(
        "{}\n",
        json!({"token_cache": cache, "issued_at": issued_at})
    ));
    assert_eq!(service.tokens_issued(), 1);
}

/// The time of a file as the tool writes it.
fn time_of(path: &Path) -> String {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    humantime::format_rfc3339_seconds(time).to_string()
}

#[test]
fn cache_option_names_the_token_file() {
    let service = service();
    let tool = Tool::at(&service).with_credentials();
    let (option, variable) = (tool.path("by-option"), tool.path("by-variable"));
    tool.run(&format!("login --token-cache {}", option.display()))
        .ends(0);
    let tool = tool.with("PAN123_TOKEN_CACHE", &variable);
    tool.run("login").ends(0);
    is_private(&option);
    is_private(&variable);
    assert_eq!(service.tokens_issued(), 2);
}

/// The cache folder is a file, because root can write into any real folder.
#[test]
fn login_reports_a_token_that_cannot_be_kept() {
    let service = service();
    let tool = Tool::at(&service).with_credentials();
    tool.write(CACHE, 0o600, "a file in the place of the folder");
    tool.run("login")
        .ends(2)
        .prints("")
        .has_message("the token cannot be kept: the folder ")
        .has_message(&format!("{}: ", tool.path(CACHE).join(NAME).display()));
    assert_eq!(service.tokens_issued(), 0);

    let taken = tool.path("taken");
    fs::create_dir(&taken).unwrap();
    let run = tool.run(&format!("login --token-cache {}", taken.display()));
    run.ends(2)
        .prints("")
        .has_message("the token was issued, but cannot be kept: ");
}

#[test]
fn without_a_cache_folder_other_commands_warn_and_go_on() {
    let service = service();
    service.credentials(CLIENT_ID, SECRET);
    let tool = Tool::at(&service).with_credentials();
    tool.write(CACHE, 0o600, "a file in the place of the folder");
    tool.run("process 403316")
        .ends(0)
        .prints("403316\tin progress\t37 %\n")
        .has_message("the token cannot be kept: the folder ")
        .has_message("each run requests a new one, and the service keeps three");
    assert_eq!(service.tokens_issued(), 1);
}

#[test]
fn a_named_cache_that_cannot_be_written_is_reported() {
    for command in [
        "process 403316",
        "wait 403316 --timeout 0s",
        "create https://e.org/1.png",
        "migrate - --journal urls.journal",
    ] {
        let service = service();
        service.credentials(CLIENT_ID, SECRET);
        let tool = Tool::at(&service).with_credentials();
        tool.write("file", 0o600, "no folder");
        let arguments = format!("{command} --token-cache file/token");
        let run = tool.feed(&arguments, "https://e.org/1.png\n");
        run.has_message("the token cannot be kept: ")
            .has_message("each run requests a new one, and the service keeps three");
        assert_ne!(run.code(), 2, "{run:#?}");
    }
}

/// The variables are needed for the login only.
#[test]
fn commands_after_a_login_need_no_variables() {
    let service = service();
    service.credentials(CLIENT_ID, SECRET);
    let tool = Tool::at(&service).with_credentials();
    tool.run("login").ends(0);
    let tool = tool
        .without("PAN123_CLIENT_ID")
        .without("PAN123_CLIENT_SECRET")
        .without("PAN123_BASE_URL");
    tool.run("process 403316").ends(0).is_quiet();
    assert_eq!(service.tokens_issued(), 1);
    tool.run("login")
        .ends(2)
        .has_message("a login needs a client id and secret");

    // The token is for one service only, and goes to no other.
    let run = tool.run("process 403316 --base-url http://127.0.0.1:1");
    run.ends(2).has_message(&format!(
        " is for {}, not for http://127.0.0.1:1",
        service.base_url()
    ));
    let same = format!("process 403316 --base-url {}/", service.base_url());
    tool.run(&same).ends(0).is_quiet();

    service.revoke_tokens();
    tool.run("process 403316")
        .ends(3)
        .has_message("pan123-offline login");
    tool.write(&format!("{CACHE}/{NAME}/token"), 0o600, "{}");
    tool.run("process 403316")
        .ends(2)
        .has_message("holds no token: run `pan123-offline login`");
}

#[test]
fn login_requires_credentials() {
    let service = service();
    Tool::of(&service)
        .run("login")
        .ends(2)
        .prints("")
        .has_message("there is an access token already");
    assert_eq!(service.request_count(), 0);
}

#[test]
fn login_with_a_wrong_secret_names_the_secret() {
    let service = service();
    service.credentials(CLIENT_ID, "another");
    let tool = Tool::at(&service).with_credentials();
    let run = tool.run("login");
    run.ends(3).prints("").has_message(
        "the service refused the login: check client id and secret; received: client id or secret is wrong",
    );
    assert!(!run.stderr.contains("task id"), "{run:#?}");
    assert!(
        !tool
            .path(CACHE)
            .join("pan123-offline")
            .join("token")
            .exists()
    );
}

/// A refused token is replaced once, and the new one is kept.
#[test]
fn a_refused_token_is_replaced() {
    let service = service();
    let tool = Tool::at(&service).with_credentials();
    tool.run("login").ends(0);
    service.revoke_tokens();
    tool.run("process 403316").ends(0).is_quiet();
    tool.run("process 403316").ends(0).is_quiet();
    assert_eq!(service.tokens_issued(), 2);
}

#[test]
fn demo_needs_no_account() {
    let run = Tool::new().run("demo");
    run.ends(0)
        .has_message("a demonstration: one task fails")
        .has_message("6 succeeded, 1 failed, 1 with an error");
    run.has_message("`wait` would end with exit code 5")
        .has_message("403323: the service returned code 1");
    assert_eq!(run.stdout.matches("\tsucceeded\t100 %\n").count(), 6);
    assert_eq!(run.stdout.matches("\tfailed\t").count(), 1);
    assert_eq!(run.stdout.matches("\tretrying\t").count(), 1);
}

#[test]
fn demo_prints_json_lines() {
    let run = Tool::new().run("demo --json");
    let lines = run.ends(0).json();
    let ends = lines.iter().filter(|line| line["end"] == true);
    let mut ids: Vec<_> = ends.map(|line| line["task_id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (403_316..403_324).collect::<Vec<_>>());
}

#[test]
fn man_prints_a_page_for_each_command() {
    let tool = Tool::new();
    let whole = tool.run("man");
    whole.ends(0).is_quiet();
    assert!(whole.stdout.contains(".TH pan123-offline 1"), "{whole:?}");
    let sections = "NAME SYNOPSIS DESCRIPTION OPTIONS SETTINGS ENVIRONMENT FILES EXAMPLES";
    for command in COMMANDS {
        let name = format!(r"pan123\-offline\-{command}");
        assert!(
            whole.stdout.contains(&format!("{name}(1)")),
            "{command}: {whole:#?}"
        );
        let page = tool.run(&format!("man {command}"));
        page.ends(0).is_quiet();
        assert!(page.stdout.starts_with(".ie"), "{page:?}");
        assert!(page.stdout.contains(&name), "{page:#?}");
        for section in sections
            .split(' ')
            .chain(["\"EXIT STATUS\"", "\"SEE ALSO\""])
        {
            assert!(
                page.stdout.contains(&format!("\n.SH {section}\n")),
                "{section}: {page:#?}"
            );
        }
        assert!(!page.stdout.contains("EXTRA"), "{page:#?}");
        // No option is without a text.
        for term in page.stdout.split("\n.TP\n").skip(1) {
            let text = term.lines().nth(1);
            assert!(text.is_some_and(|text| !text.starts_with(".SH")), "{term}");
        }
    }
    let wait = tool.run("man wait").stdout;
    assert!(
        wait.contains(".SH SYNOPSIS\npan123\\-offline wait [OPTIONS] <ID>...\n"),
        "{wait}"
    );
    assert!(wait.contains(r"\-\-timeout"), "{wait}");
    tool.run("man nobody")
        .ends(2)
        .prints("")
        .has_message("there is no command `nobody`");
}

#[test]
fn help_and_version_are_printed() {
    let tool = Tool::new();
    let version = concat!("pan123-offline ", env!("CARGO_PKG_VERSION"), "\n");
    tool.run("--version").ends(0).is_quiet().prints(version);
    let help = tool.run("--help");
    help.ends(0).is_quiet();
    let parts = [
        "Exit codes:",
        "130",
        "141",
        "PAN123_ACCESS_TOKEN",
        "--token-file",
        "Examples:",
    ];
    for part in COMMANDS.into_iter().chain(parts) {
        assert!(help.stdout.contains(part), "{part}: {help:#?}");
    }
    assert!(!help.stdout.contains("--token "), "{help:#?}");
    for command in COMMANDS {
        let long = tool.run(&format!("{command} --help"));
        long.ends(0).is_quiet();
        let usage = format!("Usage: pan123-offline {command}");
        assert!(long.stdout.contains(&usage), "{long:#?}");
        assert!(long.stdout.contains("Examples:\n  # "), "{long:#?}");
    }
    // Without a command it shows the help, and it is no success.
    tool.run("")
        .ends(2)
        .prints("")
        .has_message("Usage: pan123-offline");
}

/// The short help has at most 24 lines.
#[test]
fn short_help_fits_a_terminal() {
    let tool = Tool::new();
    for command in COMMANDS.into_iter().chain([""]) {
        let short = tool.run(&format!("{command} -h"));
        let lines = short.ends(0).is_quiet().stdout.lines().count();
        assert!(lines <= 24, "{short:#?}");
        assert!(!short.stdout.contains("Examples:"), "{short:#?}");
    }
}

#[test]
fn create_rejects_a_timeout_without_wait() {
    let tool = Tool::new();
    tool.run("create http://a.example/1.png --timeout 1s")
        .ends(2)
        .prints("")
        .has_message("--wait");
}

#[test]
fn requests_keep_the_interval() {
    let service = service();
    let run = Tool::of(&service).run("process 403316 1 2 --rate 10");
    run.ends(5);
    let requests = service.requests();
    for pair in requests.windows(2) {
        // Half of the interval: only the server's clock is known here.
        assert!(
            pair[1].at - pair[0].at >= Duration::from_millis(50),
            "{requests:#?}"
        );
    }
    assert_eq!(requests.len(), 3);
}

/// The request for a new task is never sent twice.
#[test]
fn create_reports_that_a_task_may_exist() {
    let service = Service::start().unwrap();
    service.reply_next(Reply::new(502));
    let run = Tool::of(&service).run("create http://a.example/1.png");
    run.ends(5)
        .prints("")
        .has_message("the task may exist, check before you create it again");
    assert_eq!(service.request_count(), 1);
}
