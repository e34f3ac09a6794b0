//! The settings of a client: their defaults, and what cannot work.

use std::fmt;
use std::time::Duration;

use crate::auth::{AccessToken, Auth, Credentials, LONGEST_TOKEN};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::proxy;
use crate::transport::{AgentConfig, BaseUrl, MAX_TIMEOUT, Transport, TransportSettings};

const BASE_URL: &str = "https://open-api.123pan.com";
const USER_AGENT: &str = concat!("pan123-offline/", env!("CARGO_PKG_VERSION"));
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const RETRIES: u32 = 2;

/// The settings of a [`Client`]. Nothing is checked and nothing is done before [`build()`](Self::build).
///
/// ```
/// use std::time::Duration;
/// use pan123_offline::Client;
///
/// let client = Client::builder()
///     .access_token("eyJhbGciOi")
///     .timeout(Duration::from_secs(10))
///     .retries(0)
///     .build()?;
/// # Ok::<(), pan123_offline::Error>(())
/// ```
#[must_use = "a builder does nothing before `build()`"]
pub struct ClientBuilder {
    login: Option<Login>,
    base_url: Setting<String>,
    timeout: Duration,
    connect_timeout: Duration,
    retries: u32,
    user_agent: String,
    configure_agent: Box<dyn FnOnce(AgentConfig) -> AgentConfig + Send>,
}

/// What the token comes from, with the names under which the user set it, for errors.
#[derive(Debug)]
enum Login {
    Token(&'static str, AccessToken),
    Credentials([&'static str; 2], Credentials),
}

/// A value with the name under which the user set it, for errors.
struct Setting<T> {
    name: &'static str,
    value: T,
}

impl Login {
    /// Returns the length of the longest token that there may be.
    fn check(&self) -> Result<usize> {
        match self {
            Self::Token(name, token) => token.check(name).map(|()| token.secret().len()),
            Self::Credentials(names, credentials) => credentials.check(*names).map(|()| LONGEST_TOKEN),
        }
    }

    fn from_env(variable: impl Fn(&'static str) -> Result<Option<String>>) -> Result<Self> {
        const TOKEN: &str = "PAN123_ACCESS_TOKEN";
        const PAIR: [&str; 2] = ["PAN123_CLIENT_ID", "PAN123_CLIENT_SECRET"];
        if let Some(token) = variable(TOKEN)? {
            return Ok(Self::Token(TOKEN, token.into()));
        }
        let (id, secret) = match PAIR.map(&variable) {
            [Ok(Some(id)), Ok(Some(secret))] => (id, secret),
            [Ok(None), Ok(None)] => {
                let reason = "it is not set, and neither are PAN123_CLIENT_ID and PAN123_CLIENT_SECRET";
                return Err(Error::config(TOKEN, reason));
            }
            [Ok(Some(_)), Ok(None)] => return Err(Error::config(PAIR[1], "it is not set, but PAN123_CLIENT_ID is")),
            [Ok(None), Ok(Some(_))] => {
                return Err(Error::config(PAIR[0], "it is not set, but PAN123_CLIENT_SECRET is"));
            }
            [Err(error), _] | [_, Err(error)] => return Err(error),
        };
        let credentials = Credentials::new(id, secret);
        Ok(Self::Credentials(
            PAIR,
            match variable("PAN123_TOKEN_CACHE")? {
                Some(path) => credentials.cache_file(path),
                None => credentials,
            },
        ))
    }
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            login: None,
            base_url: Setting { name: "base_url", value: BASE_URL.to_owned() },
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            retries: RETRIES,
            user_agent: USER_AGENT.to_owned(),
            configure_agent: Box::new(|config| config),
        }
    }
}

impl ClientBuilder {
    /// The access token, used as it is on every call. No default: a client needs this or
    /// [`credentials`](Self::credentials), and of both the one set last counts.
    pub fn access_token(mut self, token: impl Into<AccessToken>) -> Self {
        self.login = Some(Login::Token("access_token", token.into()));
        self
    }

    /// What access tokens are issued for: one when the first is needed, another when the service refuses it, at most
    /// one replacement a minute. Threads that share the client wait for the one under way. Default: none.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.login = Some(Login::Credentials(["credentials"; 2], credentials));
        self
    }

    /// Where the service is, perhaps with a path that goes before the service's own. `https`, or `http` to a loopback
    /// address. Default: `https://open-api.123pan.com`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Setting { name: "base_url", value: url.into() };
        self
    }

