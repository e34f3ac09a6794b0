//! The scheduler's loop with a clock that does not sleep and a service in memory.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::policy::FINAL_POLL_TIMEOUT;
use super::requests::Requests;
use super::*;
use crate::envelope::{MAX_BODY_LEN, decode};
use crate::error::{Delivery, TransportError, TransportErrorKind};
use crate::retry::{AttemptCause, AttemptError};
use crate::session::RequestOptions;
use crate::throttle::{DEFAULT_RATE_LIMIT_PAUSE, Throttle};

const SECOND: Duration = Duration::from_secs(1);
const GAP: Duration = Duration::from_millis(200);

#[derive(Clone, Default)]
struct FakeClock(Rc<Cell<Duration>>);

impl Clock for FakeClock {
    fn now(&self) -> Duration {
        self.0.get()
    }

    fn sleep(&self, duration: Duration) {
        self.0.set(self.0.get().saturating_add(duration));
    }
}

/// A request as the service received it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Poll {
    at: Duration,
    task_id: u64,
    timeout: Option<Duration>,
    new_connection: bool,
}

/// The duration of a request, and its result.
type Reply = (Duration, std::result::Result<Progress, AttemptError>);

/// A service in memory.
struct FakeService {
    clock: FakeClock,
    script: RefCell<Box<dyn FnMut(u64) -> Reply>>,
    polls: Rc<RefCell<Vec<Poll>>>,
    throttle: Throttle,
    /// Results of requests for a token, which is there after the first success.
    tokens: RefCell<Vec<Result<()>>>,
}

impl Requests for FakeService {
    fn ensure_token(&self, _: Duration) -> std::result::Result<(), AttemptError> {
        let mut tokens = self.tokens.borrow_mut();
        if tokens.is_empty() {
            return Ok(());
        }
        tokens.remove(0).map_err(|error| AttemptError {
            error,
            cause: AttemptCause::TokenRequest,
        })
    }

    fn poll(
        &self,
        task_id: u64,
        options: RequestOptions,
    ) -> std::result::Result<Progress, AttemptError> {
        let RequestOptions {
            timeout,
            new_connection,
        } = options;
        self.polls.borrow_mut().push(Poll {
            at: self.clock.now(),
            task_id,
            timeout,
            new_connection,
        });
        let (duration, result) = (self.script.borrow_mut())(task_id);
        self.clock
            .sleep(duration.min(timeout.unwrap_or(self.timeout())));
        // As a session does.
        if let Err(AttemptError { error, .. }) = &result {
            self.throttle.observe(error, self.clock.now());
        }
        result
    }

    fn timeout(&self) -> Duration {
        30 * SECOND
    }

    fn throttle(&self) -> &Throttle {
        &self.throttle
    }
}

struct Fixture {
    scheduler: Scheduler<FakeService, FakeClock>,
    clock: FakeClock,
    polls: Rc<RefCell<Vec<Poll>>>,
}

impl Fixture {
    fn new(
        ids: impl IntoIterator<Item = u64>,
        mut script: impl FnMut(u64) -> (Duration, Result<Progress>) + 'static,
    ) -> Self {
        Self::with_gap(GAP, ids, move |id| {
            let (duration, result) = script(id);
            (duration, result.map_err(AttemptError::from))
        })
    }

    fn with_gap(
        gap: Duration,
        ids: impl IntoIterator<Item = u64>,
        script: impl FnMut(u64) -> Reply + 'static,
    ) -> Self {
        let (clock, polls) = (FakeClock::default(), Rc::default());
        let service = FakeService {
            clock: clock.clone(),
            script: RefCell::new(Box::new(script)),
            polls: Rc::clone(&polls),
            throttle: Throttle::new(gap),
            tokens: RefCell::default(),
        };
        Self {
            scheduler: Scheduler::new(service, clock.clone(), ids.into_iter().collect()),
            clock,
            polls,
        }
    }

