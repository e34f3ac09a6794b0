//! Polls tasks when they are due: an ordered map of due times, and a loop that sleeps and sends.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use super::Update;
use super::consequence::{Consequence, consequence, pauses_too_long};
use super::policy::{
    ErrorStreak, FINAL_POLL_TIMEOUT, NextPoll, Outcome, PollPolicy, PollTiming, TimeLimit,
    next_poll,
};
use super::requests::{Clock, Requests};
use crate::error::Error;
use crate::retry::AttemptError;
use crate::task::Progress;
use crate::throttle::{Slot, later};

/// The result of a scheduler's work.
#[derive(Debug)]
pub(crate) enum Step {
    Update(Update),
    /// The time until which the caller wanted to wait has come.
    Woken,
    /// No task is left.
    Finished,
}

/// The place of a task in the order of polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    due: Instant,
    /// Of tasks that are due at the same time, the smaller number comes first.
    number: u64,
    task_id: u64,
}

/// A followed task.
#[derive(Debug)]
struct Task {
    /// The interval before the last poll.
    interval: Duration,
    progress: Option<Progress>,
    is_polled: bool,
    errors: Option<Box<TaskErrors>>,
}

/// The errors of a task since its last progress.
#[derive(Debug)]
struct TaskErrors {
    streak: ErrorStreak,
    last: Error,
}

#[derive(Debug)]
pub(crate) struct Scheduler<R, C> {
    pub(crate) requests: R,
    pub(crate) clock: C,
    pub(crate) policy: PollPolicy,
    /// Time limit from the first call of `next()` on.
    pub(crate) timeout: Option<Duration>,
    tasks: BTreeMap<Turn, Task>,
    next_number: u64,
    finished: usize,
    /// The slot of the next poll, which is reserved once a task is due.
    slot: Option<Slot>,
    /// The error with which every open task ends.
    stopped_by: Option<Error>,
    started: Option<Instant>,
    polls: u32,
    /// Number of polls that returned a progress.
    successes: u64,
    final_poll_made: bool,
}

impl<R: Requests, C: Clock> Scheduler<R, C> {
    pub(crate) fn new(requests: R, clock: C) -> Self {
        Self {
            requests,
            clock,
            policy: PollPolicy::new(),
            timeout: None,
            tasks: BTreeMap::new(),
            next_number: 0,
            finished: 0,
            slot: None,
            stopped_by: None,
            started: None,
            polls: 0,
            successes: 0,
            final_poll_made: false,
        }
    }

    /// Adds tasks that are due now, in this order. An id that is already followed is ignored. After an error that ended
    /// all tasks, this begins anew.
    pub(crate) fn add(&mut self, task_ids: &[u64]) {
        self.stopped_by = None;
        let mut new: HashSet<u64> = task_ids.iter().copied().collect();
        for turn in self.tasks.keys() {
            new.remove(&turn.task_id);
        }
        for task_id in task_ids {
            if new.remove(task_id) {
                self.add_new(*task_id);
            }
        }
    }

    /// Adds a task that is not followed yet, and is due now.
    pub(crate) fn add_new(&mut self, task_id: u64) {
        let task = Task {
            interval: Duration::ZERO,
            progress: None,
            is_polled: false,
            errors: None,
        };
        self.insert(self.clock.now(), task_id, task);
    }

    /// Removes a task. Returns whether it was followed.
    pub(crate) fn remove(&mut self, task_id: u64) -> bool {
        let turn = self.tasks.keys().find(|turn| turn.task_id == task_id);
        turn.copied()
            .is_some_and(|turn| self.tasks.remove(&turn).is_some())
    }

    fn insert(&mut self, due: Instant, task_id: u64, task: Task) {
        let turn = Turn {
            due,
            number: self.next_number,
            task_id,
        };
        self.tasks.insert(turn, task);
        self.next_number += 1;
    }

