//! `login`: a token is requested and kept.

use pan123_offline::testing::{Reply, Service};

use crate::migrate::list;
use crate::platform::{self, is_private};
use crate::tool::{CLIENT_ID, SECRET, TASK, Tool, service};

fn tool(service: &Service) -> Tool {
    service.credentials(CLIENT_ID, SECRET);
    Tool::at(service).with_credentials()
}

#[test]
fn keeps_a_token_for_the_other_commands_and_names_the_service() {
    let service = service();
    let tool = tool(&service);
    let run = tool.run("login");
    let text = format!("{} has issued a token, ", service.base_url());
    assert!(run.ends(0).is_quiet().stdout.starts_with(&text), "{run:#?}");
    let cache = tool.path(platform::CACHE).join("pan123-offline/token");
    is_private(&cache);
    let tool = tool.without_credentials();
    tool.run(&format!("process {TASK}")).ends(0);
    assert_eq!(service.tokens_issued(), 1);
    tool.run("login").is_rejected("PAN123_CLIENT_ID");
    // The kept token is for this service.
    let tool = tool.with("PAN123_BASE_URL", "http://127.0.0.1:1");
    let run = tool.run(&format!("process {TASK}"));
    run.is_rejected(&service.base_url());
}

/// Row 1.
#[test]
fn replaces_a_kept_token_that_the_service_refuses() {
    let service = service();
    let tool = tool(&service);
    tool.run("login").ends(0);
    service.revoke_tokens();
    tool.run("login").ends(0);
    assert_eq!(service.tokens_issued(), 2);
    let tool = tool.without_credentials();
    tool.run(&format!("process {TASK}")).ends(0);
}

#[test]
fn a_wrong_secret_is_exit_code_3() {
    let service = service();
    service.credentials(CLIENT_ID, "another secret");
    let tool = Tool::at(&service).with_credentials();
    for command in ["login", "process 403316", "wait 403316"] {
        let run = tool.run(command);
        run.ends(3).prints("").has_message("client id");
    }
}

/// Row 19.
#[test]
fn a_login_that_is_refused_in_the_middle_is_exit_code_3_whatever_its_code() {
    for code in [1, 7, 401] {
        let service = service();
        let tool = tool(&service);
        tool.run("login").ends(0);
        service.reply_with(move |request| {
            let is_login = request.path.ends_with("/access_token");
            let code = if is_login { code } else { 401 };
            Some(Reply::code(code, "clientSecret is wrong"))
        });
        tool.write("urls.txt", list(3));
        for command in ["wait 403316", "migrate urls.txt"] {
            tool.run(command).ends(3).has_message("client id");
        }
        // No image is at fault.
        tool.run("status urls.txt --exit-code").ends(4);
    }
}
