//! Waiting over real connections. When a task is polled next is tested in `src/watch`, with a clock that does not sleep.

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pan123_offline::testing::Reply;
use pan123_offline::{Error, PollPolicy, Progress, Result, Status, Wait, Watch};
use support::{RUNNING, TASK, builder, client, html, retry_at_once, service};

const DONE: Progress = Progress::new(Status::Succeeded, 100);
const FAILED: Progress = Progress::new(Status::Failed, 40);

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
fn wait_iterates_over_changes() {
    let service = service();
    let half = Progress::new(Status::InProgress, 50);
    service.task(TASK, [RUNNING, RUNNING, half, half, half, DONE, RUNNING]);
    let client = client(&service);
    let seen: Result<Vec<_>> = fast_wait(client.wait(TASK)).into_iter().collect();
    assert_eq!(seen.unwrap(), [RUNNING, half, DONE]);
    assert_eq!(service.request_count(), 6, "no poll after the end");

    let mut iter = fast_wait(client.wait(403_317)).into_iter();
    let error = iter.next().unwrap().unwrap_err();
    assert_eq!(error.code().map(|code| code.as_i64()), Some(1));
    assert!(iter.next().is_none() && iter.next().is_none());
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
    let text = "task 403316 failed at 40 %; only its callback gives the reason";
    assert_eq!(error.to_string(), text);
    assert!(std::error::Error::source(&error).is_none());
    assert!(!error.is_transient() && !error.is_timeout() && !error.may_have_taken_effect());
    assert_eq!(service.request_count(), 2);

    service.task(TASK, [RUNNING, FAILED]);
    let mut iter = fast_wait(client.wait(TASK)).into_iter();
    assert_eq!(iter.next().unwrap().unwrap(), RUNNING);
    let error = iter.next().unwrap().unwrap_err();
    assert!(matches!(error, Error::TaskFailed { .. }), "{error:?}");
    assert!(iter.next().is_none());

    service.task(TASK, [RUNNING, FAILED]);
    let updates: Vec<_> = fast(client.watch([TASK])).collect();
    assert!(!updates[0].is_end() && updates[1].is_end());
    assert_eq!(updates[1].result.clone().unwrap(), FAILED);
}

/// The client's own timeout is 100 s.
#[test]
fn wait_ends_although_the_server_is_silent() {
    let service = service();
    service.reply_with(|_| Some(Reply::progress(RUNNING).delay(Duration::from_secs(60))));
    let builder = builder(service.base_url()).timeout(Duration::from_secs(100));
    let client = builder.build().unwrap();
    let started = Instant::now();
    let error = client.wait(TASK).timeout(ms(500)).run().unwrap_err();
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
    let text = error.to_string();
    let Error::WaitTimeout { last, cause, .. } = error else {
        panic!("{error:?}")
    };
    assert!(last.is_none() && cause.unwrap().is_timeout());
    assert!(text.ends_with(" polls; no poll succeeded"), "{text}");
}

/// Their number is that of the policy.
#[test]
fn polls_are_not_retried() {
    let service = service();
    service.reply_with(|_| Some(html(502)));
    let client = builder(service.base_url()).retries(5).build().unwrap();
    let policy = FAST.max_consecutive_errors(3);
    let updates: Vec<_> = client.watch([TASK]).policy(policy).collect();
    assert_eq!((updates.len(), service.request_count()), (1, 3));
    let error = client.wait(TASK).policy(policy).run().unwrap_err();
    assert_eq!(error.http_status(), Some(502));
    assert_eq!(service.request_count(), 6);
}

// ---- The watch and its client.

