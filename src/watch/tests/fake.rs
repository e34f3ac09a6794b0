//! A service in memory, with a clock that does not sleep.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::TransportErrorKind;
use crate::error::{Delivery, Error, Result, TransportError};
use crate::new_task::NewTask;
use crate::task::Progress;
use crate::throttle::Throttle;
use crate::watch::requests::Requests;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const GAP: Duration = Duration::from_millis(200);

/// A request as the service received it.
#[derive(Debug)]
pub(super) struct Received {
    /// The polled task; `None` for a creation.
    pub(super) task_id: Option<u64>,
    pub(super) at: Duration,
    /// Time until the deadline.
    pub(super) timeout: Duration,
    /// Time of the response, and its error.
    pub(super) end: Duration,
    pub(super) error: Option<Error>,
}

pub(super) struct Fake {
    pub(super) start: Instant,
    pub(super) elapsed: Cell<Duration>,
    sleeps: Cell<u32>,
    pub(super) throttle: Throttle,
    /// The time of the next call of another thread, which calls twice in a gap.
    pub(super) direct_call: Cell<Option<Duration>>,
    /// Durations of the first requests. The others take no time.
    pub(super) durations: RefCell<VecDeque<Duration>>,
    pub(super) received: RefCell<Vec<Received>>,
    on_poll: RefCell<Box<dyn FnMut(u64) -> Result<Progress>>>,
    /// Results of the first creations. Then tasks 1, 2 and so on are created.
    pub(super) creations: RefCell<VecDeque<Result<u64>>>,
    created: Cell<u64>,
    /// Results of the first token requests. Then there is a token.
    pub(super) tokens: RefCell<VecDeque<Result<()>>>,
}

impl Fake {
    pub(super) fn new(
        gap: Duration,
        on_poll: impl FnMut(u64) -> Result<Progress> + 'static,
    ) -> Self {
        Self {
            start: Instant::now(),
            elapsed: Cell::default(),
            sleeps: Cell::default(),
            throttle: Throttle::new(gap),
            direct_call: Cell::default(),
            durations: RefCell::default(),
            received: RefCell::default(),
            on_poll: RefCell::new(Box::new(on_poll)),
            creations: RefCell::default(),
            created: Cell::default(),
            tokens: RefCell::default(),
        }
    }

    pub(super) fn sleep(&self, duration: Duration) {
        self.sleeps.set(self.sleeps.get() + 1);
        assert!(self.sleeps.get() < 100_000, "it waits for ever");
        let to = self.elapsed.get() + duration;
        while let Some(call) = self.direct_call.get().filter(|call| *call <= to) {
            self.throttle.record(self.start + call);
            self.direct_call.set(Some(call + GAP / 2));
        }
        self.elapsed.set(to);
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

    fn receive<T>(&self, task_id: Option<u64>, deadline: Instant, result: Result<T>) -> Result<T> {
        let (now, at) = (self.now(), self.elapsed.get());
        self.throttle.record(now);
        let result = self.respond(deadline, result);
        if let Err(error) = &result {
            self.throttle.observe(error, self.now());
        }
        self.received.borrow_mut().push(Received {
            task_id,
            at,
            timeout: deadline - now,
            end: self.elapsed.get(),
            error: result.as_ref().err().cloned(),
        });
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
        self.receive(Some(task_id), deadline, result)
    }

    fn create(&self, _: &NewTask, deadline: Instant) -> Result<u64> {
        let result = self.creations.borrow_mut().pop_front().unwrap_or_else(|| {
            self.created.set(self.created.get() + 1);
            Ok(self.created.get())
        });
        self.receive(None, deadline, result)
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
    Error::Transport(TransportError::new(
        kind,
        "an error",
        Delivery::MaybeSent,
        None,
    ))
}
