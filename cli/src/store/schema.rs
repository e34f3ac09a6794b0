//! The tables of the state file, and whether a file is one.

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;
use super::error::Cause;

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

/// Checks that a file is empty or has tables that this program can read. Changes nothing.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    let application_id: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version = version(connection)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match application_id {
        APPLICATION_ID if version > MIGRATIONS.len() => Err(Cause::Newer.into()),
        APPLICATION_ID => Ok(()),
        // A kill may have left a file without tables.
        0 if version == 0 && tables == 0 => Ok(()),
        _ => Err(Cause::Foreign.into()),
    }
}

/// Brings the tables to the newest version, in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    if version(connection)? == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    let version = version(&transaction)?;
    for step in MIGRATIONS.iter().skip(version) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    Ok(transaction.commit()?)
}

/// Returns the number of steps that were made.
fn version(connection: &Connection) -> Result<usize, StoreError> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    usize::try_from(version).map_err(|_| Cause::Foreign.into())
}
