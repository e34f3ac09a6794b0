//! The scheduler's loop with a clock that does not sleep and a service in memory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::fake::{
    FakeClock, FakeService, GAP, Received, SECOND, TIMEOUT, api, done, http, retry_after, running,
    transport,
};
use super::policy::FINAL_POLL_TIMEOUT;
use super::*;
use crate::error::TransportErrorKind;
use crate::retry::AttemptError;
use crate::throttle::DEFAULT_PAUSE;

struct Fixture {
    scheduler: Scheduler<FakeService, FakeClock>,
    service: FakeService,
}

impl Fixture {
    fn new(
        task_ids: impl IntoIterator<Item = u64>,
        mut script: impl FnMut(u64) -> (Duration, Result<Progress>) + 'static,
    ) -> Self {
        Self::with_gap(GAP, task_ids, move |id| {
            let (duration, result) = script(id);
            (duration, result.map_err(AttemptError::from))
        })
    }

    fn with_gap(
        gap: Duration,
        task_ids: impl IntoIterator<Item = u64>,
        script: impl FnMut(u64) -> (Duration, std::result::Result<Progress, AttemptError>) + 'static,
    ) -> Self {
        let service = FakeService::new(gap, script);
        let mut scheduler = Scheduler::new(service.clone(), service.clock.clone());
        scheduler.add(&task_ids.into_iter().collect::<Vec<_>>());
        Self { scheduler, service }
    }

    /// One task whose results come at once, in this order; the last one repeats.
    fn one(results: impl IntoIterator<Item = Result<Progress>>) -> Self {
        let results: Vec<_> = results.into_iter().collect();
        let mut results = results.into_iter();
        let mut last = Ok(running(0));
        Self::new([1], move |_| {
            last = results.next().unwrap_or_else(|| last.clone());
            (Duration::ZERO, last.clone())
        })
    }

    /// Two tasks and more that succeed at the first poll after one error.
    fn after_one_error(task_ids: impl IntoIterator<Item = u64>, error: Error) -> Self {
        let mut first = Some(error);
        Self::new(task_ids, move |_| {
            (Duration::ZERO, first.take().map_or(Ok(done()), Err))
        })
    }

    fn timeout(mut self, timeout: Duration) -> Self {
        self.scheduler.timeout = Some(timeout);
        self
    }

    fn policy(mut self, policy: PollPolicy) -> Self {
        self.scheduler.policy = policy;
        self
    }

    fn next(&mut self) -> Option<Update> {
        match self.scheduler.next(None) {
            Step::Update(update) => Some(update),
            Step::Woken | Step::Finished => None,
        }
    }

    fn next_until(&mut self, wake: Duration) -> Step {
        let wake = self.service.clock.start + wake;
        self.scheduler.next(Some(wake))
    }

    fn updates(&mut self) -> Vec<Update> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// The ids of the remaining updates.
    fn ids(&mut self) -> Vec<u64> {
        self.updates().iter().map(|update| update.task_id).collect()
    }

    /// The error of the last update.
    fn last_error(&mut self) -> Error {
        self.updates().pop().unwrap().result.unwrap_err()
    }

    fn times(&self) -> Vec<u128> {
        self.service.times()
    }

    fn timeouts(&self) -> Vec<Duration> {
        let received = self.service.received.borrow();
        received.iter().map(|request| request.timeout).collect()
    }

    fn elapsed(&self) -> Duration {
        self.service.clock.elapsed()
    }
}

fn closed() -> Error {
    transport(TransportErrorKind::Closed)
}

// ---- Order and intervals.

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
    let counts = (fixture.scheduler.finished(), fixture.scheduler.pending());
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
    assert_eq!(fixture.scheduler.finished(), 4);
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
    fixture.scheduler.stop(api(403));
    assert_eq!(next(&fixture), Some(200), "now");
    fixture.updates();
    assert_eq!(next(&fixture), None);
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

// ---- Other users of the client.

#[test]
fn waits_for_other_users_of_the_client() {
    let mut fixture = Fixture::new([1, 2], |_| (Duration::ZERO, Ok(done())));
    let record = |at: Duration, fixture: &Fixture| {
        let time = fixture.service.clock.start + at;
        fixture.service.throttle.record(time);
    };
    record(Duration::ZERO, &fixture);
    fixture.next().unwrap();
    record(SECOND, &fixture);
    fixture.next().unwrap();
    assert_eq!(fixture.times(), [200, 1200]);
}

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
    assert!(fixture.scheduler.stopped_by().is_none());
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
                .chain(fixture.scheduler.stopped_by())
                .all(|e| e.to_string() == text)
        );

        fixture.scheduler.add(&[3]);
        assert!(fixture.scheduler.stopped_by().is_none());
        assert_eq!(fixture.next().unwrap().result.unwrap(), running(1));
    }
}

