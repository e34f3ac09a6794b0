//! The places where addresses stand in HTML, Markdown and any other text.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::{Captures, Regex};

use super::chars;

/// The bytes of an address.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) range: Range<usize>,
    /// Only images stand there.
    pub(super) is_image: bool,
}

/// The beginnings of places: an escaped bracket, a bracket, a tag, a URL.
static BEGINNING: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?i)\\[\[\]!]|!?\[|\][(:]?|<[a-z][a-z0-9-]*[\s/\\]|https?:(?:\\?/){2}")
});

/// An attribute in a tag. A tag in a JSON string has escaped quotes and line feeds.
static ATTRIBUTE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"(?s)^(?:[\s/]|\\[nrt/])*([^\s=>/"'<\\]+)(?:\s*=\s*(?:\\"(.*?)\\"|"([^"]*)"|'([^']*)'|((?:[^\s>"'\\]|\\/)+)))?"#,
    )
});

/// The end of a tag.
static TAG_END: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?:[\s/]|\\[nrt/])*>"));

/// A tag with more attributes counts as none, so that no text takes quadratic time.
const MAX_ATTRIBUTES: usize = 64;

/// A longer label of a reference counts as none, as in the standard of Markdown.
const MAX_LABEL_LEN: usize = 999;

fn regex(pattern: &str) -> Regex {
    let mut builder = regex::bytes::RegexBuilder::new(pattern);
    builder
        .unicode(false)
        .build()
        .expect("the pattern is valid")
}

/// Finds the places in a text, in the order of their beginnings. Where one lies within another one, the outer is first.
pub(super) fn find(text: &[u8]) -> Vec<Place> {
    let mut finder = Finder {
        text,
        ..Finder::default()
    };
    for found in BEGINNING.find_iter(text) {
        let range = found.range();
        match text[range.start] {
            b'!' | b'[' => finder.open_bracket(range),
            b']' => finder.close_bracket(range),
            b'<' => finder.tag(&text[range.start + 1..range.end - 1], range.end - 1),
            b'\\' => {}
            _ => finder.url(range),
        }
    }
    finder.end()
}

#[derive(Default)]
struct Finder<'a> {
    text: &'a [u8],
    places: Vec<Place>,
    /// The end of the last place that is not in a tag.
    end: usize,
    /// The open brackets: where the content begins, and whether it is an image's text or label.
    brackets: Vec<(usize, bool)>,
    /// The end of the last image's text: a label may follow.
    image_text_end: Option<usize>,
    /// The labels that images refer to, and the beginning of the address of each label.
    image_labels: HashSet<Vec<u8>>,
    definitions: Vec<(usize, Vec<u8>)>,
}

impl Finder<'_> {
    fn push(&mut self, range: Range<usize>, is_image: bool) {
        self.end = range.end;
        self.places.push(Place { range, is_image });
    }

    fn open_bracket(&mut self, range: Range<usize>) {
        let is_image = self.text[range.start] == b'!' || self.image_text_end == Some(range.start);
        self.brackets.push((range.end, is_image));
    }

    fn close_bracket(&mut self, range: Range<usize>) {
        let (start, is_image) = self.brackets.pop().unwrap_or((range.start, false));
        let label = &self.text[start..range.start];
        let has_label = (1..=MAX_LABEL_LEN).contains(&label.len());
        match self.text[range.start + 1..range.end] {
            [b'('] => {
                if let Some(address) = destination(self.text, range.end) {
                    self.push(address, is_image);
                }
            }
            [b':'] if has_label && begins_line(self.text, start - 1) => {
                let blanks = skip_white_space(&self.text[range.end..]);
                let address = range.end + blanks;
                let is_enclosed = self.text[address..].starts_with(b"<");
                let label = label.to_ascii_lowercase();
                self.definitions
                    .push((address + usize::from(is_enclosed), label));
            }
            _ if is_image => {
                self.image_text_end = Some(range.end);
                if has_label {
                    self.image_labels.insert(label.to_ascii_lowercase());
                }
            }
            _ => {}
        }
    }

    /// Takes the addresses out of a tag whose attributes begin at `at`.
    fn tag(&mut self, name: &[u8], mut at: usize) {
        let mut places = Vec::new();
        for _ in 0..MAX_ATTRIBUTES {
            if TAG_END.is_match(&self.text[at..]) {
                self.places.append(&mut places);
                return;
            }
            let Some(captures) = ATTRIBUTE.captures(&self.text[at..]) else {
                return;
            };
            add_addresses(name, &captures, at, &mut places);
            at += captures.get_match().end();
        }
    }

    fn url(&mut self, range: Range<usize>) {
        if range.start < self.end || !may_begin(&self.text[..range.start]) {
            return;
        }
        let is_enclosed = self.text[..range.start].ends_with(b"<");
        let enclosed = is_enclosed
            .then(|| enclosed_end(self.text, range.start))
            .flatten();
        let end = enclosed.unwrap_or_else(|| chars::bare_end(self.text, range.start));
        if end > range.end {
            self.push(range.start..end, false);
        }
    }

    fn end(mut self) -> Vec<Place> {
        // Stable: of two with one beginning, the one of the tag stays first.
        self.places.sort_by_key(|place| place.range.start);
        for (start, label) in self.definitions {
            if self.image_labels.contains(&label)
                && let Ok(at) = self
                    .places
                    .binary_search_by_key(&start, |place| place.range.start)
            {
                self.places[at].is_image = true;
            }
        }
        self.places
    }
}

