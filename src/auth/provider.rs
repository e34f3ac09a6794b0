//! Provides tokens for credentials: when one is requested, and what a call gets while none may be.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Token;
use super::cache::{TokenCache, TokenCacheError};
use super::limiter::Limiter;
use super::request::request_token;
use crate::credentials::{AccessToken, Credentials};
use crate::error::{DecodeError, Delivery, Error, Result, TransportError, TransportErrorKind};
use crate::transport::Transport;

/// Provides tokens for credentials. There is no timer: a token is used until the service refuses it.
#[derive(Debug)]
pub(crate) struct TokenProvider {
    credentials: Credentials,
    cache: Option<TokenCache>,
    state: Mutex<State>,
    /// Signalled when `is_refreshing` becomes false.
    refreshed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Arc<Token>>,
    /// Tokens that the service refused. They are never sent again.
    refused: Vec<AccessToken>,
    /// Why there is no current token, if the service has refused the last one.
    refusal: Option<Refusal>,
    /// Error of the last token request, if that failed.
    failure: Option<Error>,
    limiter: Limiter,
    /// Whether a thread reads the cache and requests a token now. The others wait for it.
    is_refreshing: bool,
    cache_error: Option<TokenCacheError>,
}

#[derive(Debug)]
struct Refusal {
    error: Error,
    /// Whether the token had been accepted before.
    was_accepted: bool,
}

/// The reason of a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// There is no token. The one in the cache will do.
    NoToken,
    /// Somebody wants a new one, whatever there is, and needs not wait for the minute between two replacements.
    Asked,
}

impl TokenProvider {
    pub(super) fn new(credentials: Credentials, base_url: String) -> Self {
        let client_id = credentials.client_id().to_owned();
        let path = credentials.cache_path();
        let cache = path.map(|path| TokenCache::new(path.to_owned(), base_url, client_id));
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
    pub(super) fn token(&self, transport: &Transport, deadline: Instant) -> Result<Arc<Token>> {
        self.obtain(self.lock(), transport, deadline)
    }

    /// Returns a token in place of one that the service has refused with this error.
    pub(super) fn replace(
        &self,
        transport: &Transport,
        refused: &Token,
        error: &Error,
        deadline: Instant,
    ) -> Result<Arc<Token>> {
        let mut state = self.lock();
        state.refuse(refused, error);
        self.obtain(state, transport, deadline)
    }

    /// Requests a new token.
    pub(super) fn request(&self, transport: &Transport, deadline: Instant) -> Result<Arc<Token>> {
        let mut state = self.lock();
        while state.is_refreshing {
            state = self.wait_for_refresh(state, deadline)?;
        }
        self.refresh(state, Reason::Asked, transport, deadline)
    }

    /// Returns the current token, waits for the thread that requests one, or requests one.
    fn obtain(
        &self,
        mut state: MutexGuard<'_, State>,
        transport: &Transport,
        deadline: Instant,
    ) -> Result<Arc<Token>> {
        loop {
            if let Some(token) = &state.current {
                return Ok(Arc::clone(token));
            }
            if !state.is_refreshing {
                return self.refresh(state, Reason::NoToken, transport, deadline);
            }
            state = self.wait_for_refresh(state, deadline)?;
            // The other thread may have had less time, so its timeout is not an error of this thread.
            match &state.failure {
                Some(failure) if state.current.is_none() && !failure.is_timeout() => {
                    return Err(failure.clone());
                }
                _ => {}
            }
        }
    }

    fn wait_for_refresh<'a>(
        &self,
        state: MutexGuard<'a, State>,
        deadline: Instant,
    ) -> Result<MutexGuard<'a, State>> {
        let remaining = deadline.saturating_duration_since(Instant::now());
        let (state, waited) = self
            .refreshed
            .wait_timeout_while(state, remaining, |state| state.is_refreshing)
            .unwrap_or_else(PoisonError::into_inner);
        if !waited.timed_out() {
            return Ok(state);
        }
        let message =
            "timed out waiting for the token that another thread requests; raise `timeout`";
        Err(Error::Transport(TransportError::new(
            TransportErrorKind::Timeout,
            message,
            Delivery::NotSent,
            None,
        )))
    }

    /// Takes a token from the cache, or requests one, while other threads wait.
    fn refresh(
        &self,
        mut state: MutexGuard<'_, State>,
        reason: Reason,
        transport: &Transport,
        deadline: Instant,
    ) -> Result<Arc<Token>> {
        state.is_refreshing = true;
        drop(state);
        let _refreshing = Refreshing(self);
        let mut cache_error = None;
        let result = self
            .find_token(reason, transport, deadline, &mut cache_error)
            .and_then(|token| Token::new(token, transport));

        let mut state = self.lock();
        state.cache_error = cache_error;
        if let Ok(token) = &result {
            state.current = Some(Arc::clone(token));
            state.refusal = None;
            state.failure = None;
        }
        result
    }

    /// Returns a token of the cache, or a new one. `cache_error` gets the last error of the cache.
    fn find_token(
        &self,
        reason: Reason,
        transport: &Transport,
        deadline: Instant,
        cache_error: &mut Option<TokenCacheError>,
    ) -> Result<AccessToken> {
        // The file is complete at any time, so it is read without the lock first.
        if let Some(token) = self.cached_token(reason, cache_error) {
            return Ok(token);
        }
        if let Some(error) = self.lock().blocking_error(reason, Instant::now()) {
            return Err(error);
        }
        let lock = self.cache.as_ref().map(|cache| cache.lock(deadline));
        if let Some(Err(error)) = &lock {
            *cache_error = Some(error.clone());
        }
        // Another process may have stored a token while this one waited.
        if let Some(token) = self.cached_token(reason, cache_error) {
            return Ok(token);
        }
        self.lock().failure = None;
        let issued = request_token(&self.credentials, transport, deadline);
        let token = self.lock().record(issued)?;
        // Without the lock, too: the file is replaced as a whole.
        if let Some(Err(error)) = self.cache.as_ref().map(|cache| cache.write(&token)) {
            *cache_error = Some(error);
        }
        Ok(token)
    }

    /// Returns the token in the file, unless the service has refused it.
    fn cached_token(
        &self,
        reason: Reason,
        cache_error: &mut Option<TokenCacheError>,
    ) -> Option<AccessToken> {
        if reason == Reason::Asked {
            return None;
        }
        match self.cache.as_ref()?.read() {
            Ok(token) => token
                .filter(|token| token.validate().is_ok() && !self.lock().refused.contains(token)),
            Err(error) => {
                *cache_error = Some(error);
                None
            }
        }
    }
}

