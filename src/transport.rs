//! One request out, one answer in. The only file that knows ureq.
//!
//! What ureq is told here, and why, holds whatever a user configures: [`agent`] applies it last.

use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ureq::config::{AutoHeaderValue, Config, ConfigBuilder};
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use ureq::http::uri::{Authority, Parts, PathAndQuery, Scheme};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use ureq::typestate::AgentScope;
use ureq::{Agent, AsSendBody, Body, Proxy, ProxyProtocol, SendBody, Timeout};

use crate::auth::AccessToken;
use crate::envelope::LONGEST_BODY;
use crate::error::{Error, Result, Sent, TransportError, TransportErrorKind as Kind};

/// What [`ClientBuilder::configure_agent`](crate::ClientBuilder::configure_agent) hands out.
pub(crate) type AgentConfig = ConfigBuilder<AgentScope>;

/// The longest head of an answer. One byte less than ureq's buffer, so that ureq can tell a head that does not fit
/// from a connection that ended.
const LONGEST_HEAD: usize = INPUT_BUFFER - 1;
const INPUT_BUFFER: usize = 8 * 1024;

/// The least time for sending, where there is enough for that.
const SHORTEST_SEND: Duration = Duration::from_millis(50);

const LONGEST_URL: usize = 8 * 1024;

/// A pooled connection serves a poll every 30 s, and is left alone before the usual idle limit of a gateway, 60 s.
const MAX_IDLE: Duration = Duration::from_secs(50);

/// ureq's builders for an agent and for a request share their setters, but no trait that can be named.
macro_rules! with_phases {
    ($config:expr, $phases:expr) => {{
        let Phases { connect, send, head, body } = $phases;
        // ureq makes a whole second of what is next to nothing.
        let [connect, send, head, body] = [connect, send, head, body].map(|time| time.max(SHORTEST_PHASE));
        $config
            .timeout_global(None)
            .timeout_per_call(None)
            .timeout_resolve(None)
            .timeout_connect(Some(connect))
            .timeout_send_request(Some(send / 2))
            .timeout_send_body(Some(send / 2))
            .timeout_recv_response(Some(head))
            .timeout_recv_body(Some(body))
            // A phase's rest is another number each time, and a socket is told each new one by a system call. A limit
            // a little below the phase is the same number each time. The phase goes on bounding the whole.
            .timeout_per_write(Some(send / 2 - send / 64))
            .timeout_per_read(Some(head - head / 64))
    }};
}

/// Where the service is: an origin, and perhaps a path in front of the service's own.
#[derive(Debug, Clone)]
pub(crate) struct BaseUrl {
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at its end.
    prefix: String,
}

