//! Decoding of responses, over a real connection. `src/error/tests.rs` has the class of each status
//! and code, and `src/docs/faults.md` the faults on the wire.

mod support;

use std::error::Error as _;

use pan123_offline::testing::Reply;
use pan123_offline::{Envelope, Error, ErrorCode, Progress, Result, Status};
use support::{RUNNING, TASK, all_texts, client, service};

/// The sample of the service's documentation.
const SAMPLE: &str = r#"{"code":0,"message":"ok","data":{"process":100,"status":2},"x-traceID":"1895c15e-dc5b-4f75-a01b-b7113bd176ca_kong-db-5898fdd8c6-t5pvc"}"#;
/// `FIELD` in the tables.
const FIELD: &str = "a field is missing, duplicate or of another type";

/// `data` beside code 0, and the result.
const DATA: &str = r#"
{"process":12,"status":0}                   => InProgress 12
{"process":0,"status":1}                    => Failed 0
{"process":100,"status":2}                  => Succeeded 100
{"status":3,"process":50}                   => Retrying 50
{"process":50,"status":7}                   => Unknown(7) 50
{"process":50,"status":-1}                  => Unknown(-1) 50
{"process":50,"status":" -7 "}              => Unknown(-7) 50
{"process":50,"status":4.03316e5}           => Unknown(403316) 50
{"process":50,"status":9223372036854775807} => Unknown(9223372036854775807) 50
{"process":"100","status":"2"}              => Succeeded 100
{"process":100.0,"status":2.0}              => Succeeded 100
{"process":0.9,"status":0}                  => InProgress 0
{"process":99.9,"status":0}                 => InProgress 99
{"process":250,"status":0}                  => InProgress 100
{"process":256,"status":0}                  => InProgress 100
{"process":-1,"status":0}                   => InProgress 0
{"process":1e300,"status":0}                => InProgress 100
{"process":-1e300,"status":0}               => InProgress 0
{"process":1,"status":0,"reason":[{}]}      => InProgress 1
null                                        => its `code` is 0 and its `data` is missing
"ok"                                        => FIELD
[2,100]                                     => FIELD
{}                                          => FIELD
{"process":100}                             => FIELD
{"status":2}                                => FIELD
{"process":100,"status":null}               => FIELD
{"process":100,"status":2.5}                => FIELD
{"process":100,"status":1e300}              => FIELD
{"process":100,"status":"00"}               => FIELD
{"process":100,"status":[2]}                => FIELD
{"process":100,"status":9223372036854775808} => FIELD
{"process":100,"status":0,"status":2}       => FIELD
{"process":null,"status":2}                 => FIELD
{"process":NaN,"status":2}                  => it is not JSON
"#;

