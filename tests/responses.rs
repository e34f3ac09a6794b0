//! Results of `get_process` for each kind of response, over a real connection: one row for each
//! response.

// A test whose setup fails should panic.
#![allow(clippy::unwrap_used)]

use std::error::Error as _;
use std::time::Duration;

use mockito::{Matcher, Server};
use pan123_offline::{Client, Envelope, Error, ErrorCode, Progress, Result, Status};

/// The sample of the service's documentation.
const SAMPLE: &str = r#"{"code":0,"message":"ok","data":{"process":100,"status":2},"x-traceID":"1895c15e-dc5b-4f75-a01b-b7113bd176ca_kong-db-5898fdd8c6-t5pvc"}"#;
/// A response of the vendor's load balancer.
const BANNED: &str =
    r#"{"code":"403","message":"123pan-global-slb forbidden client ip 203.0.113.7"}"#;
const HTML: &str = "<html><body><h1>502 Bad Gateway</h1></body></html>";
const MAX_BODY_LEN: usize = 64 * 1024;
/// A token that no response here contains by chance: it would be redacted there.
const TOKEN: &str = "eyJhbGciOi.secret";

// The reasons of `Error::Decode`.
const EMPTY: &str = "it is empty";
const INCOMPLETE: &str = "it is incomplete";
const FIELD: &str = "a field is missing, duplicate or of another type";
const NO_DATA: &str = "its `code` is 0 and its `data` is missing";
const NOT_JSON: &str = "it is not JSON";
const NOT_UTF8: &str = "it is not UTF-8";
const TOO_LONG: &str = "its body is longer than 64 KiB";

/// A response, and the expected result.
struct Row {
    name: &'static str,
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    expected: Expected,
}

/// The expected result of a response. Flags that a row does not set are false, options are `None`.
struct Expected {
    outcome: Outcome,
    transient: bool,
    unauthorized: bool,
    banned: bool,
    trace_id: Option<&'static str>,
    retry_after: Option<Duration>,
    /// The exact text of `Display`, if the row sets it.
    text: Option<&'static str>,
}

enum Outcome {
    Progress(Status, u8),
    Api {
        code: i64,
        message: &'static str,
    },
    Http,
    /// The reason, and whether `source()` is an error of `serde_json`.
    Decode(&'static str, bool),
}

use Outcome::{Api, Decode, Http};

fn row(name: &'static str, status: u16, body: impl AsRef<[u8]>, outcome: Outcome) -> Row {
    let expected = Expected {
        outcome,
        transient: false,
        unauthorized: false,
        banned: false,
        trace_id: None,
        retry_after: None,
        text: None,
    };
    Row {
        name,
        status,
        headers: Vec::new(),
        body: body.as_ref().to_vec(),
        expected,
    }
}

impl Row {
    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn transient(mut self) -> Self {
        self.expected.transient = true;
        self
    }

    fn unauthorized(mut self) -> Self {
        self.expected.unauthorized = true;
        self
    }

    fn banned(mut self) -> Self {
        self.expected.banned = true;
        self
    }

    fn trace_id(mut self, id: &'static str) -> Self {
        self.expected.trace_id = Some(id);
        self
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.expected.retry_after = Some(Duration::from_secs(seconds));
        self
    }

    fn text(mut self, text: &'static str) -> Self {
        self.expected.text = Some(text);
        self
    }

    fn request(&self) -> Result<Progress> {
        let mut server = Server::new();
        let mut mock = server
            .mock("GET", Matcher::Any)
            .with_status(self.status.into())
            .with_body(&self.body);
        for (name, value) in &self.headers {
            mock = mock.with_header(*name, value);
        }
        let mock = mock.expect(1).create();
        let client = Client::builder()
            .access_token(TOKEN)
            .base_url(server.url())
            .retries(0)
            .build()
            .unwrap();
        let result = client.get_process(403316);
        mock.assert();
        result
    }

