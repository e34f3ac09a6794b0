//! Validation of settings: valid ones, and invalid ones with the exact texts of their errors.

// A test whose setup fails should panic.
#![allow(clippy::unwrap_used)]

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pan123_offline::{Client, ClientBuilder, Error, Progress, Result, Status, ureq};

const SAMPLE: &str = r#"{"code":0,"message":"ok","data":{"process":100,"status":2}}"#;
/// A base URL for clients that are built but not used.
const LOOPBACK: &str = "http://127.0.0.1:1";
/// Whether this build supports https.
const TLS: bool = cfg!(any(feature = "rustls", feature = "native-tls"));

/// A complete builder. Because of its loopback address it ignores the proxy variables of the
/// environment.
fn builder() -> ClientBuilder {
    Client::builder().access_token("token").base_url(LOOPBACK)
}

/// Asserts that a setting is rejected with an error that names it, and returns the reason.
#[track_caller]
fn rejection_reason(setting: &str, result: Result<Client>) -> String {
    let error = result.expect_err("an invalid setting");
    let Error::Config(config) = &error else {
        panic!("another variant: {error:?}")
    };
    assert_eq!(config.setting, setting);
    assert_eq!(
        error.to_string(),
        format!("setting `{setting}`: {}", config.reason)
    );
    assert!(std::error::Error::source(&error).is_none());
    assert!(!error.is_transient() && !error.may_have_taken_effect() && error.code().is_none());
    config.reason.clone()
}

#[track_caller]
fn assert_works(builder: ClientBuilder) -> Client {
    builder.build().expect("valid settings")
}

#[test]
fn validates_access_tokens() {
    const BLANKS: &str = "it begins or ends with white space; trim it";
    const ASCII: &str = "it must contain only visible ASCII characters";

    let no_token = Client::builder().base_url(LOOPBACK).build();
    assert_eq!(
        rejection_reason("access_token", no_token),
        "it is missing, and so are credentials; POST /api/v1/access_token issues tokens"
    );
    let too_long = "x".repeat(4097);
    for (token, reason) in [
        ("", "it is empty; POST /api/v1/access_token issues tokens"),
        ("secret\r\nX-Injected: 1", ASCII),
        ("secret\nX-Injected: 1", ASCII),
        ("secret\n", BLANKS),
        ("secret\r\n", BLANKS),
        ("\tsecret", BLANKS),
        (" secret", BLANKS),
        ("secret ", BLANKS),
        (" ", BLANKS),
        ("\u{3000}secret", BLANKS),
        ("sec ret", ASCII),
        ("sec\tret", ASCII),
        ("secret\0", ASCII),
        ("secret\u{7f}", ASCII),
        ("secrét", ASCII),
        ("秘密secret", ASCII),
        ("\u{feff}secret", ASCII),
        (&too_long, "it is longer than 4096 bytes"),
    ] {
        assert_eq!(
            rejection_reason("access_token", builder().access_token(token).build()),
            reason,
            "{token:?}"
        );
        assert_eq!(
            rejection_reason("access_token", Client::new(token)),
            reason,
            "{token:?}"
        );
    }
    assert_works(builder().access_token("x"));
    assert_works(builder().access_token("~!\"\\"));
    assert_works(builder().access_token("x".repeat(4096)));
}

