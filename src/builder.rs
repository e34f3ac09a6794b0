//! The settings of a client: defaults and validation.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::Auth;
use crate::client::Client;
use crate::credentials::{AccessToken, Credentials, check_header_value};
use crate::error::{Error, Result};
use crate::proxy::{self, variable};
use crate::session::Session;
use crate::throttle::Throttle;
use crate::transport::{AgentConfig, BaseUrl, MAX_TIMEOUT, Transport, TransportSettings};

/// Settings of a [`Client`]. Nothing is checked and nothing is sent before [`build()`](Self::build).
#[must_use = "a builder does nothing before `build()`"]
pub struct ClientBuilder {
    login: Option<Login>,
    /// The name under which the user set it, for errors, and the URL.
    base_url: (&'static str, String),
    timeout: Duration,
    connect_timeout: Duration,
    retries: u32,
    min_request_gap: Duration,
    user_agent: String,
    configure_agent: Box<dyn FnOnce(AgentConfig) -> AgentConfig + Send>,
}

/// The source of tokens, with the names under which the user set it, for errors.
#[derive(Debug)]
enum Login {
    Token(&'static str, AccessToken),
    Credentials([&'static str; 2], Credentials),
}

impl Login {
    fn from_env() -> Result<Self> {
        const TOKEN: &str = "PAN123_ACCESS_TOKEN";
        const PAIR: [&str; 2] = ["PAN123_CLIENT_ID", "PAN123_CLIENT_SECRET"];
        if let Some(token) = variable(TOKEN)? {
            return Ok(Self::Token(TOKEN, token.into()));
        }
        let missing = |name, text: &str| Err(Error::config(name, format!("it is not set, {text}")));
        let mut credentials = match (variable(PAIR[0])?, variable(PAIR[1])?) {
            (Some(id), Some(secret)) => Credentials::new(id, secret),
            (Some(_), None) => return missing(PAIR[1], "but PAN123_CLIENT_ID is"),
            (None, Some(_)) => return missing(PAIR[0], "but PAN123_CLIENT_SECRET is"),
            (None, None) => {
                let text = "and neither are PAN123_CLIENT_ID and PAN123_CLIENT_SECRET";
                return missing(TOKEN, text);
            }
        };
        credentials.cache_file = variable("PAN123_TOKEN_CACHE")?.map(PathBuf::from);
        Ok(Self::Credentials(PAIR, credentials))
    }
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            login: None,
            base_url: ("base_url", "https://open-api.123pan.com".to_owned()),
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            retries: 2,
            min_request_gap: Duration::from_millis(200),
            user_agent: concat!("pan123-offline/", env!("CARGO_PKG_VERSION")).to_owned(),
            configure_agent: Box::new(|config| config),
        }
    }
}

impl ClientBuilder {
    /// Creates a builder with the settings of the environment, as [`Client::from_env`] lists them, and with every other
    /// setting at its default. A setter that is called afterwards replaces the value of the environment.
    ///
    /// # Errors
    /// [`Error::Config`] with the name of the variable that is missing or not Unicode.
    pub fn from_env() -> Result<Self> {
        let mut builder = Self {
            login: Some(Login::from_env()?),
            ..Self::default()
        };
        let name = "PAN123_BASE_URL";
        if let Some(value) = variable(name)? {
            builder.base_url = (name, value);
        }
        Ok(builder)
    }

    /// Sets the access token. It is used for every call and never replaced. No default: a client needs this or
    /// [`credentials`](Self::credentials); of both, the one set last counts.
    pub fn access_token(mut self, token: impl Into<AccessToken>) -> Self {
        self.login = Some(Login::Token("access_token", token.into()));
        self
    }

    /// Sets the credentials for which access tokens are requested: one when the first is needed, another one when the
    /// service refuses it, and at most one replacement a minute. After the service has rejected the credentials, calls
    /// return that error for 10 minutes without another request. Default: none.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.login = Some(Login::Credentials(["credentials"; 2], credentials));
        self
    }

    /// Sets the URL of the service, optionally with a path in front of the service's own. `https`, or `http` for a
    /// loopback address. Default: `https://open-api.123pan.com`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = ("base_url", url.into());
        self
    }

