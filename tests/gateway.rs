//! Tests through a real gateway: nginx with TLS in front of the stand-in. The service's own
//! gateway, Kong, is based on nginx.
//!
//! They cover behaviour of nginx that the stand-in does not imitate: when it closes a kept-alive
//! connection, its rate limits, its responses if the service behind it is down, and how it forwards
//! an incomplete body.
//!
//! Run them with `cargo test --test gateway -- --ignored` as any user; they need nginx and openssl.
//! Each test runs its own nginx on a free port of 127.0.0.1. Nothing leaves the machine.
#![cfg(feature = "rustls")]

#[path = "gateway/certificates.rs"]
mod certificates;
#[path = "support/nginx.rs"]
mod nginx;
#[path = "support/proxy.rs"]
mod proxy;
mod support;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nginx::{Entry, Folder, Nginx, Setup, wait_until};
use pan123_offline::testing::{Reply, Service};
use pan123_offline::{
    Client, ClientBuilder, Error, NewTask, PollPolicy, Progress, Status, TransportErrorKind,
    Update, Watch, ureq,
};
use proxy::Proxy;
use support::{Fault, RUNNING, TASK, TOKEN, service};

const DONE: Progress = Progress::new(Status::Succeeded, 100);
const URL: &str = "https://example.org/cat.png";

const RATE_LIMITED: &str = "too many requests, wait and try again";
const UNAVAILABLE: &str = "the service or a gateway before it failed, try again later";
const UNAVAILABLE_TASK_MAY_EXIST: &str = "the service or a gateway before it failed, try again later; the task may \
    exist, check before you create it again";

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// The settings of a client that trusts the authority of these tests.
fn builder(base_url: impl Into<String>) -> ClientBuilder {
    let trust = certificates::trust(certificates::root());
    support::builder(base_url).configure_agent(|agent| agent.tls_config(trust))
}

fn client(nginx: &Nginx) -> Client {
    builder(nginx.base_url()).build().unwrap()
}

const FAST: PollPolicy = PollPolicy::new()
    .initial_interval(ms(5))
    .max_interval(ms(20))
    .error_window(Duration::ZERO);

/// Sets short intervals, so that tests need not wait.
fn with_short_intervals(watch: Watch) -> Watch {
    watch.policy(FAST)
}

/// Returns nginx's own error page.
fn page(title: &str) -> String {
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
         <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
}

/// Asserts that an error is nginx's own error page.
#[track_caller]
fn assert_page(error: &Error, status: u16, title: &str, advice: &str) {
    let Error::Http(http) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (http.status, http.body.as_str()),
        (status, page(title).as_str())
    );
    let quoted = page(title).replace('\r', "\\r").replace('\n', "\\n");
    let expected =
        format!("HTTP {status} without the service's envelope: {advice}; received: {quoted}");
    assert_eq!(error.to_string(), expected);
    assert!(error.is_transient() && !error.is_timeout());
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

/// Asserts that each task ends once, with a success, and that no update is an error.
#[track_caller]
fn assert_all_succeed(updates: &[Update], tasks: impl IntoIterator<Item = u64>) {
    let mut ends = BTreeMap::new();
    for update in updates {
        let progress = update
            .result
            .as_ref()
            .unwrap_or_else(|error| panic!("task {}: {error}", update.task_id));
        if update.is_end() {
            assert_eq!(
                (ends.insert(update.task_id, *progress), *progress),
                (None, DONE)
            );
        }
    }
    assert!(ends.into_keys().eq(tasks), "a task has not ended");
}

// ---- Connections

#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn two_hundred_calls_share_one_tls_connection() {
    let service = service();
    let nginx = Nginx::start(&Setup::new(service.address()));
    let client = client(&nginx);
    for _ in 0..200 {
        assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    }
    assert_eq!(by_connection(&nginx.stop()), [200]);
    assert_eq!(service.request_count(), 200);
}

