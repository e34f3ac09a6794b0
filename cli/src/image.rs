//! An image of a list: its place, its state, and how many there are in each state.

use serde::Serialize;

/// The state of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// No task was created.
    New,
    /// The request that creates the task is under way.
    Creating,
    /// The task exists and has not ended.
    Open,
    Succeeded,
    Failed,
    /// The service refused to create a task.
    Refused,
    /// It is unknown whether a task exists.
    Unknown,
    /// The line of the list is invalid.
    Invalid,
}

impl State {
    /// The states that are counted. [`State::Creating`] counts as new.
    pub(crate) const COUNTED: [Self; 7] = [
        Self::New,
        Self::Open,
        Self::Succeeded,
        Self::Failed,
        Self::Refused,
        Self::Unknown,
        Self::Invalid,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Creating => "creating",
            Self::Open => "open",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Invalid => "invalid",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::COUNTED.into_iter().chain([Self::Creating]);
        all.find(|state| state.name() == name)
    }

    /// Reports whether nothing more happens to the image unless the user demands it.
    pub(crate) fn is_end(self) -> bool {
        !matches!(self, Self::New | Self::Creating | Self::Open)
    }
}

/// An image, as the state file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// Row of the state file.
    pub(crate) id: i64,
    /// The key of the URL; of an invalid line, its text.
    pub(crate) key: String,
    /// Number of the line; `None` if the image is no longer in the list.
    pub(crate) line: Option<u32>,
    /// The URL as the list has it.
    pub(crate) given: String,
    /// The name in the list.
    pub(crate) name: Option<String>,
    /// The name that was sent.
    pub(crate) file_name: Option<String>,
    /// The folder that was sent.
    pub(crate) directory: Option<String>,
    pub(crate) state: State,
    pub(crate) reason: Option<String>,
    pub(crate) task_id: Option<u64>,
    pub(crate) percent: Option<u8>,
    pub(crate) file_id: Option<String>,
    pub(crate) link: Option<String>,
    /// Size in bytes.
    pub(crate) size: Option<i64>,
    /// Result of the service's moderation.
    pub(crate) moderation: Option<i64>,
}

impl Image {
    /// Reports whether the service's moderation has rejected it.
    pub(crate) fn is_rejected(&self) -> bool {
        self.moderation > Some(100)
    }
}

/// The number of images in each state. Their sum is the number of distinct entries of the list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) new: u64,
    pub(crate) open: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
    pub(crate) invalid: u64,
}

impl Counts {
    fn slot(&mut self, state: State) -> &mut u64 {
        match state {
            State::New | State::Creating => &mut self.new,
            State::Open => &mut self.open,
            State::Succeeded => &mut self.succeeded,
            State::Failed => &mut self.failed,
            State::Refused => &mut self.refused,
            State::Unknown => &mut self.unknown,
            State::Invalid => &mut self.invalid,
        }
    }

    pub(crate) fn add(&mut self, state: State, count: u64) {
        *self.slot(state) += count;
    }

    /// Counts the change of one image.
    pub(crate) fn shift(&mut self, from: State, to: State) {
        let count = self.slot(from);
        *count = count.saturating_sub(1);
        *self.slot(to) += 1;
    }

    pub(crate) fn get(mut self, state: State) -> u64 {
        *self.slot(state)
    }

    pub(crate) fn total(self) -> u64 {
        State::COUNTED.map(|state| self.get(state)).iter().sum()
    }

    /// Returns the number of images to which nothing more happens.
    pub(crate) fn ended(self) -> u64 {
        self.total() - self.new - self.open
    }

    /// Returns the counts that are not zero: `3 succeeded, 1 failed`.
    pub(crate) fn text(self) -> String {
        let states = State::COUNTED.map(|state| (self.get(state), state.name()));
        let states = states.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<_> = states
            .map(|(count, name)| format!("{count} {name}"))
            .collect();
        match parts.is_empty() {
            true => "nothing".to_owned(),
            false => parts.join(", "),
        }
    }
}
