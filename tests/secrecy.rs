//! Token and secret appear only in requests.

mod support;

use std::sync::Mutex;

use pan123_offline::testing::Reply;
use pan123_offline::{AccessToken, Client, Credentials};
use support::{TASK, TOKEN, all_texts, builder, client, service};

/// The log messages of all crates.
struct Captured(Mutex<String>);

static LOG: Captured = Captured(Mutex::new(String::new()));

impl log::Log for Captured {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        *self.0.lock().unwrap() += &format!("{} {}\n", record.target(), record.args());
    }

    fn flush(&self) {}
}

#[test]
fn debug_output_shows_no_secret() {
    let service = service();
    let client = client(&service);
    client.get_process(TASK).unwrap();
    let credentials = Credentials::new("id", TOKEN);
    let (watch, wait) = (client.watch([TASK]), client.wait(TASK));
    for text in [
        format!("{client:#?} {watch:#?} {wait:#?} {credentials:#?}"),
        format!("{:#?}", builder(service.base_url())),
        format!("{:#?}", Client::builder().credentials(credentials)),
        format!("{:#?}", AccessToken::from(TOKEN)),
        format!("{:?}", Client::new(format!("{TOKEN}\n")).unwrap_err()),
        format!("{:?}", builder(format!("https://user:{TOKEN}@example.com"))),
    ] {
        assert!(!text.contains(TOKEN), "{text}");
    }
    assert_eq!(AccessToken::from(TOKEN).secret(), TOKEN);
}

/// A single test for all log messages, because a process has only one logger. `src/redact.rs` has the ways to write a
/// token.
#[test]
fn errors_and_logs_show_no_secret() {
    log::set_logger(&LOG).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    let service = service();
    let echo = format!("your header was: Bearer {TOKEN}");
    let code_1 = format!(r#"{{"code":1,"message":"m","x-traceID":"{echo}"}}"#);
    let status = format!(r#"{{"code":0,"data":{{"status":"{TOKEN}","process":1}}}}"#);
    for reply in [
        Reply::code(401, &echo),
        Reply::json(code_1),
        Reply::json(format!(r#"{{"code":"{TOKEN}"}}"#)),
        // The cause quotes a value of a wrong type.
        Reply::json(status),
        Reply::new(502).body(echo.as_str()),
        // The excerpt ends in the middle of the token.
        Reply::new(502).body(format!("{}{TOKEN}", "x".repeat(256 - TOKEN.len() / 2))),
        Reply::new(302).header("Location", format!("http://127.0.0.1/?token={TOKEN}")),
        Reply::raw(format!("{TOKEN}\r\n\r\n")),
    ] {
        service.reply_with(move |_| Some(reply.clone()));
        let credentials = Credentials::new("id", TOKEN);
        let with_credentials = builder(service.base_url()).credentials(credentials);
        for client in [client(&service), with_credentials.build().unwrap()] {
            let texts = all_texts(&client.get_process(TASK).unwrap_err());
            assert!(!texts.contains(&TOKEN[..TOKEN.len() / 2]), "{texts}");
        }
    }
    let log = LOG.0.lock().unwrap();
    assert!(log.contains("ureq"), "this test needs messages of ureq");
    assert!(!log.contains(TOKEN), "{log}");
}