/// A gateway that prefers HTTP/2 uses HTTP/1.1, because the client offers no other protocol.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn does_not_offer_http_2() {
    let service = service();
    let nginx = Nginx::start(&Setup {
        listen: "http2",
        ..Setup::new(service.address())
    });
    let offer = [
        "s_client",
        "-connect",
        &nginx.address().to_string(),
        "-alpn",
        "h2,http/1.1",
    ];
    let offered = Command::new("openssl")
        .args(offer)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let offered = String::from_utf8_lossy(&offered.stdout).into_owned();
    assert!(
        offered.contains("ALPN protocol: h2"),
        "this nginx has no HTTP/2: {offered}"
    );

    let client = client(&nginx);
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    assert_eq!(client.create_task(&NewTask::new(URL)).unwrap(), TASK + 1);
    let protocols: Vec<_> = nginx
        .stop()
        .into_iter()
        .map(|entry| entry.protocol)
        .collect();
    assert_eq!(protocols, ["HTTP/1.1", "HTTP/1.1"]);
}

/// Every third response is the last of its connection, with `Connection: close`, as nginx always
/// sends it.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn no_call_fails_if_nginx_limits_the_requests_of_a_connection() {
    let service = service();
    let nginx = Nginx::start(&Setup {
        server: "keepalive_requests 3;",
        ..Setup::new(service.address())
    });
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
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn no_call_fails_and_no_task_is_duplicated_with_a_short_idle_timeout() {
    const THREADS: usize = 8;
    const CALLS: usize = 40;

    let service = service();
    let nginx = Nginx::start(&Setup {
        server: "keepalive_timeout 50ms;",
        ..Setup::new(service.address())
    });
    let tasks: Vec<u64> = std::thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| {
            let client = client(&nginx);
            scope.spawn(move || {
                let call = |number: usize| {
                    // From 48.0 ms to 51.9 ms.
                    std::thread::sleep(Duration::from_micros(48_000 + 100 * number as u64));
                    let task = number
                        .is_multiple_of(4)
                        .then(|| client.create_task(&NewTask::new(URL)).unwrap());
                    assert_eq!(client.get_process(TASK).unwrap(), RUNNING, "call {number}");
                    task
                };
                (0..CALLS).filter_map(call).collect::<Vec<_>>()
            })
        });
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });

    let mut different = tasks.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(
        (tasks.len(), different.len()),
        (THREADS * CALLS / 4, THREADS * CALLS / 4)
    );
    let requests = service.requests();
    let creations = requests
        .iter()
        .filter(|request| request.method == "POST")
        .count();
    // A request that nginx has not read before it closes is not forwarded.
    assert_eq!(
        (creations, requests.len()),
        (tasks.len(), THREADS * CALLS + tasks.len())
    );
    let connections = by_connection(&nginx.stop()).len();
    assert!(
        connections > THREADS + tasks.len(),
        "no connection was lost: {connections}"
    );
}

/// nginx is reloaded repeatedly while a watch polls five tasks. The old worker closes the
/// connection as soon as it is idle, sometimes when the next poll has been sent already.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
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
    let nginx = Nginx::start(&Setup::new(service.address()));
    let workers = || {
        let mut workers: Vec<_> = nginx.log().iter().map(|entry| entry.worker).collect();
        workers.dedup();
        workers.len()
    };
    let client = client(&nginx);
    let updates: Vec<_> = std::thread::scope(|scope| {
        // A single failed poll would end its task.
        let watch = with_short_intervals(client.watch(tasks.clone())).policy(
            FAST.initial_interval(NO_TIME)
                .max_interval(NO_TIME)
                .max_consecutive_errors(1),
        );
        let watch = scope.spawn(move || watch.collect());
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
    assert_all_succeed(&updates, tasks);
    let log = nginx.stop();
    assert_eq!(count(&log, 200), log.len());
}

// ---- Rate limits, and an unavailable service

#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn retries_after_a_rate_limit() {
    let http = "limit_req_zone $binary_remote_addr zone=calls:1m rate=20r/m;";
    let server = "limit_req zone=calls; limit_req_status 429;";
    let service = service();
    let nginx = Nginx::start(&Setup {
        http,
        server,
        ..Setup::new(service.address())
    });
    let not_retrying = client(&nginx);
    not_retrying.get_process(TASK).unwrap();
    for error in [
        not_retrying.get_process(TASK).unwrap_err(),
        not_retrying.create_task(&NewTask::new(URL)).unwrap_err(),
    ] {
        assert_page(&error, 429, "429 Too Many Requests", RATE_LIMITED);
        assert!(!error.may_have_taken_effect() && error.retry_after().is_none());
    }

    let retrying = builder(nginx.base_url()).retries(5).build().unwrap();
    assert_eq!(retrying.get_process(TASK).unwrap(), RUNNING);
    assert_eq!(retrying.create_task(&NewTask::new(URL)).unwrap(), TASK + 1);
    let log = nginx.stop();
    assert_eq!((count(&log, 200), service.request_count()), (3, 3));
    assert!(count(&log, 429) >= 4, "{log:?}");
}

