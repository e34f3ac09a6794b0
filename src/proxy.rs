//! The proxy of the environment, in curl's order. Pure: variables in, URL out.
//!
//! ureq reads the environment as well, but prefers `ALL_PROXY` and ignores values that it cannot parse.

use crate::error::{Error, Result};

/// Proxy variables in curl's order. They apply to https only: http is for loopback addresses, without a proxy.
const VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The proxy for an https host, with the name of the variable that sets it.
pub(crate) fn from_env(
    host: &str,
    variable: impl Fn(&'static str) -> Result<Option<String>>,
) -> Result<Option<(&'static str, String)>> {
    let first = |names: &[&'static str]| -> Result<Option<(&'static str, String)>> {
        for name in names {
            if let Some(value) = variable(name)?.filter(|value| !value.is_empty()) {
                return Ok(Some((*name, value)));
            }
        }
        Ok(None)
    };
    let Some((name, url)) = first(&VARIABLES)? else {
        return Ok(None);
    };
    let excepted = first(&EXCEPTIONS)?.is_some_and(|(_, hosts)| is_excepted(host, &hosts));
    Ok((!excepted).then_some((name, url)))
}

/// An environment variable as text.
pub(crate) fn variable(name: &'static str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(Error::config(name, "it is not UTF-8")),
    }
}

/// Returns whether `NO_PROXY` names the host: `*` is every host, and a name stands for its subdomains, too.
fn is_excepted(host: &str, hosts: &str) -> bool {
    let host = host.to_ascii_lowercase();
    hosts
        .split([',', ' '])
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .any(|entry| {
            let name = entry
                .trim_start_matches('*')
                .trim_start_matches('.')
                .to_ascii_lowercase();
            entry == "*"
                || (!name.is_empty()
                    && host
                        .strip_suffix(&name)
                        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "open-api.123pan.com";

    fn chosen(environment: &[(&str, &str)]) -> Option<&'static str> {
        let lookup = |name: &'static str| {
            Ok(environment
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned()))
        };
        let chosen = from_env(HOST, lookup).expect("a proxy or none");
        if let Some((name, url)) = &chosen {
            assert_eq!(lookup(name).ok().flatten().as_ref(), Some(url));
        }
        chosen.map(|(name, _)| name)
    }

    #[test]
    fn variables_are_tried_in_curls_order() {
        let all = [
            ("ALL_PROXY", "a"),
            ("all_proxy", "b"),
            ("HTTPS_PROXY", "c"),
            ("https_proxy", "d"),
        ];
        assert_eq!(chosen(&all), Some("https_proxy"));
        assert_eq!(chosen(&all[..3]), Some("HTTPS_PROXY"));
        assert_eq!(chosen(&all[..2]), Some("all_proxy"));
        assert_eq!(chosen(&all[..1]), Some("ALL_PROXY"));
        assert_eq!(chosen(&[("http_proxy", "p"), ("HTTP_PROXY", "p")]), None);
        // An empty variable is as good as none, as with curl.
        assert_eq!(
            chosen(&[("HTTPS_PROXY", ""), ("ALL_PROXY", "a")]),
            Some("ALL_PROXY")
        );
    }

    #[test]
    fn no_proxy_excludes_hosts() {
        for (hosts, proxied) in [
            ("*", false),
            ("open-api.123pan.com", false),
            ("OPEN-API.123pan.com", false),
            ("example.org, 123pan.com", false),
            ("example.org,.123pan.com", false),
            ("*.123pan.com", false),
            ("example.org 123pan.com", false),
            ("23pan.com", true),
            ("api.123pan.com", true),
            ("open-api.123pan.com.example.org", true),
            (", ,.", true),
            ("", true),
        ] {
            let environment = [("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", hosts)];
            assert_eq!(
                chosen(&environment).is_some(),
                proxied,
                "NO_PROXY={hosts:?}"
            );
        }
    }
}
