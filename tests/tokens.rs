//! Tokens for credentials: when they are requested, how many, and how they are shared.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use pan123_offline::testing::{Reply, Request, Service, TRACE_ID};
use pan123_offline::{
    Client, ClientBuilder, Credentials, Error, ErrorCode, MigrationEvent, NewTask, PollPolicy,
    Progress, Status, TransportErrorKind,
};
use support::{RUNNING, TASK, all_texts};

const ID: &str = "client-id";
const SECRET: &str = "client-secret-that-must-not-show";
const TOKEN_PATH: &str = "/api/v1/access_token";

/// A stand-in that accepts only the tokens that it has issued.
fn service() -> Service {
    let service = support::service();
    service.credentials(ID, SECRET);
    service
}

fn credentials() -> Credentials {
    Credentials::new(ID, SECRET)
}

fn builder(service: &Service, credentials: Credentials) -> ClientBuilder {
    Client::builder()
        .credentials(credentials)
        .base_url(service.base_url())
        .retries(0)
        .min_request_gap(Duration::ZERO)
        .timeout(Duration::from_secs(20))
}

fn client(service: &Service, credentials: Credentials) -> Client {
    builder(service, credentials).build().unwrap()
}

fn token_requests(service: &Service) -> Vec<Request> {
    service
        .requests()
        .into_iter()
        .filter(|request| request.path == TOKEN_PATH)
        .collect()
}

/// A new folder for one test, removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!(
            "pan123-offline-tokens-{}-{name}",
            std::process::id()
        ));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("token")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn requests_a_token_when_needed_and_keeps_it() {
    let service = service();
    let client = client(&service, credentials());
    assert_eq!(service.request_count(), 0);
    for _ in 0..5 {
        assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    }
    assert_eq!((service.tokens_issued(), service.request_count()), (1, 6));
    assert!(client.token_cache_error().is_none());

    let request = &token_requests(&service)[0];
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("Authorization"), None);
    assert_eq!(request.header("Platform"), Some("open_platform"));
    assert_eq!(request.header("Content-Type"), Some("application/json"));
    assert_eq!(
        request.body,
        format!(r#"{{"clientID":"{ID}","clientSecret":"{SECRET}"}}"#).into_bytes()
    );
}

#[test]
fn access_token_returns_the_token_before_the_first_call() {
    let service = service();
    let folder = Folder::new("ahead");
    let credentials = credentials().cache_file(folder.file());
    let client = client(&service, credentials.clone());
    let token = client.access_token().unwrap();
    assert_eq!(client.access_token().unwrap(), token);
    client.get_process(TASK).unwrap();
    assert_eq!((service.tokens_issued(), service.request_count()), (1, 2));
    let authorization = format!("Bearer {}", token.secret());
    assert_eq!(
        service.requests()[1].header("Authorization"),
        Some(&authorization[..])
    );

    // Another client takes the token from the cache file, a given token is returned unchanged, and
    // rejected credentials are an error.
    assert_eq!(
        builder(&service, credentials)
            .build()
            .unwrap()
            .access_token()
            .unwrap(),
        token
    );
    let given = support::client(&service);
    assert_eq!(given.access_token().unwrap().secret(), support::TOKEN);
    // Also while a 429 pauses requests.
    service.reply_next(Reply::code(429, "too many").header("Retry-After", "3600"));
    assert!(given.get_process(TASK).unwrap_err().is_rate_limited());
    assert_eq!(given.access_token().unwrap().secret(), support::TOKEN);
    assert!(given.token_cache_error().is_none());
    let wrong = builder(&service, Credentials::new(ID, "another secret"))
        .build()
        .unwrap();
    assert_eq!(
        wrong.access_token().unwrap_err().code(),
        Some(ErrorCode::from(1))
    );
    assert_eq!(service.tokens_issued(), 1);
}

