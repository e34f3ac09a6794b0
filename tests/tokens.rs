//! Tokens for credentials: when they are requested, how many, and how they are shared.

mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pan123_offline::testing::{Reply, Service, TRACE_ID};
use pan123_offline::{
    Client, ClientBuilder, Credentials, Error, ErrorCode, MigrationEvent, NewTask,
};
use support::{RUNNING, TASK};

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
    support::builder(service.base_url()).credentials(credentials)
}

fn client(service: &Service) -> Client {
    builder(service, credentials()).build().unwrap()
}

/// Returns the response to a token request.
fn issued(token: &str) -> Reply {
    Reply::json(format!(
        r#"{{"code":0,"message":"ok","data":{{"accessToken":{token:?}}}}}"#
    ))
}

/// Responds to token requests with this.
fn reply_to_token_requests(service: &Service, reply: Reply) {
    service.reply_with(move |request| (request.path == TOKEN_PATH).then(|| reply.clone()));
}

fn tasks() -> [NewTask; 1] {
    [NewTask::new("https://example.org/1.png")]
}

/// A new folder for one test, removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("pan123-offline-tokens-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("token")
    }

    /// Returns a new client with the cache file of this folder.
    fn client(&self, service: &Service) -> Client {
        let credentials = credentials().cache_file(self.file());
        builder(service, credentials).build().unwrap()
    }

    /// Replaces the token in the cache file.
    fn set_token(&self, token: &str) {
        let entry = fs::read(self.file()).unwrap();
        let mut entry: serde_json::Value = serde_json::from_slice(&entry).unwrap();
        entry["access_token"] = token.into();
        fs::write(self.file(), entry.to_string()).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

// ---- Requests.

#[test]
fn requests_a_token_when_needed_and_keeps_it() {
    let service = service();
    let client = client(&service);
    assert_eq!(service.request_count(), 0);
    for _ in 0..5 {
        assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    }
    assert_eq!((service.tokens_issued(), service.request_count()), (1, 6));
    // The token request has a connection of its own.
    assert_eq!(service.connection_count(), 2);
    assert!(client.token_cache_error().is_none());

    let request = &service.requests()[0];
    let target = (request.method.as_str(), request.path.as_str());
    assert_eq!(target, ("POST", TOKEN_PATH));
    assert_eq!(request.header("Authorization"), None);
    assert_eq!(request.header("Platform"), Some("open_platform"));
    assert_eq!(request.header("Content-Type"), Some("application/json"));
    let body = format!(r#"{{"clientID":"{ID}","clientSecret":"{SECRET}"}}"#);
    assert_eq!(request.body, body.into_bytes());
}

#[test]
fn access_token_returns_the_token_before_the_first_call() {
    let (service, folder) = (service(), Folder::new("ahead"));
    // Retried, as a call is.
    service.reply_next(support::retry_at_once(Reply::new(502)));
    let cached = credentials().cache_file(folder.file());
    let client = builder(&service, cached).retries(1).build().unwrap();
    let token = client.access_token().unwrap();
    assert_eq!(client.access_token().unwrap(), token);
    client.get_process(TASK).unwrap();
    assert_eq!((service.tokens_issued(), service.request_count()), (1, 3));
    let authorization = format!("Bearer {}", token.secret());
    let request = &service.requests()[2];
    assert_eq!(request.header("Authorization"), Some(&authorization[..]));
    // Another client takes it from the cache file.
    assert_eq!(folder.client(&service).access_token().unwrap(), token);
    assert_eq!(service.request_count(), 3);

    // A given token is returned as it is, also while a 429 pauses requests.
    let given = support::client(&service);
    service.reply_next(Reply::code(429, "too many").header("Retry-After", "3600"));
    assert!(given.get_process(TASK).unwrap_err().is_rate_limited());
    assert_eq!(given.access_token().unwrap().secret(), support::TOKEN);
}

#[test]
fn request_access_token_always_requests_one_and_keeps_it() {
    let (service, folder) = (service(), Folder::new("login"));
    let client = folder.client(&service);
    let tokens = [(); 3].map(|()| client.request_access_token().unwrap());
    assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2]);
    client.get_process(TASK).unwrap();
    for client in [client, folder.client(&service)] {
        assert_eq!(client.access_token().unwrap(), tokens[2]);
    }
    assert_eq!((service.tokens_issued(), service.request_count()), (3, 4));

    // Rejected credentials are not sent again.
    let wrong = builder(&service, Credentials::new(ID, "another secret"));
    let wrong = wrong.build().unwrap();
    for _ in 0..2 {
        let error = wrong.request_access_token().unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::INTERNAL));
    }
    assert_eq!(service.request_count(), 5);
    let error = support::client(&service).request_access_token();
    let text =
        "setting `credentials`: they are missing, and a token can be requested with them only";
    assert_eq!(error.unwrap_err().to_string(), text);
}

