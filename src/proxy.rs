//! The proxy of the environment, in curl's order. Pure: variables in, URL out.
//!
//! ureq reads the environment as well, but prefers `ALL_PROXY` and ignores values that it cannot parse.

use std::net::IpAddr;

use crate::error::{Error, Result};

/// Proxy variables in curl's order. They apply to https only: http is for loopback addresses, without a proxy.
const VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The proxy for an https host, with the name of the variable that sets it. An IPv6 address has no brackets here.
pub(crate) fn from_env(
    host: &str,
    port: u16,
    variable: impl Fn(&'static str) -> Result<Option<String>>,
) -> Result<Option<(&'static str, String)>> {
    let first = |names: &[&'static str]| -> Result<Option<(&'static str, String)>> {
        for name in names {
            if let Some(value) = variable(name)? {
                return Ok(Some((*name, value)));
            }
        }
        Ok(None)
    };
    let Some((name, url)) = first(&VARIABLES)? else {
        return Ok(None);
    };
    let excepted = first(&EXCEPTIONS)?.is_some_and(|(_, hosts)| is_excepted(host, port, &hosts));
    Ok((!excepted).then_some((name, url)))
}

/// An environment variable as text. An empty one counts as absent, as with curl.
pub(crate) fn variable(name: &'static str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(Error::config(name, "it is not UTF-8")),
    }
}

/// Returns whether `NO_PROXY` names the host: `*` is every host, a name stands for its subdomains, too, and an entry with
/// a port for that port only.
fn is_excepted(host: &str, port: u16, entries: &str) -> bool {
    let port = format!(":{port}");
    entries.split([',', ' ']).map(str::trim).any(|entry| {
        // The colons of an address without brackets are no port.
        let name = match entry.parse::<IpAddr>() {
            Ok(_) => entry,
            Err(_) => entry.strip_suffix(&port).unwrap_or(entry),
        };
        entry == "*" || is_named(host, name)
    })
}

fn is_named(host: &str, name: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        return name.trim_matches(['[', ']']).parse() == Ok(address);
    }
    let domain = name.trim_start_matches('*').trim_start_matches('.');
    let domain = domain.to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    match host.strip_suffix(&domain) {
        Some(rest) => !domain.is_empty() && (rest.is_empty() || rest.ends_with('.')),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_tried_in_curls_order() {
        let order = "http_proxy ALL_PROXY all_proxy HTTPS_PROXY https_proxy";
        let order: Vec<_> = order.split(' ').collect();
        for (end, expected) in order.iter().enumerate() {
            let is_set = |name| Ok(order[..=end].contains(&name).then(|| "proxy".to_owned()));
            let chosen = from_env("a.example", 443, is_set).unwrap();
            let chosen = chosen.map_or("http_proxy", |(name, _)| name);
            assert_eq!(chosen, *expected);
        }
    }

    #[test]
    fn no_proxy_excludes_hosts() {
        const HOST: &str = "open-api.123pan.com";
        for (host, entries, expected) in [
            (HOST, "*", true),
            (HOST, "OPEN-API.123pan.com", true),
            (HOST, "example.org, 123pan.com", true),
            (HOST, "*.123pan.com", true),
            (HOST, "example.org 123pan.com", true),
            (HOST, "23pan.com", false),
            (HOST, "api.123pan.com", false),
            (HOST, "open-api.123pan.com.example.org", false),
            (HOST, ", ,.", false),
            (HOST, "", false),
            (HOST, "open-api.123pan.com:443", true),
            (HOST, "123pan.com:8443", false),
            (HOST, "123pan.com:https", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "2.3", false),
            ("10.1.2.3", ".1.2.3", false),
            ("2001:db8::1", "2001:db8::1", true),
            ("2001:db8::1", "2001:db8::1:443", false),
            ("2001:db8::1", "[2001:DB8:0::1]:443", true),
            ("2001:db8::1", "[2001:db8::1]:8443", false),
            ("2001:db8::1", "[2001:db8::2]", false),
        ] {
            let excepted = is_excepted(host, 443, entries);
            assert_eq!(excepted, expected, "NO_PROXY={entries:?} for {host}");
        }
    }
}