impl BaseUrl {
    /// Says what is wrong with a URL that cannot work.
    pub(crate) fn parse(url: &str) -> std::result::Result<Self, String> {
        // First, because what follows quotes the URL.
        if url.contains('@') {
            return Err("it must not contain a user or a password".into());
        }
        if url.len() > LONGEST_URL {
            return Err(format!("it is longer than {LONGEST_URL} bytes"));
        }
        let uri: Uri = url.parse().map_err(|e| format!("`{}` is not a URL: {e}", url.escape_debug()))?;
        let (Some(scheme), Some(authority)) = (uri.scheme().cloned(), uri.authority().cloned()) else {
            return Err(format!("`{url}` is not a whole URL, which begins with https:// and a host"));
        };
        if authority.host().is_empty() || !has_usable_port(&authority) {
            return Err(format!("`{url}` has no usable host and port"));
        }
        if uri.query().is_some() || url.contains('#') {
            return Err(format!("`{url}` must end with its path, without `?` and `#`"));
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let base = Self { scheme, authority, prefix };
        match base.scheme.as_str() {
            "https" => Ok(base),
            "http" if base.is_loopback() => Ok(base),
            "http" => {
                Err(format!("`{url}` would send the access token in the clear; only a loopback address may be http"))
            }
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
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// What the header `Host` says: the port only where it is not the scheme's own.
    fn host_header(&self) -> &str {
        let default = if self.is_https() { 443 } else { 80 };
        match self.authority.port_u16() {
            Some(port) if port == default => self.authority.host(),
            _ => self.authority.as_str(),
        }
    }

    /// The address of an endpoint. `path` comes from this crate and always fits.
    fn uri(&self, path: String) -> Result<Uri> {
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        let path = PathAndQuery::try_from(path).map_err(|e| unusable("base_url", &e))?;
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).map_err(|e| unusable("base_url", &e))
    }
}

/// Without this, a port that is none would count as the scheme's own.
fn has_usable_port(authority: &Authority) -> bool {
    let (_, host_and_port) = authority.as_str().rsplit_once('@').unwrap_or(("", authority.as_str()));
    match host_and_port.strip_prefix(authority.host()) {
        Some("") => true,
        Some(port) => port.strip_prefix(':').and_then(|port| port.parse().ok()).is_some_and(|port: u16| port > 0),
        None => false,
    }
}

fn unusable(setting: &'static str, why: &dyn fmt::Display) -> Error {
    Error::config(setting, format!("it cannot be sent: {why}"))
}

/// What a transport is made from. Everything in it has been checked.
pub(crate) struct Settings {
    pub(crate) base: BaseUrl,
    pub(crate) user_agent: String,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    /// The proxy from the environment, with the name of its variable.
    pub(crate) proxy: Option<(&'static str, String)>,
    /// The longest token that will ever be sent.
    pub(crate) longest_token: usize,
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

/// The way to the service: an agent with its pool of connections, and how requests look.
#[derive(Debug)]
pub(crate) struct Transport {
    agent: Agent,
    base: BaseUrl,
    connect_timeout: Duration,
    /// The headers that every request has.
    headers: HeaderMap,
}

impl Transport {
    pub(crate) fn new(settings: Settings, configure: impl FnOnce(AgentConfig) -> AgentConfig) -> Result<Self> {
        let user_agent = HeaderValue::from_str(&settings.user_agent).map_err(|e| unusable("user_agent", &e))?;
        let host = HeaderValue::from_str(settings.base.host_header()).map_err(|e| unusable("base_url", &e))?;
        let agent = agent(&settings, configure)?;

        let mut headers = HeaderMap::with_capacity(8);
        // ureq would write one, anew for each request.
        headers.insert(HOST, host);
        headers.insert(HeaderName::from_static("platform"), HeaderValue::from_static("open_platform"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, user_agent);

        Ok(Self { agent, base: settings.base, connect_timeout: settings.connect_timeout, headers })
    }

    pub(crate) fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// The request that asks with this token, but for its address.
    pub(crate) fn prepare(&self, token: &AccessToken) -> Result<Prepared> {
        let value = format!("Bearer {}", token.secret());
        let mut value = HeaderValue::try_from(value).map_err(|e| unusable("access_token", &e))?;
        value.set_sensitive(true);

        let mut prepared = self.prepare_anonymous();
        prepared.0.headers_mut().insert(AUTHORIZATION, value);
        Ok(prepared)
    }

    /// The request that asks without a token, but for its address.
    pub(crate) fn prepare_anonymous(&self) -> Prepared {
        let mut request = Request::new(());
        *request.headers_mut() = self.headers.clone();
        Prepared(request)
    }

    /// Sends a request and hands its answer to `read`. An error knows whether the request may have left.
    pub(crate) fn send<R>(
        &self,
        prepared: &Prepared,
        message: Message<'_>,
        limits: Limits,
        read: impl FnOnce(Answer<'_>) -> R,
    ) -> Result<R> {
        let mut request = prepared.0.clone();
        match message {
            Message::Get(target) => {
                *request.uri_mut() = target.0;
                self.run(self.limit(request, limits), read).map_err(|e| self.failure(e, None))
            }
            Message::Post(target, body) => {
                *request.method_mut() = Method::POST;
                *request.uri_mut() = target.0;
                request.headers_mut().insert(CONTENT_LENGTH, body.len().into());
                let (parts, ()) = self.limit(request, limits).into_parts();
                let mut body = WatchedBody { bytes: body, taken: false };
                let request = Request::from_parts(parts, SendBody::from_reader(&mut body));
                self.run(request, read).map_err(|e| self.failure(e, Some(body.taken)))
            }
        }
    }

    /// The address of an endpoint.
    pub(crate) fn target(&self, endpoint: &str) -> Result<Target> {
        self.base.uri(format!("{}{endpoint}", self.base.prefix)).map(Target)
    }

    /// A request's own settings cost, so only one that needs them gets them.
    fn limit(&self, request: Request<()>, limits: Limits) -> Request<()> {
        if !limits.fresh && limits.time.is_none() {
            return request;
        }
        let mut config = self.agent.configure_request(request);
        if limits.fresh {
            config = config.max_idle_age(Duration::ZERO);
        }
        if let Some(time) = limits.time {
            config = with_phases!(config, Phases::split(time, self.connect_timeout));
        }
        config.build()
    }

    fn run<R>(
        &self,
        request: Request<impl AsSendBody>,
        read: impl FnOnce(Answer<'_>) -> R,
    ) -> std::result::Result<R, ureq::Error> {
        let mut response = self.agent.run(request)?;
        let mut buffer = Buffer::new();
        let filled = buffer.fill(response.body_mut());
        // Where the status is an error, it and what came of the body say more than a connection that broke then.
        if response.status().is_success() {
            filled.map_err(|e| broken_off(e.into()))?;
        }
        let (status, headers) = (response.status().as_u16(), response.headers());
        Ok(read(Answer { status, headers, body: buffer.bytes() }))
    }

    fn failure(&self, error: ureq::Error, taken: Option<bool>) -> Error {
        let host = match self.agent.config().proxy() {
            Some(proxy) => format!("{} through the proxy {}:{}", self.base.authority, proxy.host(), proxy.port()),
            None => self.base.authority.to_string(),
        };
        failure(error, &host, taken)
    }
}

/// Where a request goes. A clone is cheap, a new one is not.
#[derive(Debug, Clone)]
pub(crate) struct Target(Uri);

/// What is sent.
pub(crate) enum Message<'a> {
    Get(Target),
    Post(Target, &'a [u8]),
}

/// A request that lacks only its address.
#[derive(Debug)]
pub(crate) struct Prepared(Request<()>);

/// How one request may differ from what the agent does on its own.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    /// The time for all of it; `None` is the client's whole `timeout`.
    pub(crate) time: Option<Duration>,
    /// Over a new connection, whatever the pool holds.
    pub(crate) fresh: bool,
}

/// A body that knows whether any of it was taken to be sent. Before that, the service cannot have acted on the request.
struct WatchedBody<'a> {
    bytes: &'a [u8],
    taken: bool,
}

impl Read for WatchedBody<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.taken = true;
        self.bytes.read(buffer)
    }
}

/// What the service answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    headers: &'a HeaderMap,
    /// One byte longer than may be read, if it went on.
    pub(crate) body: &'a [u8],
}

impl Answer<'_> {
    /// The header `Retry-After` where it is in whole seconds; a date is not read.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if seconds.is_empty() || !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // More seconds than fit are still a very long time.
        Some(Duration::from_secs(seconds.parse().unwrap_or(u64::MAX)))
    }
}

