//! What the service talks about: tasks, how far they are, and what becomes of them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::envelope::{self, Object};
use crate::error::{DecodeError, Error, Result};

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
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Progress")]
        struct Wire {
            status: i64,
            process: f64,
        }

        let Object(wire) = Object::<Wire>::deserialize(deserializer)?;
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

/// The endings of the images that the service takes.
const IMAGES: [&str; 9] = ["png", "gif", "jpeg", "jpg", "tif", "tiff", "webp", "svg", "bmp"];

/// A task to create: an image at a URL, and where it goes.
///
/// ```
/// use pan123_offline::NewTask;
///
/// let task = NewTask::new("https://example.org/cat.png").file_name("cat-1.png").callback_url("https://example.org/done");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewTask {
    url: String,
    #[serde(rename = "type")]
    kind: u8,
    #[serde(rename = "fileName", skip_serializing_if = "Option::is_none")]
    file_name: Option<String>,
    #[serde(rename = "businessDirID", skip_serializing_if = "Option::is_none")]
    directory: Option<String>,
    #[serde(rename = "callBackUrl", skip_serializing_if = "Option::is_none")]
    callback_url: Option<String>,
}

impl NewTask {
    /// An image at an `http` or `https` address: png, gif, jpeg, jpg, tif, tiff, webp, svg or bmp, of 100 MB at most.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), kind: 1, file_name: None, directory: None, callback_url: None }
    }

    /// The file's name, with one of the endings that [`new`](Self::new) names. Default: the service chooses.
    #[must_use]
    pub fn file_name(mut self, name: impl Into<String>) -> Self {
        self.file_name = Some(name.into());
        self
    }

    /// The id of the folder it goes to; not the root. Default: the service's own folder for offline downloads.
    #[must_use]
    pub fn directory(mut self, id: impl Into<String>) -> Self {
        self.directory = Some(id.into());
        self
    }

    /// The `http` or `https` address that the service POSTs to when the task ends: see [`Callback`]. Default: none.
    #[must_use]
    pub fn callback_url(mut self, url: impl Into<String>) -> Self {
        self.callback_url = Some(url.into());
        self
    }

    /// The request's body, if the task can work.
    pub(crate) fn to_body(&self) -> Result<Vec<u8>> {
        check_web_address("url", &self.url)?;
        if let Some(url) = &self.callback_url {
            check_web_address("callback_url", url)?;
        }
        if self.directory.as_ref().is_some_and(String::is_empty) {
            return Err(Error::config("directory", "it is empty"));
        }
        if let Some((name, ending)) = self.file_name.as_ref().map(|name| name.rsplit_once('.').unwrap_or((name, "")))
            && (name.is_empty() || !IMAGES.contains(&ending.to_ascii_lowercase().as_str()))
        {
            let reason = format!("it must be a name that ends in one of .{}", IMAGES.join(", ."));
            return Err(Error::config("file_name", reason));
        }
        serde_json::to_vec(self).map_err(|e| Error::config("url", format!("the task cannot be sent: {e}")))
    }
}

fn check_web_address(setting: &'static str, url: &str) -> Result<()> {
    let host = ["http://", "https://"].into_iter().find_map(|scheme| {
        let (start, rest) = url.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let no_host = |character: char| matches!(character, '/' | '?' | '#') || character.is_whitespace();
    match host {
        Some(host) if !host.is_empty() && !host.starts_with(no_host) && !host.contains(char::is_control) => Ok(()),
        _ => Err(Error::config(setting, "it is not an http or https address")),
    }
}

/// What the service answers when it has created a task.
#[derive(Deserialize)]
pub(crate) struct Created {
    #[serde(rename = "taskID", deserialize_with = "number_or_string")]
    pub(crate) task_id: u64,
}

/// The service is not of one mind about how it writes ids, and this one must not be lost.
fn number_or_string<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    number.ok_or_else(|| serde::de::Error::custom("`taskID` is no whole number"))
}

/// What the service POSTs to a task's [`callback_url`](NewTask::callback_url) when the task ends. Only here it says why
/// a task failed and which file it made.
///
/// ```
/// use pan123_offline::{Callback, CallbackStatus};
///
/// let callback = Callback::from_slice(br#"{"url":"https://example.org/cat.png","status":0,"failReason":"","fileID":100}"#)?;
/// assert_eq!(callback.status, CallbackStatus::Succeeded);
/// assert_eq!(callback.file_id.as_deref(), Some("100"));
/// # Ok::<(), pan123_offline::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Callback {
    /// The address the image came from.
    pub url: String,
    /// What became of the task.
    pub status: CallbackStatus,
    /// Why it failed, if the service says so.
    pub fail_reason: Option<String>,
    /// The file it made. The service sends a number or a string; both come as a string.
    pub file_id: Option<String>,
}

impl Callback {
    /// Decodes the body of the service's request. A byte-order mark before it is skipped.
    ///
    /// # Errors
    /// [`Error::Decode`] if it is not a JSON object with `url` and `status`.
    pub fn from_slice(body: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Wire {
            url: String,
            status: i64,
            // The document's sample has one spelling, its prose the other.
            #[serde(rename = "failReason")]
            fail_reason: Option<Value>,
            #[serde(rename = "fileReason")]
            file_reason: Option<Value>,
            #[serde(rename = "fileID")]
            file_id: Option<Value>,
        }

        let wire: Wire = envelope::from_json(body).map_err(|failure| {
            let reason = "it must be an object with `url` and `status`";
            Error::Decode(DecodeError::of_callback(reason, body, failure))
        })?;
        // What is odd beside the status must not hide it.
        let text = |value: Option<Value>| match value {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        Ok(Self {
            url: wire.url,
            status: CallbackStatus::from(wire.status),
            fail_reason: text(wire.fail_reason).or_else(|| text(wire.file_reason)),
            file_id: text(wire.file_id),
        })
    }
}

/// What became of a task, from the field `status` of a [`Callback`]. Another enumeration than [`Status`].
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

impl From<i64> for CallbackStatus {
    fn from(number: i64) -> Self {
        match number {
            0 => Self::Succeeded,
            1 => Self::Failed,
            other => Self::Unknown(other),
        }
    }
}