#[test]
fn request_access_token_always_requests_one_and_keeps_it() {
    let (service, folder) = (service(), Folder::new("login"));
    let cached = || credentials().cache_file(folder.file());
    let client = client(&service, cached());
    let tokens = [(); 3].map(|()| client.request_access_token().unwrap());
    assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2]);
    client.get_process(TASK).unwrap();
    for client in [client, builder(&service, cached()).build().unwrap()] {
        assert_eq!(client.access_token().unwrap(), tokens[2]);
    }
    assert_eq!((service.tokens_issued(), service.request_count()), (3, 4));

    // Rejected credentials are not sent again.
    let wrong = Credentials::new(ID, "another secret");
    let wrong = builder(&service, wrong).build().unwrap();
    for _ in 0..2 {
        let error = wrong.request_access_token().unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::INTERNAL));
    }
    assert_eq!(service.request_count(), 5);
    let error = support::client(&service).request_access_token();
    assert_eq!(
        error.unwrap_err().to_string(),
        "setting `credentials`: they are missing, and a token can be requested with them only"
    );
}

#[test]
fn access_token_retries_transient_errors() {
    let service = service();
    service
        .reply_next(Reply::new(502))
        .reply_next(Reply::nothing());
    let client = builder(&service, credentials()).retries(2).build().unwrap();
    client.access_token().unwrap();
    assert_eq!((service.tokens_issued(), service.request_count()), (1, 3));
}

#[test]
fn replays_once_after_401() {
    let service = service();
    let client = client(&service, credentials());
    client.get_process(TASK).unwrap();
    service.revoke_tokens();
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    assert_eq!(
        (service.tokens_issued(), service.request_count()),
        (2, 5),
        "the 401, the token request, the replay"
    );
}

/// Another process requests tokens, so that an accepted token becomes invalid a second time within the same minute.
#[test]
fn waits_for_the_next_replacement_of_an_accepted_token() {
    let service = service();
    let client = client(&service, credentials());
    for _ in 0..2 {
        client.get_process(TASK).unwrap();
        service.revoke_tokens();
    }
    let errors = [(); 2].map(|()| client.get_process(TASK).unwrap_err());
    for error in &errors {
        assert!(error.is_unauthorized() && error.is_transient(), "{error:?}");
        let delay = error.retry_after().unwrap();
        assert!(Duration::ZERO < delay && delay <= Duration::from_secs(60));
        let text = "another one is requested once a minute at most (retry after ";
        assert!(error.to_string().contains(text), "{error}");
    }
    assert_eq!(errors[0].trace_id(), Some(TRACE_ID));

    let timeout = Duration::from_millis(300);
    let error = client.wait(TASK).timeout(timeout).run().unwrap_err();
    let Error::WaitTimeout { cause, .. } = error else {
        panic!("{error:?}")
    };
    assert!(cause.unwrap().is_unauthorized());
    let tasks = [NewTask::new("https://example.org/1.png")];
    let delayed = client.migrate(tasks).nth(1).unwrap();
    assert!(
        matches!(&delayed, MigrationEvent::Delayed { error, .. } if error.is_unauthorized()),
        "{delayed:?}"
    );
    assert_eq!((service.tokens_issued(), service.request_count()), (2, 6));
}

/// Another process has stored a token in the cache, which is refused at its first use.
#[test]
fn waits_for_a_replacement_also_if_the_token_of_the_cache_is_refused() {
    let (service, folder) = (service(), Folder::new("refused-too"));
    let client = client(&service, credentials().cache_file(folder.file()));
    for _ in 0..2 {
        client.get_process(TASK).unwrap();
        service.revoke_tokens();
    }
    let entry = fs::read(folder.file()).unwrap();
    let mut entry: serde_json::Value = serde_json::from_slice(&entry).unwrap();
    entry["access_token"] = "another".into();
    fs::write(folder.file(), entry.to_string()).unwrap();
    let error = client.get_process(TASK).unwrap_err();
    assert!(error.is_unauthorized() && error.is_transient(), "{error:?}");
    assert_eq!(service.tokens_issued(), 2);
}

#[test]
fn an_error_of_a_task_shows_that_the_token_is_accepted() {
    let service = service();
    let codes = Mutex::new([5066, 401, 5066, 401].into_iter());
    service.reply_with(move |request| {
        request.task_id()?;
        Some(Reply::code(codes.lock().unwrap().next()?, "an error"))
    });
    let client = client(&service, credentials());
    for _ in 0..2 {
        let error = client.get_process(TASK).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::from(5066)));
    }
    let error = client.get_process(TASK).unwrap_err();
    assert!(error.is_unauthorized() && error.is_transient(), "{error:?}");
}