    /// Panics if the result differs from the expected one.
    fn check(&self, result: Result<Progress>) {
        let expected = &self.expected;
        let error = match (&expected.outcome, result) {
            (Outcome::Progress(status, percent), Ok(progress)) => {
                assert_eq!(progress, Progress::new(*status, *percent));
                return;
            }
            (_, Ok(progress)) => panic!("a success: {progress}"),
            (_, Err(error)) => error,
        };
        let (code, cause) = match (&expected.outcome, &error) {
            (Api { code, message }, Error::Api(api)) => {
                assert_eq!(
                    (api.code, api.message.as_str()),
                    (ErrorCode(*code), *message),
                    "code and message"
                );
                assert_eq!(api.http_status, Some(self.status), "http_status");
                assert_eq!(api.trace_id.as_deref(), expected.trace_id, "trace_id");
                assert_eq!(api.retry_after, expected.retry_after, "retry_after");
                (Some(api.code), false)
            }
            (Http, Error::Http(http)) => {
                assert_eq!(http.status, self.status, "status");
                assert_eq!(http.body, self.excerpt(), "body");
                assert_eq!(http.retry_after, expected.retry_after, "retry_after");
                (None, false)
            }
            (Decode(reason, cause), Error::Decode(decode)) => {
                assert_eq!(
                    (decode.reason.as_str(), decode.body.as_str()),
                    (*reason, &*self.excerpt()),
                    "reason and body"
                );
                (None, *cause)
            }
            (_, other) => panic!("another variant: {other:?}"),
        };
        assert_eq!(error.is_transient(), expected.transient, "is_transient()");
        assert_eq!(
            error.is_unauthorized(),
            expected.unauthorized,
            "is_unauthorized()"
        );
        assert_eq!(error.is_banned(), expected.banned, "is_banned()");
        assert_eq!(error.code(), code, "code()");
        assert_eq!(error.trace_id(), expected.trace_id, "trace_id()");
        assert_eq!(error.retry_after(), expected.retry_after, "retry_after()");
        assert!(!error.is_timeout(), "is_timeout()");
        match error.source() {
            Some(source) => {
                assert!(
                    cause && source.is::<serde_json::Error>(),
                    "an unexpected source(): {source:?}"
                );
                assert!(
                    !error.to_string().contains(&source.to_string()),
                    "Display repeats the cause: {error}"
                );
            }
            None => assert!(!cause, "source() is missing"),
        }
        if let Some(text) = expected.text {
            assert_eq!(error.to_string(), text, "Display");
        }
    }

    /// The first 256 characters of the body, as an error quotes them.
    fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body)
            .chars()
            .take(256)
            .collect()
    }
}

/// Checks every row before it panics, so that one run names every row that fails.
#[track_caller]
fn check(rows: Vec<Row>) {
    let failed: Vec<_> = rows
        .iter()
        .filter(|row| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| row.check(row.request())))
                .is_err()
        })
        .map(|row| row.name)
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {} rows failed, each panicked above: {failed:#?}",
        failed.len(),
        rows.len()
    );
}

fn progress(status: Status, percent: u8) -> Outcome {
    Outcome::Progress(status, percent)
}

fn api(code: i64, message: &'static str) -> Outcome {
    Api { code, message }
}

/// A decode error whose `source()` is an error of `serde_json`.
fn decode(reason: &'static str) -> Outcome {
    Decode(reason, true)
}

/// Pads a body with blanks to a length.
fn padded(body: &str, length: usize) -> String {
    body.to_owned() + &" ".repeat(length - body.len())
}

