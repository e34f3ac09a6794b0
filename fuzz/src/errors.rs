//! The checks of an error.

use std::error::Error as StdError;

use pan123_offline::Error;

/// Maximum length of the text of an error: two excerpts of 256 characters, each character at most
/// ten bytes when escaped, and the words around them.
const MAX_TEXT_LEN: usize = 8 * 1024;

/// Checks that an error can be shown and logged: its text does not panic, has no control
/// characters, is bounded, and contains no secret. `bytes` are the bytes that caused the error.
pub fn check_error(error: &Error, bytes: &[u8], secrets: &[&str]) {
    assert!(
        error.to_string().len() <= MAX_TEXT_LEN,
        "a text of {} bytes",
        error.to_string().len()
    );
    match error {
        Error::Decode(error) => assert!(error.body.chars().count() <= 256, "{}", error.body),
        Error::Http(error) => assert!(error.body.chars().count() <= 256, "{}", error.body),
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
            text.len() <= MAX_TEXT_LEN + 16 * bytes.len(),
            "{} bytes about {}",
            text.len(),
            bytes.len()
        );
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} in {text:?}");
        }
        cause = error.source();
    }
    assert!(!format!("{error:#?}").is_empty());
    assert_eq!(error.code().is_some(), matches!(error, Error::Api(_)));
}
