//! A service in memory, and a clock that does not sleep.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::requests::{Clock, Requests};
use crate::envelope::{MAX_BODY_LEN, decode};
use crate::error::{Delivery, Error, TransportError, TransportErrorKind};
use crate::new_task::NewTask;
use crate::retry::{AttemptCause, AttemptError};
use crate::task::{Progress, Status};
use crate::throttle::Throttle;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const GAP: Duration = Duration::from_millis(200);

/// The client's time limit of a request.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// A function that is called when the clock is moved from one time to another.
type OnSleep = Box<dyn FnMut(Duration, Duration)>;

#[derive(Clone)]
pub(crate) struct FakeClock {
    pub(crate) start: Instant,
    elapsed: Rc<Cell<Duration>>,
    on_sleep: Rc<RefCell<Option<OnSleep>>>,
}

impl FakeClock {
    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed.get()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Instant {
        self.start + self.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        let (from, to) = (self.elapsed(), self.elapsed() + duration);
        if let Some(on_sleep) = &mut *self.on_sleep.borrow_mut() {
            on_sleep(from, to);
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
type Reply<T> = (Duration, Result<T, AttemptError>);
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

    pub(crate) fn token_requests(
        &self,
        replies: impl IntoIterator<Item = (Duration, Result<(), Error>)>,
    ) {
        let of_token_request = |error: Error| AttemptError {
            error: error.of_token_request(),
            cause: AttemptCause::TokenRequest,
        };
        let replies = replies.into_iter();
        self.tokens
            .borrow_mut()
            .extend(replies.map(|(duration, result)| (duration, result.map_err(of_token_request))));
    }

    /// Another thread makes a call at each multiple of this interval.
    pub(crate) fn direct_calls(&self, interval: Duration) {
        let (throttle, start) = (Rc::clone(&self.throttle), self.clock.start);
        let mut next = Duration::ZERO;
        *self.clock.on_sleep.borrow_mut() = Some(Box::new(move |_, to| {
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
    ) -> Result<T, AttemptError> {
        let now = self.clock.now();
        let timeout = deadline.saturating_duration_since(now);
        self.received.borrow_mut().push(Received {
            at: self.clock.elapsed(),
            task_id,
            timeout,
        });
        self.throttle.record(now);
        let (duration, mut result) = reply;
        if duration > timeout {
            result = Err(transport(TransportErrorKind::Timeout).into());
        }
        self.clock.sleep(duration.min(timeout));
        if let Err(failed) = &result {
            self.throttle.observe(&failed.error, self.clock.now());
        }
        result
    }
}

impl Requests for FakeService {
    fn ensure_token(&self, deadline: Instant) -> Result<(), AttemptError> {
        let Some((duration, result)) = self.tokens.borrow_mut().pop_front() else {
            return Ok(());
        };
        let timeout = deadline.saturating_duration_since(self.clock.now());
        self.clock.sleep(duration.min(timeout));
        match duration > timeout {
            true => Err(AttemptError {
                error: transport(TransportErrorKind::Timeout).of_token_request(),
                cause: AttemptCause::TokenRequest,
            }),
            false => result,
        }
    }

    fn poll(&self, task_id: u64, deadline: Instant) -> Result<Progress, AttemptError> {
        let reply = (self.on_poll.borrow_mut())(task_id);
        self.respond(Some(task_id), deadline, reply)
    }

    fn create(&self, _: &NewTask, deadline: Instant) -> Result<u64, AttemptError> {
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
