//! Access tokens: gives the current one, requests one, and replaces a refused one.
//!
//! There is no timer: a token is used until the service refuses it.

mod cache;
mod state;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Deserialize;

use self::cache::TokenCache;
pub use self::cache::TokenCacheError;
use self::state::State;
pub(crate) use self::state::Token;
use crate::credentials::{AccessToken, Credentials};
use crate::endpoint;
use crate::error::{DecodeError, Delivery, Error, Result, TransportErrorKind};
use crate::redact::{redact_new_token, redact_secret};
use crate::transport::{Bearer, Transport};

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
    pub(crate) fn with_token(token: AccessToken) -> Result<Self> {
        let auth = Self::default();
        auth.lock().set_current(Bearer::new(token)?);
        Ok(auth)
    }

    pub(crate) fn with_credentials(credentials: Credentials, base_url: String) -> Self {
        let cache = credentials.cache_file.as_ref().map(|path| TokenCache {
            path: path.to_owned(),
            base_url,
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

    pub(crate) fn current(&self) -> Option<Arc<Token>> {
        self.lock().current.clone()
    }

    pub(crate) fn cache_error(&self) -> Option<TokenCacheError> {
        self.lock().cache_error.clone()
    }

    /// Returns a token in place of one that the service has refused with `error`. If it cannot be replaced yet, returns
    /// that error: as a transient one with the time until the replacement, if the token had been accepted.
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
        self.lock().refuse(refused, error);
        self.token(false, transport, deadline)
    }

    /// Returns the current token unless a new one is wanted. Otherwise waits for the thread that requests one, and
    /// requests one if there is none then. The error is one of a request that was not sent.
    ///
    /// A new one needs not wait for the minute between two replacements, but for the pause after a failure.
    pub(crate) fn token(
        &self,
        is_new_wanted: bool,
        transport: &Transport,
        deadline: Instant,
    ) -> Result<Arc<Token>> {
        let mut state = self.lock();
        if state.is_refreshing && (is_new_wanted || state.current.is_none()) {
            let remaining = deadline.saturating_duration_since(Instant::now());
            let (locked, waited) = self
                .refreshed
                .wait_timeout_while(state, remaining, |state| state.is_refreshing)
                .unwrap_or_else(PoisonError::into_inner);
            state = locked;
            if waited.timed_out() {
                return Err(Error::transport(
                    TransportErrorKind::Timeout,
                    "timed out waiting for the token that another thread requests; raise `timeout`",
                    Delivery::NotSent,
                ));
            }
            // The other thread may have had less time, so its timeout is not an error of this thread.
            if !is_new_wanted
                && state.current.is_none()
                && let Some(error) = &state.error
                && error.is_of_token_request()
                && !error.is_timeout()
            {
                return Err(error.clone());
            }
        }
        if !is_new_wanted && let Some(token) = &state.current {
            return Ok(Arc::clone(token));
        }
        let Some(login) = &self.login else {
            let reason = "they are missing, and a token can be requested with them only";
            return Err(Error::config("credentials", reason));
        };
        state.is_refreshing = true;
        state.cache_error = None;
        drop(state);
        let _refreshing = Refreshing(self);
        let token = self.find_token(login, is_new_wanted, transport, deadline)?;
        let bearer = Bearer::new(token)?;
        Ok(self.lock().set_current(bearer))
    }

    /// Returns a token of the cache unless a new one is wanted, or requests one.
    fn find_token(
        &self,
        Login { credentials, cache }: &Login,
        is_new_wanted: bool,
        transport: &Transport,
        deadline: Instant,
    ) -> Result<AccessToken> {
        let cached_token = || {
            let cache = cache.as_ref().filter(|_| !is_new_wanted)?;
            let token = self.keep_cache_error(cache.read())??;
            self.lock().is_usable(&token).then_some(token)
        };
        // The file is complete at any time, so it is read without the lock first.
        if let Some(token) = cached_token() {
            return Ok(token);
        }
        let blocking_error = self.lock().blocking_error(is_new_wanted, Instant::now());
        if let Some(error) = blocking_error {
            return Err(error);
        }
        let lock = cache.as_ref().map(|cache| cache.lock(deadline));
        let _lock = lock.and_then(|lock| self.keep_cache_error(lock));
        // Another process may have stored a token while this one waited.
        if let Some(token) = cached_token() {
            return Ok(token);
        }
        // If the request panics, in a user's middleware, no waiting thread takes an earlier error for its own.
        self.lock().error.take_if(|it| it.is_of_token_request());
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

/// The expiry time is ignored: a token is used until the service refuses it with 401.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IssuedToken {
    access_token: String,
}

/// Requests a token, once. Its errors show neither the secret nor a token.
fn request_token(
    credentials: &Credentials,
    transport: &Transport,
    deadline: Instant,
) -> Result<AccessToken> {
    let request = endpoint::access_token(credentials);
    let IssuedToken { access_token } = transport
        .send(&request, None, deadline)
        .map_err(|error| redact_secret(error, &credentials.client_secret))
        .map_err(redact_new_token)?;
    let token = AccessToken::from(access_token);
    token.validate().map_err(|reason| {
        let reason = format!("its `accessToken` cannot be used: {reason}");
        Error::Decode(DecodeError::new(reason, b"", None))
    })?;
    Ok(token)
}
