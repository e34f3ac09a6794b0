//! The progress of a task.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::json::{self, Integer, JsonObject};

/// The progress of a task, as [`Client::get_process`](crate::Client::get_process) returns it.
///
/// It contains neither the reason of a failure nor the id of the created file; the [callback](crate::Callback) does.
/// Serializes as the service writes it: `{"status":0,"process":37}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// State of the task.
    pub status: Status,
    /// Percentage, 0 to 100.
    ///
    /// The service documents a whole number. A fraction is cut off, never rounded up (99.9 is 99), and a value outside
    /// 0 to 100 becomes the nearer bound.
    #[serde(rename = "process")]
    pub percent: u8,
}

impl Progress {
    /// Creates a progress, for tests. A `percent` above 100 becomes 100.
    #[must_use]
    pub const fn new(status: Status, percent: u8) -> Self {
        let percent = if percent > 100 { 100 } else { percent };
        Self { status, percent }
    }
}

impl<'de> Deserialize<'de> for Progress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct RawProgress {
            status: Status,
            #[serde(deserialize_with = "json::number")]
            process: serde_json::Number,
        }

        let JsonObject(raw) = JsonObject::<RawProgress>::deserialize(deserializer)?;
        Ok(Self {
            status: raw.status,
            // `as` saturates at 0 and 255, and cuts the fraction off.
            percent: (raw.process.as_f64().unwrap_or_default() as u8).min(100),
        })
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} %", self.status, self.percent)
    }
}

/// State of a task, from the field `status` of the service's response. Serializes as the service's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "i64")]
#[non_exhaustive]
pub enum Status {
    /// 0: in progress.
    InProgress,
    /// 1: failed. Terminal.
    Failed,
    /// 2: succeeded. Terminal.
    Succeeded,
    /// 3: failed once, and retried by the service itself. Not terminal.
    Retrying,
    /// A number that the service's document does not name. Not terminal.
    Unknown(i64),
}

impl Status {
    /// Returns whether the task has ended: [`Failed`](Self::Failed) or [`Succeeded`](Self::Succeeded).
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Succeeded)
    }

    /// Returns the service's number for this status.
    #[must_use]
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

impl From<Status> for i64 {
    fn from(status: Status) -> Self {
        status.as_i64()
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Integer::deserialize(deserializer).map(|Integer(number): Integer<i64>| number.into())
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