#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn waits_for_the_retry_after_of_a_rate_limit() {
    let http = "limit_req_zone $binary_remote_addr zone=calls:1m rate=30r/m;";
    let server = "limit_req zone=calls; limit_req_status 429; add_header Retry-After 3 always;";
    let service = service();
    let nginx = Nginx::start(&Setup {
        http,
        server,
        ..Setup::new(service.address())
    });
    client(&nginx).get_process(TASK).unwrap();
    assert_eq!(
        client(&nginx).get_process(TASK).unwrap_err().retry_after(),
        Some(Duration::from_secs(3))
    );
    // The default retry delay of half a second is too short for the only retry to succeed.
    let retrying = builder(nginx.base_url()).retries(1).build().unwrap();
    assert_eq!(retrying.get_process(TASK).unwrap(), RUNNING);
    let statuses: Vec<_> = nginx.stop().iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [200, 429, 429, 200]);
}

/// The watch polls faster than the limit of nginx allows.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn a_watch_finishes_under_a_rate_limit() {
    let http = "limit_req_zone $binary_remote_addr zone=calls:1m rate=2r/s;";
    let server = "limit_req zone=calls burst=3 nodelay; limit_req_status 429;";
    let service = Service::start().unwrap();
    let tasks = 1..=6;
    for task in tasks.clone() {
        service.task(task, [RUNNING, DONE]);
    }
    let nginx = Nginx::start(&Setup {
        http,
        server,
        ..Setup::new(service.address())
    });
    let client = client(&nginx);
    let updates: Vec<_> = with_short_intervals(client.watch(tasks.clone())).collect();
    assert_all_succeed(&updates, tasks);
    let log = nginx.stop();
    assert_eq!((count(&log, 200), service.request_count()), (12, 12));
    assert!(count(&log, 429) > 0, "{log:?}");
}

/// A task may exist after a 502: nginx also sends it if the service has read the request and closed
/// the connection before the end of its response.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn an_unavailable_service_is_http_502() {
    let service = service();
    let nginx = Nginx::start(&Setup::new(service.address()));
    let client = builder(nginx.base_url()).retries(1).build().unwrap();
    let calls = || {
        let error = client.get_process(TASK).unwrap_err();
        assert_page(&error, 502, "502 Bad Gateway", UNAVAILABLE);
        let error = client.create_task(&NewTask::new(URL)).unwrap_err();
        assert_page(&error, 502, "502 Bad Gateway", UNAVAILABLE_TASK_MAY_EXIST);
        assert!(error.may_have_taken_effect());
    };
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);

    service.reply_with(|_| Some(Reply::progress(RUNNING).cut_at(20)));
    calls();
    assert_eq!(
        service
            .requests()
            .iter()
            .filter(|request| request.method == "POST")
            .count(),
        1
    );

    drop(service);
    calls();
    let log = nginx.stop();
    assert_eq!((count(&log, 200), count(&log, 502)), (1, 6));
    assert_eq!(
        log.iter().filter(|entry| entry.method == "POST").count(),
        2,
        "creating a task is not retried"
    );
}

