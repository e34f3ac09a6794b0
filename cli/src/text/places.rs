//! The places where addresses stand in HTML, Markdown and any other text.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::{Match, Regex, RegexBuilder};

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
    regex(r"\\[\[\]!]|!?\[|\]\(?|<[a-z][a-z0-9-]*[\s/\\]|https?:(?:\\?/|\\u002f){2}")
});

/// The text before a URL. It ends neither within another address nor within a longer scheme, but may end in an escape
/// of JSON, in the second byte of a character in GBK, Big5 or Shift JIS, or in a name and `=`, such as `src=`.
static BEFORE_URL: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"(?:^|\\[nrt]|[^\x00-\x7f][a-z0-9]|[^a-z0-9/?&#%+@=]|(?:^|\\[nrt]|[^\x00-\x7f]|[\s"'`<>()\[\]{}|,*])[\w.:-]*=)$"#,
    )
});

/// The end of a tag, or an attribute with its value. A tag in a JSON string has escaped quotes and line feeds.
static ATTRIBUTE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"^(?:[\s/]|\\[nrt/])*(?:>|([^\s=>/"'<\\]+)(?:\s*=\s*(?:\\"(.*?)\\"|"([^"]*)"|'([^']*)'|((?:[^\s>"'\\]|\\/)+)))?)"#,
    )
});

/// An address in a `srcset`: it ends at white space, and its description at a comma.
static CANDIDATE: LazyLock<Regex> =
    LazyLock::new(|| regex(r"([^\s,]\S*?)(?:,+(?:\s|$)|\s[^,]*|$)"));

/// The address in another attribute.
static WHOLE: LazyLock<Regex> = LazyLock::new(|| regex(r"^\s*(.*?)\s*$"));

/// An image of Markdown: with an address, with a label, or with a label as its text.
static IMAGE: LazyLock<Regex> =
    LazyLock::new(|| regex(r"!\[(?:[^\[\]]|\[[^\[\]]*\])*\](?:\(|\[([^\[\]]+)\])|!\[([^\[\]]+)\]"));

/// The definition of a label, to the beginning of its address.
static DEFINITION: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?:^|[\r\n]|\\n)[ \t>]*\[([^\[\]]+)\]:\s*<?"));

/// A tag with more attributes counts as none, so that no text takes quadratic time.
const MAX_ATTRIBUTES: usize = 64;

fn regex(pattern: &str) -> Regex {
    let mut builder = RegexBuilder::new(pattern);
    builder.unicode(false).case_insensitive(true);
    let regex = builder.dot_matches_new_line(true).build();
    regex.expect("the pattern is valid")
}

/// Finds the places in a text, in the order of their beginnings. Where one lies within another one, the outer is first.
pub(super) fn find(text: &[u8]) -> Vec<Place> {
    let mut places = Vec::new();
    // The end of the last place that is not in a tag.
    let mut end = 0;
    // The open brackets: whether each begins the text of an image.
    let mut brackets = Vec::new();
    for token in BEGINNING.find_iter(text) {
        let (before, rest) = text.split_at(token.start());
        let (range, is_image) = match token.as_bytes() {
            [b'\\', ..] => continue,
            [b'!' | b'[', ..] => {
                brackets.push(token.len() == 2);
                continue;
            }
            b"]" => {
                brackets.pop();
                continue;
            }
            b"](" => (target(text, token.end()), brackets.pop() == Some(true)),
            [b'<', name @ .., _] => {
                places.append(&mut tag(text, name, token.end() - 1));
                continue;
            }
            _ if before.len() < end || !BEFORE_URL.is_match(before) => continue,
            url => {
                let enclosed = before.ends_with(b"<").then(|| enclosed_len(rest));
                let enclosed = enclosed.flatten();
                let len = enclosed.unwrap_or_else(|| chars::len(rest, false));
                let range = before.len()..before.len() + len;
                ((len > url.len()).then_some(range), false)
            }
        };
        if let Some(range) = range {
            end = range.end;
            places.push(Place { range, is_image });
        }
    }
    // Stable: of two with one beginning, the one of the tag stays first.
    places.sort_by_key(|place| place.range.start);
    let images = IMAGE.captures_iter(text);
    let images = images.filter(|it| !text[..it.get_match().start()].ends_with(b"\\"));
    let labels = images.filter_map(|image| image.get(1).or(image.get(2)));
    let label = |label: Match<'_>| label.as_bytes().to_ascii_lowercase();
    let labels: HashSet<_> = labels.map(label).collect();
    if labels.is_empty() {
        return places;
    }
    let mut definitions: HashSet<_> = HashSet::new();
    for found in DEFINITION.captures_iter(text) {
        let is_of_image = labels.contains(&found[1].to_ascii_lowercase());
        definitions.extend(is_of_image.then(|| found.get_match().end()));
    }
    for place in &mut places {
        place.is_image |= definitions.contains(&place.range.start);
    }
    places
}

/// Returns the addresses in a tag whose attributes begin at `at`.
fn tag(text: &[u8], name: &[u8], mut at: usize) -> Vec<Place> {
    let tag = name.to_ascii_lowercase();
    let mut places = Vec::new();
    for _ in 0..MAX_ATTRIBUTES {
        let Some(found) = ATTRIBUTE.captures(&text[at..]) else {
            break;
        };
        let start = at;
        at += found.get_match().end();
        let Some(name) = found.get(1) else {
            return places;
        };
        let Some(value) = (2..=5).find_map(|group| found.get(group)) else {
            continue;
        };
        let (addresses, is_image) = match (&tag[..], &name.as_bytes().to_ascii_lowercase()[..]) {
            (_, name) if name.ends_with(b"srcset") => (&CANDIDATE, true),
            (b"img", b"src" | b"data-src") | (b"video", b"poster") => (&WHOLE, true),
            (_, b"poster") => (&WHOLE, false),
            (_, name) if name.ends_with(b"src") || name.ends_with(b"href") => (&WHOLE, false),
            _ => continue,
        };
        let start = start + value.start();
        let addresses = addresses.captures_iter(value.as_bytes());
        for address in addresses.filter_map(|found| found.get(1)) {
            let range = start + address.start()..start + address.end();
            places.push(Place { range, is_image });
        }
    }
    Vec::new()
}

/// Returns the address of a Markdown link or image, after the `](`.
fn target(text: &[u8], at: usize) -> Option<Range<usize>> {
    let rest = text[at..].trim_ascii_start();
    let start = text.len() - rest.len();
    let (range, after) = match rest.strip_prefix(b"<") {
        Some(rest) => {
            let end = start + 1 + enclosed_len(rest)?;
            (start + 1..end, end + 1)
        }
        None => {
            let end = start + chars::len(rest, true);
            (start..end, end)
        }
    };
    // The end of the link, a title, or a size.
    let next = text[after..].trim_ascii_start().first()?;
    b")\"'(=\\&".contains(next).then_some(range)
}

/// Returns the length of an address that a `>` on the same line ends.
fn enclosed_len(text: &[u8]) -> Option<usize> {
    let len = text.iter().position(|byte| b"<>\"\r\n".contains(byte))?;
    (text[len] == b'>').then_some(len)
}
