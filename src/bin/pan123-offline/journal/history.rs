//! The state of each line of the list, as the records tell it.

use std::collections::{BTreeMap, HashMap};

use super::record::{Ended, NotCreated, Record, Step};
use crate::input::{BuildKeyPrefix, Item, Key, KeyHasher};

/// The state of one line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// No task exists.
    #[default]
    New,
    /// The last record is `creating`: a request may have been sent.
    Creating,
    /// A request has been sent, and its result is not known.
    MayExist,
    /// A task exists and is to be followed.
    Open,
    Succeeded,
    Failed,
    /// The service has refused to create a task.
    Refused,
    /// The line cannot work.
    Invalid,
}

/// The groups that are counted and listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    New,
    Open,
    Succeeded,
    Failed,
    Unknown,
    Invalid,
}

/// The lines that are created although the journal has them already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Recreate {
    pub(crate) unknown: bool,
    pub(crate) failed: bool,
}

impl Group {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Open => "open",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Invalid => "invalid",
        }
    }
}

impl State {
    pub(crate) fn group(self) -> Group {
        match self {
            Self::New => Group::New,
            Self::Open => Group::Open,
            Self::Succeeded => Group::Succeeded,
            Self::Failed | Self::Refused => Group::Failed,
            Self::Creating | Self::MayExist => Group::Unknown,
            Self::Invalid => Group::Invalid,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Creating => "being created",
            Self::MayExist => "unknown",
            Self::Open => "open",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
        }
    }

    /// Reports whether a task is to be created for a line in this state.
    pub(crate) fn is_to_create(self, recreate: Recreate) -> bool {
        match self.group() {
            Group::New => true,
            Group::Unknown => recreate.unknown,
            Group::Failed => recreate.failed,
            Group::Open | Group::Succeeded | Group::Invalid => false,
        }
    }

    /// Returns the state after a step; `None` if the step cannot follow this state.
    fn after(self, step: &Step<'_>) -> Option<Self> {
        match (self, step) {
            (
                Self::New | Self::Creating | Self::MayExist | Self::Failed | Self::Refused,
                Step::Creating,
            ) => Some(Self::Creating),
            (Self::Creating, Step::Created { .. }) => Some(Self::Open),
            (Self::Creating, Step::NotCreated { outcome, .. }) => Some(match outcome {
                NotCreated::MayExist => Self::MayExist,
                NotCreated::NotSent => Self::New,
                NotCreated::Refused => Self::Refused,
                NotCreated::Invalid => Self::Invalid,
            }),
            (
                Self::New,
                Step::NotCreated {
                    outcome: NotCreated::Invalid,
                    ..
                },
            ) => Some(Self::Invalid),
            (Self::Open, Step::Ended { outcome, .. }) => Some(match outcome {
                Ended::Succeeded => Self::Succeeded,
                Ended::Failed => Self::Failed,
            }),
            (Self::Open, Step::GivenUp { .. }) => Some(Self::Open),
            _ => None,
        }
    }
}

/// The number of lines in each group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Counts {
    pub(crate) new: usize,
    pub(crate) open: usize,
    pub(crate) succeeded: usize,
    pub(crate) failed: usize,
    pub(crate) unknown: usize,
    pub(crate) invalid: usize,
}

impl Counts {
    fn of(&mut self, group: Group) -> &mut usize {
        match group {
            Group::New => &mut self.new,
            Group::Open => &mut self.open,
            Group::Succeeded => &mut self.succeeded,
            Group::Failed => &mut self.failed,
            Group::Unknown => &mut self.unknown,
            Group::Invalid => &mut self.invalid,
        }
    }

