//! The signals of the system: Ctrl-C (SIGINT), SIGTERM and SIGHUP.

use std::io;
#[cfg(unix)]
use std::thread;

/// A signal that ends the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal(u8);

impl Signal {
    /// Returns the exit code of a program that the signal has ended: 128 and the signal's number.
    pub(crate) fn exit_code(self) -> u8 {
        128 + self.0
    }
}

/// Calls `on_signal` for each signal, on a thread of its own. A signal that is ignored (nohup, a
/// shell's `&`) stays ignored.
#[cfg(unix)]
pub(crate) fn handle(mut on_signal: impl FnMut(Signal) + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    // SIGHUP is not handled if the system does not list the ignored signals.
    let ignored = ignored_signals().unwrap_or(1 << (SIGHUP - 1));
    let handled = [SIGINT, SIGTERM, SIGHUP].into_iter();
    let handled = handled.filter(|signal| ignored & (1 << (signal - 1)) == 0);
    let mut signals = Signals::new(handled)?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                on_signal(Signal(signal as u8));
            }
        })
        .map(drop)
}

/// Makes a write beyond the limit of a file's size an error, where the system would end the process.
#[cfg(unix)]
pub(crate) fn survive_file_limit() {
    let unused = std::sync::Arc::default();
    // At worst the system ends the process.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, unused);
}

/// Returns the set of ignored signals, one bit for each, where the system tells it (Linux).
#[cfg(unix)]
fn ignored_signals() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// Calls `on_signal` for Ctrl-C and for the end of the console, on a thread of its own.
#[cfg(not(unix))]
pub(crate) fn handle(mut on_signal: impl FnMut(Signal) + Send + 'static) -> io::Result<()> {
    const INTERRUPT: Signal = Signal(2);

    ctrlc::try_set_handler(move || on_signal(INTERRUPT)).map_err(io::Error::other)
}
