//! The rules for the URLs of images. Pure.

use std::net::{IpAddr, Ipv6Addr};

use pan123_offline::NewTask;

use crate::key::IMAGE_ENDINGS;
use crate::names::split_image_ending;

/// Endings of files that the service does not take.
const REFUSED_ENDINGS: [&str; 5] = ["heic", "heif", "avif", "pdf", "html"];

/// Checks a URL in the URL Standard's serialization. Returns a warning if the service will probably not reach it.
pub(super) fn check(url: &str) -> Result<Option<&'static str>, String> {
    let (_, rest) = url.split_once("://").unwrap_or_default();
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = rest.split('?').next().unwrap_or_default();
    if authority.contains('@') {
        return Err(
            "it contains a user name or a password, which the service would see".to_owned(),
        );
    }
    if NewTask::new(url).validate().is_err() {
        return Err("it is not an http or https URL".to_owned());
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    if let Some((_, ending)) = last.rsplit_once('.')
        && REFUSED_ENDINGS
            .iter()
            .any(|refused| refused.eq_ignore_ascii_case(ending))
    {
        let endings = IMAGE_ENDINGS.join(", ");
        return Err(format!(
            "the service takes no {ending} file; it takes {endings}"
        ));
    }
    let ends_in_image = |before: &str| split_image_ending(before).is_some();
    if last
        .match_indices([',', ';'])
        .any(|(place, _)| ends_in_image(&last[..place]))
    {
        return Err("a name comes after a TAB".to_owned());
    }
    Ok(is_unreachable(host(authority))
        .then_some("the service cannot reach this address, which is not public"))
}

fn host(authority: &str) -> &str {
    if let Some((host, _)) = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return host;
    }
    authority.split(':').next().unwrap_or_default()
}

fn is_unreachable(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(ip)) => {
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()
        }
        Ok(IpAddr::V6(ip)) => is_local(ip),
        Err(_) => !host.trim_end_matches('.').contains('.') || host.ends_with(".localhost"),
    }
}

fn is_local(ip: Ipv6Addr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_urls() {
        let rows: [(&str, &str); 26] = [
            ("https://e.org/a.png", ""),
            ("https://e.org/a", ""),
            ("https://e.org/a.php?id=1", ""),
            ("https://e.org/q~tplv-watermark.image", ""),
            ("https://e.org/w_100,h_100/a.jpg", ""),
            ("https://e.org/a.jpg,b/c.jpg", ""),
            ("https://e.org/a,b.jpg", ""),
            ("https://e.org/a.png?x=1,2", ""),
            ("https://e.org/a.png,cat.png", "a name comes after a TAB"),
            ("https://e.org/a.PNG;cat.png", "a name comes after a TAB"),
            ("https://e.org/a.png,", "a name comes after a TAB"),
            ("https://e.org/a.heic", "takes no heic file"),
            ("https://e.org/a.HEIF", "takes no HEIF file"),
            ("https://e.org/a.avif?x=1", "takes no avif file"),
            ("https://e.org/a.pdf", "takes no pdf file"),
            ("https://e.org/a.html", "takes no html file"),
            ("https://e.org/a.html/b", ""),
            ("https://user:pass@e.org/a.png", "a password"),
            ("ftp://e.org/a.png", "not an http"),
            ("http://localhost/a.png", "cannot reach"),
            ("http://192.168.1.2:8080/a.png", "cannot reach"),
            ("http://10.0.0.1/a.png", "cannot reach"),
            ("http://[::1]:80/a.png", "cannot reach"),
            ("http://[fe80::1]/a.png", "cannot reach"),
            ("http://nas/a.png", "cannot reach"),
            ("http://8.8.8.8/a.png", ""),
        ];
        for (url, expected) in rows {
            let text = match check(url) {
                Ok(warning) => warning.unwrap_or_default().to_owned(),
                Err(reason) => reason,
            };
            let is_as_expected = match expected {
                "" => text.is_empty(),
                part => text.contains(part),
            };
            assert!(is_as_expected, "{url}: {text:?}");
        }
    }
}
