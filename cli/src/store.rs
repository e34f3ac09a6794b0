//! The state of a migration: one SQLite file, `LIST.db`.
//!
//! Each change is a transaction of its own, and on disk when it returns. A process may be killed at any moment.

mod error;
mod lock;
mod schema;
mod sync;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};

pub(crate) use self::error::StoreError;
use self::error::{FOREIGN, Kind};
use self::lock::Lock;
use crate::files::with_ending;
use crate::image::{Counts, Image, State};

/// Maximum time to wait for another process, such as `links`, that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The reason of an image whose creation was cut off.
pub(crate) const CUT_OFF: &str = "the command was ended while it created the task";

const COLUMNS: &str = "id, url, line, given, name, file_name, directory, state, reason, task_id, percent, file_id, link, size, moderation";

/// The state file of a list, or a state in memory.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
    counts: Counts,
    lock: Option<Lock>,
}

/// Returns the state file of a list: by default the list's name with `.db` after it.
pub(crate) fn state_path(list: &Path, state: Option<&Path>) -> PathBuf {
    state.map_or_else(|| with_ending(list, ".db"), Path::to_owned)
}

impl Store {
    /// Opens the state for a migration, which one process can do at a time. Creates it if it does not exist; then the
    /// second value is true.
    pub(crate) fn open_for_run(path: &Path) -> Result<(Self, bool), StoreError> {
        let opened = || {
            let lock = Lock::acquire(with_ending(path, ".lock"))?.ok_or_else(|| {
                let text = "another process migrates with the {state}; wait for its end, or end it";
                StoreError::new(Kind::Unusable, text)
            })?;
            match lock::private().write(true).create_new(true).open(path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
                _ => check_is_file(path)?,
            }
            let mut connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            // First, so that a file of this program has its tables at any moment.
            let is_new = schema::migrate(&mut connection)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            // 32 MiB: a list of a million URLs is looked up in random order.
            connection.pragma_update(None, "cache_size", -32 * 1024)?;
            Ok((Self::new(connection, Some(lock))?, is_new))
        };
        opened().map_err(|error: StoreError| match error.kind {
            Kind::Absent => {
                StoreError::new(Kind::Unusable, "the folder of the {state} does not exist").at(path)
            }
            _ => error.at(path),
        })
    }

