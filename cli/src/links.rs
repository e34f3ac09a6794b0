//! The image of each file in a folder of the image host, and the link that is safe in texts. Pure.

use std::collections::{HashMap, HashSet};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use url::Url;

use crate::image::Image;
use crate::key;
use crate::names::{HASH_LEN, hashes};

/// Characters that would end a link in some text, or that a parser reads in another way.
const UNSAFE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'\'')
    .add(b'`')
    .add(b'<')
    .add(b'>')
    .add(b'(')
    .add(b')')
    .add(b'[')
    .add(b']')
    .add(b'{')
    .add(b'}')
    .add(b'\\');

/// The images that are looked for in a folder, and the files that were found.
#[derive(Debug)]
pub(crate) struct Matches {
    /// The row of each image by the name that was sent, and by the hash in a generated name.
    names: HashMap<String, i64>,
    hashes: HashMap<Vec<u8>, i64>,
    /// Ids of the files that serve an image.
    owned: HashSet<String>,
    /// The time of each image's file.
    times: HashMap<i64, String>,
}

impl Matches {
    /// Looks for these images, in other files than those that serve an image already.
    pub(crate) fn new(images: &[Image], owned: HashSet<String>) -> Self {
        let mut matches = Self {
            names: HashMap::new(),
            hashes: HashMap::new(),
            owned,
            times: HashMap::new(),
        };
        for image in images {
            let Some(name) = &image.file_name else {
                continue;
            };
            matches.names.insert(name.clone(), image.id);
            if let Some(hash) = hashes(&image.key)
                .into_iter()
                .find(|hash| name.contains(hash))
            {
                matches.hashes.insert(hash.into_bytes(), image.id);
            }
        }
        matches
    }

    /// Returns the image whose file this is, unless it has a newer one.
    pub(crate) fn take(&mut self, file_id: &str, name: &str, time: &str) -> Option<i64> {
        let image = self.image_named(name)?;
        let is_older = self.times.get(&image).is_some_and(|known| &**known >= time);
        if is_older || !self.owned.insert(file_id.to_owned()) {
            return None;
        }
        self.times.insert(image, time.to_owned());
        Some(image)
    }

    /// Reports whether a file was found.
    pub(crate) fn has_file(&self, image: i64) -> bool {
        self.times.contains_key(&image)
    }

    /// Returns the ids of all files that serve an image.
    pub(crate) fn into_owned(self) -> HashSet<String> {
        self.owned
    }

    fn image_named(&self, name: &str) -> Option<i64> {
        let named = self.names.get(name).copied();
        named.or_else(|| {
            let name = name.to_ascii_lowercase().into_bytes();
            let mut parts = name.windows(HASH_LEN);
            parts.find_map(|part| self.hashes.get(part).copied())
        })
    }
}

/// Returns a link as it can stand in any text; `None` if it is no http or https URL, or has a password.
pub(crate) fn safe_link(link: &str) -> Option<String> {
    let encode = |text: &str| utf8_percent_encode(text, UNSAFE).to_string();
    // A parser would take a backslash for a slash.
    let url: Url = key::parse(&encode(link.trim())).ok()?;
    let has_user = !url.username().is_empty() || url.password().is_some();
    let link = String::from(url);
    // A host is decoded by the parser.
    (!has_user && encode(&link) == link).then_some(link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::State;

    fn image(id: i64, file_name: &str) -> Image {
        Image {
            id,
            key: format!("https://e.org/{id}.png"),
            line: None,
            given: String::new(),
            name: None,
            file_name: Some(file_name.to_owned()),
            directory: None,
            state: State::Succeeded,
            reason: None,
            task_id: None,
            percent: None,
            file_id: None,
            link: None,
            size: None,
            moderation: None,
        }
    }

    /// The files of a folder, and the one that each of the images 1, 2 and 3 has in the end.
    #[test]
    fn a_file_is_matched_by_its_name_or_by_the_hash_within() {
        let hash = |id| hashes(&format!("https://e.org/{id}.png"))[0].clone();
        let [one, two] = [1, 2].map(|id| format!("cat-{}.png", hash(id)));
        let renamed = format!("CAT-{} (1).PNG", hash(1).to_uppercase());
        let images = [image(1, &one), image(2, &two), image(3, "own.png")];
        for (files, found) in [
            // Id, name and time of each file.
            (vec![], [None, None, None]),
            (
                vec![("a", &*one, "1"), ("b", &two, "1")],
                [Some("a"), Some("b"), None],
            ),
            (
                vec![("a", "own.png", "1"), ("b", "Own.png", "2")],
                [None, None, Some("a")],
            ),
            (
                vec![("a", "cat.png", "1"), ("b", "own (1).png", "1")],
                [None, None, None],
            ),
            // By the hash, whatever the service has made of the rest.
            (vec![("a", &*renamed, "1")], [Some("a"), None, None]),
            // The newest, in any order; the first of two that are equally new.
            (
                vec![("a", &*one, "1"), ("b", &renamed, "2")],
                [Some("b"), None, None],
            ),
            (
                vec![("a", &*one, "2"), ("b", &renamed, "1")],
                [Some("a"), None, None],
            ),
            (
                vec![("a", &*one, "1"), ("b", &one, "1")],
                [Some("a"), None, None],
            ),
            (
                vec![("a", &*one, ""), ("b", &one, "1")],
                [Some("b"), None, None],
            ),
            // One file never serves two URLs: not with two names, and not if it serves one already.
            (
                vec![("a", &*one, "1"), ("a", &two, "2")],
                [Some("a"), None, None],
            ),
            (vec![("taken", &*one, "1")], [None, None, None]),
            (
                vec![("taken", &*one, "2"), ("b", &one, "1")],
                [Some("b"), None, None],
            ),
        ] {
            let mut matches = Matches::new(&images, ["taken".to_owned()].into());
            let mut last = [None; 3];
            for (id, name, time) in &files {
                if let Some(image) = matches.take(id, name, time) {
                    last[image as usize - 1] = Some(*id);
                }
            }
            assert_eq!(last, found, "{files:?}");
            let has_file = [1, 2, 3].map(|id| matches.has_file(id));
            assert_eq!(has_file, found.map(|id| id.is_some()), "{files:?}");
        }
    }

    #[test]
    fn links_are_safe_in_any_text() {
        for (link, safe) in [
            (
                "https://v.123pan.cn/1/a==.png",
                Some("https://v.123pan.cn/1/a==.png"),
            ),
            (
                " http://e.org/a%20b.png?x=1&y=2#z ",
                Some("http://e.org/a%20b.png?x=1&y=2#z"),
            ),
            (
                "https://图.cn/图.png",
                Some("https://xn--wcs.cn/%E5%9B%BE.png"),
            ),
            (
                "https://e.org/\"'`<>",
                Some("https://e.org/%22%27%60%3C%3E"),
            ),
            (
                "https://e.org/ \t\n\u{1b}a",
                Some("https://e.org/%20%09%0A%1Ba"),
            ),
            (
                "https://e.org/([{\\}])?q=([{\\}])",
                Some("https://e.org/%28%5B%7B%5C%7D%5D%29?q=%28%5B%7B%5C%7D%5D%29"),
            ),
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