    /// Max duration of a whole call: DNS lookup, connecting, sending, reading the response, retries and the delays
    /// between them. Not zero. Default: 30 s. A longer duration than a year is shortened to a year.
    ///
    /// The kernel rounds timers of this length up, by at most an eighth. A proxy that sends its response to CONNECT byte
    /// by byte can delay a call beyond `timeout`: ureq allows the whole time for each read of that response.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Max duration of connecting in one attempt: TCP, proxy (with the lookup of its name) and TLS, but not the lookup of
    /// the service's name. Not zero. Default: 10 s, and never more than 15/16 of the attempt's time.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Max number of retries of a call after transient errors, as [`Error::is_transient`] says. The delay is that of
    /// `Retry-After`, otherwise 0.5 s, 1 s, 2 s and so on. If it would exceed [`timeout`](Self::timeout), the error is
    /// returned at once. Default: 2. Polls of a wait or a watch follow the [`PollPolicy`](crate::PollPolicy) instead.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the min time between two polls or creations of the waits, watches and migrations of this client and its
    /// clones. Zero: no limit. Default: 200 ms, because the service bans clients that send too many requests.
    ///
    /// [`Client::get_process`] and [`Client::create_task`] themselves are not delayed: polls that become due later keep
    /// the gap to them. Token requests do not count.
    pub fn min_request_gap(mut self, gap: Duration) -> Self {
        self.min_request_gap = gap;
        self
    }

    /// Sets the header `User-Agent`: visible ASCII characters, with spaces between them. Default: `pan123-offline/` and
    /// the version of this crate.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Configures the [`ureq::Agent`](crate::ureq::Agent) itself: root certificates, a client certificate, a proxy, the
    /// IP family, `max_idle_connections_per_host` (default here: 16). A second function gets the result of the first.
    ///
    /// The configuration already contains the proxy of the environment: the first of `https_proxy`, `HTTPS_PROXY`,
    /// `all_proxy` and `ALL_PROXY`, unless `no_proxy` or `NO_PROXY` names the host: `example.com` with its subdomains,
    /// `example.com:443`, `10.1.2.3`, `[2001:db8::1]`, or `*`. A proxy set here replaces it.
    ///
    /// This function cannot change the timeouts, redirects (off), https, automatic headers (off), the buffers, or that
    /// a loopback address has no proxy. A middleware sees the access token.
    ///
    /// ```
    /// # use pan123_offline::{Client, ureq};
    /// let builder = Client::builder().configure_agent(|agent| agent.ip_family(ureq::config::IpFamily::Ipv4Only));
    /// ```
    pub fn configure_agent(
        mut self,
        configure: impl FnOnce(AgentConfig) -> AgentConfig + Send + 'static,
    ) -> Self {
        let previous = self.configure_agent;
        self.configure_agent = Box::new(move |config| configure(previous(config)));
        self
    }

    /// Validates the settings and creates the client. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::Config`] with the name of the first setting that cannot work.
    pub fn build(self) -> Result<Client> {
        let Some(login) = self.login else {
            return Err(Error::config(
                "access_token",
                "it is missing, and so are credentials; POST /api/v1/access_token issues tokens",
            ));
        };
        match &login {
            Login::Token(name, token) => token
                .validate()
                .map_err(|reason| Error::config(name, reason))?,
            Login::Credentials(names, credentials) => credentials.validate(*names)?,
        }
        let (name, url) = self.base_url;
        let base_url = BaseUrl::parse(&url).map_err(|reason| Error::config(name, reason))?;
        check_header_value(&self.user_agent, true)
            .map_err(|reason| Error::config("user_agent", reason))?;
        let timeout = validate_duration("timeout", self.timeout)?;
        let connect_timeout = validate_duration("connect_timeout", self.connect_timeout)?;
        let proxy = if base_url.is_https() && !base_url.is_loopback() {
            proxy::from_env(base_url.host(), base_url.port(), variable)?
        } else {
            None
        };

        let settings = TransportSettings {
            base_url,
            user_agent: self.user_agent,
            timeout,
            connect_timeout,
            proxy,
        };
        let transport = Transport::new(settings, self.configure_agent)?;
        let auth = match login {
            Login::Token(_, token) => Auth::with_token(token)?,
            Login::Credentials(_, credentials) => {
                Auth::with_credentials(credentials, transport.base_url().to_string())
            }
        };
        Ok(Client(Arc::new(Session {
            transport,
            auth,
            throttle: Throttle::new(self.min_request_gap),
            timeout,
            max_retries: self.retries,
        })))
    }
}

fn validate_duration(setting: &'static str, time: Duration) -> Result<Duration> {
    if time.is_zero() {
        return Err(Error::config(setting, "it must be longer than zero"));
    }
    Ok(time.min(MAX_TIMEOUT))
}

// Without the base URL, which may have a password before `build()` rejects it.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("login", &self.login)
            .field("timeout", &self.timeout)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}
