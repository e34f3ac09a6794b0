//! Through a real gateway: nginx with TLS in front of the stand-in, as the service's own gateway, Kong, is built on it.
//!
//! What nginx does by itself is what no stand-in can be trusted to imitate: when it closes a kept-alive connection, how
//! it refuses, what it says when the service behind it is gone, what it makes of a body that breaks off.
//!
//! `cargo test --test gateway -- --ignored`, with nginx and openssl installed, as any user. Each test runs an nginx of
//! its own on a free port of 127.0.0.1. Nothing leaves the machine.
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

use nginx::{Entry, Folder, Nginx, Setup, until};
use pan123_offline::testing::{Reply, Service};
use pan123_offline::{
    Client, ClientBuilder, Error, NewTask, PollPolicy, Progress, Status, TransportErrorKind,
    Update, Watch, ureq,
};
use proxy::Proxy;
use support::{RUNNING, TASK, TOKEN, service};

const DONE: Progress = Progress::new(Status::Succeeded, 100);
const URL: &str = "https://example.org/cat.png";

const TOO_MANY: &str = "too many requests, wait and try again";
const TROUBLE: &str = "the service or a gateway before it failed, try again later";
const TROUBLE_WITH_A_TASK: &str = "the service or a gateway before it failed, try again later; the task may \
    exist, check before you create it again";

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Trusts the authority of these tests.
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

/// In short intervals, so that tests need not wait.
fn brisk(watch: Watch) -> Watch {
    watch.policy(FAST)
}

/// The page that nginx itself answers with.
fn page(title: &str) -> String {
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
         <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
}

/// That an answer is nginx's own page.
#[track_caller]
fn assert_page(error: &Error, status: u16, title: &str, advice: &str) {
    let Error::Http(http) = error else {
        panic!("{error:?}")
    };
    assert_eq!((http.status(), http.body()), (status, page(title).as_str()));
    let quoted = page(title).replace('\r', "\\r").replace('\n', "\\n");
    let said =
        format!("HTTP {status} without the service's envelope: {advice}; received: {quoted}");
    assert_eq!(error.to_string(), said);
    assert!(error.is_transient() && !error.is_timeout());
}

fn count(log: &[Entry], status: u16) -> usize {
    log.iter().filter(|entry| entry.status == status).count()
}

/// How many requests each connection served, in the order of the connections.
fn by_connection(log: &[Entry]) -> Vec<usize> {
    let mut counts = BTreeMap::new();
    for entry in log {
        *counts.entry(entry.connection).or_default() += 1;
    }
    counts.into_values().collect()
}

/// That each task has one end, and that it succeeded; and that nothing before it was an error.
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
    assert!(ends.into_keys().eq(tasks), "a task has no end");
}

// ---- Connections.

#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn two_hundred_calls_share_one_tls_connection() {
    let service = service();
    let nginx = Nginx::start(&Setup::usual(service.address()));
    let client = client(&nginx);
    for _ in 0..200 {
        assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    }
    assert_eq!(by_connection(&nginx.stop()), [200]);
    assert_eq!(service.request_count(), 200);
}

