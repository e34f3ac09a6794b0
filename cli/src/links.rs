//! The image of each file in a folder of the image host, and the link that is safe in texts. Pure.

use std::collections::{HashMap, HashSet};
use std::iter;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::key;
use crate::names::{HASH_LEN, hash};

/// Characters that would end a link in some text, or that a parser reads in another way.
#[rustfmt::skip]
const UNSAFE: &AsciiSet = &CONTROLS
    .add(b' ').add(b'"').add(b'\'').add(b'`').add(b'\\').add(b'<').add(b'>')
    .add(b'(').add(b')').add(b'[').add(b']').add(b'{').add(b'}');

/// The images that are looked for in a folder, and the files that were found.
#[derive(Debug)]
pub(crate) struct Matches<'a> {
    /// The place of each image by the name that was sent, and by the hash in a generated name.
    places: HashMap<String, usize>,
    /// Ids of the files that serve an image.
    owned: &'a mut HashSet<String>,
    /// The time of each image's file, by the image's place.
    pub(crate) times: HashMap<usize, String>,
}

impl<'a> Matches<'a> {
    /// Looks for images by their keys and names, in other files than those that serve an image already.
    pub(crate) fn new<'b>(
        images: impl Iterator<Item = (&'b str, &'b str)>,
        owned: &'a mut HashSet<String>,
    ) -> Self {
        let mut places = HashMap::new();
        for (place, (key, name)) in images.enumerate() {
            places.insert(name.to_owned(), place);
            let hash = hash(key);
            if name.contains(&hash) {
                places.insert(hash, place);
            }
        }
        Self {
            places,
            owned,
            times: HashMap::new(),
        }
    }

    /// Returns the place of the image whose file this is, unless it has a newer one.
    pub(crate) fn take(&mut self, file_id: &str, name: &str, time: &str) -> Option<usize> {
        let lower = name.to_ascii_lowercase();
        let parts = (0..lower.len()).filter_map(|at| lower.get(at..at + HASH_LEN));
        let hashes = parts.filter(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let mut names = iter::once(name).chain(hashes);
        let place = names.find_map(|name| self.places.get(name).copied())?;
        let is_older = self.times.get(&place).is_some_and(|known| &**known >= time);
        if is_older || !self.owned.insert(file_id.to_owned()) {
            return None;
        }
        self.times.insert(place, time.to_owned());
        Some(place)
    }
}

/// Returns a link as it can stand in any text; `None` if it is no http or https URL, or has a password.
pub(crate) fn safe_link(link: &str) -> Option<String> {
    let encode = |text: &str| utf8_percent_encode(text, UNSAFE).to_string();
    // A parser would take a backslash for a slash.
    let url = key::parse(&encode(link.trim())).ok()?;
    let has_user = !url.username().is_empty() || url.password().is_some();
    let link = String::from(url);
    // A host is decoded by the parser.
    (!has_user && encode(&link) == link).then_some(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Such as a hash in a generated name, which stands anywhere and in any case.
    #[test]
    fn a_name_of_the_length_of_a_hash_is_matched_whole() {
        let mut owned = HashSet::new();
        let images = [("https://e.org/1.png", "picture1.png")];
        let mut matches = Matches::new(images.into_iter(), &mut owned);
        for (name, place) in [
            ("my-picture1.png", None),
            ("PICTURE1.PNG", None),
            ("picture1.png", Some(0)),
        ] {
            assert_eq!(matches.take(name, name, "1"), place, "{name}");
        }
    }

    /// The files of a folder, and the one that each of three images has in the end.
    #[test]
    #[rustfmt::skip]
    fn a_file_is_matched_by_its_name_or_by_the_hash_within() {
        let keys = ["https://e.org/1.png", "https://e.org/2.png", "https://e.org/3.png"];
        let [one, two] = [0, 1].map(|place| format!("cat-{}.png", hash(keys[place])));
        let renamed = format!("CAT-{} (1).PNG", hash(keys[0]).to_uppercase());
        let (one, two, renamed) = (&*one, &*two, &*renamed);
        for (files, found) in [
            // Id, name and time of each file.
            (vec![], [None, None, None]),
            (vec![("a", one, "1"), ("b", two, "1")], [Some("a"), Some("b"), None]),
            (vec![("a", "own.png", "1"), ("b", "Own.png", "2")], [None, None, Some("a")]),
            (vec![("a", "cat.png", "1"), ("b", "own (1).png", "1")], [None, None, None]),
            // By the hash, whatever the service has made of the rest.
            (vec![("a", renamed, "1")], [Some("a"), None, None]),
            // The newest, in any order; the first of two that are equally new.
            (vec![("a", one, "1"), ("b", renamed, "2")], [Some("b"), None, None]),
            (vec![("a", one, "2"), ("b", renamed, "1")], [Some("a"), None, None]),
            (vec![("a", one, "1"), ("b", one, "1")], [Some("a"), None, None]),
            (vec![("a", one, ""), ("b", one, "1")], [Some("b"), None, None]),
            // One file never serves two URLs: not with two names, and not if it serves one already.
            (vec![("a", one, "1"), ("a", two, "2")], [Some("a"), None, None]),
            (vec![("taken", one, "1")], [None, None, None]),
            (vec![("taken", one, "2"), ("b", one, "1")], [Some("b"), None, None]),
        ] {
            let mut owned = HashSet::from(["taken".to_owned()]);
            let mut matches = Matches::new(keys.into_iter().zip([one, two, "own.png"]), &mut owned);
            let mut last = [None; 3];
            for (id, name, time) in &files {
                if let Some(place) = matches.take(id, name, time) {
                    last[place] = Some(*id);
                }
            }
            assert_eq!(last, found, "{files:?}");
            let has_file = [0, 1, 2].map(|place| matches.times.contains_key(&place));
            assert_eq!(has_file, found.map(|id| id.is_some()), "{files:?}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn links_are_safe_in_any_text() {
        for (link, safe) in [
            ("https://v.123pan.cn/1/a==.png", Some("https://v.123pan.cn/1/a==.png")),
            (" http://e.org/a%20b.png?x=1&y=2#z ", Some("http://e.org/a%20b.png?x=1&y=2#z")),
            ("https://图.cn/图.png", Some("https://xn--wcs.cn/%E5%9B%BE.png")),
            ("https://e.org/\"'`<>", Some("https://e.org/%22%27%60%3C%3E")),
            ("https://e.org/ \t\n\u{1b}a", Some("https://e.org/%20%09%0A%1Ba")),
            ("https://e.org/([{\\}])?([{\\}])", Some("https://e.org/%28%5B%7B%5C%7D%5D%29?%28%5B%7B%5C%7D%5D%29")),
            ("https://u:p@e.org/a.png", None),
            ("https://u@e.org/a.png", None),
            ("https://e.org\\@evil.example/a.png", None),
            ("https://e.org\"onerror=x/a.png", None),
            ("javascript:alert(1)", None),
            ("ftp://e.org/a.png", None),
            ("//e.org/a.png", None),
            ("", None),
        ] {
            assert_eq!(safe_link(link).as_deref(), safe, "{link:?}");
        }
    }
}
