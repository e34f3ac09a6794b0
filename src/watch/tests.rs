//! Timing on a clock that is moved by hand: nothing here sleeps.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::envelope::decode;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Default)]
struct FakeClock(Rc<Cell<Duration>>);

impl Clock for FakeClock {
    fn now(&self) -> Duration {
        self.0.get()
    }

    fn sleep(&self, time: Duration) {
        self.0.set(self.0.get().saturating_add(time));
    }
}

/// A request as the service saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Poll {
    at: Duration,
    task_id: u64,
    time: Option<Duration>,
    fresh: bool,
}

type Script = Box<dyn FnMut(u64) -> (Duration, Result<Progress>)>;

/// A service in memory: for each poll, how long the answer takes and what it is.
struct Fake {
    clock: FakeClock,
    script: RefCell<Script>,
    polls: Rc<RefCell<Vec<Poll>>>,
}

impl Ask for Fake {
    fn ask(&self, task_id: u64, limits: RequestOptions) -> std::result::Result<Progress, Failure> {
        self.polls.borrow_mut().push(Poll {
            at: self.clock.now(),
            task_id,
            time: limits.timeout,
            fresh: limits.new_connection,
        });
        let (takes, answer) = (self.script.borrow_mut())(task_id);
        self.clock.sleep(takes.min(limits.timeout.unwrap_or(self.timeout())));
        answer.map_err(Failure::from)
    }

    fn timeout(&self) -> Duration {
        30 * SECOND
    }
}

struct Fixture {
    engine: Engine<Fake, FakeClock>,
    clock: FakeClock,
    polls: Rc<RefCell<Vec<Poll>>>,
}

impl Fixture {
    fn new(
        ids: impl IntoIterator<Item = u64>,
        script: impl FnMut(u64) -> (Duration, Result<Progress>) + 'static,
    ) -> Self {
        let (clock, polls) = (FakeClock::default(), Rc::default());
        let fake = Fake { clock: clock.clone(), script: RefCell::new(Box::new(script)), polls: Rc::clone(&polls) };
        Self { engine: Engine::new(fake, clock.clone(), ids.into_iter().collect()), clock, polls }
    }

    /// One task whose answers come at once, in this order; the last repeats.
    fn one(answers: Vec<Result<Progress>>) -> Self {
        let mut answers = answers.into_iter().peekable();
        let mut last = Ok(running(0));
        Self::new([1], move |_| {
            last = answers.next().unwrap_or_else(|| last.clone());
            (Duration::ZERO, last.clone())
        })
    }

    fn timeout(mut self, timeout: Duration) -> Self {
        self.engine.timeout = Some(timeout);
        self
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        self.engine.change(change);
        self
    }

    fn updates(&mut self) -> Vec<Update> {
        std::iter::from_fn(|| self.engine.next()).collect()
    }

    /// When the polls were, in milliseconds.
    fn times(&self) -> Vec<u128> {
        self.polls.borrow().iter().map(|poll| poll.at.as_millis()).collect()
    }
}

fn running(percent: u8) -> Progress {
    Progress::new(Status::InProgress, percent)
}

fn done() -> Progress {
    Progress::new(Status::Succeeded, 100)
}

fn http(status: u16) -> Error {
    decode::<Progress>(status, b"<html>").unwrap_err()
}

