//! The errors that end the command early, and the texts of errors: with the names of options.

use std::io::{self, Write as _};

use pan123_offline::{Error, TransportErrorKind};

use crate::exit_code::ExitStatus;
use crate::store::StoreError;

/// The exit code of a program that SIGPIPE has ended: 128 + 13.
const CLOSED_PIPE: u8 = 141;

/// An error that ends the command early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A request that failed.
    Service(Error),
    /// All is said, or nobody reads it: the exit code.
    Silent(u8),
    /// Another error, with its message.
    Other(ExitStatus, String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Service(error)
    }
}

/// An error of standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Silent(CLOSED_PIPE),
            _ => Self::Other(
                ExitStatus::RequestFailed,
                format!("standard output: {error}"),
            ),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let status = match error.is_of_system() {
            true => ExitStatus::RequestFailed,
            false => ExitStatus::Usage,
        };
        Self::Other(status, error.to_string())
    }
}

/// Returns an error in the arguments or settings.
pub(crate) fn usage(what: impl Into<String>) -> Failure {
    Failure::Other(ExitStatus::Usage, what.into())
}

impl Failure {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Service(error) => ExitStatus::of(error).code(),
            Self::Silent(code) => *code,
            Self::Other(status, _) => status.code(),
        }
    }

    /// Returns the message for standard error, if there is one.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Service(error) => Some(explain(error)),
            Self::Silent(_) => None,
            Self::Other(_, text) => Some(text.clone()),
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

/// Returns an error with its causes, and the names of options in place of the library's setters.
pub(crate) fn describe(error: &Error) -> String {
    let text = match error {
        Error::Config(e) => format!("{}: {}", option_of(e.setting), e.reason),
        // Its cause says "timeout" again.
        Error::Transport(e) if e.kind == TransportErrorKind::Timeout => error.to_string(),
        _ => with_causes(error),
    };
    text.replace("`connect_timeout` or `timeout`", "`timeout`")
        .replace("`timeout`", "`--request-timeout`")
}

/// Returns the option, or other words, for a setter of the library.
fn option_of(setting: &'static str) -> &'static str {
    match setting {
        "base_url" => "--base-url",
        "timeout" => "--request-timeout",
        "access_token" => "the access token",
        "credentials" => "the client id or secret",
        "cache_file" => "--token-cache",
        "directory" => "--directory",
        "callback_url" => "--callback-url",
        "file_name" => "--file-name",
        other => other,
    }
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

/// Returns what the user can do about an error.
pub(crate) fn advice(error: &Error) -> &'static str {
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