#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn a_stalled_service_is_http_504() {
    let service = service();
    let nginx = Nginx::start(&Setup {
        server: "proxy_read_timeout 1s;",
        ..Setup::new(service.address())
    });
    let stalled = Reply::progress(RUNNING).stall_at(0);
    service
        .reply_next(stalled.clone())
        .reply_next(stalled.clone())
        .reply_next(stalled);
    let error = client(&nginx).get_process(TASK).unwrap_err();
    assert_page(&error, 504, "504 Gateway Time-out", UNAVAILABLE);

    let retrying = builder(nginx.base_url()).retries(1).build().unwrap();
    let error = retrying.create_task(&NewTask::new(URL)).unwrap_err();
    assert_page(
        &error,
        504,
        "504 Gateway Time-out",
        UNAVAILABLE_TASK_MAY_EXIST,
    );
    assert!(error.may_have_taken_effect());
    assert_eq!(retrying.get_process(TASK).unwrap(), RUNNING);
    let requests: Vec<_> = service
        .requests()
        .into_iter()
        .map(|request| request.method)
        .collect();
    assert_eq!(requests, ["GET", "POST", "GET", "GET"]);
    drop(nginx);
}

/// The service stops during a watch, and another one replaces it.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn a_watch_continues_after_a_restart_of_the_service() {
    let tasks = 1..=5;
    let service = |progress| {
        let service = Service::start().unwrap();
        for task in tasks.clone() {
            service.task(task, [progress]);
        }
        service
    };
    let first = service(RUNNING);
    let nginx = Nginx::start(&Setup::new(first.address()));
    let client = client(&nginx);
    let updates: Vec<_> = std::thread::scope(|scope| {
        let watch = with_short_intervals(client.watch(tasks.clone()))
            .policy(FAST.max_consecutive_errors(u32::MAX));
        let watch = scope.spawn(move || watch.collect());
        wait_until("the watch is under way", || first.request_count() >= 20);
        drop(first);
        wait_until("polls fail", || count(&nginx.log(), 502) >= 20);
        let second = service(DONE);
        nginx.reload_as(&Setup::new(second.address()));
        watch.join().unwrap()
    });
    assert_all_succeed(&updates, tasks);
    assert_eq!(updates.len(), 10, "a failed poll makes no update");
}

// ---- Bodies

/// nginx compresses if the request accepts it, and the client's requests do not.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn does_not_request_compression() {
    let service = service();
    let server = "gzip on; gzip_types *; gzip_min_length 1;";
    let nginx = Nginx::start(&Setup {
        server,
        ..Setup::new(service.address())
    });
    let path = format!(
        "{}/api/v1/oss/offline/download/process?taskID={TASK}",
        nginx.base_url()
    );
    let trust = certificates::trust(certificates::root());
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(trust)
        .build()
        .into();
    let compressed = agent
        .get(path)
        .header("Accept-Encoding", "gzip")
        .call()
        .unwrap();
    assert_eq!(
        compressed.headers()["Content-Encoding"],
        "gzip",
        "this nginx does not compress"
    );

    let client = client(&nginx);
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    assert_eq!(client.create_task(&NewTask::new(URL)).unwrap(), TASK + 1);
    let encodings: Vec<_> = service
        .requests()
        .iter()
        .map(|request| request.header("Accept-Encoding").map(str::to_owned))
        .collect();
    assert_eq!(encodings, [Some("gzip".to_owned()), None, None]);
}

/// nginx forwards a body that ends with its connection in chunks, which look complete even if the
/// body is not.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn rejects_an_incomplete_body_without_a_length() {
    let service = service();
    let nginx = Nginx::start(&Setup {
        server: "proxy_http_version 1.0;",
        ..Setup::new(service.address())
    });
    let client = client(&nginx);
    let reply = Reply::progress(RUNNING).until_close();
    for at in reply.header_len()..reply.len() {
        service.reply_next(reply.clone().cut_at(at));
        let error = client.get_process(TASK).unwrap_err();
        let Error::Decode(decode) = &error else {
            panic!("cut at {at}: {error:?}")
        };
        let reason = if at == reply.header_len() {
            "it is empty"
        } else {
            "it is incomplete"
        };
        assert_eq!(decode.reason, reason, "cut at {at}");
        assert!(error.may_have_taken_effect() && !error.is_transient());
        service.reply_next(reply.clone());
        assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    }
    assert_eq!(
        by_connection(&nginx.stop()).len(),
        1,
        "the connection to nginx is kept"
    );
}

