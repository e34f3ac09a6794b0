//! Tests through a real gateway: nginx with TLS in front of the stand-in. The service's own
//! gateway, Kong, is based on nginx.
//!
//! They cover behaviour of nginx that the stand-in does not imitate: when it closes a kept-alive
//! connection, its rate limits, its responses if the service behind it is down, and how it forwards
//! an incomplete body.
//!
//! Run them with `cargo test --test gateway -- --ignored` as any user; they need nginx.
//! Each test runs its own nginx on a free port of 127.0.0.1. Nothing leaves the machine.
#![cfg(feature = "rustls")]

#[path = "support/nginx.rs"]
mod nginx;
#[path = "support/proxy.rs"]
mod proxy;
mod support;
#[path = "support/tls.rs"]
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use nginx::{Entry, Nginx, wait_until};
use pan123_offline::testing::{Reply, Service};
use pan123_offline::{
    Client, ClientBuilder, Error, NewTask, PollPolicy, Progress, Status, TransportErrorKind, ureq,
};
use proxy::Proxy;
use support::{Fault, RUNNING, TASK, TOKEN, all_texts, service, side_by_side, transport_kind};
use tls::Identity;

const DONE: Progress = Progress::new(Status::Succeeded, 100);
const URL: &str = "https://example.org/cat.png";

const RATE_LIMITED: &str = "too many requests, wait and try again";
const UNAVAILABLE: &str = "the service or a gateway before it failed, try again later";
const UNAVAILABLE_TASK_MAY_EXIST: &str = "the service or a gateway before it failed, try again later; the task may \
    exist, check before you create it again";

/// The certificate of all tests but those with a proxy.
fn identity() -> Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY
        .get_or_init(|| Identity::new("127.0.0.1", |_| {}))
        .clone()
}

/// Starts a gateway in front of a service, with these directives of the block `server`.
fn start(service: &Service, server: &str) -> Nginx {
    Nginx::start_as(&identity(), service.address(), ["", "", server])
}

fn builder(nginx: &Nginx) -> ClientBuilder {
    let trust = identity().trust();
    support::builder(format!("https://{}", nginx.address()))
        .configure_agent(|agent| agent.tls_config(trust))
}

fn client(nginx: &Nginx) -> Client {
    builder(nginx).build().unwrap()
}

