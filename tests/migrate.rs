//! `Client::migrate` against the stand-in: one event for each creation, one end for each task. Times and errors:
//! `src/watch/tests/creations.rs`.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{
    Error, Migration, MigrationEvent, NewTask, NextTimeoutError, Progress, Status,
};
use support::{builder, client};

const SUCCEEDED: Progress = Progress::new(Status::Succeeded, 100);
const HOUR: Duration = Duration::from_secs(3600);

fn service() -> Service {
    let service = Service::start().unwrap();
    service.new_tasks(|_, _| vec![SUCCEEDED]);
    service
}

fn tasks(count: usize) -> impl Iterator<Item = NewTask> {
    (0..count).map(|number| NewTask::new(format!("https://a.example/{number}.png")))
}

/// The events as texts, in their order.
fn events(migration: Migration<impl Iterator<Item = NewTask>>) -> Vec<String> {
    migration
        .create_gap(Duration::ZERO)
        .map(|event| match event {
            MigrationEvent::Creating { index, .. } => format!("creating {index}"),
            MigrationEvent::Created { index, task_id, .. } => {
                format!("created {index} as {task_id}")
            }
            MigrationEvent::Delayed { index, .. } => format!("delayed {index}"),
            MigrationEvent::NotCreated { index, .. } => format!("not created {index}"),
            MigrationEvent::Update { update, .. } => {
                format!("{}: {}", update.task_id, update.result.unwrap())
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn creates_and_follows() {
    let service = service();
    service.task(7, [SUCCEEDED]);
    let mut events = events(client(&service).migrate(tasks(2)).also_watch([7]));
    events.sort();
    let expected = [
        "403316: succeeded, 100 %",
        "403317: succeeded, 100 %",
        "7: succeeded, 100 %",
        "created 0 as 403316",
        "created 1 as 403317",
        "creating 0",
        "creating 1",
    ];
    assert_eq!(events, expected);
}

#[test]
fn create_only_announces_each_request_and_does_not_follow() {
    let service = service();
    service.reply_next(Reply::new(503));
    let input = [NewTask::new("cat.png")].into_iter().chain(tasks(2));
    let expected = [
        // Invalid, and therefore not announced.
        "not created 0",
        "creating 1",
        "delayed 1",
        "creating 1",
        "created 1 as 403316",
        "creating 2",
        "created 2 as 403317",
    ];
    let migration = client(&service).migrate(input).create_only();
    assert_eq!(events(migration), expected);
    assert_eq!(service.request_count(), 3);
}

#[test]
fn next_timeout_ends_when_no_task_is_left() {
    let service = service();
    let mut migration = client(&service).migrate(tasks(1)).create_only();
    let creating = migration.next_timeout(HOUR).unwrap();
    let MigrationEvent::Creating { index: 0, .. } = creating else {
        panic!("{creating:?}")
    };
    let created = migration.next_timeout(HOUR).unwrap();
    assert!(matches!(created, MigrationEvent::Created { .. }));
    let end = migration.next_timeout(HOUR).unwrap_err();
    assert_eq!(end, NextTimeoutError::Finished);

    // The second creation is due in an hour.
    let mut migration = client(&service).migrate(tasks(2)).create_gap(HOUR);
    let short = Duration::from_millis(50);
    let end = std::iter::repeat_with(|| migration.next_timeout(short)).find_map(Result::err);
    assert_eq!(end, Some(NextTimeoutError::Timeout));
    let text = format!("{migration:?}");
    assert_eq!(text, "Migration { taken: 2, pending: 0, .. }");
    migration.stop_creating();
    let end = migration.next_timeout(HOUR).unwrap_err();
    assert_eq!(end, NextTimeoutError::Finished);
}

#[test]
fn stop_creating_forgets_an_announced_task_and_follows_the_others() {
    let service = service();
    let migration = client(&service).migrate(tasks(9));
    let mut migration = migration.create_gap(Duration::ZERO);
    let is_created = |event| matches!(event, MigrationEvent::Created { .. });
    assert!(migration.by_ref().any(is_created));
    assert_eq!(migration.pending(), 1);
    let is_announced = |event| matches!(event, MigrationEvent::Creating { index: 1, .. });
    assert!(migration.by_ref().any(is_announced));
    migration.stop_creating();
    let remaining = migration.by_ref();
    assert!(remaining.all(|event| matches!(event, MigrationEvent::Update { .. })));
    assert_eq!(migration.pending(), 0);
    let mut requests = service.requests();
    requests.retain(|request| request.task_id().is_none());
    assert_eq!(requests.len(), 1);
}

#[test]
fn a_ban_ends_everything_and_the_rest_is_not_taken() {
    let service = service();
    service.reply_next(Reply::code(403, "banned"));
    let mut migration = client(&service).migrate(tasks(5)).also_watch([7]);
    assert_eq!(migration.taken(), 0);
    // The announcement, its error, and the end of the other task.
    assert_eq!(migration.by_ref().count(), 3);
    assert!(migration.stopped_by().is_some_and(Error::is_banned));
    assert_eq!((migration.taken(), service.request_count()), (1, 1));
}

/// A clone of the client receives the 429, and the migration has no open task.
#[test]
fn a_pause_of_more_than_a_day_ends_the_creations() {
    let service = service();
    let client = client(&service);
    let mut migration = client.migrate(tasks(5));
    let first = migration.next_timeout(HOUR).unwrap();
    assert!(matches!(first, MigrationEvent::Creating { index: 0, .. }));
    service.reply_next(Reply::code(429, "slow down").header("Retry-After", "90000"));
    assert!(client.get_process(9).unwrap_err().is_rate_limited());
    let second = migration.next_timeout(Duration::ZERO).unwrap();
    let MigrationEvent::NotCreated {
        index: 0, error, ..
    } = second
    else {
        panic!("{second:?}")
    };
    assert!(error.is_rate_limited() && !error.may_have_taken_effect());
    let end = migration.next_timeout(HOUR).unwrap_err();
    assert_eq!(end, NextTimeoutError::Finished);
    assert_eq!(service.request_count(), 1);
}

/// Its task may exist, and nobody else says so.
#[test]
fn a_creation_that_panics_in_a_middleware_has_its_event() {
    use pan123_offline::ureq::middleware::MiddlewareNext;
    use pan123_offline::ureq::{SendBody, http};

    static PANICS: AtomicBool = AtomicBool::new(true);
    let service = service();
    let middleware = |request: http::Request<SendBody<'_>>, next: MiddlewareNext<'_>| {
        assert!(!PANICS.swap(false, Ordering::SeqCst), "on purpose");
        next.handle(request)
    };
    let client =
        builder(service.base_url()).configure_agent(move |agent| agent.middleware(middleware));
    let migration = client.build().unwrap().migrate(tasks(2));
    let mut migration = migration.create_gap(Duration::ZERO);
    let creating = migration.next().unwrap();
    assert!(matches!(
        creating,
        MigrationEvent::Creating { index: 0, .. }
    ));
    assert!(catch_unwind(AssertUnwindSafe(|| migration.next())).is_err());
    let Some(MigrationEvent::NotCreated {
        index: 0, error, ..
    }) = migration.next()
    else {
        panic!("task 0 has no end")
    };
    assert!(error.may_have_taken_effect() && !error.is_transient());
    let created =
        migration.filter(|event| matches!(event, MigrationEvent::Created { index: 1, .. }));
    assert_eq!(created.count(), 1);
}