/// HTTP status and body, and the result.
const RESPONSES: &str = r#"
200 {"code":0,"data":{"process":1,"status":0}}                              => InProgress 1
200 {"data":{"process":1,"status":0},"code":0}                              => InProgress 1
201 {"code":"0","data":{"process":1,"status":0}}                            => InProgress 1
200 {"code":0,"message":null,"data":{"process":1,"status":0},"x-traceID":null} => InProgress 1
200 {"code":0,"message":"\u597d\n\"","data":{"process":1,"status":0}}       => InProgress 1
200                                                                         => it is empty
200 {"code":0,"message":"ok","data":{"process":100,"status":2}              => it is incomplete
200 {"code":"403","message":"123pan-global                                  => it is incomplete
200 {"code":0,"data":{"process":1,"status":0}}x                             => it is not JSON
200 <html>                                                                  => it is not JSON
200 {"code":0}                                         => its `code` is 0 and its `data` is missing
200 {"code":"0","message":"ok"}                        => its `code` is 0 and its `data` is missing
200 {}                                                 => FIELD
200 null                                               => FIELD
200 [0,"ok",{"status":2,"process":100},null]           => FIELD
200 [401,"no",null,null]                               => FIELD
200 {"process":100,"status":2}                         => FIELD
200 {"message":"ok","data":{"process":1,"status":0}}   => FIELD
200 {"Code":0,"data":{"process":1,"status":0}}         => FIELD
200 {"code":null,"data":{"process":1,"status":0}}      => FIELD
200 {"code":false,"data":{"process":1,"status":0}}     => FIELD
200 {"code":0.0,"data":{"process":1,"status":0}}       => FIELD
200 {"code":-0,"data":{"process":1,"status":0}}        => FIELD
200 {"code":1.5,"data":{"process":1,"status":0}}       => FIELD
200 {"code":[0],"data":{"process":1,"status":0}}       => FIELD
200 {"code":"","data":{"process":1,"status":0}}        => FIELD
200 {"code":" 0","data":{"process":1,"status":0}}      => FIELD
200 {"code":"0.0","data":{"process":1,"status":0}}     => FIELD
200 {"code":9223372036854775808,"data":null}           => FIELD
200 {"code":0,"code":0,"data":{"process":1,"status":0}}   => FIELD
200 {"code":401,"code":0,"data":{"process":1,"status":0}} => FIELD
200 {"code":0,"data":{"process":1,"status":0},"data":{"process":1,"status":0}} => FIELD
200 {"code":401,"message":"no","data":null,"x-traceID":"t"}                 => code 401 "no" (t)
200 {"code":"401","message":"no"}                                           => code 401 "no"
200 {"code":"403 "}                                                         => code 403 ""
200 {"code":403.0}                                                          => code 403 ""
202 {"code":987654}                                                         => code 987654 "" in 202
200 {"code":-9223372036854775808}                                => code -9223372036854775808 ""
200 {"code":401,"message":5,"x-traceID":"t"}                                => code 401 "" (t)
200 {"code":401,"message":["no"]}                                           => code 401 ""
200 {"code":401,"message":null}                                             => code 401 ""
200 {"code":429,"message":"half a surrogate pair \ud83d"}                   => code 429 ""
200 {"code":429,"message":1e999}                                            => code 429 ""
200 {"code":403,"message":"a","message":"b","data":1,"data":2}                 => code 403 ""
200 {"code":429,"message":"no","x-traceID":17}                              => code 429 "no"
200 {"code":429,"message":"no","x-traceID":{}}                              => code 429 "no"
200 {"code":429,"message":"no","x-traceID":"\ude00"}                        => code 429 "no"
200 {"code":"403","message":1,"data":2,"x-traceID":3}                       => code 403 ""
200 {"code":401,"message":"no","data":"nothing"}                            => code 401 "no"
200 {"code":401,"message":"no","data":[2,100]}                              => code 401 "no"
200 {"code":401,"message":"no","data":{"process":100,"status":2}}           => code 401 "no"
200 {"code":401,"message":"no","data":{"process":"x","status":2}}           => code 401 "no"
200 {"code":401,"message":"no","data":1e999}                                => code 401 "no"
200 {"code":401,"message":"no","data":"\ud83d"}                             => code 401 "no"
500 {"code":1,"message":"no","data":[0]}                                    => code 1 "no" in 500
401 {"code":0,"data":{"process":1,"status":0}}                              => code 0 "" in 401
302 {"code":401,"message":"no"}                                             => code 401 "no" in 302
429 {"code":429,"message":[]}                                               => code 429 "" in 429
401 {"message":"Unauthorized"}                                              => HTTP 401
429 {"code":"x"}                                                            => HTTP 429
500 [401,null,null,null]                                                    => HTTP 500
500 {"code":"403","message":"123pan-global                                  => HTTP 500
502 <html>                                                                  => HTTP 502
504                                                                         => HTTP 504
"#;

/// HTTP status and body, and the text of the error. Each HTTP 429 has a `Retry-After`.
const TEXTS: &str = r#"
200 {"code":1,"message":"m","x-traceID":"t"} =>
the service returned code 1: the request was rejected, check the task id or URL that was sent; received: m (trace id t)
200 {"code":401,"message":"m"} =>
the service returned code 401: the access token is invalid, expired or replaced, get a new one; received: m
200 {"code":403} =>
the service returned code 403: this IP address is banned, stop and ask the service
429 {"code":429,"message":"m"} =>
the service returned code 429 with HTTP 429: too many requests, wait and try again (retry after 7 s); received: m
200 {"code":503} =>
the service returned code 503: the service or a gateway before it failed, try again later
200 {"code":5066} =>
the service returned code 5066: the file was not found
200 {"code":5113} =>
the service returned code 5113: the traffic quota is used up
200 {"code":7,"message":"\u001b[2J\n\u202e\u2066"} =>
the service returned code 7; received: \u{1b}[2J\n\u{202e}\u{2066}
200 <html> =>
the response is not the documented one: it is not JSON; received: <html>
302 =>
HTTP 302 without the service's envelope: redirects are not followed, check the base URL
304 =>
HTTP 304 without the service's envelope: not a response of the documented service, check the base URL and any proxy
401 =>
HTTP 401 without the service's envelope: the access token was refused, get a new one
403 =>
HTTP 403 without the service's envelope: this IP address is banned, stop and ask the service
404 =>
HTTP 404 without the service's envelope: not found, check the base URL
429 =>
HTTP 429 without the service's envelope: too many requests, wait and try again (retry after 7 s)
502 <html> =>
HTTP 502 without the service's envelope: the service or a gateway before it failed, try again later; received: <html>
"#;

/// Returns the cells of a table: two in each row.
fn rows(table: &'static str) -> Vec<(&'static str, &'static str)> {
    let table = table.trim().replace(" =>\n", " => ").leak();
    let rows = table.lines().map(|line| line.split_once(" =>").unwrap());
    rows.map(|(given, result)| (given.trim_end(), result.trim()))
        .collect()
}

/// Returns the response that is given as its status and its body.
fn reply(response: &str) -> Reply {
    let (status, body) = response.split_once(' ').unwrap_or((response, ""));
    Reply::new(status.parse().unwrap()).body(body)
}

/// Returns a result in the notation of the tables.
fn notation(result: &Result<Progress>) -> String {
    match result {
        Ok(progress) => format!("{:?} {}", progress.status, progress.percent),
        Err(Error::Api(e)) => {
            let mut text = format!("code {} {:?}", e.code, e.message);
            if let Some(status) = e.http_status.filter(|status| *status != 200) {
                text += &format!(" in {status}");
            }
            if let Some(id) = &e.trace_id {
                text += &format!(" ({id})");
            }
            text
        }
        Err(Error::Http(e)) => format!("HTTP {}", e.status),
        Err(Error::Decode(e)) => e.reason.replace(FIELD, "FIELD"),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn decodes_each_response() {
    let mut cases = Vec::new();
    for (data, result) in rows(DATA) {
        let body = format!(r#"{{"code":0,"message":"ok","data":{data},"x-traceID":"t"}}"#);
        cases.push((Reply::json(body), result));
    }
    for (response, result) in rows(RESPONSES) {
        cases.push((reply(response), result));
    }
    let padded = |len| SAMPLE.to_owned() + &" ".repeat(len - SAMPLE.len());
    let (start, end) = SAMPLE.as_bytes().split_at(22);
    let (open, close) = ("[".repeat(1000), "]".repeat(1000));
    let deep = |field| format!("{{\"code\":429,{field}:{open}0{close}}}");
    let utf16: Vec<u8> = SAMPLE.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let success = "Succeeded 100";
    let (limited, replaced) = ("code 429 \"\"", "code 429 \"\u{fffd}\"");
    for (body, result) in [
        (format!("\u{feff}{SAMPLE}").into(), success),
        (format!(" \r\n\t{SAMPLE}\n").into(), success),
        (padded(512).into(), success),
        (padded(64 * 1024).into(), success),
        (
            padded(64 * 1024 + 1).into(),
            "its body is longer than 64 KiB",
        ),
        (format!("\u{feff}\u{feff}{SAMPLE}").into(), "it is not JSON"),
        ("\u{feff}".into(), "it is empty"),
        (utf16, "it is not JSON"),
        (SAMPLE.replace("ok", "\0").into(), "it is not JSON"),
        ([start, b"\xff", end].concat(), "it is not UTF-8"),
        (b"{\"code\":429,\"message\":\"\xb7\"}".into(), replaced),
        (b"{\"code\":429,\"data\":\"\xb7\"}".into(), limited),
        (deep("\"data\"").into(), limited),
        (deep("\"message\"").into(), limited),
    ] {
        cases.push((Reply::new(200).body(body), result));
    }
    let service = service();
    for (reply, expected) in cases {
        service.reply_next(reply.clone());
        // A client of its own, since a 429 pauses its client.
        let seen = notation(&client(&service).get_process(TASK));
        let response = reply.to_bytes();
        assert_eq!(seen, expected, "{}", String::from_utf8_lossy(&response));
    }
}

#[test]
fn errors_have_these_texts() {
    let service = service();
    for (response, text) in rows(TEXTS) {
        let limit = response.starts_with("429").then_some("7");
        service.reply_next(reply(response).header("Retry-After", limit.unwrap_or_default()));
        let error = client(&service).get_process(TASK).unwrap_err();
        assert_eq!(error.to_string(), text);
        let cause = error.source();
        let is_json = cause.is_some_and(|cause| cause.is::<serde_json::Error>());
        assert_eq!(is_json, matches!(error, Error::Decode(_)));
    }
}

#[test]
fn texts_of_the_service_are_shortened() {
    let service = service();
    let client = client(&service);
    let long = "错".repeat(10_000);
    service.reply_next(Reply::json(format!(
        r#"{{"code":7,"message":"{long}","x-traceID":"{long}"}}"#
    )));
    let error = client.get_process(TASK).unwrap_err();
    assert_eq!(error.trace_id(), Some(&*"错".repeat(256)));
    assert!(matches!(&error, Error::Api(e) if e.message == "错".repeat(256)));
    // The cause quotes the value.
    service.reply_next(Reply::json(format!(r#"{{"code":"{long}"}}"#)));
    assert!(all_texts(&client.get_process(TASK).unwrap_err()).len() < 8000);
    service.reply_next(Reply::new(502).body(long));
    let error = client.get_process(TASK).unwrap_err();
    assert!(matches!(error, Error::Http(e) if e.body == "错".repeat(256)));
}

#[test]
fn progress_serializes_as_the_service_writes_it() {
    let text = serde_json::to_string(&RUNNING).unwrap();
    assert_eq!(text, r#"{"status":0,"process":37}"#);
    assert_eq!(serde_json::from_str::<Progress>(&text).unwrap(), RUNNING);
    assert_eq!(serde_json::to_string(&RUNNING.status).unwrap(), "0");
}

#[test]
fn envelope_keeps_the_data_of_a_success_only() {
    let mut success = Envelope::<Progress>::from_slice(SAMPLE.as_bytes()).unwrap();
    assert_eq!(success.code, ErrorCode::OK);
    assert_eq!(success.message, "ok");
    assert_eq!(success.data, Some(Progress::new(Status::Succeeded, 100)));
    assert!(success.trace_id.as_deref().unwrap().ends_with("-t5pvc"));
    assert_eq!(success.clone().into_result().unwrap().percent, 100);
    // An error with data that the caller has set is still an error.
    success.code = ErrorCode::RATE_LIMITED;
    assert!(success.into_result().unwrap_err().is_rate_limited());

    let body = br#"{"code":5113,"message":"no","data":{"process":100,"status":2}}"#;
    let failure = Envelope::<Progress>::from_slice(body).unwrap();
    assert_eq!(failure.data, None);
    let Error::Api(error) = failure.into_result().unwrap_err() else {
        panic!()
    };
    // There was no HTTP response.
    assert_eq!(error.code, ErrorCode::QUOTA_EXHAUSTED);
    assert_eq!(error.http_status, None);
}

#[test]
fn envelope_decodes_any_data_type() {
    let numbers = Envelope::<Vec<u64>>::from_slice(br#"{"code":0,"data":[1,2]}"#).unwrap();
    assert_eq!(numbers.into_result().unwrap(), [1, 2]);
    let tree = Envelope::<serde_json::Value>::from_slice(SAMPLE.as_bytes()).unwrap();
    assert_eq!(tree.into_result().unwrap()["process"], 100);
}
