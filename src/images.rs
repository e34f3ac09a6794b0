//! The images of a folder, page by page.

use std::collections::HashSet;
use std::fmt;
use std::hash::BuildHasher;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::vec;

use serde::{Deserialize, Deserializer};

use crate::endpoint;
use crate::error::{DecodeError, Error, Result};
use crate::image::{Image, RawImage};
use crate::json::{self, JsonObject};
use crate::session::Session;

/// The `lastFileId` of the last page.
const LAST_PAGE: &str = "-1";

/// The images and folders in a folder: see [`Client::images`](crate::Client::images).
///
/// Each page has 100 of them and takes one request, which waits for the client's
/// [`min_request_gap`](crate::ClientBuilder::min_request_gap). An error is the last item; what came before it is not the
/// whole folder.
#[must_use = "nothing is sent before the first step of the iterator"]
pub struct Images {
    session: Arc<Session>,
    directory_id: String,
    page: vec::IntoIter<Image>,
    /// The `lastFileId` that requests the next page: empty for the first page, `None` if there is no further one.
    next: Option<String>,
    /// Hashes of each `lastFileId` so far, so that memory stays small whatever the service sends.
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

    fn request_page(&self, last_file_id: &str) -> Result<Page> {
        self.session.wait_for_slot();
        let request = endpoint::page(&self.directory_id, last_file_id);
        let JsonObject(page) = self.session.call(request)?;
        Ok(page)
    }

    /// Takes a page that has arrived. A `lastFileId` that comes twice would make the pages a circle.
    fn accept(&mut self, page: Page) -> Result<()> {
        self.next = None;
        if page.last_file_id != LAST_PAGE {
            let hash = self.seen.hasher().hash_one(&page.last_file_id);
            if !self.seen.insert(hash) {
                let reason = "its `lastFileId` is that of an earlier page";
                return Err(Error::Decode(DecodeError::new(reason, b"", None)));
            }
            self.next = Some(page.last_file_id);
        }
        self.page = page.images.into_iter();
        Ok(())
    }
}

impl Iterator for Images {
    type Item = Result<Image>;

    fn next(&mut self) -> Option<Result<Image>> {
        loop {
            if let Some(image) = self.page.next() {
                return Some(Ok(image));
            }
            let page = self.request_page(self.next.as_deref()?);
            if let Err(error) = page.and_then(|page| self.accept(page)) {
                self.next = None;
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

/// The service's response to a request for a page.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(deserialize_with = "json::required_text")]
    last_file_id: String,
    #[serde(rename = "fileList", deserialize_with = "images")]
    images: Vec<Image>,
}

/// Deserializes a list of images; `null` is an empty one.
fn images<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<Image>, D::Error> {
    let list = Option::<Vec<JsonObject<RawImage>>>::deserialize(deserializer)?;
    let images = list.into_iter().flatten();
    Ok(images.map(|JsonObject(raw)| raw.into()).collect())
}
