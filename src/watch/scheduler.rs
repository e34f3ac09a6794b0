//! Polls and creates tasks when they are due: a loop that sleeps and sends.

mod creation;
mod step;

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use self::creation::{Creations, panicked, timed_out};
use self::step::Action;
use super::consequence::{Consequence, consequence, pauses_too_long};
use super::event::{MigrationEvent, NextTimeoutError, Update};
use super::policy::{ErrorStreak, MIN_ERROR_INTERVAL, PollPolicy};
use super::requests::Requests;
use crate::error::Error;
use crate::new_task::NewTask;
use crate::task::Progress;
use crate::throttle::{Slot, later};

#[derive(Default)]
struct Task {
    id: u64,
    /// The interval before the last poll.
    interval: Duration,
    progress: Option<Progress>,
    /// The errors since the last progress, and the last of them.
    errors: Option<Box<(ErrorStreak, Error)>>,
}

/// The state of a watch or migration. A watch has no input.
pub(crate) struct Scheduler<R, I> {
    pub(super) requests: R,
    /// The remaining input of new tasks; `None` at its end.
    input: Option<I>,
    pub(crate) taken: usize,
    pub(crate) policy: PollPolicy,
    pub(crate) timeout: Option<Duration>,
    pub(crate) create_gap: Duration,
    pub(crate) follows: bool,
    creations: Creations,
    /// The followed tasks by the time at which they are due; at the same time, by a running number.
    tasks: BTreeMap<(Instant, u64), Task>,
    next_number: u64,
    pub(crate) finished: usize,
    /// The slot of the next request, which is reserved once one is due.
    slot: Option<Slot>,
    /// The error with which every open task ends.
    pub(crate) stopped_by: Option<Error>,
    started: Option<Instant>,
    polls: u32,
    /// The end of the last poll.
    last_poll: Option<Instant>,
}

impl<R: Requests, I> Scheduler<R, I> {
    pub(crate) fn new(requests: R, input: Option<I>) -> Self {
        Self {
            requests,
            input,
            taken: 0,
            policy: PollPolicy::new(),
            timeout: None,
            create_gap: Duration::from_secs(1),
            follows: true,
            creations: Creations::default(),
            tasks: BTreeMap::new(),
            next_number: 0,
            finished: 0,
            slot: None,
            stopped_by: None,
            started: None,
            polls: 0,
            last_poll: None,
        }
    }

    /// Adds tasks that are due now, in this order. An id that is already followed is ignored. After an error that ended
    /// all tasks, this begins anew.
    pub(crate) fn add(&mut self, task_ids: impl IntoIterator<Item = u64>) {
        self.stopped_by = None;
        let mut followed: HashSet<u64> = self.tasks.values().map(|task| task.id).collect();
        for task_id in task_ids {
            if followed.insert(task_id) {
                self.add_new(task_id);
            }
        }
    }

    fn add_new(&mut self, id: u64) {
        let task = Task {
            id,
            ..Task::default()
        };
        self.insert(task, self.requests.now());
    }

    fn insert(&mut self, task: Task, due: Instant) {
        self.tasks.insert((due, self.next_number), task);
        self.next_number += 1;
    }

    pub(crate) fn remove(&mut self, task_id: u64) -> bool {
        let before = self.pending();
        self.tasks.retain(|_, task| task.id != task_id);
        self.pending() < before
    }

