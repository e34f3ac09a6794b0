//! One HTTP request and its response, through ureq.

mod base_url;
mod config;
mod error;
mod resolver;

use std::fmt;
use std::io::Read;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use ureq::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT,
};
use ureq::http::{self, HeaderMap, HeaderName, HeaderValue, Method};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, SendBody};

pub(crate) use self::base_url::BaseUrl;
use self::config::agent_config;
pub(crate) use self::config::{AgentConfig, TransportSettings};
use self::error::{body_error, lookup_error, transport_error};
use self::resolver::CachingResolver;
use crate::credentials::AccessToken;
use crate::envelope;
use crate::error::{Error, Result, TransportErrorKind as Kind};
use crate::redact::redact_secret;

/// Maximum timeout. ureq adds a timeout to the time of day, which must not overflow.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// An agent with its pool of connections, and the headers that every request has.
pub(crate) struct Transport {
    agent: Agent,
    resolver: CachingResolver,
    settings: TransportSettings,
    headers: HeaderMap,
}

/// A request: a POST if it has a body, a GET otherwise. Its body may contain a secret.
pub(crate) struct Request {
    /// The endpoint's path and query.
    pub(crate) path: String,
    pub(crate) body: Option<Vec<u8>>,
    /// Whether the service may process it twice.
    pub(crate) is_idempotent: bool,
    /// Whether it has a new connection for itself alone. Otherwise it takes an idle one of the pool, and returns it.
    pub(crate) own_connection: bool,
    pub(crate) max_response_len: usize,
}

/// A token with the header that carries it, which is made once.
#[derive(Debug)]
pub(crate) struct Bearer {
    pub(crate) token: AccessToken,
    header: HeaderValue,
}

impl Bearer {
    pub(crate) fn new(token: AccessToken) -> Result<Self> {
        let mut header = HeaderValue::try_from(format!("Bearer {}", token.secret()))
            .map_err(|e| cannot_be_sent("access_token", &e))?;
        header.set_sensitive(true);
        Ok(Self { token, header })
    }
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

