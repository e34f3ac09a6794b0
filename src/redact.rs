//! Removal of secrets from the errors of responses that quote them.

use crate::error::{Error, shorten};

/// Minimum length of a secret, or of a prefix of one, that is looked for, in characters.
const MIN_SECRET_LEN: usize = 8;

/// Minimum length of a word that counts as a token in the error of a token request.
const MIN_TOKEN_WORD_LEN: usize = 16;

const REDACTED: &str = "[redacted]";

/// Removes a secret, and prefixes of it, from the texts of an error.
pub(crate) fn redact_secret(error: Error, secret: &str) -> Error {
    let redact = |text: &str| {
        let Some(start) = min_prefix(secret) else {
            return Some(text.to_owned());
        };
        let redacted = replace_prefixes(text, start, secret);
        // The text may contain the secret with escapes. Such a text is dropped as a whole. `[redacted]` can be longer than
        // the prefix that it replaces, so the text is shortened again.
        (!unescape(&redacted).contains(start)).then(|| shorten(redacted))
    };
    error.map_excerpts(redact).map_trace_id(redact)
}

/// Removes each word that looks like a token from the error of a token request, which may quote a new one.
pub(crate) fn redact_new_token(error: Error) -> Error {
    error.map_excerpts(|text| {
        let redacted: String = text
            .split_inclusive(|c| !is_token_character(c))
            .map(|part| {
                let word = part.trim_end_matches(|c| !is_token_character(c));
                if looks_like_token(word) {
                    format!("{REDACTED}{}", &part[word.len()..])
                } else {
                    part.to_owned()
                }
            })
            .collect();
        // A text with an escaped token is dropped as a whole.
        let has_escaped_token = unescape(&redacted)
            .split(|c| !is_token_character(c))
            .any(looks_like_token);
        (!has_escaped_token).then(|| shorten(redacted))
    })
}

fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '=')
}

/// Returns whether a word is as long as a token, and has digits or mixed case, as a random one and a JWT have.
fn looks_like_token(word: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| word.as_bytes().iter().any(kind);
    word.len() >= MIN_TOKEN_WORD_LEN
        && (has(u8::is_ascii_digit) || (has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase)))
}

/// Replaces each prefix of the secret that begins with `start`. If the rest of the secret does not follow as
/// it is, it may follow with escapes, so the rest of the word is removed, too.
fn replace_prefixes(text: &str, start: &str, secret: &str) -> String {
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
        if len < secret.len() {
            rest = rest.trim_start_matches(|c: char| !c.is_whitespace() || secret.contains(c));
        }
    }
    redacted.push_str(rest);
    redacted
}

fn min_prefix(secret: &str) -> Option<&str> {
    let (last, character) = secret.char_indices().nth(MIN_SECRET_LEN - 1)?;
    Some(&secret[..last + character.len_utf8()])
}

/// Undoes the escapes of JSON, URLs and HTML that a secret may be written with, up to two levels of them.
fn unescape(text: &str) -> String {
    let unescape_once = |text: &str| {
        let mut plain = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let (character, len) = escape(rest).unwrap_or((first, first.len_utf8()));
            plain.push(character);
            rest = &rest[len..];
        }
        plain
    };
    unescape_once(&unescape_once(text))
}

