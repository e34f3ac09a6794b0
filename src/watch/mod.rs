//! Waiting for tasks: [`Wait`] for one, [`Watch`] for any number.
//!
//! Both yield an update first and sleep in the next call, so that a caller never sees an outdated progress.

pub(crate) mod consequence;
mod event;
mod policy;
mod requests;
pub(crate) mod scheduler;
#[cfg(test)]
mod tests;

use std::fmt;
use std::iter::{Empty, FusedIterator};
use std::sync::Arc;
use std::time::Duration;

pub use self::event::{MigrationEvent, NextTimeoutError, Update};
pub use self::policy::PollPolicy;
use self::scheduler::Scheduler;
use crate::error::{Error, Result};
use crate::new_task::NewTask;
use crate::session::Session;
use crate::task::{Progress, Status};

/// An iterator over the updates of many tasks, from [`Client::watch`](crate::Client::watch). Each task has exactly one
/// end.
///
/// The polls of a client and its clones keep [`min_request_gap`](crate::ClientBuilder::min_request_gap) apart: at the
/// default of 200 ms, one round of 100,000 tasks takes 5.6 hours. The client's `retries` do not apply: after a transient
/// error, a response that cannot be decoded or a TLS error, the task is polled again after a longer interval, until it
/// has had as many errors as [`PollPolicy`] allows. After an error response with `Retry-After`, no task is polled until
/// that time; after a 429 without it, for 1 s.
///
/// A permanent error ends its task only. A ban, a 401 that no new token resolves, now or later, a proxy that refuses the
/// credentials, a token request that failed with a permanent error, and a `Retry-After` of more than a day end all tasks
/// with that error, without another request: see [`stopped_by`](Self::stopped_by).
///
/// ```no_run
/// # use pan123_offline::Status;
/// # let client = pan123_offline::Client::from_env()?;
/// use std::time::Duration;
///
/// let mut failed = Vec::new();
/// for update in client.watch([403316, 403317]).timeout(Duration::from_secs(3600)) {
///     match update.result {
///         Ok(progress) if progress.status == Status::Failed => failed.push(update.task_id),
///         Ok(progress) => println!("{}: {progress}", update.task_id),
///         Err(error) => println!("{}: {error}", update.task_id),
///     }
/// }
/// # Ok::<(), pan123_offline::Error>(())
/// ```
#[must_use = "an iterator does nothing before `next()`"]
pub struct Watch(Scheduler<Arc<Session>, Empty<NewTask>>);

impl Watch {
    pub(crate) fn new(session: Arc<Session>, task_ids: impl IntoIterator<Item = u64>) -> Self {
        let mut watch = Self(Scheduler::new(session, None));
        watch.add(task_ids);
        watch
    }

    /// Sets the polling policy: intervals and the limit of errors. Default: [`PollPolicy::new`].
    pub fn policy(mut self, policy: PollPolicy) -> Self {
        self.0.policy = policy;
        self
    }

    /// Sets the max duration from the first call of `next()` on, requests included. Then every open task ends with
    /// [`Error::WaitTimeout`], and continues at the service. Default: no limit.
    ///
    /// At the deadline one more task is polled: see [`Wait::timeout`]. Zero polls each task once, with the client's own
    /// timeout and pace, unless a 429 forbids it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = Some(timeout);
        self
    }

    /// Returns the number of tasks that are still followed.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.0.pending()
    }

    /// Returns the number of tasks that have had their end.
    #[must_use]
    pub fn finished(&self) -> usize {
        self.0.finished
    }

    /// Adds tasks, which are due at once. An id that is followed already is ignored; one that has had its end is
    /// followed again. The error that ended all tasks, if there was one, is forgotten.
    pub fn add(&mut self, task_ids: impl IntoIterator<Item = u64>) {
        self.0.add(task_ids);
    }

    /// Stops following a task, without an update. Returns whether it was followed.
    pub fn remove(&mut self, task_id: u64) -> bool {
        self.0.remove(task_id)
    }

    /// Returns the time until the next request of this watch, for an event loop: zero if one is due, `None` if no task
    /// is pending.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.0.next_due()
    }

    /// Returns the error that ended all open tasks, if there was one. [`add`](Self::add) clears it.
    #[must_use]
    pub fn stopped_by(&self) -> Option<&Error> {
        self.0.stopped_by.as_ref()
    }

    /// Returns the next update, like `next()`, but waits no longer than `timeout` for it. A request that is under way
    /// at that time is finished first. A poll that is due is made even if `timeout` is zero.
    ///
    /// # Errors
    /// * [`NextTimeoutError::Timeout`]: there was no update in this time.
    /// * [`NextTimeoutError::Finished`]: no task is pending.
    pub fn next_timeout(
        &mut self,
        timeout: Duration,
    ) -> std::result::Result<Update, NextTimeoutError> {
        match self.0.next(Some(timeout))? {
            MigrationEvent::Update { update, .. } => Ok(update),
            // It creates no task.
            _ => Err(NextTimeoutError::Finished),
        }
    }
}