/// Asserts that an error is nginx's own error page. Its title begins with the status.
#[track_caller]
fn assert_page(error: &Error, title: &str, advice: &str) {
    let page = format!(
        r"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    ) + r"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";
    let start = format!("HTTP {} without the service's envelope: ", &title[..3]);
    assert_eq!(
        error.to_string(),
        format!("{start}{advice}; received: {page}")
    );
    assert!(error.is_transient() && !error.is_timeout());
}

/// Returns the number of creations that have reached the service.
fn creations(service: &Service) -> usize {
    let requests = service.requests();
    let creations = requests.iter().filter(|request| request.method == "POST");
    creations.count()
}

fn count(log: &[Entry], status: u16) -> usize {
    log.iter().filter(|entry| entry.status == status).count()
}

/// Returns the number of requests of each connection, in the order of the connections.
fn by_connection(log: &[Entry]) -> Vec<usize> {
    let mut counts = BTreeMap::new();
    for entry in log {
        *counts.entry(entry.connection).or_default() += 1;
    }
    counts.into_values().collect()
}

// ---- Connections

/// A gateway that prefers HTTP/2 uses HTTP/1.1, because the client offers no other protocol.
#[test]
#[ignore = "needs nginx: cargo test --test gateway -- --ignored"]
fn does_not_offer_http_2() {
    let service = service();
    let nginx = Nginx::start_as(&identity(), service.address(), ["http2", "", ""]);
    let client = client(&nginx);
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    assert_eq!(client.create_task(&NewTask::new(URL)).unwrap(), TASK + 1);
    let log = nginx.stop();
    assert_eq!(log.len(), 2);
    assert!(log.iter().all(|entry| entry.protocol == "HTTP/1.1"));
}

/// Every third response is the last of its connection, with `Connection: close`, as nginx always
/// sends it.
#[test]
#[ignore = "needs nginx: cargo test --test gateway -- --ignored"]
fn no_call_fails_if_nginx_limits_the_requests_of_a_connection() {
    let service = service();
    let nginx = start(&service, "keepalive_requests 3;");
    let client = client(&nginx);
    for call in 0..300 {
        assert_eq!(client.get_process(TASK).unwrap(), RUNNING, "call {call}");
    }
    assert_eq!(by_connection(&nginx.stop()), [3; 100]);
    assert_eq!(service.request_count(), 300);
}

/// nginx closes idle connections without notice at about the time at which the next call takes
/// them.
#[test]
#[ignore = "needs nginx: cargo test --test gateway -- --ignored"]
fn no_call_fails_and_no_task_is_duplicated_with_a_short_idle_timeout() {
    const THREADS: usize = 8;
    const CALLS: usize = 40;

    let service = service();
    let nginx = start(&service, "keepalive_timeout 50ms;");
    let tasks = Mutex::new(BTreeSet::new());
    side_by_side(0..THREADS, |_| {
        let client = client(&nginx);
        for call in 0..CALLS {
            // From 48.0 ms to 51.9 ms.
            std::thread::sleep(Duration::from_micros(48_000 + 100 * call as u64));
            if call.is_multiple_of(4) {
                let task = client.create_task(&NewTask::new(URL)).unwrap();
                assert!(tasks.lock().unwrap().insert(task), "{task} twice");
            }
            assert_eq!(client.get_process(TASK).unwrap(), RUNNING, "call {call}");
        }
    });
    let tasks = THREADS * CALLS / 4;
    assert_eq!(creations(&service), tasks);
    // A request that nginx has not read before it closes is not forwarded.
    assert_eq!(service.request_count(), THREADS * CALLS + tasks);
    let connections = by_connection(&nginx.stop()).len();
    assert!(
        connections > THREADS + tasks,
        "none of {connections} was lost"
    );
}

/// nginx is reloaded repeatedly while a watch polls five tasks. The old worker closes the
/// connection as soon as it is idle, sometimes when the next poll has been sent already.
#[test]
#[ignore = "needs nginx: cargo test --test gateway -- --ignored"]
fn a_watch_continues_across_reloads_without_errors() {
    const RELOADS: usize = 20;
    const NO_TIME: Duration = Duration::from_nanos(1);

    let service = Service::start().unwrap();
    let (tasks, reloaded) = (1..=5, Arc::new(AtomicBool::new(false)));
    for task in tasks.clone() {
        service.task(task, [DONE]);
    }
    // No task ends before the last reload.
    let ends = Arc::clone(&reloaded);
    service.reply_with(move |_| (!ends.load(Ordering::SeqCst)).then(|| Reply::progress(RUNNING)));
    let nginx = start(&service, "");
    let workers = || {
        let mut workers: Vec<_> = nginx.log().iter().map(|entry| entry.worker).collect();
        workers.dedup();
        workers.len()
    };
    let client = client(&nginx);
    let updates: Vec<Progress> = std::thread::scope(|scope| {
        // A single failed poll would end its task.
        let policy = PollPolicy::new()
            .initial_interval(NO_TIME)
            .max_interval(NO_TIME)
            .max_consecutive_errors(1)
            .error_window(Duration::ZERO);
        let watch = client.watch(tasks.clone()).policy(policy);
        let watch = scope.spawn(move || watch.map(|update| update.result.unwrap()).collect());
        for reload in 1..=RELOADS {
            wait_until("the watch is under way", || workers() == reload);
            nginx.reload();
        }
        wait_until("the last worker serves the watch", || {
            workers() == RELOADS + 1
        });
        reloaded.store(true, Ordering::SeqCst);
        watch.join().unwrap()
    });
    let ends = updates.iter().filter(|progress| **progress == DONE);
    assert_eq!((ends.count(), updates.len()), (5, 10));
    let log = nginx.stop();
    assert_eq!(count(&log, 200), log.len());
}

// ---- Rate limits, and an unavailable service

#[test]
#[ignore = "needs nginx: cargo test --test gateway -- --ignored"]
fn retries_after_a_rate_limit() {
    let http = "limit_req_zone $binary_remote_addr zone=calls:1m rate=20r/m;";
    let server = "limit_req zone=calls; limit_req_status 429;";
    let service = service();
    let nginx = Nginx::start_as(&identity(), service.address(), ["", http, server]);
    let not_retrying = client(&nginx);
    not_retrying.get_process(TASK).unwrap();
    for error in [
        not_retrying.get_process(TASK).unwrap_err(),
        not_retrying.create_task(&NewTask::new(URL)).unwrap_err(),
    ] {
        assert_page(&error, "429 Too Many Requests", RATE_LIMITED);
        assert!(!error.may_have_taken_effect() && error.retry_after().is_none());
    }

    let retrying = builder(&nginx).retries(5).build().unwrap();
    assert_eq!(retrying.get_process(TASK).unwrap(), RUNNING);
    assert_eq!(retrying.create_task(&NewTask::new(URL)).unwrap(), TASK + 1);
    let log = nginx.stop();
    assert_eq!((count(&log, 200), service.request_count()), (3, 3));
    assert!(count(&log, 429) >= 4, "{log:?}");
}

/// A task may exist after a 502: nginx also sends it if the service has read the request and closed
/// the connection before the end of its response.
#[test]
#[ignore = "needs nginx: cargo test --test gateway -- --ignored"]
fn an_unavailable_service_is_http_502() {
    let service = service();
    let nginx = start(&service, "");
    let client = builder(&nginx).retries(1).build().unwrap();
    let calls = || {
        let error = client.get_process(TASK).unwrap_err();
        assert_page(&error, "502 Bad Gateway", UNAVAILABLE);
        let error = client.create_task(&NewTask::new(URL)).unwrap_err();
        assert_page(&error, "502 Bad Gateway", UNAVAILABLE_TASK_MAY_EXIST);
        assert!(error.may_have_taken_effect());
    };
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);

    service.reply_with(|_| Some(Reply::progress(RUNNING).cut_at(20)));
    calls();
    assert_eq!(creations(&service), 1);

    drop(service);
    calls();
    let log = nginx.stop();
    assert_eq!((count(&log, 200), count(&log, 502)), (1, 6));
    let creations = log.iter().filter(|entry| entry.method == "POST");
    assert_eq!(creations.count(), 2, "creating a task is not retried");
}

