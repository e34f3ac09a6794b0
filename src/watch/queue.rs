//! The followed tasks, in the order of their polls.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use super::policy::ErrorStreak;
use crate::error::Error;
use crate::task::Progress;

/// The place of a task in the order of polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    pub(super) due: Instant,
    /// Of tasks that are due at the same time, the smaller number comes first.
    number: u64,
    pub(super) task_id: u64,
}

/// A followed task.
#[derive(Debug, Default)]
pub(super) struct Task {
    /// The interval before the last poll.
    pub(super) interval: Duration,
    pub(super) progress: Option<Progress>,
    pub(super) is_polled: bool,
    pub(super) errors: Option<Box<TaskErrors>>,
}

/// The errors of a task since its last progress.
#[derive(Debug)]
pub(super) struct TaskErrors {
    pub(super) streak: ErrorStreak,
    pub(super) last: Error,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    tasks: BTreeMap<Turn, Task>,
    next_number: u64,
}

impl Queue {
    /// Adds tasks in this order. An id that is already followed is ignored.
    pub(super) fn add(&mut self, task_ids: &[u64], due: Instant) {
        let mut new: HashSet<u64> = task_ids.iter().copied().collect();
        for turn in self.tasks.keys() {
            new.remove(&turn.task_id);
        }
        for task_id in task_ids {
            if new.remove(task_id) {
                self.insert(*task_id, Task::default(), due);
            }
        }
    }

    /// Adds a task that is not followed.
    pub(super) fn insert(&mut self, task_id: u64, task: Task, due: Instant) {
        let turn = Turn {
            due,
            number: self.next_number,
            task_id,
        };
        self.tasks.insert(turn, task);
        self.next_number += 1;
    }

    pub(super) fn first(&self) -> Option<Turn> {
        self.tasks.keys().next().copied()
    }

    pub(super) fn find(&self, task_id: u64) -> Option<Turn> {
        let mut turns = self.tasks.keys();
        turns.find(|turn| turn.task_id == task_id).copied()
    }

    pub(super) fn get(&self, turn: Turn) -> Option<&Task> {
        self.tasks.get(&turn)
    }

    pub(super) fn get_mut(&mut self, turn: Turn) -> Option<&mut Task> {
        self.tasks.get_mut(&turn)
    }

    pub(super) fn remove(&mut self, turn: Turn) -> Option<Task> {
        self.tasks.remove(&turn)
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }
}