// ---- Timeouts.

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
fn polls_near_the_deadline() {
    // The first poll is made at once, with any timeout.
    let mut fixture = Fixture::one([Ok(running(1))]).timeout(SECOND / 10);
    fixture.updates();
    assert_eq!(fixture.times(), [0]);
    // The slot of the second task is at 200 ms, when less than 250 ms remain.
    let mut fixture = Fixture::new([1, 2], |_| (Duration::ZERO, Ok(running(1))));
    fixture = fixture.timeout(SECOND * 3 / 10);
    fixture.updates();
    assert_eq!(fixture.times(), [0, 300]);
    // The caller's loop takes longer than the timeout.
    let mut fixture = Fixture::one([Ok(running(1)), Ok(done())]).timeout(SECOND);
    fixture.next().unwrap();
    fixture.service.clock.sleep(SECOND * 12 / 10);
    assert_eq!(fixture.next().unwrap().result.unwrap(), done());
    assert_eq!(fixture.times(), [0, 1200]);
    // The pace forbids the last poll.
    let mut fixture = Fixture::with_gap(10 * SECOND, [1], |_| (Duration::ZERO, Ok(running(3))));
    fixture = fixture.timeout(5 * SECOND);
    fixture.updates();
    assert_eq!((fixture.times(), fixture.elapsed()), (vec![0], 5 * SECOND));
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

/// A reply of a random service.
#[derive(Debug, Clone)]
enum RandomReply {
    Progress(i64, u8),
    Closed,
    ServerError(u16, Option<u64>),
    RateLimited(Option<u64>),
    Undecodable,
    Rejected,
    Banned,
}

impl RandomReply {
    fn result(&self) -> Result<Progress> {
        match *self {
            Self::Progress(status, percent) => Ok(Progress::new(Status::from(status), percent)),
            Self::Closed => Err(closed()),
            Self::ServerError(status, delay) => {
                Err(http(status).with_retry_after(delay.map(Duration::from_secs)))
            }
            Self::RateLimited(delay) => {
                Err(api(429).with_retry_after(delay.map(Duration::from_secs)))
            }
            Self::Undecodable => Err(http(200)),
            Self::Rejected => Err(api(1)),
            Self::Banned => Err(api(403)),
        }
    }
}

fn random_reply() -> impl Strategy<Value = RandomReply> {
    prop_oneof![
        8 => (0_i64..5, 0_u8..4).prop_map(|(status, percent)| RandomReply::Progress(status, percent)),
        2 => Just(RandomReply::Closed),
        2 => (500_u16..505, prop::option::of(0_u64..20)).prop_map(|(status, d)| RandomReply::ServerError(status, d)),
        1 => prop::option::of(0_u64..20).prop_map(RandomReply::RateLimited),
        1 => Just(RandomReply::Undecodable),
        1 => Just(RandomReply::Rejected),
        // Rare, because it ends the whole run.
        1 => prop::bool::weighted(0.05).prop_map(|yes| if yes { RandomReply::Banned } else { RandomReply::Closed }),
    ]
}

proptest! {
    #[test]
    fn each_task_has_one_end_and_polls_keep_the_gap(
        replies in prop::collection::vec((random_reply(), 0_u64..700), 1..200),
        tasks in 1_u64..30,
        gap in prop_oneof![Just(200_u64), Just(0), 1_u64..2000],
        max_consecutive_errors in 0_u32..10,
        error_window in 0_u64..60,
    ) {
        // Task, duration and result of each response.
        let responses: Rc<RefCell<Vec<(u64, Duration, Result<Progress>)>>> = Rc::default();
        let (log, mut next, count) = (Rc::clone(&responses), 0, replies.len());
        let script = move |id: u64| {
            let (reply, duration) = &replies[next % count];
            // After some rounds every task succeeds, so that the run ends.
            let result = if next < 4 * count { reply.result() } else { Ok(done()) };
            next += 1;
            let duration = Duration::from_millis(*duration);
            log.borrow_mut().push((id, duration, result.clone()));
            (duration, result.map_err(AttemptError::from))
        };
        let gap = Duration::from_millis(gap);
        let mut fixture = Fixture::with_gap(gap, (0..tasks).chain(0..tasks / 2), script)
            .policy(PollPolicy::new()
                .max_consecutive_errors(max_consecutive_errors)
                .error_window(Duration::from_secs(error_window)));

        let mut ends = HashMap::new();
        let mut reported: HashMap<u64, Vec<Progress>> = HashMap::new();
        while let Some(update) = fixture.next() {
            prop_assert!(!ends.contains_key(&update.task_id), "an update after the end");
            if update.is_end() {
                ends.insert(update.task_id, fixture.times().len());
            }
            if let Ok(progress) = update.result {
                reported.entry(update.task_id).or_default().push(progress);
            }
            let counts = (fixture.scheduler.finished(), fixture.scheduler.pending());
            prop_assert_eq!(counts, (ends.len(), tasks as usize - ends.len()));
        }
        prop_assert_eq!(ends.len() as u64, tasks, "every task has its end");

        let polls = fixture.service.received.borrow();
        let responses = responses.borrow();
        for (index, pair) in polls.windows(2).enumerate() {
            prop_assert!(pair[1].at >= pair[0].at + gap, "closer than the gap");
            let (_, duration, Err(error)) = &responses[index] else { continue };
            let default = if error.is_rate_limited() { DEFAULT_PAUSE } else { Duration::ZERO };
            let pause = error.retry_after().unwrap_or(default);
            prop_assert!(pair[1].at >= pair[0].at + *duration + pause, "polled before `Retry-After`");
        }
        for (id, end) in &ends {
            let is_other = |poll: &Received| poll.task_id != Some(*id);
            prop_assert!(polls[*end..].iter().all(is_other), "a poll after the end");
            // The updates of a task are its responses, in order, without repetition.
            let of_task = responses.iter().filter(|(task, ..)| task == id);
            let mut expected: Vec<Progress> = of_task.filter_map(|(_, _, result)| result.clone().ok()).collect();
            expected.dedup();
            prop_assert_eq!(reported.get(id).map_or(&[][..], |progress| &progress[..]), &expected[..]);
        }
    }
}
