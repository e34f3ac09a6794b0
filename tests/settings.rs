//! Settings: invalid values with the exact texts of their errors, and the variables of the environment.

mod support;

use std::ffi::{OsStr, OsString};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use pan123_offline::testing::{Reply, Service};
use pan123_offline::ureq::middleware::{Middleware, MiddlewareNext};
use pan123_offline::ureq::{self, SendBody, http};
use pan123_offline::{Client, ClientBuilder, Credentials, Error};
use support::{RUNNING, TASK, all_texts, service};

/// A base URL for clients that are built but not used.
const LOOPBACK: &str = "http://127.0.0.1:1";
/// Whether this build supports https.
const TLS: bool = cfg!(any(feature = "rustls", feature = "native-tls"));

/// Settings, the reasons for which values are rejected, and these values. `{}` stands for the value.
const VALUES: &str = r##"{
    "access_token": {
        "ok": ["x", "~!\"\\"],
        "it is empty; POST /api/v1/access_token issues tokens": [""],
        "it begins or ends with white space; trim it": ["x\r\n", "\tx", "x ", " ", "\u3000x"],
        "it must contain only visible ASCII characters":
            ["x\r\nX-Injected: 1", "x y", "x\u0000", "x\u007f", "秘密x", "\ufeffx"]
    },
    "credentials": {
        "it is empty": [""],
        "it begins or ends with white space; trim it": ["x\n"]
    },
    "cache_file": {
        "it is empty": [""]
    },
    "user_agent": {
        "ok": ["album-mover/2.1 (nightly build; +https://example.com)"],
        "it is empty": [""],
        "it begins or ends with white space; trim it": ["x\n", " x", " "],
        "it must contain only visible ASCII characters and spaces between them":
            ["x\r\nX-Injected: 1", "x\ty", "相册", "x\u0000"]
    },
    "base_url": {
        "ok": [
            "http://127.9.9.9", "http://[::1]", "http://[::ffff:127.0.0.1]:1", "http://LOCALHOST:65535/",
            "HTTP://127.0.0.1:1/path/", "https://example.com:8443/path", "https://127.0.0.1:1", "HTTPS://EXAMPLE.COM"
        ],
        "it must not contain a user or a password": [
            "https://user:hunter2@example.com:99999", "https://user:hunter2 @exam ple.com",
            "http://user:hunter2@127.0.0.1:1", "http://127.0.0.1@example.com", "user:hunter2@example.com"
        ],
        "`{}` would send the access token unencrypted; http is for loopback addresses only": [
            "http://example.com", "http://localhost.example.com", "http://127.0.0.1.example.com", "http://127.0.0.1.",
            "http://0.0.0.0:1", "http://128.0.0.1:1", "http://[::2]:1", "HTTP://example.com"
        ],
        "`{}` is not a URL: invalid uri character": ["https://exam ple.com", "https://example.com\n"],
        "`{}` is not a URL: empty string": ["", "https://"],
        "`{}` is not a whole URL, which begins with https:// and a host": ["/relative", "example.com", "example.com:443"],
        "`{}` must end with its path, without `?` and `#`": ["https://example.com?tenant=1", "https://example.com/#top"],
        "`{}` has no valid host and port": ["https://example.com:0", "https://example.com:99999", "https://example.com:"],
        "`{}` is neither https nor http": ["ftp://example.com", "ftp://127.0.0.1"]
    }
}"##;

/// A complete builder. It ignores the proxy variables of the environment.
fn builder() -> ClientBuilder {
    let builder = Client::builder().access_token("token").base_url(LOOPBACK);
    builder.configure_agent(|agent| agent.proxy(None))
}

fn with(setting: &str, value: &str) -> ClientBuilder {
    let credentials = Credentials::new("id", "secret");
    match setting {
        "access_token" => builder().access_token(value),
        "base_url" => builder().base_url(value),
        "user_agent" => builder().user_agent(value),
        "credentials" => builder().credentials(Credentials::new("id", value)),
        "cache_file" => builder().credentials(credentials.cache_file(value)),
        _ => panic!("{setting}"),
    }
}

