//! Characters of URLs, as HTML, JSON and Markdown write them.

use crate::key::ending_of_path;

/// The named character references that stand for a character of a URL or end it.
const ENTITIES: [(&[u8], char); 7] = [
    // Escaped twice, as HTML in a feed is.
    (b"&amp;amp;", '&'),
    (b"&amp;", '&'),
    (b"&quot;", '"'),
    (b"&apos;", '\''),
    (b"&lt;", '<'),
    (b"&gt;", '>'),
    (b"&nbsp;", '\u{a0}'),
];

/// Maximum number of digits of a numeric character reference, with leading zeros.
const MAX_DIGITS: usize = 7;

/// Returns the length of a character reference, such as `&amp;`, `&#038;` or `&#x26;`, and its character.
fn character_reference(text: &[u8]) -> Option<(usize, char)> {
    let Some(number) = text.strip_prefix(b"&#") else {
        let named = ENTITIES
            .into_iter()
            .find(|(name, _)| text.starts_with(name));
        return named.map(|(name, char)| (name.len(), char));
    };
    let (digits, radix) = match number {
        [b'x' | b'X', digits @ ..] => (digits, 16),
        digits => (digits, 10),
    };
    let len = digits
        .iter()
        .take(MAX_DIGITS + 1)
        .position(|&b| b == b';')?;
    let code = str::from_utf8(&digits[..len]).ok()?;
    let char = char::from_u32(u32::from_str_radix(code, radix).ok()?)?;
    Some((text.len() - digits.len() + len + 1, char))
}

/// Returns the length of the first character and itself; `None` at the end, and at bytes that are not UTF-8.
pub(super) fn first(text: &[u8]) -> Option<(usize, char)> {
    match text {
        [] => None,
        [b'\\', b'u', rest @ ..] => {
            let digits = rest.get(..4).and_then(|digits| str::from_utf8(digits).ok());
            let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            Some(
                code.and_then(char::from_u32)
                    .map_or((1, '\\'), |char| (6, char)),
            )
        }
        [b'\\', escaped, ..] if escaped.is_ascii_punctuation() => Some((2, (*escaped).into())),
        [b'&', ..] => Some(character_reference(text).unwrap_or((1, '&'))),
        [byte, ..] if byte.is_ascii() => Some((1, (*byte).into())),
        _ => {
            let start = &text[..text.len().min(4)];
            let char = start.utf8_chunks().next()?.valid().chars().next()?;
            Some((char.len_utf8(), char))
        }
    }
}

/// Returns an address without escapes, and the number of its bytes before the fragment. `None` if it is not UTF-8.
pub(super) fn decode(raw: &[u8]) -> Option<(String, usize)> {
    let mut address = String::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        let (len, char) = first(&raw[at..])?;
        if char == '#' {
            return Some((address, at));
        }
        address.push(char);
        at += len;
    }
    Some((address, at))
}

/// Returns the end of a URL that nothing encloses, where a reader would see it.
pub(super) fn bare_end(text: &[u8], start: usize) -> usize {
    let mut path = Path::default();
    // Open brackets, each with its place and the end of the URL before it.
    let mut open: Vec<(char, usize)> = Vec::new();
    // Punctuation at the end does not belong to the URL.
    let mut end = start;
    let mut at = start;
    while let Some((len, char)) = first(&text[at..]) {
        let next = &text[at + len..];
        match char {
            '\0'..=' ' | '\x7f' | '"' | '\'' | '`' | '<' | '>' | '|' | '\\' => break,
            // Of the escapes by a backslash, only those of JSON.
            _ if len == 2 && text[at] == b'\\' && char != '/' => break,
            // The end of a tag of BBCode, or of a comment.
            '[' if next.starts_with(b"/") => break,
            '-' if next.starts_with(b"->") => break,
            '(' | '[' | '{' => open.push((char, end)),
            ')' | ']' | '}' => match (open.pop(), char) {
                (Some(('[', before)), ']') if next.starts_with(b"(") => {
                    end = before;
                    break;
                }
                (Some(('(', _)), ')') | (Some(('[', _)), ']') | (Some(('{', _)), '}') => {}
                _ => break,
            },
            ',' | ';' if begins_link(next) && path.is_image() => break,
            _ if char > '\x7f' && (is_punctuation(char) || path.is_image()) => break,
            _ => {}
        }
        path.push(char);
        at += len;
        if !matches!(
            char,
            '.' | ',' | ';' | ':' | '!' | '?' | '*' | '_' | '~' | '(' | '[' | '{'
        ) {
            end = at;
        }
    }
    end
}

/// Whether another link begins here.
fn begins_link(text: &[u8]) -> bool {
    text.get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"http"))
}

/// The last characters of a URL's path.
#[derive(Default)]
struct Path {
    /// The number of slashes: the third one begins the path.
    slashes: u32,
    last: String,
    has_ended: bool,
}

impl Path {
    fn push(&mut self, char: char) {
        match char {
            '/' if !self.has_ended => {
                self.slashes += 1;
                self.last.clear();
            }
            '?' | '#' => self.has_ended = true,
            _ if !self.has_ended => self.last.push(char),
            _ => {}
        }
    }

    /// Whether the path so far, without punctuation at its end, has the ending of an image.
    fn is_image(&self) -> bool {
        let is_punctuation = |char: char| char.is_ascii_punctuation();
        let last = self.last.trim_end_matches(is_punctuation);
        // The longest ending has four letters.
        let start = last.char_indices().rev().nth(4).map_or(0, |(at, _)| at);
        self.slashes > 2 && ending_of_path(&last[start..]).is_some()
    }
}

/// Whether a character beyond ASCII is punctuation or white space.
fn is_punctuation(char: char) -> bool {
    matches!(
        char,
        // Signs of Latin-1; general, CJK, vertical, small and full-width punctuation; no letters and digits.
        '\u{80}'..='\u{bf}'
            | '\u{2000}'..='\u{206f}'
            | '\u{3000}'..='\u{3004}'
            | '\u{3008}'..='\u{3020}'
            | '\u{3030}'
            | '\u{fe10}'..='\u{fe6b}'
            | '\u{feff}'
            | '\u{ff01}'..='\u{ff0f}'
            | '\u{ff1a}'..='\u{ff20}'
            | '\u{ff3b}'..='\u{ff40}'
            | '\u{ff5b}'..='\u{ff65}'
    )
}
