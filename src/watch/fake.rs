//! A service in memory, and a clock that does not sleep.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::requests::{Clock, Requests};
use crate::envelope::{MAX_BODY_LEN, decode};
use crate::error::{Delivery, Error, TransportError, TransportErrorKind};
use crate::new_task::NewTask;
use crate::task::{Progress, Status};
use crate::throttle::Throttle;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const GAP: Duration = Duration::from_millis(200);

/// The client's time limit of a request.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// Far above every test's number of sleeps.
const MAX_SLEEPS: u32 = 100_000;

/// A function that is called with the time to which the clock is moved.
type OnSleep = Box<dyn FnMut(Duration)>;

#[derive(Clone)]
pub(crate) struct FakeClock {
    pub(crate) start: Instant,
    elapsed: Rc<Cell<Duration>>,
    on_sleep: Rc<RefCell<Option<OnSleep>>>,
    sleeps: Rc<Cell<u32>>,
}

impl FakeClock {
    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed.get()
    }

    /// Sleeps for the duration of a reply, and returns its result, or a timeout at the deadline.
    fn result_at<T>(&self, deadline: Instant, (duration, result): Reply<T>) -> Result<T, Error> {
        let timeout = deadline.saturating_duration_since(self.now());
        self.sleep(duration.min(timeout));
        if duration > timeout {
            return Err(transport(TransportErrorKind::Timeout));
        }
        result
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Instant {
        self.start + self.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        self.sleeps.set(self.sleeps.get() + 1);
        assert!(self.sleeps.get() < MAX_SLEEPS, "it waits for ever");
        let to = self.elapsed() + duration;
        if let Some(on_sleep) = &mut *self.on_sleep.borrow_mut() {
            on_sleep(to);
        }
        self.elapsed.set(to);
    }
}

/// A request as the service received it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Received {
    pub(crate) at: Duration,
    /// The polled task; `None` for a creation.
    pub(crate) task_id: Option<u64>,
    /// Time until the deadline.
    pub(crate) timeout: Duration,
}

/// The duration of a request, and its result.
pub(crate) type Reply<T> = (Duration, Result<T, Error>);
type OnPoll = Box<dyn FnMut(u64) -> Reply<Progress>>;
type OnCreate = Box<dyn FnMut() -> Reply<u64>>;

#[derive(Clone)]
pub(crate) struct FakeService {
    pub(crate) clock: FakeClock,
    pub(crate) throttle: Rc<Throttle>,
    pub(crate) received: Rc<RefCell<Vec<Received>>>,
    on_poll: Rc<RefCell<OnPoll>>,
    on_create: Rc<RefCell<OnCreate>>,
    /// Replies to token requests. After the last one there is a token.
    tokens: Rc<RefCell<VecDeque<Reply<()>>>>,
}

impl FakeService {
    /// A service that responds to polls with this function, and creates no task.
    pub(crate) fn new(
        gap: Duration,
        on_poll: impl FnMut(u64) -> Reply<Progress> + 'static,
    ) -> Self {
        let clock = FakeClock {
            start: Instant::now(),
            elapsed: Rc::default(),
            on_sleep: Rc::default(),
            sleeps: Rc::default(),
        };
        Self {
            clock,
            throttle: Rc::new(Throttle::new(gap)),
            received: Rc::default(),
            on_poll: Rc::new(RefCell::new(Box::new(on_poll))),
            on_create: Rc::new(RefCell::new(Box::new(|| unreachable!()))),
            tokens: Rc::default(),
        }
    }

    pub(crate) fn on_create(&self, on_create: impl FnMut() -> Reply<u64> + 'static) {
        *self.on_create.borrow_mut() = Box::new(on_create);
    }

    pub(crate) fn token_requests(&self, replies: impl IntoIterator<Item = Reply<()>>) {
        self.tokens.borrow_mut().extend(replies);
    }

    /// Another thread makes a call at each multiple of this interval.
    pub(crate) fn direct_calls(&self, interval: Duration) {
        let (throttle, start) = (Rc::clone(&self.throttle), self.clock.start);
        let mut next = Duration::ZERO;
        *self.clock.on_sleep.borrow_mut() = Some(Box::new(move |to| {
            while next <= to {
                throttle.record(start + next);
                next += interval;
            }
        }));
    }

    /// Times of all requests in milliseconds.
    pub(crate) fn times(&self) -> Vec<u128> {
        let received = self.received.borrow();
        received
            .iter()
            .map(|request| request.at.as_millis())
            .collect()
    }

    fn respond<T>(
        &self,
        task_id: Option<u64>,
        deadline: Instant,
        reply: Reply<T>,
    ) -> Result<T, Error> {
        let now = self.clock.now();
        self.received.borrow_mut().push(Received {
            at: self.clock.elapsed(),
            task_id,
            timeout: deadline.saturating_duration_since(now),
        });
        self.throttle.record(now);
        let result = self.clock.result_at(deadline, reply);
        if let Err(error) = &result {
            self.throttle.observe(error, self.clock.now());
        }
        result
    }
}

impl Requests for FakeService {
    fn ensure_token(&self, deadline: Instant) -> Result<(), Error> {
        let Some(reply) = self.tokens.borrow_mut().pop_front() else {
            return Ok(());
        };
        let result = self.clock.result_at(deadline, reply);
        result.map_err(Error::of_token_request)
    }

    fn poll(&self, task_id: u64, deadline: Instant) -> Result<Progress, Error> {
        let reply = (self.on_poll.borrow_mut())(task_id);
        self.respond(Some(task_id), deadline, reply)
    }

    fn create(&self, _: &NewTask, deadline: Instant) -> Result<u64, Error> {
        let reply = (self.on_create.borrow_mut())();
        self.respond(None, deadline, reply)
    }

    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    fn throttle(&self) -> &Throttle {
        &self.throttle
    }
}

pub(crate) fn running(percent: u8) -> Progress {
    Progress::new(Status::InProgress, percent)
}

pub(crate) fn done() -> Progress {
    Progress::new(Status::Succeeded, 100)
}

pub(crate) fn http(status: u16) -> Error {
    decode::<Progress>(status, b"<html>", MAX_BODY_LEN).unwrap_err()
}

pub(crate) fn api(code: i64) -> Error {
    let body = format!(r#"{{"code":{code},"message":"m","data":null}}"#);
    decode::<Progress>(200, body.as_bytes(), MAX_BODY_LEN).unwrap_err()
}

pub(crate) fn retry_after(error: Error, seconds: u64) -> Error {
    error.with_retry_after(Some(Duration::from_secs(seconds)))
}

pub(crate) fn transport(kind: TransportErrorKind) -> Error {
    Error::Transport(TransportError::new(
        kind,
        "an error",
        Delivery::MaybeSent,
        None,
    ))
}