        let platform = HeaderName::from_static("platform");
        let json = HeaderValue::from_static("application/json");
        let mut headers = HeaderMap::with_capacity(8);
        headers.extend([
            // ureq would format one for each request.
            (HOST, host),
            (platform, HeaderValue::from_static("open_platform")),
            (CONTENT_TYPE, json.clone()),
            (ACCEPT, json),
            (USER_AGENT, user_agent),
            // The place of the token, so that the map does not grow with each request.
            (AUTHORIZATION, HeaderValue::from_static("")),
        ]);
        let resolver = CachingResolver::default();
        let agent = Agent::with_parts(config, DefaultConnector::default(), resolver.clone());
        Ok(Self {
            agent,
            resolver,
            settings,
            headers,
        })
    }

    pub(crate) fn base_url(&self) -> &BaseUrl {
        &self.settings.base_url
    }

    /// Sends a request, with a token if there is one, and decodes its response. The error tells whether the request may
    /// have been sent, and does not contain the token, which the server may quote.
    pub(crate) fn send<T: DeserializeOwned>(
        &self,
        request: &Request,
        token: Option<&Bearer>,
        deadline: Instant,
    ) -> Result<T> {
        let (status, retry_after, body) = self.exchange(request, token, deadline)?;
        let decoded = envelope::decode(status, &body, request.max_response_len);
        decoded.map_err(|error| {
            let secret = token.map_or("", |bearer| bearer.token.secret());
            redact_secret(error, secret).with_retry_after(retry_after)
        })
    }

    /// Sends a request, and returns status, `Retry-After` and body of its response. The body has one byte more than its
    /// maximum length if it is longer.
    fn exchange(
        &self,
        request: &Request,
        token: Option<&Bearer>,
        deadline: Instant,
    ) -> Result<(u16, Option<Duration>, Vec<u8>)> {
        let message = self.configure(self.message(request, token)?, request, deadline);
        let body = request.body.as_deref();
        let mut unread = body;
        let result = match &mut unread {
            None => self.agent.run(message),
            Some(body) => {
                let body = SendBody::from_reader(body);
                self.agent.run(message.map(|()| body))
            }
        };
        // Before ureq began to read the body, the service cannot have processed the request.
        let body_taken = unread.map(|rest| body != Some(rest));
        let mut response = result.map_err(|error| self.error(error, body_taken))?;
        // Most bodies fit.
        let mut body = Vec::with_capacity(512);
        // The end of the body, which this reads up to, returns the connection to the pool.
        let result = response
            .body_mut()
            .as_reader()
            .take(request.max_response_len as u64 + 1)
            .read_to_end(&mut body);
        let status = response.status();
        // An error status, with the part of the body that arrived, says more than the end of the connection.
        if let Err(error) = result
            && status.is_success()
        {
            return Err(self.error(body_error(error), body_taken));
        }
        Ok((status.as_u16(), retry_after(response.headers()), body))
    }

    fn message(&self, request: &Request, token: Option<&Bearer>) -> Result<http::Request<()>> {
        let mut message = http::Request::new(());
        *message.uri_mut() = self.base_url().join(&request.path)?;
        let headers = message.headers_mut();
        *headers = self.headers.clone();
        match token {
            None => headers.remove(AUTHORIZATION),
            Some(bearer) => headers.insert(AUTHORIZATION, bearer.header.clone()),
        };
        if let Some(body) = &request.body {
            headers.insert(CONTENT_LENGTH, body.len().into());
            *message.method_mut() = Method::POST;
        }
        Ok(message)
    }

    fn configure(
        &self,
        message: http::Request<()>,
        request: &Request,
        deadline: Instant,
    ) -> http::Request<()> {
        let timeout = deadline.saturating_duration_since(Instant::now());
        let whole = self.settings.timeout;
        // With the agent's own configuration ureq keeps the prepared one of rustls, and copies nothing.
        if !request.own_connection && timeout >= whole - whole / 1024 {
            return message;
        }
        let config = self
            .agent
            .configure_request(message)
            .timeout_global(Some(timeout))
            .timeout_connect(Some(self.settings.connect_timeout(timeout)));
        if !request.own_connection {
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
        let service = self.base_url().authority();
        let host = match (lookup_error(&error), self.agent.config().proxy()) {
            (Some(lookup), Some(proxy)) if lookup.host == proxy.host() => {
                format!("the proxy {}", lookup.host)
            }
            (Some(lookup), _) => lookup.host.clone(),
            (None, Some(proxy)) => {
                let (host, port) = (proxy.host(), proxy.port());
                format!("{service} through the proxy {host}:{port}")
            }
            (None, None) => service.to_owned(),
        };
        let error = transport_error(error, &host, body_taken);
        if matches!(error.kind, Kind::Connect | Kind::Tls | Kind::Timeout) {
            self.resolver.expire();
        }
        Error::Transport(error)
    }
}

/// Reads `Retry-After` in whole seconds. More than a year is no delay: services have sent the time of day.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let delay = Duration::from_secs(seconds.parse().ok()?);
    (delay <= MAX_TIMEOUT).then_some(delay)
}

fn cannot_be_sent(setting: &'static str, error: &dyn fmt::Display) -> Error {
    Error::config(setting, format!("it cannot be sent: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_retry_after_in_seconds() {
        for (value, expected) in [
            ("0", Some(0)),
            (" 7 ", Some(7)),
            ("007", Some(7)),
            ("31536000", Some(365 * 24 * 60 * 60)),
            // More than a year: the time of day in place of a delay.
            ("31536001", None),
            ("99999999999999999999999", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("Fri, 31 Dec 1999 23:59:59 GMT", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            let expected = expected.map(Duration::from_secs);
            assert_eq!(retry_after(&headers), expected, "{value}");
        }
    }
}
