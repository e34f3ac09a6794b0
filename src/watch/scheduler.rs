//! Polls tasks when they are due: a loop that sleeps and sends.

use std::time::{Duration, Instant};

use super::Update;
use super::consequence::{Consequence, consequence, pauses_too_long};
use super::policy::{
    ErrorStreak, FINAL_POLL_TIMEOUT, NextPoll, Outcome, PollPolicy, PollTiming, TimeLimit,
    next_poll,
};
use super::queue::{Queue, Task, TaskErrors, Turn};
use super::requests::{Clock, Requests};
use crate::error::Error;
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

#[derive(Debug)]
pub(crate) struct Scheduler<R, C> {
    pub(crate) requests: R,
    pub(crate) clock: C,
    pub(crate) policy: PollPolicy,
    /// Time limit from the first call of `next()` on.
    pub(crate) timeout: Option<Duration>,
    queue: Queue,
    /// Number of tasks that have had their end.
    pub(crate) finished: usize,
    /// The slot of the next poll, which is reserved once a task is due.
    slot: Option<Slot>,
    /// The error with which every open task ends.
    pub(crate) stopped_by: Option<Error>,
    started: Option<Instant>,
    polls: u32,
    /// Number of polls that returned a progress.
    pub(crate) successes: u64,
    final_poll_made: bool,
}

impl<R: Requests, C: Clock> Scheduler<R, C> {
    pub(crate) fn new(requests: R, clock: C) -> Self {
        Self {
            requests,
            clock,
            policy: PollPolicy::new(),
            timeout: None,
            queue: Queue::default(),
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
        self.queue.add(task_ids, self.clock.now());
    }

    /// Adds a task that is not followed yet, and is due now.
    pub(crate) fn add_new(&mut self, task_id: u64) {
        let now = self.clock.now();
        self.queue.insert(task_id, Task::default(), now);
    }

    /// Removes a task. Returns whether it was followed.
    pub(crate) fn remove(&mut self, task_id: u64) -> bool {
        let turn = self.queue.find(task_id);
        turn.is_some_and(|turn| self.queue.remove(turn).is_some())
    }

    pub(crate) fn pending(&self) -> usize {
        self.queue.len()
    }

    /// Returns the time of the next poll, or of the timeout if that comes first.
    pub(crate) fn next_time(&self) -> Option<Instant> {
        let turn = self.queue.first()?;
        let now = self.clock.now();
        if self.current_stop_error().is_some() {
            return Some(now);
        }
        let throttle = self.requests.throttle();
        let ready = self
            .slot
            .map_or_else(|| throttle.ready_at(now), |slot| slot.time);
        Some(self.next_poll(turn, now, ready).time())
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
            // The task stays in the queue while it is polled, so that a panic in a user's middleware does not lose it.
            let Some(turn) = self.queue.first() else {
                return Step::Finished;
            };
            if let Some(error) = self.stop_error() {
                return Step::Update(self.finish(turn, Err(error)));
            }
            let now = self.clock.now();
            let ready = self.ready(now);
            let next = self.next_poll(turn, now, ready);
            // A task that is due reserves a slot, whether or not the client is ready for its poll.
            let reserves = self.slot.is_none()
                && turn.due <= now
                && matches!(next, NextPoll::At { .. })
                && self.requests.throttle().pause(now).is_none();
            if !reserves {
                let time = next.time();
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
                Err(error) => self.on_error(turn, error),
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
        self.stopped_by = self.current_stop_error();
        self.stopped_by.clone()
    }

    fn current_stop_error(&self) -> Option<Error> {
        self.stopped_by.clone().or_else(|| {
            let pause = self.requests.throttle().pause(self.clock.now());
            pause.filter(pauses_too_long)
        })
    }

    /// Returns the time from which the client can send the next poll.
    fn ready(&mut self, now: Instant) -> Instant {
        let throttle = self.requests.throttle();
        match self.slot {
            Some(slot) => self.slot.insert(throttle.keep(slot, now)).time,
            None => throttle.ready_at(now),
        }
    }

    fn next_poll(&self, turn: Turn, now: Instant, ready: Instant) -> NextPoll {
        let throttle = self.requests.throttle();
        let task_polled = self.queue.get(turn).is_some_and(|task| task.is_polled);
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

    /// Returns the deadline of a request that begins now.
    pub(crate) fn request_deadline(&self, now: Instant, deadline: Option<Instant>) -> Instant {
        let own = later(now, self.requests.timeout());
        deadline.map_or(own, |deadline| deadline.min(own))
    }

    /// Polls a task in its slot. If none is reserved, requests a token if there is none, and reserves one; then there is
    /// no result, except an error of the token request.
    fn poll(&mut self, turn: Turn, deadline: Instant) -> Option<Result<Progress, Error>> {
        let result = match self.slot {
            None => match self.requests.ensure_token(deadline) {
                Ok(()) => {
                    let slot = self.requests.throttle().reserve(self.clock.now());
                    self.slot = Some(slot);
                    return None;
                }
                Err(error) => Err(error),
            },
            Some(_) => {
                self.slot = None;
                self.polls = self.polls.saturating_add(1);
                self.requests.poll(turn.task_id, deadline)
            }
        };
        self.queue.get_mut(turn)?.is_polled = true;
        Some(result)
    }

    fn on_progress(&mut self, turn: Turn, progress: Progress) -> Option<Update> {
        self.successes += 1;
        let task = self.queue.get_mut(turn)?;
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

    fn on_error(&mut self, turn: Turn, error: Error) -> Option<Update> {
        let now = self.clock.now();
        let consequence = consequence(&error);
        let task = self.queue.get_mut(turn)?;
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
            Consequence::EndAll => self.stopped_by = Some(error.clone()),
        }
        Some(self.finish(turn, Err(error)))
    }

    /// Schedules the next poll of a task: after its interval, or when the service demanded it.
    fn schedule(&mut self, turn: Turn, outcome: Outcome, retry_after: Duration) {
        if let Some(mut task) = self.queue.remove(turn) {
            task.interval = self.policy.next_interval(task.interval, outcome);
            let delay = task.interval.max(retry_after);
            let due = later(self.clock.now(), delay);
            self.queue.insert(turn.task_id, task, due);
        }
    }

    fn finish(&mut self, turn: Turn, result: Result<Progress, Error>) -> Update {
        self.queue.remove(turn);
        self.finished += 1;
        Update {
            task_id: turn.task_id,
            result,
        }
    }

    fn wait_timeout(&self, turn: Turn) -> Error {
        let now = self.clock.now();
        let task = self.queue.get(turn);
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
