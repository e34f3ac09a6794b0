//! A task to create.

use serde::{Deserialize, Deserializer, de};
use serde_json::json;

use crate::error::{Error, Result};
use crate::json::Integer;

/// The file extensions of the images that the service accepts.
const IMAGE_EXTENSIONS: [&str; 9] = [
    "png", "gif", "jpeg", "jpg", "tif", "tiff", "webp", "svg", "bmp",
];

/// A task to create: the URL of an image, and where it goes. A text converts to a task for that URL.
///
/// ```
/// use pan123_offline::NewTask;
///
/// let task = NewTask::new("https://example.org/cat.png").file_name("cat-1.png").callback_url("https://example.org/done");
/// assert_eq!(task.file_name.as_deref(), Some("cat-1.png"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct NewTask {
    /// `http` or `https` URL of the image: png, gif, jpeg, jpg, tif, tiff, webp, svg or bmp, of at most 100 MB. It is sent
    /// as it is, and has neither a space, a control character, nor a user name or password.
    pub url: String,
    /// Name of the file, with one of these extensions. `None`: the service chooses.
    pub file_name: Option<String>,
    /// Id of the target folder, which cannot be the root. `None`: the service's own folder for offline downloads.
    pub directory: Option<String>,
    /// `http` or `https` URL, with the same restrictions, to which the service POSTs when the task ends: see
    /// [`Callback`](crate::Callback). `None`: no callback.
    pub callback_url: Option<String>,
}

impl NewTask {
    /// Creates a task for the image at this [`url`](Self#structfield.url), with no other field set.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            file_name: None,
            directory: None,
            callback_url: None,
        }
    }

    /// Sets the [`file_name`](Self#structfield.file_name).
    #[must_use]
    pub fn file_name(mut self, name: impl Into<String>) -> Self {
        self.file_name = Some(name.into());
        self
    }

    /// Sets the [`directory`](Self#structfield.directory).
    #[must_use]
    pub fn directory(mut self, id: impl Into<String>) -> Self {
        self.directory = Some(id.into());
        self
    }

    /// Sets the [`callback_url`](Self#structfield.callback_url).
    #[must_use]
    pub fn callback_url(mut self, url: impl Into<String>) -> Self {
        self.callback_url = Some(url.into());
        self
    }

    /// Checks that the service can accept the task. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::Config`] with the name of the field whose value cannot work.
    pub fn validate(&self) -> Result<()> {
        validate_url("url", &self.url)?;
        if let Some(url) = &self.callback_url {
            validate_url("callback_url", url)?;
        }
        if self.directory.as_deref() == Some("") {
            return Err(Error::config("directory", "it is empty"));
        }
        match &self.file_name {
            Some(name) if !has_image_extension(name) => {
                let endings = IMAGE_EXTENSIONS.join(", .");
                let reason = format!("it must be a name that ends in one of .{endings}");
                Err(Error::config("file_name", reason))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn to_body(&self) -> Result<Vec<u8>> {
        self.validate()?;
        let mut body = json!({"url": self.url, "type": 1});
        for (name, value) in [
            ("fileName", &self.file_name),
            ("businessDirID", &self.directory),
            ("callBackUrl", &self.callback_url),
        ] {
            if let Some(value) = value {
                body[name] = value.as_str().into();
            }
        }
        Ok(body.to_string().into_bytes())
    }
}

impl From<&str> for NewTask {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for NewTask {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

fn has_image_extension(name: &str) -> bool {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    !stem.is_empty() && IMAGE_EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
}

fn validate_url(setting: &'static str, url: &str) -> Result<()> {
    let reason = if url.contains(' ') {
        "it contains a space; write %20, or trim it"
    } else if url.contains(char::is_control) {
        "it contains a control character; remove it"
    } else {
        match authority(url) {
            None | Some("") => "it is not an http or https URL",
            Some(authority) if authority.contains('@') => {
                "it contains a user name or a password; remove them"
            }
            Some(_) => return Ok(()),
        }
    };
    Err(Error::config(setting, reason))
}

/// Returns the host of an http or https URL, with the port and the login that it may have.
fn authority(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let is_http = ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str());
    rest.split(['/', '?', '#']).next().filter(|_| is_http)
}

/// The service's response to a new task.
#[derive(Deserialize)]
pub(crate) struct CreatedTask {
    #[serde(rename = "taskID", deserialize_with = "task_id")]
    pub(crate) task_id: u64,
}

/// Deserializes the id of a task, in any form of a number. No task has the id 0.
fn task_id<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u64, D::Error> {
    match Integer::deserialize(deserializer)? {
        Integer(0) => Err(de::Error::custom("`taskID` must not be 0")),
        Integer(task_id) => Ok(task_id),
    }
}
