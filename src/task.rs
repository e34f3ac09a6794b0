//! What the service talks about: tasks and how far they are.

use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::envelope::ObjectOnly;

/// How far a task is, as [`Client::get_process`](crate::Client::get_process) answers.
///
/// The service never says here why a task failed, nor which file it made; only its callback does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Progress {
    /// What the task is doing.
    pub status: Status,
    /// How much of it is done, in percent: 0 to 100.
    ///
    /// The service documents a whole number. A fraction is cut off, never rounded up (99.9 is 99),
    /// and what lies outside 0 to 100 is brought to the nearer end.
    pub percent: u8,
}

impl Progress {
    /// A progress as the service would report it, for tests; `percent` over 100 becomes 100.
    pub const fn new(status: Status, percent: u8) -> Self {
        let percent = if percent > 100 { 100 } else { percent };
        Self { status, percent }
    }
}

impl<'de> Deserialize<'de> for Progress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Progress")]
        struct Wire {
            status: i64,
            process: f64,
        }

        let wire = Wire::deserialize(ObjectOnly(deserializer))?;
        Ok(Self {
            status: Status::from(wire.status),
            // `as` saturates at 0 and 255 and cuts the fraction off.
            percent: (wire.process as u8).min(100),
        })
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} %", self.status, self.percent)
    }
}

/// What a task is doing, from the field `status` of the service's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// 0: under way.
    InProgress,
    /// 1: failed. An end.
    Failed,
    /// 2: succeeded. An end.
    Succeeded,
    /// 3: failed once and is tried again by the service itself. Not an end.
    Retrying,
    /// A number that the service's document does not name. Not an end.
    Unknown(i64),
}

impl Status {
    /// Whether the task is over: [`Failed`](Self::Failed) or [`Succeeded`](Self::Succeeded).
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Succeeded)
    }

    /// The number the service uses for this status.
    pub const fn as_i64(self) -> i64 {
        match self {
            Self::InProgress => 0,
            Self::Failed => 1,
            Self::Succeeded => 2,
            Self::Retrying => 3,
            Self::Unknown(number) => number,
        }
    }
}

impl From<i64> for Status {
    fn from(number: i64) -> Self {
        match number {
            0 => Self::InProgress,
            1 => Self::Failed,
            2 => Self::Succeeded,
            3 => Self::Retrying,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InProgress => f.write_str("in progress"),
            Self::Failed => f.write_str("failed"),
            Self::Succeeded => f.write_str("succeeded"),
            Self::Retrying => f.write_str("retrying"),
            Self::Unknown(number) => write!(f, "unknown status {number}"),
        }
    }
}
