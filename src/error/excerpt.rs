//! Text from outside, shortened and escaped.

use std::fmt;
use std::fmt::Write;

/// Maximum length of a text that an error keeps of a response, in characters.
pub(crate) const MAX_EXCERPT_CHARS: usize = 256;

/// Returns the start of a text.
pub(crate) fn shorten(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_EXCERPT_CHARS) {
        text.truncate(end);
        text.shrink_to_fit();
    }
    text
}

/// Returns the start of a body. Bytes that are not UTF-8 are replaced.
pub(super) fn excerpt(body: &[u8]) -> String {
    // A character has four bytes at most, so a long body is not converted whole.
    let start = &body[..body.len().min(4 * MAX_EXCERPT_CHARS)];
    shorten(String::from_utf8_lossy(start).into_owned())
}

/// Appends a quoted text, if it is not empty.
pub(super) fn write_quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if text.is_empty() {
        Ok(())
    } else {
        write!(f, "; received: {}", Escaped(text))
    }
}

/// A text without control characters and changes of the writing direction, so that a server cannot control a terminal.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars().take(MAX_EXCERPT_CHARS) {
            let is_directional = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if character.is_control() || is_directional {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}