impl Iterator for Watch {
    type Item = Update;

    fn next(&mut self) -> Option<Update> {
        self.next_timeout(Duration::MAX).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // Each task has one end, and any number of changes before it.
        let pending = self.pending();
        (pending, Some(0).filter(|_| pending == 0))
    }
}

impl FusedIterator for Watch {}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("pending", &self.pending())
            .field("finished", &self.finished())
            .finish_non_exhaustive()
    }
}

/// A wait for one task, from [`Client::wait`](crate::Client::wait): [`run()`](Self::run) for its end, a `for` loop for
/// its progress. It polls as [`Watch`] does.
///
/// ```no_run
/// # let client = pan123_offline::Client::from_env()?;
/// for progress in client.wait(403316) {
///     println!("{} %", progress?.percent);
/// }
/// println!("succeeded");
/// # Ok::<(), pan123_offline::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a wait does nothing before `run()` or the first step of its iterator"]
pub struct Wait {
    session: Arc<Session>,
    task_id: u64,
    timeout: Duration,
    policy: PollPolicy,
}

impl Wait {
    pub(crate) fn new(session: Arc<Session>, task_id: u64) -> Self {
        Self {
            session,
            task_id,
            timeout: Duration::from_secs(3600),
            policy: PollPolicy::new(),
        }
    }

    /// Sets the max duration from the first call of `next()` or `run()` on, requests included. Default: one hour.
    /// `Duration::MAX`: no limit.
    ///
    /// A poll gets the time that remains, and at least 250 ms. The last poll is at the deadline, unless the client's pace
    /// or a `Retry-After` forbids it. Zero polls once, with the client's own timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the polling policy: intervals and the limit of errors. Default: [`PollPolicy::new`].
    pub fn policy(mut self, policy: PollPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Waits until the task has succeeded.
    ///
    /// # Errors
    /// * [`Error::TaskFailed`]: the service reports that the task failed. Only its callback gives the reason.
    /// * [`Error::WaitTimeout`]: the timeout elapsed. The task continues.
    /// * Any error of [`Client::get_process`](crate::Client::get_process) that is permanent, or that occurred too often
    ///   in a row.
    pub fn run(self) -> Result<Progress> {
        // A wait has at least one item, its end.
        self.into_iter()
            .last()
            .unwrap_or_else(|| Err(Error::config("wait", "it has no task")))
    }
}

impl IntoIterator for Wait {
    type Item = Result<Progress>;
    type IntoIter = WaitIter;

    fn into_iter(self) -> WaitIter {
        let mut watch = Watch::new(self.session, [self.task_id]);
        watch.0.policy = self.policy;
        watch.0.timeout = Some(self.timeout);
        WaitIter(watch)
    }
}

/// An iterator over the progress of one task: see [`Wait`]. Its last item is the end: the progress of a task that has
/// succeeded, or the error that [`Wait::run`] returns.
#[derive(Debug)]
pub struct WaitIter(Watch);

impl Iterator for WaitIter {
    type Item = Result<Progress>;

    fn next(&mut self) -> Option<Result<Progress>> {
        let Update { task_id, result } = self.0.next()?;
        Some(match result {
            Ok(progress) if progress.status == Status::Failed => {
                Err(Error::TaskFailed { task_id, progress })
            }
            result => result,
        })
    }
}

impl FusedIterator for WaitIter {}