/// Where an answer's body is read to: no heap for a usual one, and never more than the limit and one byte.
struct Buffer {
    usual: [u8; 512],
    long: Vec<u8>,
    len: usize,
}

impl Buffer {
    fn new() -> Self {
        Self { usual: [0; 512], long: Vec::new(), len: 0 }
    }

    fn bytes(&self) -> &[u8] {
        if self.long.is_empty() { &self.usual[..self.len] } else { &self.long[..self.len] }
    }

    /// Reads until a read returns 0, which is what gives the connection back to the pool.
    fn fill(&mut self, body: &mut Body) -> std::io::Result<()> {
        let mut reader = body.as_reader();
        loop {
            if self.len == self.usual.len() && self.long.is_empty() {
                self.long = vec![0; LONGEST_BODY + 1];
                self.long[..self.len].copy_from_slice(&self.usual);
            }
            let free = if self.long.is_empty() { &mut self.usual[self.len..] } else { &mut self.long[self.len..] };
            // Full means longer than is read: the connection is dropped with the rest.
            if free.is_empty() {
                return Ok(());
            }
            match reader.read(free)? {
                0 => return Ok(()),
                read => self.len += read,
            }
        }
    }
}

const SHORTEST_PHASE: Duration = Duration::from_millis(1);

/// How the time of one request is split among ureq's phases. Each is counted from the end of the one before it, so
/// their sum is the bound. ureq's limits for a whole request would start a thread for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Phases {
    connect: Duration,
    send: Duration,
    head: Duration,
    body: Duration,
}

impl Phases {
    fn split(time: Duration, connect_timeout: Duration) -> Self {
        let (connect, body) = ((time / 4).min(connect_timeout), time / 5);
        // To hand some bytes to the system takes no time but what a busy machine takes to come to it.
        let send = (time / 20).max(SHORTEST_SEND.min(time / 5));
        Self { connect, send, body, head: time - connect - send - body }
    }
}

