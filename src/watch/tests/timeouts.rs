//! Timeouts.

use super::super::fake::TIMEOUT;
use super::super::policy::FINAL_POLL_TIMEOUT;
use super::*;
#[test]
fn makes_a_last_poll_at_the_deadline() {
    let mut fixture = Fixture::one([Ok(running(1))]).timeout(4 * SECOND);
    let end = fixture.last_error();
    // Due at 4.75 s, polled at 4 s instead.
    assert_eq!(fixture.times(), [0, 1000, 2500, 4000]);
    let ms = Duration::from_millis;
    let timeouts = [ms(4000), ms(3000), ms(1500), FINAL_POLL_TIMEOUT];
    assert_eq!(
        fixture.timeouts(),
        timeouts,
        "no poll gets more than remains"
    );
    assert_eq!(
        end.to_string(),
        "task 1 did not end within 4.0 s and 4 polls; its last progress was: in progress, 1 %; it continues at the service"
    );
    assert!(end.is_timeout() && !end.is_transient());
}

#[test]
fn retry_after_forbids_the_last_poll() {
    for error in [api(429), http(503)] {
        let results = [Ok(running(3)), Err(retry_after(error, 60))];
        let mut fixture = Fixture::one(results).timeout(5 * SECOND);
        let end = fixture.last_error();
        assert_eq!(fixture.times(), [0, 1000]);
        assert_eq!(fixture.elapsed(), 5 * SECOND);
        let Error::WaitTimeout {
            task_id: 1,
            last: Some(last),
            elapsed,
            polls: 2,
            cause: Some(cause),
        } = &end
        else {
            panic!("{end:?}");
        };
        assert_eq!((*last, *elapsed), (running(3), 5 * SECOND));
        assert_eq!(cause.retry_after(), Some(60 * SECOND));
        assert!(std::error::Error::source(&end).is_some());
    }
}

#[test]
fn timeout_tells_the_error_of_the_last_poll() {
    for error in [closed(), http(502), http(200)] {
        let text = error.to_string();
        let end = Fixture::one([Ok(running(3)), Err(error)])
            .timeout(SECOND)
            .last_error();
        let Error::WaitTimeout {
            cause: Some(cause),
            polls: 2,
            ..
        } = end
        else {
            panic!("{end:?}")
        };
        assert_eq!(cause.to_string(), text);
    }
    // The last poll, at the deadline, comes after the error and succeeds.
    let results = [Ok(running(3)), Err(http(502)), Ok(running(3))];
    let end = Fixture::one(results).timeout(2 * SECOND).last_error();
    let Error::WaitTimeout {
        polls: 3,
        cause: None,
        ..
    } = end
    else {
        panic!("{end:?}")
    };
}

#[test]
fn timeout_ends_every_open_task() {
    // The first task continues, the second fails, the third has succeeded by then.
    let mut fixture = Fixture::new([1, 2, 3], |id| {
        let result = match id {
            1 => Ok(running(4)),
            2 => Err(http(502)),
            _ => Ok(done()),
        };
        (SECOND / 10, result)
    });
    fixture = fixture
        .timeout(4 * SECOND)
        .policy(PollPolicy::new().max_interval(SECOND));
    let mut ends = fixture.updates();
    ends.retain(Update::is_end);
    let last_poll = 4 * SECOND + SECOND / 10;
    assert_eq!(
        fixture.elapsed(),
        last_poll,
        "the last poll is at the deadline"
    );
    ends.sort_by_key(|end| end.task_id);
    let [first, second, third] = &ends[..] else {
        panic!("{ends:?}")
    };
    let Err(Error::WaitTimeout {
        task_id: 1,
        last: Some(last),
        elapsed,
        polls,
        cause: None,
    }) = &first.result
    else {
        panic!("{first:?}")
    };
    assert_eq!((*last, *elapsed), (running(4), last_poll));
    assert_eq!(*polls as usize, fixture.times().len());
    let Err(Error::WaitTimeout {
        task_id: 2,
        last: None,
        cause: Some(cause),
        ..
    }) = &second.result
    else {
        panic!("{second:?}")
    };
    assert_eq!(cause.to_string(), http(502).to_string());
    assert_eq!(third.result.as_ref().unwrap(), &done());
}

#[test]
fn zero_timeout_polls_each_task_once() {
    let mut fixture = Fixture::new([1, 2, 3], |_| (Duration::ZERO, Ok(running(4))));
    fixture = fixture.timeout(Duration::ZERO);
    let ends = fixture.updates().into_iter().filter(Update::is_end).count();
    assert_eq!(ends, 3);
    assert_eq!(fixture.times(), [0, 200, 400]);
    assert_eq!(fixture.timeouts(), [TIMEOUT; 3], "the client's own timeout");
    // It does not wait after an error.
    let error = retry_after(http(429), 9);
    let mut fixture = Fixture::after_one_error([1, 2], error).timeout(Duration::ZERO);
    let is_timeout = |update: &Update| update.result.as_ref().is_err_and(Error::is_timeout);
    assert!(fixture.updates().iter().all(is_timeout));
    assert_eq!(
        (fixture.times(), fixture.elapsed()),
        (vec![0], Duration::ZERO)
    );
}

#[test]
fn duration_of_requests_counts() {
    let mut fixture = Fixture::new([1], |_| (60 * SECOND, Ok(done()))).timeout(45 * SECOND);
    let end = fixture.last_error();
    // 30 s is the client's own limit; then come the interval and the rest.
    assert_eq!(fixture.timeouts(), [TIMEOUT, 14 * SECOND]);
    assert_eq!(fixture.elapsed(), 45 * SECOND);
    let Error::WaitTimeout {
        last: None,
        polls: 2,
        cause: Some(_),
        ..
    } = end
    else {
        panic!("{end:?}")
    };
}

#[test]
fn token_request_and_poll_share_one_deadline() {
    let mut fixture = Fixture::new([1], |_| (60 * SECOND, Ok(done()))).timeout(3 * SECOND);
    let slow = Duration::from_millis(2600);
    fixture.service.token_requests([(slow, Ok(()))]);
    assert!(fixture.last_error().is_timeout());
    assert_eq!(
        (fixture.times(), fixture.elapsed()),
        (vec![2600], 3 * SECOND)
    );
    // A token request that hangs is bounded, too; the last poll needs another one.
    let mut fixture = Fixture::new([1], |_| unreachable!()).timeout(3 * SECOND);
    fixture
        .service
        .token_requests([(60 * SECOND, Ok(())), (60 * SECOND, Ok(()))]);
    assert!(fixture.last_error().is_timeout());
    assert_eq!(fixture.elapsed(), 3 * SECOND);
}
