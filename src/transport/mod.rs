//! One HTTP request and its response, through ureq.

mod base_url;
mod config;
mod connector;
mod error;
mod resolver;

use std::fmt;
use std::io::Read;
use std::time::{Duration, Instant};

use ureq::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT,
};
use ureq::http::{self, HeaderMap, HeaderName, HeaderValue, Method, Uri};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, SendBody};

pub(crate) use self::base_url::BaseUrl;
pub(crate) use self::config::{AgentConfig, TransportSettings};
use self::config::{agent_config, connect_timeout};
use self::connector::ProxyConnector;
use self::error::{body_error, needs_new_lookup, transport_error};
use self::resolver::CachingResolver;
use crate::envelope::MAX_BODY_LEN;
use crate::error::{Error, Result};

/// Maximum timeout. ureq adds a timeout to the time of day, which must not overflow.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The max number of lookups for one request.
const MAX_LOOKUPS: u32 = 3;

/// Maximum length of the body with a page of a list: a hundred images with Chinese names have 110 KB.
const MAX_PAGE_LEN: usize = 1024 * 1024;

/// Length of the buffer on the stack. Most bodies fit into it, and then need no heap allocation.
const INLINE_BODY_LEN: usize = 512;

/// An agent with its pool of connections, and the headers that every request has.
#[derive(Debug)]
pub(crate) struct Transport {
    agent: Agent,
    resolver: CachingResolver,
    base_url: BaseUrl,
    timeout: Duration,
    connect_timeout: Duration,
    headers: HeaderMap,
}

/// The URL of an endpoint. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint(Uri);

/// A method with its endpoint and body.
#[derive(Clone, Copy)]
pub(crate) enum Request<'a> {
    Get(&'a Endpoint),
    Post(&'a Endpoint, &'a [u8]),
    /// A POST whose response is a page of a list.
    PostForPage(&'a Endpoint, &'a [u8]),
}

impl Request<'_> {
    /// The maximum length of the response's body.
    fn max_response_len(&self) -> usize {
        match self {
            Self::Get(_) | Self::Post(..) => MAX_BODY_LEN,
            Self::PostForPage(..) => MAX_PAGE_LEN,
        }
    }
}

/// The headers of a request.
#[derive(Debug)]
pub(crate) struct RequestTemplate(http::Request<()>);

/// Options of a single request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RequestOptions {
    /// Time limit of the whole request; `None` is the client's `timeout`.
    pub(crate) timeout: Option<Duration>,
    /// Whether to leave pooled connections unused.
    pub(crate) new_connection: bool,
}

/// A response whose body has been read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Response<'a> {
    pub(crate) status: u16,
    headers: &'a HeaderMap,
    /// At most `max_len` bytes, and one more if the body is longer.
    pub(crate) body: &'a [u8],
    pub(crate) max_len: usize,
}

impl Transport {
    pub(crate) fn new(
        settings: TransportSettings,
        configure: impl FnOnce(AgentConfig) -> AgentConfig,
    ) -> Result<Self> {
        let config = agent_config(&settings, configure)?;
        let TransportSettings {
            base_url,
            user_agent,
            timeout,
            connect_timeout,
            ..
        } = settings;
        let user_agent =
            HeaderValue::from_str(&user_agent).map_err(|e| cannot_be_sent("user_agent", &e))?;
        let host = HeaderValue::from_str(base_url.host_header())
            .map_err(|e| cannot_be_sent("base_url", &e))?;

        let mut headers = HeaderMap::with_capacity(8);
        // ureq would format one for each request.
        headers.insert(HOST, host);
        headers.insert(
            HeaderName::from_static("platform"),
            HeaderValue::from_static("open_platform"),
        );
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, user_agent);