/// nginx detects the incomplete body, and closes its own connection early.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn rejects_body_cut_short_by_the_gateway() {
    let service = service();
    let nginx = Nginx::start(&Setup::new(service.address()));
    let client = client(&nginx);
    for reply in [Reply::progress(RUNNING), Reply::progress(RUNNING).chunked()] {
        let cut = reply.clone().cut_at(reply.len() - 8);
        service.reply_next(cut.clone());
        assert_eq!(
            client.get_process(TASK).unwrap(),
            RUNNING,
            "replayed over a new connection"
        );
        service.reply_next(cut.clone()).reply_next(cut.clone());
        let error = client.get_process(TASK).unwrap_err();
        assert!(
            matches!(&error, Error::Transport(e) if e.kind == TransportErrorKind::Closed),
            "{error:?}"
        );
        assert_eq!(
            error.to_string(),
            format!(
                "the connection to {} ended before the response was complete; try again",
                nginx.address()
            )
        );
        service.reply_next(cut);
        let error = client.create_task(&NewTask::new(URL)).unwrap_err();
        assert!(
            matches!(&error, Error::Transport(e) if e.kind == TransportErrorKind::Closed),
            "{error:?}"
        );
        assert!(error.may_have_taken_effect());
    }
    assert_eq!(service.request_count(), 10);
}

// ---- Certificates

#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn rejects_untrusted_certificates_with_the_reason() {
    const REASONS: [&str; 3] = ["certificate expired", "not valid for name", "UnknownIssuer"];

    let service = service();
    let expired = certificates::issued("127.0.0.1", |it| {
        it.not_after = rcgen::date_time_ymd(2020, 1, 1)
    });
    let other_name = certificates::issued("gateway.test", |_| {});
    let self_signed = certificates::self_signed("127.0.0.1");
    for (identity, why) in [expired, other_name, self_signed].iter().zip(REASONS) {
        let nginx = Nginx::start_as(identity, &Setup::new(service.address()));
        let client = client(&nginx);
        for error in [
            client.get_process(TASK).unwrap_err(),
            client.create_task(&NewTask::new(URL)).unwrap_err(),
        ] {
            assert!(
                matches!(&error, Error::Transport(e) if e.kind == TransportErrorKind::Tls),
                "{why}: {error:?}"
            );
            assert!(
                !error.is_transient() && !error.may_have_taken_effect(),
                "{why}"
            );
            let problem = format!("no trusted TLS connection with {}", nginx.address());
            assert_eq!(
                error.to_string(),
                format!("{problem}; check its certificate and the clock")
            );
            let cause = std::error::Error::source(&error).unwrap().to_string();
            let found: Vec<_> = REASONS
                .into_iter()
                .filter(|reason| cause.contains(reason))
                .collect();
            assert_eq!(found, [why], "{cause}");
        }
        assert_eq!(nginx.stop(), []);
    }
    assert_eq!(service.request_count(), 0);
}

// ---- Proxies
//
// The proxy is set by environment variables, which must not be changed while other threads run.
// Each case is therefore a child process: this test binary, run with a single test.

/// A name of the domain reserved for tests, so only the proxy can connect to it.
const HOST: &str = "gateway.test";
/// Set for a child: the path of the root certificate that it trusts.
const ROOT: &str = "GATEWAY_TEST_ROOT";
const BASE_URL: &str = "GATEWAY_TEST_BASE_URL";
/// Number of `get_process` calls of a child, before it creates a task.
const CALLS: usize = 20;

