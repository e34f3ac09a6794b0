//! The loop of a migration: takes tasks from the input, creates each in its turn, and polls in between.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::time::{Duration, Instant};

use super::MigrationEvent;
use super::creation::{self, CreationState, CurrentTask, Doubt};
use crate::error::Error;
use crate::new_task::NewTask;
use crate::throttle::{Slot, later};
use crate::watch::NextTimeoutError;
use crate::watch::consequence::{Consequence, consequence};
use crate::watch::policy::ErrorStreak;
use crate::watch::requests::{Clock, Requests};
use crate::watch::scheduler::{Scheduler, Step};

const DEFAULT_CREATE_GAP: Duration = Duration::from_secs(1);

pub(super) struct Engine<I, R, C> {
    pub(super) scheduler: Scheduler<R, C>,
    /// Whether created tasks are followed.
    pub(super) follows: bool,
    pub(super) create_gap: Duration,
    /// The remaining input; `None` at its end.
    input: Option<I>,
    /// Number of tasks that were taken from the input.
    pub(super) taken: usize,
    /// A task that is taken from the input, but not created yet.
    current: Option<CurrentTask>,
    /// The earliest time of the next creation.
    not_before: Option<Instant>,
    doubt: Option<Doubt>,
    /// The slot of the next creation, which is reserved at that time.
    slot: Option<Slot>,
    /// Whether a poll that is due goes before the next creation: once after each.
    is_polls_turn: bool,
    errors: ErrorStreak,
    /// Each id that was followed, with the first position of a task that got it.
    indexes: HashMap<u64, Option<usize>>,
}