impl State {
    /// Records that the service has refused a token. One that was replaced already leaves the current one alone.
    fn refuse(&mut self, token: &Token, error: &Error) {
        if !self.refused.contains(&token.access_token) {
            self.refused.push(token.access_token.clone());
        }
        let current = self.current.as_ref();
        if current.is_some_and(|current| current.access_token != token.access_token) {
            return;
        }
        self.current = None;
        self.refusal = Some(Refusal {
            error: error.clone(),
            was_accepted: token.is_accepted(),
        });
    }

    /// Returns the error of a call that needs a token while none may be requested; `None` if one may be.
    fn blocking_error(&self, reason: Reason, now: Instant) -> Option<Error> {
        let delay = match reason {
            Reason::NoToken => self.limiter.delay(now),
            Reason::Asked => self.limiter.pause(now),
        };
        if delay == Duration::ZERO {
            return None;
        }
        match (&self.failure, &self.refusal) {
            (Some(failure), _) => Some(failure.clone().with_retry_after(Some(delay))),
            (None, Some(refusal)) if refusal.was_accepted => {
                Some(refusal.error.clone().mark_token_replaceable(delay))
            }
            (None, Some(refusal)) => Some(refusal.error.clone()),
            (None, None) => None,
        }
    }

    /// Records the result of a token request. A token that the service has refused before is an error.
    fn record(&mut self, issued: Result<AccessToken>) -> Result<AccessToken> {
        let now = Instant::now();
        let result = match issued {
            Ok(token) => {
                self.limiter.record_issue(!self.refused.is_empty(), now);
                if self.refused.contains(&token) {
                    let reason = "its `accessToken` is one that the service has refused";
                    let error = Error::Decode(DecodeError::new(reason, b"", None));
                    Err(error.of_token_request())
                } else {
                    Ok(token)
                }
            }
            Err(error) => {
                let are_credentials_rejected =
                    matches!(error, Error::Api(_)) && !error.is_transient() && !error.is_banned();
                if are_credentials_rejected {
                    self.limiter.record_rejection(now);
                } else {
                    self.limiter.record_failure(error.retry_after(), now);
                }
                Err(error)
            }
        };
        self.failure = result.as_ref().err().cloned();
        result
    }
}

/// Ends a refresh, also when it panics, in a user's middleware.
struct Refreshing<'a>(&'a TokenProvider);

impl Drop for Refreshing<'_> {
    fn drop(&mut self) {
        self.0.lock().is_refreshing = false;
        self.0.refreshed.notify_all();
    }
}

#[cfg(test)]
mod tests;