    /// Returns the number of all lines.
    pub(crate) fn total(&self) -> usize {
        self.new + self.open + self.succeeded + self.failed + self.unknown + self.invalid
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    state: State,
    /// The list has had this line in the present run.
    is_seen: bool,
    /// The number of the last record's line in the journal; 0 if there is none.
    last_record: u32,
}

/// The states of all lines, by the hash of URL and file name; URLs are kept of open tasks only.
#[derive(Debug, Default)]
pub(crate) struct History {
    hasher: KeyHasher,
    entries: HashMap<Key, Entry, BuildKeyPrefix>,
    counts: Counts,
    /// By task id first: the service may give the same id to two URLs.
    open: BTreeMap<(u64, Key), Item>,
}

impl History {
    /// Applies a record that stands in this line of the journal.
    pub(super) fn apply(&mut self, record: &Record<'_>, line: u32) -> Result<(), String> {
        let file_name = record.file_name.as_deref();
        let key = self.hasher.key(&record.url, file_name);
        let entry = entry(&mut self.entries, &mut self.counts, key);
        let Some(state) = entry.state.after(&record.step) else {
            let (step, before) = (record.step.name(), entry.state.name());
            return Err(format!("`{step}` for a URL that is {before}"));
        };
        match record.step {
            Step::Created { task_id } => {
                let item = Item::new(&record.url, file_name);
                self.open.insert((task_id, key), item);
            }
            Step::Ended { task_id, .. } if self.open.remove(&(task_id, key)).is_none() => {
                return Err(format!("the URL's task is not {task_id}"));
            }
            Step::GivenUp { task_id, .. } if !self.open.contains_key(&(task_id, key)) => {
                return Err(format!("the URL's task is not {task_id}"));
            }
            _ => {}
        }
        *self.counts.of(entry.state.group()) -= 1;
        *self.counts.of(state.group()) += 1;
        entry.state = state;
        entry.last_record = line;
        Ok(())
    }

    /// Looks up a line of the list. Returns its state, or `None` if the list has had it before.
    pub(crate) fn see(&mut self, url: &str, file_name: Option<&str>) -> Option<State> {
        let key = self.hasher.key(url, file_name);
        let entry = entry(&mut self.entries, &mut self.counts, key);
        let is_first = !std::mem::replace(&mut entry.is_seen, true);
        is_first.then_some(entry.state)
    }

    /// Looks up a line of the list that cannot work, and counts it as such. Returns whether the
    /// list has not had it before.
    pub(crate) fn see_invalid(&mut self, line: &str) -> bool {
        let key = self.hasher.key(line, None);
        let entry = entry(&mut self.entries, &mut self.counts, key);
        if entry.state == State::New {
            self.counts.new -= 1;
            self.counts.invalid += 1;
            entry.state = State::Invalid;
        }
        !std::mem::replace(&mut entry.is_seen, true)
    }

    /// Returns the tasks that are to be followed, in the order of their ids.
    pub(crate) fn open_tasks(&self) -> impl Iterator<Item = (u64, &Item)> {
        self.open
            .iter()
            .map(|((task_id, _), item)| (*task_id, item))
    }

    /// Returns the lines whose open task has this id.
    pub(crate) fn items_of(&self, task_id: u64) -> impl Iterator<Item = &Item> {
        let range = (task_id, Key::default())..=(task_id, Key::MAX);
        self.open.range(range).map(|(_, item)| item)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the journal's line numbers of the last records of a group's lines, in order.
    pub(crate) fn last_records(&self, wanted: impl Fn(Group) -> bool) -> Vec<(u32, Group)> {
        let entries = self.entries.values();
        let mut lines: Vec<_> = entries
            .filter(|entry| entry.last_record > 0)
            .map(|entry| (entry.last_record, entry.state.group()))
            .filter(|(_, group)| wanted(*group))
            .collect();
        lines.sort_unstable_by_key(|(line, _)| *line);
        lines
    }
}

/// Returns the entry of a line. A new one is counted.
fn entry<'a>(
    entries: &'a mut HashMap<Key, Entry, BuildKeyPrefix>,
    counts: &mut Counts,
    key: Key,
) -> &'a mut Entry {
    entries.entry(key).or_insert_with(|| {
        counts.new += 1;
        Entry::default()
    })
}