    /// One task whose results come at once, in this order; the last one repeats.
    fn one(results: Vec<Result<Progress>>) -> Self {
        let mut results = results.into_iter();
        let mut last = Ok(running(0));
        Self::new([1], move |_| {
            last = results.next().unwrap_or_else(|| last.clone());
            (Duration::ZERO, last.clone())
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

    fn updates(&mut self) -> Vec<Update> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Times of the polls in milliseconds.
    fn times(&self) -> Vec<u128> {
        self.polls
            .borrow()
            .iter()
            .map(|poll| poll.at.as_millis())
            .collect()
    }
}

fn running(percent: u8) -> Progress {
    Progress::new(Status::InProgress, percent)
}

fn done() -> Progress {
    Progress::new(Status::Succeeded, 100)
}

fn http(status: u16) -> Error {
    decode::<Progress>(status, b"<html>", MAX_BODY_LEN).unwrap_err()
}

fn api(code: i64) -> Error {
    decode::<Progress>(
        200,
        format!(r#"{{"code":{code},"message":"m","data":null}}"#).as_bytes(),
        MAX_BODY_LEN,
    )
    .unwrap_err()
}

fn transport(kind: TransportErrorKind) -> Error {
    Error::Transport(TransportError::new(
        kind,
        "an error",
        Delivery::MaybeSent,
        None,
    ))
}

fn closed() -> Error {
    transport(TransportErrorKind::Closed)
}

#[test]
fn interval_grows_and_falls_back() {
    let mut results = vec![Ok(running(1)); 4];
    results.extend([
        Ok(running(2)),
        Ok(running(2)),
        Err(http(502)),
        Ok(running(2)),
        Ok(done()),
    ]);
    let mut fixture = Fixture::one(results);
    let updates = fixture.updates();
    assert_eq!(
        updates
            .iter()
            .map(|update| update.result.clone().unwrap().percent)
            .collect::<Vec<_>>(),
        [1, 2, 100]
    );
    // 0, then 1 s, 1.5 s, 2.25 s, 3.375 s; after the change again 1 s, 1.5 s; the error lengthens the interval, too.
    assert_eq!(
        fixture.times(),
        [0, 1000, 2500, 4750, 8125, 9125, 10_625, 12_875, 16_250]
    );
}

#[test]
fn yields_first_and_sleeps_in_the_next_call() {
    let mut fixture = Fixture::one(vec![Ok(running(1)), Ok(running(2))]);
    fixture.next().unwrap();
    assert_eq!(fixture.clock.now(), Duration::ZERO);
    fixture.next().unwrap();
    assert_eq!(fixture.clock.now(), SECOND);

    // Polls without an update do not end the wait.
    let mut fixture = Fixture::one(vec![Ok(running(1))]);
    assert!(fixture.next().is_some());
    let wake = Some(9 * SECOND);
    assert!(matches!(fixture.scheduler.next(wake), Step::Woken));
    assert_eq!(fixture.clock.now(), 9 * SECOND);
}

#[test]
fn keeps_polls_apart_in_the_given_order() {
    let mut fixture = Fixture::new([5, 3, 9, 3, 5], |_| (Duration::ZERO, Ok(done())));
    assert_eq!(
        fixture
            .updates()
            .iter()
            .map(|update| update.task_id)
            .collect::<Vec<_>>(),
        [5, 3, 9]
    );
    assert_eq!(fixture.times(), [0, 200, 400]);
    assert_eq!(
        (fixture.scheduler.finished(), fixture.scheduler.pending()),
        (3, 0)
    );
    assert!(fixture.next().is_none() && fixture.next().is_none());
}

#[test]
fn waits_for_other_users_of_the_client() {
    let mut fixture = Fixture::new([1, 2], |_| (Duration::ZERO, Ok(done())));
    fixture.scheduler.requests.throttle.record(Duration::ZERO);
    fixture.next().unwrap();
    fixture.scheduler.requests.throttle.record(SECOND);
    fixture.next().unwrap();
    assert_eq!(fixture.times(), [200, 1200]);
}

#[test]
fn stops_waiting_at_the_callers_time() {
    let mut fixture = Fixture::one(vec![Ok(running(1)), Ok(done())]);
    assert!(matches!(
        fixture.scheduler.next(Some(SECOND / 2)),
        Step::Update(_)
    ));
    assert!(matches!(
        fixture.scheduler.next(Some(SECOND / 2)),
        Step::Woken
    ));
    assert_eq!(fixture.clock.now(), SECOND / 2);
    assert!(matches!(
        fixture.scheduler.next(Some(SECOND)),
        Step::Update(_)
    ));
    assert!(matches!(
        fixture.scheduler.next(Some(9 * SECOND)),
        Step::Finished
    ));
    assert_eq!(fixture.clock.now(), SECOND);
}

#[test]
fn follows_added_tasks() {
    let mut fixture = Fixture::new([1, 2], |_| (Duration::ZERO, Ok(done())));
    fixture.scheduler.add([2, 3, 3]);
    assert_eq!(
        fixture
            .updates()
            .iter()
            .map(|update| update.task_id)
            .collect::<Vec<_>>(),
        [1, 2, 3]
    );
    fixture.scheduler.add([2]);
    assert_eq!(
        fixture
            .updates()
            .iter()
            .map(|update| update.task_id)
            .collect::<Vec<_>>(),
        [2],
        "again after its end"
    );
    assert_eq!(fixture.scheduler.finished(), 4);
}

#[test]
fn pauses_all_tasks_after_429() {
    for (error, hold) in [
        (api(429), 1000),
        (http(429), 1000),
        (api(429).with_retry_after(Some(7 * SECOND)), 7000),
    ] {
        let mut first = Some(error);
        let mut fixture = Fixture::new([1, 2], move |_| {
            (Duration::ZERO, first.take().map_or(Ok(done()), Err))
        });
        assert_eq!(fixture.updates().len(), 2);
        assert_eq!(fixture.times(), [0, hold, hold + 200]);
    }
}

#[test]
fn ends_all_tasks_after_429_for_more_than_a_day() {
    let error = http(429).with_retry_after(Some(SECOND * 86_401));
    let mut fixture = Fixture::new(1..=10, move |_| (Duration::ZERO, Err(error.clone())));
    let updates = fixture.updates();
    assert_eq!((updates.len(), fixture.times()), (10, vec![0]));
    assert!(
        updates
            .iter()
            .all(|update| update.result.as_ref().is_err_and(Error::is_rate_limited))
    );

    // Another watch of the client ends as well, without a request.
    let mut other = Fixture::new([1], |_| unreachable!());
    other.scheduler.requests.throttle.observe(
        &http(429).with_retry_after(Some(SECOND * 90_000)),
        Duration::ZERO,
    );
    assert!(
        other.updates()[0]
            .result
            .as_ref()
            .is_err_and(Error::is_rate_limited)
    );
}

#[test]
fn waits_for_a_retry_after_of_one_day() {
    let mut first = Some(http(429).with_retry_after(Some(SECOND * 86_400)));
    let mut fixture = Fixture::new([1], move |_| (SECOND, first.take().map_or(Ok(done()), Err)));
    assert!(fixture.next().unwrap().result.is_ok());
    assert_eq!(fixture.times(), [0, 86_401_000]);
}

#[test]
fn delays_one_task_by_retry_after() {
    let mut first = Some(http(503).with_retry_after(Some(9 * SECOND)));
    let mut fixture = Fixture::new([1, 2], move |_| {
        (Duration::ZERO, first.take().map_or(Ok(done()), Err))
    });
    fixture.updates();
    assert_eq!(fixture.times(), [0, 200, 9000]);
}

#[test]
fn replaces_a_closed_connection_at_the_next_slot() {
    let mut fixture = Fixture::one(vec![
        Err(closed()),
        Ok(running(5)),
        Err(closed()),
        Err(closed()),
        Ok(done()),
    ]);
    assert!(fixture.updates().iter().all(|update| update.result.is_ok()));
    // A second failure in a row lengthens the interval.
    assert_eq!(fixture.times(), [0, 200, 1200, 1400, 2900]);
    let new: Vec<_> = fixture
        .polls
        .borrow()
        .iter()
        .map(|poll| poll.new_connection)
        .collect();
    assert_eq!(new, [false, true, false, true, false]);
}

#[test]
fn tries_two_replaced_tokens() {
    for (refusals, expected) in [(1, true), (2, true), (3, false)] {
        let mut count = 0;
        let mut fixture = Fixture::with_gap(GAP, [1, 2], move |_| {
            count += 1;
            let failed = AttemptError {
                error: api(401),
                cause: AttemptCause::TokenReplaced,
            };
            (
                Duration::ZERO,
                if count <= refusals {
                    Err(failed)
                } else {
                    Ok(done())
                },
            )
        });
        assert!(
            fixture
                .updates()
                .iter()
                .all(|update| update.result.is_ok() == expected),
            "{refusals}"
        );
        let times = if expected { refusals + 2 } else { 3 };
        assert_eq!(
            fixture.times(),
            (0..times).map(|slot| slot * 200).collect::<Vec<_>>()
        );
    }
}

#[test]
fn sends_nothing_without_a_token() {
    let mut fixture = Fixture::new([1], |_| (Duration::ZERO, Ok(done())));
    *fixture.scheduler.requests.tokens.borrow_mut() = vec![Err(http(503)), Err(http(503)), Ok(())];
    fixture.updates();
    // The task backs off for 1 s and 1.5 s.
    assert_eq!(fixture.times(), [2500]);
}

#[test]
fn rejected_credentials_end_all_tasks() {
    let mut fixture = Fixture::new(1..=640, |_| unreachable!());
    *fixture.scheduler.requests.tokens.borrow_mut() = vec![Err(api(1))];
    assert_eq!(fixture.updates().len(), 640);
    assert_eq!(fixture.clock.now(), Duration::ZERO);
}

#[test]
fn ends_a_task_after_many_errors_in_a_long_time() {
    let at_once = PollPolicy::new().error_window(Duration::ZERO);
    for (max, polls) in [(0, 1), (1, 1), (2, 2), (8, 8)] {
        let mut fixture =
            Fixture::one(vec![Err(http(502))]).policy(at_once.max_consecutive_errors(max));
        let updates = fixture.updates();
        assert_eq!((updates.len(), fixture.polls.borrow().len()), (1, polls));
        assert!(matches!(&updates[0].result, Err(Error::Http(_))));
    }
    // By default they span ten minutes at least.
    let mut fixture = Fixture::one(vec![Err(http(502))]);
    fixture.updates();
    let times = fixture.times();
    assert!(
        (600_000..615_000).contains(times.last().unwrap()),
        "{times:?}"
    );
    // A success starts the count anew.
    let results = [
        vec![Err(http(502)); 7],
        vec![Ok(running(1))],
        vec![Err(http(502)); 7],
        vec![Ok(done())],
    ];
    let mut fixture = Fixture::one(results.concat()).policy(at_once);
    assert!(fixture.updates().iter().all(|update| update.result.is_ok()));
}

#[test]
fn counts_more_errors_than_fit_in_16_bits() {
    let mut fixture = Fixture::new([1], |_| (Duration::ZERO, Err(http(502))));
    fixture.scheduler.timeout = Some(20_000 * SECOND);
    fixture.scheduler.policy = PollPolicy::new()
        .initial_interval(Duration::ZERO)
        .max_interval(Duration::ZERO)
        .max_consecutive_errors(70_000)
        .error_window(Duration::ZERO);
    let updates = fixture.updates();
    assert!(matches!(updates[0].result, Err(Error::Http(_))));
    assert_eq!(fixture.times().len(), 70_000);
}

#[test]
fn permanent_error_ends_one_task() {
    let mut fixture = Fixture::new([1, 2, 3], |id| {
        (
            Duration::ZERO,
            if id == 2 { Err(api(1)) } else { Ok(done()) },
        )
    });
    let updates = fixture.updates();
    let ends: Vec<_> = updates
        .iter()
        .map(|update| (update.task_id, update.result.is_ok()))
        .collect();
    assert_eq!(ends, [(1, true), (2, false), (3, true)]);
}

#[test]
fn ban_ends_all_tasks_without_another_request() {
    for error in [api(401), api(403), http(403)] {
        let text = error.to_string();
        let mut fixture = Fixture::new(1..=5, move |id| {
            (
                Duration::ZERO,
                if id == 3 {
                    Err(error.clone())
                } else {
                    Ok(running(1))
                },
            )
        });
        let updates = fixture.updates();
        assert_eq!(fixture.polls.borrow().len(), 3);
        let mut ended: Vec<u64> = updates
            .iter()
            .filter(|update| update.is_end())
            .map(|update| update.task_id)
            .collect();
        ended.sort_unstable();
        assert_eq!(ended, [1, 2, 3, 4, 5]);
        assert!(
            updates
                .iter()
                .filter_map(|update| update.result.as_ref().err())
                .all(|e| e.to_string() == text)
        );
    }
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

#[test]
fn failed_task_is_a_progress() {
    let failed = Progress::new(Status::Failed, 40);
    let mut fixture = Fixture::one(vec![Ok(failed)]);
    let updates = fixture.updates();
    assert_eq!(updates[0].result.clone().unwrap(), failed);
    assert!(updates[0].is_end() && updates.len() == 1);
}

#[test]
fn retrying_and_unknown_are_not_ends() {
    let others = [Status::Retrying, Status::Unknown(9)].map(|status| Ok(Progress::new(status, 10)));
    let mut fixture = Fixture::one([others.to_vec(), vec![Ok(done())]].concat());
    assert_eq!(fixture.updates().len(), 3);
}

#[test]
fn largest_settings_do_not_panic() {
    let policy = PollPolicy::new()
        .initial_interval(Duration::MAX)
        .max_interval(Duration::MAX)
        .max_consecutive_errors(u32::MAX)
        .error_window(Duration::MAX);
    let mut fixture = Fixture::one(vec![Ok(running(1)), Ok(running(1)), Ok(done())]).policy(policy);
    fixture.scheduler.timeout = Some(Duration::MAX);
    assert_eq!(fixture.updates().len(), 2);
}

#[test]
fn makes_a_last_poll_at_the_deadline() {
    let mut fixture = Fixture::one(vec![Ok(running(1))]).timeout(4 * SECOND);
    let updates = fixture.updates();
    // Due at 4.75 s, polled at 4 s instead.
    assert_eq!(fixture.times(), [0, 1000, 2500, 4000]);
    let timeouts: Vec<_> = fixture
        .polls
        .borrow()
        .iter()
        .map(|poll| poll.timeout.unwrap().as_millis())
        .collect();
    assert_eq!(
        timeouts,
        [4000, 3000, 1500, FINAL_POLL_TIMEOUT.as_millis()],
        "no poll gets more than remains"
    );
    let end = updates.last().unwrap().result.as_ref().unwrap_err();
    assert_eq!(
        end.to_string(),
        "task 1 did not end within 4.0 s and 4 polls; its last progress was: in progress, 1 %; it continues at the service"
    );
    assert!(end.is_timeout() && !end.is_transient());
}

#[test]
fn first_poll_is_made_at_once_with_any_timeout() {
    let mut fixture = Fixture::one(vec![Ok(running(1))]).timeout(SECOND / 10);
    fixture.updates();
    assert_eq!(fixture.times(), [0]);
}

/// Its slot is at 200 ms, when less than 250 ms remain.
#[test]
fn second_task_is_polled_at_the_deadline() {
    let mut fixture =
        Fixture::new([1, 2], |_| (Duration::ZERO, Ok(running(1)))).timeout(SECOND * 3 / 10);
    fixture.updates();
    assert_eq!(fixture.times(), [0, 300]);
}

/// The caller's loop takes longer than the timeout.
#[test]
fn makes_a_last_poll_after_the_deadline() {
    let mut fixture = Fixture::one(vec![Ok(running(1)), Ok(done())]).timeout(SECOND);
    fixture.next().unwrap();
    fixture.clock.sleep(SECOND * 12 / 10);
    assert_eq!(fixture.next().unwrap().result.unwrap(), done());
    assert_eq!(fixture.times(), [0, 1200]);
}

#[test]
fn retry_after_forbids_the_last_poll() {
    for error in [api(429), http(503)] {
        let results = vec![
            Ok(running(3)),
            Err(error.with_retry_after(Some(60 * SECOND))),
        ];
        let mut fixture = Fixture::one(results).timeout(5 * SECOND);
        let updates = fixture.updates();
        assert_eq!(fixture.times(), [0, 1000]);
        assert_eq!(fixture.clock.now(), 5 * SECOND);
        let Err(Error::WaitTimeout {
            task_id,
            last,
            elapsed,
            polls,
            cause,
        }) = &updates[1].result
        else {
            panic!("{updates:?}");
        };
        assert_eq!(
            (*task_id, *last, *elapsed, *polls),
            (1, Some(running(3)), 5 * SECOND, 2)
        );
        assert!(
            cause
                .as_ref()
                .is_some_and(|cause| cause.retry_after() == Some(60 * SECOND))
        );
        assert!(std::error::Error::source(updates[1].result.as_ref().unwrap_err()).is_some());
    }
}

#[test]
fn pace_forbids_the_last_poll() {
    let mut fixture = Fixture::with_gap(10 * SECOND, [1], |_| (Duration::ZERO, Ok(running(3))))
        .timeout(5 * SECOND);
    fixture.updates();
    assert_eq!(
        (fixture.times(), fixture.clock.now()),
        (vec![0], 5 * SECOND)
    );
}

#[test]
fn timeout_tells_the_error_of_the_last_poll() {
    for error in [closed(), http(502), http(200)] {
        let text = error.to_string();
        let mut fixture = Fixture::one(vec![Ok(running(3)), Err(error)]).timeout(SECOND);
        let end = fixture.updates().pop().unwrap().result.unwrap_err();
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
    for (error, deadline) in [(closed(), SECOND * 13 / 10), (http(502), SECOND * 2)] {
        let mut fixture =
            Fixture::one(vec![Ok(running(3)), Err(error), Ok(running(3))]).timeout(deadline);
        let end = fixture.updates().pop().unwrap().result.unwrap_err();
        assert!(
            matches!(
                end,
                Error::WaitTimeout {
                    polls: 3,
                    cause: None,
                    ..
                }
            ),
            "{end:?}"
        );
    }
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
    let mut ends: Vec<_> = fixture
        .updates()
        .into_iter()
        .filter(Update::is_end)
        .collect();
    assert_eq!(
        fixture.clock.now(),
        4 * SECOND + SECOND / 10,
        "the last poll is at the deadline"
    );
    ends.sort_by_key(|end| end.task_id);
    let [first, second, third] = &ends[..] else {
        panic!("{ends:?}")
    };
    let Err(Error::WaitTimeout {
        task_id: 1,
        last,
        elapsed,
        polls,
        cause: None,
        ..
    }) = &first.result
    else {
        panic!("{first:?}")
    };
    assert_eq!((*last, *elapsed), (Some(running(4)), fixture.clock.now()));
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
    let mut closes = true;
    let mut fixture = Fixture::new([1, 2, 3], move |id| {
        let result = if id == 2 && std::mem::take(&mut closes) {
            Err(closed())
        } else {
            Ok(running(4))
        };
        (Duration::ZERO, result)
    })
    .timeout(Duration::ZERO);
    let ends = fixture.updates().into_iter().filter(Update::is_end).count();
    assert_eq!(ends, 3);
    // A closed connection is replaced.
    assert_eq!(fixture.times(), [0, 200, 400, 600]);
    assert!(
        fixture
            .polls
            .borrow()
            .iter()
            .all(|poll| poll.timeout.is_none()),
        "the client's own timeout"
    );
}

#[test]
fn zero_timeout_does_not_wait_after_429() {
    let error = http(429).with_retry_after(Some(9 * SECOND));
    let mut fixture =
        Fixture::new([1, 2], move |_| (Duration::ZERO, Err(error.clone()))).timeout(Duration::ZERO);
    assert!(
        fixture
            .updates()
            .iter()
            .all(|update| update.result.as_ref().is_err_and(Error::is_timeout))
    );
    assert_eq!(
        (fixture.times(), fixture.clock.now()),
        (vec![0], Duration::ZERO)
    );
}

/// A timeout of one request has a cost, so it is set only if it is shorter than the client's.
#[test]
fn sets_a_request_timeout_only_if_it_is_shorter() {
    for (timeout, expected) in [(29, Some(29 * SECOND)), (30, None), (31, None)] {
        let mut fixture = Fixture::one(vec![Ok(done())]).timeout(timeout * SECOND);
        fixture.updates();
        assert_eq!(fixture.polls.borrow()[0].timeout, expected);
    }
}

#[test]
fn duration_of_requests_counts() {
    let mut fixture = Fixture::new([1], |_| {
        (60 * SECOND, Err(transport(TransportErrorKind::Timeout)))
    })
    .timeout(45 * SECOND);
    let updates = fixture.updates();
    // 30 s is the client's own limit; then come the interval and the rest.
    let timeouts: Vec<_> = fixture
        .polls
        .borrow()
        .iter()
        .map(|poll| poll.timeout)
        .collect();
    assert_eq!(timeouts, [None, Some(14 * SECOND)]);
    assert_eq!(fixture.clock.now(), 45 * SECOND);
    assert!(matches!(
        &updates[0].result,
        Err(Error::WaitTimeout {
            last: None,
            polls: 2,
            cause: Some(_),
            ..
        })
    ));
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

/// Id of a task, time of the response, and its content.
type Response = (u64, Duration, Result<Progress>);

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
        let responses: Rc<RefCell<Vec<Response>>> = Rc::default();
        let (log, mut next, count) = (Rc::clone(&responses), 0, replies.len());
        let clock: Rc<RefCell<Option<FakeClock>>> = Rc::default();
        let script_clock = Rc::clone(&clock);
        let script = move |id: u64| {
            let (reply, duration) = &replies[next % count];
            // After some rounds every task succeeds, so that the run ends.
            let result = if next < 4 * count { reply.result() } else { Ok(done()) };
            next += 1;
            let duration = Duration::from_millis(*duration);
            let now = script_clock.borrow().as_ref().unwrap().now();
            log.borrow_mut().push((id, now + duration, result.clone()));
            (duration, result.map_err(AttemptError::from))
        };
        let gap = Duration::from_millis(gap);
        let mut fixture = Fixture::with_gap(gap, (0..tasks).chain(0..tasks / 2), script)
            .policy(PollPolicy::new()
                .max_consecutive_errors(max_consecutive_errors)
                .error_window(Duration::from_secs(error_window)));
        *clock.borrow_mut() = Some(fixture.clock.clone());

        let mut ends = HashMap::new();
        let mut reported: HashMap<u64, Vec<Progress>> = HashMap::new();
        while let Some(update) = fixture.next() {
            prop_assert!(!ends.contains_key(&update.task_id), "an update after the end");
            if update.is_end() {
                ends.insert(update.task_id, fixture.polls.borrow().len());
            }
            if let Ok(progress) = update.result {
                reported.entry(update.task_id).or_default().push(progress);
            }
            let counts = (fixture.scheduler.finished(), fixture.scheduler.pending());
            prop_assert_eq!(counts, (ends.len(), tasks as usize - ends.len()));
        }
        prop_assert_eq!(ends.len() as u64, tasks, "every task has its end");

        let polls = fixture.polls.borrow();
        for pair in polls.windows(2) {
            prop_assert!(pair[1].at >= pair[0].at + gap, "closer than the gap");
        }
        let responses = responses.borrow();
        for (index, (id, at, result)) in responses.iter().enumerate() {
            let Err(error) = result else { continue };
            let default = if error.is_rate_limited() { DEFAULT_RATE_LIMIT_PAUSE } else { Duration::ZERO };
            let pause = error.retry_after().unwrap_or(default);
            for later in &polls[index + 1..] {
                if later.task_id == *id || error.is_rate_limited() {
                    prop_assert!(later.at >= *at + pause, "polled before `Retry-After`");
                }
            }
        }
        for (id, end) in &ends {
            prop_assert!(polls[*end..].iter().all(|poll| poll.task_id != *id), "a poll after the end");
            // The updates of a task are its responses, in order, without repetition.
            let mut expected: Vec<Progress> =
                responses.iter().filter(|(task, ..)| task == id).filter_map(|(_, _, result)| result.clone().ok()).collect();
            expected.dedup();
            prop_assert_eq!(reported.get(id).map_or(&[][..], |progress| &progress[..]), &expected[..]);
        }
    }
}
