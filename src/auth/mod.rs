//! Access tokens: gives the current one, and replaces a refused one. The session sends the requests.

mod cache;
mod limiter;
mod provider;
mod request;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::de::DeserializeOwned;

pub use self::cache::TokenCacheError;
use self::provider::TokenProvider;
use crate::credentials::{AccessToken, Credentials};
use crate::envelope;
use crate::error::{Error, Result};
use crate::redact::redact_secret;
use crate::transport::{RequestTemplate, Response, Transport};

/// The source of a client's tokens.
#[derive(Debug)]
pub(crate) enum Auth {
    /// A token that the user gave. It is never replaced.
    Fixed(Arc<Token>),
    /// Tokens that are requested with credentials.
    Provider(Box<TokenProvider>),
}

/// A token with the headers of its requests.
#[derive(Debug)]
pub(crate) struct Token {
    access_token: AccessToken,
    template: RequestTemplate,
    accepted: AtomicBool,
}

impl Token {
    fn new(access_token: AccessToken, transport: &Transport) -> Result<Arc<Self>> {
        let template = transport.template(Some(&format!("Bearer {}", access_token.secret())))?;
        Ok(Arc::new(Self {
            access_token,
            template,
            accepted: AtomicBool::new(false),
        }))
    }

    pub(crate) fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    pub(crate) fn template(&self) -> &RequestTemplate {
        &self.template
    }

    /// Records that a request with this token has succeeded. If the service refuses it later, that is no reason to doubt
    /// the credentials: another process has requested tokens, and this one became invalid.
    pub(crate) fn mark_accepted(&self) {
        self.accepted.store(true, Ordering::Relaxed);
    }

    fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Auth {
    pub(crate) fn with_token(token: AccessToken, transport: &Transport) -> Result<Self> {
        Token::new(token, transport).map(Self::Fixed)
    }

    pub(crate) fn with_credentials(credentials: Credentials, transport: &Transport) -> Self {
        let base_url = transport.base_url().to_string();
        Self::Provider(Box::new(TokenProvider::new(credentials, base_url)))
    }

    /// Returns the current token, if there is one.
    pub(crate) fn current(&self) -> Option<Arc<Token>> {
        match self {
            Self::Fixed(token) => Some(Arc::clone(token)),
            Self::Provider(provider) => provider.current(),
        }
    }

    /// Returns the current token, and requests one if there is none. An error is one of a request that was not sent.
    pub(crate) fn token(&self, transport: &Transport, deadline: Instant) -> Result<Arc<Token>> {
        match self {
            Self::Fixed(token) => Ok(Arc::clone(token)),
            Self::Provider(provider) => provider
                .token(transport, deadline)
                .map_err(Error::mark_not_sent),
        }
    }

    /// Returns a token in place of one that the service has refused with `error`.
    ///
    /// # Errors
    /// * `error` itself, if the token is a given one, or has never been accepted and cannot be replaced yet.
    /// * `error` as a transient one, with the time until the replacement as its `retry_after`, if the token had been
    ///   accepted.
    /// * That of the token request.
    pub(crate) fn replace(
        &self,
        transport: &Transport,
        refused: &Token,
        error: &Error,
        deadline: Instant,
    ) -> Result<Arc<Token>> {
        match self {
            Self::Fixed(_) => Err(error.clone()),
            Self::Provider(provider) => provider.replace(transport, refused, error, deadline),
        }
    }

    /// Requests a new token, and keeps it.
    pub(crate) fn request(&self, transport: &Transport, deadline: Instant) -> Result<Arc<Token>> {
        match self {
            Self::Fixed(_) => Err(Error::config(
                "credentials",
                "they are missing: a token is requested with them only",
            )),
            Self::Provider(provider) => provider.request(transport, deadline),
        }
    }

    /// Requests a new token, whether or not there is one, and makes it the current one.
    pub(crate) fn request_token(
        &self,
        transport: &Transport,
        deadline: Instant,
    ) -> Result<Arc<Token>> {
        match self {
            Self::Fixed(_) => Err(Error::config(
                "credentials",
                "they are missing, and a token can be requested with them only",
            )),
            Self::Provider(provider) => provider.request(transport, deadline),
        }
    }

    pub(crate) fn cache_error(&self) -> Option<TokenCacheError> {
        match self {
            Self::Fixed(_) => None,
            Self::Provider(provider) => provider.cache_error(),
        }
    }
}

/// Decodes a response. Its error does not contain the secret of the request, which the server may quote.
pub(crate) fn decode_response<T: DeserializeOwned>(response: &Response, secret: &str) -> Result<T> {
    envelope::decode(response.status, &response.body)
        .map_err(|error| redact_secret(error, secret).with_retry_after(response.retry_after))
}