#[test]
fn rejects_invalid_base_urls() {
    // After the URL.
    let unencrypted =
        " would send the access token unencrypted; http is for loopback addresses only";
    let no_url = " is not a URL: invalid uri character";
    let empty = " is not a URL: empty string";
    let no_host = " is not a whole URL, which begins with https:// and a host";
    let no_path = " must end with its path, without `?` and `#`";
    let no_port = " has no valid host and port";
    let scheme = " is neither https nor http";
    // Without the URL.
    let login = "it must not contain a user or a password";
    let too_long = format!("https://example.com/{}", "x".repeat(8173));
    for (url, reason) in [
        ("http://example.com", unencrypted),
        ("http://localhost.example.com", unencrypted),
        ("http://127.0.0.1.example.com", unencrypted),
        ("http://127.0.0.1.", unencrypted),
        ("http://0.0.0.0:1", unencrypted),
        ("http://128.0.0.1:1", unencrypted),
        ("http://[::2]:1", unencrypted),
        ("HTTP://example.com", unencrypted),
        (&too_long, "it is longer than 8192 bytes"),
        ("", empty),
        ("https://", empty),
        ("not a URL", no_url),
        ("https://exam ple.com", no_url),
        (" https://example.com", no_url),
        ("https://example.com\n", no_url),
        ("/relative", no_host),
        ("example.com", no_host),
        ("example.com:443", no_host),
        ("https://user:hunter2@example.com", login),
        ("http://user:hunter2@127.0.0.1:1", login),
        ("http://127.0.0.1@example.com", login),
        ("https://example.com?tenant=1", no_path),
        ("https://example.com/?", no_path),
        ("https://example.com/#top", no_path),
        ("https://example.com:0", no_port),
        ("https://example.com:99999", no_port),
        ("https://example.com:", no_port),
        ("http://127.0.0.1:0", no_port),
        ("ftp://example.com", scheme),
        ("ftp://127.0.0.1", scheme),
    ] {
        let expected = match reason.strip_prefix(' ') {
            Some(reason) => format!("`{}` {reason}", url.escape_debug()),
            None => reason.to_owned(),
        };
        let result = builder().base_url(url).build();
        assert_eq!(rejection_reason("base_url", result), expected);
    }
}

#[test]
fn errors_do_not_quote_the_password_of_a_base_url() {
    let mut quoted = Vec::new();
    for url in [
        "https://user:hunter2@example.com:99999",
        "https://user:hunter2@exam ple.com",
        "https://user:hunter2 @example.com",
        "//user:hunter2@example.com",
        "user:hunter2@example.com",
        "https://user:hunter2@example.com/?",
        "ftp://user:hunter2@example.com",
        "https://user:hunter2@",
    ] {
        let reason = rejection_reason("base_url", builder().base_url(url).build());
        if reason.contains("hunter2") {
            quoted.push(reason);
        }
    }
    assert!(quoted.is_empty(), "{quoted:#?}");
}

#[test]
fn accepts_valid_base_urls() {
    for url in [
        "http://127.0.0.1:1",
        "http://127.0.0.1",
        "http://127.9.9.9",
        "http://[::1]:1",
        "http://[::1]",
        "http://[::ffff:127.0.0.1]:1",
        "http://localhost:1",
        "http://LOCALHOST:1",
        "http://localhost:65535/",
        "HTTP://127.0.0.1:1/path/",
    ] {
        assert_works(builder().base_url(url));
    }
    let max_len = format!("https://example.com/{}", "x".repeat(8172));
    for url in [
        max_len.as_str(),
        "https://example.com",
        "https://example.com:8443/path",
        "https://127.0.0.1:1",
        "HTTPS://EXAMPLE.COM",
    ] {
        // Only https to a host that is not loopback uses the proxy of the environment, so it is
        // disabled here. An invalid proxy variable in the environment of this test still fails it,
        // as intended.
        let result = builder()
            .base_url(url)
            .configure_agent(|agent| agent.proxy(None))
            .build();
        if TLS {
            result.expect("valid settings");
        } else {
            assert_eq!(
                rejection_reason("base_url", result),
                "https needs TLS, and this build has none: turn on the feature `rustls` or `native-tls`"
            );
        }
    }
}

#[test]
fn validates_user_agents() {
    const BLANKS: &str = "it begins or ends with white space; trim it";
    const ASCII: &str = "it must contain only visible ASCII characters and spaces between them";

    let too_long = "x".repeat(4097);
    for (user_agent, reason) in [
        ("", "it is empty"),
        ("x\r\nX-Injected: 1", ASCII),
        ("x\ny", ASCII),
        ("x\ty", ASCII),
        ("x\n", BLANKS),
        (" x", BLANKS),
        (" ", BLANKS),
        ("相册", ASCII),
        ("x\0", ASCII),
        (&too_long, "it is longer than 4096 bytes"),
    ] {
        assert_eq!(
            rejection_reason("user_agent", builder().user_agent(user_agent).build()),
            reason,
            "{user_agent:?}"
        );
    }
    assert_works(builder().user_agent("x".repeat(4096)));
    assert_works(builder().user_agent("album-mover/2.1 (nightly build; +https://example.com)"));
}