/// A gateway that would rather speak HTTP/2 speaks HTTP/1.1, because the client offers nothing else.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn http_2_is_not_offered() {
    let service = service();
    let nginx = Nginx::start(&Setup {
        listen: "http2",
        ..Setup::usual(service.address())
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

/// Each third answer is the last of its connection. nginx says so, as it always does.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn few_requests_to_a_connection_cost_no_call() {
    let service = service();
    let nginx = Nginx::start(&Setup {
        server: "keepalive_requests 3;",
        ..Setup::usual(service.address())
    });
    let client = client(&nginx);
    for call in 0..300 {
        assert_eq!(client.get_process(TASK).unwrap(), RUNNING, "call {call}");
    }
    assert_eq!(by_connection(&nginx.stop()), [3; 100]);
    assert_eq!(service.request_count(), 300);
}

/// Idle connections that nginx closes, without a word, at about the moment when the next call takes them.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn a_short_idle_time_costs_no_call_and_makes_no_task_twice() {
    const THREADS: usize = 8;
    const CALLS: usize = 40;

    let service = service();
    let nginx = Nginx::start(&Setup {
        server: "keepalive_timeout 50ms;",
        ..Setup::usual(service.address())
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
    // What nginx closes before it has read a request, it has not passed on.
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

/// nginx is told to start afresh time and again, while a watch of five tasks keeps its connection busy. The old worker
/// closes the connection as soon as it is idle: some of these times the next poll is on its way already.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn a_reload_in_the_middle_of_a_watch_is_not_noticed() {
    const RELOADS: usize = 20;
    const NO_TIME: Duration = Duration::from_nanos(1);

    let service = Service::start().unwrap();
    let (tasks, reloaded) = (1..=5, Arc::new(AtomicBool::new(false)));
    for task in tasks.clone() {
        service.task(task, [DONE]);
    }
    // No task ends before.
    let ends = Arc::clone(&reloaded);
    service.reply_with(move |_| (!ends.load(Ordering::SeqCst)).then(|| Reply::progress(RUNNING)));
    let nginx = Nginx::start(&Setup::usual(service.address()));
    let workers = || {
        let mut workers: Vec<_> = nginx.log().iter().map(|entry| entry.worker).collect();
        workers.dedup();
        workers.len()
    };
    let client = client(&nginx);
    let updates: Vec<_> = std::thread::scope(|scope| {
        // A single failed poll would be the end of its task.
        let watch = brisk(client.watch(tasks.clone())).policy(
            FAST.initial_interval(NO_TIME)
                .max_interval(NO_TIME)
                .max_consecutive_errors(1),
        );
        let watch = scope.spawn(move || watch.collect());
        for reload in 1..=RELOADS {
            until("the watch is under way", || workers() == reload);
            nginx.reload();
        }
        until("the last worker serves the watch", || {
            workers() == RELOADS + 1
        });
        reloaded.store(true, Ordering::SeqCst);
        watch.join().unwrap()
    });
    assert_all_succeed(&updates, tasks);
    let log = nginx.stop();
    assert_eq!(count(&log, 200), log.len());
}

// ---- Refusals, and a service that is gone.

#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn a_rate_limit_is_said_and_waited_for() {
    let http = "limit_req_zone $binary_remote_addr zone=calls:1m rate=20r/m;";
    let server = "limit_req zone=calls; limit_req_status 429;";
    let service = service();
    let nginx = Nginx::start(&Setup {
        http,
        server,
        ..Setup::usual(service.address())
    });
    let hasty = client(&nginx);
    hasty.get_process(TASK).unwrap();
    for error in [
        hasty.get_process(TASK).unwrap_err(),
        hasty.create_task(&NewTask::new(URL)).unwrap_err(),
    ] {
        assert_page(&error, 429, "429 Too Many Requests", TOO_MANY);
        assert!(!error.may_have_been_sent() && error.retry_after().is_none());
    }

    let patient = builder(nginx.base_url()).retries(5).build().unwrap();
    assert_eq!(patient.get_process(TASK).unwrap(), RUNNING);
    assert_eq!(patient.create_task(&NewTask::new(URL)).unwrap(), TASK + 1);
    let log = nginx.stop();
    assert_eq!((count(&log, 200), service.request_count()), (3, 3));
    assert!(count(&log, 429) >= 4, "{log:?}");
}

#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn a_rate_limit_that_says_how_long_is_obeyed() {
    let http = "limit_req_zone $binary_remote_addr zone=calls:1m rate=30r/m;";
    let server = "limit_req zone=calls; limit_req_status 429; add_header Retry-After 3 always;";
    let service = service();
    let nginx = Nginx::start(&Setup {
        http,
        server,
        ..Setup::usual(service.address())
    });
    client(&nginx).get_process(TASK).unwrap();
    assert_eq!(
        client(&nginx).get_process(TASK).unwrap_err().retry_after(),
        Some(Duration::from_secs(3))
    );
    // The usual pause before the only retry, half a second, would not do.
    let patient = builder(nginx.base_url()).retries(1).build().unwrap();
    assert_eq!(patient.get_process(TASK).unwrap(), RUNNING);
    let statuses: Vec<_> = nginx.stop().iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [200, 429, 429, 200]);
}

