//! Characters of addresses, as HTML, JSON and Markdown write them.

use std::ops::Range;

use crate::key::ending_of_path;

/// Maximum length of a character reference after its `&`, with leading zeros.
const MAX_REFERENCE_LEN: usize = 10;

/// Returns the characters of a text, each with its bytes. [`char::REPLACEMENT_CHARACTER`] stands for a byte that is
/// not UTF-8.
pub(super) fn all(text: &[u8]) -> impl Iterator<Item = (Range<usize>, char)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (len, char) = first(&text[at..])?;
        at += len;
        Some((at - len..at, char))
    })
}

/// Returns the length of the first character and itself.
fn first(text: &[u8]) -> Option<(usize, char)> {
    match text {
        [] => None,
        [b'\\', b'u', rest @ ..] => {
            let char = rest.get(..4).and_then(|digits| numbered(digits, 16));
            Some(char.map_or((1, '\\'), |char| (6, char)))
        }
        [b'\\', escaped, ..] if escaped.is_ascii_punctuation() => Some((2, (*escaped).into())),
        [b'&', ..] => {
            let (mut len, mut char) = (1, '&');
            // HTML in a feed is escaped twice.
            while char == '&'
                && let Some((more, next)) = reference(&text[len..])
            {
                (len, char) = (len + more, next);
            }
            Some((len, char))
        }
        [byte, ..] if byte.is_ascii() => Some((1, (*byte).into())),
        _ => {
            let start = text[..text.len().min(4)].utf8_chunks().next()?;
            let char = start.valid().chars().next();
            let char = char.unwrap_or(char::REPLACEMENT_CHARACTER);
            Some((
                if start.valid().is_empty() {
                    1
                } else {
                    char.len_utf8()
                },
                char,
            ))
        }
    }
}

/// Returns the length of a character reference such as `&amp;`, `&#038;` or `&#x26;` after its `&`, and its character:
/// one of a URL, or one that ends it.
fn reference(text: &[u8]) -> Option<(usize, char)> {
    let mut bytes = text.iter().take(MAX_REFERENCE_LEN);
    let len = bytes.position(|byte| *byte == b';')?;
    let char = match &text[..len] {
        [b'#', b'x' | b'X', digits @ ..] => numbered(digits, 16)?,
        [b'#', digits @ ..] => numbered(digits, 10)?,
        b"amp" => '&',
        b"quot" => '"',
        b"apos" => '\'',
        b"lt" => '<',
        b"gt" => '>',
        b"nbsp" => '\u{a0}',
        _ => return None,
    };
    Some((len + 1, char))
}

fn numbered(digits: &[u8], radix: u32) -> Option<char> {
    let digits = str::from_utf8(digits).ok()?;
    char::from_u32(u32::from_str_radix(digits, radix).ok()?)
}

/// Returns an address without escapes, and the number of its bytes before the fragment. `None` if it is not UTF-8.
pub(super) fn decode(raw: &[u8]) -> Option<(String, usize)> {
    let mut address = String::with_capacity(raw.len());
    for (bytes, char) in all(raw) {
        match char {
            '#' => return Some((address, bytes.start)),
            char::REPLACEMENT_CHARACTER => return None,
            _ => address.push(char),
        }
    }
    Some((address, raw.len()))
}

/// Returns the length of the address at the beginning of a text, which nothing encloses: of a URL to where a reader
/// sees its end, of the target of a Markdown link to where white space or the bracket of the link ends it.
pub(super) fn len(text: &[u8], is_target: bool) -> usize {
    // Open brackets, each with the end of the address before it.
    let mut open: Vec<(char, usize)> = Vec::new();
    // Punctuation at its end does not belong to a URL.
    let mut end = 0;
    let (mut path_end, mut slashes) = (None, 0);
    for (raw, char) in all(text) {
        let next = &text[raw.end..];
        let is_image = || slashes > 2 && is_image(&text[..path_end.unwrap_or(end)]);
        let is_escaped = raw.len() == 2 && text[raw.start] == b'\\';
        match char {
            '\0'..=' ' | '\x7f' | '"' | '\\' => break,
            '/' => slashes += 1,
            // Of the escapes by a backslash, JSON has no others.
            _ if is_escaped && !is_target => break,
            _ if is_escaped => {}
            // The end of a tag of BBCode.
            '[' if next.starts_with(b"/") => break,
            // The address of a Markdown link ends at its own bracket, or at the next link.
            ']' if is_target && next.starts_with(b"(") => break,
            '[' | ']' | '{' | '}' if is_target => {}
            '(' | '[' | '{' => open.push((char, end)),
            ')' | ']' | '}' => match (open.pop(), char) {
                (Some(('[', before)), ']') if next.starts_with(b"(") => {
                    end = before;
                    break;
                }
                (Some(('(', _)), ')') | (Some(('[', _)), ']') | (Some(('{', _)), '}') => {}
                _ => break,
            },
            _ if is_target => {}
            '\'' | '`' | '<' | '>' | '|' => break,
            // The end of a comment.
            '-' if next.starts_with(b"->") => break,
            ',' | ';' if begins_link(next) && is_image() => break,
            '\u{80}'.. if is_punctuation(char) || is_image() => break,
            '?' | '#' => path_end = path_end.or(Some(end)),
            _ => {}
        }
        if is_target || !".,;:!?*_~([{".contains(char) {
            end = raw.end;
        }
    }
    end
}

fn begins_link(text: &[u8]) -> bool {
    text.get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"http"))
}

/// Whether an address without its query has the ending of an image.
fn is_image(address: &[u8]) -> bool {
    // The longest ending has four letters.
    let last = &address[address.len().saturating_sub(5)..];
    ending_of_path(&String::from_utf8_lossy(last)).is_some()
}

/// Whether a character beyond ASCII is a sign, punctuation or white space, or not UTF-8.
fn is_punctuation(char: char) -> bool {
    // Latin-1; general, CJK, vertical, small and full-width punctuation.
    let is_in_block = matches!(
        char,
        '\u{80}'..='\u{bf}'
            | '\u{2000}'..='\u{206f}'
            | '\u{3000}'..='\u{3030}'
            | '\u{fe10}'..='\u{fe6b}'
            | '\u{feff}'..='\u{ff65}'
            | char::REPLACEMENT_CHARACTER
    );
    is_in_block && !char.is_alphanumeric()
}