#[test]
fn rejects_timeouts_of_zero() {
    let reason = "it must be longer than zero";
    assert_eq!(
        rejection_reason("timeout", builder().timeout(Duration::ZERO).build()),
        reason
    );
    assert_eq!(
        rejection_reason(
            "connect_timeout",
            builder().connect_timeout(Duration::ZERO).build()
        ),
        reason
    );
}

#[test]
fn accepts_timeouts_of_maximum_length() {
    let mut server = mockito::Server::new();
    let good = server
        .mock("GET", mockito::Matcher::Any)
        .with_body(SAMPLE)
        .expect(3)
        .create();
    let (max, default) = (Duration::MAX, Duration::from_secs(30));
    for (timeout, connect_timeout) in [(max, max), (max, default), (default, max)] {
        let client = assert_works(
            builder()
                .base_url(server.url())
                .timeout(timeout)
                .connect_timeout(connect_timeout)
                .retries(u32::MAX),
        );
        assert_eq!(
            client.get_process(1).unwrap(),
            Progress::new(Status::Succeeded, 100)
        );
        let shown = if timeout == max {
            "timeout: 31536000s"
        } else {
            "timeout: 30s"
        };
        assert!(format!("{client:?}").contains(shown), "{client:?}");
    }
    good.assert();

    // The timeout of a second attempt is computed from the remaining time.
    let mut server = mockito::Server::new();
    let bad = server
        .mock("GET", mockito::Matcher::Any)
        .with_status(503)
        .with_header("retry-after", "0")
        .expect(3)
        .create();
    let client = assert_works(
        builder()
            .base_url(server.url())
            .timeout(max)
            .connect_timeout(max)
            .retries(2),
    );
    client.get_process(1).unwrap_err();
    bad.assert();
}

#[test]
fn the_minimum_timeout_times_out() {
    // The listener never accepts, but the system establishes the connection.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    for timeout in [
        Duration::from_nanos(1),
        Duration::from_nanos(20),
        Duration::from_micros(1),
    ] {
        let error = assert_works(builder().base_url(&base_url).timeout(timeout))
            .get_process(1)
            .unwrap_err();
        assert!(
            error.is_timeout() && error.is_transient(),
            "{timeout:?}: {error:?}"
        );
    }
}

#[test]
fn configure_agent_can_be_called_repeatedly() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let calls = Arc::new(AtomicUsize::new(0));
    let (first, second, middleware_calls) = (order.clone(), order.clone(), calls.clone());
    let mut server = mockito::Server::new();
    let mock = server
        .mock("GET", mockito::Matcher::Any)
        .match_header("x-second", "2")
        .with_body(SAMPLE)
        .create();
    let client = builder()
        .base_url(server.url())
        .configure_agent(move |agent| {
            first.lock().unwrap().push(1);
            agent.middleware(
                move |request: ureq::http::Request<ureq::SendBody<'_>>,
                      next: ureq::middleware::MiddlewareNext<'_>| {
                    middleware_calls.fetch_add(1, Ordering::Relaxed);
                    next.handle(request)
                },
            )
        })
        .configure_agent(move |agent| {
            second.lock().unwrap().push(2);
            agent.middleware(
                |mut request: ureq::http::Request<ureq::SendBody<'_>>,
                 next: ureq::middleware::MiddlewareNext<'_>| {
                    request
                        .headers_mut()
                        .insert("x-second", ureq::http::HeaderValue::from_static("2"));
                    next.handle(request)
                },
            )
        })
        .build()
        .unwrap();
    assert_eq!(*order.lock().unwrap(), [1, 2]);
    client.get_process(1).unwrap();
    assert_eq!(
        calls.load(Ordering::Relaxed),
        1,
        "the first call's middleware is lost"
    );
    mock.assert();
}

#[test]
fn configure_agent_cannot_disable_safety_settings() {
    let mut server = mockito::Server::new();
    let redirect = server
        .mock("GET", "/api/v1/oss/offline/download/process?taskID=1")
        .with_status(302)
        .with_header("location", "/elsewhere")
        .expect(1)
        .create();
    let followed = server
        .mock("GET", "/elsewhere")
        .with_body(SAMPLE)
        .expect(0)
        .create();
    let client = builder()
        .base_url(server.url())
        .configure_agent(|agent| {
            agent
                .max_redirects(5)
                .http_status_as_error(true)
                .https_only(true)
                .max_response_header_size(1)
                .timeout_global(Some(Duration::from_nanos(1)))
                .timeout_recv_response(Some(Duration::from_nanos(1)))
                // No proxy listens there, and none is used for a loopback address.
                .proxy(Some(ureq::Proxy::new("http://127.0.0.1:1").unwrap()))
        })
        .build()
        .unwrap();
    let error = client.get_process(1).unwrap_err();
    assert!(
        matches!(&error, Error::Http(http) if http.status == 302),
        "{error:?}"
    );
    redirect.assert();
    followed.assert();
}