/// The watch asks faster than nginx lets through.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn a_watch_gets_through_a_rate_limit() {
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
        ..Setup::usual(service.address())
    });
    let client = client(&nginx);
    let updates: Vec<_> = brisk(client.watch(tasks.clone())).collect();
    assert_all_succeed(&updates, tasks);
    let log = nginx.stop();
    assert_eq!((count(&log, 200), service.request_count()), (12, 12));
    assert!(count(&log, 429) > 0, "{log:?}");
}

/// A task may exist after a 502, since nginx does not say whether the service had read the request: it says so too
/// where the service has broken off its answer.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn a_service_that_is_gone_is_a_502() {
    let service = service();
    let nginx = Nginx::start(&Setup::usual(service.address()));
    let client = builder(nginx.base_url()).retries(1).build().unwrap();
    let calls = || {
        let error = client.get_process(TASK).unwrap_err();
        assert_page(&error, 502, "502 Bad Gateway", TROUBLE);
        let error = client.create_task(&NewTask::new(URL)).unwrap_err();
        assert_page(&error, 502, "502 Bad Gateway", TROUBLE_WITH_A_TASK);
        assert!(error.may_have_been_sent());
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
        "a creation is not sent again"
    );
}

#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn a_service_that_stalls_is_a_504() {
    let service = service();
    let nginx = Nginx::start(&Setup {
        server: "proxy_read_timeout 1s;",
        ..Setup::usual(service.address())
    });
    let stalled = Reply::progress(RUNNING).stall_at(0);
    service
        .reply_next(stalled.clone())
        .reply_next(stalled.clone())
        .reply_next(stalled);
    let error = client(&nginx).get_process(TASK).unwrap_err();
    assert_page(&error, 504, "504 Gateway Time-out", TROUBLE);

    let patient = builder(nginx.base_url()).retries(1).build().unwrap();
    let error = patient.create_task(&NewTask::new(URL)).unwrap_err();
    assert_page(&error, 504, "504 Gateway Time-out", TROUBLE_WITH_A_TASK);
    assert!(error.may_have_been_sent());
    assert_eq!(patient.get_process(TASK).unwrap(), RUNNING);
    let requests: Vec<_> = service
        .requests()
        .into_iter()
        .map(|request| request.method)
        .collect();
    assert_eq!(requests, ["GET", "POST", "GET", "GET"]);
    drop(nginx);
}

/// The service dies under a watch, and another one takes its place.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn a_watch_outlives_the_service() {
    let tasks = 1..=5;
    let service = |progress| {
        let service = Service::start().unwrap();
        for task in tasks.clone() {
            service.task(task, [progress]);
        }
        service
    };
    let first = service(RUNNING);
    let nginx = Nginx::start(&Setup::usual(first.address()));
    let client = client(&nginx);
    let updates: Vec<_> = std::thread::scope(|scope| {
        let watch =
            brisk(client.watch(tasks.clone())).policy(FAST.max_consecutive_errors(u32::MAX));
        let watch = scope.spawn(move || watch.collect());
        until("the watch is under way", || first.request_count() >= 20);
        drop(first);
        until("the service is missed", || count(&nginx.log(), 502) >= 20);
        let second = service(DONE);
        nginx.reload_as(&Setup::usual(second.address()));
        watch.join().unwrap()
    });
    assert_all_succeed(&updates, tasks);
    assert_eq!(updates.len(), 10, "a failed poll is no update");
}

// ---- What nginx makes of a body.