/// Adds the addresses in an attribute of a tag.
fn add_addresses(tag: &[u8], attribute: &Captures<'_>, at: usize, places: &mut Vec<Place>) {
    let Some(value) = (2..=5).find_map(|group| attribute.get(group)) else {
        return;
    };
    let is = |name: &str, other: &[u8]| other.eq_ignore_ascii_case(name.as_bytes());
    let name = attribute[1].to_ascii_lowercase();
    if name.ends_with(b"srcset") {
        let start = at + value.start();
        for candidate in candidates(value.as_bytes()) {
            let range = start + candidate.start..start + candidate.end;
            places.push(Place {
                range,
                is_image: true,
            });
        }
    } else if name.ends_with(b"src") || name.ends_with(b"href") || name == b"poster" {
        let is_image = match &name[..] {
            b"src" | b"data-src" => is("img", tag),
            b"poster" => is("video", tag),
            _ => false,
        };
        let blanks = value.len() - value.as_bytes().trim_ascii_start().len();
        let start = at + value.start() + blanks;
        let range = start..start + value.as_bytes().trim_ascii().len();
        places.push(Place { range, is_image });
    }
}

/// Returns the addresses of a `srcset`: each ends at white space, and its description at a comma.
fn candidates(value: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(skipped) = value[at..]
        .iter()
        .position(|byte| !byte.is_ascii_whitespace() && *byte != b',')
    {
        let start = at + skipped;
        let len = value[start..].iter().position(u8::is_ascii_whitespace);
        let word_end = len.map_or(value.len(), |len| start + len);
        let word = &value[start..word_end];
        let commas = word.iter().rev().take_while(|byte| **byte == b',').count();
        found.push(start..word_end - commas);
        at = word_end;
        if commas == 0 {
            let rest = value[at..].iter().position(|byte| *byte == b',');
            at = rest.map_or(value.len(), |rest| at + rest);
        }
    }
    found
}

/// Returns the address of a Markdown link or image, after the `](`.
fn destination(text: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at + skip_white_space(&text[at..]);
    let (range, mut rest) = if text[start..].starts_with(b"<") {
        let end = enclosed_end(text, start + 1)?;
        (start + 1..end, end + 1)
    } else {
        let end = destination_end(text, start);
        (start..end, end)
    };
    rest += skip_white_space(&text[rest..]);
    // The end of the link, a title, or a size.
    let is_complete = text
        .get(rest)
        .is_some_and(|byte| b")\"'(=\\&".contains(byte));
    is_complete.then_some(range)
}

fn destination_end(text: &[u8], start: usize) -> usize {
    let mut depth = 0_u32;
    let mut at = start;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\0'..=b' ' | b'\x7f' | b'"' => break,
            b'\\' => match text.get(at + 1) {
                Some(next) if next.is_ascii_punctuation() && *next != b'"' => at += 1,
                Some(b'u') => {}
                _ => break,
            },
            b'(' => depth += 1,
            b')' if depth == 0 => break,
            b')' => depth -= 1,
            b']' if text.get(at + 1) == Some(&b'(') => break,
            _ => {}
        }
        at += 1;
    }
    at
}

/// Returns the place of the `>` that ends an address in `<…>`, on the same line.
fn enclosed_end(text: &[u8], start: usize) -> Option<usize> {
    let end = text[start..]
        .iter()
        .position(|byte| b"<>\"\r\n".contains(byte))?;
    (text[start + end] == b'>').then_some(start + end)
}

fn skip_white_space(text: &[u8]) -> usize {
    text.len() - text.trim_ascii_start().len()
}

/// Whether a bracket is the first of its line, as that of a definition is.
fn begins_line(text: &[u8], at: usize) -> bool {
    let before = text[..at]
        .iter()
        .rev()
        .find(|byte| !matches!(byte, b' ' | b'\t' | b'>'));
    matches!(before, None | Some(b'\n' | b'\r')) || text[..at].ends_with(b"\\n")
}

/// Whether a URL may begin after this text: not within another address, nor within a longer scheme.
fn may_begin(before: &[u8]) -> bool {
    match before {
        [] => true,
        // After an escape of JSON.
        [.., b'\\', b'n' | b'r' | b't'] => true,
        // The second byte of a character in GBK, Big5 or Shift JIS.
        [.., lead, byte] if !lead.is_ascii() && byte.is_ascii_alphanumeric() => true,
        [.., b'='] => begins_value(&before[..before.len() - 1]),
        [.., byte] => !byte.is_ascii_alphanumeric() && !b"/?&#%+@".contains(byte),
    }
}

/// Whether the text ends in a name and nothing of an address before it, such as `src` or `cover`.
fn begins_value(before: &[u8]) -> bool {
    let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(byte);
    let len = before.iter().rev().take(64).take_while(is_name).count();
    let (before, name) = before.split_at(before.len() - len);
    match before.last() {
        None => true,
        Some(b'\\') => !name.starts_with(b"u0026"),
        Some(byte) => {
            !byte.is_ascii() || byte.is_ascii_whitespace() || b"\"'`<>()[]{}|,*".contains(byte)
        }
    }
}
