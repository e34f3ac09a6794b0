//! Removal of secrets from the errors of responses that quote them.

use std::borrow::Cow;

use crate::error::{Error, shorten};

/// Minimum length of a secret, or of a prefix of one, that is looked for, in characters.
const MIN_SECRET_LEN: usize = 8;

/// Minimum length of a word that counts as a token in the error of a token request.
const MIN_TOKEN_WORD_LEN: usize = 16;

const REDACTED: &str = "[redacted]";

/// Removes a secret, and prefixes of it, from the texts of an error.
pub(crate) fn redact_secret(error: Error, secret: &str) -> Error {
    let redact = |text: &str| {
        let text = replace_prefixes(text, secret);
        // The text may contain the secret with JSON escapes. Such a text is dropped as a whole.
        if contains_prefix(&unescape(&text), secret) {
            None
        } else {
            // `[redacted]` can be longer than the prefix that it replaces, so the text is shortened again.
            Some(shorten(text.into_owned()))
        }
    };
    error.map_excerpts(redact).map_trace_id(redact)
}

/// Removes what may be a new token from the error of a token request: every text with a long word of token characters.
pub(crate) fn redact_new_token(error: Error) -> Error {
    error.map_excerpts(|text| {
        let is_token_character =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '=');
        let text_without_escapes = unescape(text);
        let has_token = text_without_escapes
            .split(|c: char| !is_token_character(c))
            .any(|word| word.len() >= MIN_TOKEN_WORD_LEN);
        (!has_token).then(|| text.to_owned())
    })
}

/// Replaces each prefix of the secret that has at least the minimum length.
fn replace_prefixes<'a>(text: &'a str, secret: &str) -> Cow<'a, str> {
    let Some(start) = min_prefix(secret).filter(|start| text.contains(start)) else {
        return Cow::Borrowed(text);
    };
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find(start) {
        let matching = rest[position..]
            .chars()
            .zip(secret.chars())
            .take_while(|(a, b)| a == b);
        let len: usize = matching.map(|(character, _)| character.len_utf8()).sum();
        redacted.push_str(&rest[..position]);
        redacted.push_str(REDACTED);
        rest = &rest[position + len..];
    }
    redacted.push_str(rest);
    Cow::Owned(redacted)
}

fn contains_prefix(text: &str, secret: &str) -> bool {
    min_prefix(secret).is_some_and(|start| text.contains(start))
}

fn min_prefix(secret: &str) -> Option<&str> {
    let (last, character) = secret.char_indices().nth(MIN_SECRET_LEN - 1)?;
    Some(&secret[..last + character.len_utf8()])
}

/// Undoes the escapes of JSON that a secret may be written with.
fn unescape(text: &str) -> String {
    let mut parts = text.split("\\u");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let character = part
            .get(..4)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .and_then(char::from_u32);
        match character {
            Some(character) => {
                plain.push(character);
                plain.push_str(&part[4..]);
            }
            None => plain.push_str(part),
        }
    }
    plain.replace('\\', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{DecodeError, HttpError};

    const SECRET: &str = "s3cr3t-Zq81-token";

    fn body(redact: impl Fn(Error) -> Error, text: &str) -> String {
        match redact(Error::Http(HttpError::new(502, text.as_bytes()))) {
            Error::Http(e) => e.body,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn replaces_secret_and_its_prefixes() {
        for (text, expected) in [
            ("nothing here", "nothing here"),
            ("Bearer s3cr3t-Zq81-token.", "Bearer [redacted]."),
            (
                "twice s3cr3t-Zq81-token, s3cr3t-Zq81-token",
                "twice [redacted], [redacted]",
            ),
            ("cut s3cr3t-Zq81-to", "cut [redacted]"),
            ("cut s3cr3t-Z", "cut [redacted]"),
            ("cut s3cr3t-", "cut s3cr3t-"),
            ("s3cr3t-Z and more", "[redacted] and more"),
            (r#"{"token":"s3cr3t\u002dZq81\u002Dtoken"}"#, ""),
            (r#"{"token":"s3cr3t\-Zq81-token"}"#, ""),
        ] {
            assert_eq!(
                body(|error| redact_secret(error, SECRET), text),
                expected,
                "{text}"
            );
        }
        assert_eq!(
            body(|error| redact_secret(error, "token"), "a token"),
            "a token",
            "too short"
        );
        assert_eq!(
            body(|error| redact_secret(error, "12345678"), "a 12345678"),
            "a [redacted]"
        );
        assert_eq!(
            body(
                |error| redact_secret(error, "一二三四五六七八"),
                "a 一二三四五六七八"
            ),
            "a [redacted]"
        );
        assert_eq!(
            body(
                |error| redact_secret(error, "пароль-пароль"),
                "a пароль-пароль"
            ),
            "a [redacted]"
        );
    }

    #[test]
    fn keeps_no_more_than_an_excerpt() {
        let text = "x".repeat(248) + &SECRET[..MIN_SECRET_LEN];
        let redacted = body(|error| redact_secret(error, SECRET), &text);
        assert_eq!(redacted, "x".repeat(248) + "[redacte");
    }

    #[test]
    fn drops_source_that_quotes_the_secret() {
        let cause = serde_json::from_str::<u8>(&format!("\"{SECRET}\"")).unwrap_err();
        let error = Error::Decode(DecodeError::new("r", b"", Some(cause)));
        assert!(std::error::Error::source(&error).is_some());
        assert!(std::error::Error::source(&redact_secret(error, SECRET)).is_none());
    }

    #[test]
    fn drops_texts_with_a_long_word() {
        for (text, expected) in [
            (
                "client id or secret is wrong",
                "client id or secret is wrong",
            ),
            ("use eyJhbGciOiJIUzI1", ""),
            ("fifteen:123456789012345", "fifteen:123456789012345"),
            ("sixteen:1234567890123456", ""),
            (r"1234567890\u0031234567", ""),
        ] {
            assert_eq!(body(redact_new_token, text), expected, "{text}");
        }
    }
}
