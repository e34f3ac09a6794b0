//! Access tokens on requests: attaches the token, sends, and replaces a refused token.

mod cache;
mod limiter;
mod provider;
mod refresh;

use std::sync::Arc;
use std::time::Instant;

use serde::de::DeserializeOwned;

pub use self::cache::TokenCacheError;
use self::provider::TokenProvider;
use crate::credentials::{AccessToken, Credentials};
use crate::envelope;
use crate::error::{Error, Result};
use crate::redact::redact_secret;
use crate::retry::{AttemptCause, AttemptError};
use crate::transport::{Connection, Request, RequestTemplate, Response, Transport};

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
    /// Number of the refresh that brought it, to tell a late refusal of an older token from one of the current token.
    generation: u64,
}

impl Token {
    fn new(access_token: AccessToken, generation: u64, transport: &Transport) -> Result<Arc<Self>> {
        let template = transport.template(Some(&format!("Bearer {}", access_token.secret())))?;
        Ok(Arc::new(Self {
            access_token,
            template,
            generation,
        }))
    }

    pub(crate) fn access_token(&self) -> &AccessToken {
        &self.access_token
    }
}

impl Auth {
    pub(crate) fn with_token(token: AccessToken, transport: &Transport) -> Result<Self> {
        Token::new(token, 0, transport).map(Self::Fixed)
    }

    pub(crate) fn with_credentials(credentials: Credentials, transport: &Transport) -> Self {
        Self::Provider(Box::new(TokenProvider::new(
            credentials,
            transport.base_url().to_string(),
        )))
    }

    /// Returns the current token, if there is one.
    pub(crate) fn current(&self) -> Option<Arc<Token>> {
        match self {
            Self::Fixed(token) => Some(Arc::clone(token)),
            Self::Provider(provider) => provider.current(),
        }
    }

    /// Returns the current token, and requests one if there is none.
    pub(crate) fn token(&self, transport: &Transport, deadline: Instant) -> Result<Arc<Token>> {
        match self {
            Self::Fixed(token) => Ok(Arc::clone(token)),
            Self::Provider(provider) => provider.get_or_fetch(transport, deadline),
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

    /// Sends a request with a token, and decodes its response. If the token is refused, it is replaced for the next
    /// attempt.
    pub(crate) fn send_authenticated<T: DeserializeOwned>(
        &self,
        transport: &Transport,
        token: &Token,
        request: Request<'_>,
        deadline: Instant,
        connection: Connection,
    ) -> std::result::Result<T, AttemptError> {
        let response = transport.send(&token.template, request, deadline, connection)?;
        let error = match decode_response(&response, token.access_token.secret()) {
            Ok(data) => return Ok(data),
            Err(error) => error,
        };
        let Self::Provider(provider) = self else {
            return Err(error.into());
        };
        // A response with both 401 and 403 is a ban, after which no token is requested.
        if !error.is_unauthorized() || error.is_banned() {
            return Err(error.into());
        }
        let cause = match provider.replace(token, &error, transport, deadline) {
            Ok(Some(_)) => AttemptCause::TokenReplaced,
            Ok(None) => AttemptCause::Request,
            Err(error) => {
                return Err(AttemptError {
                    error,
                    cause: AttemptCause::TokenRequest,
                });
            }
        };
        Err(AttemptError { error, cause })
    }
}

/// Decodes a response. Its error does not contain the secret of the request, which the server may quote.
fn decode_response<T: DeserializeOwned>(response: &Response, secret: &str) -> Result<T> {
    envelope::decode(response.status, &response.body, response.max_len)
        .map_err(|error| redact_secret(error, secret).with_retry_after(response.retry_after))
}
