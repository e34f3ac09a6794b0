//! The sources of the account: options, variables and the file, in this order, and their errors.

use pan123_offline::testing::Service;
use serde_json::json;

use crate::platform;
use crate::tool::{CLIENT_ID, SECRET, TOKEN, Tool, service};

/// The default configuration file, in the home folder.
fn default_file() -> String {
    format!("{}/pan123-offline/config.json", platform::CONFIG)
}

/// Runs a command that succeeds, and returns the token of its request.
#[track_caller]
fn token_of(tool: &Tool, service: &Service, options: &str) -> String {
    let run = tool.run(&format!("process 403316 {options}"));
    run.ends(0).is_quiet();
    let request = service.requests().pop().unwrap();
    let value = request.header("Authorization").unwrap();
    value.trim_start_matches("Bearer ").to_owned()
}

/// Token and base URL of each source are those of another service.
#[test]
fn options_override_variables_and_these_the_file() {
    let [first, second, variable, option] = [(); 4].map(|()| service());
    let tool = Tool::new();
    for (token, service) in [("first", &first), ("second", &second)] {
        let file = json!({"access_token": token, "base_url": service.base_url()});
        tool.write(&format!("{token}.json"), file.to_string());
    }
    tool.write("token", "\tof-the-option\r\n");

    let tool = tool.with("PAN123_CONFIG", "first.json");
    assert_eq!(token_of(&tool, &first, ""), "first");
    let config = "--config second.json";
    assert_eq!(token_of(&tool, &second, config), "second");
    let tool = tool.with("PAN123_ACCESS_TOKEN", "of-the-variable");
    let tool = tool.with("PAN123_BASE_URL", variable.base_url());
    assert_eq!(token_of(&tool, &variable, config), "of-the-variable");
    let base_url = option.base_url();
    let options = format!("{config} --token-file token --base-url {base_url}");
    assert_eq!(token_of(&tool, &option, &options), "of-the-option");
    let run = tool.run("process 403316 --config none.json");
    run.is_rejected("the configuration file none.json: ");
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
    tool.write(&default_file(), file.to_string());
    token_of(&tool, &service, "");
    token_of(&tool, &service, "");
    assert!(tool.path("kept").exists());
    assert_eq!(service.tokens_issued(), 1);
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_named() {
    use std::os::unix::ffi::OsStrExt;

    let secret = std::ffi::OsStr::from_bytes(b"secret\xff");
    let tool = Tool::new().with("PAN123_CLIENT_ID", secret);
    let run = tool.run("process 7");
    run.is_rejected("PAN123_CLIENT_ID is not UTF-8");
    assert!(!run.stderr.contains("secret"));
}

/// A service without a home often has `HOME=/dev/null`. Windows has no file that stands for standard input.
#[cfg(unix)]
#[test]
fn special_files_of_unix_are_read() {
    let service = service();
    let tool = Tool::of(&service);
    let names = platform::FOLDERS.into_iter();
    let tool = names.fold(tool, |tool, name| tool.with(name, "/dev/null"));
    tool.run("process 403316").ends(0).is_quiet();
    let command = "process 403316 --token-file /dev/stdin";
    let run = tool.without("PAN123_ACCESS_TOKEN").feed(command, TOKEN);
    run.ends(0).is_quiet();
}

/// Unix only: elsewhere files have no mode.
#[cfg(unix)]
#[test]
fn a_file_that_others_can_access_is_refused() {
    let service = service();
    let tool = Tool::at(&service);
    let (base_url, config) = (service.base_url(), default_file());
    let file = json!({"access_token": TOKEN}).to_string();
    let entry = json!({"base_url": base_url, "client_id": CLIENT_ID, "access_token": TOKEN});
    let entry = entry.to_string();
    for (what, name, text, option) in [
        ("configuration file", &*config, &*file, ""),
        ("token file", "token", TOKEN, "--token-file token"),
        ("token cache", "kept", &entry, "--token-cache kept"),
    ] {
        let command = format!("process 403316 {option}");
        let path = tool.write(name, text);
        let requests = service.request_count();
        for mode in [0o644, 0o640, 0o604, 0o660, 0o601] {
            platform::set_mode(&path, mode);
            let run = tool.run(&command);
            run.is_rejected(&format!("others have access to the {what} "));
            run.has_message("a token may be in it: chmod 600 ");
        }
        assert_eq!(service.request_count(), requests);
        platform::set_mode(&path, 0o400);
        tool.run(&command).ends(0).is_quiet();
        std::fs::remove_file(path).unwrap();
    }
    let kept = tool.write("kept", entry);
    platform::set_mode(&kept, 0o644);
    let run = tool.with_credentials().run("login --token-cache kept");
    run.is_rejected("others have access to the token cache kept");
}

/// An error names a place in the file and does not quote it: no run may print the token, for which `$` stands.
#[test]
fn rejects_an_invalid_file() {
    let service = service();
    let tool = Tool::at(&service);
    let object = ": not an object of strings";
    let long = " ".repeat(65 * 1024);
    let two = format!("{TOKEN}\n{TOKEN}\n");
    let broken_line = "{\n  \"access_token\": \"$\n}";
    for (text, what) in [
        ("$\n", "line 1, column 1: not JSON"),
        (broken_line, "line 3, column 0: not JSON"),
        (r#"{"access_token": $}"#, "not JSON"),
        (r#"{"$": 1}"#, "config.json, line 1, column 39: not an"),
        (r#"{"access_token": ["$"]}"#, object),
        (r#""$""#, object),
        ("", "not JSON"),
        (&long, "is longer than 64 KiB"),
        (r#"{"access_token": "$\n"}"#, "the access token: "),
        (r#"{"access_token": ""}"#, "the access token: "),
    ] {
        tool.write("config.json", text.replace('$', TOKEN));
        let run = tool.run("process 403316 --config config.json");
        run.is_rejected(what);
    }
    for (text, what) in [
        ("".as_bytes(), "the access token: "),
        (b" \n", "the access token: "),
        (b"\xff\xfe", "the token file token is not UTF-8"),
        (long.as_bytes(), "token is longer than 64 KiB"),
        (two.as_bytes(), "the access token: "),
    ] {
        tool.write("token", text);
        let run = tool.run("process 403316 --token-file token");
        run.is_rejected(what);
    }
    let run = tool.run("process 403316 --token-file none");
    run.is_rejected("the token file none: ");
    run.has_message("(os error 2)");
    assert_eq!(service.request_count(), 0);
}

#[test]
fn rejects_incomplete_credentials() {
    let service = service();
    let tool = Tool::at(&service).with("PAN123_CLIENT_ID", CLIENT_ID);
    let what = "there is a client id, but no client secret beside it";
    tool.run("process 403316").is_rejected(what);
    tool.run("login").is_rejected(what);
    // Id and secret are never taken from two sources.
    let file = json!({"client_secret": SECRET}).to_string();
    tool.write("config.json", file);
    tool.run("login --config config.json").is_rejected(what);
    let tool = tool.with("PAN123_CLIENT_SECRET", "");
    tool.run("login").is_rejected(what);
    let tool = tool.without("PAN123_CLIENT_ID");
    let tool = tool.with("PAN123_CLIENT_SECRET", SECRET);
    let what = "there is a client secret, but no client id beside it";
    tool.run("process 403316").is_rejected(what);
    assert_eq!(service.request_count(), 0);
}

#[test]
fn rejects_a_run_without_an_account_and_ignores_empty_variables() {
    let service = service();
    let empty = |tool: Tool| {
        let tool = tool.with("PAN123_ACCESS_TOKEN", "");
        let tool = tool.with("PAN123_CLIENT_ID", "");
        let tool = tool.with("PAN123_CLIENT_SECRET", "");
        let tool = tool.with("PAN123_TOKEN_CACHE", "");
        tool.with("PAN123_CONFIG", "")
    };
    for tool in [Tool::new(), empty(Tool::at(&service))] {
        let run = tool.run("process 403316");
        run.is_rejected("there is no access token: set PAN123_CLIENT_ID and PAN123_CLI");
        run.has_message("run `pan123-offline login`");
        run.has_message("--token-file");
    }
    let tool = empty(Tool::at(&service));
    tool.write("token", TOKEN);
    assert_eq!(token_of(&tool, &service, "--token-file token"), TOKEN);
}

#[test]
fn rejects_an_invalid_base_url() {
    let tool = Tool::new().with("PAN123_ACCESS_TOKEN", TOKEN);
    let addresses = "http://open-api.example ftp://127.0.0.1 127.0.0.1:80 http:// \u{1b}[2J";
    for address in addresses.split(' ') {
        let run = tool.run(&format!("process 403316 --base-url {address}"));
        run.is_rejected("--base-url: ");
        assert!(!run.stderr.contains('\u{1b}'), "{run:#?}");
    }
}
