//! The service's callback at the end of a task.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::{DecodeError, Error, Result};
use crate::json::{Integer, JsonObject, Text, strip_bom};

/// The body that the service POSTs to a task's [`callback_url`](crate::NewTask::callback_url) when the task ends. It
/// deserializes from JSON as [`from_slice`](Self::from_slice) decodes it.
///
/// ```
/// use pan123_offline::{Callback, CallbackStatus};
///
/// let callback = Callback::from_slice(br#"{"url":"https://example.org/cat.png","status":0,"failReason":"","fileID":100}"#)?;
/// assert_eq!(callback.status, CallbackStatus::Succeeded);
/// assert_eq!(callback.file_id.as_deref(), Some("100"));
/// # Ok::<(), pan123_offline::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Callback {
    /// URL of the image.
    pub url: String,
    /// Result of the task.
    pub status: CallbackStatus,
    /// Reason of a failure, if the service gives one.
    pub fail_reason: Option<String>,
    /// Id of the file. The service sends a number or a string; both come as a string.
    pub file_id: Option<String>,
}

impl Callback {
    /// Decodes the body of the service's request. A byte-order mark before it is skipped.
    ///
    /// # Errors
    /// [`Error::Decode`] if it is not a JSON object with `url` and `status`.
    pub fn from_slice(body: &[u8]) -> Result<Self> {
        serde_json::from_slice(strip_bom(body)).map_err(|error| {
            let reason = "it must be an object with `url` and `status`";
            Error::Decode(DecodeError::new(reason, body, Some(error))).mark_not_sent()
        })
    }
}

impl<'de> Deserialize<'de> for Callback {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct RawCallback {
            url: String,
            status: Integer<i64>,
            // The document's sample has one spelling, its prose the other.
            #[serde(rename = "failReason")]
            fail_reason: Option<Box<RawValue>>,
            #[serde(rename = "fileReason")]
            file_reason: Option<Box<RawValue>>,
            #[serde(rename = "fileID")]
            file_id: Option<Box<RawValue>>,
        }

        let JsonObject(raw) = JsonObject::<RawCallback>::deserialize(deserializer)?;
        Ok(Self {
            url: raw.url,
            status: CallbackStatus::from(raw.status.0),
            fail_reason: text(raw.fail_reason).or_else(|| text(raw.file_reason)),
            file_id: text(raw.file_id),
        })
    }
}

/// Returns a text that is not empty. Any other value counts as absent: it must not hide the status.
fn text(value: Option<Box<RawValue>>) -> Option<String> {
    let Text(text) = value?.try_into().ok()?;
    Some(text).filter(|text| !text.is_empty())
}

/// Result of a task, from the field `status` of a [`Callback`]. The numbers differ from those of
/// [`Status`](crate::Status).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallbackStatus {
    /// 0: succeeded.
    Succeeded,
    /// 1: failed.
    Failed,
    /// A number that the service's document does not name.
    Unknown(i64),
}

impl CallbackStatus {
    /// Returns the service's number for this status.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        match self {
            Self::Succeeded => 0,
            Self::Failed => 1,
            Self::Unknown(number) => number,
        }
    }
}

impl From<i64> for CallbackStatus {
    fn from(number: i64) -> Self {
        match number {
            0 => Self::Succeeded,
            1 => Self::Failed,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for CallbackStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("succeeded"),
            Self::Failed => f.write_str("failed"),
            Self::Unknown(number) => write!(f, "unknown status {number}"),
        }
    }
}
