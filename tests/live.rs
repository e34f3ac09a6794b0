//! Requests to the real service: prints values that its document does not specify.
//!
//! `PAN123_ACCESS_TOKEN=… PAN123_TASK_ID=403316 cargo test --test live -- --ignored --nocapture`
//!
//! It only reads, makes four requests, and is never run by the project's own checks.
#![cfg(any(feature = "rustls", feature = "native-tls"))]

use pan123_offline::{Client, Error, Progress, Result};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("set {name}"))
}

/// The HTTP status beside the code, and what came with them.
fn report(what: &str, result: &Result<Progress>) {
    let (http, code, rest) = match result {
        Ok(progress) => ("200".to_owned(), "0".to_owned(), progress.to_string()),
        Err(Error::Api(e)) => (
            e.http_status
                .map_or("none".to_owned(), |status| status.to_string()),
            e.code.to_string(),
            format!(
                "{:?}, trace id {}, Retry-After {:?}",
                e.message,
                e.trace_id.is_some(),
                e.retry_after
            ),
        ),
        Err(Error::Http(e)) => (
            e.status.to_string(),
            "none".to_owned(),
            format!("{:?}", e.body),
        ),
        Err(error) => ("none".to_owned(), "none".to_owned(), format!("{error:?}")),
    };
    println!("| {what} | {http} | {code} | {rest} |");
}

#[test]
#[ignore = "polls the real service; needs PAN123_ACCESS_TOKEN and PAN123_TASK_ID"]
fn prints_responses_that_the_document_does_not_specify() {
    let token = variable("PAN123_ACCESS_TOKEN");
    let builder = Client::builder().access_token(token).retries(0);
    let client = builder.build().unwrap();
    let task_id = variable("PAN123_TASK_ID")
        .parse()
        .expect("PAN123_TASK_ID is a number");

    println!("| request | HTTP | code | response |");
    println!("|---|---|---|---|");
    report("a task of one's own", &client.get_process(task_id));
    report("a task id that is not there", &client.get_process(u64::MAX));
    report("task id 0", &client.get_process(0));
    let builder = Client::builder().access_token("not-a-token");
    let stranger = builder.retries(0).build().unwrap();
    report("a token that is none", &stranger.get_process(task_id));
}
