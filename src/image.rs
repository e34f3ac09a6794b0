//! An image or a folder of the image host.

use serde::{Deserialize, Serialize};

use crate::json::{self, Integer, Text};

/// An image of the image host, or a folder: see [`Client::image`](crate::Client::image) and
/// [`Client::images`](crate::Client::images).
///
/// A text that the service does not send is empty, and a number is 0. Texts and links are as the service sends them, and
/// are not checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Image {
    /// Id of the file or folder. A folder's id is the `directory_id` of [`Client::images`](crate::Client::images) and
    /// the [`directory`](crate::NewTask::directory) of a new task.
    pub file_id: String,
    /// Name of the file, with its extension, or of the folder.
    pub name: String,
    /// Id of the folder that contains it. The root's id is not documented.
    pub directory_id: String,
    /// MD5 of the content, in hexadecimal digits.
    pub etag: String,
    /// Time of creation, such as `2025-03-03 15:37:34`. The service names no time zone.
    pub created_at: String,
    /// Time of the last change, such as `2025-03-03 15:37:34`. The service names no time zone.
    pub updated_at: String,
    /// Link to the image under the service's own domain.
    pub url: String,
    /// Link to the image under the user's own domain, if there is one.
    pub custom_url: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// Whether it is a folder.
    pub is_directory: bool,
    /// Result of the moderation. Above 100: rejected.
    pub status: i64,
}

impl Image {
    /// Returns the link to the image: under the user's own domain if there is one, else under the service's.
    #[must_use]
    pub fn link(&self) -> &str {
        self.custom_url.as_deref().unwrap_or(&self.url)
    }

    /// Returns whether the service's moderation has rejected the image.
    #[must_use]
    pub const fn is_rejected(&self) -> bool {
        self.status > 100
    }
}

/// An image as the service writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawImage {
    #[serde(deserialize_with = "json::required_text")]
    file_id: String,
    #[serde(deserialize_with = "json::required_text")]
    filename: String,
    parent_file_id: Option<Text>,
    etag: Option<Text>,
    create_at: Option<Text>,
    update_at: Option<Text>,
    #[serde(rename = "downloadURL")]
    download_url: Option<Text>,
    #[serde(rename = "userSelfURL")]
    user_self_url: Option<Text>,
    size: Option<Integer<u64>>,
    #[serde(rename = "type")]
    kind: Option<Integer<i64>>,
    status: Option<Integer<i64>>,
}

impl From<RawImage> for Image {
    fn from(raw: RawImage) -> Self {
        let text = |text: Option<Text>| text.unwrap_or_default().0;
        Self {
            file_id: raw.file_id,
            name: raw.filename,
            directory_id: text(raw.parent_file_id),
            etag: text(raw.etag),
            created_at: text(raw.create_at),
            updated_at: text(raw.update_at),
            url: text(raw.download_url),
            custom_url: Some(text(raw.user_self_url)).filter(|url| !url.is_empty()),
            size: raw.size.unwrap_or_default().0,
            is_directory: raw.kind.unwrap_or_default().0 == 1,
            status: raw.status.unwrap_or_default().0,
        }
    }
}