#[test]
fn follows_tasks_that_are_added_and_removed() {
    let service = service();
    service.task(1, [RUNNING]).task(2, [RUNNING]);
    let hour = Duration::from_secs(3600);
    let policy = PollPolicy::new().initial_interval(hour).max_interval(hour);
    let mut watch = client(&service).watch([]).policy(policy);
    let counts = (watch.pending(), watch.finished(), watch.size_hint());
    assert_eq!(counts, (0, 0, (0, Some(0))));
    assert!(watch.next().is_none() && watch.next().is_none());
    assert_eq!((service.connection_count(), watch.next_due()), (0, None));
    let finished = watch.next_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(finished.to_string(), "no task is pending");

    watch.add([1, 2]);
    assert_eq!(watch.next_due(), Some(Duration::ZERO));
    assert!(watch.remove(1) && !watch.remove(1) && !watch.remove(3));
    let text = format!("{watch:?}");
    assert_eq!(text, "Watch { pending: 1, finished: 0, .. }");
    let first = watch.next_timeout(Duration::ZERO).unwrap();
    assert_eq!((first.task_id, watch.size_hint()), (2, (1, None)));
    let timed_out = watch.next_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(timed_out.to_string(), "there was no update in time");
    let due = watch.next_due().unwrap();
    assert!(due > hour / 2 && due <= hour, "{due:?}");
    assert!(watch.remove(2));
    assert!(watch.next_due().is_none() && watch.next().is_none());
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
fn watches_and_calls_share_one_connection() {
    let service = service();
    for task_id in 1..=3 {
        service.task(task_id, [RUNNING, DONE]);
    }
    let client = client(&service);
    let mut watches = [1, 2, 3].map(|id| fast(client.clone().watch([id])));
    for expected in [RUNNING, DONE] {
        for watch in &mut watches {
            assert_eq!(watch.next().unwrap().result.unwrap(), expected);
            assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
        }
    }
    assert!(watches.iter_mut().all(|watch| watch.next().is_none()));
    let counts = (service.request_count(), service.connection_count());
    assert_eq!(counts, (12, 1));
}

// ---- Many tasks, with a fault in every tenth response.

/// Returns the progress of a task, poll by poll. Some polls repeat the one before.
fn script(task_id: u64) -> Vec<Progress> {
    let statuses = [Status::InProgress, Status::Retrying, Status::Unknown(9)];
    let steps = (0..task_id % 4).flat_map(|step| {
        let progress = Progress::new(statuses[step as usize % 3], 20 * step as u8);
        [progress; 2].into_iter().take(1 + task_id as usize % 2)
    });
    let fails = task_id.is_multiple_of(7);
    let end = if fails { FAILED } else { DONE };
    steps.chain([end]).collect()
}

/// Returns the response to each poll of some tasks, which is a permanent error.
fn permanent_error(task_id: u64) -> Option<Reply> {
    match task_id % 100 {
        3 => Some(Reply::code(5066, "file not found")),
        23 => Some(html(404)),
        _ => None,
    }
}

#[test]
fn each_of_many_tasks_has_its_updates_and_one_end() {
    const TASKS: u64 = 400;

    let service = service();
    for task_id in 0..TASKS {
        service.task(task_id, script(task_id));
    }
    let faults = [
        retry_at_once(Reply::code(429, "too many requests")),
        Reply::nothing(),
        html(502),
        html(200),
        retry_at_once(html(503)),
        Reply::json(r#"{"code":0,"message":"ok","data":null}"#),
    ];
    let polls = AtomicUsize::new(0);
    service.reply_with(move |request| {
        let poll = polls.fetch_add(1, Ordering::SeqCst);
        if poll % 10 == 9 {
            return Some(faults[poll / 10 % faults.len()].clone());
        }
        permanent_error(request.task_id()?)
    });
    // Some are named twice.
    let ids = (0..TASKS).chain((0..TASKS).step_by(3));
    let mut watch = fast(client(&service).watch(ids));
    let mut reported: HashMap<u64, Vec<Progress>> = HashMap::new();
    let mut ended: HashMap<u64, usize> = HashMap::new();
    while let Some(update) = watch.next() {
        let task_id = update.task_id;
        assert!(!ended.contains_key(&task_id), "{update:?} after its end");
        if update.is_end() {
            ended.insert(task_id, service.request_count());
        }
        match (permanent_error(task_id), update.result) {
            (Some(_), result) => assert!(result.is_err_and(|error| !error.is_transient())),
            (None, result) => reported.entry(task_id).or_default().push(result.unwrap()),
        }
        let pending = TASKS as usize - ended.len();
        assert_eq!((watch.pending(), watch.finished()), (pending, ended.len()));
    }
    assert_eq!(ended.len(), TASKS as usize, "a task is lost");
    for (task_id, progress) in reported {
        let mut scripted = script(task_id);
        scripted.dedup();
        assert_eq!(progress, scripted, "{task_id}");
    }
    for (poll, request) in service.requests().iter().enumerate() {
        let polls_until_end = ended[&request.task_id().unwrap()];
        assert!(poll < polls_until_end, "{request:?} after its end");
    }
}
