//! Writing a journal: locked, one record at a time, on disk before a request is sent.

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use super::history::History;
use super::read::{check_is_file, recover};
use super::record::{NotCreated, Record, Step, header, rfc3339};
use super::{JournalError, JournalErrorKind};
use crate::input::Item;

/// The maximum time for which a record that announces no request is not on disk.
const MAX_SYNC_DELAY: Duration = Duration::from_secs(1);

/// The size of the buffer for reading single records.
const READ_BUFFER_LEN: usize = 1024;

/// The file that the journal writes to.
pub(super) trait Storage: Send + Sync + 'static {
    fn write(&self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once everything that was written is on disk.
    fn sync(&self) -> io::Result<()>;
}

impl Storage for File {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A journal that is locked and open for writing.
#[derive(Debug)]
pub(crate) struct Journal {
    writer: Writer<File>,
    history: History,
    lines: u32,
    len: u64,
    /// The same file, for reading.
    reader: BufReader<File>,
    path: PathBuf,
    /// The lock, where it is a file of its own.
    _lock: Option<File>,
}

impl Journal {
    /// Opens or creates a journal, locks it, checks each line, and cuts off an incomplete last one.
    pub(crate) fn open(path: &Path) -> Result<Self, JournalError> {
        Self::open_file(path).map_err(|error| error.at(path))
    }