    pub(crate) fn pending(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn finished(&self) -> usize {
        self.finished
    }

    pub(crate) fn successes(&self) -> u64 {
        self.successes
    }

    /// Returns the time of the next poll, or of the timeout if that comes first.
    pub(crate) fn next_time(&self) -> Option<Instant> {
        let (turn, _) = self.tasks.first_key_value()?;
        let now = self.clock.now();
        if self.stopped_by.is_some() {
            return Some(now);
        }
        let throttle = self.requests.throttle();
        let ready = self
            .slot
            .map_or_else(|| throttle.ready_at(now), |slot| slot.time);
        let time = ready.max(turn.due);
        Some(self.deadline().map_or(time, |deadline| deadline.min(time)))
    }

    /// Ends every open task with this error.
    pub(crate) fn stop(&mut self, error: Error) {
        self.stopped_by = Some(error);
    }

    pub(crate) fn stopped_by(&self) -> Option<&Error> {
        self.stopped_by.as_ref()
    }

    /// Starts the timeout, if it has not started.
    pub(crate) fn start(&mut self) {
        let now = self.clock.now();
        self.started.get_or_insert(now);
    }

    /// Returns the end of the timeout, if it has started.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.started?.checked_add(self.timeout?)
    }

    /// Polls due tasks until there is an update, or until `wake`. A poll that is due is made even if `wake` has passed.
    pub(crate) fn next(&mut self, wake: Option<Instant>) -> Step {
        self.start();
        loop {
            // The task stays in the map while it is polled, so that a panic in a user's middleware does not lose it.
            let Some((&turn, _)) = self.tasks.first_key_value() else {
                return Step::Finished;
            };
            if let Some(error) = self.stop_error() {
                return Step::Update(self.finish(turn, Err(error)));
            }
            let now = self.clock.now();
            let next = self.next_poll(turn, now);
            if !self.is_slot_wanted(turn, next, now) {
                let (NextPoll::At { time, .. }
                | NextPoll::FinalAt(time)
                | NextPoll::TimedOutAt(time)) = next;
                if let Some(wake) = wake.filter(|wake| *wake < time && now < time) {
                    self.clock.sleep_until(wake);
                    return Step::Woken;
                }
                if now < time {
                    self.clock.sleep_until(time);
                    continue;
                }
            }
            let (deadline, is_final) = match next {
                NextPoll::At { deadline, .. } => (self.request_deadline(now, deadline), false),
                NextPoll::FinalAt(_) => (now + FINAL_POLL_TIMEOUT, true),
                NextPoll::TimedOutAt(_) => {
                    let error = self.wait_timeout(turn);
                    return Step::Update(self.finish(turn, Err(error)));
                }
            };
            let Some(result) = self.poll(turn, deadline) else {
                continue;
            };
            // A poll that lasted until the deadline was the last one.
            let is_late = self.deadline().is_some_and(|end| end <= self.clock.now());
            self.final_poll_made |= is_final || is_late;
            let update = match result {
                Ok(progress) => self.on_progress(turn, progress),
                Err(failed) => self.on_error(turn, failed),
            };
            if let Some(update) = update {
                return Step::Update(update);
            }
            if wake.is_some_and(|wake| wake <= self.clock.now()) {
                return Step::Woken;
            }
        }
    }

    /// Returns the error with which every open task ends. It may be that of another user of the client, if it demands
    /// too long a pause.
    pub(crate) fn stop_error(&mut self) -> Option<Error> {
        if self.stopped_by.is_none() {
            let pause = self.requests.throttle().pause(self.clock.now());
            self.stopped_by = pause.map(|pause| pause.error).filter(pauses_too_long);
        }
        self.stopped_by.clone()
    }

    fn next_poll(&mut self, turn: Turn, now: Instant) -> NextPoll {
        let throttle = self.requests.throttle();
        let ready = match self.slot {
            Some(slot) => self.slot.insert(throttle.keep(slot, now)).time,
            None => throttle.ready_at(now),
        };
        let task_polled = self.tasks.get(&turn).is_some_and(|task| task.is_polled);
        let limit = self.deadline().map(|deadline| TimeLimit {
            deadline,
            is_zero: self.timeout.is_some_and(|timeout| timeout.is_zero()),
            any_polled: self.polls > 0 || task_polled,
            task_polled,
            final_poll_made: self.final_poll_made,
            is_paused: throttle.pause(now).is_some(),
        });
        next_poll(PollTiming {
            now,
            due: turn.due,
            ready,
            limit,
        })
    }

