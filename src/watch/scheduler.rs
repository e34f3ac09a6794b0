//! Polls tasks when they are due: a heap of due times, and a loop that sleeps and sends.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::time::Duration;

use super::Update;
use super::clock::Clock;
use super::error_interner::ErrorInterner;
use super::followed_task::{FollowedTask, distinct, nanoseconds, remove_followed};
use super::policy::{
    ErrorAction, FINAL_POLL_TIMEOUT, MAX_RETRY_AFTER, NextPoll, PollPolicy, PollTiming, TimeLimit,
    classify, next_poll,
};
use super::requests::Requests;
use crate::error::Error;
use crate::retry::{self, AttemptError, Attempts, Idempotency, Retry};
use crate::session::RequestOptions;
use crate::task::Progress;

/// The result of a scheduler's work.
#[derive(Debug)]
pub(crate) enum Step {
    Update(Update),
    /// The time until which the caller wanted to wait has come.
    Woken,
    /// No task is left.
    Finished,
}

/// The due time of a task in nanoseconds, and its slot: of tasks that are due at the same time, the first comes first.
type Due = Reverse<(u64, u32)>;

#[derive(Debug)]
pub(crate) struct Scheduler<R, C> {
    pub(crate) requests: R,
    pub(crate) clock: C,
    pub(crate) policy: PollPolicy,
    /// Time limit from the first call of `next()` on.
    pub(crate) timeout: Option<Duration>,
    tasks: Vec<FollowedTask>,
    free_slots: Vec<u32>,
    queue: BinaryHeap<Due>,
    finished: usize,
    errors: ErrorInterner,
    /// The error with which every open task ends.
    end: Option<Error>,
    started: Option<Duration>,
    polls: u32,
    final_poll_made: bool,
}

impl<R: Requests, C: Clock> Scheduler<R, C> {
    /// Schedules tasks, all due at once, in the given order. A duplicate id is ignored.
    pub(crate) fn new(requests: R, clock: C, task_ids: Vec<u64>) -> Self {
        let tasks = distinct(task_ids);
        let queue: Vec<Due> = (0..tasks.len())
            .map(|slot| Reverse((0, slot as u32)))
            .collect();
        Self {
            requests,
            clock,
            policy: PollPolicy::new(),
            timeout: None,
            tasks,
            free_slots: Vec::new(),
            queue: queue.into(),
            finished: 0,
            errors: ErrorInterner::default(),
            end: None,
            started: None,
            polls: 0,
            final_poll_made: false,
        }
    }

    /// Adds tasks that are due now. An id that is already followed is ignored.
    pub(crate) fn add(&mut self, task_ids: impl IntoIterator<Item = u64>) {
        self.end = None;
        let mut new = distinct(task_ids.into_iter().collect());
        let slots = self.queue.iter().map(|Reverse((_, slot))| *slot as usize);
        remove_followed(&mut new, slots.map(|slot| self.tasks[slot].id));
        new.into_iter().for_each(|task| self.insert(task));
    }

    /// Adds a task that is not followed yet, and is due now.
    pub(crate) fn add_new(&mut self, task_id: u64) {
        self.insert(FollowedTask::new(task_id));
    }

    fn insert(&mut self, task: FollowedTask) {
        let slot = match self.free_slots.pop() {
            Some(slot) => {
                self.tasks[slot as usize] = task;
                slot
            }
            None => {
                self.tasks.push(task);
                (self.tasks.len() - 1) as u32
            }
        };
        self.queue
            .push(Reverse((nanoseconds(self.clock.now()), slot)));
    }

    /// Forgets a task. Returns whether it was followed.
    pub(crate) fn remove(&mut self, task_id: u64) -> bool {
        let removed = self
            .queue
            .iter()
            .map(|Reverse((_, slot))| *slot)
            .find(|slot| self.tasks[*slot as usize].id == task_id);
        let Some(slot) = removed else {
            return false;
        };
        self.queue.retain(|Reverse((_, other))| *other != slot);
        self.errors.take(&mut self.tasks[slot as usize].last_error);
        self.free_slots.push(slot);
        true
    }

