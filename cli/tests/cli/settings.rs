//! The sources of the account: options, variables and the file, in this order, and their errors.

use pan123_offline::testing::Service;
use serde_json::json;

use crate::platform;
use crate::support::{TOKEN, service};
use crate::tool::{CLIENT_ID, Run, SECRET, Tool};

/// The default configuration file, in the home folder.
fn default_file() -> String {
    format!("{}/pan123-offline/config.json", platform::CONFIG)
}

/// The token of the last request.
fn token_seen(service: &Service) -> String {
    let requests = service.requests();
    requests
        .last()
        .unwrap()
        .header("Authorization")
        .unwrap()
        .trim_start_matches("Bearer ")
        .to_owned()
}

#[track_caller]
fn refused(run: &Run, text: &str) {
    run.ends(2).prints("").has_message(text);
}

#[test]
fn options_override_variables_and_these_the_file() {
    let service = service();
    let file = json!({"access_token": "of-the-file", "base_url": service.base_url()});
    let tool = Tool::new();
    let config = tool.write("elsewhere.json", 0o600, file.to_string());
    let option = tool.write("token", 0o600, "\tof-the-option\r\n");
    let option = format!("process 403316 --token-file {}", option.display());

    let tool = tool.with("PAN123_CONFIG", config);
    tool.run("process 403316").ends(0).is_quiet();
    assert_eq!(token_seen(&service), "of-the-file");

    let tool = tool.with("PAN123_ACCESS_TOKEN", "of-the-variable");
    tool.run("process 403316").ends(0).is_quiet();
    assert_eq!(token_seen(&service), "of-the-variable");

    tool.run(&option).ends(0).is_quiet();
    assert_eq!(token_seen(&service), "of-the-option");
}

#[test]
fn base_url_has_the_same_order_of_sources() {
    let [option, variable, file] = [service(), service(), service()];
    let tool = Tool::new().with("PAN123_ACCESS_TOKEN", TOKEN);
    let config = tool.write(
        "elsewhere.json",
        0o600,
        json!({"base_url": file.base_url()}).to_string(),
    );
    let arguments = format!("process 403316 --config {}", config.display());
    tool.run(&arguments).ends(0);
    let tool = tool.with("PAN123_BASE_URL", variable.base_url());
    tool.run(&arguments).ends(0);
    tool.run(&format!("{arguments} --base-url {}", option.base_url()))
        .ends(0);
    assert_eq!(
        [&option, &variable, &file].map(Service::request_count),
        [1, 1, 1]
    );
}