#[test]
fn error_of_a_token_request_says_why() {
    for (reply, text) in [
        (
            Reply::code(401, "invalid_client_credentials"),
            "no access token was issued, check the client id and secret; received: invalid_client_credentials",
        ),
        (
            Reply::json(r#"{"code":0,"message":"ok","data":{}}"#),
            "a field is missing, duplicate or of another type",
        ),
        (issued(""), "its `accessToken` cannot be used: it is empty"),
        (
            issued("a\r\nX: y"),
            "its `accessToken` cannot be used: it must contain only",
        ),
    ] {
        let service = service();
        service.reply_next(reply);
        let error = client(&service).get_process(TASK).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(service.request_count(), 1);
    }
}

#[test]
fn retry_after_of_a_token_request_is_obeyed() {
    let service = service();
    let limited = Reply::code(429, "slow down").header("Retry-After", "3600");
    reply_to_token_requests(&service, limited);
    let client = client(&service);
    for _ in 0..3 {
        let error = client.get_process(TASK).unwrap_err();
        let remaining = error.retry_after().unwrap().as_secs();
        assert!((3000..=3600).contains(&remaining), "{remaining}");
        assert!(error.to_string().contains("(retry after 3"), "{error}");
    }
    assert_eq!(service.request_count(), 1);
}

#[test]
fn timeout_of_a_wait_or_migration_bounds_a_token_request() {
    let service = service();
    service.reply_with(|_| Some(Reply::new(200).delay(Duration::from_secs(60))));
    let client = client(&service);
    let timeout = Duration::from_millis(300);
    let started = Instant::now();
    client.migrate(tasks()).timeout(timeout).for_each(drop);
    client.wait(TASK).timeout(timeout).run().unwrap_err();
    // Far above both, and below the client's own.
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_secs(15), "{elapsed:?}");
}

// ---- Refused tokens.

#[test]
fn replays_once_after_401_and_not_after_a_ban() {
    let service = service();
    let client = client(&service);
    client.get_process(TASK).unwrap();
    // A response with both 401 and 403 is a ban.
    service.reply_next(Reply::code(403, "forbidden").status(401));
    assert!(client.get_process(TASK).unwrap_err().is_banned());
    assert_eq!((service.tokens_issued(), service.request_count()), (1, 3));
    service.revoke_tokens();
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    // The 401, the token request, the replay.
    assert_eq!((service.tokens_issued(), service.request_count()), (2, 6));
}

/// Another process requests tokens, so that an accepted token becomes invalid a second time within the same minute.
#[test]
fn waits_for_the_next_replacement_of_an_accepted_token() {
    let service = service();
    let client = client(&service);
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
    let delayed = client.migrate(tasks()).find_map(|event| match event {
        MigrationEvent::Delayed { error, delay, .. } => Some((error, delay)),
        _ => None,
    });
    let (error, delay) = delayed.unwrap();
    assert!(error.is_unauthorized() && delay > Duration::from_secs(20));
    assert_eq!((service.tokens_issued(), service.request_count()), (2, 6));
}

/// Another process has stored a token in the cache, which is refused at its first use.
#[test]
fn waits_for_a_replacement_also_if_the_token_of_the_cache_is_refused() {
    let (service, folder) = (service(), Folder::new("refused-too"));
    let client = folder.client(&service);
    for _ in 0..2 {
        client.get_process(TASK).unwrap();
        service.revoke_tokens();
    }
    folder.set_token("another");
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
    let client = client(&service);
    for _ in 0..2 {
        let error = client.get_process(TASK).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::FILE_NOT_FOUND));
    }
    let error = client.get_process(TASK).unwrap_err();
    assert!(error.is_unauthorized() && error.is_transient(), "{error:?}");
}

#[test]
fn a_token_that_was_never_accepted_is_replaced_once() {
    for reply in [Reply::code(401, "token is invalid"), Reply::new(401)] {
        let service = service();
        service.reply_with(move |request| request.task_id().map(|_| reply.clone()));
        let client = builder(&service, credentials()).retries(5);
        let client = client.build().unwrap();
        for _ in 0..10 {
            let error = client.get_process(TASK).unwrap_err();
            assert!(error.is_unauthorized() && !error.is_transient());
        }
        assert_eq!((service.tokens_issued(), service.request_count()), (2, 4));
    }
}

#[test]
fn a_refused_token_that_is_issued_again_is_an_error() {
    let service = service();
    reply_to_token_requests(&service, issued("the-same-token"));
    let client = client(&service);
    for _ in 0..3 {
        let error = client.get_process(TASK).unwrap_err();
        let text = "its `accessToken` is one that the service has refused";
        assert!(error.to_string().contains(text), "{error}");
        assert!(!error.may_have_taken_effect());
    }
    // Token, call, token.
    assert_eq!(service.request_count(), 3);
}

