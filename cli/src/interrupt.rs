//! Signals that end the command: a summary first, and no creation of a task is cut off.
//!
//! While a creation is under way, the first signal lets it finish, so that its result is recorded.
//! At any other time, and at the second signal, the command ends at once.

use std::process::exit;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use crate::failure::{Failure, eprint_line, usage};
use crate::report::Report;
use crate::signals::{self, Signal};

/// Attempts to lock the state, and the delay between two: half a second altogether.
const MAX_LOCK_ATTEMPTS: u32 = 50;
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(10);
/// The time that printing the summary may take.
const EXIT_GRACE: Duration = Duration::from_secs(1);

/// The state of a command that a signal may end.
pub(crate) trait Interruptible: Send + 'static {
    /// Returns the URL of the task whose creation is under way.
    fn creating(&self) -> Option<&str> {
        None
    }

    /// Tells that the command ends after the creation that is under way.
    fn is_ending(&mut self) {}

    /// Prints the summary. Nothing is printed afterwards.
    fn interrupted(&mut self);
}

impl Interruptible for Report {
    fn interrupted(&mut self) {
        self.close();
        self.print_message(&format!(
            "interrupted: {}; the tasks go on at the service",
            self.summary()
        ));
    }
}

/// A command's state, shared with the thread that handles signals.
pub(crate) struct Shared<T = Report> {
    state: Arc<Mutex<T>>,
    signal: Arc<OnceLock<Signal>>,
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
            signal: Arc::clone(&self.signal),
        }
    }
}

impl<T: Interruptible> Shared<T> {
    pub(crate) fn new(state: T) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
            signal: Arc::new(OnceLock::new()),
        }
    }

    /// Locks the state. Must not be held during a request.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the signal that came during a creation, after which the command has to end.
    pub(crate) fn signal(&self) -> Option<Signal> {
        self.signal.get().copied()
    }

    /// Handles signals from here on.
    pub(crate) fn end_on_interrupt(&self) -> Result<(), Failure> {
        let shared = self.clone();
        signals::handle(move |signal| shared.on_signal(signal))
            .map_err(|error| usage(format!("signals cannot be caught: {error}")))
    }

    fn on_signal(&self, signal: Signal) {
        // Locked to the end, so that nothing is printed after the summary.
        let mut state = self.lock_soon();
        let is_first = self.signal.set(signal).is_ok();
        match &mut state {
            Some(state) if is_first && state.creating().is_some() => {
                state.is_ending();
                return;
            }
            _ => exit_after(EXIT_GRACE, signal),
        }
        match &mut state {
            Some(state) => {
                if let Some(url) = state.creating() {
                    let url = url.escape_debug();
                    eprint_line(&format!(
                        "the creation was cut off: a task may exist for {url}"
                    ));
                }
                state.interrupted();
            }
            None => eprint_line(
                "interrupted, and the output is blocked; the tasks go on at the service",
            ),
        }
        exit(signal.exit_code().into());
    }

    fn lock_soon(&self) -> Option<MutexGuard<'_, T>> {
        for _ in 0..MAX_LOCK_ATTEMPTS {
            match self.state.try_lock() {
                Ok(state) => return Some(state),
                Err(TryLockError::Poisoned(state)) => return Some(state.into_inner()),
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_RETRY_DELAY),
            }
        }
        None
    }
}

/// Exits after this time, even if nothing reads the output.
fn exit_after(time: Duration, signal: Signal) {
    let _ = thread::Builder::new().spawn(move || {
        thread::sleep(time);
        exit(signal.exit_code().into());
    });
}