/// The option overrides the variable, and both override the default file.
#[test]
fn a_named_file_replaces_the_default_one() {
    let service = service();
    let tool = Tool::at(&service);
    let first = tool.write("first.json", 0o600, r#"{"access_token":"first"}"#);
    let second = tool.write("second.json", 0o600, r#"{"access_token":"second"}"#);
    let tool = tool.with("PAN123_CONFIG", first);
    tool.run("process 403316").ends(0);
    assert_eq!(token_seen(&service), "first");
    tool.run(&format!("process 403316 --config {}", second.display()))
        .ends(0);
    assert_eq!(token_seen(&service), "second");
    let run = tool.run("process 403316 --config none.json");
    refused(&run, "the configuration file none.json: ");
    run.has_message("(os error 2)");
}

#[test]
fn the_default_file_is_read() {
    let service = service();
    service.credentials(CLIENT_ID, SECRET);
    let tool = Tool::new();
    let file = json!({
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
        "token_cache": tool.path("kept"),
        "base_url": service.base_url(),
    });
    tool.write(&default_file(), 0o600, file.to_string());
    tool.run("process 403316").ends(0).is_quiet();
    tool.run("process 403316").ends(0).is_quiet();
    assert!(tool.path("kept").exists());
    assert_eq!(service.tokens_issued(), 1);
}

/// A service without a home often has `HOME=/dev/null`.
#[cfg(unix)]
#[test]
fn a_home_that_is_no_folder_has_no_file() {
    let service = service();
    let mut tool = Tool::of(&service);
    for name in platform::FOLDERS {
        tool = tool.with(name, "/dev/null");
    }
    tool.run("process 403316").ends(0).is_quiet();
}

/// Unix only: elsewhere files have no mode.
#[cfg(unix)]
#[test]
fn a_file_that_others_can_access_is_refused() {
    let service = service();
    let tool = Tool::at(&service);
    let mut requests = 0;
    let entry =
        json!({"base_url": service.base_url(), "client_id": CLIENT_ID, "access_token": TOKEN});
    for (what, name, text, arguments) in [
        (
            "configuration file",
            default_file().as_str(),
            json!({"access_token": TOKEN}).to_string(),
            "",
        ),
        (
            "token file",
            "token",
            TOKEN.to_owned(),
            "--token-file token",
        ),
        (
            "token cache",
            "kept",
            entry.to_string(),
            "--token-cache kept",
        ),
    ] {
        let command = format!("process 403316 {arguments}");
        for mode in [0o644, 0o640, 0o604, 0o660, 0o601] {
            tool.write(name, mode, &text);
            let run = tool.run(&command);
            refused(&run, &format!("others have access to the {what} "));
            run.has_message("a token may be in it: chmod 600 ");
        }
        assert_eq!(service.request_count(), requests);
        tool.write(name, 0o400, &text);
        tool.run(&command).ends(0).is_quiet();
        std::fs::remove_file(tool.path(name)).unwrap();
        requests = service.request_count();
    }

    let tool = tool.with_credentials();
    tool.write("kept", 0o644, entry.to_string());
    refused(
        &tool.run("login --token-cache kept"),
        "others have access to the token cache kept",
    );
}

/// An error names a place in the file and does not quote it: `shows_no_secret` holds for each run.
#[test]
fn rejects_an_invalid_file() {
    let service = service();
    let tool = Tool::at(&service);
    for (text, what) in [
        (format!("{TOKEN}\n"), "line 1, column 1: not JSON"),
        (
            format!("{{\n  \"access_token\": \"{TOKEN}\n}}"),
            "line 3, column 0: not JSON",
        ),
        (format!("{{\"access_token\": {TOKEN}}}"), "not JSON"),
        (
            format!("{{\"{TOKEN}\": 1}}"),
            "config.json, line 1, column 39: not an object of strings with the fields access_token, ",
        ),
        (
            format!("{{\"access_token\": [\"{TOKEN}\"]}}"),
            ": not an object of strings",
        ),
        (format!("\"{TOKEN}\""), ": not an object of strings"),
        (String::new(), "not JSON"),
        (
            format!("{{\"access_token\": \"{TOKEN}\"}}{}", " ".repeat(65 * 1024)),
            "is longer than 64 KiB",
        ),
        (
            json!({"access_token": format!("{TOKEN}\n")}).to_string(),
            "the access token: ",
        ),
        (
            json!({"access_token": ""}).to_string(),
            "the access token: ",
        ),
    ] {
        let path = tool.write("config.json", 0o600, text);
        let run = tool.run("process 403316 --config config.json");
        refused(&run, what);
        assert!(path.exists());
    }
    assert_eq!(service.request_count(), 0);
}

#[test]
fn rejects_incomplete_credentials() {
    let service = service();
    let id = || Tool::at(&service).with("PAN123_CLIENT_ID", CLIENT_ID);
    refused(
        &id().run("process 403316"),
        "there is a client id, but no client secret beside it",
    );
    refused(
        &id().run("login"),
        "there is a client id, but no client secret beside it",
    );
    refused(
        &id().with("PAN123_CLIENT_SECRET", "").run("login"),
        "there is a client id, but no client secret beside it",
    );
    let secret = Tool::at(&service).with("PAN123_CLIENT_SECRET", SECRET);
    refused(
        &secret.run("process 403316"),
        "there is a client secret, but no client id beside it",
    );

    // Id and secret are never taken from two sources.
    let tool = id();
    tool.write(
        "config.json",
        0o600,
        json!({"client_secret": SECRET}).to_string(),
    );
    refused(
        &tool.run("login --config config.json"),
        "there is a client id, but no client secret beside it",
    );
    assert_eq!(service.request_count(), 0);
}

#[test]
fn an_empty_variable_is_ignored() {
    let service = service();
    let empty = |tool: Tool| {
        [
            "PAN123_ACCESS_TOKEN",
            "PAN123_CLIENT_ID",
            "PAN123_CLIENT_SECRET",
            "PAN123_TOKEN_CACHE",
            "PAN123_CONFIG",
        ]
        .into_iter()
        .fold(tool, |tool, name| tool.with(name, ""))
    };
    let tool = empty(Tool::at(&service));
    refused(
        &tool.run("process 403316"),
        "there is no access token: set PAN123_CLIENT_ID",
    );
    let token = tool.write("token", 0o600, TOKEN);
    tool.run(&format!("process 403316 --token-file {}", token.display()))
        .ends(0)
        .is_quiet();
}

#[test]
fn rejects_a_run_without_an_account() {
    let run = Tool::new().run("process 403316");
    refused(
        &run,
        "there is no access token: set PAN123_CLIENT_ID and PAN123_CLIENT_SECRET and run `pan123-offline login`",
    );
    run.has_message("--token-file");
}

#[test]
fn token_files_are_read_and_validated() {
    let service = service();
    let tool = Tool::at(&service);
    for (text, what) in [
        (&b""[..], "the access token: "),
        (b" \n", "the access token: "),
        (b"\xff\xfe", "the token file token is not UTF-8"),
        (&[b'x'; 65 * 1024], "token is longer than 64 KiB"),
        (
            format!("{TOKEN}\n{TOKEN}\n").as_bytes(),
            "the access token: ",
        ),
    ] {
        tool.write("token", 0o600, text);
        refused(&tool.run("process 403316 --token-file token"), what);
    }
    let run = tool.run("process 403316 --token-file none");
    refused(&run, "the token file none: ");
    run.has_message("(os error 2)");
    refused(
        &tool.run("process 403316 --token-file ."),
        platform::IS_A_FOLDER,
    );
    assert_eq!(service.request_count(), 0);
}

/// Unix only: Windows has no file that stands for standard input.
#[cfg(unix)]
#[test]
fn reads_a_token_from_a_pipe() {
    let service = service();
    Tool::at(&service)
        .feed("process 403316 --token-file /dev/stdin", TOKEN)
        .ends(0)
        .is_quiet();
    assert_eq!(token_seen(&service), TOKEN);
}

#[test]
fn rejects_an_invalid_base_url() {
    let tool = Tool::new().with("PAN123_ACCESS_TOKEN", TOKEN);
    for address in [
        "http://open-api.example",
        "ftp://127.0.0.1",
        "127.0.0.1:80",
        "http://",
        "\u{1b}[2J",
    ] {
        let run = tool.run_args(&["process", "403316", "--base-url", address]);
        refused(&run, "--base-url: ");
        assert!(!run.stderr.contains('\u{1b}'), "{run:#?}");
    }
}

#[test]
fn a_variable_that_is_not_utf_8_is_named() {
    let service = Service::start().unwrap();
    let run = Tool::of(&service)
        .with("PAN123_CLIENT_ID", platform::not_utf8("secret"))
        .run("process 7");
    run.ends(2).has_message("PAN123_CLIENT_ID is not UTF-8");
    assert!(!run.stderr.contains("secret"));
}
