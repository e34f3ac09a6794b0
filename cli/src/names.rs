//! The names of the files at the image host: those of the list, and generated ones. Pure.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};

use crate::key::IMAGE_ENDINGS;

/// The service takes fewer characters.
const MAX_NAME_LEN: usize = 255;
/// Characters that no name may contain.
const FORBIDDEN: [char; 9] = ['"', '\\', '/', ':', '*', '?', '|', '>', '<'];
/// Maximum number of characters of the part of a generated name that comes from the URL.
const MAX_STEM_LEN: usize = 60;
/// The number of hex digits of the hash in a generated name.
pub(crate) const HASH_LEN: usize = 12;

/// Returns the text before and the ending after the last dot, if the ending is that of an image.
pub(crate) fn split_image_ending(name: &str) -> Option<(&str, &str)> {
    let (stem, ending) = name.rsplit_once('.')?;
    is_image_ending(ending).then_some((stem, ending))
}

fn is_image_ending(text: &str) -> bool {
    IMAGE_ENDINGS
        .iter()
        .any(|ending| ending.eq_ignore_ascii_case(text))
}

/// Checks a name of the list.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if split_image_ending(name).is_none_or(|(stem, _)| stem.trim().is_empty()) {
        let endings = IMAGE_ENDINGS.join(", .");
        return Err(format!("its name must end in one of .{endings}"));
    }
    if let Some(character) = name
        .chars()
        .find(|character| FORBIDDEN.contains(character) || character.is_control())
    {
        let character = character.escape_debug();
        return Err(format!("its name must not contain {character}"));
    }
    if name.chars().count() >= MAX_NAME_LEN {
        return Err(format!(
            "its name must be shorter than {MAX_NAME_LEN} characters"
        ));
    }
    Ok(())
}

/// Returns names for an image, of which the first that no other image has is sent: `cat-3f9a1c2b7d40.png`. Where the
/// URL does not tell the ending, there is none.
pub(crate) fn generated_names(url: &str, key: &str) -> Vec<String> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let last = path.rsplit('/').next().unwrap_or_default();
    let last = percent_decode_str(last).decode_utf8_lossy();
    let (stem, ending) = match split_image_ending(&last) {
        Some(parts) => parts,
        None => match ending_of_query(query) {
            Some(ending) => (&*last, ending),
            None => return Vec::new(),
        },
    };
    let (stem, ending) = (clean(stem), ending.to_ascii_lowercase());
    let hashes = hashes(key).into_iter();
    hashes
        .map(|hash| format!("{stem}-{hash}.{ending}"))
        .collect()
}

/// Returns the hashes in the names that are generated for a key.
pub(crate) fn hashes(key: &str) -> Vec<String> {
    let mut digits = String::new();
    for byte in Sha256::digest(key) {
        let _ = write!(digits, "{byte:02x}");
    }
    let parts = digits.as_bytes().chunks_exact(HASH_LEN);
    parts
        .map(|hash| String::from_utf8_lossy(hash).into_owned())
        .collect()
}

/// Returns the ending that a query such as `wx_fmt=png` or `format=webp` names.
fn ending_of_query(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let name = name.to_ascii_lowercase();
        let is_format = name.contains("fmt") || name.contains("format");
        (is_format && is_image_ending(value)).then_some(value)
    })
}

fn clean(stem: &str) -> String {
    let is_unfit = |character: char| {
        FORBIDDEN.contains(&character)
            || character.is_control()
            || character.is_whitespace()
            || character == char::REPLACEMENT_CHARACTER
    };
    let stem: String = stem
        .chars()
        .map(|character| if is_unfit(character) { '_' } else { character })
        .take(MAX_STEM_LEN)
        .collect();
    match stem.trim_matches(['_', '.']) {
        "" => "image".to_owned(),
        stem => stem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generates_a_name_from_path_hash_and_ending() {
        for (url, expected) in [
            ("https://e.org/a/cat.png", Some("cat-*.png")),
            ("https://e.org/a/cat.JPG?x=1", Some("cat-*.jpg")),
            ("https://e.org/%E5%9B%BE.png", Some("图-*.png")),
            ("https://e.org/a%2Fb%3A%0A.png", Some("a_b-*.png")),
            ("https://e.org/100%.png", Some("100%-*.png")),
            ("https://e.org/640?wx_fmt=png", Some("640-*.png")),
            ("https://e.org/?format=webp", Some("image-*.webp")),
            ("https://e.org/q~tplv-watermark.image", None),
            ("https://e.org/640?size=png", None),
            ("https://e.org/.png", Some("image-*.png")),
        ] {
            let names = generated_names(url, url);
            let first = names.first().map(|name| {
                let (stem, rest) = name.rsplit_once('-').unwrap();
                assert!(
                    rest.as_bytes()[..HASH_LEN]
                        .iter()
                        .all(u8::is_ascii_hexdigit)
                );
                format!("{stem}-*{}", &rest[HASH_LEN..])
            });
            assert_eq!(first.as_deref(), expected, "{url}");
        }
        let long = format!("https://e.org/{}.png", "图".repeat(500));
        assert!(check_name(&generated_names(&long, &long)[0]).is_ok());
    }

    #[test]
    fn names_depend_on_the_key_alone_and_differ() {
        let names = generated_names("https://e.org/a.png", "key");
        assert_eq!(names.len(), 5);
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        assert_ne!(names, generated_names("https://e.org/a.png", "other"));
    }

    #[test]
    fn checks_the_names_of_a_list() {
        for (name, is_valid) in [
            ("cat.png", true),
            ("猫 1.JPEG", true),
            ("cat.exe", false),
            (".png", false),
            ("  .png", false),
            ("a/b.png", false),
            ("a\u{1b}.png", false),
            ("", false),
        ] {
            assert_eq!(check_name(name).is_ok(), is_valid, "{name:?}");
        }
        assert!(check_name(&format!("{}.png", "a".repeat(250))).is_ok());
        assert!(check_name(&format!("{}.png", "a".repeat(251))).is_err());
    }
}
