//! Creating a task: the request, its validation, and what is sent again. Faults are in the fault table (`tests/faults.rs`).

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use mockito::{Matcher, Server};
use pan123_offline::testing::{Reply, Request, Service};
use pan123_offline::{ClientBuilder, Credentials, Error, NewTask};
use support::{TASK, TOKEN, builder, client, html, retry_at_once, service};

const CREATE: &str = "/api/v1/oss/offline/download";
const ACCESS_TOKEN: &str = "/api/v1/access_token";
const URL: &str = "https://example.org/cat.png";
const USER_AGENT: &str = concat!("pan123-offline/", env!("CARGO_PKG_VERSION"));
/// The id of the first task that the stand-in creates.
const CREATED: u64 = TASK + 1;

fn task() -> NewTask {
    NewTask::new(URL)
}

fn creations(service: &Service) -> Vec<Request> {
    let mut requests = service.requests();
    requests.retain(|request| request.path == CREATE);
    requests
}

fn with_credentials(service: &Service) -> ClientBuilder {
    service.credentials("client-id", "client-secret");
    let credentials = Credentials::new("client-id", "client-secret");
    builder(service.base_url()).credentials(credentials)
}

/// Returns the response to the creation of a task, with this JSON as its id.
fn created(task_id: &str) -> Reply {
    let data = format!(r#"{{"code":0,"message":"ok","data":{{"taskID":{task_id}}}}}"#);
    Reply::json(data)
}

// ---- The request.

#[test]
fn sends_exactly_the_documented_request() {
    let minimal = r#"{"url":"https://example.org/cat.png","type":1}"#;
    let full = r#"{"url":"http://例.org/a%20b.png?x=\"1\"&y=\\","type":1,"fileName":"猫.PNG","businessDirID":"yk6==","callBackUrl":"https://example.org/done"}"#;
    let everything = NewTask::new(r#"http://例.org/a%20b.png?x="1"&y=\"#)
        .file_name("猫.PNG")
        .directory("yk6==")
        .callback_url("https://example.org/done");
    for (task, body) in [(task(), minimal), (everything, full)] {
        let mut server = Server::new();
        let expected = [
            ("accept", "application/json"),
            ("authorization", &format!("Bearer {TOKEN}")),
            ("content-length", &body.len().to_string()),
            ("content-type", "application/json"),
            ("host", &server.host_with_port()),
            ("platform", "open_platform"),
            ("user-agent", USER_AGENT),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mock = server
            .mock("POST", CREATE)
            .match_query(Matcher::Missing)
            .match_body(Matcher::JsonString(body.to_owned()))
            // All headers, so that an additional or a repeated one does not match.
            .match_request(move |request| {
                let mut headers: Vec<_> = request
                    .headers()
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                    .collect();
                headers.sort();
                headers == expected
            })
            .with_body(r#"{"code":0,"message":"ok","data":{"taskID":403316},"x-traceID":"1"}"#)
            .expect(1)
            .create();
        let client = builder(server.url()).build().unwrap();
        assert_eq!(client.create_task(&task).unwrap(), 403_316);
        mock.assert();
    }
}

/// The body is longer than the client's buffers.
#[test]
fn sends_a_long_task_whole() {
    let service = service();
    let plain = ('!'..='~').filter(|c| !"\"\\".contains(*c));
    let url: String = URL.chars().chain(plain.cycle().take(60_000)).collect();
    client(&service).create_task(&NewTask::new(&url)).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&creations(&service)[0].body).unwrap();
    assert_eq!(body, serde_json::json!({"url": url, "type": 1}));
}

#[test]
fn returns_any_task_id_but_0() {
    let service = service();
    let client = client(&service);
    for (json, task_id) in [
        ("1", 1),
        ("403316.0", 403_316),
        (r#""403316""#, 403_316),
        ("9007199254740993", 9_007_199_254_740_993),
        ("18446744073709551615", u64::MAX),
        (r#"7,"more":{"taskID":8}"#, 7),
    ] {
        service.reply_next(created(json));
        assert_eq!(client.create_task(&task()).unwrap(), task_id, "{json}");
    }
    let invalid = r#"0 "0" 0.0 null -1 403316.5 18446744073709551616 7,"taskID":7"#;
    for json in invalid.split(' ') {
        service.reply_next(created(json));
        let error = client.create_task(&task()).unwrap_err();
        assert!(matches!(error, Error::Decode(_)), "{json}: {error:?}");
        assert!(error.may_have_taken_effect());
        let advice = "; the task may exist, check before you create it again";
        assert!(error.to_string().contains(advice), "{error}");
    }
}

// ---- Validation.

/// The reasons for which URLs are rejected, and these URLs.
const URLS: &str = r##"{
    "ok": [
        "http://example.org", "HTTP://EXAMPLE.ORG/CAT.PNG", "hTTpS://example.org:8443/cat.png?size=1@2#top@",
        "https://example.org/@user/cat.png", "https://example.org?@", "http://[2001:db8::1]/cat.png",
        "https://例.org/猫.png?名=ß#é", "https://example.org/\ud83d\udc08\u3000.png"
    ],
    "it is not an http or https URL": [
        "", "http", "http:", "http:/", "http://", "https://", "http:///cat.png", "https://?cat.png", "https://#cat.png",
        "http:/example.org/cat.png", "http:example.org/cat.png", "//example.org/cat.png", "example.org/cat.png",
        "/home/me/cat.png", "ftp://example.org/cat.png", "httpx://example.org/cat.png", "shttp://example.org/cat.png",
        "data:image/png;base64,AAAA", "\ufeffhttps://example.org/cat.png", "http\uff1a//example.org/cat.png",
        "http:\\\\example.org\\cat.png", "https:/é", "http:/é"
    ],
    "it contains a space; write %20, or trim it": [
        "https://example.org/a cat.png", " https://example.org/cat.png", "https://exa mple.org/cat.png"
    ],
    "it contains a control character; remove it": [
        "https://example.org/cat.png\n", "https://example.org/\tcat.png", "https://example.org/cat.png?\u0000",
        "https://example.org/\u007f", "https://example.org/\u0085"
    ],
    "it contains a user name or a password; remove them": [
        "https://user:hunter2@example.org/cat.png", "https://@example.org", "https://user:a@b@example.org?x",
        "http://example.org\\@example.com/"
    ]
}"##;

#[track_caller]
fn validates(task: &NewTask, setting: &str, reason: &str) {
    let result = task.validate().map_err(|error| error.to_string());
    let expected = match reason {
        "ok" => Ok(()),
        _ => Err(format!("setting `{setting}`: {reason}")),
    };
    assert_eq!(result, expected, "{task:?}");
}

#[test]
fn validates_urls() {
    let reasons: serde_json::Value = serde_json::from_str(URLS).unwrap();
    for (reason, urls) in reasons.as_object().unwrap() {
        for url in urls.as_array().unwrap() {
            let url = url.as_str().unwrap();
            validates(&NewTask::new(url), "url", reason);
            validates(&task().callback_url(url), "callback_url", reason);
        }
    }
}

#[test]
fn validates_file_name_and_directory() {
    const ENDINGS: &str = "png gif jpeg jpg tif tiff webp svg bmp";

    for ending in ENDINGS.split(' ') {
        let mixed = format!("{}{}", ending[..1].to_uppercase(), &ending[1..]);
        for ending in [ending, &ending.to_uppercase(), &mixed] {
            let task = task().file_name(format!("ｃat.x.{ending}"));
            validates(&task, "file_name", "ok");
        }
    }
    let reason = format!(
        "it must be a name that ends in one of .{}",
        ENDINGS.replace(' ', ", .")
    );
    let names = "|.|cat|png|cat.|cat.exe|cat.pn|cat.pngx|.png|cat.png.exe|cat.png |cat.png.|cat,png|cat\u{ff0e}png";
    for name in names.split('|') {
        validates(&task().file_name(name), "file_name", &reason);
    }
    validates(&task().directory(""), "directory", "it is empty");

    // Nothing is sent for an invalid task, a token request included.
    let service = service();
    let client = with_credentials(&service).build().unwrap();
    let error = client.create_task(&NewTask::new("cat.png")).unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error:?}");
    assert!(!error.may_have_taken_effect() && !error.is_transient());
    assert_eq!(service.connection_count(), 0);
}

// ---- What is sent again.

#[test]
fn creates_one_task_with_a_replaced_token() {
    let service = service();
    let client = with_credentials(&service).build().unwrap();
    client.get_process(TASK).unwrap();
    service.revoke_tokens();
    assert_eq!(client.create_task(&task()).unwrap(), CREATED);
    assert_eq!(service.tokens_issued(), 2);
    let requests = creations(&service);
    let [refused, repeated] = &requests[..] else {
        panic!("{requests:?}")
    };
    let token = |request: &Request| request.header("Authorization").map(str::to_owned);
    assert_ne!(token(refused), token(repeated));
    assert_eq!(refused.body, repeated.body);
    let next = client.create_task(&task()).unwrap();
    assert_eq!(next, CREATED + 1, "there was one task only");

    // A second token within a minute is not requested, so the request is not repeated.
    service.revoke_tokens();
    let error = client.create_task(&task()).unwrap_err();
    assert!(error.is_unauthorized() && !error.may_have_taken_effect());
    assert_eq!((service.tokens_issued(), creations(&service).len()), (2, 4));
}

/// The status refuses the token, and the envelope reports a task.
#[test]
fn code_0_with_http_401_is_not_sent_again() {
    let service = service();
    let client = with_credentials(&service).retries(2).build().unwrap();
    client.get_process(TASK).unwrap();
    // The third one, while no token may be requested, is not sent.
    for (creations_sent, may_exist) in [(1, true), (2, true), (2, false)] {
        service.reply_next(created("1").status(401));
        let error = client.create_task(&task()).unwrap_err();
        assert_eq!(error.may_have_taken_effect(), may_exist, "{error:?}");
        assert_eq!(creations(&service).len(), creations_sent);
    }
}

/// The second request, after a 429 or with a new token, is judged by its own error.
#[test]
fn second_request_is_the_last_if_a_task_may_exist() {
    let limited = retry_at_once(html(429));
    let refused = Reply::code(401, "token is expired");
    for (first, tokens) in [(limited, 1), (refused, 2)] {
        for fault in [Reply::nothing(), html(502), html(200)] {
            let service = service();
            let (first, sent) = (first.clone(), AtomicUsize::new(0));
            service.reply_with(move |request| match request.path.as_str() {
                CREATE if sent.fetch_add(1, Ordering::SeqCst) == 0 => Some(first.clone()),
                CREATE => Some(fault.clone()),
                _ => None,
            });
            let client = with_credentials(&service).retries(3).build().unwrap();
            let error = client.create_task(&task()).unwrap_err();
            assert!(error.may_have_taken_effect(), "{error:?}");
            let counts = (service.tokens_issued(), creations(&service).len());
            assert_eq!(counts, (tokens, 2), "{error:?}");
        }
    }
}

/// Both the first token and one that replaces a refused token.
#[test]
fn no_task_exists_after_a_failed_token_request() {
    for fault in [html(502), Reply::nothing(), html(200)] {
        for is_replacement in [false, true] {
            let service = service();
            let client = with_credentials(&service).build().unwrap();
            if is_replacement {
                client.get_process(TASK).unwrap();
                service.revoke_tokens();
            }
            let (fault, before) = (fault.clone(), service.request_count());
            service.reply_with(move |r| (r.path == ACCESS_TOKEN).then(|| fault.clone()));
            let error = client.create_task(&task()).unwrap_err();
            assert!(!error.may_have_taken_effect(), "{error:?}");
            let refused = usize::from(is_replacement);
            let counts = (creations(&service).len(), service.request_count() - before);
            assert_eq!(counts, (refused, refused + 1), "{error:?}");
        }
    }
    // It is retried, although a creation would not be.
    let service = service();
    service.reply_next(retry_at_once(html(502)));
    let client = with_credentials(&service).retries(1).build().unwrap();
    assert_eq!(client.create_task(&task()).unwrap(), CREATED);
    assert_eq!(service.request_count(), 3);
}