#[test]
#[ignore = "needs nginx: cargo test --test gateway -- --ignored"]
fn a_stalled_service_is_http_504() {
    let service = service();
    let nginx = start(&service, "proxy_read_timeout 1s;");
    for _ in 0..3 {
        service.reply_next(Reply::progress(RUNNING).stall_at(0));
    }
    let error = client(&nginx).get_process(TASK).unwrap_err();
    assert_page(&error, "504 Gateway Time-out", UNAVAILABLE);

    let retrying = builder(&nginx).retries(1).build().unwrap();
    let error = retrying.create_task(&NewTask::new(URL)).unwrap_err();
    assert_page(&error, "504 Gateway Time-out", UNAVAILABLE_TASK_MAY_EXIST);
    assert!(error.may_have_taken_effect());
    assert_eq!(retrying.get_process(TASK).unwrap(), RUNNING);
    let requests = service.requests();
    let methods = requests.iter().map(|request| &*request.method);
    assert!(methods.eq(["GET", "POST", "GET", "GET"]), "{requests:?}");
}

// ---- Bodies

/// nginx forwards a body that ends with its connection in chunks, which look complete even if the
/// body is not.
#[test]
#[ignore = "needs nginx: cargo test --test gateway -- --ignored"]
fn rejects_an_incomplete_body_without_a_length() {
    let service = service();
    let nginx = start(&service, "proxy_http_version 1.0;");
    let client = client(&nginx);
    let reply = Reply::progress(RUNNING).until_close();
    for at in reply.header_len()..reply.len() {
        service.reply_next(reply.clone().cut_at(at));
        let error = client.get_process(TASK).unwrap_err();
        let Error::Decode(decode) = &error else {
            panic!("cut at {at}: {error:?}")
        };
        let is_empty = at == reply.header_len();
        let reason = if is_empty { "empty" } else { "incomplete" };
        assert_eq!(decode.reason, format!("it is {reason}"), "cut at {at}");
        assert!(error.may_have_taken_effect() && !error.is_transient());
        service.reply_next(reply.clone());
        assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    }
    let connections = by_connection(&nginx.stop()).len();
    assert_eq!(connections, 1, "the connection to nginx is kept");
}

