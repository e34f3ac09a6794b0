//! Removal of secrets from the errors of responses that quote them.

use crate::error::Error;

/// Length of a part of a secret that is looked for, in characters.
const SECRET_PART_LEN: usize = 8;

/// Minimum length of a word that counts as a token in the error of a token request.
const MIN_TOKEN_WORD_LEN: usize = 16;

const REDACTED: &str = "[redacted]";

/// Replaces each text of an error that contains a part of a secret.
pub(crate) fn redact_secret(error: Error, secret: &str) -> Error {
    let redact = |text: &mut String| {
        if contains_part(text, secret) {
            *text = REDACTED.to_owned();
        }
    };
    let mut error = error.map_excerpts(redact);
    if let Error::Api(e) = &mut error {
        e.trace_id.iter_mut().for_each(redact);
    }
    error
}

/// Returns whether 8 successive characters of a secret are in a text. The others may be cut off. All may be written with
/// up to two levels of the escapes of JSON, URLs and HTML.
fn contains_part(text: &str, secret: &str) -> bool {
    let secret: Vec<char> = secret.chars().collect();
    let parts = secret.windows(SECRET_PART_LEN).map(String::from_iter);
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return false;
    }
    let plain = unescape(&unescape(text));
    parts.any(|part| text.contains(&part) || plain.contains(&part))
}

/// Undoes one level of escapes.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (character, len) = escape(rest).unwrap_or((first, first.len_utf8()));
        plain.push(character);
        rest = &rest[len..];
    }
    plain
}

/// Returns the character that the escape at the start of a text stands for, and the length of the escape in bytes.
fn escape(text: &str) -> Option<(char, usize)> {
    let hex = |digits: &str| char::from_u32(u32::from_str_radix(digits, 16).ok()?);
    if let Some(rest) = text.strip_prefix("\\u") {
        return Some((hex(rest.get(..4)?)?, 6));
    }
    if let Some(rest) = text.strip_prefix('\\') {
        let other = rest.chars().next()?;
        return Some((other, 1 + other.len_utf8()));
    }
    if let Some(rest) = text.strip_prefix('%') {
        return Some((hex(rest.get(..2)?)?, 3));
    }
    let (name, _) = text.strip_prefix('&')?.split_once(';')?;
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => match name.strip_prefix('#')? {
            digits if digits.starts_with(['x', 'X']) => hex(&digits[1..])?,
            digits => char::from_u32(digits.parse().ok()?)?,
        },
    };
    Some((character, name.len() + 2))
}

/// Replaces each word that looks like a token in the error of a token request, which may quote a new one.
pub(crate) fn redact_new_token(error: Error) -> Error {
    error.map_excerpts(|text| {
        let mut redacted = String::new();
        for part in text.split_inclusive(|c| !is_token_character(c)) {
            let word = part.trim_end_matches(|c| !is_token_character(c));
            let is_token = looks_like_token(word);
            redacted += if is_token { REDACTED } else { word };
            redacted += &part[word.len()..];
        }
        *text = redacted;
    })
}

/// Returns whether a character can be part of a token, or of the escape of one in JSON, a URL or HTML.
fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || r"-_.+/=\%&#;".contains(c)
}

/// Returns whether a word is as long as a token, and has digits or mixed case, as a random one and a JWT have.
fn looks_like_token(word: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| word.as_bytes().iter().any(kind);
    word.len() >= MIN_TOKEN_WORD_LEN
        && (has(u8::is_ascii_digit) || (has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::HttpError;

    fn body(redact: impl Fn(Error) -> Error, text: &str) -> String {
        match redact(Error::Http(HttpError::new(502, text.as_bytes()))) {
            Error::Http(e) => e.body,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn replaces_a_text_with_a_part_of_the_secret() {
        for (secret, text, is_replaced) in [
            ("s3cr3t-Zq81-token", "nothing here", false),
            ("s3cr3t-Zq81-token", "Bearer s3cr3t-Zq81-token.", true),
            ("s3cr3t-Zq81-token", "cut s3cr3t-Z", true),
            ("s3cr3t-Zq81-token", "cut s3cr3t-", false),
            ("s3cr3t-Zq81-token", r"\u0073\u0033cr3t-Zq81-tok", true),
            ("1234567", "a 1234567", false),
            ("12345678", "a 12345678", true),
            ("一二三四五六七八", "a 一二三四五六七八", true),
            ("abc/defgh", r"abc\/defgh", true),
            ("秘密123456", r"\u79d8\u5bc6123456", true),
            ("a/b/c/d/e/", "a%2Fb%2fc%2Fd%2Fe%2F", true),
            ("s3cr3t-Z", "&#115;3&#99;&#x72;3t-&#90;", true),
        ] {
            let redacted = body(|error| redact_secret(error, secret), text);
            let expected = if is_replaced { REDACTED } else { text };
            assert_eq!(redacted, expected, "{text}");
        }
    }

    /// A gateway's page quotes the request in JSON, in a URL or in HTML, or in one of them within another.
    #[test]
    fn leaves_nothing_of_an_escaped_secret() {
        for secret in ["ab/cd&0123456789", "0123456789/ab&cd"] {
            for (slash, ampersand) in [
                ("\\/", "&"),
                ("\\u002f", "\\u0026"),
                ("%2F", "%26"),
                ("/", "&amp;"),
                ("&#x2F;", "&#x26;"),
                ("\\\\u002f", "&"),
                ("%252F", "%2526"),
                ("/", "&amp;amp;"),
            ] {
                let escaped = secret.replace('&', ampersand).replace('/', slash);
                let text = format!("Bearer {escaped} refused");
                let redacted = body(|error| redact_secret(error, secret), &text);
                assert_eq!(redacted, REDACTED, "{text}");
            }
        }
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
            (r#""1234567890\u0031234567""#, r#""[redacted]""#),
            ("12345678%3901234567", "[redacted]"),
        ] {
            assert_eq!(body(redact_new_token, text), expected, "{text}");
        }
    }
}
