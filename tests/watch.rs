//! Waiting over real connections. When a task is polled next is tested in `src/watch`, with a clock that does not sleep.

#[path = "watch/crowd.rs"]
mod crowd;
mod support;

use std::iter::FusedIterator;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pan123_offline::testing::{Reply, Request};
use pan123_offline::{
    Error, PollPolicy, Progress, Status, TransportErrorKind, Update, Wait, Watch,
};
use support::{
    Fault, RUNNING, TASK, TOKEN, builder, client, html, retry_at_once, service, side_by_side,
};

const DONE: Progress = Progress::new(Status::Succeeded, 100);
const FAILED: Progress = Progress::new(Status::Failed, 40);

/// Far above every timeout, so that only a hang exceeds it on a slow machine.
const MAX_WAIT: Duration = Duration::from_secs(20);

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Polls in short intervals, and ends a task after eight errors, however soon they come.
const FAST: PollPolicy = PollPolicy::new()
    .initial_interval(ms(1))
    .max_interval(ms(5))
    .error_window(Duration::ZERO);

fn fast(watch: Watch) -> Watch {
    watch.policy(FAST)
}

fn fast_wait(wait: Wait) -> Wait {
    wait.policy(FAST)
}

// ---- One task.

#[test]
fn wait_polls_to_the_end() {
    let service = service();
    let client = client(&service);
    let wait = fast_wait(client.wait(TASK));
    assert_eq!(service.request_count(), 0, "no poll before the start");
    let retrying = Progress::new(Status::Retrying, 37);
    let unknown = Progress::new(Status::Unknown(8), 60);
    service.task(TASK, [RUNNING, RUNNING, retrying, unknown, DONE]);
    assert_eq!(wait.run().unwrap(), DONE);
    assert_eq!(service.request_count(), 5);
    // Once more, at its end.
    assert_eq!(client.wait(TASK).run().unwrap(), DONE);
    let counts = (service.request_count(), service.connection_count());
    assert_eq!(counts, (6, 1));
}

