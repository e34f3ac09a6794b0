//! The names of the files at the image host: those of the list, and generated ones. Pure.

use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};

use crate::key::{IMAGE_ENDINGS, ending_of_path};

/// The service takes fewer characters.
const MAX_NAME_LEN: usize = 255;
/// Characters that no name may contain.
const FORBIDDEN: [char; 9] = ['"', '\\', '/', ':', '*', '?', '|', '>', '<'];
/// Maximum number of characters of the part of a generated name that comes from the URL.
const MAX_STEM_LEN: usize = 60;
/// The number of hex digits of the hash in a generated name.
pub(crate) const HASH_LEN: usize = 12;

/// Checks a name of the list.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if split_ending(name).is_none_or(|(stem, _)| stem.trim().is_empty()) {
        let endings = IMAGE_ENDINGS.join(", .");
        return Err(format!("its name must end in one of .{endings}"));
    }
    let is_forbidden = |character: &char| FORBIDDEN.contains(character) || character.is_control();
    if let Some(character) = name.chars().find(is_forbidden) {
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

/// Returns a name without and with its ending, if that is one of an image.
fn split_ending(name: &str) -> Option<(&str, &'static str)> {
    let ending = ending_of_path(name)?;
    Some((&name[..name.len() - ending.len() - 1], ending))
}

/// Returns a name for an image that no other has: `cat-3f9a1c2b7d40.png`. Where the URL does not tell the ending, there is
/// none.
pub(crate) fn generated_name(url: &str, key: &str) -> Option<String> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let last = path.rsplit('/').next().unwrap_or_default();
    let last = percent_decode_str(last).decode_utf8_lossy();
    let from_query = || Some((&*last, ending_of_query(query)?));
    let (stem, ending) = split_ending(&last).or_else(from_query)?;
    Some(format!("{}-{}.{ending}", clean(stem), hash(key)))
}

/// Returns the hash in the name that is generated for a key.
pub(crate) fn hash(key: &str) -> String {
    let digest = Sha256::digest(key);
    let bytes = digest.iter().take(HASH_LEN / 2);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the ending that a query such as `wx_fmt=png` or `format=webp` names.
fn ending_of_query(query: &str) -> Option<&'static str> {
    query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let name = name.to_ascii_lowercase();
        let is_format = name.contains("fmt") || name.contains("format");
        ending_of_path(&format!(".{value}")).filter(|_| is_format)
    })
}

fn clean(stem: &str) -> String {
    let is_unfit = |character: char| {
        FORBIDDEN.contains(&character)
            || character.is_control()
            || character.is_whitespace()
            || character == char::REPLACEMENT_CHARACTER
    };
    let stem: String = stem.chars().take(MAX_STEM_LEN).collect();
    let stem = stem.replace(is_unfit, "_");
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
        let long = format!("https://e.org/{}.png", "图".repeat(500));
        let longest = format!("{}-*.png", "图".repeat(MAX_STEM_LEN));
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
            (&long, Some(&longest)),
        ] {
            let name = generated_name(url, "key");
            assert!(name.iter().all(|name| check_name(name).is_ok()), "{name:?}");
            let name = name.map(|name| name.replace("2c70e12b7a06", "*"));
            assert_eq!(name.as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn checks_the_names_of_a_list() {
        let [longest, too_long] = [250, 251].map(|len| format!("{}.png", "a".repeat(len)));
        for (name, is_valid) in [
            ("cat.png", true),
            ("猫 1.JPEG", true),
            ("cat.exe", false),
            ("  .png", false),
            ("a/b.png", false),
            ("a\u{1b}.png", false),
            ("", false),
            (&longest, true),
            (&too_long, false),
        ] {
            assert_eq!(check_name(name).is_ok(), is_valid, "{name:?}");
        }
    }
}
