//! The key by which image URLs are compared, the spelling that is sent, and the endings of images.

use url::{Position, Url};

/// The endings of image files that the service takes.
pub(crate) const IMAGE_ENDINGS: [&str; 9] = [
    "png", "gif", "jpeg", "jpg", "tif", "tiff", "webp", "svg", "bmp",
];

/// An http or https URL of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageUrl {
    /// Equal for all spellings of one address.
    pub(crate) key: String,
    /// The URL Standard's serialization of the given spelling, without fragment.
    pub(crate) sent: String,
}

impl ImageUrl {
    /// Parses a URL in any spelling. The error is the end of a sentence.
    pub(crate) fn parse(given: &str) -> Result<Self, String> {
        Ok(Self::of(parse(given)?))
    }

    /// Returns key and spelling of a parsed URL.
    pub(crate) fn of(mut url: Url) -> Self {
        url.set_fragment(None);
        let path = normalize(url.path());
        let (before, after) = (&url[..Position::BeforePath], &url[Position::AfterPath..]);
        let key = format!("{before}{path}{after}");
        let sent = String::from(url);
        Self { key, sent }
    }
}

/// Parses an absolute http or https URL. The error is the end of a sentence.
pub(crate) fn parse(given: &str) -> Result<Url, String> {
    match Url::parse(given) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        Ok(url) => Err(format!(
            "the scheme `{}` is neither http nor https",
            url.scheme()
        )),
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            Err("it does not begin with http:// or https://".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Returns a path whose hex digits are in upper case, and whose unreserved characters are decoded.
fn normalize(path: &str) -> String {
    let mut parts = path.split('%');
    let mut normal = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.get(..2).unwrap_or_default();
        // `from_str_radix` takes a sign.
        let byte = u8::from_str_radix(digits, 16).ok();
        match byte.filter(|_| !digits.starts_with('+')) {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                normal.push(byte.into());
                normal += &part[2..];
            }
            Some(byte) => normal += &format!("%{byte:02X}{}", &part[2..]),
            None => normal += &format!("%{part}"),
        }
    }
    normal
}

/// Returns the image ending of a path or a name, in lower case: the part after its last `.`.
pub(crate) fn ending_of_path(path: &str) -> Option<&'static str> {
    let (_, ending) = path.rsplit_once('.')?;
    IMAGE_ENDINGS
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each row, the key and what is sent come after `https://e.org/`.
    #[test]
    fn spellings_of_one_address_have_one_key() {
        for (key, given, sent) in [
            ("a.png", "https://e.org/a.png", "a.png"),
            ("a.png", "HTTPS://E.org:443/a.png#top", "a.png"),
            ("a.png", "https://e.org/x/../%61%2Epng", "%61%2Epng"),
            ("%E5%9B%BE", "https://e.org/图", "%E5%9B%BE"),
            ("%E5%9B%BE", "https://e.org/%e5%9b%be", "%e5%9b%be"),
            ("%E5%9B%BE", "https://e.org/%E5%9b%BE", "%E5%9b%BE"),
            (
                "my%20~?%2f%61",
                "https://e.org/my ~?%2f%61",
                "my%20~?%2f%61",
            ),
            (
                "my%20~?%2f%61",
                " https://e.org/my%20%7e?%2f%61\n",
                "my%20%7e?%2f%61",
            ),
        ] {
            let [key, sent] = [key, sent].map(|path| format!("https://e.org/{path}"));
            let url = ImageUrl::parse(given).unwrap();
            assert_eq!((&url.key, &url.sent), (&key, &sent), "{given}");
            for again in [&key, &sent] {
                assert_eq!(ImageUrl::parse(again).unwrap().key, key, "{again}");
            }
        }
    }

    #[test]
    fn different_addresses_have_different_keys() {
        let given = [
            "https://e.org/a.png",
            "http://e.org/a.png",
            "https://e.org:444/a.png",
            "https://e.org/A.png",
            "https://e.org/a.png/",
            "https://e.org/a.png?",
            "https://e.org/a.png?x=%2F",
            "https://e.org/a.png?x=%2f",
            "https://e.org/a.png?x=/",
            "https://e.org/b/a.png",
            "https://e.org/b%2Fa.png",
            "https://e.org/%.png",
            "https://e.org/%+1.png",
            "https://e.org/%zz.png",
            "https://e.org/%25.png",
            "https://e.org/?/%41",
        ];
        let keys = given.map(|given| ImageUrl::parse(given).unwrap().key);
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), given.len(), "{keys:?}");
        assert!(keys.contains(&"https://e.org/?/%41".to_owned()), "{keys:?}");
    }

    #[test]
    fn rejects_what_is_no_http_url() {
        for (given, reason) in [
            ("", "does not begin with http"),
            ("//e.org/a.png", "does not begin with http"),
            ("data:image/png;base64,AA==", "the scheme `data`"),
            ("ftp://e.org/a.png", "the scheme `ftp`"),
            ("https://", "empty host"),
            ("https://e.org:99999/a.png", "invalid port"),
        ] {
            let error = ImageUrl::parse(given).unwrap_err();
            assert!(error.contains(reason), "{given}: {error}");
        }
    }

    #[test]
    fn the_part_after_the_last_dot_is_the_ending() {
        for (name, ending) in [
            ("/a.b.PNG", Some("png")),
            ("a.Jpeg", Some("jpeg")),
            ("a.png.image", None),
            ("/640", None),
            ("/png", None),
        ] {
            assert_eq!(ending_of_path(name), ending, "{name}");
        }
    }
}
