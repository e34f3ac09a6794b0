//! The state that the clones of a client share: the pace of requests, the pause after a 429 and the
//! refused tokens.

mod support;

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pan123_offline::testing::{Reply, Request, Service};
use pan123_offline::{
    Client, Credentials, Error, MigrationEvent, NewTask, PollPolicy, Progress, Status, Update,
};
use support::builder;

const DONE: Progress = Progress::new(Status::Succeeded, 100);
const RUNNING: Progress = Progress::new(Status::InProgress, 40);
const TOKEN_PATH: &str = "/api/v1/access_token";

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A service whose tasks have all succeeded.
fn finished_service() -> Service {
    let service = Service::start().unwrap();
    service.reply_with(|request| request.task_id().map(|_| Reply::progress(DONE)));
    service
}

fn client_with_credentials(service: &Service, secret: &str) -> Client {
    service.credentials("id", "client-secret");
    Client::builder()
        .credentials(Credentials::new("id", secret))
        .base_url(service.base_url())
        .min_request_gap(Duration::ZERO)
        .retries(0)
        .build()
        .unwrap()
}

fn polls(service: &Service) -> Vec<Request> {
    let is_poll = |request: &Request| request.task_id().is_some();
    service.requests().into_iter().filter(is_poll).collect()
}

#[test]
fn waits_one_after_another_keep_the_gap() {
    let service = finished_service();
    let client = builder(service.base_url())
        .min_request_gap(ms(20))
        .build()
        .unwrap();
    let started = Instant::now();
    for task_id in 0..30 {
        client.wait(task_id).run().unwrap();
    }
    assert!(started.elapsed() >= 29 * ms(20), "{:?}", started.elapsed());
}

#[test]
fn watches_on_clones_share_the_gap() {
    let service = finished_service();
    let client = builder(service.base_url())
        .min_request_gap(ms(20))
        .build()
        .unwrap();
    let started = Instant::now();
    thread::scope(|scope| {
        for first in 0..4 {
            let client = client.clone();
            scope.spawn(move || assert_eq!(client.watch(first * 10..first * 10 + 10).count(), 10));
        }
    });
    assert!(started.elapsed() >= 39 * ms(20), "{:?}", started.elapsed());
}

#[test]
fn users_calls_are_not_delayed_but_count() {
    let service = finished_service();
    let client = builder(service.base_url())
        .min_request_gap(Duration::from_secs(600))
        .build()
        .unwrap();
    for task_id in 0..5 {
        client.get_process(task_id).unwrap();
    }
    let error = client.wait(9).timeout(ms(300)).run().unwrap_err();
    assert!(
        matches!(error, Error::WaitTimeout { polls: 0, .. }),
        "{error:?}"
    );
    assert_eq!(service.request_count(), 5);
}

/// A thread calls more often than the gap.
#[test]
fn direct_calls_do_not_starve_waits_and_migrations() {
    let service = finished_service();
    let client = builder(service.base_url())
        .min_request_gap(ms(200))
        .build()
        .unwrap();
    let is_over = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while is_over.load(Ordering::SeqCst) == 0 {
                client.get_process(1).unwrap();
                thread::sleep(ms(50));
            }
        });
        let wait = |timeout| client.wait(2).timeout(timeout).run();
        let ends = [ms(20_000), Duration::ZERO].map(wait);
        let tasks = [NewTask::new("https://example.org/cat.png")];
        let migration = client.migrate(tasks).timeout(ms(20_000)).create_only();
        let is_created = |event: MigrationEvent| matches!(event, MigrationEvent::Created { .. });
        let created = migration.map(is_created).last();
        is_over.store(1, Ordering::SeqCst);
        assert_eq!(ends.map(Result::unwrap), [DONE; 2]);
        assert_eq!(created, Some(true));
    });
}