/// Runs a child with this proxy in its environment, and returns the results of its calls.
#[track_caller]
fn results_through(proxy: &Proxy, base_url: &str) -> Vec<String> {
    let folder = Folder::new();
    let mut command = Command::new(std::env::current_exe().unwrap());
    for name in ["https_proxy", "http_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    let output = command
        .args(["--exact", "child_calls", "--ignored", "--nocapture"])
        .env(ROOT, folder.write("root", certificates::root()))
        .env(BASE_URL, base_url)
        .env(
            "HTTPS_PROXY",
            format!("http://user:hunter2@{}", proxy.address()),
        )
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(
        !stderr.contains("hunter2") && !stderr.contains(TOKEN),
        "{stderr}"
    );
    stderr
        .lines()
        .filter_map(|line| line.strip_prefix("outcome: "))
        .map(str::to_owned)
        .collect()
}

#[test]
#[ignore = "the child of other tests"]
fn child_calls() {
    let Some(root) = std::env::var_os(ROOT) else {
        return;
    };
    let trust = certificates::trust(&std::fs::read(root).unwrap());
    let base_url = std::env::var(BASE_URL).unwrap();
    let client = support::builder(base_url)
        .configure_agent(|agent| agent.tls_config(trust))
        .build()
        .unwrap();
    for _ in 0..CALLS {
        match client.get_process(TASK) {
            Ok(progress) => eprintln!("outcome: {progress}"),
            Err(error) => eprintln!("outcome: {}", describe(&error)),
        }
    }
    match client.create_task(&NewTask::new(URL)) {
        Ok(task_id) => eprintln!("outcome: task {task_id}"),
        Err(error) => eprintln!("outcome: {}", describe(&error)),
    }
}

/// Returns the properties and texts of an error.
fn describe(error: &Error) -> String {
    let Error::Transport(transport) = error else {
        panic!("{error:?}")
    };
    let cause = std::error::Error::source(error).unwrap();
    let (transient, sent) = (error.is_transient(), error.may_have_taken_effect());
    format!(
        "{:?}, transient: {transient}, sent: {sent}: {error}: {cause}",
        transport.kind
    )
}

#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn connects_through_the_proxy_of_the_environment() {
    let service = service();
    let identity = certificates::issued(HOST, |_| {});
    let nginx = Nginx::start_as(&identity, &Setup::new(service.address()));
    let target = format!("{HOST}:{}", nginx.address().port());
    let proxy = Proxy::to(&target, nginx.address());
    let mut expected = vec![RUNNING.to_string(); CALLS];
    expected.push(format!("task {}", TASK + 1));
    assert_eq!(
        results_through(&proxy, &format!("https://{target}")),
        expected
    );

    assert_eq!(
        by_connection(&nginx.stop()),
        [CALLS, 1],
        "a task is created over a new connection"
    );
    let request_headers = proxy.request_headers();
    assert_eq!(request_headers.len(), 2, "a tunnel for each connection");
    for header in request_headers {
        let lines: Vec<_> = header.trim_end().split("\r\n").collect();
        assert_eq!(
            lines[..2],
            [
                format!("CONNECT {target} HTTP/1.1"),
                format!("Host: {target}")
            ]
        );
        assert!(
            lines.contains(&"Proxy-Authorization: Basic dXNlcjpodW50ZXIy"),
            "{header}"
        );
        assert!(!header.contains(TOKEN), "{header}");
    }
}

/// The certificate is verified through a tunnel, too: here it is for the address, and not for the
/// name.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn rejects_the_certificate_of_another_host_through_a_proxy() {
    let service = service();
    let nginx = Nginx::start(&Setup::new(service.address()));
    let proxy = Proxy::to(&format!("{HOST}:443"), nginx.address());
    for result in results_through(&proxy, &format!("https://{HOST}")) {
        let expected = format!(
            "Tls, transient: false, sent: false: no trusted TLS connection with {HOST} through the proxy {}; check its \
             certificate and the clock: invalid peer certificate: certificate not valid for name \"{HOST}\"",
            proxy.address()
        );
        assert!(result.starts_with(&expected), "{result}");
    }
    assert_eq!((service.request_count(), nginx.stop()), (0, vec![]));
}

#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn names_the_proxy_that_refuses() {
    for (response, reason) in [
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nForbidden",
            "responded 403/403",
        ),
        ("", "did not respond"),
    ] {
        let proxy = Proxy::refusing(response);
        let results = results_through(&proxy, &format!("https://{HOST}"));
        assert_eq!(
            (results.len(), proxy.request_headers().len()),
            (CALLS + 1, CALLS + 1)
        );
        for result in results {
            let expected = format!(
                "Proxy, transient: true, sent: false: the proxy did not connect to {HOST} through the proxy {}; check \
                 its address and credentials: CONNECT proxy failed: proxy server {reason}",
                proxy.address()
            );
            assert_eq!(result, expected);
        }
    }
}
