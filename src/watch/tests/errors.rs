//! Errors, and other users of the client.

use super::*;
// ---- Other users of the client.

/// Another thread calls more often than the gap.
#[test]
fn direct_calls_do_not_starve_a_wait() {
    for timeout in [Duration::ZERO, 6 * SECOND] {
        let mut fixture = Fixture::one([Ok(running(1))]).timeout(timeout);
        fixture.service.direct_calls(SECOND / 10);
        fixture.service.throttle.record(fixture.service.clock.start);
        let updates = fixture.updates();
        assert_eq!(updates.len(), 2, "{timeout:?}: {updates:?}");
        let expected = if timeout.is_zero() { 1 } else { 4 };
        assert!(fixture.times().len() >= expected, "{:?}", fixture.times());
    }
}

/// In an event loop every step comes after the slot, and other calls were made in the meantime.
#[test]
fn direct_calls_do_not_starve_an_event_loop() {
    let mut fixture = Fixture::one([Ok(done())]);
    fixture.service.direct_calls(SECOND / 10);
    fixture.service.throttle.record(fixture.service.clock.start);
    assert!(matches!(fixture.next_until(Duration::ZERO), Step::Woken));
    fixture.service.clock.sleep(SECOND);
    assert!(matches!(
        fixture.next_until(Duration::ZERO),
        Step::Update(_)
    ));
}

#[test]
fn retry_after_and_429_pause_all_tasks() {
    for (error, pause) in [
        (api(429), 1000),
        (http(429), 1000),
        (retry_after(api(429), 7), 7000),
        (retry_after(http(503), 9), 9000),
        (retry_after(http(429), 86_400), 86_400_000),
    ] {
        let mut fixture = Fixture::after_one_error([1, 2], error);
        assert!(fixture.updates().iter().all(|update| update.result.is_ok()));
        assert_eq!(fixture.times(), [0, pause, pause + 200]);
    }
}

#[test]
fn pause_of_more_than_a_day_ends_all_tasks() {
    let mut fixture = Fixture::after_one_error(1..=10, retry_after(http(429), 86_401));
    let updates = fixture.updates();
    assert_eq!((updates.len(), fixture.times()), (10, vec![0]));
    let is_limited = |update: &Update| update.result.as_ref().is_err_and(Error::is_rate_limited);
    assert!(updates.iter().all(is_limited));

    // Another watch of the client ends as well, without a request.
    let mut other = Fixture::new([1], |_| unreachable!());
    let error = retry_after(http(429), 90_000);
    let start = other.service.clock.start;
    other.service.throttle.observe(&error, start);
    assert!(other.updates().iter().all(is_limited));
}

// ---- Errors.

#[test]
fn sends_nothing_without_a_token() {
    let mut fixture = Fixture::new([1], |_| (Duration::ZERO, Ok(done())));
    let failed = || (Duration::ZERO, Err(http(503)));
    fixture.service.token_requests([failed(), failed()]);
    fixture.updates();
    // The task backs off for 1 s and 1.5 s.
    assert_eq!(fixture.times(), [2500]);
}

#[test]
fn rejected_credentials_end_all_tasks() {
    let mut fixture = Fixture::new(1..=640, |_| unreachable!());
    fixture
        .service
        .token_requests([(Duration::ZERO, Err(api(1)))]);
    assert_eq!(fixture.updates().len(), 640);
    assert_eq!(fixture.elapsed(), Duration::ZERO);
}

#[test]
fn waits_for_the_replacement_of_a_token_that_was_accepted() {
    let refused = api(401).mark_token_replaceable(57 * SECOND);
    let mut fixture = Fixture::new([1, 2], |_| (Duration::ZERO, Ok(done())));
    fixture.service.token_requests([
        (Duration::ZERO, Err(refused.clone())),
        (Duration::ZERO, Err(refused)),
    ]);
    assert!(fixture.updates().iter().all(|update| update.result.is_ok()));
    assert_eq!(fixture.times(), [57_000, 57_200]);
}

#[test]
fn ends_a_task_after_many_errors_in_a_long_time() {
    let at_once = PollPolicy::new().error_window(Duration::ZERO);
    for (max, polls) in [(0, 1), (1, 1), (2, 2), (8, 8)] {
        let policy = at_once.max_consecutive_errors(max);
        let mut fixture = Fixture::one([Err(http(502))]).policy(policy);
        let updates = fixture.updates();
        assert_eq!((updates.len(), fixture.times().len()), (1, polls));
        assert!(matches!(&updates[0].result, Err(Error::Http(_))));
    }
    // By default they span ten minutes at least.
    let mut fixture = Fixture::one([Err(http(502))]);
    fixture.updates();
    let last = *fixture.times().last().unwrap();
    assert!((600_000..615_000).contains(&last), "{last}");
    // A success starts the count anew.
    let errors = || vec![Err(http(502)); 7];
    let results = [errors(), vec![Ok(running(1))], errors(), vec![Ok(done())]];
    let mut fixture = Fixture::one(results.concat()).policy(at_once);
    assert!(fixture.updates().iter().all(|update| update.result.is_ok()));
}

#[test]
fn permanent_error_ends_one_task() {
    let mut fixture = Fixture::new([1, 2, 3], |id| {
        let result = if id == 2 { Err(api(1)) } else { Ok(done()) };
        (Duration::ZERO, result)
    });
    let updates = fixture.updates();
    let ends = updates
        .iter()
        .map(|update| (update.task_id, update.result.is_ok()));
    assert_eq!(ends.collect::<Vec<_>>(), [(1, true), (2, false), (3, true)]);
    assert!(fixture.scheduler.stopped_by.is_none());
}

#[test]
fn ban_ends_all_tasks_until_one_is_added() {
    for error in [api(401), api(403), http(403)] {
        let text = error.to_string();
        let mut errors = vec![error];
        let mut fixture = Fixture::new(1..=5, move |id| {
            let error = if id == 3 { errors.pop() } else { None };
            (Duration::ZERO, error.map_or(Ok(running(1)), Err))
        });
        let mut updates = fixture.updates();
        assert_eq!(fixture.times().len(), 3);
        updates.retain(Update::is_end);
        let mut ended: Vec<u64> = updates.iter().map(|update| update.task_id).collect();
        ended.sort_unstable();
        assert_eq!(ended, [1, 2, 3, 4, 5]);
        let errors = updates
            .iter()
            .filter_map(|update| update.result.as_ref().err());
        assert!(
            errors
                .chain(&fixture.scheduler.stopped_by)
                .all(|e| e.to_string() == text)
        );

        fixture.scheduler.add(&[3]);
        assert!(fixture.scheduler.stopped_by.is_none());
        assert_eq!(fixture.next().unwrap().result.unwrap(), running(1));
    }
}

/// As in a middleware of the user.
#[test]
fn a_panic_of_a_poll_loses_no_task() {
    let mut panics = true;
    let mut fixture = Fixture::new(1..=3, move |_| {
        assert!(!std::mem::take(&mut panics), "on purpose");
        (Duration::ZERO, Ok(done()))
    });
    let poll = std::panic::AssertUnwindSafe(|| fixture.next());
    assert!(std::panic::catch_unwind(poll).is_err());
    let mut ended = fixture.ids();
    ended.sort_unstable();
    assert_eq!(ended, [1, 2, 3]);
}