/// The agent: what is only usual first, then the user's wishes, then what must hold.
fn agent(settings: &Settings, configure: impl FnOnce(AgentConfig) -> AgentConfig) -> Result<Agent> {
    let proxy = settings.proxy.as_ref().map(|(variable, url)| proxy(variable, url)).transpose()?;
    let usual = Agent::config_builder().proxy(proxy).max_idle_age(MAX_IDLE);
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    let usual = usual.tls_config(tls::usual());
    let mut config = configure(usual);
    if settings.base.is_loopback() {
        config = config.proxy(None);
    }
    let config = with_phases!(config, Phases::split(settings.timeout, settings.connect_timeout))
        .http_status_as_error(false)
        .https_only(settings.base.is_https())
        .max_redirects(0)
        .allow_non_standard_methods(false)
        .user_agent(AutoHeaderValue::None)
        .accept(AutoHeaderValue::None)
        .accept_encoding(AutoHeaderValue::None)
        .max_response_header_size(LONGEST_HEAD)
        .input_buffer_size(INPUT_BUFFER)
        .output_buffer_size(output_buffer([
            settings.longest_token,
            settings.user_agent.len(),
            settings.base.prefix.len(),
        ]))
        .build();
    check(&config, &settings.base)?;
    Ok(config.into())
}

/// ureq writes header by header into its buffer, and fails where one does not fit. Given what is the user's in the
/// first line and the headers.
fn output_buffer(lengths: [usize; 3]) -> usize {
    let longest = lengths.into_iter().fold(0, usize::max);
    (longest + 1024).max(2 * 1024)
}

/// Turns what ureq would panic about, or do in the clear, into an error.
fn check(config: &Config, base: &BaseUrl) -> Result<()> {
    if let Some(proxy) = config.proxy() {
        check_proxy("configure_agent", proxy)?;
    }
    if !base.is_https() {
        return Ok(());
    }
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    return tls::check(config.tls_config());
    #[cfg(not(any(feature = "rustls", feature = "native-tls")))]
    Err(Error::config(
        "base_url",
        "https needs TLS, and this build has none: turn on the feature `rustls` or `native-tls`",
    ))
}

fn proxy(variable: &'static str, url: &str) -> Result<Proxy> {
    // The URL may hold a password, so it is not quoted.
    let proxy = Proxy::new(url).map_err(|_| Error::config(variable, "it is not the URL of a proxy"))?;
    check_proxy(variable, &proxy)?;
    Ok(proxy)
}