    /// Max duration of a whole call: DNS lookup, connecting, sending, reading the response, retries and the delays
    /// between them. Default: 30 s. A longer duration than a year is shortened to a year.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Max duration of connecting in one attempt, proxy and TLS included, DNS lookup excluded. Default: 10 s, and never
    /// more than 15/16 of the attempt's time.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How often a call asks again after an error that passes: code or HTTP 429, HTTP 5xx without an envelope, a
    /// timeout, a failed connection. It waits as long as `Retry-After` says, otherwise 0.5 s, 1 s, 2 s and so on, and
    /// not at all where that would pass [`timeout`](Self::timeout). Default: 2.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// The header `User-Agent`: visible ASCII characters, with blanks between them. Default: `pan123-offline/` and the
    /// version of this crate.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Settings of the [`ureq::Agent`](crate::ureq::Agent) itself: root certificates, a client certificate, a proxy, the IP family.
    /// Given twice, the second goes on where the first ended.
    ///
    /// The proxy is set already as the environment asks: `https_proxy`, `HTTPS_PROXY`, `all_proxy`, `ALL_PROXY`, the
    /// first that is there, unless `no_proxy` or `NO_PROXY` names the host.
    ///
    /// Set again after this, and not to be undone here: time limits for a whole request, redirects (none), https,
    /// automatic headers (none), the buffers, no proxy for a loopback address. A middleware sees the access token, and
    /// sees a request twice where a new connection needs a new DNS lookup.
    ///
    /// ```
    /// # use pan123_offline::{Client, ureq};
    /// let client = Client::builder()
    ///     .access_token("eyJhbGciOi")
    ///     .configure_agent(|agent| agent.ip_family(ureq::config::IpFamily::Ipv4Only))
    ///     .build()?;
    /// # Ok::<(), pan123_offline::Error>(())
    /// ```
    pub fn configure_agent(mut self, configure: impl FnOnce(AgentConfig) -> AgentConfig + Send + 'static) -> Self {
        let earlier = self.configure_agent;
        self.configure_agent = Box::new(move |config| configure(earlier(config)));
        self
    }

    /// Checks the settings and makes the client. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::Config`] with the name of the first setting that cannot work.
    pub fn build(self) -> Result<Client> {
        let Some(login) = self.login else {
            return Err(Error::config(
                "access_token",
                "it is missing, and so are credentials; a token comes from POST /api/v1/access_token",
            ));
        };
        let longest_token = login.check()?;
        let base = BaseUrl::parse(&self.base_url.value).map_err(|reason| Error::config(self.base_url.name, reason))?;
        check_user_agent(&self.user_agent)?;
        let timeout = usable("timeout", self.timeout)?;
        let connect_timeout = usable("connect_timeout", self.connect_timeout)?;
        let proxy =
            if base.is_https() && !base.is_loopback() { proxy::from_env(base.host(), proxy::variable)? } else { None };

        let settings = TransportSettings {
            base_url: base,
            user_agent: self.user_agent,
            timeout,
            connect_timeout,
            proxy,
            max_token_len: longest_token,
        };
        let transport = Transport::new(settings, self.configure_agent)?;
        let auth = match login {
            Login::Token(_, token) => Auth::given(token, &transport)?,
            Login::Credentials(_, credentials) => Auth::issued(credentials, &transport),
        };
        Ok(Client::from_parts(transport, auth, timeout, self.retries))
    }

    /// The settings that the environment gives. An empty variable counts as none.
    pub(crate) fn from_env() -> Result<Self> {
        let variable = |name| Ok::<_, Error>(proxy::variable(name)?.filter(|value| !value.is_empty()));
        let mut builder = Self { login: Some(Login::from_env(variable)?), ..Self::default() };
        let name = "PAN123_BASE_URL";
        if let Some(value) = variable(name)? {
            builder.base_url = Setting { name, value };
        }
        Ok(builder)
    }
}

fn usable(setting: &'static str, time: Duration) -> Result<Duration> {
    if time.is_zero() {
        return Err(Error::config(setting, "it must be longer than zero"));
    }
    Ok(time.min(MAX_TIMEOUT))
}

fn check_user_agent(user_agent: &str) -> Result<()> {
    let reason = if user_agent.is_empty() {
        "it is empty"
    } else if user_agent.len() > LONGEST_TOKEN {
        "it is longer than 4096 bytes"
    } else if user_agent.trim() != user_agent {
        "it has blanks or line breaks around it; trim it"
    } else if !user_agent.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        "it may only hold visible ASCII characters and blanks between them"
    } else {
        return Ok(());
    };
    Err(Error::config("user_agent", reason))
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("login", &self.login)
            // `build()` refuses a password in it, which is there all the same until then.
            .field("base_url", if self.base_url.value.contains('@') { &"[redacted]" } else { &self.base_url.value })
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("retries", &self.retries)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}
