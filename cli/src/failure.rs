//! The errors that end the command early, and the texts of errors: with the names of options.

use std::io::{self, Write as _};

use pan123_offline::{Error, TransportErrorKind};

use crate::exit_code::ExitStatus;
use crate::signals::Signal;
use crate::store::StoreError;

/// An error that ends the command early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Invalid arguments or settings.
    Usage(String),
    /// A request that failed.
    Service(Error),
    /// The service has demanded a pause that is too long to wait for; the time that remains.
    Pause(String),
    /// The state cannot be used.
    State(StoreError),
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

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::State(error)
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
            Self::Service(error) => ExitStatus::of(error).code(),
            Self::Pause(_) => ExitStatus::RequestFailed.code(),
            Self::State(error) if error.is_of_system() => ExitStatus::RequestFailed.code(),
            Self::State(_) => ExitStatus::Usage.code(),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Self::CLOSED_PIPE,
            Self::Output(_) => ExitStatus::RequestFailed.code(),
            Self::Interrupted(signal) => signal.exit_code(),
        }
    }

    /// Returns the message for standard error; none for a closed pipe.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Usage(what) => Some(what.clone()),
            Self::Service(error) => Some(explain(error)),
            Self::Pause(remaining) => Some(format!(
                "the service has demanded a pause, of which {remaining} remain; try again then"
            )),
            Self::State(error) => Some(error.to_string()),
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
pub(crate) fn describe(error: &Error) -> String {
    match error {
        Error::Config(e) => match option_of(e.setting) {
            Some(option) => format!("{option}: {}", e.reason),
            None => format!("{}: {}", e.setting, e.reason),
        },
        // Its cause says "timeout" again.
        Error::Transport(e) if e.kind == TransportErrorKind::Timeout => {
            with_options(&error.to_string())
        }
        _ => with_options(&with_causes(error)),
    }
}

/// Returns the option, or other words, for a setter of the library.
fn option_of(setting: &str) -> Option<&'static str> {
    match setting {
        "base_url" => Some("--base-url"),
        "timeout" | "connect_timeout" => Some("--request-timeout"),
        "access_token" => Some("the access token"),
        "client_id" => Some("the client id"),
        "client_secret" => Some("the client secret"),
        "cache_file" => Some("--token-cache"),
        "directory" => Some("--directory"),
        "callback_url" => Some("--callback-url"),
        "file_name" => Some("--file-name"),
        _ => None,
    }
}

/// Names options in place of the setters of the library.
fn with_options(text: &str) -> String {
    let text = text.replace("`connect_timeout` or `timeout`", "`--request-timeout`");
    text.replace("`timeout`", "`--request-timeout`")
}

/// Returns an error with its causes, without words of the HTTP library.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let cause_text = error.to_string();
        let cause_text = without_prefix(&cause_text);
        if !text.contains(cause_text) {
            text = format!("{text}: {cause_text}");
        }
        cause = error.source();
    }
    text
}

/// Removes the prefix that the HTTP library gives to errors of the system.
pub(crate) fn without_prefix(text: &str) -> &str {
    text.strip_prefix("io: ").unwrap_or(text)
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
