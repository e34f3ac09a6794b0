//! Events of watches and migrations.

use std::fmt;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::new_task::NewTask;
use crate::task::Progress;

/// A change of a task: its first progress, a new status or percentage, or its end.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Update {
    /// Id of the task.
    pub task_id: u64,
    /// Its progress, or the reason why it is no longer followed.
    pub result: Result<Progress>,
}

impl Update {
    /// Returns whether this is the last update of its task: the task failed or succeeded, or is no longer followed.
    #[must_use]
    pub fn is_end(&self) -> bool {
        match &self.result {
            Ok(progress) => progress.status.is_terminal(),
            Err(_) => true,
        }
    }
}

/// An event of a [`Migration`](crate::Migration). `index` is the position of the task in the input. Of two tasks for which
/// the service returns the same id, the first one has the updates.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum MigrationEvent {
    /// The request that creates this task is sent in the next call of `next()` at the earliest, so that a caller can
    /// record it first.
    #[non_exhaustive]
    Creating {
        /// Position of the task.
        index: usize,
        /// The task that is created.
        task: NewTask,
    },
    /// The task was created.
    #[non_exhaustive]
    Created {
        /// Position of the task.
        index: usize,
        /// Its id.
        task_id: u64,
    },
    /// The request, or a token request before it, failed, and certainly created no task. It is made again after the
    /// delay: another [`Creating`](Self::Creating) comes first.
    #[non_exhaustive]
    Delayed {
        /// Position of the task.
        index: usize,
        /// Reason of the failure.
        error: Error,
        /// Min time until the next request.
        delay: Duration,
    },
    /// The task was not created. If [`Error::may_have_taken_effect`] is true, it may exist all the same.
    #[non_exhaustive]
    NotCreated {
        /// Position of the task.
        index: usize,
        /// Reason of the failure.
        error: Error,
    },
    /// A change of a created task, or of one from [`Migration::also_watch`](crate::Migration::also_watch).
    #[non_exhaustive]
    Update {
        /// Position of the task that has this id; `None` for one that only `also_watch` names.
        index: Option<usize>,
        /// The change.
        update: Update,
    },
}

/// Error of [`Watch::next_timeout`](crate::Watch::next_timeout) and
/// [`Migration::next_timeout`](crate::Migration::next_timeout).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextTimeoutError {
    /// There was no update in time.
    Timeout,
    /// No task is pending.
    Finished,
}

impl fmt::Display for NextTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "there was no update in time",
            Self::Finished => "no task is pending",
        })
    }
}

impl std::error::Error for NextTimeoutError {}