/// Returns the character that the escape at the start of a text stands for, and the length of the escape in bytes.
fn escape(text: &str) -> Option<(char, usize)> {
    let hex = |digits: &str| char::from_u32(u32::from_str_radix(digits, 16).ok()?);
    match text.bytes().next()? {
        b'\\' => {
            let unicode = text
                .strip_prefix("\\u")
                .and_then(|rest| hex(rest.get(..4)?));
            let other = || text[1..].chars().next();
            unicode
                .map(|character| (character, 6))
                .or_else(|| other().map(|character| (character, 1 + character.len_utf8())))
        }
        b'%' => Some((hex(text.get(1..3)?)?, 3)),
        b'&' => {
            let end = text.find(';')?;
            let character = match &text[1..end] {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                name => match name.strip_prefix("#x").or(name.strip_prefix("#X")) {
                    Some(digits) => hex(digits)?,
                    None => char::from_u32(name.strip_prefix('#')?.parse().ok()?)?,
                },
            };
            Some((character, end + 1))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::HttpError;

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
                "s3cr3t-Zq81-token, s3cr3t-Zq81-token",
                "[redacted], [redacted]",
            ),
            ("cut s3cr3t-Zq81-to", "cut [redacted]"),
            ("cut s3cr3t-Z", "cut [redacted]"),
            ("cut s3cr3t-", "cut s3cr3t-"),
            ("s3cr3t-Z and more", "[redacted] and more"),
            (r#"{"token":"s3cr3t\u002dZq81\u002Dtoken"}"#, ""),
            (r#"{"token":"s3cr3t\-Zq81-token"}"#, ""),
        ] {
            let redacted = body(|error| redact_secret(error, SECRET), text);
            assert_eq!(redacted, expected, "{text}");
        }
        for (secret, expected) in [
            ("1234567", "a 1234567"),
            ("12345678", "a [redacted]"),
            ("一二三四五六七八", "a [redacted]"),
            ("пароль-пароль", "a [redacted]"),
        ] {
            let redacted = body(|error| redact_secret(error, secret), &format!("a {secret}"));
            assert_eq!(redacted, expected);
        }
    }

    /// A gateway's page quotes the request in JSON, in a URL or in HTML, or in one of them within another.
    #[test]
    fn leaves_nothing_of_an_escaped_secret() {
        for secret in ["ab/cd&0123456789", "0123456789/ab&cd"] {
            for (slash, ampersand) in [
                ("\\/", "&"),
                ("\\u002f", "\\u0026"),
                ("\\u002F", "&"),
                ("%2F", "%26"),
                ("%2f", "&"),
                ("/", "&amp;"),
                ("&#47;", "&#38;"),
                ("&#x2F;", "&#x26;"),
                ("\\\\/", "&"),
                ("\\\\u002f", "&"),
                ("%252F", "%2526"),
                ("/", "&amp;amp;"),
            ] {
                let escaped = secret.replace('&', ampersand).replace('/', slash);
                let text = format!("Bearer {escaped} refused");
                let redacted = body(|error| redact_secret(error, secret), &text);
                let has_part = ["ab", "cd", "0123"]
                    .iter()
                    .any(|part| redacted.contains(part));
                assert!(!has_part, "{text} became {redacted}");
            }
        }
        let text = "a \\/ %2F &amp; &nothing; %zz \\u00 & % \\";
        assert_eq!(body(|error| redact_secret(error, SECRET), text), text);
    }

    #[test]
    fn keeps_no_more_than_an_excerpt() {
        let text = "x".repeat(248) + &SECRET[..MIN_SECRET_LEN];
        let redacted = body(|error| redact_secret(error, SECRET), &text);
        assert_eq!(redacted, "x".repeat(248) + "[redacte");
    }

    #[test]
    fn removes_only_what_looks_like_a_token() {
        for (text, expected) in [
            ("invalid_client_credentials", "invalid_client_credentials"),
            ("error=unsupported_grant", "error=unsupported_grant"),
            ("use eyJhbGciOiJIUzI1, please", "use [redacted], please"),
            ("eyJhbGciOi.eyJzdWIiOi.s1gnature", "[redacted]"),
            ("abcdefghIJKLMNOP is mixed", "[redacted] is mixed"),
            ("fifteen:123456789012345", "fifteen:123456789012345"),
            ("sixteen:1234567890123456", "sixteen:[redacted]"),
            (r"1234567890\u0031234567", ""),
            ("12345678%3901234567", ""),
        ] {
            assert_eq!(body(redact_new_token, text), expected, "{text}");
        }
    }
}