#[test]
fn requests_at_most_two_tokens_after_repeated_401() {
    let unauthorized = || Reply::code(401, "token is invalid");
    // For API requests only, then for token requests, too; as a code, then as an HTTP status.
    for (only_api_requests, reply) in [
        (true, unauthorized()),
        (true, unauthorized().status(401)),
        (true, Reply::new(401)),
        (false, unauthorized()),
        (false, unauthorized().status(401)),
    ] {
        let service = service();
        let has_envelope = reply != Reply::new(401);
        service.reply_with(move |request| {
            (!only_api_requests || request.path != TOKEN_PATH).then(|| reply.clone())
        });
        let client = builder(&service, credentials()).retries(5).build().unwrap();
        for _ in 0..10 {
            let error = client.get_process(TASK).unwrap_err();
            assert!(error.is_unauthorized() && !error.is_transient());
            if has_envelope {
                assert_eq!(
                    (error.code(), error.trace_id()),
                    (Some(ErrorCode::UNAUTHORIZED), Some(TRACE_ID))
                );
            }
        }
        let count = token_requests(&service).len();
        assert!((1..=2).contains(&count), "{count} token requests");
    }
}

#[test]
fn a_refused_token_that_is_issued_again_is_an_error() {
    let service = service();
    let body = r#"{"code":0,"message":"ok","data":{"accessToken":"the-same-token"}}"#;
    let issued = Reply::json(body);
    service.reply_with(move |request| (request.path == TOKEN_PATH).then(|| issued.clone()));
    let client = client(&service, credentials());
    for _ in 0..3 {
        let error = client.get_process(TASK).unwrap_err();
        let text = "its `accessToken` is one that the service has refused";
        assert!(error.to_string().contains(text), "{error}");
        assert!(!error.may_have_taken_effect());
    }
    // Token, call, token.
    assert_eq!(service.request_count(), 3);
}

#[test]
fn a_given_token_is_not_replaced() {
    let service = service();
    let client = support::client(&service);
    assert!(client.get_process(TASK).unwrap_err().is_unauthorized());
    assert_eq!((service.request_count(), service.tokens_issued()), (1, 0));
}

#[test]
fn wrong_credentials_are_not_sent_repeatedly() {
    let service = service();
    let client = client(&service, Credentials::new(ID, "another-secret"));
    for _ in 0..4 {
        let error = client.get_process(TASK).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::INTERNAL));
        let text = error.to_string();
        let advice = "no access token was issued, check the client id and secret";
        assert!(
            text.contains(advice) && text.contains("client id or secret is wrong"),
            "{text}"
        );
    }
    assert!(
        service.request_count() <= 2,
        "repeated requests could cause a ban"
    );
}

