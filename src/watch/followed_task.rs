//! The state of a followed task.

use std::time::Duration;

use super::error_interner::{ErrorSlot, NONE};
use crate::task::{Progress, Status};

/// A followed task: 48 bytes, and 16 in the heap.
#[derive(Debug, Clone, Copy)]
pub(super) struct FollowedTask {
    pub(super) id: u64,
    /// The interval before the last poll, in nanoseconds; half the size of a `Duration`.
    pub(super) interval: u64,
    /// The last progress, if `has_progress`.
    pub(super) status: i64,
    pub(super) percent: u8,
    pub(super) has_progress: bool,
    pub(super) is_polled: bool,
    /// Whether the service demanded the due time, by `Retry-After`.
    pub(super) is_due_fixed: bool,
    /// Number of consecutive errors, the time of the first one in nanoseconds, and the last one.
    pub(super) errors: u32,
    pub(super) errors_since: u64,
    pub(super) last_error: ErrorSlot,
    pub(super) token_replacements: u8,
    pub(super) is_replay: bool,
}

impl FollowedTask {
    pub(super) fn new(id: u64) -> Self {
        Self {
            id,
            interval: 0,
            status: 0,
            percent: 0,
            has_progress: false,
            is_polled: false,
            is_due_fixed: false,
            errors: 0,
            errors_since: 0,
            last_error: NONE,
            token_replacements: 0,
            is_replay: false,
        }
    }

    pub(super) fn progress(&self) -> Option<Progress> {
        self.has_progress
            .then(|| Progress::new(Status::from(self.status), self.percent))
    }

    pub(super) fn set_progress(&mut self, progress: Progress) {
        (self.status, self.percent, self.has_progress) =
            (progress.status.as_i64(), progress.percent, true);
    }
}

/// Creates tasks in the given order, without duplicates.
pub(super) fn distinct(task_ids: Vec<u64>) -> Vec<FollowedTask> {
    // `interval` holds the position in the input until the tasks are sorted by it again.
    let mut tasks: Vec<FollowedTask> = (0..)
        .zip(task_ids)
        .map(|(position, id)| FollowedTask {
            interval: position,
            ..FollowedTask::new(id)
        })
        .collect();
    tasks.sort_unstable_by_key(|task| (task.id, task.interval));
    tasks.dedup_by_key(|task| task.id);
    tasks.sort_unstable_by_key(|task| task.interval);
    tasks.iter_mut().for_each(|task| task.interval = 0);
    tasks
}

/// Removes the tasks whose ids are in `followed`: in linear time for a few tasks.
pub(super) fn remove_followed(new: &mut Vec<FollowedTask>, followed: impl Iterator<Item = u64>) {
    let mut ids: Vec<u64> = new.iter().map(|task| task.id).collect();
    ids.sort_unstable();
    let mut known: Vec<u64> = followed
        .filter(|id| ids.binary_search(id).is_ok())
        .collect();
    known.sort_unstable();
    new.retain(|task| known.binary_search(&task.id).is_err());
}

/// Converts a duration to nanoseconds. The maximum is 584 years.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