    /// Returns the time until the next request.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let Reverse((due, _)) = self.queue.peek()?;
        let ready = self.requests.throttle().ready_at();
        Some(
            Duration::from_nanos(*due)
                .max(ready)
                .saturating_sub(self.clock.now()),
        )
    }

    /// Returns the error with which every open task ends.
    pub(crate) fn stopped_by(&self) -> Option<&Error> {
        self.end.as_ref()
    }

    pub(crate) fn pending(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn finished(&self) -> usize {
        self.finished
    }

    /// Ends every open task with this error.
    pub(crate) fn end_all(&mut self, error: Error) {
        self.end = Some(error);
    }

    /// Starts the timeout, if it has not started, and returns the deadline.
    pub(crate) fn deadline(&mut self) -> Option<Duration> {
        let now = self.clock.now();
        let started = *self.started.get_or_insert(now);
        started.checked_add(self.timeout?)
    }

    /// Polls due tasks until there is an update, or until `wake`. A poll that is due is made even if `wake` has passed.
    pub(crate) fn next(&mut self, wake: Option<Duration>) -> Step {
        loop {
            // The task stays in the heap while it is polled, so that a panic in a user's middleware does not lose it.
            let Some(Reverse((due, slot))) = self.queue.peek().copied() else {
                return Step::Finished;
            };
            if let Some(error) = self.end_error() {
                return Step::Update(self.finish(slot, Err(error)));
            }
            let next = self.next_poll(due, slot);
            let (NextPoll::At { time, .. } | NextPoll::FinalAt(time) | NextPoll::TimedOutAt(time)) =
                next;
            if let Some(wake) = wake.filter(|wake| *wake < time && self.clock.now() < time) {
                self.sleep_until(wake);
                return Step::Woken;
            }
            self.sleep_until(time);
            let timeout = match next {
                NextPoll::At { deadline, .. } => {
                    deadline.map(|deadline| deadline.saturating_sub(self.clock.now()))
                }
                NextPoll::FinalAt(_) => Some(FINAL_POLL_TIMEOUT),
                NextPoll::TimedOutAt(_) => {
                    let error = self.wait_timeout(slot);
                    return Step::Update(self.finish(slot, Err(error)));
                }
            };
            let update = self.poll(slot, timeout, matches!(next, NextPoll::FinalAt(_)));
            // A poll that lasted until the deadline was the last one.
            if let NextPoll::At {
                deadline: Some(deadline),
                ..
            } = next
            {
                self.final_poll_made |= self.clock.now() >= deadline;
            }
            if let Some(update) = update {
                return Step::Update(update);
            }
            if wake.is_some_and(|wake| wake <= self.clock.now()) {
                return Step::Woken;
            }
        }
    }

    /// Returns the error with which every open task ends. It may be a 429 of another watch whose
    /// `Retry-After` is too long to wait for.
    pub(crate) fn end_error(&mut self) -> Option<Error> {
        if self.end.is_none() {
            let now = self.clock.now();
            let limit = self.requests.throttle().rate_limit(now)?;
            if limit.resume_at - now > MAX_RETRY_AFTER {
                self.end = Some(limit.error);
            }
        }
        self.end.clone()
    }

    fn next_poll(&mut self, due: u64, slot: u32) -> NextPoll {
        let task = self.tasks[slot as usize];
        let deadline = self.deadline();
        let now = self.clock.now();
        let throttle = self.requests.throttle();
        let limit = deadline.map(|deadline| TimeLimit {
            deadline,
            is_zero: self.timeout.is_some_and(|timeout| timeout.is_zero()),
            any_polled: self.polls > 0 || task.is_polled,
            task_polled: task.is_polled && !task.is_replay && task.token_replacements == 0,
            final_poll_made: self.final_poll_made,
            is_rate_limited: throttle.rate_limit(now).is_some(),
        });
        next_poll(PollTiming {
            now,
            due: Duration::from_nanos(due),
            is_due_fixed: task.is_due_fixed,
            ready: throttle.ready_at(),
            limit,
        })
    }

    pub(crate) fn sleep_until(&self, time: Duration) {
        let duration = time.saturating_sub(self.clock.now());
        if !duration.is_zero() {
            self.clock.sleep(duration);
        }
    }

    /// Polls a task, unless another watch of the client takes the slot first.
    fn poll(&mut self, slot: u32, timeout: Option<Duration>, is_final: bool) -> Option<Update> {
        // A timeout of one request copies the agent's configuration, so it is set only if it is shorter.
        let timeout = timeout.filter(|timeout| *timeout < self.requests.timeout());
        let task = self.tasks[slot as usize];
        let result = match self
            .requests
            .ensure_token(timeout.unwrap_or(self.requests.timeout()))
        {
            Ok(()) if !self.requests.throttle().try_acquire(self.clock.now()) => return None,
            Ok(()) => {
                self.polls = self.polls.saturating_add(1);
                self.requests.poll(
                    task.id,
                    RequestOptions {
                        timeout,
                        new_connection: task.is_replay,
                    },
                )
            }
            Err(failed) => Err(failed),
        };
        self.final_poll_made |= is_final;
        self.tasks[slot as usize].is_polled = true;
        match result {
            Ok(progress) => self.on_progress(slot, progress),
            Err(failed) => self.on_error(slot, failed),
        }
    }

    fn on_progress(&mut self, slot: u32, progress: Progress) -> Option<Update> {
        let task = &mut self.tasks[slot as usize];
        let changed = task.progress() != Some(progress);
        task.set_progress(progress);
        (task.errors, task.token_replacements, task.is_replay) = (0, 0, false);
        self.errors.take(&mut task.last_error);
        if progress.status.is_terminal() {
            return Some(self.finish(slot, Ok(progress)));
        }
        self.schedule(slot, changed, Duration::ZERO);
        let task_id = self.tasks[slot as usize].id;
        changed.then_some(Update {
            task_id,
            result: Ok(progress),
        })
    }

    fn on_error(&mut self, slot: u32, failed: AttemptError) -> Option<Update> {
        let now = self.clock.now();
        let task = &mut self.tasks[slot as usize];
        let attempts = Attempts {
            retries: 0,
            token_replacements: task.token_replacements,
            replayed: task.is_replay,
        };
        match retry::decide(&failed, Idempotency::Idempotent, attempts, 0, Duration::MAX) {
            // The task is still due, so its next poll is at the next slot.
            Retry::WithNewToken => {
                task.token_replacements += 1;
                self.errors.replace(&mut task.last_error, failed.error);
                return None;
            }
            Retry::OverNewConnection => {
                task.is_replay = true;
                self.errors.replace(&mut task.last_error, failed.error);
                return None;
            }
            Retry::After(_) | Retry::No => (task.token_replacements, task.is_replay) = (0, false),
        }
        if task.errors == 0 {
            task.errors_since = nanoseconds(now);
        }
        task.errors = task.errors.saturating_add(1);
        let span = now.saturating_sub(Duration::from_nanos(task.errors_since));
        let is_exhausted = self.policy.is_exhausted(task.errors, span);
        let AttemptError { error, .. } = &failed;
        match classify(&failed) {
            ErrorAction::BackOff if !is_exhausted => {
                let retry_after = error.retry_after().unwrap_or_default();
                self.errors.replace(&mut task.last_error, failed.error);
                self.schedule(slot, false, retry_after);
                return None;
            }
            ErrorAction::BackOff | ErrorAction::EndTask => {}
            ErrorAction::EndAll => self.end = Some(error.clone()),
        }
        Some(self.finish(slot, Err(failed.error)))
    }

    /// Schedules the next poll of the task that was polled last: after its interval, or when the service demanded it.
    fn schedule(&mut self, slot: u32, changed: bool, retry_after: Duration) {
        let task = &mut self.tasks[slot as usize];
        let interval = self
            .policy
            .next_interval(Duration::from_nanos(task.interval), changed);
        task.interval = nanoseconds(interval);
        task.is_due_fixed = retry_after > interval;
        let due = nanoseconds(self.clock.now().saturating_add(interval.max(retry_after)));
        if let Some(mut top) = self.queue.peek_mut() {
            debug_assert_eq!(top.0.1, slot);
            top.0.0 = due;
        }
    }

    /// Ends the task at the top of the heap.
    fn finish(&mut self, slot: u32, result: Result<Progress, Error>) -> Update {
        if let Some(top) = self.queue.peek_mut() {
            debug_assert_eq!(top.0.1, slot);
            PeekMut::pop(top);
        }
        let task = &mut self.tasks[slot as usize];
        self.errors.take(&mut task.last_error);
        self.finished += 1;
        self.free_slots.push(slot);
        Update {
            task_id: task.id,
            result,
        }
    }

    fn wait_timeout(&mut self, slot: u32) -> Error {
        let task = &mut self.tasks[slot as usize];
        Error::WaitTimeout {
            task_id: task.id,
            last: task.progress(),
            elapsed: self
                .clock
                .now()
                .saturating_sub(self.started.unwrap_or_default()),
            polls: self.polls,
            cause: self.errors.take(&mut task.last_error).map(Box::new),
        }
    }
}