#[track_caller]
fn rejects(setting: &str, builder: ClientBuilder, reason: &str) {
    let error = builder.build().expect_err(reason);
    let Error::Config(config) = &error else {
        panic!("{error:?}")
    };
    assert_eq!((config.setting, config.reason.as_str()), (setting, reason));
    assert_eq!(error.to_string(), format!("setting `{setting}`: {reason}"));
    assert!(!error.is_transient() && !error.may_have_taken_effect() && error.code().is_none());
}

#[track_caller]
fn accepts(setting: &str, value: &str) {
    let builder = with(setting, value);
    if TLS || !value.to_lowercase().starts_with("https") {
        builder.build().unwrap();
    } else {
        let reason = "https needs TLS, and this build has none: turn on the feature `rustls` or `native-tls`";
        rejects("base_url", builder, reason);
    }
}

#[test]
fn validates_values() {
    let settings: serde_json::Value = serde_json::from_str(VALUES).unwrap();
    for (setting, reasons) in settings.as_object().unwrap() {
        for (reason, values) in reasons.as_object().unwrap() {
            for value in values.as_array().unwrap() {
                let value = value.as_str().unwrap();
                let reason = reason.replace("{}", &value.escape_debug().to_string());
                match reason.as_str() {
                    "ok" => accepts(setting, value),
                    _ => rejects(setting, with(setting, value), &reason),
                }
            }
        }
    }
    for (setting, start, max_len) in [
        ("access_token", "", 4096),
        ("user_agent", "", 4096),
        ("base_url", "https://example.com/", 8192),
    ] {
        let value = |len| start.to_owned() + &"x".repeat(len - start.len());
        accepts(setting, &value(max_len));
        let too_long = with(setting, &value(max_len + 1));
        let reason = format!("it is longer than {max_len} bytes");
        rejects(setting, too_long, &reason);
    }
    let missing = "it is missing, and so are credentials; POST /api/v1/access_token issues tokens";
    rejects("access_token", Client::builder(), missing);
    let zero = "it must be longer than zero";
    rejects("timeout", builder().timeout(Duration::ZERO), zero);
    let no_connect_timeout = builder().connect_timeout(Duration::ZERO);
    rejects("connect_timeout", no_connect_timeout, zero);
}

#[test]
fn longest_and_shortest_timeouts_work() {
    let service = service();
    // The timeout of a second attempt is computed from the remaining time.
    service.reply_next(Reply::new(503).header("Retry-After", "0"));
    let longest = builder().timeout(Duration::MAX).retries(u32::MAX);
    let longest = longest.connect_timeout(Duration::MAX);
    let client = longest.base_url(service.base_url()).build().unwrap();
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    let text = "Client { host: \"127.0.0.1\", timeout: 31536000s, retries: 4294967295, .. }";
    assert_eq!(format!("{client:?}"), text);

    // The listener never accepts, but the system establishes the connection.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    for nanoseconds in [1, 20, 1000] {
        let timeout = Duration::from_nanos(nanoseconds);
        let shortest = builder().base_url(&base_url).timeout(timeout);
        let error = shortest.build().unwrap().get_process(1).unwrap_err();
        assert!(error.is_timeout() && error.is_transient(), "{error:?}");
    }
}

// ---- `configure_agent`.

fn adds_header(name: &'static str) -> impl Middleware {
    move |mut request: http::Request<SendBody<'_>>, next: MiddlewareNext<'_>| {
        let value = http::HeaderValue::from_static("yes");
        request.headers_mut().insert(name, value);
        next.handle(request)
    }
}

