//! The migration's loop with a clock that does not sleep and a service in memory.

mod turns;

use super::*;
use crate::error::{Error, TransportErrorKind};
use crate::task::Progress;
use crate::watch::fake::{
    FakeClock, FakeService, GAP, Reply, SECOND, api, done, http, retry_after, running, transport,
};
use crate::watch::policy::PollPolicy;

type Events = Vec<(u128, String)>;

struct Fixture<I> {
    engine: Engine<I, FakeService, FakeClock>,
    service: FakeService,
}

/// A migration of this number of tasks. The service creates tasks 1, 2 and so on after these errors, and each succeeds
/// at its first poll.
fn fixture(
    tasks: usize,
    errors: impl IntoIterator<Item = Error>,
) -> Fixture<impl Iterator<Item = NewTask>> {
    with_polls(tasks, errors, |_| (Duration::ZERO, Ok(done())))
}

fn with_polls(
    tasks: usize,
    errors: impl IntoIterator<Item = Error>,
    on_poll: impl FnMut(u64) -> Reply<Progress> + 'static,
) -> Fixture<impl Iterator<Item = NewTask>> {
    let service = FakeService::new(GAP, on_poll);
    let mut errors: Vec<Error> = errors.into_iter().collect();
    errors.reverse();
    let mut task_id = 0;
    service.on_create(move || {
        let result = match errors.pop() {
            Some(error) => Err(error),
            None => {
                task_id += 1;
                Ok(task_id)
            }
        };
        (Duration::ZERO, result)
    });
    let input = (0..tasks).map(|number| NewTask::new(format!("https://a.example/{number}.png")));
    let scheduler = Scheduler::new(service.clone(), service.clock.clone());
    Fixture {
        engine: Engine::new(scheduler, input),
        service,
    }
}

impl<I: Iterator<Item = NewTask>> Fixture<I> {
    fn create_only(mut self) -> Self {
        self.engine.follows = false;
        self
    }

    fn gap(mut self, gap: Duration) -> Self {
        self.engine.create_gap = gap;
        self
    }

    fn timeout(mut self, timeout: Duration) -> Self {
        self.engine.scheduler.timeout = Some(timeout);
        self
    }

    fn next(&mut self) -> Option<String> {
        let event = self.engine.next(None).ok()?;
        Some(match event {
            MigrationEvent::Creating { index, .. } => format!("creating {index}"),
            MigrationEvent::Created { index, task_id } => format!("created {index} as {task_id}"),
            MigrationEvent::Delayed { index, delay, .. } => {
                format!("delayed {index} by {}", delay.as_millis())
            }
            MigrationEvent::NotCreated { index, error } => {
                let may_exist = match error.may_have_taken_effect() {
                    true => ", may exist",
                    false => "",
                };
                format!("not created {index}{may_exist}")
            }
            MigrationEvent::Update { index, update } => match update.result {
                Ok(progress) if progress == done() => format!("{index:?} done"),
                Ok(_) => format!("{index:?} changed"),
                Err(error) if error.is_timeout() => format!("{index:?} timed out"),
                Err(_) => format!("{index:?} ended"),
            },
        })
    }

    /// The remaining events, without announcements, with their times in milliseconds.
    fn events(&mut self) -> Events {
        let mut events = Vec::new();
        while let Some(event) = self.next() {
            if !event.starts_with("creating") {
                events.push((self.service.clock.elapsed().as_millis(), event));
            }
        }
        events
    }
}

fn expect<const N: usize>(events: [(u128, &str); N]) -> Events {
    events.map(|(at, event)| (at, event.to_owned())).into()
}

#[test]
fn creates_in_the_given_gap_and_polls_in_between() {
    let expected = expect([
        (0, "created 0 as 1"),
        (200, "Some(0) done"),
        (1000, "created 1 as 2"),
        (1200, "Some(1) done"),
    ]);
    assert_eq!(fixture(2, []).events(), expected);
}