        let resolver = CachingResolver::new(base_url.join("/")?);
        let agent = if config.proxy().is_some() {
            Agent::with_parts(config, ProxyConnector::default(), resolver.clone())
        } else {
            Agent::with_parts(config, DefaultConnector::default(), resolver.clone())
        };
        Ok(Self {
            agent,
            resolver,
            base_url,
            timeout,
            connect_timeout,
            headers,
        })
    }

    pub(crate) fn base_url(&self) -> &BaseUrl {
        &self.base_url
    }

    /// Prepares the headers of requests, with a value for `Authorization` if there is one.
    pub(crate) fn template(&self, authorization: Option<&str>) -> Result<RequestTemplate> {
        let mut request = http::Request::new(());
        *request.headers_mut() = self.headers.clone();
        if let Some(authorization) = authorization {
            let mut value = HeaderValue::try_from(authorization)
                .map_err(|e| cannot_be_sent("access_token", &e))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(RequestTemplate(request))
    }

    /// Returns the URL of an endpoint, which is given by its path and query.
    pub(crate) fn endpoint(&self, path: &str) -> Result<Endpoint> {
        self.base_url.join(path).map(Endpoint)
    }

    /// Sends a request and passes its response to `read`. An error tells whether the request may have been sent.
    pub(crate) fn send<R>(
        &self,
        template: &RequestTemplate,
        request: Request<'_>,
        options: RequestOptions,
        read: impl FnOnce(Response<'_>) -> R,
    ) -> Result<R> {
        let mut body_taken = (!matches!(request, Request::Get(_))).then_some(false);
        let mut result = self.run(template, request, options, &mut body_taken);
        if self.is_lookup_needed(&result) {
            let deadline = Instant::now() + options.timeout.unwrap_or(self.timeout);
            // Again if another thread's failed connection has made the addresses expire in the
            // meantime. Limited, because a middleware can return the same error.
            for _ in 0..MAX_LOOKUPS {
                if !self.is_lookup_needed(&result) {
                    break;
                }
                self.resolver
                    .refresh(deadline)
                    .map_err(|error| self.error(error, body_taken))?;
                let timeout = Some(deadline.saturating_duration_since(Instant::now()));
                let options = RequestOptions { timeout, ..options };
                result = self.run(template, request, options, &mut body_taken);
            }
        }
        let mut response = match result {
            Ok(response) => response,
            Err(error) => return Err(self.error(error, body_taken)),
        };

        let max_len = request.max_response_len();
        let mut body = BodyBuffer::new(max_len);
        let result = body.read(response.body_mut());
        // An error status, with the part of the body that arrived, says more than the end of the connection.
        if response.status().is_success() {
            result.map_err(|error| self.error(body_error(error), body_taken))?;
        }
        Ok(read(Response {
            status: response.status().as_u16(),
            headers: response.headers(),
            body: body.bytes(),
            max_len,
        }))
    }

    fn is_lookup_needed<T>(&self, result: &std::result::Result<T, ureq::Error>) -> bool {
        let error = result.as_ref().err();
        error.is_some_and(|error| self.resolver.is_lookup_needed(error))
    }

    /// Sends a request. Sets `body_taken` if ureq began to read its body.
    fn run(
        &self,
        template: &RequestTemplate,
        request: Request<'_>,
        options: RequestOptions,
        body_taken: &mut Option<bool>,
    ) -> std::result::Result<http::Response<Body>, ureq::Error> {
        let mut message = template.0.clone();
        match request {
            Request::Get(Endpoint(uri)) => {
                *message.uri_mut() = uri.clone();
                self.agent.run(self.configure(message, options))
            }
            Request::Post(Endpoint(uri), bytes) | Request::PostForPage(Endpoint(uri), bytes) => {
                *message.method_mut() = Method::POST;
                *message.uri_mut() = uri.clone();
                message
                    .headers_mut()
                    .insert(CONTENT_LENGTH, bytes.len().into());
                let mut body = ObservedBody {
                    bytes,
                    taken: body_taken,
                };
                let (parts, ()) = self.configure(message, options).into_parts();
                self.agent.run(http::Request::from_parts(
                    parts,
                    SendBody::from_reader(&mut body),
                ))
            }
        }
    }

    /// Applies the options of a request. Any option copies the agent's configuration, so defaults are left out.
    fn configure(&self, message: http::Request<()>, options: RequestOptions) -> http::Request<()> {
        if !options.new_connection && options.timeout.is_none() {
            return message;
        }
        let mut config = self.agent.configure_request(message);
        if options.new_connection {
            config = config.max_idle_age(Duration::ZERO);
        }
        if let Some(timeout) = options.timeout {
            config = config
                .timeout_global(Some(timeout))
                .timeout_connect(Some(connect_timeout(self.connect_timeout, timeout)));
        }
        config.build()
    }

    fn error(&self, error: ureq::Error, body_taken: Option<bool>) -> Error {
        if needs_new_lookup(&error) {
            self.resolver.expire();
        }
        let host = match self.agent.config().proxy() {
            Some(proxy) => format!(
                "{} through the proxy {}:{}",
                self.base_url.authority(),
                proxy.host(),
                proxy.port()
            ),
            None => self.base_url.authority().to_owned(),
        };
        transport_error(error, &host, body_taken)
    }
}

impl Response<'_> {
    /// The header `Retry-After` in whole seconds. A date is ignored.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if seconds.is_empty() || !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // A number that overflows becomes the maximum.
        Some(Duration::from_secs(seconds.parse().unwrap_or(u64::MAX)))
    }
}

fn cannot_be_sent(setting: &'static str, error: &dyn fmt::Display) -> Error {
    Error::config(setting, format!("it cannot be sent: {error}"))
}

/// A body that records whether ureq began to read it. Before that, the service cannot have processed the request.
struct ObservedBody<'a> {
    bytes: &'a [u8],
    taken: &'a mut Option<bool>,
}

impl Read for ObservedBody<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        *self.taken = Some(true);
        self.bytes.read(buffer)
    }
}

/// A buffer for the body of a response, up to the limit and one byte.
struct BodyBuffer {
    inline: [u8; INLINE_BODY_LEN],
    heap: Vec<u8>,
    len: usize,
    max_len: usize,
}

impl BodyBuffer {
    fn new(max_len: usize) -> Self {
        Self {
            inline: [0; INLINE_BODY_LEN],
            heap: Vec::new(),
            len: 0,
            max_len,
        }
    }

    fn bytes(&self) -> &[u8] {
        if self.heap.is_empty() {
            &self.inline[..self.len]
        } else {
            &self.heap[..self.len]
        }
    }

    /// Reads until a read returns 0, which returns the connection to the pool.
    fn read(&mut self, body: &mut Body) -> std::io::Result<()> {
        let mut reader = body.as_reader();
        loop {
            if self.len == self.inline.len() && self.heap.is_empty() {
                self.heap = vec![0; self.max_len + 1];
                self.heap[..self.len].copy_from_slice(&self.inline);
            }
            let free = if self.heap.is_empty() {
                &mut self.inline[self.len..]
            } else {
                &mut self.heap[self.len..]
            };
            // The body is longer than the limit: the connection is closed with the rest unread.
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

#[cfg(test)]
mod tests;
