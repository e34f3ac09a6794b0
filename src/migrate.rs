//! Migration of many images: creates tasks and follows them, in one loop.

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::new_task::NewTask;
use crate::session::Session;
use crate::watch::scheduler::Scheduler;
use crate::watch::{MigrationEvent, NextTimeoutError, PollPolicy};

/// An iterator that creates tasks and follows them, from [`Client::migrate`](crate::Client::migrate).
///
/// The input is taken one task at a time, before the wait for its turn, so an input that blocks delays polls. An invalid
/// task is reported at once. Creations are [`create_gap`](Self::create_gap) apart, polls are made in between, and both
/// keep [`min_request_gap`](crate::ClientBuilder::min_request_gap). Every index gets exactly one
/// [`Created`](MigrationEvent::Created) or [`NotCreated`](MigrationEvent::NotCreated), except the announced task that
/// [`stop_creating`](Self::stop_creating) drops. Every followed task has exactly one end.
///
/// A request that certainly created no task (429, 503, a connection that failed) is made again after a growing delay,
/// within the limits of the [`PollPolicy`]; meanwhile no other task is created. A request that may have created a task
/// is never repeated, and the next creation waits until a poll has succeeded; with nothing to poll, for 20 s, which
/// double up to 5 min. After an error that ends all tasks of a [`Watch`](crate::Watch), the remaining input is not taken,
/// and open tasks end with that error: see [`stopped_by`](Self::stopped_by).
#[must_use = "an iterator does nothing before `next()`"]
pub struct Migration<I>(Scheduler<Arc<Session>, I>);

impl<I: Iterator<Item: Into<NewTask>>> Migration<I> {
    pub(crate) fn new(session: Arc<Session>, input: I) -> Self {
        Self(Scheduler::new(session, Some(input)))
    }

    /// Adds existing tasks, which are also followed.
    pub fn also_watch(mut self, task_ids: impl IntoIterator<Item = u64>) -> Self {
        self.0.also_watch(task_ids);
        self
    }

    /// Creates tasks, and does not follow them. Default: they are followed to their ends.
    pub fn create_only(mut self) -> Self {
        self.0.follows = false;
        self
    }

    /// Sets the min time between two creations, also after an error. Default: 1 s, as in other clients of the service.
    pub fn create_gap(mut self, gap: Duration) -> Self {
        self.0.create_gap = gap;
        self
    }

    /// Sets the policy for polls and for repeated creations: intervals and the limit of errors. Default:
    /// [`PollPolicy::new`].
    pub fn policy(mut self, policy: PollPolicy) -> Self {
        self.0.policy = policy;
        self
    }

    /// Sets the max duration from the first call of `next()` on. Then no further task is created, and every open task
    /// ends with [`Error::WaitTimeout`](crate::Error::WaitTimeout). A task that was announced, but not sent, gets a
    /// [`NotCreated`](MigrationEvent::NotCreated) with a timeout as its error. Default: no limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = Some(timeout);
        self
    }

    /// Stops creating tasks: the remaining input is not taken. Tasks that exist are followed to their ends. The task that
    /// was taken last is not created either, and gets no further event, whether or not its `Creating` was returned.
    pub fn stop_creating(&mut self) {
        self.0.stop_creating();
    }

    /// Returns the number of tasks that are still followed.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.0.pending()
    }

    /// Returns the number of tasks that were taken from the input: at most one more than events have named.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.taken
    }

    /// Returns the error that ended everything, if there was one: see [`Watch`](crate::Watch).
    #[must_use]
    pub fn stopped_by(&self) -> Option<&Error> {
        self.0.stopped_by.as_ref()
    }

    /// Returns the next event, like `next()`, but waits no longer than `timeout` for it. A request that is under way at
    /// that time is finished first. One that is due is made even if `timeout` is zero.
    ///
    /// # Errors
    /// Those of [`Watch::next_timeout`](crate::Watch::next_timeout).
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<MigrationEvent, NextTimeoutError> {
        self.0.next(Some(timeout))
    }
}

impl<I: Iterator<Item: Into<NewTask>>> Iterator for Migration<I> {
    type Item = MigrationEvent;

    fn next(&mut self) -> Option<MigrationEvent> {
        self.0.next(None).ok()
    }
}

impl<I: Iterator<Item: Into<NewTask>>> FusedIterator for Migration<I> {}

impl<I> fmt::Debug for Migration<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migration")
            .field("taken", &self.0.taken)
            .field("pending", &self.0.pending())
            .finish_non_exhaustive()
    }
}