#[test]
fn asks_the_input_before_the_gap() {
    for gap in [5 * SECOND, Duration::MAX] {
        let mut fixture = fixture(1, []).create_only().gap(gap);
        assert_eq!(fixture.events(), expect([(0, "created 0 as 1")]));
        assert_eq!(fixture.service.clock.elapsed(), Duration::ZERO);
    }
}

#[test]
fn timeout_ends_a_wait_for_the_next_creation() {
    let day = Duration::from_secs(24 * 60 * 60);
    let in_time = || fixture(2, []).gap(day);
    let failing = || fixture(1, [retry_after(http(503), 600)]);
    let created = expect([(0, "created 0 as 1"), (10_000, "not created 1")]);
    assert_eq!(
        in_time().create_only().timeout(10 * SECOND).events(),
        created
    );
    let delayed = expect([(0, "delayed 0 by 600000"), (10_000, "not created 0")]);
    assert_eq!(
        failing().create_only().timeout(10 * SECOND).events(),
        delayed
    );
    assert_eq!(failing().timeout(10 * SECOND).events(), delayed);
}

#[test]
fn token_request_of_a_creation_is_bounded_by_the_timeout() {
    let mut fixture = fixture(1, []).timeout(SECOND);
    fixture.service.token_requests([(60 * SECOND, Ok(()))]);
    let expected = expect([(1000, "delayed 0 by 1000"), (1000, "not created 0")]);
    assert_eq!(fixture.events(), expected);
    assert!(fixture.service.times().is_empty());
}

#[test]
fn creation_has_its_whole_time_limit_after_a_slow_token_request() {
    let mut fixture = fixture(1, []).create_only();
    fixture
        .service
        .token_requests([(SECOND * 299 / 10, Ok(()))]);
    fixture.service.on_create(|| (SECOND, Ok(1)));
    assert_eq!(fixture.events(), expect([(30_900, "created 0 as 1")]));
}

#[test]
fn timeout_ends_open_tasks_and_bounds_each_creation() {
    let mut fixture = with_polls(9, [], |_| (Duration::ZERO, Ok(running(1)))).timeout(SECOND / 2);
    let expected = expect([
        (0, "created 0 as 1"),
        (200, "Some(0) changed"),
        (500, "Some(0) timed out"),
        (500, "not created 1"),
    ]);
    assert_eq!(fixture.events(), expected);

    let mut fixture = self::fixture(1, []).timeout(SECOND);
    fixture.service.on_create(|| (2 * SECOND, Ok(1)));
    assert_eq!(
        fixture.events(),
        expect([(1000, "not created 0, may exist")])
    );
}

#[test]
fn creates_again_after_a_delay_that_doubles() {
    let errors = [http(503), http(503), retry_after(http(429), 7), http(503)];
    let expected = expect([
        (0, "delayed 0 by 1000"),
        (1000, "delayed 0 by 2000"),
        (3000, "delayed 0 by 7000"),
        (10_000, "delayed 0 by 8000"),
        (18_000, "created 0 as 1"),
    ]);
    assert_eq!(fixture(1, errors).create_only().events(), expected);
    // The gap is kept if it is longer.
    let mut fixture = fixture(1, [http(503)]).create_only().gap(60 * SECOND);
    let expected = expect([(0, "delayed 0 by 60000"), (60_000, "created 0 as 1")]);
    assert_eq!(fixture.events(), expected);
}

#[test]
fn gives_up_a_task_after_the_errors_that_the_policy_allows() {
    let mut fixture = fixture(2, [http(503), http(503)]).create_only();
    let policy = PollPolicy::new().error_window(Duration::ZERO);
    fixture.engine.scheduler.policy = policy.max_consecutive_errors(2);
    let expected = expect([
        (0, "delayed 0 by 1000"),
        (1000, "not created 0"),
        (3000, "created 1 as 1"),
    ]);
    assert_eq!(fixture.events(), expected);
}

