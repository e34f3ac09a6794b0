//! Links in texts of any kind and encoding: where they are, which address each has, and how a new one is written there.

mod chars;
mod places;
#[cfg(test)]
mod tests;

use std::ops::Range;

use url::{ParseError, Url};

use crate::key::{ImageUrl, ending_of_path};

/// An http or https URL in a text.
#[derive(Debug)]
pub(crate) struct Link {
    /// Its bytes in the text, without fragment.
    pub(crate) range: Range<usize>,
    pub(crate) url: ImageUrl,
    /// Its path has the ending of an image, or it stands where only images stand.
    pub(crate) is_image: bool,
    /// It belongs to the image host itself.
    pub(crate) is_of_host: bool,
}

/// The links of a text, and the number of other addresses of images.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) links: Vec<Link>,
    pub(crate) data: u64,
    pub(crate) relative: u64,
}

/// Finds all links in a text, in order. None overlaps another one or begins within another address.
pub(crate) fn find(text: &[u8]) -> Links {
    let mut found = Links::default();
    let mut end = 0;
    for places::Place { range, is_image } in places::find(text) {
        if range.start < end {
            continue;
        }
        end = range.end;
        let Some((address, len)) = chars::decode(&text[range.clone()]) else {
            continue;
        };
        match Url::parse(&address) {
            Ok(url) if is_image && url.scheme() == "data" => found.data += 1,
            // No writer breaks an address, and so each line of a file has its own links.
            Ok(_) if text[range.clone()].contains(&b'\n') => {}
            Ok(url) if matches!(url.scheme(), "http" | "https") => found.links.push(Link {
                range: range.start..range.start + len,
                is_image: is_image || ending_of_path(url.path()).is_some(),
                is_of_host: url.host_str().is_some_and(is_image_host),
                url: ImageUrl::of(url),
            }),
            Err(ParseError::RelativeUrlWithoutBase) if is_image && !address.is_empty() => {
                found.relative += 1;
            }
            _ => {}
        }
    }
    found
}

fn is_image_host(host: &str) -> bool {
    host.ends_with(".123pan.cn") || host.ends_with(".123pan.com")
}

/// Returns a new link as it is written in the place of an old one, with the escapes of that. In markup, `&` is always
/// an entity.
pub(crate) fn in_form_of(old: &[u8], new: &str, is_markup: bool) -> String {
    let escape = |wanted| {
        let mut escapes = chars::all(old).filter(|(raw, _)| raw.len() > 1);
        let (raw, _) = escapes.find(|(_, char)| *char == wanted)?;
        str::from_utf8(&old[raw]).ok()
    };
    let entity = escape('&').unwrap_or(if is_markup { "&amp;" } else { "&" });
    let slash = escape('/').unwrap_or("/");
    new.replace('&', entity).replace('/', slash)
}
