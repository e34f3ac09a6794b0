//! Requests tokens with credentials, one request at a time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::cache::{TokenCache, TokenCacheError};
use super::limiter::RefreshLimiter;
use super::{Token, decode_response};
use crate::credentials::{AccessToken, Credentials};
use crate::error::{DecodeError, Delivery, Error, Result, TransportError, TransportErrorKind};
use crate::json::JsonObject;
use crate::redact::redact_new_token;
use crate::transport::{Request, RequestOptions, Transport};

const ACCESS_TOKEN_PATH: &str = "/api/v1/access_token";

/// Provides tokens for credentials. There is no timer: a token is used until the service refuses it.
#[derive(Debug)]
pub(crate) struct TokenProvider {
    credentials: Credentials,
    cache: Option<TokenCache>,
    state: Mutex<State>,
    /// Signalled at the end of each refresh.
    refreshed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Arc<Token>>,
    /// Tokens that the service refused. They are never sent again.
    refused: Vec<AccessToken>,
    /// Whether a thread refreshes the token now.
    is_refreshing: bool,
    /// Number of refreshes that have ended.
    generation: u64,
    outcome: Option<Result<Option<Arc<Token>>>>,
    /// The error to return while no token may be requested.
    error: Option<Error>,
    /// Whether the last error is that the service rejected the credentials.
    credentials_rejected: bool,
    limiter: RefreshLimiter,
    cache_error: Option<TokenCacheError>,
}

impl TokenProvider {
    pub(super) fn new(credentials: Credentials, base_url: String) -> Self {
        let client_id = credentials.client_id().to_owned();
        let cache = credentials
            .cache_path()
            .map(|path| TokenCache::new(path.to_owned(), base_url, client_id));
        Self {
            credentials,
            cache,
            state: Mutex::default(),
            refreshed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn current(&self) -> Option<Arc<Token>> {
        self.lock().current.clone()
    }

    pub(super) fn cache_error(&self) -> Option<TokenCacheError> {
        self.lock().cache_error.clone()
    }

    /// Returns the current token, and requests one if there is none.
    pub(super) fn get_or_fetch(
        &self,
        transport: &Transport,
        deadline: Instant,
    ) -> Result<Arc<Token>> {
        let state = self.lock();
        if let Some(token) = &state.current {
            return Ok(Arc::clone(token));
        }
        match self.refresh(state, transport, deadline)? {
            Some(token) => Ok(token),
            None => Err(self.lock().error.clone().unwrap_or_else(|| {
                Error::config(
                    "credentials",
                    "a token was requested less than a minute ago",
                )
            })),
        }
    }

    /// Returns a token in place of one that was refused with this error; `None` if none may be requested now.
    pub(super) fn replace(
        &self,
        refused: &Token,
        error: &Error,
        transport: &Transport,
        deadline: Instant,
    ) -> Result<Option<Arc<Token>>> {
        let mut state = self.lock();
        if !state.refused.contains(&refused.access_token) {
            state.refused.push(refused.access_token.clone());
        }
        if let Some(current) = state
            .current
            .as_ref()
            .filter(|current| current.generation != refused.generation)
        {
            return Ok(Some(Arc::clone(current)));
        }
        state.current = None;
        state.error = Some(error.clone());
        self.refresh(state, transport, deadline)
    }

    /// Refreshes the token, or waits for the thread that does.
    fn refresh(
        &self,
        mut state: MutexGuard<'_, State>,
        transport: &Transport,
        deadline: Instant,
    ) -> Result<Option<Arc<Token>>> {
        while state.is_refreshing {
            let generation = state.generation;
            state = self.wait_for_refresh(state, deadline)?;
            // A timeout is that of the other thread, which may have had less time.
            match &state.outcome {
                Some(outcome) if state.generation > generation && !is_timeout(outcome) => {
                    return outcome.clone();
                }
                _ => {}
            }
        }
        state.is_refreshing = true;
        let is_replacement = !state.refused.is_empty();
        let mut refresh = TokenRefresh {
            provider: self,
            transport,
            deadline,
            is_replacement,
            refused: state.refused.clone(),
            limiter: state.limiter,
            credentials_rejected: state.credentials_rejected,
            error: state.error.clone(),
            cache_error: None,
        };
        let generation = state.generation + 1;
        drop(state);
        let guard = RefreshGuard(self);
        let outcome = refresh.run().and_then(|token| {
            token
                .map(|token| Token::new(token, generation, transport))
                .transpose()
        });

        let mut state = self.lock();
        if let Ok(token) = &outcome {
            state.current.clone_from(token);
        }
        let TokenRefresh {
            limiter,
            credentials_rejected,
            error,
            cache_error,
            ..
        } = refresh;
        (state.limiter, state.credentials_rejected) = (limiter, credentials_rejected);
        (state.error, state.cache_error) = (error, cache_error);
        guard.finish(&mut state, outcome.clone());
        outcome
    }

    fn wait_for_refresh<'a>(
        &self,
        state: MutexGuard<'a, State>,
        deadline: Instant,
    ) -> Result<MutexGuard<'a, State>> {
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            let message =
                "timed out waiting for the token that another thread requests; raise `timeout`";
            return Err(token_error(TransportErrorKind::Timeout, message));
        }
        Ok(self
            .refreshed
            .wait_timeout(state, remaining)
            .unwrap_or_else(PoisonError::into_inner)
            .0)
    }

    fn finish_refresh(&self, state: &mut State, outcome: Result<Option<Arc<Token>>>) {
        state.is_refreshing = false;
        state.generation += 1;
        state.outcome = Some(outcome);
        self.refreshed.notify_all();
    }
}

