use super::*;

#[test]
fn makes_a_last_poll_at_the_deadline() {
    let mut run = Run::one([Ok(running(1))]).timeout(4 * SECOND);
    assert_eq!(run.step(None), "0: 1 1 %");
    let Ok(MigrationEvent::Update { update, .. }) = run.next(None) else {
        panic!("no update");
    };
    let text = "task 1 did not end within 4.0 s and 4 polls; \
        its last progress was: in progress, 1 %; it continues at the service";
    assert_eq!(update.result.unwrap_err().to_string(), text);
    // Due at 4.75 s, polled at 4 s instead.
    let times = [(0, 4000), (1000, 3000), (2500, 1500), (4000, 250)];
    assert_eq!(run.times(), times);
}

/// The caller's loop takes longer than the timeout.
#[test]
fn makes_one_last_poll_after_the_deadline() {
    let mut run = Run::of([1, 2], 0, |_| Ok(running(1))).timeout(SECOND);
    run.step(None);
    run.step(None);
    run.requests.sleep(9 * SECOND);
    let expected = "9200: 2 timed out (3, Some(1), false); 9200: 1 timed out (3, Some(1), false)";
    assert_eq!(run.events(), expected);
}

#[test]
fn tells_the_error_of_the_last_poll() {
    let paused = |error| vec![Ok(running(3)), Err(retry_after(error, 60))];
    let failing = || vec![Ok(running(3)), Err(http(502)), Ok(running(3))];
    for (results, timeout, expected) in [
        (failing(), 1, "1000: 1 timed out (2, Some(3), true)"),
        // The last poll, at the deadline, comes after the error and succeeds.
        (failing(), 2, "2000: 1 timed out (3, Some(3), false)"),
        // `Retry-After` forbids it.
        (paused(api(429)), 5, "5000: 1 timed out (2, Some(3), true)"),
        (paused(http(503)), 5, "5000: 1 timed out (2, Some(3), true)"),
    ] {
        let mut run = Run::one(results).timeout(timeout * SECOND);
        assert_eq!(run.events(), format!("0: 1 3 %; {expected}"));
    }
}

#[test]
fn zero_timeout_polls_each_task_once() {
    let polled = "0: 1 4 %; 200: 2 4 %; \
        200: 1 timed out (2, Some(4), false); 200: 2 timed out (2, Some(4), false)";
    // It does not wait for the end of a pause.
    let paused = "0: 2 timed out (1, None, false); 0: 1 timed out (1, None, true)";
    for (result, expected) in [
        (Ok(running(4)), polled),
        (Err(retry_after(http(429), 9)), paused),
    ] {
        let run = Run::of([1, 2], 0, move |_| result.clone());
        let mut run = run.timeout(Duration::ZERO);
        assert_eq!(run.events(), expected);
        assert_eq!(run.times()[0], (0, 30_000), "the client's own time limit");
    }
    let mut run = Run::migration(1, []).timeout(Duration::ZERO);
    assert_eq!((run.events().as_str(), run.taken), ("", 0));
}

#[test]
fn token_request_and_poll_share_one_deadline() {
    // 30 s is the client's own limit; then come the interval and the rest.
    let in_time = vec![(0, 30_000), (31_000, 14_000)];
    for (timeout, durations, end, requests) in [
        (3, [26, 600, 0], "3000: 1 timed out (1", vec![(2600, 400)]),
        (3, [600, 0, 0], "3000: 1 timed out (0", vec![]),
        (45, [0, 600, 600], "45000: 1 timed out (2", in_time),
    ] {
        let mut run = Run::one([Ok(done())]).timeout(timeout * SECOND);
        let durations = durations.map(|tenths| tenths * SECOND / 10);
        run.requests.durations.borrow_mut().extend(durations);
        run.requests.tokens.borrow_mut().push_back(Ok(()));
        assert_eq!(run.events(), format!("{end}, None, true)"));
        assert_eq!(run.times(), requests);
    }
}
