//! Which task is polled when, and its updates.

use super::*;
#[test]
fn interval_grows_and_falls_back() {
    let mut results = vec![Ok(running(1)); 4];
    let rest = [
        Ok(running(2)),
        Ok(running(2)),
        Err(http(502)),
        Ok(running(2)),
        Ok(done()),
    ];
    results.extend(rest);
    let mut fixture = Fixture::one(results);
    let percents = fixture
        .updates()
        .into_iter()
        .map(|update| update.result.unwrap().percent);
    assert_eq!(percents.collect::<Vec<_>>(), [1, 2, 100]);
    // 0, then 1 s, 1.5 s, 2.25 s, 3.375 s; after the change again 1 s, 1.5 s; the error lengthens the interval, too.
    let times = [0, 1000, 2500, 4750, 8125, 9125, 10_625, 12_875, 16_250];
    assert_eq!(fixture.times(), times);
}

#[test]
fn errors_back_off_from_an_interval_of_zero() {
    let policy = PollPolicy::new().initial_interval(Duration::ZERO);
    let mut fixture = Fixture::one([Err(http(503))])
        .policy(policy)
        .timeout(5 * SECOND);
    fixture.updates();
    assert_eq!(fixture.times(), [0, 1000, 2500, 4750, 5000]);
    // Without an error it grows, too, and the pace bounds it.
    let mut fixture = Fixture::one([Ok(running(1))])
        .policy(policy)
        .timeout(5 * SECOND);
    fixture.updates();
    assert!(fixture.times().len() < 20, "{:?}", fixture.times());
}

#[test]
fn yields_first_and_sleeps_in_the_next_call() {
    let mut fixture = Fixture::one([Ok(running(1)), Ok(running(2))]);
    fixture.next().unwrap();
    assert_eq!(fixture.elapsed(), Duration::ZERO);
    fixture.next().unwrap();
    assert_eq!(fixture.elapsed(), SECOND);

    // Polls without an update do not end the wait.
    let mut fixture = Fixture::one([Ok(running(1))]);
    assert!(fixture.next().is_some());
    assert!(matches!(fixture.next_until(9 * SECOND), Step::Woken));
    assert_eq!(fixture.elapsed(), 9 * SECOND);
}

#[test]
fn polls_keep_the_gap_and_the_given_order() {
    let mut fixture = Fixture::new([5, 3, 9, 3, 5], |_| (Duration::ZERO, Ok(done())));
    assert_eq!(fixture.ids(), [5, 3, 9]);
    assert_eq!(fixture.times(), [0, 200, 400]);
    let counts = (fixture.scheduler.finished, fixture.scheduler.pending());
    assert_eq!(counts, (3, 0));
    assert!(fixture.next().is_none() && fixture.next().is_none());
}

#[test]
fn stops_waiting_at_the_callers_time() {
    let mut fixture = Fixture::one([Ok(running(1)), Ok(done())]);
    assert!(matches!(fixture.next_until(SECOND / 2), Step::Update(_)));
    assert!(matches!(fixture.next_until(SECOND / 2), Step::Woken));
    assert_eq!(fixture.elapsed(), SECOND / 2);
    assert!(matches!(fixture.next_until(SECOND), Step::Update(_)));
    assert!(matches!(fixture.next_until(9 * SECOND), Step::Finished));
    assert_eq!(fixture.elapsed(), SECOND);
}

#[test]
fn follows_added_tasks_and_forgets_removed_ones() {
    let mut fixture = Fixture::new([1, 2, 4], |_| (Duration::ZERO, Ok(done())));
    fixture.scheduler.add(&[2, 3, 3]);
    assert!(fixture.scheduler.remove(4) && !fixture.scheduler.remove(4));
    assert_eq!(fixture.ids(), [1, 2, 3]);
    fixture.scheduler.add(&[2]);
    assert_eq!(fixture.ids(), [2], "again after its end");
    assert_eq!(fixture.scheduler.finished, 4);
}

#[test]
fn next_time_is_that_of_the_next_request() {
    let mut fixture = Fixture::new([1, 2], |_| (Duration::ZERO, Ok(running(1))));
    let next = |fixture: &Fixture| {
        let time = fixture.scheduler.next_time()?;
        Some((time - fixture.service.clock.start).as_millis())
    };
    assert_eq!(next(&fixture), Some(0));
    fixture.next();
    assert_eq!(next(&fixture), Some(200), "the gap");
    fixture.next();
    assert_eq!(next(&fixture), Some(1000), "the interval");
    fixture.scheduler.stopped_by = Some(api(403));
    assert_eq!(next(&fixture), Some(200), "now");
    fixture.updates();
    assert_eq!(next(&fixture), None);
}

/// An event loop that sleeps until that time does not spin, and does not sleep for ever.
#[test]
fn next_time_is_that_of_the_last_poll_or_of_the_end() {
    let mut fixture = Fixture::one([Ok(running(1))]).timeout(SECOND * 11 / 10);
    fixture.next();
    assert!(matches!(fixture.next_until(SECOND), Step::Woken));
    let deadline = fixture.service.clock.start + SECOND * 11 / 10;
    assert_eq!(fixture.scheduler.next_time(), Some(deadline));

    let fixture = Fixture::one([Ok(running(1))]);
    let now = fixture.service.clock.start;
    let error = retry_after(http(429), 25 * 60 * 60);
    fixture.service.throttle.observe(&error, now);
    assert_eq!(fixture.scheduler.next_time(), Some(now));
}

#[test]
fn largest_settings_do_not_panic() {
    let policy = PollPolicy::new()
        .initial_interval(Duration::MAX)
        .max_interval(Duration::MAX)
        .max_consecutive_errors(u32::MAX)
        .error_window(Duration::MAX);
    let results = [Ok(running(1)), Ok(running(1)), Ok(done())];
    let mut fixture = Fixture::one(results).policy(policy).timeout(Duration::MAX);
    assert_eq!(fixture.updates().len(), 2);
}

#[test]
fn only_failed_and_succeeded_are_ends() {
    let failed = Progress::new(Status::Failed, 40);
    let others = [Status::Retrying, Status::Unknown(9)];
    let others = others.map(|status| Ok(Progress::new(status, 10)));
    let mut fixture = Fixture::one(others.into_iter().chain([Ok(failed)]));
    let updates = fixture.updates();
    let ends: Vec<bool> = updates.iter().map(Update::is_end).collect();
    assert_eq!(ends, [false, false, true]);
    assert_eq!(updates[2].result.clone().unwrap(), failed);
}

/// A middleware of the user may panic, and the user may catch it.
#[test]
fn panic_loses_no_task() {
    let mut panics = true;
    let mut fixture = Fixture::new([1, 2, 3], move |id| {
        assert!(id != 2 || !std::mem::take(&mut panics), "on purpose");
        (Duration::ZERO, Ok(done()))
    });
    let mut ended = Vec::new();
    loop {
        let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fixture.next()));
        match next {
            Ok(Some(update)) => ended.push(update.task_id),
            Ok(None) => break,
            Err(_) => {}
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, [1, 2, 3]);
}