    fn open_file(path: &Path) -> Result<Self, JournalErrorKind> {
        if path.try_exists().map_err(JournalErrorKind::Read)? {
            check_is_file(path)?;
        }
        let mut file = open_or_create(path).map_err(JournalErrorKind::Read)?;
        let lock = lock(path, &file).map_err(|error| match error {
            TryLockError::WouldBlock => JournalErrorKind::InUse,
            TryLockError::Error(error) => JournalErrorKind::Read(error),
        })?;
        let recovery = recover(&file)?;
        let reader = File::open(path).map_err(JournalErrorKind::Read)?;
        let prepare = || {
            let mut len = recovery.len;
            file.set_len(len)?;
            file.seek(SeekFrom::Start(len))?;
            if recovery.lines == 0 {
                let header = header(SystemTime::now());
                file.write_all(header.as_bytes())?;
                file.sync_all()?;
                sync_folder_of(path)?;
                len = header.len() as u64;
            }
            Ok((Writer::new(file)?, len))
        };
        let (writer, len) = prepare().map_err(JournalErrorKind::Write)?;
        Ok(Self {
            writer,
            history: recovery.history,
            lines: recovery.lines.max(1),
            len,
            reader: BufReader::with_capacity(READ_BUFFER_LEN, reader),
            path: path.to_owned(),
            _lock: lock,
        })
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn history_mut(&mut self) -> &mut History {
        &mut self.history
    }

    /// Records a step of one line. A `creating` record is on disk when this returns; after an
    /// error nothing may be sent, and every further call fails.
    pub(crate) fn append(&mut self, item: &Item, step: Step<'_>) -> Result<(), JournalError> {
        self.append_record(item.url(), item.file_name(), step)
    }

    /// Records an invalid line.
    pub(crate) fn append_invalid(&mut self, line: &str, reason: &str) -> Result<(), JournalError> {
        let step = Step::NotCreated {
            outcome: NotCreated::Invalid,
            reason: reason.into(),
        };
        self.append_record(line, None, step)
    }

    fn append_record(
        &mut self,
        url: &str,
        file_name: Option<&str>,
        step: Step<'_>,
    ) -> Result<(), JournalError> {
        let record = Record {
            at: rfc3339(SystemTime::now()).into(),
            url: url.into(),
            file_name: file_name.map(Into::into),
            step,
        };
        self.lines = self.lines.saturating_add(1);
        let line = record.to_line();
        let applied = self.history.apply(&record, self.lines, self.len);
        self.len += line.len() as u64;
        let is_announcement = record.step == Step::Creating;
        let result = applied
            .map_err(io::Error::other)
            .and_then(|()| self.writer.append(&line, is_announcement));
        result.map_err(|error| JournalErrorKind::Write(error).at(&self.path))
    }

    /// Reads the lines of the list whose open task has this id.
    pub(crate) fn items_of(&mut self, task_id: u64) -> Result<Vec<Item>, JournalError> {
        let offsets = self.history.created_records(task_id);
        let items = offsets.into_iter().map(|offset| self.item_at(offset));
        let items: io::Result<Vec<Item>> = items.collect();
        items.map_err(|error| JournalErrorKind::Read(error).at(&self.path))
    }

    fn item_at(&mut self, offset: u64) -> io::Result<Item> {
        self.reader.seek(SeekFrom::Start(offset))?;
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        let record = Record::parse(&line).map_err(|error| io::Error::other(error.reason))?;
        Ok(Item::new(&record.url, record.file_name.as_deref()))
    }

    /// Brings everything to disk.
    pub(crate) fn sync(&mut self) -> Result<(), JournalError> {
        self.writer
            .sync()
            .map_err(|error| JournalErrorKind::Write(error).at(&self.path))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The thread that syncs may keep the file open for another second.
        let _ = self.writer.storage().unlock();
    }
}

/// Appends records, and brings them to disk: at once, or by a thread within `MAX_SYNC_DELAY`.
#[derive(Debug)]
pub(super) struct Writer<S: Storage> {
    shared: Arc<Shared<S>>,
    wake: SyncSender<()>,
    has_failed: bool,
}

#[derive(Debug)]
struct Shared<S> {
    storage: S,
    /// The error of a sync by the thread.
    error: Mutex<Option<io::Error>>,
}

impl<S: Storage> Writer<S> {
    pub(super) fn new(storage: S) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            storage,
            error: Mutex::new(None),
        });
        let (wake, woken) = mpsc::sync_channel::<()>(1);
        let of_thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("sync".to_owned())
            .spawn(move || {
                while woken.recv().is_ok() {
                    thread::sleep(MAX_SYNC_DELAY);
                    if let Err(error) = of_thread.storage.sync() {
                        *of_thread
                            .error
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner) = Some(error);
                    }
                }
            })?;
        Ok(Self {
            shared,
            wake,
            has_failed: false,
        })
    }

    fn storage(&self) -> &S {
        &self.shared.storage
    }

    /// Appends a record. An announcement is on disk when this returns.
    pub(super) fn append(&mut self, line: &str, is_announcement: bool) -> io::Result<()> {
        self.guarded(|writer| {
            writer.storage().write(line.as_bytes())?;
            if is_announcement {
                return writer.storage().sync();
            }
            // A full channel has woken the thread already.
            let _ = writer.wake.try_send(());
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.guarded(|writer| writer.storage().sync())
    }

    /// Fails if anything has failed before: a record after an incomplete one would be damage.
    fn guarded(&mut self, write: impl FnOnce(&Self) -> io::Result<()>) -> io::Result<()> {
        if self.has_failed {
            return Err(io::Error::other("an earlier record could not be written"));
        }
        let of_thread = self
            .shared
            .error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let result = of_thread.map_or_else(|| write(self), Err);
        self.has_failed = result.is_err();
        result
    }
}

fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

/// Locks the journal itself. The lock is advisory, so that other processes can read.
#[cfg(unix)]
fn lock(_: &Path, file: &File) -> Result<Option<File>, TryLockError> {
    file.try_lock()?;
    Ok(None)
}

/// Locks `<path>.lock`, because Windows lets no other process read a locked file.
#[cfg(not(unix))]
fn lock(path: &Path, _: &File) -> Result<Option<File>, TryLockError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let options = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .clone();
    let lock = options.open(name).map_err(TryLockError::Error)?;
    lock.try_lock()?;
    Ok(Some(lock))
}

/// Brings the name of a new file to disk.
#[cfg(unix)]
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let path = path.canonicalize()?;
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// The name of a new file is on disk with the file on Windows.
#[cfg(not(unix))]
fn sync_folder_of(_: &Path) -> io::Result<()> {
    Ok(())
}
