//! The state of a migration: one SQLite file, `LIST.db`.
//!
//! Each change is a transaction of its own, and on disk when it returns. A process may be killed at any moment.

mod error;
mod host_files;
mod lock;
mod schema;
mod sync;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use self::error::Cause;
pub(crate) use self::error::StoreError;
use self::lock::Lock;
pub(crate) use self::sync::{Recreate, SyncReport};
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
    /// What an image counts as whose creation is under way according to the file.
    creating: State,
    lock: Option<Lock>,
}

/// Returns the state file of a list: by default the list's name with `.db` after it.
pub(crate) fn state_path(list: &Path, state: Option<&Path>) -> PathBuf {
    state.map_or_else(|| with_suffix(list, ".db"), Path::to_owned)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

impl Store {
    /// Opens the state for a migration, which one process can do at a time. Creates it if it does not exist; then the
    /// second value is true.
    pub(crate) fn open_for_run(path: &Path) -> Result<(Self, bool), StoreError> {
        let opened = || {
            let lock = Lock::acquire(with_suffix(path, ".lock"))?;
            let lock = lock.ok_or(Cause::Locked)?;
            create_private(path)?;
            let mut connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            let is_new = is_empty(&connection)?;
            schema::check(&connection)?;
            // First, so that a file of this program has its tables at any moment.
            schema::migrate(&mut connection)?;
            configure(&connection)?;
            let store = Self::new(connection, State::Creating, Some(lock))?;
            Ok((store, is_new))
        };
        opened().map_err(|error: StoreError| error.of_new().at(path))
    }

    /// Opens an existing state for a command that may run beside a migration.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = || {
            if !fs::metadata(path)?.is_file() {
                return Err(Cause::Foreign.into());
            }
            let connection = open_beside_run(path)?;
            schema::check(&connection)?;
            if is_empty(&connection)? {
                return Err(Cause::Empty.into());
            }
            // The creation is under way, or was cut off by a kill.
            let creating = match lock::is_held(&with_suffix(path, ".lock")) {
                true => State::New,
                false => State::Unknown,
            };
            Self::new(connection, creating, None)
        };
        opened().map_err(|error: StoreError| error.at(path))
    }

    /// Creates a state in memory.
    pub(crate) fn in_memory() -> Result<Self, StoreError> {
        let mut connection = Connection::open_in_memory()?;
        schema::migrate(&mut connection)?;
        Self::new(connection, State::Creating, None)
    }

    /// Copies a state into memory, or creates one there if the file does not exist. Then the second value is true.
    pub(crate) fn copy_of(path: &Path) -> Result<(Self, bool), StoreError> {
        let source = match Self::open(path) {
            Err(error) if error.is_absent() => return Ok((Self::in_memory()?, true)),
            opened => opened?,
        };
        let mut connection = Connection::open_in_memory()?;
        let backup = Backup::new(&source.connection, &mut connection)?;
        backup.run_to_completion(1000, Duration::ZERO, None)?;
        drop(backup);
        Ok((Self::new(connection, State::Creating, None)?, false))
    }

    fn new(
        connection: Connection,
        creating: State,
        lock: Option<Lock>,
    ) -> Result<Self, StoreError> {
        let mut store = Self {
            connection,
            counts: Counts::default(),
            creating,
            lock,
        };
        store.counts = store.count("line IS NOT NULL")?;
        Ok(store)
    }

    /// Returns the counts of the list. An image whose creation is under way counts as new.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the counts of the images that are no longer in the list.
    pub(crate) fn counts_left(&self) -> Result<Counts, StoreError> {
        self.count("line IS NULL")
    }

    fn count(&self, condition: &str) -> Result<Counts, StoreError> {
        let sql = format!("SELECT state, count(*) FROM image WHERE {condition} GROUP BY state");
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut counts = Counts::default();
        while let Some(row) = rows.next()? {
            counts.add(self.state_of(row, 0)?, row.get::<_, i64>(1)? as u64);
        }
        Ok(counts)
    }

    pub(crate) fn image(&self, id: i64) -> Result<Image, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM image WHERE id = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        statement.query_row([id], |row| Ok(self.read(row)))?
    }

    /// Returns the rows of the images to create, in the order of the list.
    pub(crate) fn new_images(&self) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT id FROM image WHERE state = 'new' AND line IS NOT NULL ORDER BY line";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Returns the ids of the tasks that have not ended.
    pub(crate) fn open_tasks(&self) -> Result<Vec<u64>, StoreError> {
        let sql = "SELECT task_id FROM image WHERE state = 'open' ORDER BY line IS NULL, line";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get(0).map(|id: i64| id as u64))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Returns the images whose open task has this id: one, unless the service gave an id twice.
    pub(crate) fn images_of(&self, task_id: u64) -> Result<Vec<Image>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM image WHERE state = 'open' AND task_id = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([task_id as i64], |row| Ok(self.read(row)))?;
        rows.map(|image| image?).collect()
    }

    /// Calls `f` for each image in one of these states, in the order of the list; those that are no longer in it come
    /// last.
    pub(crate) fn for_each<E: From<StoreError>>(
        &self,
        states: &[State],
        mut f: impl FnMut(Image) -> Result<(), E>,
    ) -> Result<(), E> {
        let is_wanted = |state: &State| states.contains(state);
        let creating = [State::Creating]
            .into_iter()
            .filter(|_| is_wanted(&self.creating));
        let names: Vec<String> = states
            .iter()
            .copied()
            .chain(creating)
            .map(|state| format!("'{}'", state.name()))
            .collect();
        let sql = format!(
            "SELECT {COLUMNS} FROM image WHERE state IN ({}) ORDER BY line IS NULL, line, id",
            names.join(", ")
        );
        let mut statement = self.connection.prepare(&sql).map_err(StoreError::from)?;
        let mut rows = statement.query([]).map_err(StoreError::from)?;
        while let Some(row) = rows.next().map_err(StoreError::from)? {
            f(self.read(row)?)?;
        }
        Ok(())
    }

    /// Reports whether a file name was sent for another image, or is its name in the list.
    pub(crate) fn is_name_taken(&self, name: &str, id: i64) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM image WHERE file_name = ?1 AND id <> ?2 LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.exists(params![name, id])?)
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
                   file_name = ?6, directory = ?7, changed_at = ?8 WHERE id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let written = statement.execute(params![
            changed.id,
            changed.state.name(),
            changed.reason,
            changed.task_id.map(|id| id as i64),
            changed.percent,
            changed.file_name,
            changed.directory,
            seconds_since_epoch()
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

    pub(crate) fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([key], |row| row.get(0)).optional()?)
    }

    pub(crate) fn set_meta(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2";
        self.connection
            .prepare_cached(sql)?
            .execute([key, value])
            .map(drop)?;
        Ok(())
    }

    /// Closes the file, so that nothing but itself remains. Later changes go to memory.
    pub(crate) fn close(&mut self) -> Result<(), StoreError> {
        let connection = std::mem::replace(&mut self.connection, Connection::open_in_memory()?);
        let closed = connection.close().map_err(|(_, error)| error.into());
        self.lock = None;
        closed
    }
    fn state_of(&self, row: &Row<'_>, column: usize) -> Result<State, StoreError> {
        let name: String = row.get(column)?;
        match State::from_name(&name) {
            Some(State::Creating) => Ok(self.creating),
            state => state.ok_or(Cause::Damaged.into()),
        }
    }

    /// Reads a row of [`COLUMNS`].
    fn read(&self, row: &Row<'_>) -> Result<Image, StoreError> {
        let mut image = Image {
            id: row.get(0)?,
            key: row.get(1)?,
            line: row.get(2)?,
            given: row.get(3)?,
            name: row.get(4)?,
            file_name: row.get(5)?,
            directory: row.get(6)?,
            state: self.state_of(row, 7)?,
            reason: row.get(8)?,
            task_id: row.get::<_, Option<i64>>(9)?.map(|id| id as u64),
            percent: row.get(10)?,
            file_id: row.get(11)?,
            link: row.get(12)?,
            size: row.get(13)?,
            moderation: row.get(14)?,
        };
        if image.state == State::Unknown && image.reason.is_none() {
            image.reason = Some(CUT_OFF.to_owned());
        }
        Ok(image)
    }
}