    /// Opens an existing state for a command that may run beside a migration.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = || {
            check_is_file(path)?;
            let connection = open_beside_run(path)?;
            if schema::version(&connection)? == 0 {
                let text = "the {state} is empty; `migrate` fills it";
                return Err(StoreError::new(Kind::Absent, text));
            }
            // A creation that the file tells is under way, or was cut off by a kill.
            let (state, reason) = match lock::is_held(&with_ending(path, ".lock")) {
                true => ("new", "NULL".to_owned()),
                false => ("unknown", format!("'{CUT_OFF}'")),
            };
            let state = format!("iif(state = 'creating', '{state}', state) AS state");
            let reason = format!("iif(state = 'creating', {reason}, reason) AS reason");
            let columns = COLUMNS.replace("state, reason", &format!("{state}, {reason}"));
            let sql = format!("CREATE TEMP VIEW image AS SELECT {columns} FROM main.image");
            connection.execute_batch(&sql)?;
            Self::new(connection, None)
        };
        opened().map_err(|error: StoreError| error.at(path))
    }

    /// Creates a state in memory.
    pub(crate) fn in_memory() -> Result<Self, StoreError> {
        let mut connection = Connection::open_in_memory()?;
        schema::migrate(&mut connection)?;
        Self::new(connection, None)
    }

    /// Copies a state into memory, or creates one there if the file does not exist. Then the second value is true.
    pub(crate) fn copy_of(path: &Path) -> Result<(Self, bool), StoreError> {
        let source = match Self::open(path) {
            Err(error) if error.kind == Kind::Absent => return Ok((Self::in_memory()?, true)),
            opened => opened?,
        };
        let mut connection = Connection::open_in_memory()?;
        let backup = Backup::new(&source.connection, &mut connection)?;
        backup.run_to_completion(1000, Duration::ZERO, None)?;
        drop(backup);
        Ok((Self::new(connection, None)?, false))
    }

    fn new(connection: Connection, lock: Option<Lock>) -> Result<Self, StoreError> {
        let mut store = Self {
            connection,
            counts: Counts::default(),
            lock,
        };
        store.recount()?;
        Ok(store)
    }

    /// Returns the counts of the list. An image whose creation is under way counts as new.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    fn recount(&mut self) -> Result<(), StoreError> {
        self.counts = self.count("line IS NOT NULL")?;
        Ok(())
    }

    /// Returns the counts of the images that are no longer in the list.
    pub(crate) fn counts_left(&self) -> Result<Counts, StoreError> {
        self.count("line IS NULL")
    }

    fn count(&self, condition: &str) -> Result<Counts, StoreError> {
        let sql = format!("SELECT state, count(*) FROM image WHERE {condition} GROUP BY state");
        let mut statement = self.connection.prepare(&sql)?;
        let mut counts = Counts::default();
        for row in statement.query_map([], |row| <(State, u32)>::try_from(row))? {
            let (state, count) = row?;
            counts.add(state, count.into());
        }
        Ok(counts)
    }

    pub(crate) fn image(&self, id: i64) -> Result<Image, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM image WHERE id = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row([id], image_of)?)
    }

    /// Returns the rows of the images to create, in the order of the list.
    pub(crate) fn new_images(&self) -> Result<Vec<i64>, StoreError> {
        self.numbers("id FROM image WHERE state = 'new' AND line IS NOT NULL ORDER BY line")
    }

    /// Returns the ids of the tasks that have not ended.
    pub(crate) fn open_tasks(&self) -> Result<Vec<u64>, StoreError> {
        let sql = "task_id FROM image WHERE state = 'open' ORDER BY line IS NULL, line";
        Ok(self
            .numbers(sql)?
            .into_iter()
            .map(i64::cast_unsigned)
            .collect())
    }

    fn numbers(&self, what: &str) -> Result<Vec<i64>, StoreError> {
        let mut statement = self.connection.prepare(&format!("SELECT {what}"))?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Returns the images whose open task has this id: one, unless the service gave an id twice.
    pub(crate) fn images_of(&self, task_id: u64) -> Result<Vec<Image>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM image WHERE state = 'open' AND task_id = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([task_id as i64], image_of)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Calls `f` for each image in one of these states, in the order of the list; those that are no longer in it come
    /// last.
    pub(crate) fn for_each<E: From<StoreError>>(
        &self,
        states: &[State],
        mut f: impl FnMut(Image) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |error: rusqlite::Error| StoreError::from(error);
        let names: Vec<_> = states.iter().map(|state| state.name()).collect();
        let names = names.join("', '");
        let sql = format!(
            "SELECT {COLUMNS} FROM image WHERE state IN ('{names}') ORDER BY line IS NULL, line, id"
        );
        let mut statement = self.connection.prepare(&sql).map_err(failed)?;
        for image in statement.query_map([], image_of).map_err(failed)? {
            f(image.map_err(failed)?)?;
        }
        Ok(())
    }

    /// Changes an image, on disk and in memory; in neither if the change cannot be written. Then an image whose
    /// creation is under way counts as unknown, as it does at the next start.
    pub(crate) fn change(
        &mut self,
        image: &mut Image,
        change: impl FnOnce(&mut Image),
    ) -> Result<(), StoreError> {
        let mut changed = image.clone();
        change(&mut changed);
        let sql = "UPDATE image SET state = ?2, reason = ?3, task_id = ?4, percent = ?5, \
                   file_name = ?6, directory = ?7, changed_at = unixepoch() WHERE id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let written = statement.execute(params![
            changed.id,
            changed.state,
            changed.reason,
            changed.task_id.map(|id| id as i64),
            changed.percent,
            changed.file_name,
            changed.directory,
        ]);
        let counted = match (&written, image.state) {
            (Ok(_), _) => changed.state,
            (Err(_), State::Creating) => State::Unknown,
            (Err(_), state) => state,
        };
        if image.line.is_some() {
            self.counts.shift(image.state, counted);
        }
        written?;
        *image = changed;
        Ok(())
    }

    /// Enters file id, link, size and moderation of images, in one transaction.
    pub(crate) fn set_files(&mut self, images: &[Image]) -> Result<(), StoreError> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        let sql = "UPDATE main.image SET file_id = ?2, link = ?3, size = ?4, moderation = ?5 \
                   WHERE id = ?1";
        for image in images {
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

    pub(crate) fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        let value = self.connection.query_row(sql, [key], |row| row.get(0));
        Ok(value.optional()?)
    }

    pub(crate) fn set_meta(&self, key: &str, value: &str) -> Result<(), StoreError> {
        write_meta(&self.connection, key, value)
    }

    /// Closes the file, so that nothing but itself remains. Later changes go to memory.
    pub(crate) fn close(&mut self) -> Result<(), StoreError> {
        let connection = std::mem::replace(&mut self.connection, Connection::open_in_memory()?);
        let closed = connection.close().map_err(|(_, error)| error.into());
        self.lock = None;
        closed
    }
}

impl ToSql for State {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for State {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::from_name(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

/// Reads a row of [`COLUMNS`].
fn image_of(row: &Row<'_>) -> rusqlite::Result<Image> {
    Ok(Image {
        id: row.get(0)?,
        key: row.get(1)?,
        line: row.get(2)?,
        given: row.get(3)?,
        name: row.get(4)?,
        file_name: row.get(5)?,
        directory: row.get(6)?,
        state: row.get(7)?,
        reason: row.get(8)?,
        task_id: row.get::<_, Option<i64>>(9)?.map(|id| id as u64),
        percent: row.get(10)?,
        file_id: row.get(11)?,
        link: row.get(12)?,
        size: row.get(13)?,
        moderation: row.get(14)?,
    })
}

fn check_is_file(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(path)?.is_file() {
        true => Ok(()),
        false => Err(StoreError::new(Kind::Unusable, FOREIGN)),
    }
}

fn write_meta(connection: &Connection, key: &str, value: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2";
    connection.execute(sql, [key, value])?;
    Ok(())
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // The file is read now, so that what forbids it is known.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// Opens a file that a migration may be writing. Where the folder cannot be written, reads it as it is.
fn open_beside_run(path: &Path) -> Result<Connection, StoreError> {
    let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE);
    if !matches!(&connection, Err(error) if error.kind == Kind::NoAccess) {
        return connection;
    }
    open(path, read_only).or_else(|_| {
        // Characters that mean something in a URI. Without -wal beside it, the file is whole.
        let encoded = path.to_string_lossy().replace('%', "%25");
        let encoded = encoded.replace('?', "%3f").replace('#', "%23");
        let uri = format!("file:{encoded}?immutable=1");
        open(Path::new(&uri), read_only | OpenFlags::SQLITE_OPEN_URI)
    })
}
