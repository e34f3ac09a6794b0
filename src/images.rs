//! Images and folders of the image host: one of them, and those in a folder, page by page.

use std::collections::HashSet;
use std::fmt;
use std::hash::BuildHasher;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::vec;

use serde::{Deserialize, Serialize};

use crate::endpoint;
use crate::error::{DecodeError, Error, Result};
use crate::json::{self, Integer, JsonObject, Text};
use crate::session::Session;

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

/// The images and folders in a folder: see [`Client::images`](crate::Client::images).
///
/// Each page has 100 of them and takes one request, which waits for the client's
/// [`min_request_gap`](crate::ClientBuilder::min_request_gap). An error is the last item; what came before it is not the
/// whole folder.
#[must_use = "nothing is sent before the first step of the iterator"]
pub struct Images {
    session: Arc<Session>,
    directory_id: String,
    page: vec::IntoIter<JsonObject<RawImage>>,
    /// The `lastFileId` that requests the next page: empty for the first page, `None` if there is no further one.
    next: Option<String>,
    /// Hashes of each `lastFileId` that was sent, so that memory stays small whatever the service sends.
    seen: HashSet<u64>,
}

impl Images {
    pub(crate) fn new(session: Arc<Session>, directory_id: &str) -> Self {
        Self {
            session,
            directory_id: directory_id.to_owned(),
            page: Vec::new().into_iter(),
            next: Some(String::new()),
            seen: HashSet::new(),
        }
    }

    /// Requests a page. A `lastFileId` that comes twice, or is empty, would make the pages a circle.
    fn request_page(&mut self, last_file_id: String) -> Result<()> {
        self.session.wait_for_slot();
        let request = endpoint::page(&self.directory_id, &last_file_id);
        let page: Page = self.session.call(request)?;
        let hasher = self.seen.hasher().clone();
        self.seen.insert(hasher.hash_one(&last_file_id));
        let Text(next) = page.last_file_id;
        if self.seen.contains(&hasher.hash_one(&next)) {
            let reason = "its `lastFileId` is that of an earlier page";
            return Err(Error::Decode(DecodeError::new(reason, b"", None)));
        }
        // The last page has `-1`.
        self.next = Some(next).filter(|next| next != "-1");
        self.page = page.file_list.unwrap_or_default().into_iter();
        Ok(())
    }
}

impl Iterator for Images {
    type Item = Result<Image>;

    fn next(&mut self) -> Option<Result<Image>> {
        loop {
            if let Some(JsonObject(image)) = self.page.next() {
                return Some(Ok(image.into()));
            }
            let last_file_id = self.next.take()?;
            if let Err(error) = self.request_page(last_file_id) {
                return Some(Err(error));
            }
        }
    }
}

impl FusedIterator for Images {}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images")
            .field("directory_id", &self.directory_id)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    last_file_id: Text,
    // `null` is an empty list; with a function of its own serde does not accept an absent one.
    #[serde(deserialize_with = "Option::deserialize")]
    file_list: Option<Vec<JsonObject<RawImage>>>,
}
