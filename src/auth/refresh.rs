//! One refresh of a token: reads the cache, then requests a token with the credentials.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::cache::{TokenCache, TokenCacheError};
use super::decode_response;
use super::limiter::RefreshLimiter;
use crate::credentials::{AccessToken, Credentials};
use crate::error::{DecodeError, Error, Result};
use crate::json::JsonObject;
use crate::redact::redact_new_token;
use crate::transport::{Connection, Request, Transport};

const ACCESS_TOKEN_PATH: &str = "/api/v1/access_token";

/// State that one refresh leaves for the next.
#[derive(Debug, Clone, Default)]
pub(super) struct RefreshState {
    pub(super) limiter: RefreshLimiter,
    /// The error to return while no token may be requested.
    pub(super) error: Option<Error>,
    /// Whether that error is that the service rejected the credentials.
    pub(super) credentials_rejected: bool,
    pub(super) cache_error: Option<TokenCacheError>,
}

/// One refresh: reads the cache, then requests a token.
pub(super) struct TokenRefresh<'a> {
    pub(super) credentials: &'a Credentials,
    pub(super) cache: Option<&'a TokenCache>,
    pub(super) transport: &'a Transport,
    pub(super) deadline: Instant,
    /// Tokens that the service refused.
    pub(super) refused: Vec<AccessToken>,
    pub(super) state: RefreshState,
}

impl TokenRefresh<'_> {
    /// Returns a token; `None` if the cache has no other one and none may be requested now.
    pub(super) fn run(&mut self) -> Result<Option<AccessToken>> {
        // The file is complete at any time, so it is read without the lock first.
        if let Some(token) = self.cached_token() {
            return Ok(Some(token));
        }
        if let Some(error) = self.blocking_error() {
            return Err(error);
        }
        if !self.delay().is_zero() {
            return Ok(None);
        }
        let Some(cache) = self.cache else {
            return self.request_token().map(Some);
        };
        match cache.lock(self.remaining() / 2) {
            Ok(_lock) => {
                // Another process may have stored a token while this one waited.
                if let Some(token) = self.cached_token() {
                    return Ok(Some(token));
                }
                self.request_and_store().map(Some)
            }
            Err(error) => {
                self.state.cache_error = Some(error);
                self.request_token().map(Some)
            }
        }
    }

    /// Requests a token, whatever the cache has, and writes it to the cache.
    pub(super) fn request_and_store(&mut self) -> Result<AccessToken> {
        let token = self.request_token()?;
        if let Some(cache) = self.cache {
            self.state.cache_error = cache.write(&token).err();
        }
        Ok(token)
    }

    /// Returns the last error, if it forbids another token request now: rejected credentials, or a transient error with
    /// the remaining backoff as its `retry_after`.
    fn blocking_error(&self) -> Option<Error> {
        let error = self.state.error.clone()?;
        let delay = self.delay();
        if delay.is_zero() {
            None
        } else if self.state.credentials_rejected {
            Some(error)
        } else {
            error
                .is_transient()
                .then(|| error.with_retry_after(Some(delay)))
        }
    }

    fn is_replacement(&self) -> bool {
        !self.refused.is_empty()
    }

    /// The time to wait before the next token request.
    fn delay(&self) -> Duration {
        self.state
            .limiter
            .delay(self.is_replacement(), Instant::now())
    }

    fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Returns the token in the file, unless it was refused.
    fn cached_token(&mut self) -> Option<AccessToken> {
        match self.cache?.read() {
            Ok(token) => {
                token.filter(|token| token.validate().is_ok() && !self.refused.contains(token))
            }
            Err(error) => {
                self.state.cache_error = Some(error);
                None
            }
        }
    }

    /// Requests a token, and records the result.
    fn request_token(&mut self) -> Result<AccessToken> {
        let result = self
            .send_request()
            .map_err(|error| redact_new_token(error.of_token_request()));
        let now = Instant::now();
        match &result {
            Ok(_) => {
                self.state
                    .limiter
                    .record_success(self.is_replacement(), now);
                self.state.error = None;
            }
            Err(error) => {
                self.state.credentials_rejected =
                    matches!(error, Error::Api(_)) && !error.is_transient() && !error.is_banned();
                if self.state.credentials_rejected {
                    self.state.limiter.record_rejection(now);
                } else {
                    self.state.limiter.record_failure(error.retry_after(), now);
                }
                self.state.error = Some(error.clone());
            }
        }
        result
    }

    /// `POST /api/v1/access_token`
    fn send_request(&self) -> Result<AccessToken> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(rename = "clientID")]
            client_id: &'a str,
            #[serde(rename = "clientSecret")]
            client_secret: &'a str,
        }

        /// The expiry time is ignored: a token is used until the service refuses it with 401.
        #[derive(Deserialize)]
        struct IssuedToken {
            #[serde(rename = "accessToken")]
            access_token: String,
        }

        let (client_id, client_secret) = (
            self.credentials.client_id(),
            self.credentials.client_secret(),
        );
        let body = serde_json::to_vec(&Body {
            client_id,
            client_secret,
        })
        .map_err(|e| Error::config("credentials", format!("they cannot be sent: {e}")))?;
        let endpoint = self.transport.endpoint(ACCESS_TOKEN_PATH)?;
        let template = self.transport.template(None)?;
        let response = self.transport.send(
            &template,
            Request::post(&endpoint, &body),
            self.deadline,
            Connection::Own,
        )?;
        let JsonObject(IssuedToken { access_token }) = decode_response(&response, client_secret)?;
        let token = AccessToken::from(access_token);
        match token.validate() {
            Ok(()) => Ok(token),
            Err(reason) => {
                let reason = format!("its `accessToken` cannot be used: {reason}");
                Err(Error::Decode(DecodeError::new(reason, b"", None)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{BaseUrl, TransportSettings};

    /// A token in a file that cannot be rewritten stays there, and is refused again and again.
    #[test]
    fn no_refused_token_is_taken_from_the_cache() {
        let path =
            std::env::temp_dir().join(format!("pan123-offline-refused-{}", std::process::id()));
        let cache = TokenCache::new(path.clone(), "http://127.0.0.1:9".into(), "id".into());
        cache.write(&AccessToken::from("stale")).unwrap();
        let settings = TransportSettings {
            base_url: BaseUrl::parse("http://127.0.0.1:9").unwrap(),
            user_agent: "test".into(),
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            proxy: None,
            max_token_len: 9,
        };
        let transport = Transport::new(settings, |config| config).unwrap();
        let credentials = Credentials::new("id", "secret");
        for (refused, expected) in [
            (vec![], true),
            (vec!["other"], true),
            (vec!["stale", "other"], false),
        ] {
            let mut refresh = TokenRefresh {
                credentials: &credentials,
                cache: Some(&cache),
                transport: &transport,
                deadline: Instant::now(),
                refused: refused
                    .iter()
                    .map(|token| AccessToken::from(*token))
                    .collect(),
                state: RefreshState::default(),
            };
            assert_eq!(refresh.cached_token().is_some(), expected, "{refused:?}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
