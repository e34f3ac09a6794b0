//! The URL of the service, and the URLs of its endpoints.

use std::fmt;
use std::net::IpAddr;

use ureq::http::Uri;
use ureq::http::uri::{Authority, PathAndQuery, Scheme};

use super::cannot_be_sent;
use crate::error::Result;

const MAX_URL_LEN: usize = 8 * 1024;

/// An origin, and optionally a path in front of the endpoints' paths.
#[derive(Debug, Clone)]
pub(crate) struct BaseUrl(Uri);

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
        let base = Self(uri);
        let reason = match (base.0.scheme_str(), base.0.authority()) {
            (None, _) | (_, None) => "is not a whole URL, which begins with https:// and a host",
            (_, Some(authority)) if !has_valid_host_and_port(authority) => {
                "has no valid host and port"
            }
            _ if base.0.query().is_some() || url.contains('#') => {
                "must end with its path, without `?` and `#`"
            }
            (Some("https"), _) => return Ok(base),
            (Some("http"), _) if base.is_loopback() => return Ok(base),
            (Some("http"), _) => {
                "would send the access token unencrypted; http is for loopback addresses only"
            }
            _ => "is neither https nor http",
        };
        Err(format!("`{url}` {reason}"))
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
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
        self.0.host().unwrap_or_default().trim_matches(['[', ']'])
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(self.default_port())
    }

    fn default_port(&self) -> u16 {
        if self.is_https() { 443 } else { 80 }
    }

    /// The value of the header `Host`: with a port only if it is not the scheme's default.
    pub(super) fn host_header(&self) -> &str {
        match self.port() == self.default_port() {
            true => self.0.host().unwrap_or_default(),
            false => self.authority(),
        }
    }

    /// The host, and the port if the URL names one.
    pub(super) fn authority(&self) -> &str {
        self.0.authority().map_or("", Authority::as_str)
    }

    /// The URL of an endpoint, which is given by its path and query.
    pub(super) fn join(&self, endpoint: &str) -> Result<Uri> {
        let path = self.0.path().trim_end_matches('/');
        let path = PathAndQuery::try_from([path, endpoint].concat());
        let mut parts = self.0.clone().into_parts();
        parts.path_and_query = Some(path.map_err(|e| cannot_be_sent("base_url", &e))?);
        Uri::from_parts(parts).map_err(|e| cannot_be_sent("base_url", &e))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_string().trim_end_matches('/'))
    }
}

/// Returns whether there is a host, and no port or one from 1 to 65535. `http` reads any other text as no port.
pub(super) fn has_valid_host_and_port(authority: &Authority) -> bool {
    let host_and_port = authority.as_str().rsplit('@').next();
    let has_no_port = host_and_port == Some(authority.host());
    !authority.host().is_empty()
        && (has_no_port || authority.port_u16().is_some_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_header_has_no_default_port() {
        for (url, host) in [
            ("https://a.example/b/", "a.example"),
            ("https://a.example:443", "a.example"),
            ("https://a.example:80", "a.example:80"),
            ("http://[::1]:80", "[::1]"),
            ("http://[::1]:443/b", "[::1]:443"),
        ] {
            assert_eq!(BaseUrl::parse(url).unwrap().host_header(), host, "{url}");
        }
    }
}
