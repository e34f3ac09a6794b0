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
    // Such an error concerns all requests, and not one image.
    let concerns_run = error.is_transient()
        || error.is_unauthorized()
        || error.is_banned()
        || error.is_rate_limited()
        || error.code() == Some(ErrorCode::QUOTA_EXHAUSTED);
    let (state, stops_creating) = match error {
        Error::Config(_) => (State::Invalid, false),
        _ if error.may_have_taken_effect() => (State::Unknown, false),
        Error::Api(_) if !concerns_run => (State::Refused, false),
        // Otherwise it is a gateway between here and the service, or TLS.
        _ => (State::New, true),
    };
    NotCreated {
        state,
        stops_creating,
    }
}

/// Reports whether an error of a poll says that the service does not know the task.
pub(super) fn is_forgotten(error: &Error) -> bool {
    let code = error.code();
    let is_code = matches!(code, Some(ErrorCode::INTERNAL | ErrorCode::FILE_NOT_FOUND));
    is_code && !error.may_have_taken_effect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pan123_offline::testing::{Reply, Service};
    use pan123_offline::{Client, NewTask};

    use super::*;

    #[test]
    fn decides_what_an_error_means() {
        use State::{New, Refused, Unknown};

        for (reply, state, stops_creating, forgets) in [
            (Reply::code(1, "no image"), Refused, false, true),
            (Reply::code(5066, "no file"), Refused, false, true),
            (Reply::code(77, "no plan"), Refused, false, false),
            (Reply::code(5113, "quota"), New, true, false),
            (Reply::code(401, "expired"), New, true, false),
            (Reply::code(403, "banned"), New, true, false),
            (Reply::code(429, "slow down"), New, true, false),
            (Reply::new(503), New, true, false),
            (Reply::new(404), New, true, false),
            (Reply::new(502), Unknown, false, false),
            (Reply::code(1, "late").status(502), Unknown, false, false),
            (Reply::json("{}"), Unknown, false, false),
            (Reply::nothing(), Unknown, false, false),
        ] {
            let service = Service::start().unwrap();
            service.reply_with(move |_| Some(reply.clone()));
            let builder = Client::builder().access_token("token").retries(0);
            let builder = builder.timeout(Duration::from_secs(20));
            let client = builder.base_url(service.base_url()).build().unwrap();
            let task = NewTask::new("https://e.org/a.png");
            let error = client.create_task(&task).unwrap_err();
            let expected = NotCreated {
                state,
                stops_creating,
            };
            assert_eq!(after_creation(&error), expected, "{error:?}");
            let error = client.get_process(7).unwrap_err();
            assert_eq!(is_forgotten(&error), forgets, "{error:?}");
        }
        let invalid = NewTask::new("none").validate().unwrap_err();
        assert_eq!(after_creation(&invalid).state, State::Invalid);
    }
}
