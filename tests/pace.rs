//! The pace of requests and the pauses, which the clones of a client share. Decisions: `src/throttle.rs`.

mod support;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{
    Client, Credentials, Error, MigrationEvent, NewTask, Progress, Status, Update,
};
use support::builder;

const DONE: Progress = Progress::new(Status::Succeeded, 100);

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A service whose tasks have all succeeded.
fn finished_service() -> Service {
    let service = Service::start().unwrap();
    service.new_tasks(|_, _| vec![DONE]);
    service.reply_with(|request| request.task_id().map(|_| Reply::progress(DONE)));
    service
}

fn with_gap(service: &Service, gap: Duration) -> Client {
    let builder = builder(service.base_url()).min_request_gap(gap);
    builder.build().unwrap()
}

fn tasks(count: usize) -> impl Iterator<Item = NewTask> {
    (0..count).map(|number| NewTask::new(format!("https://example.org/{number}.png")))
}

fn limited(retry_after: &str) -> Reply {
    Reply::code(429, "slow down").header("Retry-After", retry_after)
}

// ---- The gap.

#[test]
fn waits_watches_and_migrations_on_clones_share_the_gap() {
    let service = finished_service();
    let client = with_gap(&service, ms(20));
    let started = Instant::now();
    thread::scope(|scope| {
        for first in [0, 10] {
            let watch = client.watch(first..first + 10);
            scope.spawn(move || assert_eq!(watch.filter(Update::is_end).count(), 10));
        }
        let migration = client.migrate(tasks(3)).create_gap(ms(1));
        let is_end = |event: &MigrationEvent| matches!(event, MigrationEvent::Update { update, .. } if update.is_end());
        scope.spawn(move || assert_eq!(migration.filter(is_end).count(), 3));
        for task_id in 20..30 {
            assert_eq!(client.wait(task_id).run().unwrap(), DONE);
        }
    });
    let requests = 20 + 3 * 2 + 10;
    assert_eq!(service.request_count(), requests);
    assert!(started.elapsed() >= (requests as u32 - 1) * ms(20));
}

#[test]
fn users_calls_are_not_delayed_but_count() {
    let service = finished_service();
    let client = with_gap(&service, Duration::from_secs(600));
    for task_id in 0..5 {
        client.get_process(task_id).unwrap();
    }
    let error = client.wait(9).timeout(ms(300)).run().unwrap_err();
    let is_timeout = matches!(error, Error::WaitTimeout { polls: 0, .. });
    assert!(is_timeout, "{error:?}");
    assert_eq!(service.request_count(), 5);
}

/// A thread calls more often than the gap.
#[test]
fn direct_calls_do_not_starve_waits_and_migrations() {
    let service = finished_service();
    let client = with_gap(&service, ms(200));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                client.get_process(1).unwrap();
                thread::sleep(ms(50));
            }
        });
        let wait = |timeout| client.wait(2).timeout(timeout).run();
        let ends = [ms(20_000), Duration::ZERO].map(wait);
        let migration = client.migrate(tasks(1)).timeout(ms(20_000)).create_only();
        let last = migration.last();
        is_over.store(true, Ordering::SeqCst);
        assert_eq!(ends.map(Result::unwrap), [DONE; 2]);
        let is_created = matches!(last, Some(MigrationEvent::Created { .. }));
        assert!(is_created, "{last:?}");
    });
}

/// The gap begins when the request is sent, not when its token is requested.
#[test]
fn slow_token_request_does_not_shorten_the_gap() {
    let service = finished_service();
    service.credentials("id", "client-secret");
    service.require_token("t");
    let token = Reply::json(r#"{"code":0,"message":"ok","data":{"accessToken":"t"}}"#);
    service.reply_next(token.delay(ms(600)));
    let credentials = Credentials::new("id", "client-secret");
    let builder = builder(service.base_url()).credentials(credentials);
    let client = builder.min_request_gap(ms(600)).build().unwrap();
    assert!(client.watch([1, 2]).all(|update| update.result.is_ok()));
    let requests = service.requests();
    // The two requests need not arrive as evenly as they were sent.
    assert!(requests[2].at - requests[1].at >= ms(300), "{requests:?}");
}

// ---- Pauses.

#[test]
fn retry_after_of_a_503_pauses_the_client() {
    let service = finished_service();
    service.reply_next(Reply::new(503).header("Retry-After", "60"));
    let client = with_gap(&service, Duration::ZERO);
    let ends = client.watch(0..1000).timeout(ms(500)).count();
    assert_eq!((ends, service.request_count()), (1000, 1));
    let error = client.get_process(1).unwrap_err();
    assert_eq!(error.http_status(), Some(503));
    assert_eq!(service.request_count(), 1);
}

#[test]
fn calls_and_watches_wait_for_the_end_of_a_pause() {
    let service = finished_service();
    service.reply_next(limited("1"));
    let client = with_gap(&service, Duration::ZERO);
    assert!(client.get_process(1).unwrap_err().is_rate_limited());
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(client.clone().watch([2]).count(), 1));
        assert_eq!(client.get_process(1).unwrap(), DONE);
    });
    let requests = service.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests[1].at - requests[0].at >= ms(1000), "{requests:?}");
}

#[test]
fn a_call_fails_at_once_if_a_pause_is_longer_than_its_timeout() {
    let service = finished_service();
    service.reply_next(limited("60"));
    let client = with_gap(&service, Duration::ZERO);
    assert!(client.get_process(1).unwrap_err().is_rate_limited());
    let task = tasks(1).next().unwrap();
    let error = client.clone().create_task(&task).unwrap_err();
    assert!(error.is_rate_limited() && !error.may_have_taken_effect());
    let remaining = error.retry_after().unwrap();
    assert!(remaining <= ms(60_000) && remaining > ms(20_000));
    assert!(error.to_string().contains("(retry after "), "{error}");
    assert_eq!(service.request_count(), 1);
}

/// A retry is a request, too: while the service responds with a 503, which is retried after 500 ms, another call is paused.
#[test]
fn retry_waits_for_the_pause_of_another_call() {
    let service = finished_service();
    let retrying = builder(service.base_url()).retries(2);
    let client = retrying.build().unwrap();
    let (other, is_first) = (client.clone(), AtomicBool::new(true));
    service.reply_with(move |request| match request.task_id()? {
        1 if is_first.swap(false, Ordering::SeqCst) => {
            assert!(other.watch([2]).next_timeout(ms(50)).is_err());
            Some(Reply::new(503))
        }
        1 => Some(Reply::progress(DONE)),
        _ => Some(limited("1")),
    });
    assert_eq!(client.get_process(1).unwrap(), DONE);
    let requests = service.requests();
    assert_eq!(requests.len(), 3, "{requests:?}");
    assert!(requests[2].at - requests[1].at >= ms(1000), "{requests:?}");
}

// ---- Connections.

/// The calls of a round overlap, and so do the returns of their connections to the pool.
#[test]
fn each_of_sixteen_threads_keeps_its_connection() {
    let service = Service::start().unwrap();
    service.reply_with(|_| Some(Reply::progress(DONE).delay(ms(50))));
    let client = with_gap(&service, Duration::ZERO);
    let round = Barrier::new(16);
    support::side_by_side(0..16, |task_id| {
        for _ in 0..4 {
            round.wait();
            assert_eq!(client.get_process(task_id).unwrap(), DONE);
        }
    });
    let connections = service.connection_count();
    assert!(connections <= 16, "{connections} connections");
}
