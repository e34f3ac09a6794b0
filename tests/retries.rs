//! Retries over real connections. `src/retry.rs` has the decision as a table, and the fault table
//! the number of requests for each error.

mod support;

use std::time::{Duration, Instant};

use pan123_offline::Client;
use pan123_offline::testing::Reply;
use support::{NEVER, RUNNING, TASK, builder, retry_at_once, service};

#[test]
fn a_retry_gets_the_remaining_time() {
    let service = service();
    service
        .reply_next(Reply::new(503).header("Retry-After", "2"))
        .reply_next(Reply::nothing().delay(NEVER));
    let builder = builder(service.base_url()).retries(1);
    let client = builder.timeout(Duration::from_secs(3)).build().unwrap();
    let started = Instant::now();
    assert!(client.get_process(TASK).unwrap_err().is_timeout());
    // One of the three seconds remained, half of it for the header. With the whole timeout for the
    // retry it would take four and a half seconds.
    let elapsed = started.elapsed();
    assert!((2..4).contains(&elapsed.as_secs()), "{elapsed:?}");
}

#[test]
fn retries_twice_by_default_and_returns_the_last_error() {
    let service = service();
    for reply in [Reply::new(503), Reply::new(502), Reply::code(429, "last")] {
        service.reply_next(retry_at_once(reply));
    }
    let builder = Client::builder().access_token("t");
    let client = builder.base_url(service.base_url()).build().unwrap();
    let error = client.get_process(TASK).unwrap_err();
    assert!(error.is_rate_limited(), "{error}");
    assert_eq!(error.retry_after(), Some(Duration::ZERO));
    assert_eq!(service.request_count(), 3);
}

#[test]
fn a_replay_does_not_count_as_a_retry() {
    let service = service();
    service
        .reply_next(Reply::nothing())
        .reply_next(retry_at_once(Reply::new(503)));
    let client = builder(service.base_url()).retries(1).build().unwrap();
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    assert_eq!(service.request_count(), 3);
}

#[test]
fn retry_after_replaces_the_backoff() {
    let service = service();
    service
        .reply_next(Reply::new(503))
        .reply_next(Reply::new(503).header("Retry-After", "2"));
    let client = builder(service.base_url()).retries(2).build().unwrap();
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    let requests = service.requests();
    let [first, second, third] = &requests[..] else {
        panic!("{requests:?}")
    };
    // Lower bounds only: a slow machine makes them longer. The second backoff would be 1 s.
    assert!(second.at - first.at >= Duration::from_millis(500));
    assert!(third.at - second.at >= Duration::from_secs(2));
}

#[test]
fn does_not_wait_for_a_retry_beyond_the_deadline() {
    let service = service();
    service.reply_next(Reply::new(503).header("Retry-After", "3600"));
    let client = builder(service.base_url()).retries(5).build().unwrap();
    let error = client.get_process(TASK).unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!(service.request_count(), 1);
}