#[test]
fn retry_after_of_a_503_pauses_the_client() {
    let service = finished_service();
    service.reply_next(Reply::new(503).header("Retry-After", "60"));
    let client = builder(service.base_url()).build().unwrap();
    let ends = client.watch(0..1000).timeout(ms(500)).count();
    assert_eq!((ends, service.request_count()), (1000, 1));
    let error = client.get_process(1).unwrap_err();
    assert_eq!(error.http_status(), Some(503));
    assert_eq!(service.request_count(), 1);
}

#[test]
fn next_watch_obeys_the_pause_of_the_last_one() {
    let service = finished_service();
    let client = builder(service.base_url()).build().unwrap();
    service.reply_next(Reply::code(429, "slow down").header("Retry-After", "1"));
    let mut watch = client.watch([1]);
    assert!(watch.next_timeout(ms(100)).is_err());
    drop(watch);
    assert_eq!(client.watch([1]).count(), 1);
    let requests = service.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].at - requests[0].at >= ms(1000), "{requests:?}");
}

#[test]
fn calls_wait_for_the_end_of_a_pause_or_fail_at_once() {
    let service = finished_service();
    service.reply_next(Reply::code(429, "slow down").header("Retry-After", "2"));
    let client = builder(service.base_url()).build().unwrap();
    assert!(client.get_process(1).unwrap_err().is_rate_limited());
    let impatient = builder(service.base_url())
        .timeout(ms(500))
        .build()
        .unwrap();
    service.reply_next(Reply::code(429, "slow down").header("Retry-After", "60"));
    assert!(impatient.get_process(1).unwrap_err().is_rate_limited());

    // At once, with the remaining time, and without a request.
    let count = service.request_count();
    let error = impatient
        .clone()
        .create_task(&NewTask::new("https://example.org/cat.png"))
        .unwrap_err();
    assert!(
        error.is_rate_limited() && !error.may_have_taken_effect(),
        "{error:?}"
    );
    let remaining = error.retry_after().unwrap();
    assert!(
        remaining <= ms(60_000) && remaining > ms(20_000),
        "{remaining:?}"
    );
    assert!(error.to_string().contains("(retry after "), "{error}");
    assert_eq!(service.request_count(), count);

    // Later, if the pause is shorter than the timeout.
    assert_eq!(client.get_process(1).unwrap(), DONE);
    let requests = service.requests();
    assert!(
        requests.last().unwrap().at - requests[0].at >= ms(2000),
        "{requests:?}"
    );
}

/// A retry is a request, too: the pause may have begun during its backoff.
#[test]
fn retry_waits_for_the_pause_of_another_call() {
    let service = finished_service();
    let client = builder(service.base_url()).retries(2).build().unwrap();
    service.reply_next(Reply::new(503));
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(client.get_process(1).unwrap(), DONE));
        while service.request_count() == 0 {
            thread::sleep(ms(5));
        }
        // The other call repeats its request after 500 ms.
        service.reply_next(Reply::code(429, "slow down").header("Retry-After", "2"));
        let error = client.clone().watch([2]).next_timeout(ms(50));
        assert!(error.is_err(), "{error:?}");
    });
    let requests = service.requests();
    assert_eq!(requests.len(), 3, "{requests:?}");
    let pause = requests[2].at - requests[1].at;
    assert!(pause >= ms(2000), "{pause:?}");
}

#[test]
fn pause_of_more_than_a_day_ends_all_tasks() {
    let service = Service::start().unwrap();
    service.reply_with(|_| Some(Reply::code(429, "slow down").header("Retry-After", "90000")));
    let client = builder(service.base_url()).build().unwrap();
    let mut watch = client.watch(0..10);
    let updates: Vec<Update> = (0..10)
        .map(|_| watch.next_timeout(ms(20_000)).expect("no pause"))
        .collect();
    assert!(watch.next().is_none());
    assert_eq!(service.request_count(), 1);
    assert!(
        updates
            .iter()
            .all(|update| update.result.as_ref().is_err_and(Error::is_rate_limited))
    );
    let wait = client.wait(11).timeout(ms(20_000));
    assert!(wait.run().unwrap_err().is_rate_limited());
    assert_eq!(
        service.request_count(),
        1,
        "another wait sends nothing either"
    );
}

