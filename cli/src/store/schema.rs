//! The tables of the state file, and whether a file is one.

use rusqlite::{Connection, TransactionBehavior};

use super::error::{FOREIGN, Kind, StoreError};

/// Marks a SQLite file as one of this program: "P123".
const APPLICATION_ID: i32 = 0x5031_3233;

/// The steps from one version of the tables to the next; `user_version` counts those that were made.
const MIGRATIONS: &[&str] = &["
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE image (
    id INTEGER PRIMARY KEY,
    -- The key of the URL; of an invalid line, its text.
    url TEXT NOT NULL UNIQUE,
    -- Place and spelling in the list. line is NULL if the image is no longer in it.
    line INTEGER,
    given TEXT NOT NULL,
    -- The name in the list; what was sent.
    name TEXT,
    file_name TEXT,
    directory TEXT,
    state TEXT NOT NULL,
    reason TEXT,
    task_id INTEGER,
    percent INTEGER,
    file_id TEXT,
    link TEXT,
    size INTEGER,
    moderation INTEGER,
    -- Seconds since 1970.
    changed_at INTEGER
) STRICT;
CREATE INDEX image_task ON image (task_id) WHERE state = 'open';
CREATE INDEX image_file_name ON image (file_name) WHERE file_name IS NOT NULL;
"];

/// Returns the number of steps that were made: zero for a file without tables, which a kill may have left. Another
/// program's file, or that of a newer version, is an error.
pub(super) fn version(connection: &Connection) -> Result<usize, StoreError> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let version = usize::try_from(number("PRAGMA user_version")?).unwrap_or(usize::MAX);
    match number("PRAGMA application_id")? as i32 {
        APPLICATION_ID if version > MIGRATIONS.len() => Err(StoreError::new(
            Kind::Unusable,
            "the {state} was written by a newer version of this program; update it",
        )),
        APPLICATION_ID => Ok(version),
        0 if version == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0 => Ok(0),
        _ => Err(StoreError::new(Kind::Unusable, FOREIGN)),
    }
}

/// Brings the tables to the newest version, in one transaction. Returns whether there were none.
pub(super) fn migrate(connection: &mut Connection) -> Result<bool, StoreError> {
    let version = version(connection)?;
    if version < MIGRATIONS.len() {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        for step in &MIGRATIONS[version..] {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
        transaction.commit()?;
    }
    Ok(version == 0)
}
