//! Creations of a migration, and their turns with polls.

use super::*;

#[test]
fn asks_the_input_before_the_gap() {
    for gap in [5 * SECOND, Duration::MAX] {
        let mut run = Run::migration(1, []).create_only().gap(gap);
        run.timeout = Some(Duration::MAX);
        assert_eq!(run.events(), "0: created 0 as 1");
        assert_eq!(run.step(None), "0: Finished");
    }
}

#[test]
fn timeout_ends_a_wait_for_the_next_creation() {
    let following = Run::of([], 2, |_| Ok(running(1))).gap(Duration::MAX);
    let failing = || Run::migration(1, [retry_after(http(503), 600)]);
    let delayed = "0: delayed 0 by 600000; 10000: not created 0";
    for (run, expected) in [
        (failing().create_only(), delayed),
        (failing(), delayed),
        (
            following,
            "0: created 0 as 1; 200: 1[0] 1 %; 10000: not created 1; \
            10000: 1[0] timed out (6, Some(1), false)",
        ),
    ] {
        let mut run = run.timeout(10 * SECOND);
        assert_eq!(run.events(), expected);
        // No request gets more time than remains.
        assert_eq!(run.times()[0], (0, 10_000));
    }
}

#[test]
fn token_request_of_a_creation_is_bounded_by_the_timeout() {
    let mut run = Run::migration(1, []).timeout(SECOND);
    run.requests.tokens.borrow_mut().push_back(Ok(()));
    run.requests.durations.borrow_mut().push_back(60 * SECOND);
    let expected = "1000: delayed 0 by 1000; 1000: not created 0";
    assert_eq!(run.events(), expected);
}

#[test]
fn creates_again_after_a_delay_that_doubles() {
    let errors = [http(503), http(503), retry_after(http(429), 7), http(503)];
    let expected = "0: delayed 0 by 1000; 1000: delayed 0 by 2000; 3000: delayed 0 by 7000; \
        10000: delayed 0 by 8000; 18000: created 0 as 1";
    assert_eq!(Run::migration(1, errors).create_only().events(), expected);
    // 63 s in all, then 60 s each.
    let mut run = Run::migration(1, vec![http(503); 8]).create_only();
    assert!(run.events().ends_with("183000: created 0 as 1"));
    // The gap is kept if it is longer.
    let run = Run::migration(1, [http(503)]).create_only();
    let expected = "0: delayed 0 by 60000; 60000: created 0 as 1";
    assert_eq!(run.gap(60 * SECOND).events(), expected);
}

#[test]
fn gives_up_a_task_after_its_errors() {
    let transient = "0: delayed 0 by 1000; 1000: not created 0; 3000: created 1 as 1";
    let permanent = "0: not created 0; 1000: not created 1; 2000: created 2 as 1";
    for (tasks, errors, expected) in [
        (2, [http(503), http(503)], transient),
        (3, [api(5113), api(1)], permanent),
    ] {
        let mut run = Run::migration(tasks, errors).create_only();
        let policy = PollPolicy::new().error_window(Duration::ZERO);
        run.policy = policy.max_consecutive_errors(2);
        assert_eq!(run.events(), expected);
    }
}

#[test]
fn task_that_may_exist_is_not_created_again_and_the_next_one_waits() {
    let errors = || [http(502), transport(TransportErrorKind::Closed)];
    // With nothing to poll for 20 s, then twice as long; after a success 20 s again.
    let run = Run::migration(5, errors()).create_only();
    let mut run = run.creating([Ok(1), Err(http(502))]);
    let expected = "0: not created 0, may exist; 20000: not created 1, may exist; \
        60000: created 2 as 1; 61000: not created 3, may exist; 81000: created 4 as 1";
    assert_eq!(run.events(), expected);

    // 300 s in all, then 300 s each.
    let mut run = Run::migration(7, vec![http(502); 6]).create_only();
    assert!(run.events().ends_with("900000: created 6 as 1"));

    // Otherwise until a poll has succeeded, whether it shows a change or not.
    let mut results = vec![Err(http(502)); 7];
    results.extend([Ok(running(1)), Ok(running(1))]);
    let mut results = results.into_iter();
    let run = Run::of([101], 3, move |_| results.next().unwrap_or(Ok(done())));
    let mut run = run.creating(errors().map(Err));
    let expected = "0: not created 0, may exist; 32371: 101 1 %; 32571: not created 1, may exist; \
        33571: created 2 as 1; 33771: 1[2] done; 34871: 101 done";
    assert_eq!(run.events(), expected);
}

/// The task that was taken before it is not created.
#[test]
fn ban_of_a_poll_ends_the_creations() {
    let mut run = Run::of([], 3, |_| Err(api(403)));
    assert_eq!(
        run.events(),
        "0: created 0 as 1; 200: 1[0] ended; 200: not created 1"
    );
}

#[test]
fn task_id_that_is_returned_twice_ends_once() {
    let mut run = Run::of([7, 8], 3, |_| Ok(done())).creating([7; 3].map(Ok));
    let expected = "0: created 0 as 7; 200: 7[0] done; 400: 8 done; 1000: created 1 as 7; \
        2000: created 2 as 7";
    assert_eq!(run.events(), expected);
}

/// Tasks that change at each poll are due all the time.
#[test]
fn polls_and_creations_take_turns() {
    let mut percent = 0;
    let run = Run::of(101..104, 10, move |_| {
        percent = (percent + 1) % 100;
        Ok(running(percent))
    });
    let mut run = run.gap(Duration::ZERO);
    run.policy = PollPolicy::new().initial_interval(Duration::ZERO);
    for number in 0..10 {
        let time = number * 400;
        assert_eq!(run.step(None), format!("{time}: creating {number}"));
        assert!(
            run.step(None)
                .starts_with(&format!("{time}: created {number}"))
        );
        assert!(run.step(None).starts_with(&format!("{}: ", time + 200)));
    }
}
