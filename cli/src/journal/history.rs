//! The state of each line of the list, by the journal's records.

use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::collections::{BTreeSet, HashMap};

use super::record::{Ended, NotCreated, Record, Step};
use crate::input::{BuildKeyPrefix, Key, KeyHasher};

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
    /// The line is invalid.
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

    /// Returns each group's name and number of lines, in the order in which they are printed.
    pub(crate) fn rows(&self) -> [(&'static str, usize); 6] {
        [
            (Group::New.name(), self.new),
            (Group::Open.name(), self.open),
            (Group::Succeeded.name(), self.succeeded),
            (Group::Failed.name(), self.failed),
            (Group::Unknown.name(), self.unknown),
            (Group::Invalid.name(), self.invalid),
        ]
    }

    /// Returns the number of all lines.
    pub(crate) fn total(&self) -> usize {
        self.new + self.open + self.succeeded + self.failed + self.unknown + self.invalid
    }
}

/// The state of a line, whether the list has had it in the present run, and the number of its last
/// record's line in the journal (0 if there is none): in 3 bits, 1 bit and 28 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Entry(u32);

/// The maximum number of lines of a journal.
const MAX_LINES: u32 = u32::MAX >> Entry::LINE_SHIFT;

impl Entry {
    const STATES: [State; 8] = [
        State::New,
        State::Creating,
        State::MayExist,
        State::Open,
        State::Succeeded,
        State::Failed,
        State::Refused,
        State::Invalid,
    ];
    const STATE_MASK: u32 = 0b0111;
    const IS_SEEN: u32 = 0b1000;
    const LINE_SHIFT: u32 = 4;

    fn state(self) -> State {
        Self::STATES[(self.0 & Self::STATE_MASK) as usize]
    }

    fn set_state(&mut self, state: State) {
        self.0 = self.0 & !Self::STATE_MASK | state as u32;
    }

    /// Marks the line as seen. Returns whether it is the first time.
    fn mark_seen(&mut self) -> bool {
        let is_first = self.0 & Self::IS_SEEN == 0;
        self.0 |= Self::IS_SEEN;
        is_first
    }

    fn last_record(self) -> u32 {
        self.0 >> Self::LINE_SHIFT
    }

    fn set_last_record(&mut self, line: u32) {
        self.0 = self.0 & !(u32::MAX << Self::LINE_SHIFT) | line << Self::LINE_SHIFT;
    }
}

/// The place of an open task's `created` record in the journal, and a part of its line's key: in 40
/// bits and 24 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u64);

/// The maximum length of a journal: 1 TiB.
const MAX_LEN: u64 = u64::MAX >> Place::FRAGMENT_LEN;

impl Place {
    const FRAGMENT_LEN: u32 = 24;

    fn new(offset: u64, key: Key) -> Self {
        Self(offset << Self::FRAGMENT_LEN | u64::from(key.fragment()))
    }

    fn offset(self) -> u64 {
        self.0 >> Self::FRAGMENT_LEN
    }

    fn is_of(self, key: Key) -> bool {
        self.0 & u64::from(u32::MAX >> 8) == u64::from(key.fragment())
    }
}

/// The open tasks, with the places of their lines in the journal.
#[derive(Debug, Default)]
struct OpenTasks {
    places: HashMap<u64, Place>,
    /// Further lines with the id of another open task: the service may take two URLs for the same.
    further: BTreeSet<(u64, Place)>,
}

impl OpenTasks {
    fn insert(&mut self, task_id: u64, place: Place) {
        match self.places.entry(task_id) {
            Vacant(entry) => {
                entry.insert(place);
            }
            Occupied(_) => {
                self.further.insert((task_id, place));
            }
        }
    }

    fn of(&self, task_id: u64) -> impl Iterator<Item = Place> {
        let further = (task_id, Place(0))..=(task_id, Place(u64::MAX));
        let further = self.further.range(further).map(|(_, place)| *place);
        self.places
            .get(&task_id)
            .copied()
            .into_iter()
            .chain(further)
    }

    fn contains(&self, task_id: u64, key: Key) -> bool {
        self.of(task_id).any(|place| place.is_of(key))
    }

    /// Removes a line's task. Returns whether it was there.
    fn remove(&mut self, task_id: u64, key: Key) -> bool {
        let Some(place) = self.of(task_id).find(|place| place.is_of(key)) else {
            return false;
        };
        if !self.further.remove(&(task_id, place)) {
            self.places.remove(&task_id);
            let next = self.of(task_id).next();
            if let Some(next) = next {
                self.further.remove(&(task_id, next));
                self.places.insert(task_id, next);
            }
        }
        true
    }
}