#[test]
fn validates_the_proxy_of_configure_agent() {
    const HTTPS: &str = "https://example.invalid";

    let with = |proxy: ureq::Proxy| {
        builder()
            .base_url(HTTPS)
            .configure_agent(move |agent| agent.proxy(Some(proxy)))
    };
    for url in [
        "socks5://127.0.0.1:1080",
        "socks4://127.0.0.1:1080",
        "socks4a://127.0.0.1:1080",
        "socks://127.0.0.1:1",
    ] {
        // Some versions of ureq reject protocols that they were built without.
        let Ok(proxy) = ureq::Proxy::new(url) else {
            continue;
        };
        assert_eq!(
            rejection_reason("configure_agent", with(proxy).build()),
            "only http and https proxies are supported, not SOCKS",
            "{url}"
        );
    }
    for url in [
        "http://127.0.0.1:0",
        "http://127.0.0.1:99999",
        "http://user:hunter2@127.0.0.1:99999",
    ] {
        let Ok(proxy) = ureq::Proxy::new(url) else {
            continue;
        };
        assert_eq!(
            rejection_reason("configure_agent", with(proxy).build()),
            "its proxy has no valid host and port",
            "{url}"
        );
    }
    let https = with(ureq::Proxy::new("https://127.0.0.1:1").unwrap());
    if TLS {
        assert_works(with(ureq::Proxy::new("http://127.0.0.1:1").unwrap()));
        assert_works(https);
    } else {
        assert_eq!(
            rejection_reason("configure_agent", https.build()),
            "an https proxy needs TLS, and this build has none"
        );
    }
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[test]
fn validates_the_tls_settings_of_configure_agent() {
    use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

    let result = |provider, roots| {
        let tls = TlsConfig::builder()
            .provider(provider)
            .root_certs(roots)
            .build();
        // Without this validation ureq panics at the first call if a provider is not compiled in.
        builder()
            .base_url("https://example.invalid")
            .configure_agent(|agent| agent.proxy(None).tls_config(tls))
            .build()
    };
    let no_roots = || RootCerts::new_with_certs(&[]);
    let rows = [
        (
            cfg!(feature = "rustls"),
            (TlsProvider::Rustls, RootCerts::WebPki),
            "the TLS provider rustls needs the feature `rustls`",
        ),
        (
            cfg!(feature = "native-tls"),
            (TlsProvider::NativeTls, RootCerts::PlatformVerifier),
            "the TLS provider native-tls needs the feature `native-tls`",
        ),
        (
            cfg!(feature = "native-tls"),
            (TlsProvider::NativeTls, no_roots()),
            "the TLS provider native-tls needs the feature `native-tls`",
        ),
    ];
    for (compiled_in, (provider, roots), reason) in rows {
        let result = result(provider, roots);
        if compiled_in {
            result.expect("valid settings");
        } else {
            assert_eq!(rejection_reason("configure_agent", result), reason);
        }
    }
    if cfg!(feature = "rustls") {
        let result = result(TlsProvider::Rustls, RootCerts::PlatformVerifier);
        if cfg!(feature = "platform-verifier") {
            result.expect("valid settings");
        } else {
            assert_eq!(
                rejection_reason("configure_agent", result),
                "the platform's verifier needs the feature `platform-verifier`"
            );
        }
    }
    if cfg!(feature = "native-tls") {
        assert_eq!(
            rejection_reason(
                "configure_agent",
                result(TlsProvider::NativeTls, RootCerts::WebPki)
            ),
            "native-tls uses the system's root certificates (`RootCerts::PlatformVerifier`) or given ones"
        );
    }
}

#[test]
fn debug_shows_no_token() {
    let builder = builder().access_token("secret");
    let shown = format!("{builder:?}");
    assert!(
        shown.contains("[redacted]") && !shown.contains("secret"),
        "{shown}"
    );
    let client = builder.build().unwrap();
    assert_eq!(
        format!("{client:?}"),
        "Client { host: \"127.0.0.1\", timeout: 30s, retries: 2, .. }"
    );
}

// ---- The environment ----
//
// Environment variables must not be changed while other threads run. Each case is therefore a child
// process: this test binary, run with a single ignored test.

/// Set for a child that also makes a call.
const CALL: &str = "SETTINGS_TEST_CALL";
/// Set for a child that changes a setting of the environment's builder.
const OWN_SETTING: &str = "SETTINGS_TEST_OWN_SETTING";

/// Returns the result of `Client::from_env()` in a process with these variables, and without other
/// variables that the client reads.
#[track_caller]
fn in_environment(variables: &[(&str, &str)]) -> String {
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (*name, OsStr::new(*value)))
        .collect();
    outcome(&variables)
}

