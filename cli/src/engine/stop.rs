//! Signals and the timeout: a summary first, and no creation of a task is cut off.
//!
//! While a creation is under way, the first signal lets it finish, so that its result is recorded. At any other time, and
//! at the second signal, the command ends at once.

use std::process::exit;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use super::TICK;
use super::run::Run;
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line, usage};
use crate::observer::Observer;
use crate::signals::{self, Signal};

/// Attempts to lock the run, and the delay between two: half a second altogether.
const MAX_LOCK_ATTEMPTS: u32 = 50;
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(10);
/// The time that printing the summary may take.
const EXIT_GRACE: Duration = Duration::from_secs(1);

/// The reason why a run ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Signal(Signal),
    Timeout,
}

impl Stop {
    fn exit_code(self) -> u8 {
        match self {
            Self::Signal(signal) => signal.exit_code(),
            Self::Timeout => ExitStatus::TimedOut.code(),
        }
    }
}

/// A run, shared with the threads that handle signals and show its progress.
#[derive(Clone)]
pub(super) struct Shared {
    run: Arc<Mutex<Run>>,
    observer: Observer,
    /// Set while a creation is under way, after which the command has to end.
    stop: Arc<Mutex<Option<Stop>>>,
}

impl Shared {
    pub(super) fn new(run: Run, observer: Observer) -> Self {
        Self {
            run: Arc::new(Mutex::new(run)),
            observer,
            stop: Arc::default(),
        }
    }

    /// Locks the run. Must not be held during a request.
    pub(super) fn lock(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the signal, or the timeout, that came while a creation was under way, after which the command has to end.
    pub(super) fn stop_reason(&self) -> Option<Stop> {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles signals from here on.
    pub(super) fn end_on_signals(&self) -> Result<(), Failure> {
        let shared = self.clone();
        signals::handle(move |signal| shared.stop(Stop::Signal(signal)))
            .map_err(|error| usage(format!("signals cannot be caught: {error}")))
    }

    /// Shows the progress of the run until it is closed, and ends it at the deadline.
    pub(super) fn tick_until(&self, deadline: Option<Instant>) -> Result<(), Failure> {
        let (shared, mut deadline) = (self.clone(), deadline);
        let tick = move || {
            while shared.lock().tick() {
                if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                    deadline = None;
                    shared.stop(Stop::Timeout);
                }
                thread::sleep(TICK);
            }
        };
        let thread = thread::Builder::new().name("progress".to_owned());
        Ok(thread.spawn(tick).map(drop)?)
    }

    /// Ends the command: at once, or after the creation that is under way.
    fn stop(&self, stop: Stop) {
        // Locked to the end, so that nothing is printed after the summary.
        let mut run = self.lock_soon();
        let is_first = match (self.stop_reason(), stop) {
            (None, _) | (Some(Stop::Timeout), Stop::Signal(_)) => true,
            (Some(Stop::Signal(_)), Stop::Signal(_)) => false,
            // It ends already.
            (Some(_), Stop::Timeout) => return,
        };
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop);
        match &mut run {
            // A creation that was announced, but not sent, is not sent any more.
            Some(run) if is_first && run.is_announced() && !self.observer.stop_unless_sent() => {
                if let Stop::Signal(_) = stop {
                    run.announce_end();
                }
                return;
            }
            _ => exit_after(EXIT_GRACE, stop),
        }
        let code = match &mut run {
            Some(run) => run.end_at_once(stop),
            None => {
                eprint_line(
                    "the command ends, and its output is blocked; the tasks go on at the service",
                );
                stop.exit_code()
            }
        };
        exit(code.into());
    }

    fn lock_soon(&self) -> Option<MutexGuard<'_, Run>> {
        for _ in 0..MAX_LOCK_ATTEMPTS {
            match self.run.try_lock() {
                Ok(run) => return Some(run),
                Err(TryLockError::Poisoned(run)) => return Some(run.into_inner()),
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_RETRY_DELAY),
            }
        }
        None
    }
}

/// Exits after this time, even if nothing reads the output.
fn exit_after(time: Duration, stop: Stop) {
    let _ = thread::Builder::new().spawn(move || {
        thread::sleep(time);
        exit(stop.exit_code().into());
    });
}
