//! What must hold for an error.

use std::error::Error as StdError;

use pan123_offline::Error;

/// The longest text of an error, whatever it is about: two quotations of 256 characters, each of ten when escaped.
const MAX_TEXT_LEN: usize = 8 * 1024;

/// An error is shown and logged: that must not panic, steer a terminal, fill a disk, or give a secret away. `answer` is
/// what it is about.
pub fn check_error(error: &Error, answer: &[u8], secrets: &[&str]) {
    assert!(
        error.to_string().len() <= MAX_TEXT_LEN,
        "a text of {} bytes",
        error.to_string().len()
    );
    match error {
        Error::Decode(error) => assert!(error.body().chars().count() <= 256, "{}", error.body()),
        Error::Http(error) => assert!(error.body().chars().count() <= 256, "{}", error.body()),
        _ => {}
    }
    let mut cause: Option<&dyn StdError> = Some(error);
    while let Some(error) = cause {
        let text = format!("{error} {error:?}");
        assert!(
            !text.contains(char::is_control),
            "a control character in {text:?}"
        );
        assert!(
            text.len() <= MAX_TEXT_LEN + 16 * answer.len(),
            "{} bytes about {}",
            text.len(),
            answer.len()
        );
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} in {text:?}");
        }
        cause = error.source();
    }
    assert!(!format!("{error:#?}").is_empty());
    assert_eq!(error.code().is_some(), matches!(error, Error::Api(_)));
}
