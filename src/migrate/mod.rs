//! Migration of many images: creates tasks and follows them, in one loop.

mod creation;
mod event;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::time::Duration;

use self::creation::{AfterError, CreationState, CurrentTask, ErrorStreak, panicked};
pub use self::event::MigrationEvent;
use crate::endpoints::Endpoints;
use crate::error::Error;
use crate::new_task::NewTask;
use crate::retry::{AttemptError, Attempts};
use crate::watch::clock::Clock;
use crate::watch::requests::Requests;
use crate::watch::scheduler::Step;
use crate::watch::{ClientScheduler, NextTimeoutError, PollPolicy, client_scheduler};

const DEFAULT_CREATE_GAP: Duration = Duration::from_secs(1);

/// An iterator that creates tasks and follows them, from [`Client::migrate`](crate::Client::migrate).
///
/// The input is taken one task at a time, at most one request every [`create_gap`](Self::create_gap); an invalid task is
/// reported at once. Polls are made in between.
/// All requests keep [`min_request_gap`](crate::ClientBuilder::min_request_gap) apart. Every index gets exactly one
/// [`Created`](MigrationEvent::Created) or [`NotCreated`](MigrationEvent::NotCreated), except the announced task that
/// [`stop_creating`](Self::stop_creating) drops. Every followed task has exactly one end.
///
/// A request that certainly created no task (429, 503, a connection that failed) is made again after a growing delay,
/// within the limits of the [`PollPolicy`]; meanwhile no other task is created. After a refused token it is made again at
/// once with a new one. A request that may have created a task is never repeated. After an error that ends all tasks of
/// a [`Watch`](crate::Watch), the remaining input is not taken, and open tasks end with that error.
#[must_use = "an iterator does nothing before `next()`"]
pub struct Migration<I> {
    scheduler: ClientScheduler,
    /// Whether created tasks are followed.
    follows: bool,
    /// The remaining input; `None` at its end.
    input: Option<I>,
    next_index: usize,
    create_gap: Duration,
    /// The earliest time of the next creation.
    next_creation: Duration,
    /// A task that is taken from the input, but not created yet.
    current: Option<CurrentTask>,
    errors: ErrorStreak,
    /// Each id that was followed, with the first position of a task that got it.
    indexes: HashMap<u64, Option<usize>>,
}

impl<I: Iterator<Item: Into<NewTask>>> Migration<I> {
    pub(crate) fn new(endpoints: Arc<Endpoints>, input: I) -> Self {
        Self {
            scheduler: client_scheduler(endpoints, Vec::new()),
            follows: true,
            input: Some(input),
            next_index: 0,
            create_gap: DEFAULT_CREATE_GAP,
            next_creation: Duration::ZERO,
            current: None,
            errors: ErrorStreak::default(),
            indexes: HashMap::new(),
        }
    }

    /// Adds existing tasks, which are also followed.
    pub fn also_watch(mut self, task_ids: impl IntoIterator<Item = u64>) -> Self {
        let task_ids: Vec<u64> = task_ids.into_iter().collect();
        self.indexes.extend(task_ids.iter().map(|id| (*id, None)));
        self.scheduler.add(task_ids);
        self
    }

    /// Creates tasks, and does not follow them. Default: they are followed to their ends.
    pub fn create_only(mut self) -> Self {
        self.follows = false;
        self
    }

    /// Sets the min time between two creations, also after an error. Default: 1 s, as in other clients of the service.
    /// While tasks are open, it is at least twice [`min_request_gap`](crate::ClientBuilder::min_request_gap), so that polls
    /// are made in between.
    pub fn create_gap(mut self, gap: Duration) -> Self {
        self.create_gap = gap;
        self
    }

    /// Sets the policy for polls and for repeated creations: intervals and the limit of errors. Default:
    /// [`PollPolicy::new`].
    pub fn policy(mut self, policy: PollPolicy) -> Self {
        self.scheduler.policy = policy;
        self
    }

