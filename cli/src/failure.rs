//! Exit codes, and the errors that end the command early.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use pan123_offline::{Error, TransportErrorKind};

use crate::journal::JournalError;
use crate::signals::Signal;

/// The outcome of a run, in increasing order of severity: the worst counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ExitStatus {
    Succeeded,
    TaskFailed,
    TimedOut,
    RequestFailed,
    Usage,
    Refused,
}

impl ExitStatus {
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::Config(_) => Self::Usage,
            Error::WaitTimeout { .. } => Self::TimedOut,
            error if error.is_unauthorized() || error.is_banned() => Self::Refused,
            _ => Self::RequestFailed,
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::TaskFailed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::TimedOut => 4,
            Self::RequestFailed => 5,
        }
    }
}

/// An error that ends the command early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Invalid arguments or settings.
    Usage(String),
    /// The service refused client id and secret.
    Login(String),
    /// A request that failed.
    Service(Error),
    /// The journal cannot be used.
    Journal(JournalError),
    /// Standard output cannot be written.
    Output(io::Error),
    /// A signal ended the command, after its summary.
    Interrupted(Signal),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Service(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

pub(crate) fn usage(what: impl Into<String>) -> Failure {
    Failure::Usage(what.into())
}

impl Failure {
    /// The exit code of a program that SIGPIPE has ended: 128 + 13.
    const CLOSED_PIPE: u8 = 141;

    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => ExitStatus::Usage.code(),
            Self::Login(_) => ExitStatus::Refused.code(),
            Self::Service(error) => ExitStatus::of(error).code(),
            Self::Journal(error) if error.is_write() => ExitStatus::RequestFailed.code(),
            Self::Journal(_) => ExitStatus::Usage.code(),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Self::CLOSED_PIPE,
            Self::Output(_) => ExitStatus::RequestFailed.code(),
            Self::Interrupted(signal) => signal.exit_code(),
        }
    }

    /// Returns the message for standard error; none for a closed pipe.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Usage(what) | Self::Login(what) => Some(what.clone()),
            Self::Service(error) => Some(explain(error)),
            Self::Journal(error) => Some(error.to_string()),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Self::Output(error) => Some(format!("standard output: {error}")),
            Self::Interrupted(_) => None,
        }
    }
}

/// Prints a message on standard error. A closed standard error is no reason to fail.
pub(crate) fn eprint_line(text: &str) {
    let _ = writeln!(io::stderr(), "pan123-offline: {text}");
}

/// Returns an error with its causes and advice.
pub(crate) fn explain(error: &Error) -> String {
    describe(error) + advice(error)
}

/// Returns an error with its causes.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// Composes the texts of errors. Advice is given once, not for each of ten thousand tasks.
#[derive(Debug, Default)]
pub(crate) struct ErrorTexts {
    last_advice: &'static str,
}

impl ErrorTexts {
    /// Returns the text of an error, with advice if that differs from the last one.
    pub(crate) fn compose(&mut self, what: &str, error: &Error) -> String {
        let mut text = format!("{what}: {}", describe(error));
        let advice = advice(error);
        if advice != self.last_advice {
            text += advice;
            self.last_advice = advice;
        }
        text
    }
}

fn advice(error: &Error) -> &'static str {
    match error {
        error if error.is_banned() => {
            "\n  The service refuses this machine's address. Send no further request, and ask its support to lift the ban."
        }
        error if error.is_unauthorized() => {
            "\n  A token comes from the client id and secret that the open platform of 123pan shows: set \
             PAN123_CLIENT_ID and PAN123_CLIENT_SECRET and run `pan123-offline login`, or set a new PAN123_ACCESS_TOKEN. \
             An access token that is set goes before them."
        }
        Error::Transport(e) if e.kind == TransportErrorKind::Dns => {
            "\n  Is this machine online? If it needs a proxy, set HTTPS_PROXY."
        }
        _ => "",
    }
}