#[track_caller]
fn outcome(variables: &[(&str, &OsStr)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    for name in [
        "PAN123_ACCESS_TOKEN",
        "PAN123_BASE_URL",
        "PAN123_CLIENT_ID",
        "PAN123_CLIENT_SECRET",
        CALL,
        OWN_SETTING,
    ] {
        command.env_remove(name);
    }
    for name in ["https_proxy", "http_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    let output = command
        .args([
            "--exact",
            "child_reads_its_environment",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "the child failed: {stderr}");
    stderr
        .lines()
        .find_map(|line| line.strip_prefix("outcome: "))
        .expect("the child prints its result")
        .to_owned()
}

#[test]
#[ignore = "run by other tests in its own process and environment"]
fn child_reads_its_environment() {
    let client = if std::env::var_os(OWN_SETTING).is_some() {
        ClientBuilder::from_env()
            .and_then(|builder| builder.timeout(Duration::from_secs(7)).build())
    } else {
        Client::from_env()
    };
    let outcome = match client {
        Err(error) => error.to_string(),
        Ok(client) if std::env::var_os(CALL).is_some() => match client.get_process(1) {
            Ok(progress) => format!("ok: {progress}"),
            Err(error) => format!("{error} / {error:?}"),
        },
        Ok(client) => format!("{client:?}"),
    };
    eprintln!("outcome: {}", outcome.replace('\n', "\\n"));
}

#[test]
fn from_env_reads_token_and_base_url() {
    const NO_TOKEN: &str = "setting `PAN123_ACCESS_TOKEN`: it is not set, and neither are PAN123_CLIENT_ID and PAN123_CLIENT_SECRET";

    let token = ("PAN123_ACCESS_TOKEN", "secret");
    assert_eq!(in_environment(&[]), NO_TOKEN);
    assert_eq!(in_environment(&[("PAN123_ACCESS_TOKEN", "")]), NO_TOKEN);
    assert_eq!(in_environment(&[("PAN123_BASE_URL", LOOPBACK)]), NO_TOKEN);
    for (value, reason) in [
        ("secret\n", "it begins or ends with white space; trim it"),
        (" secret", "it begins or ends with white space; trim it"),
        ("sec ret", "it must contain only visible ASCII characters"),
    ] {
        assert_eq!(
            in_environment(&[
                ("PAN123_ACCESS_TOKEN", value),
                ("PAN123_BASE_URL", LOOPBACK)
            ]),
            format!("setting `PAN123_ACCESS_TOKEN`: {reason}")
        );
    }
    assert_eq!(
        in_environment(&[token, ("PAN123_BASE_URL", LOOPBACK)]),
        "Client { host: \"127.0.0.1\", timeout: 30s, retries: 2, .. }"
    );
    assert_eq!(
        in_environment(&[token, ("PAN123_BASE_URL", LOOPBACK), (OWN_SETTING, "1")]),
        "Client { host: \"127.0.0.1\", timeout: 7s, retries: 2, .. }"
    );
    assert_eq!(
        in_environment(&[token, ("PAN123_BASE_URL", "http://example.com")]),
        "setting `PAN123_BASE_URL`: `http://example.com` would send the access token unencrypted; \
         http is for loopback addresses only"
    );
    if TLS {
        let expected = "Client { host: \"open-api.123pan.com\", timeout: 30s, retries: 2, .. }";
        assert_eq!(in_environment(&[token]), expected);
        assert_eq!(in_environment(&[token, ("PAN123_BASE_URL", "")]), expected);
        // No proxy is used for a loopback address, so an invalid one is ignored.
        for url in ["https://127.0.0.1:1", "http://127.0.0.1:1"] {
            let nonsense = [
                token,
                ("PAN123_BASE_URL", url),
                ("https_proxy", "no proxy"),
                ("all_proxy", "no proxy"),
            ];
            assert_eq!(
                in_environment(&nonsense),
                expected.replace("open-api.123pan.com", "127.0.0.1")
            );
        }
    }
}

#[cfg(unix)]
fn not_utf8() -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(b"secret\xff".to_vec())
}

#[cfg(windows)]
fn not_utf8() -> OsString {
    // Half of a surrogate pair.
    std::os::windows::ffi::OsStringExt::from_wide(&[0x73, 0xd800])
}

#[test]
fn rejects_variables_that_are_not_utf8() {
    let bad = not_utf8();
    let bad = bad.as_os_str();
    assert_eq!(
        outcome(&[("PAN123_ACCESS_TOKEN", bad)]),
        "setting `PAN123_ACCESS_TOKEN`: it is not UTF-8"
    );
    let text = "setting `PAN123_CLIENT_SECRET`: it is not UTF-8";
    assert_eq!(
        outcome(&[
            ("PAN123_CLIENT_ID", OsStr::new("id")),
            ("PAN123_CLIENT_SECRET", bad)
        ]),
        text
    );
    assert_eq!(outcome(&[("PAN123_CLIENT_SECRET", bad)]), text);
    let token = ("PAN123_ACCESS_TOKEN", OsStr::new("secret"));
    assert_eq!(
        outcome(&[token, ("PAN123_BASE_URL", bad)]),
        "setting `PAN123_BASE_URL`: it is not UTF-8"
    );
    assert_eq!(
        outcome(&[token, ("HTTPS_PROXY", bad)]),
        format!(
            "setting `{}`: it is not UTF-8",
            proxy_variable("HTTPS_PROXY")
        )
    );
}

/// A base URL that uses the proxy of the environment. Its domain is reserved and does not exist.
const REMOTE: [(&str, &str); 2] = [
    ("PAN123_ACCESS_TOKEN", "secret"),
    ("PAN123_BASE_URL", "https://api.example.invalid"),
];

/// Returns the name of a proxy variable in an error. On Windows names are case-insensitive, and the
/// lower-case name is tried first.
fn proxy_variable(name: &str) -> String {
    if cfg!(windows) {
        name.to_lowercase()
    } else {
        name.to_owned()
    }
}

#[test]
fn rejects_invalid_proxy_variables() {
    const NO_URL: &str = "it is not the URL of a proxy";
    const NO_PORT: &str = "its proxy has no valid host and port";
    const SOCKS: &str = "only http and https proxies are supported, not SOCKS";

    let mut wrong = Vec::new();
    for (value, reasons) in [
        ("not a URL hunter2", &[NO_URL][..]),
        ("http://user:hunter2@exam ple:3128", &[NO_URL]),
        ("://user:hunter2@", &[NO_URL]),
        ("ftp://user:hunter2@127.0.0.1:21", &[NO_URL]),
        ("http://user:hunter2@", &[NO_URL, NO_PORT]),
        ("http://user:hunter2@127.0.0.1:99999", &[NO_URL, NO_PORT]),
        ("http://127.0.0.1:99999", &[NO_URL, NO_PORT]),
        ("127.0.0.1:99999", &[NO_URL, NO_PORT]),
        ("http://user:hunter2@127.0.0.1:0", &[NO_URL, NO_PORT]),
        ("http://user:hunter2@127.0.0.1:port", &[NO_URL, NO_PORT]),
        ("socks5://user:hunter2@127.0.0.1:1080", &[SOCKS]),
        ("socks4://user:hunter2@127.0.0.1:1080", &[SOCKS]),
    ] {
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            let got = in_environment(&[&REMOTE[..], &[(name, value)]].concat());
            assert!(!got.contains("hunter2"), "{got}");
            if !reasons
                .iter()
                .any(|reason| got == format!("setting `{}`: {reason}", proxy_variable(name)))
            {
                wrong.push(format!("{name}={value} became: {got}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn ignores_proxy_variables_that_do_not_apply() {
    if !TLS {
        return;
    }
    let works = "Client { host: \"api.example.invalid\", timeout: 30s, retries: 2, .. }";
    let https_proxy = proxy_variable("HTTPS_PROXY");
    let broken =
        format!("setting `{https_proxy}`: only http and https proxies are supported, not SOCKS");
    let broken = broken.as_str();
    let bad_all_proxy = format!(
        "setting `{}`: it is not the URL of a proxy",
        proxy_variable("ALL_PROXY")
    );
    let socks = ("HTTPS_PROXY", "socks5://127.0.0.1:1080");
    for (variables, expected) in [
        (&[][..], works),
        (&[("HTTPS_PROXY", "http://127.0.0.1:1")], works),
        (&[("HTTPS_PROXY", "127.0.0.1:1")], works),
        (&[("HTTPS_PROXY", "https://127.0.0.1:1")], works),
        (&[socks], broken),
        // Port 443 is that of https.
        (&[socks, ("NO_PROXY", "api.example.invalid:443")], works),
        (&[socks, ("no_proxy", ".example.invalid")], works),
        (&[socks, ("NO_PROXY", "")], broken),
        // HTTPS_PROXY takes precedence over ALL_PROXY. An empty one counts as unset.
        (
            &[
                ("HTTPS_PROXY", "http://127.0.0.1:1"),
                ("ALL_PROXY", "not a URL"),
            ],
            works,
        ),
        (
            &[("HTTPS_PROXY", ""), ("ALL_PROXY", "not a URL")],
            &bad_all_proxy,
        ),
        // The lower-case name takes precedence, as in curl. On Windows both are one variable with
        // the last value.
        (
            &[("https_proxy", "http://127.0.0.1:1"), socks],
            if cfg!(windows) { broken } else { works },
        ),
    ] {
        assert_eq!(
            in_environment(&[&REMOTE[..], variables].concat()),
            expected,
            "{variables:?}"
        );
    }
}

#[test]
fn uses_no_proxy_for_loopback_addresses() {
    let mut server = mockito::Server::new();
    let mock = server
        .mock("GET", mockito::Matcher::Any)
        .with_body(SAMPLE)
        .expect(2)
        .create();
    // The second one is invalid, and ignored.
    for proxy in ["http://127.0.0.1:1", "not a URL"] {
        let base_url = server.url();
        let mut variables = vec![
            ("PAN123_ACCESS_TOKEN", "secret"),
            ("PAN123_BASE_URL", base_url.as_str()),
            (CALL, "1"),
        ];
        for variable in [
            "HTTPS_PROXY",
            "https_proxy",
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
            "all_proxy",
        ] {
            variables.push((variable, proxy));
        }
        assert_eq!(
            in_environment(&variables),
            "ok: succeeded, 100 %",
            "{proxy}"
        );
    }
    mock.assert();
}

/// Starts a proxy that accepts one connection, responds to its first request with 407, and returns
/// that request.
fn proxy() -> (SocketAddr, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut header = Vec::new();
        let mut byte = [0];
        while !header.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
            header.push(byte[0]);
        }
        stream
            .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        String::from_utf8(header).unwrap()
    });
    (address, proxy)
}

#[test]
fn uses_the_proxy_of_the_environment_for_https() {
    if !TLS {
        return;
    }
    let (address, proxy) = proxy();
    let url = format!("http://user:hunter2@{address}");
    // The proxy accepts one connection only, so a retry would fail with another error.
    let got = in_environment(&[&REMOTE[..], &[("HTTPS_PROXY", &url), (CALL, "1")]].concat());
    // Ends the proxy's thread if the call never connected.
    drop(std::net::TcpStream::connect(address));
    let header = proxy.join().unwrap();
    assert!(
        header.starts_with("CONNECT api.example.invalid:443 HTTP/1.1\r\n"),
        "{header}"
    );
    assert!(
        !header.contains("secret"),
        "the access token was sent to the proxy: {header}"
    );
    let expected = format!(
        "the proxy wants other credentials for api.example.invalid through the proxy {address};"
    );
    assert!(got.contains(&expected), "{got}");
    assert!(!got.contains("hunter2") && !got.contains("secret"), "{got}");
}
