//! The one place that decides what an error means for an image and for the run. Pure.

use pan123_offline::{Error, ErrorCode};

use crate::image::State;

/// What an error of a creation means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotCreated {
    /// The state of the image from here on.
    pub(super) state: State,
    /// The cause is not the image, so the next creation would fail, too.
    pub(super) stops_creating: bool,
}

/// Decides about an error after which the library does not repeat the creation.
pub(super) fn after_creation(error: &Error) -> NotCreated {
    let (state, stops_creating) = match error {
        Error::Config(_) => (State::Invalid, false),
        _ if error.may_have_taken_effect() => (State::Unknown, false),
        _ if error.is_transient() || concerns_run(error) => (State::New, true),
        Error::Api(_) => (State::Refused, false),
        // A gateway between here and the service, or TLS.
        _ => (State::New, true),
    };
    NotCreated {
        state,
        stops_creating,
    }
}

/// What an error of a poll means, after which the library does not poll the task again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotPolled {
    /// The service does not know the task.
    Forgotten,
    /// The task is no longer followed in this run, and stays open.
    StaysOpen,
}

pub(super) fn after_poll(error: &Error) -> NotPolled {
    match error.code() {
        Some(ErrorCode::INTERNAL | ErrorCode::FILE_NOT_FOUND) if !error.is_transient() => {
            NotPolled::Forgotten
        }
        _ => NotPolled::StaysOpen,
    }
}

/// Reports whether an error concerns all requests, and not one image.
fn concerns_run(error: &Error) -> bool {
    error.is_unauthorized()
        || error.is_banned()
        || error.is_rate_limited()
        || error.code() == Some(ErrorCode::QUOTA_EXHAUSTED)
}