#[test]
fn configure_agent_keeps_the_previous_configuration_and_the_safety_settings() {
    let service = service();
    service.reply_next(Reply::new(302).header("Location", "/elsewhere"));
    let builder = builder().base_url(service.base_url());
    let client = builder
        .configure_agent(|agent| agent.middleware(adds_header("X-First")))
        .configure_agent(|agent| agent.middleware(adds_header("X-Second")))
        .configure_agent(|agent| {
            agent
                .max_redirects(5)
                .http_status_as_error(true)
                .https_only(true)
                .max_response_header_size(1)
                .timeout_global(Some(Duration::from_nanos(1)))
                .timeout_recv_response(Some(Duration::from_nanos(1)))
                // No proxy listens there, and none is used for a loopback address.
                .proxy(Some(ureq::Proxy::new(LOOPBACK).unwrap()))
        })
        .build()
        .unwrap();
    let error = client.get_process(1).unwrap_err();
    assert_eq!(error.http_status(), Some(302), "{error:?}");
    let requests = service.requests();
    assert_eq!(requests.len(), 1);
    let has_header = |name| requests[0].header(name) == Some("yes");
    assert!(has_header("X-First") && has_header("X-Second"));
}

fn remote() -> ClientBuilder {
    with("base_url", "https://api.example.invalid")
}

#[test]
fn rejects_proxies_of_configure_agent_that_cannot_work() {
    let socks = "only http and https proxies are supported, not SOCKS";
    let no_port = "its proxy has no valid host and port";
    for (url, reason) in [
        ("socks5://127.0.0.1:1080", socks),
        ("socks4a://127.0.0.1:1080", socks),
        ("http://127.0.0.1:0", no_port),
        ("http://user:hunter2@127.0.0.1:99999", no_port),
    ] {
        // Some versions of ureq reject an invalid port, and protocols that they were built without.
        if let Ok(proxy) = ureq::Proxy::new(url) {
            let builder = remote().configure_agent(|agent| agent.proxy(Some(proxy)));
            rejects("configure_agent", builder, reason);
        }
    }
    let https = ureq::Proxy::new("https://127.0.0.1:1").unwrap();
    let builder = remote().configure_agent(|agent| agent.proxy(Some(https)));
    if TLS {
        builder.build().unwrap();
    } else {
        let reason = "an https proxy needs TLS, and this build has none";
        rejects("configure_agent", builder, reason);
    }
}

/// Otherwise ureq panics at the first call.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[test]
fn rejects_tls_settings_that_are_not_compiled_in() {
    use ureq::tls::RootCerts::{PlatformVerifier, WebPki};
    use ureq::tls::TlsProvider::{NativeTls, Rustls};

    let problem = |provider, roots| {
        let tls = ureq::tls::TlsConfig::builder().provider(provider);
        let tls = tls.root_certs(roots).build();
        let builder = remote().configure_agent(|agent| agent.tls_config(tls));
        builder.build().err().map(|error| error.to_string())
    };
    let named = |text| Some(format!("setting `configure_agent`: {text}"));
    if cfg!(feature = "rustls") {
        let text = "the platform's verifier needs the feature `platform-verifier`";
        let expected = named(text).filter(|_| !cfg!(feature = "platform-verifier"));
        assert_eq!(problem(Rustls, PlatformVerifier), expected);
        assert_eq!(problem(Rustls, WebPki), None);
    } else {
        let text = "the TLS provider rustls needs the feature `rustls`";
        assert_eq!(problem(Rustls, WebPki), named(text));
    }
    if cfg!(feature = "native-tls") {
        let text = "native-tls uses the system's root certificates (`RootCerts::PlatformVerifier`) or given ones";
        assert_eq!(problem(NativeTls, WebPki), named(text));
        assert_eq!(problem(NativeTls, PlatformVerifier), None);
    } else {
        let text = "the TLS provider native-tls needs the feature `native-tls`";
        assert_eq!(problem(NativeTls, WebPki), named(text));
    }
}

// ---- The environment.
//
// Environment variables must not be changed while other threads run. Each case is therefore a child process: this test
// binary, run with a single ignored test.