    /// Returns whether it is time to reserve a slot: the task is due, although the client may not be ready for it.
    fn is_slot_wanted(&self, turn: Turn, next: NextPoll, now: Instant) -> bool {
        let is_paused = || self.requests.throttle().pause(now).is_some();
        match next {
            NextPoll::At { .. } => self.slot.is_none() && turn.due <= now && !is_paused(),
            NextPoll::FinalAt(_) | NextPoll::TimedOutAt(_) => false,
        }
    }

    /// Returns the deadline of a request that begins now.
    pub(crate) fn request_deadline(&self, now: Instant, deadline: Option<Instant>) -> Instant {
        let own = later(now, self.requests.timeout());
        deadline.map_or(own, |deadline| deadline.min(own))
    }

    /// Polls a task in its slot. If none is reserved, requests a token if there is none, and reserves one; then there is
    /// no result, except an error of the token request.
    fn poll(&mut self, turn: Turn, deadline: Instant) -> Option<Result<Progress, AttemptError>> {
        let result = match self.slot {
            None => match self.requests.ensure_token(deadline) {
                Ok(()) => {
                    let slot = self.requests.throttle().reserve(self.clock.now());
                    self.slot = Some(slot);
                    return None;
                }
                Err(failed) => Err(failed),
            },
            Some(_) => {
                self.slot = None;
                self.polls = self.polls.saturating_add(1);
                self.requests.poll(turn.task_id, deadline)
            }
        };
        self.tasks.get_mut(&turn)?.is_polled = true;
        Some(result)
    }

    fn on_progress(&mut self, turn: Turn, progress: Progress) -> Option<Update> {
        self.successes += 1;
        let task = self.tasks.get_mut(&turn)?;
        task.errors = None;
        let changed = task.progress.replace(progress) != Some(progress);
        if progress.status.is_terminal() {
            return Some(self.finish(turn, Ok(progress)));
        }
        if !changed {
            self.schedule(turn, Outcome::Unchanged, Duration::ZERO);
            return None;
        }
        self.schedule(turn, Outcome::Changed, Duration::ZERO);
        Some(Update {
            task_id: turn.task_id,
            result: Ok(progress),
        })
    }

    fn on_error(&mut self, turn: Turn, failed: AttemptError) -> Option<Update> {
        let now = self.clock.now();
        let consequence = consequence(&failed);
        let error = failed.error;
        let task = self.tasks.get_mut(&turn)?;
        let mut streak = task
            .errors
            .as_ref()
            .map_or_else(ErrorStreak::default, |errors| errors.streak);
        streak.add(now);
        match consequence {
            Consequence::BackOff if !self.policy.is_exhausted(streak, now) => {
                let retry_after = error.retry_after().unwrap_or_default();
                let last = error;
                task.errors = Some(Box::new(TaskErrors { streak, last }));
                self.schedule(turn, Outcome::Error, retry_after);
                return None;
            }
            Consequence::BackOff | Consequence::EndTask => {}
            Consequence::EndAll => self.stop(error.clone()),
        }
        Some(self.finish(turn, Err(error)))
    }

    /// Schedules the next poll of a task: after its interval, or when the service demanded it.
    fn schedule(&mut self, turn: Turn, outcome: Outcome, retry_after: Duration) {
        if let Some(mut task) = self.tasks.remove(&turn) {
            task.interval = self.policy.next_interval(task.interval, outcome);
            let delay = task.interval.max(retry_after);
            let due = later(self.clock.now(), delay);
            self.insert(due, turn.task_id, task);
        }
    }

    fn finish(&mut self, turn: Turn, result: Result<Progress, Error>) -> Update {
        self.tasks.remove(&turn);
        self.finished += 1;
        Update {
            task_id: turn.task_id,
            result,
        }
    }

    fn wait_timeout(&self, turn: Turn) -> Error {
        let now = self.clock.now();
        let task = self.tasks.get(&turn);
        let errors = task.and_then(|task| task.errors.as_ref());
        Error::WaitTimeout {
            task_id: turn.task_id,
            last: task.and_then(|task| task.progress),
            elapsed: now.saturating_duration_since(self.started.unwrap_or(now)),
            polls: self.polls,
            cause: errors.map(|errors| Box::new(errors.last.clone())),
        }
    }
}