impl<I, R, C> Engine<I, R, C>
where
    I: Iterator<Item: Into<NewTask>>,
    R: Requests,
    C: Clock,
{
    pub(super) fn new(scheduler: Scheduler<R, C>, input: I) -> Self {
        Self {
            scheduler,
            follows: true,
            create_gap: DEFAULT_CREATE_GAP,
            input: Some(input),
            taken: 0,
            current: None,
            not_before: None,
            doubt: None,
            slot: None,
            is_polls_turn: false,
            errors: ErrorStreak::default(),
            indexes: HashMap::new(),
        }
    }

    pub(super) fn also_watch(&mut self, task_ids: &[u64]) {
        self.indexes.extend(task_ids.iter().map(|id| (*id, None)));
        self.scheduler.add(task_ids);
    }

    pub(super) fn stop_creating(&mut self) {
        self.input = None;
        self.current
            .take_if(|current| current.state != CreationState::Sending);
    }

    /// Returns the next event. Waits until `wake`; a request that is due is made even if that has passed.
    pub(super) fn next(
        &mut self,
        wake: Option<Instant>,
    ) -> Result<MigrationEvent, NextTimeoutError> {
        self.scheduler.start();
        loop {
            if let Some(event) = self.stop_if_ended().or_else(|| self.take_input()) {
                return Ok(event);
            }
            let now = self.scheduler.clock.now();
            let is_polls_turn = mem::take(&mut self.is_polls_turn);
            let creation = match is_polls_turn {
                true => Some(now),
                false => self.creation_time(now),
            };
            if !is_polls_turn && creation.is_some_and(|time| time <= now) {
                match self.create() {
                    Some(event) => return Ok(event),
                    None => continue,
                }
            }
            // In doubt the scheduler stops after each poll, as a success ends it.
            let next_poll = match creation {
                None if self.current.is_some() => self.scheduler.next_time(),
                _ => None,
            };
            let until = [creation, next_poll, wake].into_iter().flatten().min();
            match self.scheduler.next(until) {
                Step::Update(update) => {
                    let index = self.indexes.get(&update.task_id).copied().flatten();
                    return Ok(MigrationEvent::Update { index, update });
                }
                Step::Woken => {}
                Step::Finished if creation.is_none() => return Err(NextTimeoutError::Finished),
                Step::Finished => {
                    let times = [until, self.scheduler.deadline()];
                    if let Some(time) = times.into_iter().flatten().min() {
                        self.scheduler.clock.sleep_until(time);
                    }
                }
            }
            let now = self.scheduler.clock.now();
            let is_creation_due = creation.is_some_and(|time| time <= now);
            if wake.is_some_and(|wake| wake <= now) && !is_creation_due {
                return Err(NextTimeoutError::Timeout);
            }
        }
    }

    /// Stops creating after an error that ended everything, or after the timeout.
    fn stop_if_ended(&mut self) -> Option<MigrationEvent> {
        let deadline = self.scheduler.deadline();
        let is_late = deadline.is_some_and(|deadline| deadline <= self.scheduler.clock.now());
        let error = match self.scheduler.stop_error() {
            None if is_late => creation::timed_out(),
            error => error?,
        };
        self.input = None;
        let is_unsent = |current: &mut CurrentTask| current.state != CreationState::Sending;
        let index = self.current.take_if(is_unsent)?.index;
        Some(MigrationEvent::NotCreated { index, error })
    }

    /// Takes the next task from the input, if there is no current one. An invalid task is not created.
    fn take_input(&mut self) -> Option<MigrationEvent> {
        let is_sending = |current: &mut CurrentTask| current.state == CreationState::Sending;
        if let Some(CurrentTask { index, .. }) = self.current.take_if(is_sending) {
            let error = creation::panicked();
            return Some(MigrationEvent::NotCreated { index, error });
        }
        if self.current.is_some() {
            return None;
        }
        let Some(task) = self.input.as_mut().and_then(Iterator::next) else {
            self.input = None;
            return None;
        };
        let task: NewTask = task.into();
        let index = self.taken;
        self.taken += 1;
        if let Err(error) = task.validate() {
            return Some(MigrationEvent::NotCreated { index, error });
        }
        self.current = Some(CurrentTask {
            index,
            task,
            state: CreationState::Waiting,
        });
        None
    }

    /// Returns the time of the next creation, if there is one and it does not have to wait for a poll. Reserves its slot
    /// when it is due.
    fn creation_time(&mut self, now: Instant) -> Option<Instant> {
        self.current.as_ref()?;
        let mut earliest = self.not_before.unwrap_or(now);
        if let Some(doubt) = self.doubt {
            let (pending, successes) = (self.scheduler.pending(), self.scheduler.successes);
            earliest = earliest.max(doubt.earliest(pending, successes, now)?);
        }
        if earliest > now {
            return Some(earliest);
        }
        let throttle = self.scheduler.requests.throttle();
        let slot = match self.slot {
            Some(slot) => throttle.keep(slot, now),
            None => throttle.reserve(now),
        };
        Some(self.slot.insert(slot).time)
    }

    /// Announces the current task, or sends its request if that was done and its slot has come.
    fn create(&mut self) -> Option<MigrationEvent> {
        let now = self.scheduler.clock.now();
        let requests = &self.scheduler.requests;
        let current = self.current.as_mut()?;
        let index = current.index;
        let task = current.task.clone();
        if current.state == CreationState::Waiting {
            current.state = CreationState::Announced;
            return Some(MigrationEvent::Creating { index, task });
        }
        let deadline = |now| {
            self.scheduler
                .request_deadline(now, self.scheduler.deadline())
        };
        let ensured = requests.ensure_token(deadline(now));
        let now = self.scheduler.clock.now();
        let deadline = deadline(now);
        if ensured.is_ok() {
            // A token request may have taken longer than the slot.
            let slot = requests.throttle().keep(self.slot?, now);
            if slot.time > now {
                self.slot = Some(slot);
                return None;
            }
        }
        self.slot = None;
        self.is_polls_turn = true;
        self.not_before = Some(later(now, self.create_gap));
        current.state = CreationState::Sending;
        let result = ensured.and_then(|()| requests.create(&task, deadline));
        let current = self.current.take()?;
        match result {
            Ok(task_id) => {
                self.errors = ErrorStreak::default();
                self.doubt = None;
                if self.follows {
                    self.follow(task_id, index);
                }
                Some(MigrationEvent::Created { index, task_id })
            }
            Err(error) => Some(self.on_error(current, error)),
        }
    }

    /// Follows a created task, unless it had this id before.
    fn follow(&mut self, task_id: u64, index: usize) {
        match self.indexes.entry(task_id) {
            Entry::Vacant(entry) => {
                entry.insert(Some(index));
                self.scheduler.add_new(task_id);
            }
            Entry::Occupied(mut entry) => {
                entry.get_mut().get_or_insert(index);
            }
        }
    }

    fn on_error(&mut self, mut current: CurrentTask, error: Error) -> MigrationEvent {
        let index = current.index;
        let now = self.scheduler.clock.now();
        match consequence(&error) {
            Consequence::EndAll => {
                self.scheduler.stopped_by = Some(error.clone());
                self.input = None;
            }
            _ if error.may_have_taken_effect() => {
                let successes = self.scheduler.successes;
                self.doubt = Some(Doubt::after(self.doubt, successes, now));
            }
            Consequence::EndTask => {
                self.errors = ErrorStreak::default();
                self.doubt = None;
            }
            // Also after the last error of a task: a failing server does not receive the whole list at once.
            Consequence::BackOff => {
                self.errors.add(now);
                let retry_after = error.retry_after().unwrap_or_default();
                let delay = creation::backoff(self.errors.count).max(retry_after);
                let time = self.not_before.unwrap_or(now).max(later(now, delay));
                self.not_before = Some(time);
                if !self.scheduler.policy.is_exhausted(self.errors, now) {
                    current.state = CreationState::Waiting;
                    self.current = Some(current);
                    return MigrationEvent::Delayed {
                        index,
                        error,
                        delay: time.saturating_duration_since(now),
                    };
                }
            }
        }
        MigrationEvent::NotCreated { index, error }
    }
}

#[cfg(test)]
mod tests;