/// Variables, and what `Client::from_env()` returns in a process with them and without others that it reads: the host and
/// the timeout of a client, or an error. On Windows an error names a proxy variable in lower case.
const ENVIRONMENTS: &str = "
=> `PAN123_ACCESS_TOKEN`: it is not set, and neither are PAN123_CLIENT_ID and PAN123_CLIENT_SECRET
PAN123_ACCESS_TOKEN= PAN123_CLIENT_ID=
=> `PAN123_ACCESS_TOKEN`: it is not set, and neither are PAN123_CLIENT_ID and PAN123_CLIENT_SECRET
PAN123_ACCESS_TOKEN=sécret LOCAL
=> `PAN123_ACCESS_TOKEN`: it must contain only visible ASCII characters
ID LOCAL => `PAN123_CLIENT_SECRET`: it is not set, but PAN123_CLIENT_ID is
SECRET LOCAL => `PAN123_CLIENT_ID`: it is not set, but PAN123_CLIENT_SECRET is
PAN123_CLIENT_ID=\tid SECRET LOCAL => `PAN123_CLIENT_ID`: it begins or ends with white space; trim it
TOKEN PAN123_BASE_URL=ftp://host => `PAN123_BASE_URL`: `ftp://host` is neither https nor http
TOKEN LOCAL => 127.0.0.1 30s
ID SECRET LOCAL => 127.0.0.1 30s
TOKEN PAN123_CLIENT_ID=\tid LOCAL => 127.0.0.1 30s
TOKEN LOCAL PAN123_TEST_MODE=own => 127.0.0.1 7s
TOKEN PAN123_BASE_URL= => open-api.123pan.com 30s
TOKEN REMOTE https_proxy=127.0.0.1:1 => api.example.invalid 30s
TOKEN REMOTE https_proxy=https://127.0.0.1:1 => api.example.invalid 30s
TOKEN REMOTE https_proxy=://user:hunter2@ => `https_proxy`: it is not the URL of a proxy
TOKEN REMOTE https_proxy=ftp://user:hunter2@127.0.0.1 => `https_proxy`: it is not the URL of a proxy
TOKEN REMOTE SOCKS => `https_proxy`: only http and https proxies are supported, not SOCKS
TOKEN REMOTE SOCKS no_proxy=.example.invalid => api.example.invalid 30s
TOKEN REMOTE SOCKS PAN123_TEST_MODE=own => api.example.invalid 7s
TOKEN REMOTE https_proxy= all_proxy=:// => `all_proxy`: it is not the URL of a proxy
TOKEN PAN123_BASE_URL=https://127.0.0.1:1 https_proxy=:// => 127.0.0.1 30s";

/// Expands the abbreviations of [`ENVIRONMENTS`]. The domain of REMOTE is reserved and does not exist.
fn variable(text: &str) -> (&str, &OsStr) {
    let text = match text {
        "TOKEN" => "PAN123_ACCESS_TOKEN=secret",
        "ID" => "PAN123_CLIENT_ID=id",
        "SECRET" => "PAN123_CLIENT_SECRET=client-secret",
        "LOCAL" => "PAN123_BASE_URL=http://127.0.0.1:1",
        "REMOTE" => "PAN123_BASE_URL=https://api.example.invalid",
        "SOCKS" => "https_proxy=socks5://user:hunter2@127.0.0.1:1080",
        other => other,
    };
    let (name, value) = text.split_once('=').unwrap();
    (name, value.as_ref())
}

#[track_caller]
fn in_environment<'a>(variables: impl IntoIterator<Item = (&'a str, &'a OsStr)>) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars_os() {
        let lower = name.to_string_lossy().to_lowercase();
        if lower.starts_with("pan123_") || lower.ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    let child = ["--exact", "child_reads_its_environment", "--ignored"];
    let command = command.args(child).arg("--nocapture").envs(variables);
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let mut lines = stderr.lines();
    let outcome = lines.find_map(|line| line.strip_prefix("outcome: "));
    outcome.unwrap_or_else(|| panic!("{stderr}")).to_owned()
}