#[test]
fn permanent_error_concerns_one_task() {
    let mut fixture = fixture(3, [api(5113), api(1)]).create_only();
    let expected = expect([
        (0, "not created 0"),
        (1000, "not created 1"),
        (2000, "created 2 as 1"),
    ]);
    assert_eq!(fixture.events(), expected);
    assert!(fixture.engine.scheduler.stopped_by.is_none());
}

#[test]
fn task_that_may_exist_is_not_created_again_and_the_next_one_waits() {
    let errors = || [http(502), transport(TransportErrorKind::Closed)];
    // With nothing to poll for 20 s, then twice as long.
    let expected = expect([
        (0, "not created 0, may exist"),
        (20_000, "not created 1, may exist"),
        (60_000, "created 2 as 1"),
    ]);
    assert_eq!(fixture(3, errors()).create_only().events(), expected);

    // Otherwise until a poll has succeeded, whether it shows a change or not.
    let mut polls = 0;
    let mut fixture = with_polls(3, errors(), move |_| {
        polls += 1;
        let result = match polls {
            1..=4 => Err(http(502)),
            5 | 6 => Ok(running(1)),
            _ => Ok(done()),
        };
        (Duration::ZERO, result)
    });
    fixture.engine.also_watch(&[101]);
    let expected = expect([
        (0, "not created 0, may exist"),
        // Polled at 0.2 s, and after 1 s, 1.5 s, 2.25 s and 3.375 s.
        (8325, "None changed"),
        (8525, "not created 1, may exist"),
        (9525, "created 2 as 1"),
        (9725, "Some(2) done"),
        (10_825, "None done"),
    ]);
    assert_eq!(fixture.events(), expected);
}

#[test]
fn ban_stops_everything() {
    let mut fixture = fixture(3, [api(403)]);
    fixture.engine.also_watch(&[101]);
    let expected = expect([(0, "not created 0"), (0, "None ended")]);
    assert_eq!(fixture.events(), expected);
    assert!(
        fixture
            .engine
            .scheduler
            .stopped_by
            .as_ref()
            .is_some_and(Error::is_banned)
    );
    assert_eq!(fixture.engine.taken, 1);
    // That of a poll, too: the task that was taken before it is not created.
    let mut fixture = with_polls(3, [], |_| (Duration::ZERO, Err(api(403))));
    let expected = expect([
        (0, "created 0 as 1"),
        (200, "Some(0) ended"),
        (200, "not created 1"),
    ]);
    assert_eq!(fixture.events(), expected);
    assert_eq!(fixture.engine.taken, 2);
}

#[test]
fn task_id_that_is_returned_twice_ends_once() {
    let mut fixture = fixture(3, []);
    fixture.engine.also_watch(&[7, 8]);
    fixture.service.on_create(|| (Duration::ZERO, Ok(7)));
    let mut events: Vec<String> = fixture
        .events()
        .into_iter()
        .map(|(_, event)| event)
        .collect();
    events.sort();
    let created = ["created 0 as 7", "created 1 as 7", "created 2 as 7"];
    assert_eq!(
        events,
        [
            "None done",
            "Some(0) done",
            created[0],
            created[1],
            created[2]
        ]
    );
}

/// A middleware of the user may panic, and the user may catch it.
#[test]
fn panic_of_a_request_is_the_error_of_its_task() {
    let mut fixture = fixture(2, []).create_only();
    let mut panics = true;
    fixture.service.on_create(move || {
        assert!(!std::mem::take(&mut panics), "on purpose");
        (Duration::ZERO, Ok(1))
    });
    fixture.next();
    let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fixture.next()));
    assert!(next.is_err());
    let expected = expect([(0, "not created 0, may exist"), (1000, "created 1 as 1")]);
    assert_eq!(fixture.events(), expected);
}