/// The states of all lines, by the hash of URL and file name. No URL is kept.
#[derive(Debug, Default)]
pub(crate) struct History {
    hasher: KeyHasher,
    entries: HashMap<Key, Entry, BuildKeyPrefix>,
    counts: Counts,
    open: OpenTasks,
}

impl History {
    /// Applies a record that stands in this line of the journal, which begins at `offset`.
    pub(super) fn apply(
        &mut self,
        record: &Record<'_>,
        line: u32,
        offset: u64,
    ) -> Result<(), String> {
        if line > MAX_LINES || offset > MAX_LEN {
            return Err("the journal is too long".to_owned());
        }
        let key = self.hasher.key(&record.url, record.file_name.as_deref());
        let entry = entry(&mut self.entries, &mut self.counts, key);
        let Some(state) = entry.state().after(&record.step) else {
            let (step, before) = (record.step.name(), entry.state().name());
            return Err(format!("`{step}` for a URL that is {before}"));
        };
        match record.step {
            Step::Created { task_id } => self.open.insert(task_id, Place::new(offset, key)),
            Step::Ended { task_id, .. } if !self.open.remove(task_id, key) => {
                return Err(format!("the URL's task is not {task_id}"));
            }
            Step::GivenUp { task_id, .. } if !self.open.contains(task_id, key) => {
                return Err(format!("the URL's task is not {task_id}"));
            }
            _ => {}
        }
        *self.counts.of(entry.state().group()) -= 1;
        *self.counts.of(state.group()) += 1;
        entry.set_state(state);
        entry.set_last_record(line);
        Ok(())
    }

    /// Marks a line of the list as seen. Returns its state, or `None` if it was seen before.
    pub(crate) fn mark_seen(&mut self, url: &str, file_name: Option<&str>) -> Option<State> {
        let key = self.hasher.key(url, file_name);
        let entry = entry(&mut self.entries, &mut self.counts, key);
        entry.mark_seen().then_some(entry.state())
    }

    /// Marks an invalid line of the list as seen, and counts it as such. Returns whether it is the first time.
    pub(crate) fn mark_invalid_seen(&mut self, line: &str) -> bool {
        let key = self.hasher.key(line, None);
        let entry = entry(&mut self.entries, &mut self.counts, key);
        if entry.state() == State::New {
            self.counts.new -= 1;
            self.counts.invalid += 1;
            entry.set_state(State::Invalid);
        }
        entry.mark_seen()
    }

    /// Returns the ids of the tasks that are to be followed, in ascending order.
    pub(crate) fn open_tasks(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.open.places.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Returns where the `created` records of a task begin in the journal.
    pub(super) fn created_records(&self, task_id: u64) -> Vec<u64> {
        self.open.of(task_id).map(Place::offset).collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the line number in the journal and the group of each last record in the wanted groups, in ascending order.
    pub(crate) fn last_records(&self, wanted: impl Fn(Group) -> bool) -> Vec<(u32, Group)> {
        let entries = self.entries.values();
        let mut lines: Vec<_> = entries
            .filter(|entry| entry.last_record() > 0)
            .map(|entry| (entry.last_record(), entry.state().group()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_keeps_its_three_parts_apart() {
        for state in Entry::STATES {
            for line in [0, 1, 77, MAX_LINES] {
                let mut entry = Entry::default();
                entry.set_last_record(MAX_LINES - line);
                entry.set_state(State::Invalid);
                entry.set_last_record(line);
                entry.set_state(state);
                assert!(entry.mark_seen() && !entry.mark_seen());
                assert_eq!((entry.state(), entry.last_record()), (state, line));
            }
        }
    }

    #[test]
    fn a_place_keeps_offset_and_key_apart() {
        let hasher = KeyHasher::default();
        let (key, other) = (hasher.key("a", None), hasher.key("b", None));
        for offset in [0, 1, MAX_LEN] {
            let place = Place::new(offset, key);
            assert_eq!(place.offset(), offset);
            assert!(place.is_of(key) && !place.is_of(other));
        }
    }

    #[test]
    fn several_lines_may_have_the_same_task() {
        let hasher = KeyHasher::default();
        let keys = ["a", "b", "c"].map(|url| hasher.key(url, None));
        for first in 0..3 {
            let mut open = OpenTasks::default();
            for (offset, key) in keys.into_iter().enumerate() {
                open.insert(7, Place::new(offset as u64, key));
            }
            open.insert(8, Place::new(9, keys[0]));
            let order = [first, (first + 1) % 3, (first + 2) % 3];
            for (number, index) in order.into_iter().enumerate() {
                assert_eq!(open.of(7).count(), 3 - number);
                assert!(open.contains(7, keys[index]));
                assert!(open.remove(7, keys[index]) && !open.remove(7, keys[index]));
            }
            assert_eq!((open.of(7).count(), open.of(8).count()), (0, 1));
            assert!(open.further.is_empty());
        }
    }
}