fn api(code: i64) -> Error {
    decode::<Progress>(200, format!(r#"{{"code":{code},"message":"m","data":null}}"#).as_bytes()).unwrap_err()
}

fn transport(kind: TransportErrorKind) -> Error {
    Error::Transport(crate::error::TransportError::new(kind, "a fault".into(), crate::error::Sent::Yes, None))
}

fn closed() -> Error {
    transport(TransportErrorKind::Closed)
}

#[test]
fn the_next_pause() {
    let ms = Duration::from_millis;
    let usual = (FIRST, LONGEST);
    for (last, said, expected) in [
        (ms(0), Said::Changed, ms(1000)),
        (ms(0), Said::Same, ms(1000)),
        (ms(1000), Said::Same, ms(1500)),
        (ms(1500), Said::Same, ms(2250)),
        (ms(2250), Said::Same, ms(3375)),
        (ms(9000), Said::Same, ms(13_500)),
        (ms(10_000), Said::Same, ms(15_000)),
        (ms(14_000), Said::Same, ms(15_000)),
        (ms(15_000), Said::Same, ms(15_000)),
        (ms(15_000), Said::Changed, ms(1000)),
        (Duration::MAX, Said::Same, ms(15_000)),
    ] {
        assert_eq!(next_pause(last, said, usual), expected, "{last:?} {said:?}");
    }
    assert_eq!(next_pause(ms(7), Said::Same, (ms(10), ms(10))), ms(10));
    assert_eq!(next_pause(Duration::MAX, Said::Same, (ms(1), Duration::MAX)), Duration::MAX);
}

/// What the documentation says.
#[test]
fn the_defaults() {
    let settings = Settings::default();
    assert_eq!(settings.intervals, (SECOND, 15 * SECOND));
    assert_eq!(settings.polls_per_second, 5.0);
    assert_eq!(settings.tolerate, 8);
    assert_eq!(TIMEOUT, 3600 * SECOND);
    assert_eq!(LAST_POLL, Duration::from_millis(250));
    assert_eq!(HOLD, SECOND);
}

#[test]
fn what_an_error_does_to_its_task() {
    use TransportErrorKind as Kind;

    for (error, expected) in [
        (api(429), Verdict::SlowDown),
        (http(429), Verdict::SlowDown),
        (http(502), Verdict::SlowDown),
        (http(200), Verdict::SlowDown), // undecodable
        (transport(Kind::Timeout), Verdict::SlowDown),
        (transport(Kind::Connect), Verdict::SlowDown),
        (transport(Kind::Dns), Verdict::SlowDown),
        (transport(Kind::Protocol), Verdict::SlowDown),
        (transport(Kind::Tls), Verdict::End),
        (api(1), Verdict::End),
        (api(5066), Verdict::End),
        (http(404), Verdict::End),
        (http(503).with_retry_after(Some(SECOND * 86_400)), Verdict::SlowDown),
        (http(503).with_retry_after(Some(SECOND * 86_401)), Verdict::End),
        (api(401), Verdict::EndAll),
        (http(401), Verdict::EndAll),
        (api(403), Verdict::EndAll),
        (http(403), Verdict::EndAll),
    ] {
        assert_eq!(verdict(&error), expected, "{error:?}");
    }
}

#[test]
fn the_pause_grows_and_falls_back() {
    let mut same = vec![Ok(running(1)); 4];
    same.extend([Ok(running(2)), Ok(running(2)), Err(http(502)), Ok(running(2)), Ok(done())]);
    let mut fixture = Fixture::one(same);
    let updates = fixture.updates();
    assert_eq!(updates.iter().map(|update| update.result.clone().unwrap().percent).collect::<Vec<_>>(), [1, 2, 100]);
    // 0, then 1 s, 1.5 s, 2.25 s, 3.375 s; after the change again 1 s, 1.5 s, the error slows down, too.
    assert_eq!(fixture.times(), [0, 1000, 2500, 4750, 8125, 9125, 10_625, 12_875, 16_250]);
}

#[test]
fn yields_first_and_sleeps_on_the_next_call() {
    let mut fixture = Fixture::one(vec![Ok(running(1)), Ok(running(2))]);
    fixture.engine.next().unwrap();
    assert_eq!(fixture.clock.now(), Duration::ZERO);
    fixture.engine.next().unwrap();
    assert_eq!(fixture.clock.now(), SECOND);
}

#[test]
fn polls_of_all_tasks_are_evenly_spaced_in_the_order_given() {
    let mut fixture = Fixture::new([5, 3, 9, 3, 5], |_| (Duration::ZERO, Ok(done())));
    assert_eq!(fixture.updates().iter().map(|update| update.task_id).collect::<Vec<_>>(), [5, 3, 9]);
    assert_eq!(fixture.times(), [0, 200, 400]);
    assert_eq!((fixture.engine.finished, fixture.engine.open.len()), (3, 0));
    assert!(fixture.engine.next().is_none() && fixture.engine.next().is_none());
}

#[test]
fn nothing_to_watch() {
    let mut fixture = Fixture::new([], |_| unreachable!()).set(|settings| settings.polls_per_second = f64::NAN);
    assert!(fixture.engine.next().is_none());
}

#[test]
fn a_429_holds_all_tasks() {
    for (error, hold) in [(api(429), 1000), (http(429), 1000), (api(429).with_retry_after(Some(7 * SECOND)), 7000)] {
        let mut first = Some(error);
        let mut fixture = Fixture::new([1, 2], move |_| (Duration::ZERO, first.take().map_or(Ok(done()), Err)));
        assert_eq!(fixture.updates().len(), 2);
        let again = if hold == 1000 { 1200 } else { hold + 200 };
        assert_eq!(fixture.times(), [0, hold, again]);
    }
}

#[test]
fn a_429_that_asks_for_more_than_a_day_ends_its_own_task() {
    let mut fixture = Fixture::new([1, 2], |id| match id {
        1 => (Duration::ZERO, Err(http(429).with_retry_after(Some(SECOND * 86_401)))),
        _ => (Duration::ZERO, Ok(done())),
    });
    let ends: Vec<_> = fixture.updates().iter().map(|update| update.result.is_ok()).collect();
    assert_eq!((ends, fixture.times()), (vec![false, true], vec![0, 1000]));
}

#[test]
fn a_retry_after_holds_its_own_task() {
    let mut first = Some(http(503).with_retry_after(Some(9 * SECOND)));
    let mut fixture = Fixture::new([1, 2], move |_| (Duration::ZERO, first.take().map_or(Ok(done()), Err)));
    fixture.updates();
    assert_eq!(fixture.times(), [0, 200, 9000]);
}

#[test]
fn a_closed_connection_is_replaced_in_the_next_turn() {
    let mut fixture = Fixture::one(vec![Err(closed()), Ok(running(5)), Err(closed()), Err(closed()), Ok(done())]);
    let updates = fixture.updates();
    assert!(updates.iter().all(|update| update.result.is_ok()));
    // The replay keeps to the rate; a second failure in a row slows down.
    assert_eq!(fixture.times(), [0, 200, 1200, 1400, 2900]);
    assert_eq!(
        fixture.polls.borrow().iter().map(|poll| poll.fresh).collect::<Vec<_>>(),
        [false, true, false, true, false]
    );
}

#[test]
fn the_nth_error_in_a_row_ends_a_task() {
    for (tolerate, polls) in [(0, 1), (1, 1), (2, 2), (8, 8)] {
        let mut fixture = Fixture::one(vec![Err(http(502))]).set(|settings| settings.tolerate = tolerate);
        let updates = fixture.updates();
        assert_eq!((updates.len(), fixture.polls.borrow().len()), (1, polls));
        assert!(matches!(&updates[0].result, Err(Error::Http(_))));
    }
    // A good answer in between starts the count anew.
    let answers = [vec![Err(http(502)); 7], vec![Ok(running(1))], vec![Err(http(502)); 7], vec![Ok(done())]];
    assert!(Fixture::one(answers.concat()).updates().iter().all(|update| update.result.is_ok()));
}

#[test]
fn a_refusal_ends_its_task_alone() {
    let mut fixture = Fixture::new([1, 2, 3], |id| (Duration::ZERO, if id == 2 { Err(api(1)) } else { Ok(done()) }));
    let updates = fixture.updates();
    assert_eq!(
        updates.iter().map(|update| (update.task_id, update.result.is_ok())).collect::<Vec<_>>(),
        [(1, true), (2, false), (3, true)]
    );
}

#[test]
fn a_ban_ends_everything_without_another_request() {
    for error in [api(401), api(403), http(403)] {
        let code = error.to_string();
        let mut fixture =
            Fixture::new(1..=5, move |id| (Duration::ZERO, if id == 3 { Err(error.clone()) } else { Ok(running(1)) }));
        let updates = fixture.updates();
        assert_eq!(fixture.polls.borrow().len(), 3);
        let mut ended: Vec<u64> =
            updates.iter().filter(|update| update.is_end()).map(|update| update.task_id).collect();
        ended.sort_unstable();
        assert_eq!(ended, [1, 2, 3, 4, 5]);
        assert!(updates.iter().filter_map(|update| update.result.as_ref().err()).all(|e| e.to_string() == code));
    }
}

#[test]
fn a_failed_task_is_an_answer() {
    let failed = Progress::new(Status::Failed, 40);
    let mut fixture = Fixture::one(vec![Ok(failed)]);
    let updates = fixture.updates();
    assert_eq!(updates[0].result.clone().unwrap(), failed);
    assert!(updates[0].is_end() && updates.len() == 1);
}

#[test]
fn retrying_and_unknown_are_no_ends() {
    let others = [Status::Retrying, Status::Unknown(9)].map(|status| Ok(Progress::new(status, 10)));
    let mut fixture = Fixture::one([others.to_vec(), vec![Ok(done())]].concat());
    assert_eq!(fixture.updates().len(), 3);
}

#[test]
fn settings_that_cannot_work_are_the_end_of_every_task() {
    type Change = fn(&mut Settings);
    let cases: [(Change, &str); 8] = [
        (|s| s.polls_per_second = 0.0, "setting `polls_per_second`: it must be a number above zero"),
        (|s| s.polls_per_second = -1.0, "setting `polls_per_second`: it must be a number above zero"),
        (|s| s.polls_per_second = f64::NAN, "setting `polls_per_second`: it must be a number above zero"),
        (|s| s.polls_per_second = f64::NEG_INFINITY, "setting `polls_per_second`: it must be a number above zero"),
        (
            |s| s.polls_per_second = f64::MIN_POSITIVE,
            "setting `polls_per_second`: it is so small that there would be no second poll",
        ),
        (|s| s.intervals = (SECOND, SECOND / 2), "setting `intervals`: the first interval is longer than the longest"),
        (|s| s.intervals = (Duration::ZERO, SECOND), "setting `intervals`: an interval must be longer than zero"),
        (
            |s| s.intervals = (Duration::ZERO, Duration::ZERO),
            "setting `intervals`: an interval must be longer than zero",
        ),
    ];
    for (change, text) in cases {
        let mut fixture = Fixture::new([1, 2, 3], |_| unreachable!()).set(change);
        let ends = fixture.updates();
        assert_eq!(ends.len(), 3);
        assert!(ends.iter().all(|end| matches!(&end.result, Err(e @ Error::Config(_)) if e.to_string() == text)));
    }
}

#[test]
fn the_largest_settings_do_not_panic() {
    let mut fixture = Fixture::one(vec![Ok(running(1)), Ok(running(1)), Ok(done())]).set(|settings| {
        settings.intervals = (Duration::MAX, Duration::MAX);
        settings.polls_per_second = f64::MAX;
        settings.tolerate = u32::MAX;
    });
    assert_eq!(fixture.updates().len(), 2);
}

#[test]
fn a_wait_ends_with_a_last_poll_at_its_deadline() {
    let mut fixture = Fixture::one(vec![Ok(running(1))]).timeout(4 * SECOND);
    let updates = fixture.updates();
    // Due at 4.75 s, asked at 4 s instead.
    assert_eq!(fixture.times(), [0, 1000, 2500, 4000]);
    let polls = fixture.polls.borrow();
    let time: Vec<_> = polls.iter().map(|poll| poll.time.unwrap().as_millis()).collect();
    assert_eq!(time, [4000, 3000, 1500, 250], "no poll gets more than is left");
    let end = updates.last().unwrap().result.as_ref().unwrap_err();
    assert_eq!(
        end.to_string(),
        "task 1 did not end within 4.0 s and 4 polls; it was in progress, 1 %, and goes on at the service"
    );
    assert!(end.is_timeout() && !end.is_transient());
}

#[test]
fn what_is_due_just_before_the_deadline_is_asked_at_it() {
    let mut fixture = Fixture::one(vec![Ok(running(1)), Ok(done())]).timeout(SECOND + SECOND / 10);
    assert_eq!(fixture.updates().len(), 2);
    assert_eq!(fixture.times(), [0, 1100]);
}

#[test]
fn a_retry_after_forbids_the_last_poll() {
    for error in [api(429), http(503)] {
        let answers = vec![Ok(running(3)), Err(error.with_retry_after(Some(60 * SECOND)))];
        let mut fixture = Fixture::one(answers).timeout(5 * SECOND);
        let updates = fixture.updates();
        assert_eq!(fixture.times(), [0, 1000]);
        assert_eq!(fixture.clock.now(), 5 * SECOND);
        let Err(Error::WaitTimeout { task_id, last, elapsed, polls, cause }) = &updates[1].result else {
            panic!("{updates:?}");
        };
        assert_eq!((*task_id, *last, *elapsed, *polls), (1, Some(running(3)), 5 * SECOND, 2));
        assert!(cause.as_ref().is_some_and(|cause| cause.retry_after() == Some(60 * SECOND)));
        assert!(std::error::Error::source(updates[1].result.as_ref().unwrap_err()).is_some());
    }
}

#[test]
fn a_wait_tells_the_error_its_last_poll_ended_with() {
    for error in [closed(), http(502), http(200)] {
        let text = error.to_string();
        let mut fixture = Fixture::one(vec![Ok(running(3)), Err(error)]).timeout(SECOND);
        let end = fixture.updates().pop().unwrap().result.unwrap_err();
        let Error::WaitTimeout { cause: Some(cause), polls: 2, .. } = end else { panic!("{end:?}") };
        assert_eq!(cause.to_string(), text);
    }
}

#[test]
fn a_watch_ends_at_its_deadline() {
    // The first task goes on, the second does not answer, the third has succeeded by then.
    let mut fixture = Fixture::new([1, 2, 3], |id| {
        let answer = match id {
            1 => Ok(running(4)),
            2 => Err(http(502)),
            _ => Ok(done()),
        };
        (SECOND / 10, answer)
    });
    fixture = fixture.timeout(4 * SECOND).set(|s| s.intervals = (SECOND, SECOND));
    let mut ends: Vec<_> = fixture.updates().into_iter().filter(Update::is_end).collect();
    assert_eq!(fixture.clock.now(), 4 * SECOND + SECOND / 10, "the last poll is at the deadline");
    ends.sort_by_key(|end| end.task_id);
    let [first, second, third] = &ends[..] else { panic!("{ends:?}") };
    let Err(Error::WaitTimeout { task_id: 1, last, elapsed, polls, cause: None, .. }) = &first.result else {
        panic!("{first:?}")
    };
    assert_eq!((*last, *elapsed), (Some(running(4)), fixture.clock.now()));
    assert_eq!(*polls as usize, fixture.times().len());
    let Err(Error::WaitTimeout { task_id: 2, last: None, cause: Some(cause), .. }) = &second.result else {
        panic!("{second:?}")
    };
    assert_eq!(cause.to_string(), http(502).to_string());
    assert_eq!(third.result.as_ref().unwrap(), &done());
}

#[test]
fn what_was_passed_over_is_forgotten_after_an_answer() {
    // The last poll, at the deadline, is the one after the error.
    for (error, deadline) in [(closed(), SECOND * 13 / 10), (http(502), SECOND * 2)] {
        let mut fixture = Fixture::one(vec![Ok(running(3)), Err(error), Ok(running(3))]).timeout(deadline);
        let end = fixture.updates().pop().unwrap().result.unwrap_err();
        assert!(matches!(end, Error::WaitTimeout { polls: 3, cause: None, .. }), "{end:?}");
    }
    let mut fixture = Fixture::one(vec![Err(http(502)), Err(http(404))]);
    fixture.updates();
    assert!(fixture.engine.passed_over.is_empty());
}

#[test]
fn a_watch_of_zero_asks_each_task_once() {
    let mut closes = true;
    let mut fixture = Fixture::new([1, 2, 3], move |id| {
        let answer = if id == 2 && std::mem::take(&mut closes) { Err(closed()) } else { Ok(running(4)) };
        (Duration::ZERO, answer)
    })
    .timeout(Duration::ZERO);
    let ends = fixture.updates().into_iter().filter(Update::is_end).count();
    assert_eq!(ends, 3);
    // At the rate, and a closed connection is replaced.
    assert_eq!(fixture.times(), [0, 200, 400, 600]);
    let mut asked: Vec<_> = fixture.polls.borrow().iter().map(|poll| (poll.task_id, poll.time)).collect();
    asked.sort_unstable();
    assert_eq!(asked, [(1, None), (2, None), (2, None), (3, None)]);
}

#[test]
fn a_watch_of_zero_does_not_wait_for_a_429() {
    let mut fixture = Fixture::new([1, 2], |_| (Duration::ZERO, Err(http(429).with_retry_after(Some(9 * SECOND)))));
    fixture = fixture.timeout(Duration::ZERO);
    assert!(fixture.updates().iter().all(|update| update.result.as_ref().is_err_and(Error::is_timeout)));
    assert_eq!((fixture.times(), fixture.clock.now()), (vec![0], Duration::ZERO));
}

#[test]
fn the_rate_forbids_the_last_poll() {
    let answers = vec![Ok(running(3))];
    let mut fixture = Fixture::one(answers).timeout(5 * SECOND).set(|settings| settings.polls_per_second = 0.1);
    fixture.updates();
    assert_eq!(fixture.times(), [0]);
    assert_eq!(fixture.clock.now(), 5 * SECOND);
}

#[test]
fn zero_means_to_ask_once_with_the_clients_own_time() {
    let mut fixture = Fixture::one(vec![Ok(running(1))]).timeout(Duration::ZERO);
    let updates = fixture.updates();
    assert_eq!(fixture.polls.borrow()[..], [Poll { at: Duration::ZERO, task_id: 1, time: None, fresh: false }]);
    assert_eq!(updates[0].result.clone().unwrap(), running(1));
    assert!(matches!(updates[1].result, Err(Error::WaitTimeout { polls: 1, .. })));
}

/// Each answer takes longer than there is time.
#[test]
fn a_poll_has_settings_of_its_own_only_if_it_needs_them() {
    for (timeout, time) in [(29, Some(29 * SECOND)), (30, None), (31, None)] {
        let mut fixture = Fixture::one(vec![Ok(done())]).timeout(timeout * SECOND);
        fixture.updates();
        assert_eq!(fixture.polls.borrow()[0].time, time);
    }
}

#[test]
fn the_time_of_requests_counts() {
    let mut fixture =
        Fixture::new([1], |_| (60 * SECOND, Err(transport(TransportErrorKind::Timeout)))).timeout(45 * SECOND);
    let updates = fixture.updates();
    // 30 s is the client's own limit, then the pause, then what is left.
    let polls = fixture.polls.borrow();
    assert_eq!(polls.iter().map(|poll| poll.time).collect::<Vec<_>>(), [None, Some(14 * SECOND)]);
    assert_eq!(fixture.clock.now(), 45 * SECOND);
    assert!(matches!(&updates[0].result, Err(Error::WaitTimeout { last: None, polls: 2, cause: Some(_), .. })));
}

#[test]
fn a_task_takes_64_bytes_beside_its_id() {
    assert_eq!(size_of::<Task>() + size_of::<Due>() - size_of::<u64>(), 64);
}

/// What a random service may answer.
#[derive(Debug, Clone)]
enum Answer {
    Progress(i64, u8),
    Closed,
    Fault(u16, Option<u64>),
    RateLimited(Option<u64>),
    Garbage,
    Refused,
    Banned,
}

impl Answer {
    fn result(&self) -> Result<Progress> {
        match *self {
            Self::Progress(status, percent) => Ok(Progress::new(Status::from(status), percent)),
            Self::Closed => Err(closed()),
            Self::Fault(status, wait) => Err(http(status).with_retry_after(wait.map(Duration::from_secs))),
            Self::RateLimited(wait) => Err(api(429).with_retry_after(wait.map(Duration::from_secs))),
            Self::Garbage => Err(http(200)),
            Self::Refused => Err(api(1)),
            Self::Banned => Err(api(403)),
        }
    }
}

/// Of which task, when it was there, and what it was.
type Given = (u64, Duration, Result<Progress>);

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        8 => (0_i64..5, 0_u8..4).prop_map(|(status, percent)| Answer::Progress(status, percent)),
        2 => Just(Answer::Closed),
        2 => (500_u16..505, prop::option::of(0_u64..20)).prop_map(|(status, wait)| Answer::Fault(status, wait)),
        1 => prop::option::of(0_u64..20).prop_map(Answer::RateLimited),
        1 => Just(Answer::Garbage),
        1 => Just(Answer::Refused),
        // Seldom, since it ends the whole run.
        1 => prop::bool::weighted(0.05).prop_map(|yes| if yes { Answer::Banned } else { Answer::Closed }),
    ]
}