fn is_timeout(outcome: &Result<Option<Arc<Token>>>) -> bool {
    outcome.as_ref().is_err_and(Error::is_timeout)
}

fn token_error(kind: TransportErrorKind, message: &str) -> Error {
    Error::Transport(TransportError::new(kind, message, Delivery::NotSent, None))
}

/// Ends a refresh also when it panics, in a user's middleware.
struct RefreshGuard<'a>(&'a TokenProvider);

impl RefreshGuard<'_> {
    fn finish(self, state: &mut State, outcome: Result<Option<Arc<Token>>>) {
        self.0.finish_refresh(state, outcome);
        std::mem::forget(self);
    }
}

impl Drop for RefreshGuard<'_> {
    fn drop(&mut self) {
        let error = token_error(
            TransportErrorKind::Other,
            "the thread that requested a token panicked",
        );
        self.0.finish_refresh(&mut self.0.lock(), Err(error));
    }
}

/// One refresh: reads the cache, then asks the service.
struct TokenRefresh<'a> {
    provider: &'a TokenProvider,
    transport: &'a Transport,
    deadline: Instant,
    is_replacement: bool,
    refused: Vec<AccessToken>,
    limiter: RefreshLimiter,
    credentials_rejected: bool,
    error: Option<Error>,
    cache_error: Option<TokenCacheError>,
}

impl TokenRefresh<'_> {
    /// Returns a token; `None` if the cache has no other one and none may be requested now.
    fn run(&mut self) -> Result<Option<AccessToken>> {
        // The file is complete at any time, so it is read without the lock first.
        if let Some(token) = self.cached_token() {
            return Ok(Some(token));
        }
        if let Some(error) = self.blocking_error() {
            return Err(error);
        }
        if !self
            .limiter
            .delay(self.is_replacement, Instant::now())
            .is_zero()
        {
            return Ok(None);
        }
        let Some(cache) = &self.provider.cache else {
            return self.request_token().map(Some);
        };
        match cache.lock(self.remaining() / 2) {
            Ok(_lock) => {
                // Another process may have stored a token while this one waited.
                if let Some(token) = self.cached_token() {
                    return Ok(Some(token));
                }
                let token = self.request_token()?;
                self.cache_error = cache.write(&token).err();
                Ok(Some(token))
            }
            Err(error) => {
                self.cache_error = Some(error);
                self.request_token().map(Some)
            }
        }
    }

    /// Returns the last error, if it forbids another token request now: rejected credentials, or a pause after
    /// transient errors. A transient error tells the remaining pause as `retry_after`.
    fn blocking_error(&self) -> Option<Error> {
        let error = self.error.clone()?;
        let delay = self.limiter.delay(self.is_replacement, Instant::now());
        if delay.is_zero() {
            None
        } else if self.credentials_rejected {
            Some(error)
        } else {
            error
                .is_transient()
                .then(|| error.with_retry_after(Some(delay)))
        }
    }

    fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Returns the token in the file, unless it was refused.
    fn cached_token(&mut self) -> Option<AccessToken> {
        match self.provider.cache.as_ref()?.read() {
            Ok(token) => {
                token.filter(|token| token.validate().is_ok() && !self.refused.contains(token))
            }
            Err(error) => {
                self.cache_error = Some(error);
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
                self.limiter.record_success(self.is_replacement, now);
                self.error = None;
            }
            Err(error) => {
                self.credentials_rejected =
                    matches!(error, Error::Api(_)) && !error.is_transient() && !error.is_banned();
                if self.credentials_rejected {
                    self.limiter.record_rejection(now);
                } else {
                    self.limiter.record_failure(error.retry_after(), now);
                }
                self.error = Some(error.clone());
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

        /// The time of expiry is ignored: the service itself tells it, by a 401.
        #[derive(Deserialize)]
        struct IssuedToken {
            #[serde(rename = "accessToken")]
            access_token: String,
        }

        let (client_id, client_secret) = (
            self.provider.credentials.client_id(),
            self.provider.credentials.client_secret(),
        );
        let body = serde_json::to_vec(&Body {
            client_id,
            client_secret,
        })
        .map_err(|e| Error::config("credentials", format!("they cannot be sent: {e}")))?;
        let endpoint = self.transport.endpoint(ACCESS_TOKEN_PATH)?;
        let options = RequestOptions {
            timeout: Some(self.remaining()),
            new_connection: true,
        };
        let template = self.transport.template(None)?;
        let response = self.transport.send(
            &template,
            Request::Post(&endpoint, &body),
            options,
            |response| decode_response(response, client_secret),
        )?;
        let JsonObject(IssuedToken { access_token }) = response?;
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
