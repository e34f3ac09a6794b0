//! Ctrl-C and SIGTERM: a summary, then the end.

use std::process::exit;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use crate::failure::{Failure, eprint_line, usage};
use crate::report::Report;

/// The exit code of a program that SIGINT has ended: 128 + 2.
const INTERRUPTED: i32 = 130;

/// Attempts to lock the report, and the delay between two: half a second altogether.
const MAX_LOCK_ATTEMPTS: u32 = 50;
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(10);
/// The time that printing the summary may take.
const EXIT_GRACE: Duration = Duration::from_secs(1);

/// The report, shared with the thread that handles Ctrl-C.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Report>>);

impl Shared {
    pub(crate) fn new(report: Report) -> Self {
        Self(Arc::new(Mutex::new(report)))
    }

    /// Locks the report. Must not be held during a request.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Report> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the program on Ctrl-C and SIGTERM, in the middle of a request, too.
    pub(crate) fn end_on_interrupt(&self) -> Result<(), Failure> {
        let shared = self.clone();
        // A signal that is ignored (nohup, a shell's `&`) stays ignored; then none is handled.
        match ctrlc::try_set_handler(move || shared.end()) {
            Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(()),
            Err(error) => Err(usage(format!("Ctrl-C cannot be caught: {error}"))),
        }
    }

    /// Prints the summary and exits, after `EXIT_GRACE` even if nothing reads the output.
    fn end(&self) {
        let _ = thread::Builder::new().spawn(|| {
            thread::sleep(EXIT_GRACE);
            exit(INTERRUPTED);
        });
        // Locked to the end, so that nothing is printed after the summary.
        let mut report = self.lock_soon();
        if let Some(report) = &mut report {
            report.close();
            report.say(&format!(
                "interrupted: {}; the tasks go on at the service",
                report.summary()
            ));
        } else {
            eprint_line("interrupted, and the output is blocked; the tasks go on at the service");
        }
        exit(INTERRUPTED);
    }

    fn lock_soon(&self) -> Option<MutexGuard<'_, Report>> {
        for _ in 0..MAX_LOCK_ATTEMPTS {
            match self.0.try_lock() {
                Ok(report) => return Some(report),
                Err(TryLockError::Poisoned(report)) => return Some(report.into_inner()),
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_RETRY_DELAY),
            }
        }
        None
    }
}