#[test]
fn refused_token_is_not_sent_again() {
    let service = Service::start().unwrap();
    for task_id in 0..20 {
        service.task(task_id, [RUNNING]);
    }
    let client = client_with_credentials(&service, "client-secret");
    client.get_process(1).unwrap();
    service.revoke_tokens();
    service.reply_with(|request| (request.path == TOKEN_PATH).then(|| Reply::new(503)));
    let before = polls(&service).len();
    let policy = PollPolicy::new()
        .initial_interval(ms(20))
        .max_interval(ms(20));
    let ends = client.watch(0..20).policy(policy).timeout(ms(800)).count();
    assert_eq!(ends, 20);
    assert_eq!(
        polls(&service).len() - before,
        1,
        "only the poll that was refused"
    );
}

#[test]
fn rejected_credentials_end_all_tasks() {
    let service = Service::start().unwrap();
    let client = client_with_credentials(&service, "wrong");
    let updates: Vec<Update> = client.watch(0..640).collect();
    assert_eq!(updates.len(), 640);
    let error = updates[0].result.as_ref().unwrap_err();
    assert!(
        error.to_string().contains("check the client id and secret"),
        "{error}"
    );
    // The clones do not send the secret again either.
    assert!(client.clone().get_process(1).is_err());
    assert_eq!(client.watch([1, 2]).count(), 2);
    assert_eq!(service.request_count(), 1);
}

#[test]
fn pause_of_the_token_endpoint_is_obeyed() {
    let service = Service::start().unwrap();
    let client = client_with_credentials(&service, "client-secret");
    service.reply_with(|request| {
        (request.path == TOKEN_PATH)
            .then(|| Reply::code(429, "slow down").header("Retry-After", "3600"))
    });
    for call in 0..3 {
        let error = client.get_process(1).unwrap_err();
        let remaining = error.retry_after().unwrap();
        assert!(
            remaining > ms(3_000_000) && remaining <= ms(3_600_000),
            "{call}: {remaining:?}"
        );
        assert!(error.to_string().contains("(retry after 3"), "{error}");
    }
    assert_eq!(service.request_count(), 1);
}

/// The gap begins when the request is sent, not when its token is requested.
#[test]
fn slow_token_request_does_not_shorten_the_gap() {
    let service = Service::start().unwrap();
    service.task(1, [DONE]).task(2, [DONE]);
    service.credentials("id", "client-secret");
    let token = Reply::json(
        r#"{"code":0,"message":"ok","data":{"accessToken":"a-slow-token-of-the-service"}}"#,
    );
    service.reply_next(token.delay(ms(1000)));
    service.require_token("a-slow-token-of-the-service");
    let client = Client::builder()
        .credentials(Credentials::new("id", "client-secret"))
        .base_url(service.base_url())
        .min_request_gap(ms(1000))
        .build()
        .unwrap();
    assert_eq!(
        client
            .watch([1, 2])
            .filter(|update| update.result.is_ok())
            .count(),
        2
    );
    let polls = polls(&service);
    // The two requests need not arrive as evenly as they were sent.
    assert!(polls[1].at - polls[0].at >= ms(500), "{polls:?}");
}

/// The calls of a round overlap, and so do the returns of their connections to the pool.
#[test]
fn each_of_sixteen_threads_keeps_its_connection() {
    let service = Service::start().unwrap();
    service.reply_with(|_| Some(Reply::progress(DONE).delay(ms(50))));
    let client = builder(service.base_url()).build().unwrap();
    let round = Barrier::new(16);
    thread::scope(|scope| {
        for task_id in 0..16 {
            let (client, round) = (&client, &round);
            scope.spawn(move || {
                for _ in 0..10 {
                    round.wait();
                    assert_eq!(client.get_process(task_id).unwrap(), DONE);
                }
            });
        }
    });
    let connections = service.connection_count();
    assert!(connections <= 16, "{connections} connections");
}

