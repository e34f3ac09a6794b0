//! The images of a folder, page by page.

use std::collections::HashSet;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::vec;

use serde::Deserialize;

use crate::endpoint;
use crate::error::{DecodeError, Error, Result};
use crate::image::{Image, RawImage};
use crate::json::{JsonObject, Text};
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
    page: vec::IntoIter<JsonObject<RawImage>>,
    /// The `lastFileId` that requests the next page: empty for the first page, `None` if there is no further one.
    next: Option<String>,
    /// Each `lastFileId` that was sent.
    seen: HashSet<String>,
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
        let call = endpoint::page(&self.directory_id, &last_file_id);
        let page: Page = self.session.call(&call)?;
        self.seen.insert(last_file_id);
        let Text(next) = page.last_file_id;
        if self.seen.contains(&next) {
            let reason = "its `lastFileId` is that of an earlier page";
            return Err(Error::Decode(DecodeError::new(reason, b"", None)));
        }
        self.next = Some(next).filter(|next| next != LAST_PAGE);
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

/// The service's response to a request for a page.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    last_file_id: Text,
    // `null` is an empty list; with a function of its own serde does not accept an absent one.
    #[serde(deserialize_with = "Option::deserialize")]
    file_list: Option<Vec<JsonObject<RawImage>>>,
}