/// Creates an empty file for its owner only, if there is none.
fn create_private(path: &Path) -> Result<(), StoreError> {
    match lock::private().write(true).create_new(true).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        Err(_) if !fs::metadata(path)?.is_file() => Err(Cause::Foreign.into()),
        _ => Ok(()),
    }
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Opens a file that a migration may be writing. Where the folder cannot be written, reads it as it is.
fn open_beside_run(path: &Path) -> Result<Connection, StoreError> {
    let is_readable = |connection: &Connection| {
        let sql = "SELECT count(*) FROM sqlite_schema";
        connection.query_row(sql, [], |row| row.get::<_, i64>(0))
    };
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let readable = connection.and_then(|connection| {
        is_readable(&connection)?;
        Ok(connection)
    });
    match readable {
        Err(error) if error.is_no_access() => {
            let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            if is_readable(&connection).is_ok() {
                return Ok(connection);
            }
            // Without -wal beside it, the file is whole.
            let uri = format!("file:{}?immutable=1", percent_encode(path));
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            open(Path::new(&uri), flags)
        }
        other => other,
    }
}

/// Encodes the characters of a path that mean something in a URI of SQLite.
fn percent_encode(path: &Path) -> String {
    let text = path.to_string_lossy().replace('%', "%25");
    text.replace('?', "%3f").replace('#', "%23")
}

fn configure(connection: &Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // 32 MiB: a list of a million URLs is looked up in random order.
    connection.pragma_update(None, "cache_size", -32 * 1024)?;
    Ok(())
}

fn is_empty(connection: &Connection) -> Result<bool, StoreError> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

pub(crate) fn seconds_since_epoch() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| elapsed.as_secs() as i64)
}
