//! Events of a migration.

use std::time::Duration;

use crate::error::Error;
use crate::new_task::NewTask;
use crate::watch::Update;

/// An event of a [`Migration`](super::Migration). `index` is the position of the task in the input. Of two tasks for which
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
    /// The request failed, and certainly created no task. It is made again after the delay: another
    /// [`Creating`](Self::Creating) comes first.
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
    /// A change of a created task, or of one from [`Migration::also_watch`](super::Migration::also_watch).
    #[non_exhaustive]
    Update {
        /// Position of the task that has this id; `None` for one that only `also_watch` names.
        index: Option<usize>,
        /// The change.
        update: Update,
    },
}
