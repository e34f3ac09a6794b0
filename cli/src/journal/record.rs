//! The journal's lines: the header, and one record for each step.

use std::borrow::Cow;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{JournalErrorKind, VERSION};
use crate::json;

/// The value of the header's first field.
const JOURNAL: &str = "pan123-offline";
/// The start of every header, of any version.
const HEADER_START: &str = r#"{"journal":"pan123-offline","version":"#;

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    journal: &'a str,
    version: u64,
    at: String,
}

/// Returns a time in UTC as RFC 3339 has it, with milliseconds.
pub(super) fn rfc3339(time: SystemTime) -> String {
    // A clock before 1970 is wrong, and no reason to fail.
    humantime::format_rfc3339_millis(time.max(SystemTime::UNIX_EPOCH)).to_string()
}

/// Returns the header that begins a new journal.
pub(super) fn header(now: SystemTime) -> String {
    let header = Header {
        journal: JOURNAL,
        version: VERSION,
        at: rfc3339(now),
    };
    json::to_line(&header)
}

/// Checks the first line.
pub(super) fn check_header(line: &[u8]) -> Result<(), JournalErrorKind> {
    #[derive(Deserialize)]
    struct AnyVersion {
        journal: String,
        version: u64,
    }

    let header: AnyVersion =
        serde_json::from_slice(line).map_err(|_| JournalErrorKind::NotAJournal)?;
    match header.version {
        _ if header.journal != JOURNAL => Err(JournalErrorKind::NotAJournal),
        VERSION => Ok(()),
        version => Err(JournalErrorKind::Version(version)),
    }
}

/// Reports whether an incomplete first line is the start of a header.
pub(super) fn is_start_of_header(line: &[u8]) -> bool {
    let start = HEADER_START.as_bytes();
    line.starts_with(start) || start.starts_with(line)
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// The time as RFC 3339 has it.
    pub(crate) at: Cow<'a, str>,
    pub(crate) url: Cow<'a, str>,
    pub(crate) file_name: Option<Cow<'a, str>>,
    pub(crate) step: Step<'a>,
}

/// A step of a migration; see the table in [`journal`](super).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    Creating,
    Created {
        task_id: u64,
    },
    NotCreated {
        outcome: NotCreated,
        reason: Cow<'a, str>,
    },
    Ended {
        task_id: u64,
        outcome: Ended,
    },
    GivenUp {
        task_id: u64,
        reason: Cow<'a, str>,
    },
}

impl Step<'_> {
    /// Returns the value of the field `step`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created { .. } => "created",
            Self::NotCreated { .. } => "not_created",
            Self::Ended { .. } => "ended",
            Self::GivenUp { .. } => "given_up",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NotCreated {
    MayExist,
    NotSent,
    Refused,
    Invalid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    Succeeded,
    Failed,
}

/// The fields of a record as they stand in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow)]
    at: Cow<'a, str>,
    step: StepName,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StepName {
    Creating,
    Created,
    NotCreated,
    Ended,
    GivenUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "unknown `outcome`")]
enum Outcome {
    Ended(Ended),
    NotCreated(NotCreated),
}

/// The reason why a line is not a record.
#[derive(Debug)]
pub(super) struct RecordError {
    pub(super) reason: String,
    /// The line is not JSON, as a line is that was not written to its end.
    pub(super) is_syntax: bool,
}

impl<'a> Record<'a> {
    /// Parses and checks a line.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, RecordError> {
        let fields: Fields<'_> = serde_json::from_slice(line).map_err(|error| RecordError {
            // serde_json repeats the name of an unknown field as it stands.
            reason: error.to_string().escape_debug().to_string(),
            is_syntax: !error.is_data(),
        })?;
        fields.into_record().map_err(|reason| RecordError {
            reason,
            is_syntax: false,
        })
    }

    /// Returns the line, with its end.
    pub(super) fn to_line(&self) -> String {
        let (step, task_id, outcome, reason) = match &self.step {
            Step::Creating => (StepName::Creating, None, None, None),
            Step::Created { task_id } => (StepName::Created, Some(*task_id), None, None),
            Step::NotCreated { outcome, reason } => {
                let outcome = Outcome::NotCreated(*outcome);
                (StepName::NotCreated, None, Some(outcome), Some(reason))
            }
            Step::Ended { task_id, outcome } => {
                let outcome = Outcome::Ended(*outcome);
                (StepName::Ended, Some(*task_id), Some(outcome), None)
            }
            Step::GivenUp { task_id, reason } => {
                (StepName::GivenUp, Some(*task_id), None, Some(reason))
            }
        };
        json::to_line(&Fields {
            at: (&*self.at).into(),
            step,
            url: (&*self.url).into(),
            file_name: self.file_name.as_deref().map(Cow::from),
            task_id,
            outcome,
            reason: reason.map(|reason| (&**reason).into()),
        })
    }
}

impl<'a> Fields<'a> {
    fn into_record(self) -> Result<Record<'a>, String> {
        if humantime::parse_rfc3339(&self.at).is_err() {
            return Err("`at` is not a time in UTC as RFC 3339 has it".to_owned());
        }
        let step = match (self.step, self.task_id, self.outcome, self.reason) {
            (StepName::Creating, None, None, None) => Step::Creating,
            (StepName::Created, Some(task_id), None, None) => Step::Created { task_id },
            (StepName::NotCreated, None, Some(Outcome::NotCreated(outcome)), Some(reason)) => {
                Step::NotCreated { outcome, reason }
            }
            (StepName::Ended, Some(task_id), Some(Outcome::Ended(outcome)), None) => {
                Step::Ended { task_id, outcome }
            }
            (StepName::GivenUp, Some(task_id), None, Some(reason)) => {
                Step::GivenUp { task_id, reason }
            }
            _ => return Err("its fields are not those of its step".to_owned()),
        };
        Ok(Record {
            at: self.at,
            url: self.url,
            file_name: self.file_name,
            step,
        })
    }
}
