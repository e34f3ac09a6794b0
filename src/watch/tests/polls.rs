//! Which task is polled when, its updates, and its errors.

use super::*;

#[test]
fn interval_grows_and_falls_back() {
    let mut results = vec![Ok(running(1)); 3];
    results.extend([Ok(running(2)), Ok(running(2)), Err(http(502)), Ok(done())]);
    let mut run = Run::one(results);
    assert_eq!(run.events(), "0: 1 1 %; 4750: 1 2 %; 9500: 1 done");
    // 0, then 1 s, 1.5 s, 2.25 s; after the change again 1 s, 1.5 s; the error lengthens the interval, too.
    let times: Vec<_> = run.times().iter().map(|(time, _)| *time).collect();
    assert_eq!(times, [0, 1000, 2500, 4750, 5750, 7250, 9500]);
}

#[test]
fn errors_back_off_from_an_interval_of_zero() {
    let mut run = Run::one([Err(http(503))]).timeout(5 * SECOND);
    run.policy = PollPolicy::new().initial_interval(Duration::ZERO);
    // Polled at 0, 1 s, 2.5 s, 4.75 s and 5 s.
    assert_eq!(run.events(), "5000: 1 timed out (5, None, true)");
}

#[test]
fn waits_in_the_next_call_and_no_longer_than_the_caller() {
    let mut run = Run::one([Ok(running(1)), Ok(running(1)), Ok(done())]);
    for (timeout, expected) in [
        (Duration::ZERO, "0: 1 1 %"),
        (SECOND / 2, "500: Timeout"),
        // A poll without an update does not end the wait.
        (SECOND, "1500: Timeout"),
        (9 * SECOND, "2500: 1 done"),
        (9 * SECOND, "2500: Finished"),
    ] {
        assert_eq!(run.step(Some(timeout)), expected);
    }
    // After the request that is under way, another one is not made.
    let mut run = Run::of([1, 2], 0, |_| Err(http(502)));
    run.requests.durations.borrow_mut().push_back(SECOND);
    assert_eq!(run.step(Some(SECOND / 2)), "1000: Timeout");
    assert_eq!(run.times().len(), 1);
}

#[test]
fn pause_of_another_call_voids_a_slot_and_forbids_a_token_request() {
    let mut run = Run::one([Ok(running(1)), Ok(done())]);
    assert_eq!(run.step(None), "0: 1 1 %");
    assert_eq!(run.step(Some(Duration::ZERO)), "0: Timeout");
    // There is no slot before the task is due.
    let ready = run.requests.throttle.ready_at(run.requests.now());
    assert_eq!(ready, run.requests.start + GAP);
    run.requests.sleep(SECOND);
    run.requests.throttle.record(run.requests.now());
    assert_eq!(run.step(Some(Duration::ZERO)), "1000: Timeout");
    run.observe(retry_after(http(503), 9));
    assert_eq!(run.step(None), "10000: 1 done");

    let mut run = Run::one([Ok(done())]);
    run.observe(retry_after(http(503), 9));
    run.requests.tokens.borrow_mut().push_back(Ok(()));
    run.requests.durations.borrow_mut().push_back(SECOND);
    assert_eq!(run.step(None), "10000: 1 done");
}

/// An event loop that sleeps until that time does not spin, and does not sleep for ever.
#[test]
fn next_due_is_the_time_until_a_request_or_an_end() {
    let run = Run::of([1, 2], 0, |_| Ok(running(1)));
    let mut run = run.timeout(SECOND * 11 / 10);
    // The gap, the interval, and the timeout.
    for expected in [200, 800, 100] {
        assert_eq!(run.next_due(), Some(Duration::ZERO));
        run.step(Some(Duration::ZERO));
        let due = run.next_due().unwrap();
        assert_eq!(due.as_millis(), expected);
        run.requests.sleep(due);
    }
    run.observe(retry_after(http(429), 25 * 60 * 60));
    assert_eq!(run.next_due(), Some(Duration::ZERO));
    assert_eq!(run.events(), "1100: 2 ended; 1100: 1 ended");
    assert_eq!(run.next_due(), None);
}

#[test]
fn largest_settings_do_not_panic() {
    let mut run = Run::one([Ok(running(1)), Ok(done())]).timeout(Duration::MAX);
    run.policy = PollPolicy::new().initial_interval(Duration::MAX);
    assert!(run.events().ends_with("1 done"));
}

#[test]
fn direct_calls_between_two_steps_do_not_move_a_slot() {
    let mut run = Run::one([Ok(done())]);
    run.requests.throttle.record(run.requests.now());
    assert_eq!(run.step(Some(Duration::ZERO)), "0: Timeout");
    run.requests.sleep(GAP);
    run.requests.throttle.record(run.requests.now());
    assert_eq!(run.step(Some(Duration::ZERO)), "200: 1 done");
}

// ---- Errors.

#[test]
fn sends_nothing_without_a_token() {
    let refused = api(401).mark_token_replaceable(57 * SECOND);
    for (error, expected) in [
        (http(503), "0: 2 done; 1000: 1 done"),
        (refused, "0: 2 done; 57000: 1 done"),
        (api(1), "0: 1 ended; 0: 2 ended"),
    ] {
        let mut run = Run::of([1, 2], 0, |_| Ok(done()));
        run.requests.tokens.borrow_mut().push_back(Err(error));
        assert_eq!(run.events(), expected);
    }
}

#[test]
fn ends_a_task_after_many_errors_in_a_long_time() {
    let mut run = Run::one([Err(http(502))]);
    assert_eq!(run.events(), "602171: 1 ended");
    // A success starts the count anew.
    let errors = || vec![Err(http(502)); 7];
    let results = [errors(), vec![Ok(running(1))], errors(), vec![Ok(done())]];
    let mut run = Run::one(results.concat());
    run.policy = PollPolicy::new().error_window(Duration::ZERO);
    assert!(run.events().ends_with("done"));
}

#[test]
fn ban_ends_all_tasks_until_one_is_added() {
    let mut errors = vec![Err(api(403)), Err(api(1))];
    let mut run = Run::of(1..=4, 0, move |id| match id {
        1 => Ok(running(1)),
        _ => errors.pop().unwrap_or(Ok(done())),
    });
    // The first error concerns its task only.
    let expected = "0: 1 1 %; 200: 2 ended; 400: 3 ended; 400: 4 ended; 400: 1 ended";
    assert_eq!(run.events(), expected);
    assert!(run.stopped_by.as_ref().is_some_and(Error::is_banned));
    run.add([3]);
    assert!(run.stopped_by.is_none());
    assert_eq!(run.events(), "600: 3 done");
}

#[test]
fn a_pause_that_is_too_long_ends_nothing_if_nothing_is_open() {
    let mut run = Run::one([Ok(done())]);
    assert_eq!(run.events(), "0: 1 done");
    run.observe(retry_after(http(429), 25 * 60 * 60));
    assert_eq!(run.step(None), "0: Finished");
    assert!(run.stopped_by.is_none());
}

/// A middleware of the user may panic, and the user may catch it.
#[test]
fn a_panic_of_a_poll_loses_no_task() {
    let mut panics = true;
    let mut run = Run::of(1..=2, 0, move |_| {
        assert!(!std::mem::take(&mut panics), "on purpose");
        Ok(done())
    });
    let poll = std::panic::AssertUnwindSafe(|| run.step(None));
    assert!(std::panic::catch_unwind(poll).is_err());
    assert_eq!(run.events(), "200: 1 done; 400: 2 done");
}
