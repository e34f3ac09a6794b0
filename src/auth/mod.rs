//! Access tokens: gives the current one, requests one, and replaces a refused one.
//!
//! There is no timer: a token is used until the service refuses it.

mod cache;
mod limiter;
mod request;
mod state;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::cache::TokenCache;
pub use self::cache::TokenCacheError;
pub(crate) use self::request::decode_response;
use self::request::request_token;
pub(crate) use self::state::Token;
use self::state::{Reason, State};
use crate::credentials::{AccessToken, Credentials};
use crate::error::{Delivery, Error, Result, TransportError, TransportErrorKind};
use crate::transport::Transport;

/// The tokens of a client.
#[derive(Debug, Default)]
pub(crate) struct Auth {
    /// The source of new tokens; `None` for a token that the user gave, which is never replaced.
    login: Option<Login>,
    state: Mutex<State>,
    /// Signalled when `is_refreshing` becomes false.
    refreshed: Condvar,
}

#[derive(Debug)]
struct Login {
    credentials: Credentials,
    cache: Option<TokenCache>,
}

impl Auth {
    pub(crate) fn with_token(token: AccessToken, transport: &Transport) -> Result<Self> {
        let mut state = State::default();
        state.set_current(Token::new(token, transport)?);
        Ok(Self {
            state: Mutex::new(state),
            ..Self::default()
        })
    }

    pub(crate) fn with_credentials(credentials: Credentials, transport: &Transport) -> Self {
        let cache = credentials.cache_file.as_ref().map(|path| TokenCache {
            path: path.to_owned(),
            base_url: transport.base_url().to_string(),
            client_id: credentials.client_id.clone(),
        });
        Self {
            login: Some(Login { credentials, cache }),
            ..Self::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the current token, if there is one.
    pub(crate) fn current(&self) -> Option<Arc<Token>> {
        self.lock().current.clone()
    }

    /// Returns the error of the cache file at the last time a token was needed.
    pub(crate) fn cache_error(&self) -> Option<TokenCacheError> {
        self.lock().cache_error.clone()
    }

    /// Returns the current token, and requests one if there is none. An error is one of a request that was not sent.
    pub(crate) fn token(&self, transport: &Transport, deadline: Instant) -> Result<Arc<Token>> {
        self.obtain(self.lock(), transport, deadline)
            .map_err(Error::mark_not_sent)
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
        if self.login.is_none() {
            return Err(error.clone());
        }
        let mut state = self.lock();
        state.refuse(refused.access_token(), refused.is_accepted(), error);
        self.obtain(state, transport, deadline)
    }

    /// Requests a new token, whether or not there is one, and keeps it. The once-a-minute limit does not apply; the pause
    /// after a failure does.
    pub(crate) fn request_token(
        &self,
        transport: &Transport,
        deadline: Instant,
    ) -> Result<Arc<Token>> {
        let mut state = self.lock();
        if state.is_refreshing {
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
        let Some(login) = &self.login else {
            let reason = "they are missing, and a token can be requested with them only";
            return Err(Error::config("credentials", reason));
        };
        state.is_refreshing = true;
        state.cache_error = None;
        drop(state);
        let _refreshing = Refreshing(self);
        let token = self.find_token(login, reason, transport, deadline)?;
        let token = Token::new(token, transport)?;
        self.lock().set_current(Arc::clone(&token));
        Ok(token)
    }

    /// Returns a token of the cache, or a new one.
    fn find_token(
        &self,
        Login { credentials, cache }: &Login,
        reason: Reason,
        transport: &Transport,
        deadline: Instant,
    ) -> Result<AccessToken> {
        let cached_token = || {
            let cache = cache.as_ref().filter(|_| reason == Reason::NoToken)?;
            let token = self.keep_cache_error(cache.read())??;
            self.lock().is_usable(&token).then_some(token)
        };
        // The file is complete at any time, so it is read without the lock first.
        if let Some(token) = cached_token() {
            return Ok(token);
        }
        if let Some(error) = self.lock().blocking_error(reason, Instant::now()) {
            return Err(error);
        }
        let lock = cache.as_ref().map(|cache| cache.lock(deadline));
        let _lock = lock.and_then(|lock| self.keep_cache_error(lock));
        // Another process may have stored a token while this one waited.
        if let Some(token) = cached_token() {
            return Ok(token);
        }
        self.lock().failure = None;
        let issued = request_token(credentials, transport, deadline);
        let token = self.lock().record_request(issued, Instant::now())?;
        // Without the lock, too: the file is replaced as a whole.
        if let Some(cache) = cache {
            self.keep_cache_error(cache.write(&token));
        }
        Ok(token)
    }

    /// Returns the result, or keeps its error for [`cache_error()`](Self::cache_error).
    fn keep_cache_error<T>(&self, result: std::result::Result<T, TokenCacheError>) -> Option<T> {
        let keep = |error| self.lock().cache_error = Some(error);
        result.map_err(keep).ok()
    }
}

/// Ends a refresh, also when it panics, in a user's middleware.
struct Refreshing<'a>(&'a Auth);

impl Drop for Refreshing<'_> {
    fn drop(&mut self) {
        self.0.lock().is_refreshing = false;
        self.0.refreshed.notify_all();
    }
}