#[test]
fn a_refused_login_keeps_the_words_of_the_service() {
    let service = service();
    service.reply_next(Reply::code(401, "invalid_client_credentials"));
    let error = client(&service, credentials()).access_token().unwrap_err();
    let text = "received: invalid_client_credentials";
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn retries_transient_errors_of_a_token_request() {
    let service = service();
    service.reply_next(Reply::new(503).header("Retry-After", "0"));
    let client = builder(&service, credentials()).retries(1).build().unwrap();
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    assert_eq!((service.tokens_issued(), service.request_count()), (1, 3));
}

#[test]
fn a_retry_of_a_token_request_gets_the_remaining_time() {
    let service = support::service();
    // Slow enough to need a part of the remaining time.
    let token = Reply::json(r#"{"code":0,"message":"ok","data":{"accessToken":"a-token"}}"#);
    let token = token.delay(Duration::from_millis(200));
    service
        .reply_next(Reply::new(503).header("Retry-After", "2"))
        .reply_next(token);
    let client = builder(&service, credentials())
        .retries(1)
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
}

#[test]
fn rejects_response_without_a_usable_token() {
    for (body, text) in [
        (
            r#"{"code":0,"message":"ok","data":{}}"#,
            "a field is missing, duplicate or of another type",
        ),
        (
            r#"{"code":0,"message":"ok","data":{"accessToken":""}}"#,
            "its `accessToken` cannot be used: it is empty",
        ),
        (
            r#"{"code":0,"message":"ok","data":{"accessToken":"a\r\nX: y"}}"#,
            "its `accessToken` cannot be used: it must contain only",
        ),
    ] {
        let service = service();
        service.reply_next(Reply::json(body));
        let error = client(&service, credentials())
            .get_process(TASK)
            .unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(service.request_count(), 1);
    }
}

#[test]
fn concurrent_calls_share_one_token_request() {
    let service = service();
    let client = client(&service, credentials());
    let body = r#"{"code":0,"message":"ok","data":{"accessToken":"a-token-of-many","expiredAt":"2099-01-01T00:00:00+08:00"}}"#;
    let slow = Reply::json(body).delay(Duration::from_millis(200));
    service.require_token("a-token-of-many");
    service.reply_with(move |request| (request.path == TOKEN_PATH).then(|| slow.clone()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(client.get_process(TASK).unwrap(), RUNNING));
        }
    });
    assert_eq!(token_requests(&service).len(), 1);
}

#[test]
fn concurrent_calls_share_the_error_of_one_token_request() {
    let service = service();
    let client = client(&service, credentials());
    let slow = Reply::new(404).delay(Duration::from_secs(1));
    service.reply_with(move |_| Some(slow.clone()));
    support::side_by_side(0..8, |_| {
        let error = client.get_process(TASK).unwrap_err();
        assert_eq!(error.http_status(), Some(404));
    });
    // One more on a machine on which a thread starts a second late; four if each thread requested one by itself.
    assert!((1..=2).contains(&service.request_count()));
}

/// Two calls send the same token, and both get a 401. The second 401 arrives after the token was
/// replaced.
#[test]
fn a_late_401_of_an_older_token_requests_no_other_token() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    let service = service();
    let client = client(&service, credentials());
    let old = format!("Bearer {}", client.access_token().unwrap().secret());
    service.revoke_tokens();
    let (with_old, with_new) = (AtomicUsize::new(0), AtomicUsize::new(0));
    service.reply_with(move |request| {
        let wait_until = |count: &AtomicUsize, min| {
            while count.load(Ordering::SeqCst) < min {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        match request.header("Authorization") {
            Some(token) if token != old => {
                with_new.fetch_add(1, Ordering::SeqCst);
            }
            Some(_) if with_old.fetch_add(1, Ordering::SeqCst) == 0 => wait_until(&with_old, 2),
            Some(_) => wait_until(&with_new, 1),
            None => {}
        }
        None
    });
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(client.get_process(TASK).unwrap(), RUNNING));
        }
    });
    assert_eq!((service.tokens_issued(), service.request_count()), (2, 6));
}

#[test]
fn a_wait_for_another_threads_token_is_bounded() {
    let service = service();
    let stall =
        |request: &Request| (request.path == TOKEN_PATH).then(|| Reply::new(200).stall_at(0));
    service.reply_with(stall);
    let client = builder(&service, credentials())
        .timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let error = client.get_process(TASK).unwrap_err();
                assert!(
                    matches!(&error, Error::Transport(e) if e.kind == TransportErrorKind::Timeout),
                    "{error:?}"
                );
            });
        }
    });
}

#[test]
fn a_thread_waits_for_another_threads_token_within_its_own_timeout() {
    let service = service();
    service.reply_with(|_| Some(Reply::new(200).stall_at(0)));
    let client = builder(&service, credentials())
        .timeout(Duration::from_secs(4))
        .build()
        .unwrap();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| client.get_process(TASK).unwrap_err());
        while service.request_count() == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let error = client
            .wait(TASK)
            .timeout(Duration::from_millis(100))
            .run()
            .unwrap_err();
        assert!(!slow.is_finished());
        let Error::WaitTimeout {
            cause: Some(cause), ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!(
            cause.to_string(),
            "timed out waiting for the token that another thread requests; raise `timeout`"
        );
        assert!(cause.is_timeout() && !cause.may_have_taken_effect());
        assert!(slow.join().unwrap().is_timeout());
    });
    assert_eq!(service.request_count(), 1);
}

