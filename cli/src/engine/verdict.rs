//! The one place that decides what an error means for an image and for the run. Pure.

use pan123_offline::{Error, ErrorCode};

use crate::image::State;

/// Decides about an error after which the library does not repeat a creation: the state of the image, and whether the
/// next creation would fail, too.
pub(super) fn after_creation(error: &Error) -> (State, bool) {
    let concerns_all = error.is_transient()
        || error.is_unauthorized()
        || error.is_banned()
        || error.is_rate_limited()
        || error.code() == Some(ErrorCode::QUOTA_EXHAUSTED);
    match error {
        Error::Config(_) => (State::Invalid, false),
        _ if error.may_have_taken_effect() => (State::Unknown, false),
        Error::Api(_) if !concerns_all => (State::Refused, false),
        // Otherwise it is a gateway between here and the service, or TLS.
        _ => (State::New, true),
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
        for (reply, verdict, forgets) in [
            (Reply::code(1, "no image"), (State::Refused, false), true),
            (Reply::code(5066, "no file"), (State::Refused, false), true),
            (Reply::code(77, "no plan"), (State::Refused, false), false),
            (Reply::code(5113, "quota"), (State::New, true), false),
            (Reply::code(401, "expired"), (State::New, true), false),
            (Reply::code(403, "banned"), (State::New, true), false),
            (Reply::code(429, "slow"), (State::New, true), false),
            (Reply::new(503), (State::New, true), false),
            (Reply::new(404), (State::New, true), false),
            (Reply::new(502), (State::Unknown, false), false),
            (
                Reply::code(1, "").status(502),
                (State::Unknown, false),
                false,
            ),
            (Reply::json("{}"), (State::Unknown, false), false),
            (Reply::nothing(), (State::Unknown, false), false),
        ] {
            let service = Service::start().unwrap();
            service.reply_with(move |_| Some(reply.clone()));
            let builder = Client::builder().access_token("token").retries(0);
            let builder = builder.timeout(Duration::from_secs(20));
            let client = builder.base_url(service.base_url()).build().unwrap();
            let task = NewTask::new("https://e.org/a.png");
            let error = client.create_task(&task).unwrap_err();
            assert_eq!(after_creation(&error), verdict, "{error:?}");
            let error = client.get_process(7).unwrap_err();
            assert_eq!(is_forgotten(&error), forgets, "{error:?}");
        }
        let invalid = NewTask::new("none").validate().unwrap_err();
        assert_eq!(after_creation(&invalid), (State::Invalid, false));
    }
}