/// While the service responds to a call, another one of the same client replaces the token.
#[test]
fn a_late_401_of_an_older_token_requests_no_other_token() {
    let service = service();
    let client = client(&service);
    client.access_token().unwrap();
    service.revoke_tokens();
    let (other, is_first) = (client.clone(), AtomicBool::new(true));
    service.reply_with(move |request| {
        if request.task_id().is_some() && is_first.swap(false, Ordering::SeqCst) {
            assert_eq!(other.get_process(TASK).unwrap(), RUNNING);
        }
        None
    });
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    assert_eq!((service.tokens_issued(), service.request_count()), (2, 6));
}

// ---- Threads.

#[test]
fn concurrent_calls_share_one_token_request_or_its_error() {
    let service = service();
    let client = client(&service);
    service.require_token("a-token-of-many");
    for (reply, expected) in [
        (Reply::new(404), None),
        (issued("a-token-of-many"), Some(RUNNING)),
    ] {
        let before = service.request_count();
        reply_to_token_requests(&service, reply.delay(Duration::from_secs(1)));
        support::side_by_side(0..8, |_| {
            assert_eq!(client.get_process(TASK).ok(), expected);
        });
        let polls = expected.map_or(0, |_| 8);
        let count = service.request_count() - before - polls;
        // One more on a machine on which a thread starts a second late.
        assert!((1..=2).contains(&count), "{count} token requests");
    }
}

#[test]
fn a_thread_waits_for_another_threads_token_within_its_own_timeout() {
    let service = service();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let of_service = Arc::clone(&gate);
    service.reply_with(move |_| {
        drop(of_service.lock().unwrap());
        None
    });
    let client = client(&service);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| client.get_process(TASK));
        while service.request_count() == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let timeout = Duration::from_millis(100);
        let error = client.wait(TASK).timeout(timeout).run().unwrap_err();
        let Error::WaitTimeout { cause, .. } = error else {
            panic!("{error:?}")
        };
        let cause = cause.unwrap();
        let text = "timed out waiting for the token that another thread requests; raise `timeout`";
        assert_eq!(cause.to_string(), text);
        assert!(cause.is_timeout() && !cause.may_have_taken_effect());
        assert_eq!(service.request_count(), 1);
        drop(closed);
        assert_eq!(slow.join().unwrap().unwrap(), RUNNING);
    });
}

#[test]
fn a_panic_in_a_middleware_blocks_no_other_call() {
    use pan123_offline::ureq::middleware::MiddlewareNext;
    use pan123_offline::ureq::{SendBody, http};

    static PANICS: AtomicBool = AtomicBool::new(true);
    let service = service();
    let middleware = |request: http::Request<SendBody<'_>>, next: MiddlewareNext<'_>| {
        assert!(!PANICS.swap(false, Ordering::SeqCst), "on purpose");
        next.handle(request)
    };
    let client =
        builder(&service, credentials()).configure_agent(move |agent| agent.middleware(middleware));
    let client = client.build().unwrap();
    let panicked = std::thread::scope(|scope| scope.spawn(|| client.get_process(TASK)).join());
    assert!(panicked.is_err());
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
}

// ---- The cache file. `src/auth/cache.rs` has what is read and written.

#[test]
fn clients_of_one_service_and_client_id_share_a_cache_file() {
    let (service, elsewhere, folder) = (service(), service(), Folder::new("shared"));
    for tokens_issued in [1, 1] {
        let client = folder.client(&service);
        client.get_process(TASK).unwrap();
        assert!(client.token_cache_error().is_none());
        assert_eq!(service.tokens_issued(), tokens_issued);
    }
    // A damaged file, a token that a header cannot contain, one of another service, and one of another client id are
    // replaced.
    for damaged in ["", "null", "\0\0", r#"{"access_token":"half"}"#] {
        fs::write(folder.file(), damaged).unwrap();
        let before = service.tokens_issued();
        folder.client(&service).get_process(TASK).unwrap();
        assert_eq!(service.tokens_issued(), before + 1, "{damaged:?}");
    }
    folder.set_token("a\nb");
    let before = service.tokens_issued();
    folder.client(&service).get_process(TASK).unwrap();
    assert_eq!(service.tokens_issued(), before + 1);
    folder.client(&elsewhere).get_process(TASK).unwrap();
    folder.client(&service).get_process(TASK).unwrap();
    let counts = (elsewhere.tokens_issued(), service.tokens_issued());
    assert_eq!(counts, (1, before + 2));
    service.credentials("another", SECRET);
    let another = Credentials::new("another", SECRET).cache_file(folder.file());
    let another = builder(&service, another).build().unwrap();
    another.get_process(TASK).unwrap();
    assert_eq!(service.tokens_issued(), before + 3);
}

