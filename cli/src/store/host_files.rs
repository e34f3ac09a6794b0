//! The files of the images at the image host.

use rusqlite::{TransactionBehavior, params};

use super::{Store, StoreError};

/// The file of an image.
#[derive(Debug)]
pub(crate) struct HostFile {
    pub(crate) id: String,
    /// A link that is safe in texts; `None` if there is none, or the image was rejected.
    pub(crate) link: Option<String>,
    pub(crate) size: u64,
    pub(crate) moderation: i64,
}

impl Store {
    /// Enters the files of images, in one transaction. `None` removes what was known.
    pub(crate) fn set_files(
        &mut self,
        files: &[(i64, Option<HostFile>)],
    ) -> Result<(), StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut update = transaction.prepare_cached(
                "UPDATE image SET file_id = ?2, link = ?3, size = ?4, moderation = ?5 WHERE id = ?1",
            )?;
            for (image, file) in files {
                let file = file.as_ref();
                update.execute(params![
                    image,
                    file.map(|file| &file.id),
                    file.and_then(|file| file.link.as_ref()),
                    file.and_then(|file| i64::try_from(file.size).ok()),
                    file.map(|file| file.moderation),
                ])?;
            }
        }
        Ok(transaction.commit()?)
    }
}
