//! `wait`: follows tasks to their ends.

use std::collections::HashSet;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use pan123_offline::{Client, NextTimeoutError, Watch};

use super::{begin, client, warn_of_cache};
use crate::args::{Common, WaitArgs};
use crate::failure::{ExitStatus, Failure};
use crate::input::{self, Entry, Task};
use crate::interrupt::Shared;

/// The interval at which new tasks and the progress of the run are looked at.
pub(super) const INTERVAL: Duration = Duration::from_millis(250);

pub(super) fn wait(
    common: &Common,
    arguments: &[String],
    wait_args: &WaitArgs,
) -> Result<ExitStatus, Failure> {
    let client = client(common)?;
    let report = begin(common)?;
    let mut input = Input::new(arguments, wait_args.timeout)?;
    {
        let mut report = report.lock();
        if wait_args.only_ends {
            report.only_ends();
        }
        if input.is_stream && !input::is_stdin_file() {
            report.print_open_ids();
        }
    }
    // Nothing is shown before it is known that the list is one of task ids.
    let first = input.take(&report, true)?;
    report.lock().set_input_open(!input.is_done());
    report.lock().follow();
    let watch = watch(wait_args.timeout, &client, first);
    let status = follow(&report, watch, Some(input))?;
    warn_of_cache(&client);
    Ok(status)
}

/// Follows tasks to their ends, and those of the input while it is being read.
pub(super) fn follow(
    report: &Shared,
    mut watch: Watch,
    mut input: Option<Input>,
) -> Result<ExitStatus, Failure> {
    loop {
        if let Some(open) = &mut input {
            watch.add(open.take(report, watch.pending() == 0)?);
            if open.is_done() {
                input = None;
            }
        }
        report.lock().set_input_open(input.is_some());
        match watch.next_timeout(INTERVAL) {
            Ok(update) => report.lock().update(&update)?,
            Err(NextTimeoutError::Finished) if input.is_none() => break,
            Err(_) => {}
        }
    }
    Ok(report.lock().finish())
}

pub(super) fn watch(timeout: Option<Duration>, client: &Client, ids: Vec<u64>) -> Watch {
    let watch = client.watch(ids);
    match timeout {
        Some(timeout) => watch.timeout(timeout),
        None => watch,
    }
}

/// A list of task ids that is read while its tasks are followed.
pub(super) struct Input {
    entries: Option<Receiver<Result<Entry<Task>, Failure>>>,
    seen: HashSet<u64>,
    /// The end of `--timeout`, after which nothing more is read.
    deadline: Option<Instant>,
    /// The list is read from standard input.
    is_stream: bool,
}

impl Input {
    fn new(arguments: &[String], timeout: Option<Duration>) -> Result<Self, Failure> {
        let (sender, entries) = mpsc::channel();
        let is_stream = arguments.iter().any(|argument| argument == "-");
        let arguments = arguments.to_vec();
        let read = move || {
            for entry in input::task_ids(&arguments) {
                if sender.send(entry).is_err() {
                    return;
                }
            }
        };
        if is_stream {
            thread::Builder::new().spawn(read)?;
        } else {
            read();
        }
        // A timeout of zero polls each task once, however long the reading takes.
        let timeout = timeout.filter(|timeout| !timeout.is_zero());
        Ok(Self {
            entries: Some(entries),
            seen: HashSet::new(),
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            is_stream,
        })
    }

    fn is_done(&self) -> bool {
        self.entries.is_none()
    }

    /// Takes the new task ids that have been read. Waits for one for a short time if `may_wait`.
    fn take(&mut self, report: &Shared, may_wait: bool) -> Result<Vec<u64>, Failure> {
        let mut ids = Vec::new();
        while let Some(entries) = &self.entries {
            let entry = match entries.try_recv() {
                Err(TryRecvError::Empty) if ids.is_empty() && may_wait => {
                    entries.recv_timeout(INTERVAL)
                }
                Err(TryRecvError::Empty) => Err(RecvTimeoutError::Timeout),
                Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
                Ok(entry) => Ok(entry),
            };
            match entry {
                Ok(Ok(Entry::Valid(task))) => {
                    if self.seen.insert(task.id) {
                        report.lock().add_task(&task);
                        ids.push(task.id);
                    }
                }
                Ok(Ok(Entry::Invalid(line))) => report.lock().invalid_line(&line),
                Ok(Err(failure)) if self.seen.is_empty() => return Err(failure),
                // The tasks that were read are followed nevertheless.
                Ok(Err(failure)) => report.lock().failure(&failure),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => self.entries = None,
            }
        }
        let is_over = |deadline| Instant::now() >= deadline;
        if self.deadline.is_some_and(is_over) || report.lock().is_refused() {
            self.entries = None;
        }
        Ok(ids)
    }
}
