//! `Client::migrate` against the stand-in: one event for each creation, one end for each task.

mod support;

use std::time::Duration;

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{
    Client, Credentials, Error, Migration, MigrationEvent, NewTask, NextTimeoutError, Progress,
    Status,
};

use support::client;

const SUCCEEDED: Progress = Progress::new(Status::Succeeded, 100);

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
        .map(|event| match event {
            MigrationEvent::Creating { index, .. } => format!("creating {index}"),
            MigrationEvent::Created { index, task_id, .. } => {
                format!("created {index} as {task_id}")
            }
            MigrationEvent::Delayed { index, .. } => format!("delayed {index}"),
            MigrationEvent::NotCreated { index, error, .. } => {
                format!(
                    "not created {index}, may exist: {}",
                    error.may_have_taken_effect()
                )
            }
            MigrationEvent::Update { update, .. } => {
                format!(
                    "{} {:?}",
                    update.task_id,
                    update.result.map(|p| p.status).ok()
                )
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

fn fast<I: Iterator<Item = NewTask>>(migration: Migration<I>) -> Migration<I> {
    migration.create_gap(Duration::ZERO)
}

#[test]
fn creates_and_follows() {
    let service = service();
    service.task(7, [SUCCEEDED]);
    let migration = fast(client(&service).migrate(tasks(2))).also_watch([7]);
    let mut events = events(migration);
    events.sort();
    let expected = [
        "403316 Some(Succeeded)",
        "403317 Some(Succeeded)",
        "7 Some(Succeeded)",
        "created 0 as 403316",
        "created 1 as 403317",
        "creating 0",
        "creating 1",
    ];
    assert_eq!(events, expected);
}

#[test]
fn create_only_does_not_follow() {
    let service = service();
    let events = events(fast(client(&service).migrate(tasks(2))).create_only());
    let expected = [
        "creating 0",
        "created 0 as 403316",
        "creating 1",
        "created 1 as 403317",
    ];
    assert_eq!(events, expected);
    assert_eq!(service.request_count(), 2);
}

#[test]
fn next_timeout_ends_when_no_task_is_left() {
    let service = service();
    let hour = Duration::from_secs(3600);
    let mut migration = fast(client(&service).migrate(tasks(1))).create_only();
    assert!(matches!(
        migration.next_timeout(hour),
        Ok(MigrationEvent::Creating { index: 0, .. })
    ));
    assert!(matches!(
        migration.next_timeout(hour),
        Ok(MigrationEvent::Created { .. })
    ));
    assert_eq!(
        migration.next_timeout(hour).unwrap_err(),
        NextTimeoutError::Finished
    );

    // The second creation is due in an hour.
    let mut migration = client(&service).migrate(tasks(2)).create_gap(hour);
    let short = Duration::from_millis(50);
    while !matches!(
        migration.next_timeout(short),
        Err(NextTimeoutError::Timeout)
    ) {}
    assert_eq!(migration.pending(), 0);
    migration.stop_creating();
    assert_eq!(
        migration.next_timeout(hour).unwrap_err(),
        NextTimeoutError::Finished
    );
}

#[test]
fn stop_creating_forgets_an_announced_task_and_follows_the_others() {
    let service = service();
    let mut migration = fast(client(&service).migrate(tasks(9)));
    let is_created = |event: &MigrationEvent| matches!(event, MigrationEvent::Created { .. });
    assert!(migration.by_ref().any(|event| is_created(&event)));
    assert_eq!(migration.pending(), 1);
    let is_announced = |event| matches!(event, MigrationEvent::Creating { index: 1, .. });
    assert!(migration.by_ref().any(is_announced));
    migration.stop_creating();
    let remaining: Vec<_> = migration.by_ref().collect();
    let are_updates = |event: &MigrationEvent| matches!(event, MigrationEvent::Update { .. });
    assert!(remaining.iter().all(are_updates), "{remaining:?}");
    assert_eq!(migration.pending(), 0);
    let creations = service.requests();
    let creations = creations
        .iter()
        .filter(|request| request.task_id().is_none());
    assert_eq!(creations.count(), 1);
}

#[test]
fn a_request_that_may_have_created_a_task_is_not_repeated() {
    let service = service();
    service.reply_next(Reply::nothing());
    let events = events(fast(client(&service).migrate(tasks(1))));
    assert_eq!(events, ["creating 0", "not created 0, may exist: true"]);
    assert_eq!(service.request_count(), 1);
}

#[test]
fn a_request_that_created_nothing_is_announced_and_made_again() {
    let service = service();
    service.reply_next(Reply::new(503));
    let events = events(fast(client(&service).migrate(tasks(1))).create_only());
    let expected = [
        "creating 0",
        "delayed 0",
        "creating 0",
        "created 0 as 403316",
    ];
    assert_eq!(events, expected);
}

#[test]
fn replaces_a_refused_token_and_waits_for_a_second_replacement() {
    let service = service();
    service.credentials("id", "client-secret");
    let client = Client::builder()
        .credentials(Credentials::new("id", "client-secret"))
        .base_url(service.base_url())
        .build()
        .unwrap();
    client.access_token().unwrap();
    service.revoke_tokens();
    let created = events(fast(client.migrate(tasks(1))).create_only());
    assert_eq!(created, ["creating 0", "created 0 as 403316"]);

    // A second replacement within a minute is not allowed, so it waits.
    service.revoke_tokens();
    let mut migration = fast(client.migrate(tasks(2))).create_only();
    migration.next();
    let delayed = migration.next().unwrap();
    let MigrationEvent::Delayed { error, delay, .. } = delayed else {
        panic!("{delayed:?}")
    };
    assert!(error.is_unauthorized() && error.is_transient(), "{error:?}");
    assert!(delay > Duration::from_secs(20), "{delay:?}");
    assert_eq!(service.tokens_issued(), 2);
}

#[test]
fn a_ban_ends_everything_and_the_rest_is_not_taken() {
    let service = service();
    service.reply_next(Reply::code(403, "banned"));
    let mut taken = 0;
    let input = tasks(5).inspect(|_| taken += 1);
    let events = events(fast(client(&service).migrate(input)).also_watch([7, 8]));
    let expected = [
        "creating 0",
        "not created 0, may exist: false",
        "7 None",
        "8 None",
    ];
    assert_eq!(events, expected);
    assert_eq!((taken, service.request_count()), (1, 1));

    service.reply_next(Reply::code(403, "banned"));
    let mut migration = client(&service).migrate(tasks(5));
    assert_eq!((migration.taken(), migration.by_ref().count()), (0, 2));
    assert!(migration.stopped_by().is_some_and(Error::is_banned));
    assert_eq!(migration.taken(), 1);
}

/// A clone of the client receives the 429, and the migration has no open task.
#[test]
fn a_pause_of_more_than_a_day_ends_the_creations() {
    let service = service();
    let client = client(&service);
    let mut migration = client.migrate(tasks(5));
    let hour = Duration::from_secs(3600);
    let first = migration.next_timeout(hour).unwrap();
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
    let end = migration.next_timeout(hour).unwrap_err();
    assert_eq!(end, NextTimeoutError::Finished);
    assert_eq!(service.request_count(), 1);
}

#[test]
fn no_creation_lasts_longer_than_the_timeout() {
    let service = service();
    service.reply_next(Reply::nothing().delay(Duration::from_secs(2)));
    let mut migration = client(&service)
        .migrate(tasks(1))
        .timeout(Duration::from_millis(300));
    migration.next();
    assert_eq!(
        format!("{migration:?}"),
        "Migration { taken: 1, pending: 0, .. }"
    );
    let event = migration.next().unwrap();
    let MigrationEvent::NotCreated {
        index: 0, error, ..
    } = event
    else {
        panic!("{event:?}")
    };
    assert!(error.is_timeout() && error.may_have_taken_effect());
}

#[test]
fn an_invalid_task_is_not_announced() {
    let service = service();
    let input = [
        NewTask::new("cat.png"),
        NewTask::new("https://a.example/1.png"),
    ];
    let events = events(fast(client(&service).migrate(input)).create_only());
    let expected = [
        "not created 0, may exist: false",
        "creating 1",
        "created 1 as 403316",
    ];
    assert_eq!(events, expected);
}
