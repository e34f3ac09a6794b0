//! The URL of the service, and the URLs of its endpoints.

use std::fmt;
use std::net::IpAddr;

use ureq::http::Uri;
use ureq::http::uri::{Authority, Parts, PathAndQuery, Scheme};

use super::cannot_be_sent;
use crate::error::Result;

/// Maximum length of a base URL in bytes.
pub(super) const MAX_URL_LEN: usize = 8 * 1024;

/// An origin, and optionally a path in front of the endpoints' paths.
#[derive(Debug, Clone)]
pub(crate) struct BaseUrl {
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at its end.
    path: String,
}

impl BaseUrl {
    /// Parses and validates a URL. The error says what is wrong with it.
    pub(crate) fn parse(url: &str) -> std::result::Result<Self, String> {
        // Checked first, because the other errors quote the URL.
        if url.contains('@') {
            return Err("it must not contain a user or a password".into());
        }
        if url.len() > MAX_URL_LEN {
            return Err(format!("it is longer than {MAX_URL_LEN} bytes"));
        }
        let uri: Uri = url
            .parse()
            .map_err(|e| format!("`{}` is not a URL: {e}", url.escape_debug()))?;
        let (Some(scheme), Some(authority)) = (uri.scheme().cloned(), uri.authority().cloned())
        else {
            return Err(format!(
                "`{url}` is not a whole URL, which begins with https:// and a host"
            ));
        };
        if authority.host().is_empty() || !has_valid_port(&authority) {
            return Err(format!("`{url}` has no valid host and port"));
        }
        if uri.query().is_some() || url.contains('#') {
            return Err(format!(
                "`{url}` must end with its path, without `?` and `#`"
            ));
        }
        let path = uri.path().trim_end_matches('/').to_owned();
        let base = Self {
            scheme,
            authority,
            path,
        };
        match base.scheme.as_str() {
            "https" => Ok(base),
            "http" if base.is_loopback() => Ok(base),
            "http" => Err(format!(
                "`{url}` would send the access token unencrypted; http is for loopback addresses only"
            )),
            _ => Err(format!("`{url}` is neither https nor http")),
        }
    }

    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host();
        match host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// The host alone, an IPv6 address without its brackets.
    pub(crate) fn host(&self) -> &str {
        self.authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
    }

    pub(crate) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(self.default_port())
    }

    fn default_port(&self) -> u16 {
        if self.is_https() { 443 } else { 80 }
    }

    /// The host, and the port if the URL names one.
    pub(super) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// The value of the header `Host`: with a port only if it is not the scheme's default.
    pub(super) fn host_header(&self) -> &str {
        match self.authority.port_u16() {
            Some(port) if port == self.default_port() => self.authority.host(),
            _ => self.authority.as_str(),
        }
    }

    /// The URL of an endpoint, which is given by its path and query.
    pub(super) fn join(&self, endpoint: &str) -> Result<Uri> {
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        let path = PathAndQuery::try_from(format!("{}{endpoint}", self.path));
        parts.path_and_query = Some(path.map_err(|e| cannot_be_sent("base_url", &e))?);
        Uri::from_parts(parts).map_err(|e| cannot_be_sent("base_url", &e))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

/// Returns whether the port is absent or a number from 1 to 65535. `http` reads any other text as no port.
pub(super) fn has_valid_port(authority: &Authority) -> bool {
    let (_, host_and_port) = authority
        .as_str()
        .rsplit_once('@')
        .unwrap_or(("", authority.as_str()));
    match host_and_port.strip_prefix(authority.host()) {
        Some("") => true,
        Some(port) => port
            .strip_prefix(':')
            .and_then(|port| port.parse().ok())
            .is_some_and(|port: u16| port > 0),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_host_header_and_url() {
        for (url, host, text) in [
            ("https://a.example", "a.example", "https://a.example"),
            ("https://a.example/", "a.example", "https://a.example"),
            (
                "https://a.example:443/b/",
                "a.example",
                "https://a.example:443/b",
            ),
            (
                "https://a.example:80",
                "a.example:80",
                "https://a.example:80",
            ),
            ("http://127.0.0.1:80", "127.0.0.1", "http://127.0.0.1:80"),
            ("http://[::1]:443/b", "[::1]:443", "http://[::1]:443/b"),
        ] {
            let base = BaseUrl::parse(url).unwrap();
            assert_eq!(base.host_header(), host, "{url}");
            assert_eq!(base.to_string(), text);
        }
    }
}