fn check_proxy(setting: &'static str, proxy: &Proxy) -> Result<()> {
    if !proxy.uri().authority().is_some_and(has_usable_port) || proxy.host().is_empty() {
        return Err(Error::config(setting, "its proxy has no usable host and port"));
    }
    match proxy.protocol() {
        ProxyProtocol::Http => Ok(()),
        ProxyProtocol::Https if cfg!(any(feature = "rustls", feature = "native-tls")) => Ok(()),
        ProxyProtocol::Https => Err(Error::config(setting, "an https proxy needs TLS, and this build has none")),
        _ => Err(Error::config(setting, "only http and https proxies are supported, not SOCKS")),
    }
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod tls {
    use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

    use crate::error::{Error, Result};

    /// rustls where it is there; the system's certificates where its library or its verifier is.
    pub(super) fn usual() -> TlsConfig {
        let rustls = cfg!(feature = "rustls");
        let own_roots = rustls && !cfg!(feature = "platform-verifier");
        TlsConfig::builder()
            .provider(if rustls { TlsProvider::Rustls } else { TlsProvider::NativeTls })
            .root_certs(if own_roots { RootCerts::WebPki } else { RootCerts::PlatformVerifier })
            .build()
    }

    /// ureq panics at the first call where it was built without what its configuration asks for.
    pub(super) fn check(config: &TlsConfig) -> Result<()> {
        let missing = match (config.provider(), config.root_certs()) {
            (TlsProvider::Rustls, _) if !cfg!(feature = "rustls") => {
                "the TLS provider rustls needs the feature `rustls`"
            }
            (TlsProvider::NativeTls, _) if !cfg!(feature = "native-tls") => {
                "the TLS provider native-tls needs the feature `native-tls`"
            }
            (TlsProvider::Rustls, RootCerts::PlatformVerifier) if !cfg!(feature = "platform-verifier") => {
                "the platform's verifier needs the feature `platform-verifier`"
            }
            (TlsProvider::NativeTls, RootCerts::WebPki) => {
                "native-tls takes the system's root certificates (`RootCerts::PlatformVerifier`) or given ones"
            }
            _ => return Ok(()),
        };
        Err(Error::config("configure_agent", missing))
    }
}

/// Says what became of a request that has no answer. Whether any of a body was `taken` to be sent is known for sure; for
/// a request without one, the kind of the error has to tell.
fn failure(error: ureq::Error, host: &str, taken: Option<bool>) -> Error {
    use ureq::Error as E;

    let (kind, sent) = match &error {
        E::Timeout(Timeout::Connect | Timeout::Resolve) => (Kind::Timeout, false),
        E::Timeout(_) => (Kind::Timeout, true),
        E::HostNotFound => (Kind::Dns, false),
        E::ConnectionFailed => (Kind::Connect, false),
        E::ConnectProxyFailed(_) => (Kind::Proxy, false),
        E::Io(e) => io_kind(e),
        E::Tls(_) => (Kind::Tls, false),
        #[cfg(feature = "rustls")]
        E::Rustls(_) => (Kind::Tls, false),
        #[cfg(feature = "native-tls")]
        E::NativeTls(_) => (Kind::Tls, false),
        E::Protocol(_) | E::LargeResponseHeader(..) => (Kind::Protocol, true),
        _ => (Kind::Other, true),
    };
    let what = match (kind, &error) {
        (Kind::Timeout, E::Timeout(phase)) => {
            format!("timed out {} {host}; raise `timeout`, or ask again later", doing(*phase))
        }
        (Kind::Timeout, _) => format!("timed out on the way to {host}; ask again later"),
        (Kind::Dns, _) => format!("cannot look up {host}; check its name and the network"),
        (Kind::Connect, _) => format!("cannot connect to {host}; check the address and the network"),
        (Kind::Proxy, _) => format!("the proxy did not connect to {host}; check its address and credentials"),
        (Kind::Tls, _) => format!("no trusted TLS connection with {host}; check its certificate and the clock"),
        (Kind::Closed, _) => format!("the connection to {host} ended before the answer was complete; ask again"),
        (Kind::Protocol, E::LargeResponseHeader(..)) => {
            format!("the head of the answer of {host} is longer than 8 KiB; check the base URL")
        }
        (Kind::Protocol, _) => format!("the answer of {host} is not HTTP/1.1; check the base URL"),
        (Kind::Other, _) => format!("the request to {host} failed"),
    };
    // An io::Error as the source lets a caller ask for its kind.
    let source: Arc<dyn std::error::Error + Send + Sync> = match error {
        E::Io(e) => Arc::new(e),
        other => Arc::new(other),
    };
    let sent = if taken.unwrap_or(sent) { Sent::Yes } else { Sent::No };
    Error::Transport(TransportError::new(kind, what, sent, Some(source)))
}

/// Why a body could not be read. Beside time limits, I/O and what is not HTTP, all that ureq can say is in effect that
/// no more of it came.
fn broken_off(error: ureq::Error) -> ureq::Error {
    match error {
        known @ (ureq::Error::Timeout(_) | ureq::Error::Io(_) | ureq::Error::Protocol(_)) => known,
        other => ureq::Error::Io(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, other)),
    }
}

fn doing(phase: Timeout) -> &'static str {
    match phase {
        Timeout::Resolve | Timeout::Connect => "connecting to",
        Timeout::SendRequest | Timeout::SendBody | Timeout::PerWrite => "sending the request to",
        Timeout::RecvResponse | Timeout::PerRead => "waiting for the answer of",
        Timeout::RecvBody => "reading the answer of",
        _ => "asking",
    }
}

/// Which failure an I/O error is, and whether something may have been sent before it.
fn io_kind(error: &std::io::Error) -> (Kind, bool) {
    use std::io::ErrorKind as Io;

    match error.kind() {
        Io::TimedOut => (Kind::Timeout, true),
        Io::UnexpectedEof | Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::NotConnected => {
            (Kind::Closed, true)
        }
        // What the TLS libraries report through std.
        Io::InvalidData => (Kind::Tls, false),
        Io::ConnectionRefused
        | Io::HostUnreachable
        | Io::NetworkUnreachable
        | Io::NetworkDown
        | Io::AddrNotAvailable
        | Io::PermissionDenied => (Kind::Connect, false),
        // std gives a failed look-up no kind of its own.
        _ if error.to_string().starts_with("failed to lookup address") => (Kind::Dns, false),
        _ => (Kind::Other, true),
    }
}

#[cfg(test)]
mod tests;