#[test]
fn decodes_successes() {
    use Status::{Failed, InProgress, Retrying, Succeeded, Unknown};

    let with = |data: &str| format!(r#"{{"code":0,"message":"ok","data":{data},"x-traceID":"t"}}"#);
    check(vec![
        row(
            "the document's sample",
            200,
            SAMPLE,
            progress(Succeeded, 100),
        ),
        row(
            "status 0",
            200,
            with(r#"{"process":12,"status":0}"#),
            progress(InProgress, 12),
        ),
        row(
            "status 1",
            200,
            with(r#"{"process":0,"status":1}"#),
            progress(Failed, 0),
        ),
        row(
            "status 2",
            200,
            with(r#"{"process":100,"status":2}"#),
            progress(Succeeded, 100),
        ),
        row(
            "status 3",
            200,
            with(r#"{"process":50,"status":3}"#),
            progress(Retrying, 50),
        ),
        row(
            "status 7",
            200,
            with(r#"{"process":50,"status":7}"#),
            progress(Unknown(7), 50),
        ),
        row(
            "status -1",
            200,
            with(r#"{"process":50,"status":-1}"#),
            progress(Unknown(-1), 50),
        ),
        row(
            "process 0",
            200,
            with(r#"{"process":0,"status":0}"#),
            progress(InProgress, 0),
        ),
        row(
            "process 0.9",
            200,
            with(r#"{"process":0.9,"status":0}"#),
            progress(InProgress, 0),
        ),
        row(
            "process 37.9",
            200,
            with(r#"{"process":37.9,"status":0}"#),
            progress(InProgress, 37),
        ),
        row(
            "process 99.9",
            200,
            with(r#"{"process":99.9,"status":0}"#),
            progress(InProgress, 99),
        ),
        row(
            "process 100",
            200,
            with(r#"{"process":100,"status":0}"#),
            progress(InProgress, 100),
        ),
        row(
            "process 100.0",
            200,
            with(r#"{"process":100.0,"status":0}"#),
            progress(InProgress, 100),
        ),
        row(
            "process 250",
            200,
            with(r#"{"process":250,"status":0}"#),
            progress(InProgress, 100),
        ),
        row(
            "process 256",
            200,
            with(r#"{"process":256,"status":0}"#),
            progress(InProgress, 100),
        ),
        row(
            "process -1",
            200,
            with(r#"{"process":-1,"status":0}"#),
            progress(InProgress, 0),
        ),
        row(
            "process 1e300",
            200,
            with(r#"{"process":1e300,"status":0}"#),
            progress(InProgress, 100),
        ),
        row(
            "process -1e300",
            200,
            with(r#"{"process":-1e300,"status":0}"#),
            progress(InProgress, 0),
        ),
        row(
            "unknown fields",
            200,
            with(r#"{"process":1,"status":0,"reason":[{}]}"#),
            progress(InProgress, 1),
        ),
        row(
            "required fields only",
            200,
            r#"{"code":0,"data":{"process":1,"status":0}}"#,
            progress(InProgress, 1),
        ),
        row(
            "null texts",
            200,
            r#"{"code":0,"message":null,"data":{"process":1,"status":0},"x-traceID":null}"#,
            progress(InProgress, 1),
        ),
        row(
            "data before the code",
            200,
            r#"{"data":{"status":0,"process":1},"code":0}"#,
            progress(InProgress, 1),
        ),
        row(
            "code \"0\"",
            200,
            r#"{"code":"0","data":{"process":1,"status":0}}"#,
            progress(InProgress, 1),
        ),
        row(
            "after a byte-order mark",
            200,
            format!("\u{feff}{SAMPLE}"),
            progress(Succeeded, 100),
        ),
        row(
            "with blanks around it",
            200,
            format!(" \r\n\t{SAMPLE}\n"),
            progress(Succeeded, 100),
        ),
        row(
            "escapes in the message",
            200,
            SAMPLE.replace("\"ok\"", r#""\u597d\n\"""#),
            progress(Succeeded, 100),
        ),
        row("HTTP 201", 201, SAMPLE, progress(Succeeded, 100)),
        row("labelled as a text", 200, SAMPLE, progress(Succeeded, 100))
            .header("content-type", "text/plain"),
        row(
            "a Retry-After in a success",
            200,
            SAMPLE,
            progress(Succeeded, 100),
        )
        .header("retry-after", "60"),
        row(
            "more than 512 bytes",
            200,
            padded(SAMPLE, 513),
            progress(Succeeded, 100),
        ),
        row(
            "exactly 512 bytes",
            200,
            padded(SAMPLE, 512),
            progress(Succeeded, 100),
        ),
        row(
            "exactly 64 KiB",
            200,
            padded(SAMPLE, MAX_BODY_LEN),
            progress(Succeeded, 100),
        ),
    ]);
}

#[test]
fn rejects_2xx_without_a_valid_envelope() {
    let data = r#"{"process":100,"status":2}"#;
    let code = |code: &str| format!(r#"{{"code":{code},"message":"ok","data":{data}}}"#);
    let with = |data: &str| format!(r#"{{"code":0,"message":"ok","data":{data}}}"#);
    check(vec![
        row("empty", 200, "", decode(EMPTY)).text("the response is not the documented one: it is empty"),
        row("204", 204, "", decode(EMPTY)),
        row("only a byte-order mark", 200, "\u{feff}", decode(EMPTY)),
        row("blanks", 200, "  \n", decode(INCOMPLETE)),
        row("HTML", 200, HTML, decode(NOT_JSON)).text(
            "the response is not the documented one: it is not JSON; \
             received: <html><body><h1>502 Bad Gateway</h1></body></html>",
        ),
        row("control characters", 200, "\u{1b}[2J\r\n\0", decode(NOT_JSON))
            .text("the response is not the documented one: it is not JSON; received: \\u{1b}[2J\\r\\n\\u{0}"),
        row("truncated", 200, &SAMPLE[..59], decode(INCOMPLETE)).text(
            "the response is not the documented one: it is incomplete; \
             received: {\"code\":0,\"message\":\"ok\",\"data\":{\"process\":100,\"status\":2},",
        ),
        row("truncated by one byte", 200, &SAMPLE[..SAMPLE.len() - 1], decode(INCOMPLETE)),
        row("an error, truncated", 200, &BANNED[..30], decode(INCOMPLETE)),
        row("followed by garbage", 200, format!("{SAMPLE}x"), decode(NOT_JSON)),
        row("twice", 200, format!("{SAMPLE}{SAMPLE}"), decode(NOT_JSON)),
        row("two byte-order marks", 200, format!("\u{feff}\u{feff}{SAMPLE}"), decode(NOT_JSON)),
        row(
            "not UTF-8",
            200,
            b"{\"code\":0,\"message\":\"\xff\",\"data\":{\"process\":1,\"status\":0}}",
            decode(NOT_UTF8),
        )
        .text(
            "the response is not the documented one: it is not UTF-8; \
                 received: {\"code\":0,\"message\":\"\u{fffd}\",\"data\":{\"process\":1,\"status\":0}}",
        ),
        row("UTF-16", 200, SAMPLE.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>(), decode(NOT_JSON)),
        // An empty object has no code, so it is not a success.
        row("an empty object", 200, "{}", decode(FIELD)).text(
            "the response is not the documented one: a field is missing, duplicate or of another type; received: {}",
        ),
        row("null", 200, "null", decode(FIELD)),
        row("a number", 200, "0", decode(FIELD)),
        row("an array", 200, "[]", decode(FIELD)),
        row("an array of the fields", 200, r#"[0,"ok",{"status":2,"process":100},null]"#, decode(FIELD)),
        row("an array of the fields of an error", 200, r#"[401,"no",null,null]"#, decode(FIELD)),
        row("data alone", 200, data, decode(FIELD)),
        row("no code", 200, format!(r#"{{"message":"ok","data":{data},"x-traceID":"t"}}"#), decode(FIELD)),
        row("`Code` instead of `code`", 200, format!(r#"{{"Code":0,"data":{data}}}"#), decode(FIELD)),
        row("code null", 200, code("null"), decode(FIELD)),
        row("code true", 200, code("true"), decode(FIELD)),
        row("code false", 200, code("false"), decode(FIELD)),
        row("code 0.0", 200, code("0.0"), decode(FIELD)),
        row("code 1.5", 200, code("1.5"), decode(FIELD)),
        row("code [0]", 200, code("[0]"), decode(FIELD)),
        row("code {}", 200, code("{}"), decode(FIELD)),
        row("code \"x\"", 200, code(r#""x""#), decode(FIELD)),
        row("code \"\"", 200, code(r#""""#), decode(FIELD)),
        row("code \" 0\"", 200, code(r#"" 0""#), decode(FIELD)),
        row("code \"0.0\"", 200, code(r#""0.0""#), decode(FIELD)),
        row("code 2^63", 200, code("9223372036854775808"), decode(FIELD)),
        row("code 0 twice", 200, format!(r#"{{"code":0,"code":0,"data":{data}}}"#), decode(FIELD)),
        row("code 401, then 0", 200, format!(r#"{{"code":401,"code":0,"data":{data}}}"#), decode(FIELD)),
        row("data twice", 200, format!(r#"{{"code":0,"data":{data},"data":{data}}}"#), decode(FIELD)),
        row("data null", 200, with("null"), Decode(NO_DATA, false)).text(
            "the response is not the documented one: its `code` is 0 and its `data` is missing; \
             received: {\"code\":0,\"message\":\"ok\",\"data\":null}",
        ),
        row("data missing", 200, r#"{"code":0,"message":"ok"}"#, Decode(NO_DATA, false)),
        row("code \"0\", data missing", 200, r#"{"code":"0"}"#, Decode(NO_DATA, false)),
        row("data a string", 200, with(r#""ok""#), decode(FIELD)),
        row("data a number", 200, with("100"), decode(FIELD)),
        row("data an array", 200, with("[2,100]"), decode(FIELD)),
        row("data an empty object", 200, with("{}"), decode(FIELD)),
        row("no status", 200, with(r#"{"process":100}"#), decode(FIELD)),
        row("no process", 200, with(r#"{"status":2}"#), decode(FIELD)),
        row("status null", 200, with(r#"{"process":100,"status":null}"#), decode(FIELD)),
        row("status a fraction", 200, with(r#"{"process":100,"status":2.5}"#), decode(FIELD)),
        row("status twice", 200, with(r#"{"process":100,"status":0,"status":2}"#), decode(FIELD)),
        row("process null", 200, with(r#"{"process":null,"status":2}"#), decode(FIELD)),
        row("process NaN", 200, with(r#"{"process":NaN,"status":2}"#), decode(NOT_JSON)),
        row("64 KiB and a byte", 200, padded(SAMPLE, MAX_BODY_LEN + 1), Decode(TOO_LONG, false)),
        row("much more than 64 KiB", 200, padded(SAMPLE, 4 * MAX_BODY_LEN), Decode(TOO_LONG, false)),
    ]);
}

#[test]
fn error_codes_become_api_errors() {
    const TRACE: &str = "4b_kong-db-5898fdd8c6-t5pvc";

    let with =
        |code: i64| format!(r#"{{"code":{code},"message":"m","data":null,"x-traceID":"{TRACE}"}}"#);
    check(vec![
        row("1", 200, with(1), api(1, "m")).trace_id(TRACE).text(
            "the service returned code 1: the request was rejected, check the task id or URL that was sent; \
             received: m (trace id 4b_kong-db-5898fdd8c6-t5pvc)",
        ),
        row("401", 200, r#"{"code":401,"message":"token is expired","data":null}"#, api(401, "token is expired"))
            .unauthorized()
            .text(
                "the service returned code 401: the access token is invalid, expired or replaced, get a new one; \
                 received: token is expired",
            ),
        row("403", 200, with(403), api(403, "m")).banned().trace_id(TRACE),
        row("\"403\"", 200, BANNED, api(403, "123pan-global-slb forbidden client ip 203.0.113.7")).banned().text(
            "the service returned code 403: this IP address is banned, stop and ask the service; \
             received: 123pan-global-slb forbidden client ip 203.0.113.7",
        ),
        row("\"403\" after a byte-order mark", 200, format!("\u{feff}{BANNED}"), {
            api(403, "123pan-global-slb forbidden client ip 203.0.113.7")
        })
        .banned(),
        row("\"401\"", 200, r#"{"code":"401"}"#, api(401, "")).unauthorized(),
        row("\"429\"", 200, r#"{"code":"429"}"#, api(429, "")).transient(),
        row("429", 200, with(429), api(429, "m")).transient().trace_id(TRACE).text(
            "the service returned code 429: too many requests, wait and try again; \
             received: m (trace id 4b_kong-db-5898fdd8c6-t5pvc)",
        ),
        row("429 with Retry-After", 200, with(429), api(429, "m"))
            .header("Retry-After", "7")
            .transient()
            .trace_id(TRACE)
            .retry_after(7),
        row("500", 200, with(500), api(500, "m")).transient().trace_id(TRACE),
        row("5066", 200, with(5066), api(5066, "m")).trace_id(TRACE).text(
            "the service returned code 5066: the file was not found; \
             received: m (trace id 4b_kong-db-5898fdd8c6-t5pvc)",
        ),
        row("5113", 200, with(5113), api(5113, "m")).trace_id(TRACE).text(
            "the service returned code 5113: the traffic quota is used up; \
             received: m (trace id 4b_kong-db-5898fdd8c6-t5pvc)",
        ),
        row("987654", 200, with(987654), api(987654, "m"))
            .trace_id(TRACE)
            .text("the service returned code 987654; received: m (trace id 4b_kong-db-5898fdd8c6-t5pvc)"),
        row("-1", 200, with(-1), api(-1, "m")).trace_id(TRACE),
        row("i64::MIN", 200, with(i64::MIN), api(i64::MIN, "m")).trace_id(TRACE),
        row("i64::MAX", 200, with(i64::MAX), api(i64::MAX, "m")).trace_id(TRACE),
        row("only the code", 200, r#"{"code":5066}"#, api(5066, ""))
            .text("the service returned code 5066: the file was not found"),
        row("a message with terminal control characters", 200, r#"{"code":987654,"message":"\u001b[2J\nx"}"#, {
            api(987654, "\u{1b}[2J\nx")
        })
        .text("the service returned code 987654; received: \\u{1b}[2J\\nx"),
        row(
            "a message with bidirectional control characters",
            200,
            r#"{"code":987654,"message":"a\u202eb\u2066c"}"#,
            api(987654, "a\u{202e}b\u{2066}c"),
        )
        .text("the service returned code 987654; received: a\\u{202e}b\\u{2066}c"),
        row("HTTP 202", 202, r#"{"code":987654}"#, api(987654, ""))
            .text("the service returned code 987654 with HTTP 202"),
    ]);
}

#[test]
fn keeps_the_code_if_other_fields_are_invalid() {
    let data =
        |data: &str| format!(r#"{{"code":401,"message":"no","data":{data},"x-traceID":"t"}}"#);
    let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let unauthorized = |name, body: String| {
        row(name, 200, body, api(401, "no"))
            .unauthorized()
            .trace_id("t")
    };
    check(vec![
        unauthorized("data a string", data(r#""nothing""#)),
        unauthorized("data an empty string", data(r#""""#)),
        unauthorized("data an array", data("[]")),
        unauthorized("data an array of the fields", data("[2,100]")),
        unauthorized("data an empty object", data("{}")),
        unauthorized("data another object", data(r#"{"reason":{"a":[1,2]}}"#)),
        unauthorized("data a number", data("0")),
        unauthorized("data false", data("false")),
        unauthorized("data a progress", data(r#"{"process":100,"status":2}"#)),
        unauthorized(
            "data half a progress",
            data(r#"{"process":"100","status":2}"#),
        ),
        unauthorized("data deep", data(&deep(100))),
        unauthorized("data deeper than serde_json reads", data(&deep(1000))),
        unauthorized("data a number beyond f64", data("1e999")),
        unauthorized("data half a surrogate pair", data(r#""\ud83d""#)),
        // The valid fields are kept.
        row(
            "a number as message",
            200,
            r#"{"code":401,"message":5,"x-traceID":"t"}"#,
            api(401, ""),
        )
        .unauthorized()
        .trace_id("t"),
        row(
            "an array as message",
            200,
            r#"{"code":401,"message":["no"],"data":null}"#,
            api(401, ""),
        )
        .unauthorized(),
        row(
            "null as message",
            200,
            r#"{"code":401,"message":null,"data":null}"#,
            api(401, ""),
        )
        .unauthorized(),
        row(
            "a number as trace id",
            200,
            r#"{"code":429,"message":"no","x-traceID":17}"#,
            api(429, "no"),
        )
        .transient(),
        row(
            "an object as trace id",
            200,
            r#"{"code":429,"message":"no","x-traceID":{}}"#,
            api(429, "no"),
        )
        .transient(),
        row(
            "null as trace id",
            200,
            r#"{"code":429,"message":"no","x-traceID":null}"#,
            api(429, "no"),
        )
        .transient(),
        row(
            "all fields invalid",
            200,
            r#"{"code":"403","message":1,"data":2,"x-traceID":3}"#,
            api(403, ""),
        )
        .banned(),
        row(
            "not UTF-8 in the message",
            200,
            b"{\"code\":429,\"message\":\"\xb7\xb1\"}",
            api(429, "\u{fffd}\u{fffd}"),
        )
        .transient(),
        row(
            "not UTF-8 in data",
            200,
            b"{\"code\":429,\"data\":\"\xb7\xb1\",\"message\":\"no\"}",
            api(429, "no"),
        )
        .transient(),
        // Either the code or the HTTP status may decide, but the result must be an error, and a
        // ban must be kept.
        row(
            "invalid data in HTTP 500",
            500,
            r#"{"code":1,"message":"no","data":[0]}"#,
            api(1, "no"),
        ),
        row(
            "invalid message in HTTP 429",
            429,
            r#"{"code":429,"message":[]}"#,
            api(429, ""),
        )
        .transient(),
    ]);
}

/// Only the code is asserted: the text of such a message is not specified.
#[test]
fn keeps_the_code_if_the_message_cannot_be_decoded() {
    let deep = format!(
        r#"{{"code":429,"message":{}{}}}"#,
        "[".repeat(1000),
        "]".repeat(1000)
    );
    for body in [
        // A message that was cut in the middle of an emoji.
        r#"{"code":429,"message":"too many requests \ud83d"}"#,
        r#"{"code":429,"message":"no","x-traceID":"\ude00"}"#,
        r#"{"code":429,"message":1e999}"#,
        &deep,
    ] {
        let error = row("", 200, body, Http).request().unwrap_err();
        assert_eq!(
            error.code(),
            Some(ErrorCode::RATE_LIMITED),
            "{body} became {error:?}"
        );
        assert!(error.is_transient());
    }
}

#[test]
fn http_statuses_without_an_envelope_become_http_errors() {
    check(vec![
        row("HTML with 502", 502, HTML, Http).transient().text(
            "HTTP 502 without the service's envelope: the service or a gateway before it failed, try again \
             later; received: <html><body><h1>502 Bad Gateway</h1></body></html>",
        ),
        row("empty 504", 504, "", Http).transient().text(
            "HTTP 504 without the service's envelope: the service or a gateway before it failed, try again later",
        ),
        row("500", 500, "oops", Http).transient(),
        row("503 with Retry-After", 503, "", Http).header("Retry-After", "120").transient().retry_after(120),
        row("599", 599, "", Http).transient(),
        row("401", 401, "", Http)
            .unauthorized()
            .text("HTTP 401 without the service's envelope: the access token was refused, get a new one"),
        row("401 with Retry-After", 401, "", Http).header("Retry-After", "3").unauthorized().retry_after(3),
        row("403", 403, HTML, Http).banned().text(
            "HTTP 403 without the service's envelope: this IP address is banned, stop and ask the service; \
             received: <html><body><h1>502 Bad Gateway</h1></body></html>",
        ),
        row("403 with Retry-After", 403, "", Http).header("Retry-After", "3").banned().retry_after(3),
        row("404", 404, "", Http).text("HTTP 404 without the service's envelope: not found, check the base URL"),
        row("400", 400, "", Http).text(
            "HTTP 400 without the service's envelope: not a response of the documented service, \
             check the base URL and any proxy",
        ),
        row("429", 429, "", Http)
            .transient()
            .text("HTTP 429 without the service's envelope: too many requests, wait and try again"),
        row("429, Retry-After 7", 429, "", Http).header("Retry-After", "7").transient().retry_after(7).text(
            "HTTP 429 without the service's envelope: too many requests, wait and try again (retry after 7 s)",
        ),
        row("429, Retry-After 0", 429, "", Http)
            .header("Retry-After", "0")
            .transient()
            .retry_after(0)
            .text("HTTP 429 without the service's envelope: too many requests, wait and try again"),
        row("429, Retry-After in capitals", 429, "", Http).header("RETRY-AFTER", "007").transient().retry_after(7),
        // JSON that is not an envelope.
        row("401 with JSON and no code", 401, r#"{"message":"Unauthorized"}"#, Http).unauthorized(),
        row("429 with JSON and an invalid code", 429, r#"{"code":"x"}"#, Http).transient(),
        row("500 with an array", 500, "[401,null,null,null]", Http).transient(),
        row("500 with half an envelope", 500, &BANNED[..30], Http).transient(),
        row("a body longer than the limit", 502, "x".repeat(3 * MAX_BODY_LEN), Http).transient(),
        row("a body that is not UTF-8", 502, b"\xff\xfe", Http).transient().text(
            "HTTP 502 without the service's envelope: the service or a gateway before it failed, try again \
             later; received: \u{fffd}\u{fffd}",
        ),
        row("a long body in Chinese", 502, "错".repeat(1000), Http).transient(),
    ]);
}

#[test]
fn http_statuses_with_an_envelope_become_api_errors() {
    let with =
        |code: &str| format!(r#"{{"code":{code},"message":"m","data":null,"x-traceID":"t"}}"#);
    check(vec![
        row("401", 401, with("401"), api(401, "m")).unauthorized().trace_id("t").text(
            "the service returned code 401 with HTTP 401: the access token is invalid, expired or replaced, \
             get a new one; received: m (trace id t)",
        ),
        row("401 around another code", 401, with("5066"), api(5066, "m")).unauthorized().trace_id("t"),
        row("401 around the sample", 401, SAMPLE, api(0, "ok"))
            .unauthorized()
            .trace_id("1895c15e-dc5b-4f75-a01b-b7113bd176ca_kong-db-5898fdd8c6-t5pvc"),
        row("401 around code \"0\"", 401, r#"{"code":"0"}"#, api(0, "")).unauthorized(),
        // 401 and 403 in either place make the error permanent.
        row("401 around 429", 401, with("429"), api(429, "m")).unauthorized().trace_id("t"),
        row("429 around 401", 429, with("401"), api(401, "m")).unauthorized().trace_id("t"),
        row("429 around 403", 429, with("403"), api(403, "m")).banned().trace_id("t"),
        row("503 around 503", 503, with("503"), api(503, "m")).transient().trace_id("t").text(
            "the service returned code 503 with HTTP 503: the service or a gateway before it failed, try again \
             later; received: m (trace id t)",
        ),
        row("503 around 401", 503, with("401"), api(401, "m")).unauthorized().trace_id("t"),
        row("403", 403, with("403"), api(403, "m")).banned().trace_id("t"),
        row("403 around \"403\"", 403, BANNED, api(403, "123pan-global-slb forbidden client ip 203.0.113.7")).banned(),
        row("403 around 429", 403, with("429"), api(429, "m")).banned().trace_id("t"),
        row("403 around the sample", 403, SAMPLE, api(0, "ok"))
            .banned()
            .trace_id("1895c15e-dc5b-4f75-a01b-b7113bd176ca_kong-db-5898fdd8c6-t5pvc"),
        row("429", 429, with("429"), api(429, "m")).transient().trace_id("t").text(
            "the service returned code 429 with HTTP 429: too many requests, wait and try again; \
             received: m (trace id t)",
        ),
        row("429, Retry-After 7", 429, with("429"), api(429, "m"))
            .header("Retry-After", "7")
            .transient()
            .trace_id("t")
            .retry_after(7),
        // With an envelope, the code decides whether a 5xx is transient.
        row("500 around 1", 500, with("1"), api(1, "m")).trace_id("t").text(
            "the service returned code 1 with HTTP 500: the request was rejected, check the task id or URL that \
             was sent; received: m (trace id t)",
        ),
        row("500 around 429", 500, with("429"), api(429, "m")).transient().trace_id("t"),
        row("404 around 5066", 404, with("5066"), api(5066, "m")).trace_id("t"),
        row("400 around 987654", 400, with("987654"), api(987654, "m")).trace_id("t"),
        row("302 around 401", 302, with("401"), api(401, "m"))
            .header("location", "/login")
            .unauthorized()
            .trace_id("t"),
    ]);
}

#[test]
fn does_not_follow_redirects() {
    for status in [301, 302, 303, 307, 308] {
        let mut elsewhere = Server::new();
        let followed = elsewhere
            .mock("GET", Matcher::Any)
            .with_body(SAMPLE)
            .expect(0)
            .create();
        let mut server = Server::new();
        let followed_here = server
            .mock("GET", "/here")
            .with_body(SAMPLE)
            .expect(0)
            .create();
        for location in ["/here".to_owned(), format!("{}/there", elsewhere.url())] {
            let mock = server
                .mock("GET", "/api/v1/oss/offline/download/process?taskID=1")
                .with_status(status.into())
                .with_header("location", &location)
                .expect(1)
                .create();
            let client = Client::builder()
                .access_token(TOKEN)
                .base_url(server.url())
                .build()
                .unwrap();
            let error = client.get_process(1).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "HTTP {status} without the service's envelope: redirects are not followed, check the base URL"
                )
            );
            row("a redirect", status, "", Http).check(Err(error));
            mock.assert();
        }
        followed.assert();
        followed_here.assert();
    }
}

// ---- `Envelope` ----

#[track_caller]
fn envelope(body: impl AsRef<[u8]>) -> Envelope<Progress> {
    Envelope::from_slice(body.as_ref()).expect("an envelope")
}

#[test]
fn envelope_fields_are_public() {
    let success = envelope(SAMPLE);
    assert_eq!(success.code, ErrorCode::OK);
    assert_eq!(success.message, "ok");
    assert_eq!(success.data, Some(Progress::new(Status::Succeeded, 100)));
    assert_eq!(
        success.trace_id.as_deref(),
        Some("1895c15e-dc5b-4f75-a01b-b7113bd176ca_kong-db-5898fdd8c6-t5pvc")
    );
    assert_eq!(success.clone(), success);
    assert_eq!(
        success.into_result().unwrap(),
        Progress::new(Status::Succeeded, 100)
    );

    let banned = envelope(BANNED);
    assert_eq!(banned.code, ErrorCode::FORBIDDEN);
    assert_eq!(
        banned.message,
        "123pan-global-slb forbidden client ip 203.0.113.7"
    );
    assert_eq!((&banned.data, &banned.trace_id), (&None, &None));
    let error = banned.into_result().unwrap_err();
    assert!(error.is_banned() && !error.is_transient());
    let Error::Api(api) = &error else {
        panic!("{error:?}")
    };
    // There was no HTTP response.
    assert_eq!((api.http_status, api.retry_after), (None, None));
    assert_eq!(
        error.to_string(),
        "the service returned code 403: this IP address is banned, stop and ask the service; \
         received: 123pan-global-slb forbidden client ip 203.0.113.7"
    );
}

#[test]
fn envelope_shortens_the_texts_of_the_service() {
    let long = "a ".repeat(300);
    let error = envelope(format!(
        r#"{{"code":1,"message":"{long}","x-traceID":"{long}"}}"#
    ));
    assert_eq!(error.message.chars().count(), 256);
    assert_eq!(error.trace_id.unwrap().chars().count(), 256);
}

#[test]
fn envelope_drops_the_data_of_an_error() {
    let envelope_of_error =
        envelope(r#"{"code":5113,"message":"no","data":{"process":100,"status":2}}"#);
    assert_eq!(envelope_of_error.data, None);
    assert_eq!(
        envelope_of_error.into_result().unwrap_err().code(),
        Some(ErrorCode::QUOTA_EXHAUSTED)
    );

    // An error with data set by the caller is still an error.
    let mut envelope_of_error = envelope(SAMPLE);
    envelope_of_error.code = ErrorCode::RATE_LIMITED;
    assert!(envelope_of_error.into_result().unwrap_err().is_transient());
}

#[test]
fn envelope_without_data_is_an_error() {
    for body in [
        r#"{"code":0}"#,
        r#"{"code":0,"data":null}"#,
        r#"{"code":"0","message":"ok"}"#,
    ] {
        let envelope = envelope(body);
        assert_eq!(
            (envelope.code, envelope.data),
            (ErrorCode::OK, None),
            "{body}"
        );
        let error = Envelope::<Progress>::from_slice(body.as_bytes())
            .unwrap()
            .into_result()
            .unwrap_err();
        assert!(matches!(error, Error::Decode(_)), "{error:?}");
        assert_eq!(
            error.to_string(),
            "the response is not the documented one: its `code` is 0 and its `data` is missing"
        );
        assert!(error.source().is_none());
    }
}

#[test]
fn envelope_must_be_an_object_with_a_code() {
    for (body, reason) in [
        ("", EMPTY),
        ("{}", FIELD),
        ("[0]", FIELD),
        ("nonsense", NOT_JSON),
        (r#"{"code":0,"data":[2,100]}"#, FIELD),
        (r#"{"code":0"#, INCOMPLETE),
        (
            r#"{"message":"ok","data":{"process":100,"status":2}}"#,
            FIELD,
        ),
    ] {
        let error = Envelope::<Progress>::from_slice(body.as_bytes()).unwrap_err();
        let Error::Decode(decode) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(
            (decode.reason.as_str(), decode.body.as_str()),
            (reason, body)
        );
        assert!(
            error
                .source()
                .is_some_and(|cause| cause.is::<serde_json::Error>()),
            "{body}"
        );
        assert!(!error.is_transient());
    }
}

#[test]
fn envelope_decodes_any_data_type() {
    let numbers = Envelope::<Vec<u64>>::from_slice(br#"{"code":0,"data":[1,2]}"#).unwrap();
    assert_eq!(numbers.into_result().unwrap(), [1, 2]);
    let tree = Envelope::<serde_json::Value>::from_slice(SAMPLE.as_bytes()).unwrap();
    assert_eq!(tree.into_result().unwrap()["process"], 100);
}
