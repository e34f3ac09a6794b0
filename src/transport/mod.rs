//! One HTTP request and its response, through ureq.

mod base_url;
mod config;
mod error;
mod resolver;

use std::fmt;
use std::io::Read;
use std::time::{Duration, Instant};

use ureq::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT,
};
use ureq::http::{self, HeaderMap, HeaderName, HeaderValue, Method};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, SendBody};

pub(crate) use self::base_url::BaseUrl;
pub(crate) use self::config::{AgentConfig, TransportSettings};
use self::config::{agent_config, connect_timeout};
use self::error::{body_error, lookup_error, needs_new_lookup, transport_error};
use self::resolver::CachingResolver;
use crate::error::{Error, Result};

/// Maximum timeout. ureq adds a timeout to the time of day, which must not overflow.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Maximum delay that `Retry-After` can name. A longer one is no delay: services have sent the time of day.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Initial capacity for the body of a response, which most bodies fit into.
const BODY_CAPACITY: usize = 512;

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

/// A request: a POST if it has a body, a GET otherwise.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    /// The endpoint's path and query.
    pub(crate) path: &'a str,
    pub(crate) body: Option<&'a [u8]>,
    pub(crate) max_response_len: usize,
}

/// The headers of a request.
#[derive(Debug)]
pub(crate) struct RequestTemplate(http::Request<()>);

/// The connection of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    /// An idle one of the pool, if there is one; it returns to the pool.
    Pooled,
    /// A new one, for this request alone.
    Own,
}

/// A response whose body has been read.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The header `Retry-After` in whole seconds. A date, and more than a year, count as none.
    pub(crate) retry_after: Option<Duration>,
    /// At most `max_len` bytes, and one more if the body is longer.
    pub(crate) body: Vec<u8>,
    pub(crate) max_len: usize,
}

impl Transport {
    pub(crate) fn new(
        settings: TransportSettings,
        configure: impl FnOnce(AgentConfig) -> AgentConfig,
    ) -> Result<Self> {
        let config = agent_config(&settings, configure)?;
        let user_agent = HeaderValue::from_str(&settings.user_agent)
            .map_err(|e| cannot_be_sent("user_agent", &e))?;
        let host = HeaderValue::from_str(settings.base_url.host_header())
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

        let resolver = CachingResolver::default();
        let agent = Agent::with_parts(config, DefaultConnector::default(), resolver.clone());
        Ok(Self {
            agent,
            resolver,
            base_url: settings.base_url,
            timeout: settings.timeout,
            connect_timeout: settings.connect_timeout,
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

    /// Sends a request and reads its response. An error tells whether the request may have been sent.
    pub(crate) fn send(
        &self,
        template: &RequestTemplate,
        request: Request<'_>,
        deadline: Instant,
        connection: Connection,
    ) -> Result<Response> {
        let mut message = self.configure(template.0.clone(), deadline, connection);
        *message.uri_mut() = self.base_url.join(request.path)?;
        let mut body_taken = request.body.map(|_| false);
        let result = self.run(message, request.body, &mut body_taken);
        let mut response = match result {
            Ok(response) => response,
            Err(error) => return Err(self.error(error, body_taken)),
        };

        let mut body = Vec::with_capacity(BODY_CAPACITY);
        let max_len = request.max_response_len;
        // The end of the body, which this reads up to, returns the connection to the pool.
        let result = response
            .body_mut()
            .as_reader()
            .take(max_len as u64 + 1)
            .read_to_end(&mut body);
        let status = response.status();
        // An error status, with the part of the body that arrived, says more than the end of the connection.
        if let Err(error) = result
            && status.is_success()
        {
            return Err(self.error(body_error(error), body_taken));
        }
        Ok(Response {
            status: status.as_u16(),
            retry_after: retry_after(response.headers()),
            body,
            max_len,
        })
    }

    /// Sends a request. Sets `body_taken` if ureq began to read its body.
    fn run(
        &self,
        mut message: http::Request<()>,
        body: Option<&[u8]>,
        body_taken: &mut Option<bool>,
    ) -> std::result::Result<http::Response<Body>, ureq::Error> {
        let Some(bytes) = body else {
            return self.agent.run(message);
        };
        *message.method_mut() = Method::POST;
        message
            .headers_mut()
            .insert(CONTENT_LENGTH, bytes.len().into());
        let mut observed = ObservedBody {
            bytes,
            taken: body_taken,
        };
        let body = SendBody::from_reader(&mut observed);
        self.agent.run(message.map(|()| body))
    }

    fn configure(
        &self,
        message: http::Request<()>,
        deadline: Instant,
        connection: Connection,
    ) -> http::Request<()> {
        let timeout = deadline.saturating_duration_since(Instant::now());
        // With the agent's own configuration ureq keeps the prepared one of rustls, and copies nothing.
        if connection == Connection::Pooled && timeout >= self.timeout - self.timeout / 1024 {
            return message;
        }
        let config = self
            .agent
            .configure_request(message)
            .timeout_global(Some(timeout))
            .timeout_connect(Some(connect_timeout(self.connect_timeout, timeout)));
        if connection == Connection::Pooled {
            return config.build();
        }
        // ureq uses its pool only for requests with the agent's buffer sizes. `max_idle_age` alone would close the idle
        // connections; it tells the resolver that this request makes a new one.
        config
            .output_buffer_size(self.agent.config().output_buffer_size() + 1)
            .max_idle_age(Duration::ZERO)
            .build()
    }

    fn error(&self, error: ureq::Error, body_taken: Option<bool>) -> Error {
        if needs_new_lookup(&error) {
            self.resolver.expire();
        }
        let service = self.base_url.authority();
        let host = match (lookup_error(&error), self.agent.config().proxy()) {
            (Some(lookup), Some(proxy)) if lookup.host == proxy.host() => {
                format!("the proxy {}", lookup.host)
            }
            (Some(lookup), _) => lookup.host.clone(),
            (None, Some(proxy)) => {
                format!(
                    "{service} through the proxy {}:{}",
                    proxy.host(),
                    proxy.port()
                )
            }
            (None, None) => service.to_owned(),
        };
        transport_error(error, &host, body_taken)
    }
}

/// Reads `Retry-After` in whole seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if seconds.is_empty() || !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let delay = Duration::from_secs(seconds.parse().ok()?);
    (delay <= MAX_RETRY_AFTER).then_some(delay)
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

#[cfg(test)]
mod tests;
