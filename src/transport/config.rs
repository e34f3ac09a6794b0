//! The configuration of the ureq agent: its defaults, and checks of what would make ureq panic or send unencrypted.

use std::time::Duration;

use ureq::config::{AutoHeaderValue, Config, ConfigBuilder};
use ureq::typestate::AgentScope;
use ureq::{Agent, Proxy, ProxyProtocol};

use super::base_url::{BaseUrl, has_valid_host_and_port};
use crate::error::{Error, Result};

/// The argument of [`ClientBuilder::configure_agent`](crate::ClientBuilder::configure_agent).
pub(crate) type AgentConfig = ConfigBuilder<AgentScope>;

/// Maximum length of a response header.
const MAX_RESPONSE_HEADER_LEN: usize = 8 * 1024;

/// Length of ureq's buffers for input and output. The longest response header fits, and each header and the first line
/// of a request.
const BUFFER_LEN: usize = 2 * MAX_RESPONSE_HEADER_LEN;

/// Maximum idle time of a pooled connection: enough for a poll every 30 s, and below 60 s, a gateway's common timeout.
const MAX_IDLE_AGE: Duration = Duration::from_secs(50);

/// Maximum number of idle connections: more than the threads that usually share a client. ureq's default is 3.
const MAX_IDLE_CONNECTIONS_PER_HOST: usize = 16;

pub(crate) struct TransportSettings {
    pub(crate) base_url: BaseUrl,
    pub(crate) user_agent: String,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    /// The proxy from the environment, with the name of its variable.
    pub(crate) proxy: Option<(&'static str, String)>,
}

impl TransportSettings {
    /// Returns the time limit for connecting: at most 15/16 of the timeout, so that it elapses before the whole timeout.
    pub(super) fn connect_timeout(&self, timeout: Duration) -> Duration {
        self.connect_timeout.min(timeout - timeout / 16)
    }
}

/// Returns the agent's configuration: defaults first, then the user's settings, then what cannot be changed.
pub(super) fn agent_config(
    settings: &TransportSettings,
    configure: impl FnOnce(AgentConfig) -> AgentConfig,
) -> Result<Config> {
    let parse = |(variable, url): &(&'static str, String)| {
        // The URL may hold a password, so the error does not quote it.
        Proxy::new(url).map_err(|_| Error::config(variable, "it is not the URL of a proxy"))
    };
    let env_proxy = settings.proxy.as_ref().map(parse).transpose()?;
    let defaults = Agent::config_builder()
        .proxy(env_proxy.clone())
        .max_idle_age(MAX_IDLE_AGE)
        .max_idle_connections_per_host(MAX_IDLE_CONNECTIONS_PER_HOST)
        .max_idle_connections(2 * MAX_IDLE_CONNECTIONS_PER_HOST);
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    let defaults = defaults.tls_config(tls::default_config());
    let mut config = configure(defaults);
    if settings.base_url.is_loopback() {
        config = config.proxy(None);
    }
    let config = config
        .timeout_global(Some(settings.timeout))
        .timeout_connect(Some(settings.connect_timeout(settings.timeout)))
        .timeout_per_call(None)
        .timeout_resolve(None)
        .timeout_send_request(None)
        .timeout_send_body(None)
        .timeout_recv_response(None)
        .timeout_recv_body(None)
        .timeout_per_read(None)
        .timeout_per_write(None)
        .http_status_as_error(false)
        .https_only(settings.base_url.is_https())
        .max_redirects(0)
        .allow_non_standard_methods(false)
        .user_agent(AutoHeaderValue::None)
        .accept(AutoHeaderValue::None)
        .accept_encoding(AutoHeaderValue::None)
        .max_response_header_size(MAX_RESPONSE_HEADER_LEN)
        .input_buffer_size(BUFFER_LEN)
        .output_buffer_size(BUFFER_LEN)
        .build();
    if let Some(proxy) = config.proxy() {
        let setting = match settings.proxy {
            Some((variable, _)) if env_proxy.as_ref() == Some(proxy) => variable,
            _ => "configure_agent",
        };
        validate_proxy(setting, proxy)?;
    }
    if settings.base_url.is_https() {
        #[cfg(any(feature = "rustls", feature = "native-tls"))]
        tls::validate(config.tls_config())?;
        #[cfg(not(any(feature = "rustls", feature = "native-tls")))]
        return Err(Error::config(
            "base_url",
            "https needs TLS, and this build has none: turn on the feature `rustls` or `native-tls`",
        ));
    }
    Ok(config)
}

fn validate_proxy(setting: &'static str, proxy: &Proxy) -> Result<()> {
    let has_tls = cfg!(any(feature = "rustls", feature = "native-tls"));
    let authority = proxy.uri().authority();
    let reason = match proxy.protocol() {
        _ if !authority.is_some_and(has_valid_host_and_port) => {
            "its proxy has no valid host and port"
        }
        ProxyProtocol::Http => return Ok(()),
        ProxyProtocol::Https if has_tls => return Ok(()),
        ProxyProtocol::Https => "an https proxy needs TLS, and this build has none",
        _ => "only http and https proxies are supported, not SOCKS",
    };
    Err(Error::config(setting, reason))
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod tls {
    use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

    use crate::error::{Error, Result};

    const RUSTLS: bool = cfg!(feature = "rustls");
    const VERIFIER: bool = cfg!(feature = "platform-verifier");

    /// rustls if it is compiled in, with Mozilla's root certificates unless `platform-verifier` is on.
    pub(super) fn default_config() -> TlsConfig {
        let (provider, roots) = match (RUSTLS, VERIFIER) {
            (true, false) => (TlsProvider::Rustls, RootCerts::WebPki),
            (true, true) => (TlsProvider::Rustls, RootCerts::PlatformVerifier),
            (false, _) => (TlsProvider::NativeTls, RootCerts::PlatformVerifier),
        };
        let config = TlsConfig::builder().provider(provider);
        config.root_certs(roots).build()
    }

    /// Returns an error if the configuration names a provider that is not compiled in; ureq would
    /// panic at the first request.
    pub(super) fn validate(config: &TlsConfig) -> Result<()> {
        let missing = match (config.provider(), config.root_certs()) {
            (TlsProvider::Rustls, _) if !RUSTLS => {
                "the TLS provider rustls needs the feature `rustls`"
            }
            (TlsProvider::NativeTls, _) if !cfg!(feature = "native-tls") => {
                "the TLS provider native-tls needs the feature `native-tls`"
            }
            (TlsProvider::Rustls, RootCerts::PlatformVerifier) if !VERIFIER => {
                "the platform's verifier needs the feature `platform-verifier`"
            }
            (TlsProvider::NativeTls, RootCerts::WebPki) => {
                "native-tls uses the system's root certificates (`RootCerts::PlatformVerifier`) or given ones"
            }
            _ => return Ok(()),
        };
        Err(Error::config("configure_agent", missing))
    }
}
