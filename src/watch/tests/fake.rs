//! A service in memory, with a clock that does not sleep.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::TransportErrorKind;
use crate::error::{Delivery, Error, Result};
use crate::new_task::NewTask;
use crate::task::Progress;
use crate::throttle::Throttle;
use crate::watch::requests::Requests;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const GAP: Duration = Duration::from_millis(200);

pub(super) struct Fake {
    pub(super) start: Instant,
    pub(super) elapsed: Cell<Duration>,
    sleeps: Cell<u32>,
    pub(super) throttle: Throttle,
    /// Durations of the first requests. The others take no time.
    pub(super) durations: RefCell<VecDeque<Duration>>,
    /// Times of polls and creations, and their time limits, in milliseconds.
    pub(super) times: RefCell<Vec<(u128, u128)>>,
    on_poll: RefCell<Box<dyn FnMut(u64) -> Result<Progress>>>,
    /// Results of the first creations. Then tasks 1, 2 and so on are created.
    pub(super) creations: RefCell<VecDeque<Result<u64>>>,
    created: Cell<u64>,
    /// Results of the first token requests. Then there is a token.
    pub(super) tokens: RefCell<VecDeque<Result<()>>>,
}

impl Fake {
    pub(super) fn new(on_poll: impl FnMut(u64) -> Result<Progress> + 'static) -> Self {
        Self {
            start: Instant::now(),
            elapsed: Cell::default(),
            sleeps: Cell::default(),
            throttle: Throttle::new(GAP),
            durations: RefCell::default(),
            times: RefCell::default(),
            on_poll: RefCell::new(Box::new(on_poll)),
            creations: RefCell::default(),
            created: Cell::default(),
            tokens: RefCell::default(),
        }
    }

    pub(super) fn sleep(&self, duration: Duration) {
        self.sleeps.set(self.sleeps.get() + 1);
        assert!(self.sleeps.get() < 100_000, "it waits for ever");
        self.elapsed.set(self.elapsed.get() + duration);
    }

    /// Sleeps for the duration of a request, and returns its result, or a timeout at the deadline.
    fn respond<T>(&self, deadline: Instant, result: Result<T>) -> Result<T> {
        let timeout = deadline - self.now();
        let duration = self.durations.borrow_mut().pop_front().unwrap_or_default();
        self.sleep(duration.min(timeout));
        match duration > timeout {
            true => Err(transport(TransportErrorKind::Timeout)),
            false => result,
        }
    }

    fn receive<T>(&self, deadline: Instant, result: Result<T>) -> Result<T> {
        let (now, at) = (self.now(), self.elapsed.get());
        let times = (at.as_millis(), (deadline - now).as_millis());
        self.times.borrow_mut().push(times);
        self.throttle.record(now);
        let result = self.respond(deadline, result);
        if let Err(error) = &result {
            self.throttle.observe(error, self.now());
        }
        result
    }
}

impl Requests for Fake {
    fn ensure_token(&self, deadline: Instant) -> Result<()> {
        match self.tokens.borrow_mut().pop_front() {
            Some(result) => self
                .respond(deadline, result)
                .map_err(Error::of_token_request),
            None => Ok(()),
        }
    }

    fn poll(&self, task_id: u64, deadline: Instant) -> Result<Progress> {
        let result = (self.on_poll.borrow_mut())(task_id);
        self.receive(deadline, result)
    }

    fn create(&self, _: &NewTask, deadline: Instant) -> Result<u64> {
        let result = self.creations.borrow_mut().pop_front().unwrap_or_else(|| {
            self.created.set(self.created.get() + 1);
            Ok(self.created.get())
        });
        self.receive(deadline, result)
    }

    /// The client's time limit of a request.
    fn timeout(&self) -> Duration {
        30 * SECOND
    }

    fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    fn now(&self) -> Instant {
        self.start + self.elapsed.get()
    }

    fn sleep_until(&self, time: Instant) {
        self.sleep(time.saturating_duration_since(self.now()));
    }
}

pub(super) fn transport(kind: TransportErrorKind) -> Error {
    Error::transport(kind, "an error", Delivery::MaybeSent)
}
