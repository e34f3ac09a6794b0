//! Timeouts.

use super::*;

#[test]
fn makes_a_last_poll_at_the_deadline() {
    let mut run = Run::one([Ok(running(1))]).timeout(4 * SECOND);
    assert_eq!(
        run.events(),
        "0: 1 1 %; 4000: 1 timed out (4, Some(1), false)"
    );
    // Due at 4.75 s, polled at 4 s instead.
    let times = [(0, 4000), (1000, 3000), (2500, 1500), (4000, 250)];
    assert_eq!(run.times(), times);
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
        let run = Run::watch([1, 2], move |_| (Duration::ZERO, result.clone()));
        let mut run = run.timeout(Duration::ZERO);
        assert_eq!(run.events(), expected);
        assert_eq!(run.times()[0], (0, 30_000), "the client's own time limit");
    }
}

#[test]
fn token_request_and_poll_share_one_deadline() {
    let late = "45000: 1 timed out (2, None, true)";
    for (timeout, token, expected, requests) in [
        (
            3,
            26,
            "3000: 1 timed out (1, None, true)",
            vec![(2600, 400)],
        ),
        (3, 600, "3000: 1 timed out (0, None, true)", vec![]),
        // 30 s is the client's own limit; then come the interval and the rest.
        (45, 0, late, vec![(0, 30_000), (31_000, 14_000)]),
    ] {
        let run = Run::watch([1], |_| (60 * SECOND, Ok(done())));
        let mut run = run.timeout(timeout * SECOND);
        let reply = (token * SECOND / 10, Ok(()));
        run.requests.tokens.borrow_mut().push_back(reply);
        assert_eq!(run.events(), expected);
        assert_eq!(run.times(), requests);
    }
}