/// A token that another client has put into the cache may be refused, too.
#[test]
fn stale_token_of_another_client_costs_no_task() {
    for watch in [false, true] {
        let service = Service::start().unwrap();
        for task_id in 0..50 {
            service.task(task_id, [DONE]);
        }
        service.credentials("id", "client-secret");
        let folder = std::env::temp_dir().join(format!(
            "pan123-offline-stale-{}-{watch}",
            std::process::id()
        ));
        std::fs::create_dir_all(&folder).unwrap();
        let client = || {
            let credentials =
                Credentials::new("id", "client-secret").cache_file(folder.join("token"));
            let builder = Client::builder()
                .credentials(credentials)
                .base_url(service.base_url());
            builder
                .min_request_gap(Duration::ZERO)
                .retries(0)
                .build()
                .unwrap()
        };
        let (first, second) = (client(), client());
        first.get_process(1).unwrap();
        service.revoke_tokens();
        second.get_process(1).unwrap();
        service.revoke_tokens();
        assert_eq!(service.tokens_issued(), 2);
        if watch {
            assert!(first.watch(0..50).all(|update| update.result.is_ok()));
        } else {
            assert_eq!(first.get_process(1).unwrap(), DONE);
        }
        assert_eq!(service.tokens_issued(), 3);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// Four watches, ten waits and a migration run on clones of one client with the default gap, and
/// the service sends a 429 in the middle.
#[test]
fn all_users_of_a_client_keep_one_pace() {
    const PAUSE: Duration = ms(2000);
    let service = Service::start().unwrap();
    service.new_tasks(|_, _| vec![DONE]);
    for task_id in 0..22 {
        service.task(task_id, [DONE]);
    }
    let count = AtomicUsize::new(0);
    service.reply_with(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        (number == 10).then(|| Reply::code(429, "slow down").header("Retry-After", "2"))
    });
    let client = Client::builder()
        .access_token("token")
        .base_url(service.base_url())
        .build()
        .unwrap();
    thread::scope(|scope| {
        for first in 0..4 {
            let watch = client.watch(first * 3..first * 3 + 3);
            scope.spawn(move || assert_eq!(watch.filter(Update::is_end).count(), 3));
        }
        for task_id in 12..22 {
            let wait = client.wait(task_id);
            scope.spawn(move || assert_eq!(wait.run().unwrap(), DONE));
        }
        let tasks = (0..3).map(|number| NewTask::new(format!("https://example.org/{number}.png")));
        let migration = client.migrate(tasks.collect::<Vec<_>>()).create_gap(ms(10));
        let is_end = |event: &MigrationEvent| matches!(event, MigrationEvent::Update { update, .. } if update.is_end());
        scope.spawn(move || assert_eq!(migration.filter(is_end).count(), 3));
    });
    let requests = service.requests();
    let since_start = |request: &Request| request.at - requests[0].at;
    let times: Vec<Duration> = requests.iter().map(since_start).collect();
    assert_eq!(times.len(), 22 + 2 * 3 + 1);
    let in_a_second = |start: &Duration| {
        let end = *start + ms(1000);
        times
            .iter()
            .filter(|time| (start..&end).contains(time))
            .count()
    };
    let max_in_a_second = times.iter().map(in_a_second).max().unwrap();
    println!("at most {max_in_a_second} requests in a second");
    // On a busy machine a request may arrive late, and so nearer to the next one.
    assert!(max_in_a_second <= 6, "{max_in_a_second}: {times:?}");
    // The client has read the 429 by then, however busy the machine is.
    let pause = times[10] + ms(500)..times[10] + PAUSE;
    assert!(!times.iter().any(|time| pause.contains(time)), "{times:?}");
}