    pub(crate) fn pending(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn next_due(&self) -> Option<Duration> {
        let now = self.requests.now();
        let step = self.next_step(now)?;
        let time = self.stop_error(now).map_or(step.time, |_| now);
        Some(time - now)
    }

    /// Ends the creations and then the tasks after an error that ended everything, and the creations at the deadline.
    fn stop(&mut self, now: Instant) -> Option<MigrationEvent> {
        if let Some(index) = self.creations.sending.take() {
            let error = panicked();
            return Some(MigrationEvent::NotCreated { index, error });
        }
        let is_open = self.pending() > 0 || self.creations.current.is_some();
        if is_open || self.input.is_some() {
            self.stopped_by = self.stop_error(now);
        }
        let is_late = self.is_once() || self.deadline().is_some_and(|end| end <= now);
        if (self.stopped_by.is_some() || is_late)
            && let Some(index) = self.stop_creating()
        {
            let error = self.stopped_by.clone().unwrap_or_else(timed_out);
            return Some(MigrationEvent::NotCreated { index, error });
        }
        let error = self.stopped_by.clone()?;
        let (_, task) = self.tasks.pop_first()?;
        Some(self.end(task.id, Err(error)))
    }

    /// Returns the error with which every open task ends. It may be that of another user of the client, if it demands
    /// too long a pause.
    fn stop_error(&self, now: Instant) -> Option<Error> {
        self.stopped_by.clone().or_else(|| {
            let pause = self.requests.throttle().pause(now);
            pause.filter(pauses_too_long)
        })
    }

    /// Polls the first task. It stays in its place meanwhile, so that a panic in a user's middleware does not lose it.
    fn poll(&mut self, deadline: Instant) -> Option<MigrationEvent> {
        let (_, task) = self.tasks.first_key_value()?;
        self.polls = self.polls.saturating_add(1);
        let result = self.requests.poll(task.id, deadline);
        self.on_polled(result)
    }

    fn on_polled(&mut self, result: Result<Progress, Error>) -> Option<MigrationEvent> {
        let now = self.requests.now();
        self.last_poll = Some(now);
        self.creations.was_last = false;
        let (_, mut task) = self.tasks.pop_first()?;
        let id = task.id;
        let last = task.progress;
        let delay = match &result {
            Ok(progress) => {
                self.creations.doubt_until = None;
                task.errors = None;
                task.progress = Some(*progress);
                task.interval = match task.progress == last {
                    true => self.policy.next_interval(task.interval, Duration::ZERO),
                    false => self.policy.initial_interval,
                };
                (!progress.status.is_terminal()).then_some(task.interval)
            }
            Err(error) => {
                let mut streak = task.errors.map(|errors| errors.0).unwrap_or_default();
                streak.add(now);
                task.errors = Some(Box::new((streak, error.clone())));
                task.interval = self.policy.next_interval(task.interval, MIN_ERROR_INTERVAL);
                let consequence = consequence(error);
                if consequence == Consequence::EndAll {
                    self.stopped_by = Some(error.clone());
                }
                let delay = task.interval.max(error.retry_after().unwrap_or_default());
                let continues = consequence == Consequence::BackOff;
                (continues && !self.policy.is_exhausted(streak, now)).then_some(delay)
            }
        };
        let Some(delay) = delay else {
            return Some(self.end(id, result));
        };
        let has_changed = task.progress != last;
        self.insert(task, later(now, delay));
        has_changed.then(|| self.update(id, result))
    }

    fn time_out(&mut self, now: Instant) -> Option<MigrationEvent> {
        let (_, task) = self.tasks.pop_first()?;
        let error = Error::WaitTimeout {
            task_id: task.id,
            last: task.progress,
            elapsed: now.saturating_duration_since(self.started.unwrap_or(now)),
            polls: self.polls,
            cause: task.errors.map(|errors| Box::new(errors.1)),
        };
        Some(self.end(task.id, Err(error)))
    }

    fn end(&mut self, task_id: u64, result: Result<Progress, Error>) -> MigrationEvent {
        self.finished += 1;
        self.update(task_id, result)
    }

    fn update(&self, task_id: u64, result: Result<Progress, Error>) -> MigrationEvent {
        MigrationEvent::Update {
            index: self.creations.indexes.get(&task_id).copied().flatten(),
            update: Update { task_id, result },
        }
    }
}

impl<R: Requests, I: Iterator<Item: Into<NewTask>>> Scheduler<R, I> {
    /// Returns the next event. Waits for at most `timeout`; a request that is due is made even if that is zero.
    pub(crate) fn next(
        &mut self,
        timeout: Option<Duration>,
    ) -> Result<MigrationEvent, NextTimeoutError> {
        let now = self.requests.now();
        self.started.get_or_insert(now);
        let wake = timeout.and_then(|timeout| now.checked_add(timeout));
        loop {
            let now = self.requests.now();
            if let Some(event) = self.stop(now) {
                return Ok(event);
            }
            if self.creations.current.is_none() && self.input.is_some() {
                match self.take_input() {
                    Some(event) => return Ok(event),
                    None => continue,
                }
            }
            let throttle = self.requests.throttle();
            self.slot = self.slot.map(|slot| throttle.keep(slot, now));
            let Some(step) = self.next_step(now) else {
                return Err(NextTimeoutError::Finished);
            };
            // A request that is due reserves a slot, whether or not the client is ready for it.
            let reserves = step.is_due && self.slot.is_none() && throttle.pause(now).is_none();
            if now < step.time && !reserves {
                let until = wake.map_or(step.time, |wake| wake.min(step.time));
                self.requests.sleep_until(until);
                if until < step.time {
                    return Err(NextTimeoutError::Timeout);
                }
                continue;
            }
            let deadline = self.request_deadline(now);
            let event = match (step.action, self.slot.take()) {
                (Action::TimeOut, _) => self.time_out(now),
                (Action::Poll, Some(_)) => self.poll(deadline),
                (Action::Create, Some(slot)) => self.create(slot, deadline),
                (action, None) => match self.requests.ensure_token(deadline) {
                    Ok(()) => {
                        // After the token request, which may take longer than a slot.
                        let now = self.requests.now();
                        self.slot = Some(self.requests.throttle().reserve(now));
                        continue;
                    }
                    Err(error) if action == Action::Poll => self.on_polled(Err(error)),
                    Err(error) => self.create_without_token(error),
                },
            };
            if let Some(event) = event {
                return Ok(event);
            }
            if wake.is_some_and(|wake| wake <= self.requests.now()) {
                return Err(NextTimeoutError::Timeout);
            }
        }
    }
}