/// nginx detects the incomplete body, and closes its own connection early.
#[test]
#[ignore = "needs nginx: cargo test --test gateway -- --ignored"]
fn rejects_body_cut_short_by_the_gateway() {
    let service = service();
    let nginx = start(&service, "");
    let client = client(&nginx);
    let text = format!(
        "the connection to {} ended before the response was complete; try again",
        nginx.address()
    );
    for reply in [Reply::progress(RUNNING), Reply::progress(RUNNING).chunked()] {
        let cut = reply.clone().cut_at(reply.len() - 8);
        service.reply_next(cut.clone());
        let replayed = client.get_process(TASK).unwrap();
        assert_eq!(replayed, RUNNING, "over a new connection");
        service.reply_next(cut.clone()).reply_next(cut.clone());
        let error = client.get_process(TASK).unwrap_err();
        assert_eq!(transport_kind(&error), TransportErrorKind::Closed);
        assert_eq!(error.to_string(), text);
        service.reply_next(cut);
        let error = client.create_task(&NewTask::new(URL)).unwrap_err();
        assert_eq!(transport_kind(&error), TransportErrorKind::Closed);
        assert!(error.may_have_taken_effect());
    }
    assert_eq!(service.request_count(), 10);
}

// ---- Proxies

/// A name of the domain reserved for tests, so only the proxy can connect to it.
const HOST: &str = "gateway.test";

fn client_through(proxy: &Proxy, base_url: &str, identity: &Identity) -> Client {
    let url = format!("http://user:hunter2@{}", proxy.address());
    let (proxy, trust) = (ureq::Proxy::new(&url).unwrap(), identity.trust());
    let builder = support::builder(base_url);
    let builder = builder.configure_agent(|agent| agent.tls_config(trust).proxy(Some(proxy)));
    builder.build().unwrap()
}

#[test]
#[ignore = "needs nginx: cargo test --test gateway -- --ignored"]
fn connects_through_a_proxy() {
    let (service, identity) = (service(), Identity::new(HOST, |_| {}));
    let nginx = Nginx::start_as(&identity, service.address(), [""; 3]);
    let target = format!("{HOST}:{}", nginx.address().port());
    let proxy = Proxy::to(&target, nginx.address());
    let client = client_through(&proxy, &format!("https://{target}"), &identity);
    for _ in 0..20 {
        assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    }
    client.create_task(&NewTask::new(URL)).unwrap();
    // A creation has a connection of its own.
    assert_eq!(by_connection(&nginx.stop()), [20, 1]);
    let headers = proxy.request_headers();
    assert_eq!(headers.len(), 2, "a tunnel for each connection");
    for header in headers {
        let start = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        assert!(header.starts_with(&start), "{header}");
        let credentials = "\r\nProxy-Authorization: Basic dXNlcjpodW50ZXIy\r\n";
        assert!(header.contains(credentials), "{header}");
        assert!(!header.contains(TOKEN), "{header}");
    }
}

/// The certificate is verified through a tunnel, too: here it is for the address, and not for the name.
#[test]
#[ignore = "needs nginx: cargo test --test gateway -- --ignored"]
fn errors_through_a_proxy_name_it() {
    let service = service();
    let identity = identity();
    let nginx = start(&service, "");
    let base_url = format!("https://{HOST}");
    let passing = Proxy::to(&format!("{HOST}:443"), nginx.address());
    let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nForbidden";
    let other_name = "invalid peer certificate: certificate not valid for name \"gateway.test\"";
    let refused = "CONNECT proxy failed: proxy server responded 403/403";
    let silent = "CONNECT proxy failed: proxy server did not respond";
    let (tls, tunnel) = (TransportErrorKind::Tls, TransportErrorKind::Proxy);
    for (proxy, kind, cause) in [
        (passing, tls, other_name),
        (Proxy::refusing(refusal), tunnel, refused),
        (Proxy::refusing(""), tunnel, silent),
    ] {
        let is_tls = kind == TransportErrorKind::Tls;
        let (problem, advice) = match is_tls {
            true => (
                "no trusted TLS connection with",
                "certificate and the clock",
            ),
            false => ("the proxy did not connect to", "address and credentials"),
        };
        let client = client_through(&proxy, &base_url, &identity);
        let creation = client.create_task(&NewTask::new(URL)).map(|_| RUNNING);
        for error in [client.get_process(TASK), creation].map(Result::unwrap_err) {
            assert_eq!(transport_kind(&error), kind);
            assert_eq!(error.is_transient(), !is_tls);
            assert!(!error.may_have_taken_effect());
            let proxy = proxy.address();
            let text = format!("{problem} {HOST} through the proxy {proxy}; check its {advice}");
            assert_eq!(error.to_string(), text);
            let texts = all_texts(&error);
            assert!(texts.contains(cause), "{texts}");
            assert!(!texts.contains("hunter2"), "{texts}");
        }
    }
    assert_eq!((service.request_count(), nginx.stop()), (0, vec![]));
}
