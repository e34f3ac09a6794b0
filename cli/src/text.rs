//! Links in texts of any kind and encoding: where they are, which address each has, and how a new one is written there.

mod chars;
mod places;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::key::{self, ImageUrl};

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
    for place in places::find(text) {
        if place.range.start < end {
            continue;
        }
        end = place.range.end;
        let raw = &text[place.range.clone()];
        if place.is_image
            && raw
                .get(..5)
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"))
        {
            found.data += 1;
            continue;
        }
        // No writer breaks an address, and so each line of a file has its own links.
        if raw.contains(&b'\n') {
            continue;
        }
        let Some((address, len)) = chars::decode(raw) else {
            continue;
        };
        match key::parse(&address) {
            Ok(url) => found.links.push(Link {
                range: place.range.start..place.range.start + len,
                is_image: place.is_image || key::path_ending(&url).is_some(),
                is_of_host: url.host_str().is_some_and(is_image_host),
                url: ImageUrl::of(url),
            }),
            Err(_) if place.is_image && is_relative(&address) => found.relative += 1,
            Err(_) => {}
        }
    }
    found
}

fn is_image_host(host: &str) -> bool {
    host.ends_with(".123pan.cn") || host.ends_with(".123pan.com")
}

fn is_relative(address: &str) -> bool {
    !address.is_empty() && url::Url::parse(address) == Err(url::ParseError::RelativeUrlWithoutBase)
}

/// Returns a new link as it is written in the place of an old one. In markup, `&` is always written as an entity.
pub(crate) fn in_form_of(old: &[u8], new: &str, is_markup: bool) -> String {
    let has = |part: &str| {
        old.windows(part.len())
            .any(|window| window == part.as_bytes())
    };
    let mut written = new.to_owned();
    if has("&amp;amp;") {
        written = written.replace('&', "&amp;amp;");
    } else if is_markup || has("&amp;") {
        written = written.replace('&', "&amp;");
    } else if has("\\u0026") {
        written = written.replace('&', "\\u0026");
    }
    if has("\\/") {
        written = written.replace('/', "\\/");
    }
    written
}