/// A response with both 401 and 403 is a ban.
#[test]
fn a_ban_requests_no_new_token() {
    for reply in [
        Reply::code(403, "forbidden").status(401),
        Reply::code(401, "forbidden").status(403),
    ] {
        let service = service();
        let client = client(&service, credentials());
        client.get_process(TASK).unwrap();
        service.reply_next(reply);
        assert!(client.get_process(TASK).unwrap_err().is_banned());
        assert_eq!((service.tokens_issued(), service.request_count()), (1, 3));
    }
}

#[test]
fn token_requests_back_off_after_transient_errors() {
    for fault in [
        Reply::new(504),
        Reply::nothing(),
        Reply::code(429, "too many"),
    ] {
        let service = service();
        service.reply_with(move |request| (request.path == TOKEN_PATH).then(|| fault.clone()));
        let client = client(&service, credentials());
        let errors: Vec<_> = (0..20)
            .map(|_| client.get_process(TASK).unwrap_err())
            .collect();
        assert!(errors.iter().all(Error::is_transient), "{errors:?}");
        // A response's error has the remaining pause.
        let is_response = !matches!(errors[0], Error::Transport(_));
        let has_delay = |error: &Error| error.retry_after().is_some_and(|delay| !delay.is_zero());
        assert_eq!(errors.iter().any(has_delay), is_response, "{errors:?}");
        // Three errors without a delay, and a fourth, after which the pause is 1 s. One more request on a machine on
        // which this takes a second.
        assert!(
            (4..=5).contains(&service.request_count()),
            "{}",
            service.request_count()
        );
    }
}

#[test]
fn a_panic_in_a_middleware_blocks_no_other_call() {
    use pan123_offline::ureq::middleware::MiddlewareNext;
    use pan123_offline::ureq::{SendBody, http};

    static PANICS: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(true);
    let service = service();
    let middleware = |request: http::Request<SendBody<'_>>, next: MiddlewareNext<'_>| {
        assert!(
            !PANICS.swap(false, std::sync::atomic::Ordering::SeqCst),
            "on purpose"
        );
        next.handle(request)
    };
    let client =
        builder(&service, credentials()).configure_agent(move |agent| agent.middleware(middleware));
    let client = client.build().unwrap();
    let panicked = std::thread::scope(|scope| scope.spawn(|| client.get_process(TASK)).join());
    assert!(panicked.is_err());
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
}

#[test]
fn replaces_an_invalidated_token_of_a_watch_of_500_tasks() {
    const TASKS: u64 = 500;
    let service = service();
    for task in 0..TASKS {
        let running = (0..4).map(|step| Progress::new(Status::InProgress, step * 20));
        service.task(task, running.chain([Progress::new(Status::Succeeded, 100)]));
    }
    let client = client(&service, credentials());
    let interval = Duration::from_millis(1);
    let watch = client.watch(0..TASKS).policy(
        PollPolicy::new()
            .initial_interval(interval)
            .max_interval(interval),
    );
    let mut succeeded = 0;
    for (number, update) in watch.enumerate() {
        if number == 1000 {
            service.revoke_tokens();
        }
        let progress = update.result.clone().unwrap();
        succeeded += u64::from(progress.status == Status::Succeeded);
    }
    assert_eq!((succeeded, service.tokens_issued()), (TASKS, 2));
}

#[test]
fn clients_share_a_cache_file() {
    let (service, folder) = (service(), Folder::new("shared"));
    for _ in 0..4 {
        let client = client(&service, credentials().cache_file(folder.file()));
        client.get_process(TASK).unwrap();
        assert!(client.token_cache_error().is_none());
    }
    assert_eq!(service.tokens_issued(), 1);
}

