//! The files of the images at the image host.

use rusqlite::{TransactionBehavior, params};

use super::{Store, StoreError};
use crate::image::Image;

impl Store {
    /// Enters file id, link, size and moderation of images, in one transaction.
    pub(crate) fn set_files(&mut self, images: &[Image]) -> Result<(), StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for image in images {
            let sql = "UPDATE image SET file_id = ?2, link = ?3, size = ?4, moderation = ?5 WHERE id = ?1";
            transaction.prepare_cached(sql)?.execute(params![
                image.id,
                image.file_id,
                image.link,
                image.size,
                image.moderation,
            ])?;
        }
        Ok(transaction.commit()?)
    }
}