#[test]
#[ignore = "run by other tests in its own process and environment"]
fn child_reads_its_environment() {
    let mode = std::env::var("PAN123_TEST_MODE").unwrap_or_default();
    let client = match mode.as_str() {
        "own" => ClientBuilder::from_env().and_then(|builder| {
            let builder = builder.configure_agent(|agent| agent.proxy(None));
            builder.timeout(Duration::from_secs(7)).build()
        }),
        _ => Client::from_env(),
    };
    let outcome = match client {
        Err(error) => error.to_string(),
        Ok(client) if mode == "call" => match client.get_process(TASK) {
            Ok(progress) => progress.to_string(),
            Err(error) => all_texts(&error),
        },
        Ok(client) => format!("{client:?}"),
    };
    eprintln!("outcome: {}", outcome.replace('\n', " "));
}

#[test]
fn from_env_reads_login_base_url_and_proxy() {
    for row in ENVIRONMENTS.replace("\n=>", " =>").trim().lines() {
        let (variables, result) = row.split_once("=> ").unwrap();
        let is_error = result.starts_with('`');
        let expected = match result.split_once(' ') {
            Some((host, timeout)) if !is_error => {
                format!("Client {{ host: {host:?}, timeout: {timeout}, retries: 2, .. }}")
            }
            _ => format!("setting {result}"),
        };
        if TLS || is_error || variables.contains("LOCAL") {
            let variables = variables.split_terminator(' ').map(variable);
            assert_eq!(in_environment(variables), expected, "{row}");
        }
    }
}

#[test]
fn calls_with_credentials_and_cache_of_the_environment_and_no_proxy_for_loopback() {
    let service = service();
    service.credentials("id", "client-secret");
    let file = std::env::temp_dir().join(format!("pan123-settings-{}", std::process::id()));
    let base_url = format!("PAN123_BASE_URL={}", service.base_url());
    let cache = format!("PAN123_TOKEN_CACHE={}", file.display());
    let mode = "PAN123_TEST_MODE=call";
    for proxy in ["http_proxy=http://127.0.0.1:1", "https_proxy=://"] {
        let variables = ["ID", "SECRET", &base_url, &cache, mode, proxy];
        assert_eq!(in_environment(variables.map(variable)), RUNNING.to_string());
    }
    assert_eq!((service.tokens_issued(), service.request_count()), (1, 3));
    std::fs::remove_file(&file).unwrap();
    std::fs::remove_file(file.with_extension("lock")).unwrap();
}

#[test]
fn rejects_variables_that_are_not_utf8() {
    #[cfg(unix)]
    let bad: OsString = std::os::unix::ffi::OsStringExt::from_vec(b"secret\xff".to_vec());
    #[cfg(windows)]
    let bad: OsString = std::os::windows::ffi::OsStringExt::from_wide(&[0x73, 0xd800]);
    for name in ["PAN123_ACCESS_TOKEN", "PAN123_BASE_URL", "https_proxy"] {
        let variables = ["TOKEN", "REMOTE"].map(variable).into_iter();
        let got = in_environment(variables.chain([(name, bad.as_os_str())]));
        assert_eq!(got, format!("setting `{name}`: it is not UTF-8"));
    }
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[test]
fn uses_the_proxy_of_the_environment_for_https() {
    let proxy = Service::start().unwrap();
    let address = proxy.address();
    proxy.reply_with(|_| Some(Reply::new(407)));
    let url = format!("https_proxy=http://user:hunter2@{address}");
    let variables = ["TOKEN", "REMOTE", &url, "PAN123_TEST_MODE=call"];
    let got = in_environment(variables.map(variable));
    let requests = proxy.requests();
    assert_eq!(requests.len(), 1, "407 is permanent");
    let target = (requests[0].method.as_str(), requests[0].path.as_str());
    assert_eq!(target, ("CONNECT", "api.example.invalid:443"));
    assert!(!format!("{requests:?}").contains("secret"), "{requests:?}");
    let expected = format!(
        "the proxy wants other credentials for api.example.invalid through the proxy {address};"
    );
    assert!(got.contains(&expected), "{got}");
    assert!(!got.contains("hunter2") && !got.contains("secret"), "{got}");
}