proptest! {
    #[test]
    fn whatever_the_service_does(
        answers in prop::collection::vec((answer(), 0_u64..700), 1..200),
        tasks in 1_u64..30,
        rate in prop_oneof![Just(5.0), Just(0.7), 1.0..50.0],
        tolerate in 0_u32..10,
    ) {
        let given: Rc<RefCell<Vec<Given>>> = Rc::default();
        let (log, mut next) = (Rc::clone(&given), 0);
        let clock = FakeClock::default();
        let polls: Rc<RefCell<Vec<Poll>>> = Rc::default();
        let (script_clock, count) = (clock.clone(), answers.len());
        let script = move |id: u64| {
            let (answer, takes) = &answers[next % count];
            // When the script has been through, every task gets its end, so that the run has one.
            let result = if next < 4 * count { answer.result() } else { Ok(done()) };
            next += 1;
            let takes = Duration::from_millis(*takes);
            log.borrow_mut().push((id, script_clock.now() + takes, result.clone()));
            (takes, result)
        };
        let fake = Fake { clock: clock.clone(), script: RefCell::new(Box::new(script)), polls: Rc::clone(&polls) };
        let mut engine = Engine::new(fake, clock, (0..tasks).chain(0..tasks / 2).collect());
        engine.change(|settings| (settings.polls_per_second, settings.tolerate) = (rate, tolerate));

        let mut ends = HashMap::new();
        let mut told: HashMap<u64, Vec<Progress>> = HashMap::new();
        while let Some(update) = engine.next() {
            prop_assert!(!ends.contains_key(&update.task_id), "an update after the end");
            if update.is_end() {
                ends.insert(update.task_id, polls.borrow().len());
            }
            if let Ok(progress) = update.result {
                told.entry(update.task_id).or_default().push(progress);
            }
            prop_assert_eq!((engine.finished, engine.open.len()), (ends.len(), tasks as usize - ends.len()));
        }
        prop_assert_eq!(ends.len() as u64, tasks, "every task has its end");

        let polls = polls.borrow();
        let spacing = Duration::from_secs_f64(1.0 / rate);
        for pair in polls.windows(2) {
            prop_assert!(pair[1].at >= pair[0].at + spacing, "closer than the rate allows");
        }
        let second = rate.ceil() as usize;
        for window in polls.windows(second + 1) {
            prop_assert!(window[second].at - window[0].at >= SECOND, "too many polls in a second");
        }
        let given = given.borrow();
        for (index, (id, at, result)) in given.iter().enumerate() {
            let Err(error) = result else { continue };
            let hold = error.retry_after().unwrap_or(if error.is_rate_limited() { HOLD } else { Duration::ZERO });
            for later in &polls[index + 1..] {
                if later.task_id == *id || error.is_rate_limited() {
                    prop_assert!(later.at >= *at + hold, "asked before its Retry-After is over");
                }
            }
        }
        for (id, end) in &ends {
            prop_assert!(polls[*end..].iter().all(|poll| poll.task_id != *id), "a poll after the end");
            // What was told of a task is what was answered, in that order, without repetition.
            let mut answered: Vec<Progress> =
                given.iter().filter(|(task, ..)| task == id).filter_map(|(_, _, result)| result.clone().ok()).collect();
            answered.dedup();
            prop_assert_eq!(told.get(id).cloned().unwrap_or_default(), answered);
        }
    }
}
