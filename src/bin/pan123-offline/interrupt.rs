//! Ctrl-C: the end, at once, with what is known.

use std::io::{self, Write};
use std::process::exit;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use crate::failure::{Failure, usage};
use crate::report::Report;

/// As a shell reports a program that SIGINT has ended.
const INTERRUPTED: i32 = 130;

/// How often, and after which pause, the report is tried for: half a second altogether.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);
/// How long it may take to tell what is known.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The report, which the thread that waits for Ctrl-C must be able to finish at any moment.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Report>>);

impl Shared {
    pub(crate) fn new(report: Report) -> Self {
        Self(Arc::new(Mutex::new(report)))
    }

    /// Never held over a request.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Report> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the program on Ctrl-C and SIGTERM, in the middle of a request, too.
    pub(crate) fn end_on_interrupt(&self) -> Result<(), Failure> {
        let shared = self.clone();
        // A signal that is ignored stays so: nohup and a shell's `&` have their reasons. Then none is caught.
        match ctrlc::try_set_handler(move || shared.end()) {
            Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(()),
            Err(error) => Err(usage(format!("Ctrl-C cannot be caught: {error}"))),
        }
    }

    /// Whoever reads what is printed may have stopped: that holds up words, but not the end.
    fn end(&self) {
        let _ = thread::Builder::new().spawn(|| {
            thread::sleep(LAST_WORDS);
            exit(INTERRUPTED);
        });
        // Kept to the end, so that nothing is told after it.
        let mut report = self.lock_soon();
        if let Some(report) = &mut report {
            report.close();
            report.say(&format!(
                "interrupted: {}; the tasks go on at the service",
                report.summary()
            ));
        } else {
            let known = "interrupted, with nobody reading what is known";
            let _ = writeln!(
                io::stderr(),
                "pan123-offline: {known}; the tasks go on at the service"
            );
        }
        exit(INTERRUPTED);
    }

    fn lock_soon(&self) -> Option<MutexGuard<'_, Report>> {
        for _ in 0..ATTEMPTS {
            match self.0.try_lock() {
                Ok(report) => return Some(report),
                Err(TryLockError::Poisoned(report)) => return Some(report.into_inner()),
                Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            }
        }
        None
    }
}
