//! The token appears only in the request.

mod support;

use std::sync::Mutex;

use pan123_offline::testing::Reply;
use pan123_offline::{AccessToken, Client};
use support::{Fault, RUNNING, TASK, TOKEN, all_texts, builder, client, service};

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
fn debug_output_shows_no_token() {
    let service = service();
    let client = client(&service);
    client.get_process(TASK).unwrap();
    for text in [
        format!("{client:#?}"),
        format!("{:#?}", builder(service.base_url())),
        format!("{:#?}", AccessToken::from(TOKEN)),
        format!("{:?}", Client::new(format!("{TOKEN}\n")).unwrap_err()),
        format!("{:?}", builder(format!("https://user:{TOKEN}@example.com"))),
    ] {
        assert!(!text.contains(TOKEN), "{text}");
    }
    assert_eq!(AccessToken::from(TOKEN).secret(), TOKEN);
}

/// A single test for all log messages, because a process has only one logger.
#[test]
fn errors_and_logs_show_no_token() {
    log::set_logger(&LOG).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    let service = service();
    let client = client(&service);
    client.get_process(TASK).unwrap();

    let echo = format!("your header was: Bearer {TOKEN}");
    let json = |fields: &str| format!("{{{fields}}}");
    for reply in [
        Reply::nothing(),
        Reply::progress(RUNNING).cut_at(90),
        Reply::code(401, &echo),
        Reply::json(json(&format!(
            r#""code":1,"message":"m","x-traceID":"{echo}""#
        ))),
        // The first letter is escaped.
        Reply::json(json(&format!(
            r#""code":1,"message":"\u00{:x}{}""#,
            TOKEN.as_bytes()[0],
            &TOKEN[1..]
        ))),
        Reply::json(json(&format!(
            r#""code":1,"x-traceID":"\u00{:x}{}""#,
            TOKEN.as_bytes()[0],
            &TOKEN[1..]
        ))),
        Reply::json(json(&format!(r#""code":"{TOKEN}""#))),
        // The cause quotes a value of a wrong type.
        Reply::json(json(&format!(r#""code":0,"data":"{TOKEN}""#))),
        Reply::json(json(&format!(
            r#""code":0,"data":{{"status":"{TOKEN}","process":1}}"#
        ))),
        Reply::new(502).body(echo.as_str()),
        // The excerpt ends in the middle of the token.
        Reply::new(502).body(format!("{}{TOKEN}", "x".repeat(256 - TOKEN.len() / 2))),
        Reply::new(200).body(echo.as_str()),
        Reply::new(302).header("Location", format!("http://127.0.0.1/?token={TOKEN}")),
        Reply::raw(format!("{TOKEN}\r\n\r\n")),
    ] {
        service.reply_next(reply.clone()).reply_next(reply.clone());
        // After a closed connection there is a replay; otherwise the next call gets the second
        // reply.
        let error = client.get_process(TASK).unwrap_err();
        let texts = all_texts(&error);
        assert!(
            !texts.contains(&TOKEN[..TOKEN.len() / 2]),
            "{reply:?}\n{texts}"
        );
        while client.get_process(TASK).is_err() {}
    }
    let log = LOG.0.lock().unwrap();
    assert!(
        log.contains("ureq"),
        "ureq must log, or this test checks nothing"
    );
    assert!(!log.contains(TOKEN), "{log}");
}