#[test]
fn replaces_a_cache_of_another_service_or_client() {
    let (service, elsewhere, folder) = (service(), service(), Folder::new("foreign"));
    client(&elsewhere, credentials().cache_file(folder.file()))
        .get_process(TASK)
        .unwrap();
    client(&service, credentials().cache_file(folder.file()))
        .get_process(TASK)
        .unwrap();
    client(&service, credentials().cache_file(folder.file()))
        .get_process(TASK)
        .unwrap();
    assert_eq!((elsewhere.tokens_issued(), service.tokens_issued()), (1, 1));

    service.credentials("another", SECRET);
    let another = Credentials::new("another", SECRET).cache_file(folder.file());
    client(&service, another).get_process(TASK).unwrap();
    assert_eq!(service.tokens_issued(), 2);
}

#[test]
fn replaces_an_invalid_cache() {
    let (service, folder) = (service(), Folder::new("damaged"));
    for (number, text) in ["", "{", "\u{0}\u{0}", r#"{"access_token":"half"}"#]
        .into_iter()
        .enumerate()
    {
        fs::write(folder.file(), text).unwrap();
        for _ in 0..2 {
            client(&service, credentials().cache_file(folder.file()))
                .get_process(TASK)
                .unwrap();
        }
        assert_eq!(service.tokens_issued(), number + 1);
    }
    // A token that is invalid in a header is replaced, too.
    let whole = fs::read_to_string(folder.file()).unwrap();
    let (start, _) = whole.split_once(r#""access_token":""#).unwrap();
    fs::write(folder.file(), format!(r#"{start}"access_token":"a\nb"}}"#)).unwrap();
    client(&service, credentials().cache_file(folder.file()))
        .get_process(TASK)
        .unwrap();
    assert!(
        service
            .requests()
            .iter()
            .all(|request| request.header("X").is_none())
    );
}

#[test]
fn reads_the_cache_before_requesting_another_token() {
    let (service, folder) = (service(), Folder::new("newer"));
    let (first, second) = (
        client(&service, credentials().cache_file(folder.file())),
        client(&service, credentials().cache_file(folder.file())),
    );
    first.get_process(TASK).unwrap();
    second.get_process(TASK).unwrap();
    service.revoke_tokens();
    first.get_process(TASK).unwrap();
    second.get_process(TASK).unwrap();
    assert_eq!(
        service.tokens_issued(),
        2,
        "the second client uses the token of the first one"
    );
}

/// Another process stores a new token after each refusal.
#[test]
fn tries_at_most_two_other_tokens_in_a_call() {
    let (service, folder) = (service(), Folder::new("refused"));
    let client = client(&service, credentials().cache_file(folder.file()));
    client.get_process(TASK).unwrap();
    let (file, count) = (folder.file(), service.request_count());
    service.reply_with(move |request| {
        request.task_id()?;
        let mut entry: serde_json::Value =
            serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        entry["access_token"] = format!("{}x", entry["access_token"].as_str().unwrap()).into();
        fs::write(&file, entry.to_string()).unwrap();
        Some(Reply::code(401, "refused"))
    });
    assert!(client.get_process(TASK).unwrap_err().is_unauthorized());
    assert_eq!(service.request_count() - count, 3);
}

#[test]
fn no_call_fails_if_the_cache_cannot_be_used() {
    let (service, folder) = (service(), Folder::new("unusable"));
    let missing = client(
        &service,
        credentials().cache_file(folder.0.join("missing").join("token")),
    );
    missing.get_process(TASK).unwrap();
    let error = missing.token_cache_error().unwrap();
    assert!(error.to_string().ends_with("cannot be written"), "{error}");
    assert!(std::error::Error::source(&error).is_some());

    fs::create_dir(folder.file()).unwrap();
    let a_folder = client(&service, credentials().cache_file(folder.file()));
    a_folder.get_process(TASK).unwrap();
    assert!(
        a_folder
            .token_cache_error()
            .unwrap()
            .to_string()
            .ends_with("cannot be written")
    );
    assert_eq!(service.tokens_issued(), 2);
}

/// Another process has locked the file, and never unlocks it.
#[test]
fn no_call_fails_if_the_cache_stays_locked() {
    let (service, folder) = (service(), Folder::new("hung"));
    let lock = fs::File::create(folder.0.join("token.lock")).unwrap();
    lock.lock().unwrap();
    // Seven eighths of it go to the lock.
    let timeout = Duration::from_secs(12);
    let client = builder(&service, credentials().cache_file(folder.file())).timeout(timeout);
    let client = client.build().unwrap();
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    let error = client.token_cache_error().unwrap().to_string();
    assert!(error.ends_with("is locked by another process"), "{error}");
    // The next process does not wait.
    assert!(folder.file().exists());
}

#[test]
fn a_cache_without_a_lock_is_written() {
    let (service, folder) = (service(), Folder::new("no-lock"));
    fs::create_dir(folder.0.join("token.lock")).unwrap();
    let cached = || credentials().cache_file(folder.file());
    let first = client(&service, cached());
    first.get_process(TASK).unwrap();
    let error = first.token_cache_error().unwrap().to_string();
    assert!(error.ends_with("cannot be locked"), "{error}");
    client(&service, cached()).get_process(TASK).unwrap();
    assert_eq!(service.tokens_issued(), 1);
}

/// A token that takes more than half of a call's time.
#[test]
fn clients_that_start_together_wait_for_one_slow_token() {
    let (service, folder) = (service(), Folder::new("slow"));
    service.require_token("a-slow-token");
    let body = r#"{"code":0,"message":"ok","data":{"accessToken":"a-slow-token"}}"#;
    let slow = Reply::json(body).delay(Duration::from_millis(4500));
    service.reply_with(move |request| (request.path == TOKEN_PATH).then(|| slow.clone()));
    support::side_by_side(0..6, |_| {
        let credentials = credentials().cache_file(folder.file());
        let client = builder(&service, credentials).timeout(Duration::from_secs(8));
        let client = client.build().unwrap();
        assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    });
    assert_eq!(token_requests(&service).len(), 1);
}

#[cfg(unix)]
#[test]
fn a_cache_that_others_can_read_or_write_is_replaced() {
    use std::os::unix::fs::PermissionsExt;

    let (service, folder) = (service(), Folder::new("open"));
    let cached = || client(&service, credentials().cache_file(folder.file()));
    cached().get_process(TASK).unwrap();
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o644)).unwrap();
    for (error_expected, tokens_issued) in [(true, 2), (false, 2)] {
        let client = cached();
        client.get_process(TASK).unwrap();
        assert_eq!(service.tokens_issued(), tokens_issued);
        let error = client.token_cache_error().map(|error| error.to_string());
        assert_eq!(error.is_some(), error_expected, "{error:?}");
        let mode = fs::metadata(folder.file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn errors_and_debug_output_show_no_secret() {
    let service = service();
    let echo = format!("you sent {SECRET}");
    for reply in [
        Reply::code(1, &echo),
        Reply::new(500).body(echo.as_str()),
        Reply::json(echo.as_str()),
    ] {
        service.reply_next(reply);
        let client = client(&service, credentials());
        let error = client.get_process(TASK).unwrap_err();
        assert!(!all_texts(&error).contains(SECRET), "{}", all_texts(&error));
        assert!(!format!("{client:?} {:?}", builder(&service, credentials())).contains(SECRET));
    }
    assert_eq!(
        format!("{:?}", credentials()),
        r#"Credentials { client_id: "client-id", client_secret: "[redacted]", cache_file: None }"#
    );
}

#[test]
fn rejects_invalid_credentials() {
    for (credentials, text) in [
        (Credentials::new("", SECRET), "`credentials`: it is empty"),
        (Credentials::new(ID, ""), "`credentials`: it is empty"),
        (
            Credentials::new(ID, "x\n"),
            "`credentials`: it begins or ends with white space; trim it",
        ),
        (credentials().cache_file(""), "`cache_file`: it is empty"),
    ] {
        let result = Client::builder().credentials(credentials).build();
        let error = result.unwrap_err().to_string();
        assert_eq!(error, format!("setting {text}"));
    }
}

/// Set for a child, which reports its result on standard error.
const CHILD: &str = "PAN123_TEST_CHILD";

/// Returns a command that runs [`child_calls`] with these `PAN123_` variables and no others.
fn child(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_calls", "--ignored", "--nocapture"]);
    for name in [
        "ACCESS_TOKEN",
        "CLIENT_ID",
        "CLIENT_SECRET",
        "TOKEN_CACHE",
        "BASE_URL",
    ] {
        command.env_remove(format!("PAN123_{name}"));
    }
    command
        .env(CHILD, "1")
        .envs(variables.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

#[test]
#[ignore = "the child of other tests"]
fn child_calls() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    match Client::from_env().and_then(|client| client.get_process(TASK)) {
        Ok(progress) => eprintln!("outcome: {progress}"),
        Err(error) => eprintln!("outcome: {error}"),
    }
}

fn outcome(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines()
        .find_map(|line| line.strip_prefix("outcome: "))
        .unwrap_or_else(|| panic!("{text}"))
        .to_owned()
}

#[test]
fn eight_concurrent_processes_request_one_token() {
    let (service, folder) = (service(), Folder::new("processes"));
    let (base, file) = (service.base_url(), folder.file());
    let variables = [
        ("PAN123_CLIENT_ID", ID),
        ("PAN123_CLIENT_SECRET", SECRET),
        ("PAN123_BASE_URL", &base),
        ("PAN123_TOKEN_CACHE", path(&file)),
    ];
    let children: Vec<_> = (0..8).map(|_| child(&variables).spawn().unwrap()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(outcome(&output.stderr), RUNNING.to_string());
    }
    assert_eq!(service.tokens_issued(), 1);
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn from_env_reads_credentials() {
    let service = service();
    let base = service.base_url();
    let run = |variables: &[(&str, &str)]| {
        let mut all = vec![("PAN123_BASE_URL", base.as_str())];
        all.extend(variables);
        outcome(&child(&all).output().unwrap().stderr)
    };
    let (id, secret) = (("PAN123_CLIENT_ID", ID), ("PAN123_CLIENT_SECRET", SECRET));
    assert_eq!(run(&[id, secret]), RUNNING.to_string());
    assert_eq!(service.tokens_issued(), 1);
    assert_eq!(
        run(&[id]),
        "setting `PAN123_CLIENT_SECRET`: it is not set, but PAN123_CLIENT_ID is"
    );
    assert_eq!(
        run(&[secret]),
        "setting `PAN123_CLIENT_ID`: it is not set, but PAN123_CLIENT_SECRET is"
    );
    assert_eq!(
        run(&[("PAN123_CLIENT_ID", " x"), secret]),
        "setting `PAN123_CLIENT_ID`: it begins or ends with white space; trim it"
    );
    // A token takes precedence over them.
    assert!(run(&[id, secret, ("PAN123_ACCESS_TOKEN", "t")]).contains("code 401"));
    assert_eq!(service.tokens_issued(), 1);
}

/// The token takes most of a wait's time, and the poll after it stalls.
#[test]
fn a_token_request_and_the_poll_after_it_share_one_deadline() {
    let service = service();
    let body = r#"{"code":0,"message":"ok","data":{"accessToken":"a-token"}}"#;
    let token = Reply::json(body).delay(Duration::from_secs(4));
    service.reply_with(move |request| {
        let is_token_request = request.path == TOKEN_PATH;
        Some(if is_token_request {
            token.clone()
        } else {
            Reply::new(200).stall_at(0)
        })
    });
    let client = client(&service, credentials());
    let started = std::time::Instant::now();
    let timeout = Duration::from_secs(6);
    let error = client.wait(TASK).timeout(timeout).run().unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_secs(9), "{elapsed:?}");
}

#[test]
fn a_migration_waits_for_a_token_no_longer_than_its_timeout() {
    let service = service();
    service.reply_with(|_| Some(Reply::new(200).stall_at(0)));
    let client = client(&service, credentials());
    let started = std::time::Instant::now();
    let tasks = [NewTask::new("https://example.org/1.png")];
    let timeout = Duration::from_secs(1);
    client.migrate(tasks).timeout(timeout).for_each(drop);
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_secs(15), "{elapsed:?}");
}