/// nginx compresses for whoever asks for it, which the client does not.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn nothing_is_compressed_unasked() {
    let service = service();
    let server = "gzip on; gzip_types *; gzip_min_length 1;";
    let nginx = Nginx::start(&Setup {
        server,
        ..Setup::usual(service.address())
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
    let asked = agent
        .get(path)
        .header("Accept-Encoding", "gzip")
        .call()
        .unwrap();
    assert_eq!(
        asked.headers()["Content-Encoding"],
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

/// A body that ends with its connection reaches the client in chunks, whole to all appearances even where it is not.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn a_body_without_a_length_must_be_whole() {
    let service = service();
    let nginx = Nginx::start(&Setup {
        server: "proxy_http_version 1.0;",
        ..Setup::usual(service.address())
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
        assert_eq!(decode.reason(), reason, "cut at {at}");
        assert!(error.may_have_been_sent() && !error.is_transient());
        service.reply_next(reply.clone());
        assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    }
    assert_eq!(
        by_connection(&nginx.stop()).len(),
        1,
        "the connection to nginx is as good as before"
    );
}

/// Here nginx notices, and closes its own connection too early.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn rejects_body_cut_short_by_the_gateway() {
    let service = service();
    let nginx = Nginx::start(&Setup::usual(service.address()));
    let client = client(&nginx);
    for reply in [Reply::progress(RUNNING), Reply::progress(RUNNING).chunked()] {
        let cut = reply.clone().cut_at(reply.len() - 8);
        service.reply_next(cut.clone());
        assert_eq!(
            client.get_process(TASK).unwrap(),
            RUNNING,
            "replayed over a fresh connection"
        );
        service.reply_next(cut.clone()).reply_next(cut.clone());
        let error = client.get_process(TASK).unwrap_err();
        assert!(
            matches!(&error, Error::Transport(e) if e.kind() == TransportErrorKind::Closed),
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
            matches!(&error, Error::Transport(e) if e.kind() == TransportErrorKind::Closed),
            "{error:?}"
        );
        assert!(error.may_have_been_sent());
    }
    assert_eq!(service.request_count(), 10);
}

// ---- Certificates.

#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn rejects_untrusted_certificates_with_the_reason() {
    const WHY: [&str; 3] = ["certificate expired", "not valid for name", "UnknownIssuer"];

    let service = service();
    let expired = certificates::issued("127.0.0.1", |it| {
        it.not_after = rcgen::date_time_ymd(2020, 1, 1)
    });
    let other_name = certificates::issued("gateway.test", |_| {});
    let self_signed = certificates::self_signed("127.0.0.1");
    for (identity, why) in [expired, other_name, self_signed].iter().zip(WHY) {
        let nginx = Nginx::start_as(identity, &Setup::usual(service.address()));
        let client = client(&nginx);
        for error in [
            client.get_process(TASK).unwrap_err(),
            client.create_task(&NewTask::new(URL)).unwrap_err(),
        ] {
            assert!(
                matches!(&error, Error::Transport(e) if e.kind() == TransportErrorKind::Tls),
                "{why}: {error:?}"
            );
            assert!(
                !error.is_transient() && !error.may_have_been_sent(),
                "{why}"
            );
            let trouble = format!("no trusted TLS connection with {}", nginx.address());
            assert_eq!(
                error.to_string(),
                format!("{trouble}; check its certificate and the clock")
            );
            let cause = std::error::Error::source(&error).unwrap().to_string();
            let said: Vec<_> = WHY.into_iter().filter(|why| cause.contains(why)).collect();
            assert_eq!(said, [why], "{cause}");
        }
        assert_eq!(nginx.stop(), []);
    }
    assert_eq!(service.request_count(), 0);
}

// ---- Through a proxy.
//
// Which one, the environment says. It is the whole process's, and may not be changed while other threads run; so each
// case is a process of its own: this very test binary, told to run one test.

/// A name that is kept free for tests, so only the proxy knows where it leads.
const HOST: &str = "gateway.test";
/// Set for a child: the file with the root certificate that it shall trust.
const ROOT: &str = "GATEWAY_TEST_ROOT";
const BASE_URL: &str = "GATEWAY_TEST_BASE_URL";
/// How often a child asks for progress, before it creates a task.
const CALLS: usize = 20;

/// What the calls of a child say that has this proxy in its environment.
#[track_caller]
fn through(proxy: &Proxy, base_url: &str) -> Vec<String> {
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
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("hunter2") && !said.contains(TOKEN), "{said}");
    said.lines()
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
            Err(error) => eprintln!("outcome: {}", told(&error)),
        }
    }
    match client.create_task(&NewTask::new(URL)) {
        Ok(task_id) => eprintln!("outcome: task {task_id}"),
        Err(error) => eprintln!("outcome: {}", told(&error)),
    }
}

