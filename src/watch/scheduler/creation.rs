//! The creations of a migration: takes tasks from the input, and creates each in its turn.

use std::collections::hash_map::{Entry, HashMap};
use std::mem;
use std::time::{Duration, Instant};

use super::Scheduler;
use crate::error::{Delivery, Error, TransportErrorKind};
use crate::new_task::NewTask;
use crate::throttle::{Slot, later};
use crate::watch::consequence::{Consequence, consequence};
use crate::watch::event::MigrationEvent;
use crate::watch::policy::ErrorStreak;
use crate::watch::requests::Requests;

/// The first delay before a task is created again; it doubles with each further error.
const MIN_CREATE_DELAY: Duration = Duration::from_secs(1);
const MAX_CREATE_DELAY: Duration = Duration::from_secs(60);

/// The first delay after an error that may have created a task, if there is no task to poll; it doubles, too.
const MIN_DOUBT_DELAY: Duration = Duration::from_secs(20);
const MAX_DOUBT_DELAY: Duration = Duration::from_secs(5 * 60);

#[derive(Default)]
pub(super) struct Creations {
    /// The task that was taken last and is not created yet, and its position.
    pub(super) current: Option<(usize, NewTask)>,
    /// Whether `Creating` was returned for it.
    is_announced: bool,
    /// The position of a task whose request was sent and has not returned: it panicked, in a user's middleware.
    pub(super) sending: Option<usize>,
    not_before: Option<Instant>,
    errors: ErrorStreak,
    /// Number of errors in a row that may have created a task.
    doubts: u32,
    /// After such an error, until a poll has succeeded: the end of the wait if there is no task to poll. The service may
    /// be failing.
    pub(super) doubt_until: Option<Instant>,
    /// Whether the last request was a creation.
    pub(super) was_last: bool,
    /// Each id that was followed, with the first position of a task that got it.
    pub(super) indexes: HashMap<u64, Option<usize>>,
}

impl<R: Requests, I> Scheduler<R, I> {
    /// Adds tasks, unless they were followed before.
    pub(crate) fn also_watch(&mut self, task_ids: impl IntoIterator<Item = u64>) {
        for task_id in task_ids {
            self.follow(task_id, None);
        }
    }

    fn follow(&mut self, task_id: u64, index: Option<usize>) {
        match self.creations.indexes.entry(task_id) {
            Entry::Vacant(entry) => {
                entry.insert(index);
                self.add_new(task_id);
            }
            Entry::Occupied(mut entry) => {
                let first = entry.get().or(index);
                entry.insert(first);
            }
        }
    }

    /// Drops the remaining input and the current task. Returns its position.
    pub(crate) fn stop_creating(&mut self) -> Option<usize> {
        self.input = None;
        self.creations.current.take().map(|(index, _)| index)
    }

    /// Returns the time of the next creation, if there is one and it does not have to wait for a poll.
    pub(super) fn creation_due(&self, now: Instant) -> Option<Instant> {
        self.creations.current.as_ref()?;
        let not_before = self.creations.not_before.unwrap_or(now);
        match self.creations.doubt_until {
            Some(_) if self.pending() > 0 => None,
            Some(end) => Some(end.max(not_before)),
            None => Some(not_before),
        }
    }

    /// Announces the current task, or sends its request if that was done.
    pub(super) fn create(&mut self, slot: Slot, deadline: Instant) -> Option<MigrationEvent> {
        if !mem::replace(&mut self.creations.is_announced, true) {
            self.slot = Some(slot);
            let (index, task) = self.creations.current.clone()?;
            return Some(MigrationEvent::Creating { index, task });
        }
        let (index, task) = self.begin_creation()?;
        self.creations.sending = Some(index);
        let result = self.requests.create(&task, deadline);
        self.creations.sending = None;
        match result {
            Ok(task_id) => {
                self.clear_errors();
                if self.follows {
                    self.follow(task_id, Some(index));
                }
                Some(MigrationEvent::Created { index, task_id })
            }
            Err(error) => Some(self.on_not_created(index, task, error)),
        }
    }

    /// Handles an error of the token request before a creation.
    pub(super) fn create_without_token(&mut self, error: Error) -> Option<MigrationEvent> {
        let (index, task) = self.begin_creation()?;
        Some(self.on_not_created(index, task, error))
    }

    /// Takes the current task, so that it is not created twice.
    fn begin_creation(&mut self) -> Option<(usize, NewTask)> {
        let creations = &mut self.creations;
        creations.is_announced = false;
        creations.was_last = true;
        creations.not_before = Some(later(self.requests.now(), self.create_gap));
        creations.current.take()
    }

    fn on_not_created(&mut self, index: usize, task: NewTask, error: Error) -> MigrationEvent {
        let now = self.requests.now();
        let creations = &mut self.creations;
        match consequence(&error) {
            Consequence::EndAll => self.stopped_by = Some(error.clone()),
            _ if error.may_have_taken_effect() => {
                creations.doubts = creations.doubts.saturating_add(1);
                let delay = doubling(MIN_DOUBT_DELAY, creations.doubts, MAX_DOUBT_DELAY);
                creations.doubt_until = Some(later(now, delay));
            }
            Consequence::EndTask => self.clear_errors(),
            // Also after the last error of a task: a failing server does not receive the whole list at once.
            Consequence::BackOff => {
                creations.errors.add(now);
                let delay = doubling(MIN_CREATE_DELAY, creations.errors.count, MAX_CREATE_DELAY);
                let time = later(now, delay.max(error.retry_after().unwrap_or_default()));
                let time = time.max(creations.not_before.unwrap_or(now));
                creations.not_before = Some(time);
                if !self.policy.is_exhausted(creations.errors, now) {
                    creations.current = Some((index, task));
                    return MigrationEvent::Delayed {
                        index,
                        error,
                        delay: time - now,
                    };
                }
            }
        }
        MigrationEvent::NotCreated { index, error }
    }

    fn clear_errors(&mut self) {
        self.creations.errors = ErrorStreak::default();
        self.creations.doubts = 0;
        self.creations.doubt_until = None;
    }
}

impl<R: Requests, I: Iterator<Item: Into<NewTask>>> Scheduler<R, I> {
    pub(super) fn take_input(&mut self) -> Option<MigrationEvent> {
        let Some(task) = self.input.as_mut().and_then(Iterator::next) else {
            self.input = None;
            return None;
        };
        let (index, task) = (self.taken, task.into());
        self.taken += 1;
        if let Err(error) = task.validate() {
            return Some(MigrationEvent::NotCreated { index, error });
        }
        self.creations.current = Some((index, task));
        None
    }
}

fn doubling(min: Duration, errors: u32, max: Duration) -> Duration {
    let factor = 2_u32.saturating_pow(errors.saturating_sub(1));
    min.saturating_mul(factor).min(max)
}

pub(super) fn panicked() -> Error {
    let message = "the request that creates the task panicked";
    Error::transport(TransportErrorKind::Other, message, Delivery::MaybeCreated)
}

pub(super) fn timed_out() -> Error {
    let message = "the timeout of the migration elapsed before the task was created";
    Error::transport(TransportErrorKind::Timeout, message, Delivery::NotSent)
}
