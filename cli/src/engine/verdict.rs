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
        Some(ErrorCode::INTERNAL | ErrorCode::FILE_NOT_FOUND) if !error.may_have_taken_effect() => {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pan123_offline::testing::{Reply, Service};
    use pan123_offline::{Client, NewTask};

    use super::*;

    /// Returns the errors of a creation and of a poll with this reply.
    fn errors(reply: &Reply) -> [Error; 2] {
        let service = Service::start().unwrap();
        let reply = reply.clone();
        service.reply_with(move |_| Some(reply.clone()));
        let builder = Client::builder().access_token("token").retries(0);
        let builder = builder.timeout(Duration::from_secs(20));
        let client = builder.base_url(service.base_url()).build().unwrap();
        let task = NewTask::new("https://e.org/a.png");
        let created = client.create_task(&task).unwrap_err();
        [created, client.get_process(7).unwrap_err()]
    }

    #[test]
    fn decides_what_an_error_means() {
        use NotPolled::{Forgotten, StaysOpen};
        use State::{New, Refused, Unknown};

        for (reply, state, stops_creating, polled) in [
            (Reply::code(1, "no image"), Refused, false, Forgotten),
            (Reply::code(5066, "no file"), Refused, false, Forgotten),
            (Reply::code(77, "no plan"), Refused, false, StaysOpen),
            (Reply::code(5113, "quota"), New, true, StaysOpen),
            (Reply::code(401, "expired"), New, true, StaysOpen),
            (Reply::code(403, "banned"), New, true, StaysOpen),
            (Reply::code(429, "slow down"), New, true, StaysOpen),
            (Reply::new(503), New, true, StaysOpen),
            (Reply::new(404), New, true, StaysOpen),
            (Reply::new(502), Unknown, false, StaysOpen),
            (
                Reply::code(1, "late").status(502),
                Unknown,
                false,
                StaysOpen,
            ),
            (Reply::json("{}"), Unknown, false, StaysOpen),
            (Reply::nothing(), Unknown, false, StaysOpen),
        ] {
            let [created, not_polled] = errors(&reply);
            let expected = NotCreated {
                state,
                stops_creating,
            };
            assert_eq!(after_creation(&created), expected, "{created:?}");
            assert_eq!(after_poll(&not_polled), polled, "{not_polled:?}");
        }
        let invalid = NewTask::new("none").validate().unwrap_err();
        assert_eq!(after_creation(&invalid).state, State::Invalid);
    }
}