    /// Sets the max duration from the first call of `next()` on. Then no further task is created, and every open task
    /// ends with [`Error::WaitTimeout`](crate::Error::WaitTimeout). A task that was announced, but not sent, gets a
    /// [`NotCreated`](MigrationEvent::NotCreated) with a timeout as its error. Default: no limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.scheduler.timeout = Some(timeout);
        self
    }

    /// Stops creating tasks: the remaining input is not taken. Tasks that exist are followed to their ends. A task
    /// whose `Creating` was returned is not created either, and gets no further event.
    pub fn stop_creating(&mut self) {
        self.input = None;
        self.current = self
            .current
            .take()
            .filter(|current| current.state == CreationState::Sending);
    }

    /// Returns the number of tasks that are still followed.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.scheduler.pending()
    }

    /// Returns the number of tasks that were taken from the input.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.next_index
    }

    /// Returns the error that ended everything, if there was one: see [`Watch`](crate::Watch).
    #[must_use]
    pub fn stopped_by(&self) -> Option<&Error> {
        self.scheduler.stopped_by()
    }

    /// Returns the next event, like `next()`, but waits no longer than `timeout` for it. A request that is under way at
    /// that time is finished first. One that is due is made even if `timeout` is zero.
    ///
    /// # Errors
    /// * [`NextTimeoutError::Timeout`]: there was no event in this time.
    /// * [`NextTimeoutError::Finished`]: no task is pending.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<MigrationEvent, NextTimeoutError> {
        let wake = self.scheduler.clock.now().saturating_add(timeout);
        self.next_event(Some(wake))
    }

    fn next_event(&mut self, wake: Option<Duration>) -> Result<MigrationEvent, NextTimeoutError> {
        loop {
            if let Some(event) = self.stop_at_end().or_else(|| self.create_if_due()) {
                return Ok(event);
            }
            let creation = self.creation_time();
            let next_wake = [creation, wake].into_iter().flatten().min();
            let step = if self.is_creation_next() {
                let times = [next_wake, self.scheduler.deadline()];
                if let Some(time) = times.into_iter().flatten().min() {
                    self.scheduler.sleep_until(time);
                }
                Step::Woken
            } else {
                self.scheduler.next(next_wake)
            };
            match step {
                Step::Update(update) => {
                    let index = self.indexes.get(&update.task_id).copied().flatten();
                    return Ok(MigrationEvent::Update { index, update });
                }
                Step::Woken => {}
                Step::Finished => match next_wake.filter(|_| creation.is_some()) {
                    Some(time) => self.scheduler.sleep_until(time),
                    None => return Err(NextTimeoutError::Finished),
                },
            }
            let now = self.scheduler.clock.now();
            let is_creation_due = creation.is_some_and(|creation| creation <= now);
            if wake.is_some_and(|wake| wake <= now) && !is_creation_due {
                return Err(NextTimeoutError::Timeout);
            }
        }
    }

    /// Stops creating when an error of a poll has ended everything, or the timeout has elapsed.
    fn stop_at_end(&mut self) -> Option<MigrationEvent> {
        let deadline = self.scheduler.deadline();
        let is_late = deadline.is_some_and(|deadline| deadline <= self.scheduler.clock.now());
        let error = match self.scheduler.end_error() {
            None if is_late => creation::timed_out(),
            error => error?,
        };
        self.input = None;
        let is_unsent = |current: &mut CurrentTask| current.state != CreationState::Sending;
        let index = self.current.take_if(is_unsent)?.index;
        Some(MigrationEvent::NotCreated { index, error })
    }

    /// The time of the next creation, if there is one.
    fn creation_time(&self) -> Option<Duration> {
        let is_possible = self.current.is_some() || self.input.is_some();
        is_possible.then(|| {
            self.next_creation
                .max(self.scheduler.requests.throttle().ready_at())
        })
    }

    /// Reports whether the next request is a creation. It precedes polls that are due at the same time.
    fn is_creation_next(&self) -> bool {
        let ready = self.scheduler.requests.throttle().ready_at();
        self.creation_time().is_some() && self.next_creation <= ready
    }

    /// Takes the next step of a creation, if its time has come.
    fn create_if_due(&mut self) -> Option<MigrationEvent> {
        let is_sending = |current: &mut CurrentTask| current.state == CreationState::Sending;
        if let Some(CurrentTask { index, .. }) = self.current.take_if(is_sending) {
            let error = panicked();
            return Some(MigrationEvent::NotCreated { index, error });
        }
        if self.scheduler.clock.now() < self.creation_time()? {
            return None;
        }
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.take_input()?,
        };
        let index = current.index;
        if let Err(error) = current.task.validate() {
            return Some(MigrationEvent::NotCreated { index, error });
        }
        if current.state == CreationState::Waiting {
            current.state = CreationState::Announced;
            let task = current.task.clone();
            self.current = Some(current);
            return Some(MigrationEvent::Creating { index, task });
        }
        self.create(current)
    }

    fn take_input(&mut self) -> Option<CurrentTask> {
        let Some(task) = self.input.as_mut().and_then(Iterator::next).map(Into::into) else {
            self.input = None;
            return None;
        };
        let index = self.next_index;
        self.next_index += 1;
        Some(CurrentTask {
            index,
            task,
            state: CreationState::Waiting,
            attempts: Attempts::default(),
        })
    }

    /// Sends the request for a task that was announced.
    fn create(&mut self, mut current: CurrentTask) -> Option<MigrationEvent> {
        let endpoints = Arc::clone(&self.scheduler.requests);
        let ensured = endpoints.ensure_token(endpoints.timeout());
        if ensured.is_ok() && !endpoints.throttle().try_acquire(self.scheduler.clock.now()) {
            self.current = Some(current);
            return None;
        }
        let index = current.index;
        current.state = CreationState::Sending;
        let task = current.task.clone();
        self.current = Some(current);
        self.next_creation = self
            .scheduler
            .clock
            .now()
            .saturating_add(self.gap_to_next_creation());
        let result = ensured.and_then(|()| endpoints.create_once(&task, self.remaining()));
        let current = self.current.take();
        match result {
            Ok(task_id) => {
                self.errors = ErrorStreak::default();
                if self.follows {
                    self.follow(task_id, index);
                }
                Some(MigrationEvent::Created { index, task_id })
            }
            Err(failed) => Some(self.on_error(current?, failed)),
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

    /// The time from this creation to the next one. While tasks are open, every second request is left to polls.
    fn gap_to_next_creation(&self) -> Duration {
        if self.scheduler.pending() == 0 {
            return self.create_gap;
        }
        let min_gap = self.scheduler.requests.throttle().min_gap();
        self.create_gap.max(min_gap.saturating_mul(2))
    }

    /// The time limit of a creation, if it is shorter than the client's.
    fn remaining(&mut self) -> Option<Duration> {
        let remaining = self
            .scheduler
            .deadline()?
            .saturating_sub(self.scheduler.clock.now());
        Some(remaining).filter(|remaining| *remaining < self.scheduler.requests.timeout())
    }

    fn on_error(&mut self, mut current: CurrentTask, failed: AttemptError) -> MigrationEvent {
        let index = current.index;
        let now = self.scheduler.clock.now();
        let span = self.errors.add(now);
        let errors = self.errors.count;
        let is_exhausted = self.scheduler.policy.is_exhausted(errors, span);
        let after = creation::decide(&failed, current.attempts, errors, is_exhausted);
        let error = failed.error;
        let gap = self.next_creation.saturating_sub(now);
        let delay = match after {
            AfterError::WithNewToken => {
                current.attempts.token_replacements += 1;
                Duration::ZERO
            }
            AfterError::Again(delay) => delay.max(gap),
            AfterError::Next(delay) => {
                self.next_creation = now.saturating_add(delay.max(gap));
                return MigrationEvent::NotCreated { index, error };
            }
            AfterError::NextAtOnce => {
                self.errors = ErrorStreak::default();
                return MigrationEvent::NotCreated { index, error };
            }
            AfterError::EndAll => {
                self.scheduler.end_all(error.clone());
                self.input = None;
                return MigrationEvent::NotCreated { index, error };
            }
        };
        self.next_creation = now.saturating_add(delay);
        current.state = CreationState::Waiting;
        self.current = Some(current);
        MigrationEvent::Delayed {
            index,
            error,
            delay,
        }
    }
}

impl<I: Iterator<Item: Into<NewTask>>> Iterator for Migration<I> {
    type Item = MigrationEvent;

    fn next(&mut self) -> Option<MigrationEvent> {
        self.next_event(None).ok()
    }
}

impl<I: Iterator<Item: Into<NewTask>>> FusedIterator for Migration<I> {}

impl<I> fmt::Debug for Migration<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migration")
            .field("taken", &self.next_index)
            .field("pending", &self.scheduler.pending())
            .finish_non_exhaustive()
    }
}