#[test]
fn a_reader_of_the_cache_file_never_sees_half_of_it() {
    let (service, folder) = (service(), Folder::new("whole"));
    folder.client(&service).access_token().unwrap();
    std::thread::scope(|scope| {
        let write = || {
            let client = folder.client(&service);
            (0..20).for_each(|_| drop(client.request_access_token().unwrap()));
        };
        let writers = [scope.spawn(write), scope.spawn(write)];
        while writers.iter().any(|writer| !writer.is_finished()) {
            let file = fs::read(folder.file()).unwrap();
            serde_json::from_slice::<serde_json::Value>(&file).unwrap();
        }
    });
    let entries = fs::read_dir(&folder.0).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["token", "token.lock"], "no temporary file is left");
}

#[test]
fn reads_the_cache_before_requesting_another_token() {
    let (service, folder) = (service(), Folder::new("newer"));
    let clients = [(); 3].map(|()| folder.client(&service));
    let call = |client: &Client| assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    clients.iter().for_each(call);
    service.revoke_tokens();
    clients[..2].iter().for_each(call);
    // The second uses the token of the first.
    assert_eq!(service.tokens_issued(), 2);
    // The token that the third finds in the cache is refused, too.
    service.revoke_tokens();
    call(&clients[2]);
    assert_eq!(service.tokens_issued(), 3);
}

/// Another process stores a new token after each refusal.
#[test]
fn tries_at_most_two_other_tokens_in_a_call() {
    let (service, folder) = (service(), Arc::new(Folder::new("refused")));
    let client = folder.client(&service);
    client.get_process(TASK).unwrap();
    let (another, before) = (Arc::clone(&folder), service.request_count());
    service.reply_with(move |request| {
        request.task_id()?;
        another.set_token(&format!("{}x", request.header("Authorization")?.len()));
        Some(Reply::code(401, "refused"))
    });
    assert!(client.get_process(TASK).unwrap_err().is_unauthorized());
    assert_eq!(service.request_count() - before, 3);
}

#[test]
fn no_call_fails_if_the_cache_cannot_be_used() {
    let (service, folder) = (service(), Folder::new("unusable"));
    let missing = credentials().cache_file(folder.0.join("missing").join("token"));
    let missing = builder(&service, missing).build().unwrap();
    fs::create_dir(folder.file()).unwrap();
    for client in [missing, folder.client(&service)] {
        client.get_process(TASK).unwrap();
        let error = client.token_cache_error().unwrap();
        assert!(error.to_string().ends_with("cannot be written"), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
    assert_eq!(service.tokens_issued(), 2);
}

#[test]
fn a_cache_without_a_lock_is_written() {
    let (service, folder) = (service(), Folder::new("no-lock"));
    fs::create_dir(folder.0.join("token.lock")).unwrap();
    let first = folder.client(&service);
    first.get_process(TASK).unwrap();
    let error = first.token_cache_error().unwrap().to_string();
    assert!(error.ends_with("cannot be locked"), "{error}");
    folder.client(&service).get_process(TASK).unwrap();
    assert_eq!(service.tokens_issued(), 1);
}

/// How long they wait for the lock is tested beside the cache.
#[test]
fn clients_that_start_together_wait_for_one_slow_token() {
    let (service, folder) = (service(), Folder::new("slow"));
    service.require_token("a-slow-token");
    let slow = issued("a-slow-token").delay(Duration::from_secs(1));
    reply_to_token_requests(&service, slow);
    support::side_by_side(0..6, |_| {
        let client = folder.client(&service);
        assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    });
    assert_eq!(service.request_count(), 1 + 6);
}

#[cfg(unix)]
#[test]
fn a_cache_that_others_can_read_or_write_is_replaced() {
    use std::os::unix::fs::PermissionsExt;

    let (service, folder) = (service(), Folder::new("open"));
    folder.client(&service).get_process(TASK).unwrap();
    for (mode, issued) in [(0o700, 1), (0o640, 2), (0o602, 3)] {
        fs::set_permissions(folder.file(), fs::Permissions::from_mode(mode)).unwrap();
        for error_expected in [issued > 1, false] {
            let client = folder.client(&service);
            client.get_process(TASK).unwrap();
            assert_eq!(service.tokens_issued(), issued);
            assert_eq!(client.token_cache_error().is_some(), error_expected);
        }
        for file in [folder.file(), folder.0.join("token.lock")] {
            let written = fs::metadata(file).unwrap().permissions().mode();
            assert_eq!(written & 0o077, 0);
        }
    }
}