/// All that there is to know about an error.
fn told(error: &Error) -> String {
    let Error::Transport(transport) = error else {
        panic!("{error:?}")
    };
    let cause = std::error::Error::source(error).unwrap();
    let (transient, sent) = (error.is_transient(), error.may_have_been_sent());
    format!(
        "{:?}, transient: {transient}, sent: {sent}: {error}: {cause}",
        transport.kind()
    )
}

#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn the_proxy_of_the_environment_leads_to_the_gateway() {
    let service = service();
    let identity = certificates::issued(HOST, |_| {});
    let nginx = Nginx::start_as(&identity, &Setup::usual(service.address()));
    let target = format!("{HOST}:{}", nginx.address().port());
    let proxy = Proxy::to(&target, nginx.address());
    let mut expected = vec![RUNNING.to_string(); CALLS];
    expected.push(format!("task {}", TASK + 1));
    assert_eq!(through(&proxy, &format!("https://{target}")), expected);

    assert_eq!(
        by_connection(&nginx.stop()),
        [CALLS, 1],
        "a task is created over a fresh connection"
    );
    let heads = proxy.heads();
    assert_eq!(heads.len(), 2, "a tunnel for each connection");
    for head in heads {
        let lines: Vec<_> = head.trim_end().split("\r\n").collect();
        assert_eq!(
            lines[..2],
            [
                format!("CONNECT {target} HTTP/1.1"),
                format!("Host: {target}")
            ]
        );
        assert!(
            lines.contains(&"Proxy-Authorization: Basic dXNlcjpodW50ZXIy"),
            "{head}"
        );
        assert!(!head.contains(TOKEN), "{head}");
    }
}

/// The certificate is judged through a tunnel, too: here it is for the address, and not for the name.
#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn a_tunnel_to_another_host_is_refused() {
    let service = service();
    let nginx = Nginx::start(&Setup::usual(service.address()));
    let proxy = Proxy::to(&format!("{HOST}:443"), nginx.address());
    for said in through(&proxy, &format!("https://{HOST}")) {
        let expected = format!(
            "Tls, transient: false, sent: false: no trusted TLS connection with {HOST} through the proxy {}; check its \
             certificate and the clock: invalid peer certificate: certificate not valid for name \"{HOST}\"",
            proxy.address()
        );
        assert!(said.starts_with(&expected), "{said}");
    }
    assert_eq!((service.request_count(), nginx.stop()), (0, vec![]));
}

#[test]
#[ignore = "needs nginx and openssl: cargo test --test gateway -- --ignored"]
fn a_proxy_that_refuses_is_said_to() {
    for (answer, why) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
            "responded 407/407",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nForbidden",
            "responded 403/403",
        ),
        ("", "did not respond"),
    ] {
        let proxy = Proxy::refusing(answer);
        let said = through(&proxy, &format!("https://{HOST}"));
        assert_eq!((said.len(), proxy.heads().len()), (CALLS + 1, CALLS + 1));
        for said in said {
            let expected = format!(
                "Proxy, transient: true, sent: false: the proxy did not connect to {HOST} through the proxy {}; check \
                 its address and credentials: CONNECT proxy failed: proxy server {why}",
                proxy.address()
            );
            assert_eq!(said, expected);
        }
    }
}