#[test]
fn failed_task_is_the_error_that_ends_a_wait() {
    let service = service();
    let client = client(&service);
    service.task(TASK, [RUNNING, FAILED]);
    let error = fast_wait(client.wait(TASK)).run().unwrap_err();
    let Error::TaskFailed {
        task_id: TASK,
        progress: FAILED,
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(
        error.to_string(),
        "task 403316 failed at 40 %; only its callback gives the reason"
    );
    assert!(std::error::Error::source(&error).is_none());
    assert!(!error.is_transient() && !error.is_timeout() && !error.may_have_taken_effect());
    assert_eq!(service.request_count(), 2);

    service.task(TASK, [RUNNING, FAILED]);
    let follow = || {
        let mut last = None;
        for progress in fast_wait(client.wait(TASK)) {
            assert_eq!(last.replace(progress?), None);
        }
        Ok::<_, Error>(last)
    };
    let error = follow().unwrap_err();
    assert!(matches!(error, Error::TaskFailed { .. }), "{error:?}");

    service.task(TASK, [RUNNING, FAILED]);
    let updates: Vec<_> = fast(client.watch([TASK])).collect();
    assert!(!updates[0].is_end() && updates[1].is_end());
    assert_eq!(updates[1].result.clone().unwrap(), FAILED);
}

#[test]
fn wait_iterates_over_changes() {
    let service = service();
    let half = Progress::new(Status::InProgress, 50);
    service.task(TASK, [RUNNING, RUNNING, half, half, half, DONE, RUNNING]);
    let client = client(&service);
    let mut seen = Vec::new();
    for progress in fast_wait(client.wait(TASK)) {
        seen.push(progress.unwrap());
    }
    assert_eq!(seen, [RUNNING, half, DONE]);
    assert_eq!(service.request_count(), 6, "no poll after the end");

    let mut iter = fast_wait(client.wait(403_317)).into_iter();
    let error = iter.next().unwrap().unwrap_err();
    assert_eq!(error.code().map(|code| code.as_i64()), Some(1));
    assert!(iter.next().is_none() && iter.next().is_none());
}

// ---- Timeouts.

#[test]
fn timeout_of_a_wait_does_not_end_its_task() {
    let service = service();
    let client = client(&service);
    let timeout = Duration::from_secs(1);
    let policy = FAST.initial_interval(ms(20)).max_interval(ms(50));
    let wait = client.wait(TASK).timeout(timeout).policy(policy);
    let error = wait.run().unwrap_err();
    let Error::WaitTimeout {
        task_id: TASK,
        last: Some(RUNNING),
        elapsed,
        polls,
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert!(*elapsed >= timeout, "{error:?}");
    // On a slow machine the time limit of the last poll may be over before it is sent.
    let requests = service.requests();
    assert!(
        *polls >= 2 && requests.len() <= *polls as usize,
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        format!(
            "task 403316 did not end within {:.1} s and {polls} polls; its last progress was: in progress, 37 %; it \
             continues at the service",
            elapsed.as_secs_f64()
        )
    );
    assert!(error.is_timeout() && !error.is_transient() && !error.may_have_taken_effect());
    assert!(requests.iter().all(is_poll), "{requests:?}");
    service.task(TASK, [DONE]);
    assert_eq!(client.wait(TASK).run().unwrap(), DONE);
}

fn is_poll(request: &Request) -> bool {
    let (method, path) = (request.method.as_str(), request.path.as_str());
    (method, path, request.task_id()) == ("GET", "/api/v1/oss/offline/download/process", Some(TASK))
}

#[test]
fn zero_timeout_polls_once() {
    let service = service();
    let client = client(&service);
    let wait = || client.wait(TASK).timeout(Duration::ZERO);
    let error = wait().run().unwrap_err();
    let Error::WaitTimeout {
        polls: 1,
        last: Some(RUNNING),
        cause: None,
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(service.request_count(), 1);

    let mut iter = wait().into_iter();
    assert_eq!(iter.next().unwrap().unwrap(), RUNNING);
    assert!(iter.next().unwrap().unwrap_err().is_timeout());
    assert!(iter.next().is_none() && iter.next().is_none());
    assert_eq!(service.request_count(), 2);

    service.task(TASK, [DONE]);
    assert_eq!(wait().run().unwrap(), DONE);
    let counts = (service.request_count(), service.connection_count());
    assert_eq!(counts, (3, 1));

    // If the server has closed the pooled connection, the poll is repeated over a new one.
    service.reply_next(Reply::nothing());
    assert_eq!(wait().run().unwrap(), DONE);
    let counts = (service.request_count(), service.connection_count());
    assert_eq!(counts, (5, 2));
}

#[test]
fn max_timeout_does_not_panic() {
    let service = service();
    service.task(TASK, [RUNNING, DONE]);
    let wait = fast_wait(client(&service).wait(TASK));
    assert_eq!(wait.timeout(Duration::MAX).run().unwrap(), DONE);
}

/// The client's own timeout is 100 s.
#[test]
fn wait_ends_although_the_server_is_silent() {
    let whole = || Reply::progress(RUNNING);
    let (header, all) = (whole().header_len(), whole().len());
    let cases = [
        ("before the header", whole().stall_at(0)),
        ("in the header", whole().stall_at(30)),
        ("in the body", whole().stall_at(header + 10)),
        ("in a chunked body", whole().chunked().stall_at(all - 5)),
        ("byte by byte", whole().drip(ms(500))),
        ("late", whole().delay(Duration::from_secs(60))),
    ];
    side_by_side(cases, |(name, reply)| {
        let service = service();
        service.reply_with(move |_| Some(reply.clone()));
        let builder = builder(service.base_url()).timeout(Duration::from_secs(100));
        let client = builder.build().unwrap();
        let started = Instant::now();
        let error = client.wait(TASK).timeout(ms(500)).run().unwrap_err();
        let elapsed = started.elapsed();
        assert!(elapsed < MAX_WAIT, "{name}: {elapsed:?}");
        let Error::WaitTimeout {
            last: None,
            polls,
            cause: Some(cause),
            ..
        } = &error
        else {
            panic!("{name}: {error:?}")
        };
        // On a slow machine the time limit of the last poll may be over before it is sent.
        let requests = service.request_count();
        assert!(requests <= *polls as usize, "{name}: {error:?}");
        assert!(cause.is_timeout(), "{name}: {error:?}");
        let text = error.to_string();
        assert!(
            text.ends_with(" polls; no poll succeeded"),
            "{name}: {text}"
        );
    });
}

#[test]
fn timeout_without_a_server_has_the_connect_error_as_its_source() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = builder(format!("http://{address}")).build().unwrap();
    let policy = PollPolicy::new()
        .initial_interval(ms(5))
        .max_interval(ms(20));
    let wait = client.wait(TASK).policy(policy).timeout(ms(300));
    let error = wait.run().unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(
        source,
        format!("cannot connect to {address}; check the address and the network")
    );
}

// ---- Errors.

type Check = fn(&Error) -> bool;

fn transport_kind(error: &Error) -> Option<TransportErrorKind> {
    match error {
        Error::Transport(error) => Some(error.kind),
        _ => None,
    }
}

/// The retries of the client do not apply. A replay over a new connection is not an error of its own.
#[test]
fn nth_consecutive_error_ends_a_task() {
    let len = Reply::progress(RUNNING).len();
    let cut = Reply::progress(RUNNING).cut_at(len - 9);
    let limited = retry_at_once(html(429));
    let code = retry_at_once(Reply::code(429, ""));
    let garbage = Reply::raw("garbage\r\n\r\n");
    let is_502: Check = |e| matches!(e, Error::Http(e) if e.status == 502);
    let is_429: Check = |e| matches!(e, Error::Http(e) if e.status == 429);
    let is_code: Check = |e| matches!(e, Error::Api(e) if e.code.as_i64() == 429);
    let is_decode: Check = |e| matches!(e, Error::Decode(_));
    let is_protocol = |e: &Error| transport_kind(e) == Some(TransportErrorKind::Protocol);
    let is_closed = |e: &Error| transport_kind(e) == Some(TransportErrorKind::Closed);
    let cases: [(&str, Reply, usize, Check); 7] = [
        ("HTTP 502", html(502), 1, is_502),
        ("HTTP 429", limited, 1, is_429),
        ("code 429", code, 1, is_code),
        ("HTML", html(200), 1, is_decode),
        ("garbage", garbage, 1, is_protocol),
        ("no response", Reply::nothing(), 2, is_closed),
        ("cut short", cut, 2, is_closed),
    ];
    for (name, reply, requests, is_expected) in cases {
        for (max, polls) in [(0, 1), (1, 1), (3, 3)] {
            let name = format!("{name}, at most {max} errors");
            let service = service();
            let reply = reply.clone();
            service.reply_with(move |_| Some(reply.clone()));
            let client = builder(service.base_url()).retries(5).build().unwrap();
            let policy = FAST.max_consecutive_errors(max);
            let updates: Vec<_> = client.watch([TASK]).policy(policy).collect();
            let [
                Update {
                    result: Err(error), ..
                },
            ] = &updates[..]
            else {
                panic!("{name}: {updates:?}")
            };
            assert!(is_expected(error), "{name}: {error:?}");
            assert_eq!(service.request_count(), polls * requests, "{name}");

            let error = client.wait(TASK).policy(policy).run().unwrap_err();
            assert!(is_expected(&error), "{name}: {error:?}");
            assert_eq!(service.request_count(), 2 * polls * requests, "{name}");
        }
    }
}

#[test]
fn ban_ends_all_tasks_without_another_request() {
    const POLLS: usize = 25;
    let delayed = html(403).header("Retry-After", "1");
    let envelope = Reply::code(403, "banned").status(403);
    let cases: [(&str, Reply, Check); 6] = [
        ("code 403", Reply::code(403, "banned"), Error::is_banned),
        ("code 403 in HTTP 403", envelope, Error::is_banned),
        ("HTTP 403", html(403), Error::is_banned),
        ("HTTP 403 with Retry-After", delayed, Error::is_banned),
        (
            "code 401",
            Reply::code(401, "expired"),
            Error::is_unauthorized,
        ),
        ("HTTP 401", html(401), Error::is_unauthorized),
    ];
    for (name, reply, is_expected) in cases {
        let service = service();
        for task_id in 1..=10 {
            service.task(task_id, [RUNNING]);
        }
        service.task(4, [RUNNING, DONE]);
        let received = AtomicUsize::new(0);
        service.reply_with(move |_| {
            let before = received.fetch_add(1, Ordering::SeqCst);
            (before >= POLLS).then(|| reply.clone())
        });
        let client = builder(service.base_url()).retries(5).build().unwrap();
        let (mut ended, mut texts) = (Vec::new(), Vec::new());
        let mut watch = fast(client.watch(1..=10));
        while let Some(update) = watch.next() {
            if let Err(error) = &update.result {
                assert!(is_expected(error), "{name}: {error:?}");
                texts.push(error.to_string());
            }
            if update.is_end() {
                ended.push(update.task_id);
            }
            let counts = (watch.pending(), watch.finished());
            assert_eq!(counts, (10 - ended.len(), ended.len()), "{name}");
        }
        assert!(watch.next().is_none(), "{name}");
        assert_eq!(service.request_count(), POLLS + 1, "{name}");
        assert_eq!(ended[0], 4, "{name}: it succeeded before");
        ended.sort_unstable();
        assert_eq!(ended, (1..=10).collect::<Vec<_>>(), "{name}");
        texts.dedup();
        assert_eq!(texts.len(), 1, "{name}: {texts:?}");
        // A wait ends with it, too.
        let error = client.wait(TASK).run().unwrap_err();
        assert!(is_expected(&error), "{name}: {error:?}");
        assert_eq!(service.request_count(), POLLS + 2, "{name}");
    }
}

// ---- The watch and its client.

#[test]
fn watch_without_tasks_ends_at_once() {
    let service = service();
    let client = client(&service);
    let mut watch = client.watch([]);
    let counts = (watch.pending(), watch.finished(), watch.size_hint());
    assert_eq!(counts, (0, 0, (0, Some(0))));
    assert!(watch.next().is_none() && watch.next().is_none());
    assert_eq!(service.connection_count(), 0);
}

#[test]
fn follows_tasks_that_are_added_after_the_end() {
    let service = service();
    let mut watch = client(&service).watch([]);
    let finished = watch.next_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(finished.to_string(), "no task is pending");
    watch.add([TASK]);
    assert_eq!(
        format!("{watch:?}"),
        "Watch { pending: 1, finished: 0, .. }"
    );
    let first = watch.next_timeout(Duration::ZERO).unwrap();
    assert_eq!(first.task_id, TASK);
    let timed_out = watch.next_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(timed_out.to_string(), "there was no update in time");
}

#[test]
fn event_loop_knows_the_next_poll_and_removes_tasks() {
    let service = service();
    service.task(1, [RUNNING]).task(2, [RUNNING]);
    let hour = Duration::from_secs(3600);
    let policy = PollPolicy::new().initial_interval(hour).max_interval(hour);
    let mut watch = client(&service).watch([1, 2]).policy(policy);
    assert_eq!(watch.next_due(), Some(Duration::ZERO));
    assert!(watch.remove(1) && !watch.remove(1) && !watch.remove(3));
    let first = watch.next_timeout(MAX_WAIT).unwrap();
    assert_eq!((first.task_id, watch.pending()), (2, 1));
    let due = watch.next_due().unwrap();
    assert!(due > hour / 2 && due <= hour, "{due:?}");
    assert!(watch.remove(2));
    assert_eq!(watch.next_due(), None);
    assert!(watch.next().is_none());
    assert_eq!((watch.finished(), service.request_count()), (0, 1));
}

#[test]
fn watch_begins_anew_after_a_ban() {
    let service = service();
    service.task(2, [DONE]);
    let client = client(&service);
    service.reply_next(Reply::code(403, "banned"));
    let mut watch = fast(client.watch([1]));
    assert!(watch.stopped_by().is_none());
    assert!(watch.next().unwrap().is_end());
    assert!(watch.stopped_by().is_some_and(Error::is_banned));
    watch.add([2]);
    assert!(watch.stopped_by().is_none());
    assert_eq!(watch.next().unwrap().result.unwrap(), DONE);
    assert_eq!(service.request_count(), 2);
}

#[test]
fn client_is_free_during_and_after_a_watch() {
    let service = service();
    for task_id in 1..=10 {
        service.task(task_id, [RUNNING]);
    }
    let client = client(&service);
    for update in fast(client.watch(1..=10)) {
        assert_eq!(client.get_process(update.task_id).unwrap(), RUNNING);
        if update.task_id == 4 {
            break;
        }
    }
    assert_eq!(service.request_count(), 8);
    let mut watch = fast(client.watch([5, 6]));
    let ids = watch.by_ref().take(2).map(|update| update.task_id);
    assert_eq!(ids.collect::<Vec<_>>(), [5, 6]);
    service.task(5, [DONE]).task(6, [DONE]);
    assert_eq!(watch.by_ref().filter(Update::is_end).count(), 2);
    assert_eq!((watch.pending(), watch.finished()), (0, 2));
    assert_eq!(service.connection_count(), 1);
}

#[test]
fn clones_watch_over_one_connection() {
    let service = service();
    for task_id in 1..=3 {
        service.task(task_id, [RUNNING, DONE]);
    }
    let client = client(&service);
    let clones = [client.clone(), client.clone(), client];
    let watches = clones.iter().zip(1..);
    let mut watches: Vec<_> = watches.map(|(c, id)| fast(c.watch([id]))).collect();
    for _ in 0..2 {
        for watch in &mut watches {
            assert!(watch.next().is_some_and(|update| update.result.is_ok()));
        }
    }
    assert!(watches.iter_mut().all(|watch| watch.next().is_none()));
    let counts = (service.request_count(), service.connection_count());
    assert_eq!(counts, (6, 1));
}

#[test]
fn debug_texts_have_no_token_and_types_are_thread_safe() {
    fn fused<T: FusedIterator + Send + Sync + Unpin>(_: &T) {}
    fn plain<T: Clone + Send + Sync + Unpin + 'static>(_: &T) {}

    let service = service();
    let client = client(&service);
    let (mut watch, wait) = (client.watch([TASK]), client.wait(TASK));
    assert!(!format!("{watch:?} {watch:#?} {wait:?} {wait:#?}").contains(TOKEN));
    plain(&watch.next().unwrap());
    fused(&watch);
    fused(&wait.into_iter());
}
