//! Requests tokens with credentials, one request at a time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Token;
use super::cache::{TokenCache, TokenCacheError};
use super::refresh::{RefreshState, TokenRefresh};
use crate::credentials::{AccessToken, Credentials};
use crate::error::{Delivery, Error, Result, TransportError, TransportErrorKind};
use crate::transport::Transport;

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
    refresh: RefreshState,
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
        self.lock().refresh.cache_error.clone()
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
        match self.refresh(state, transport, deadline, |refresh| refresh.run())? {
            Some(token) => Ok(token),
            None => Err(self.lock().refresh.error.clone().unwrap_or_else(|| {
                Error::config(
                    "credentials",
                    "a token was requested less than a minute ago",
                )
            })),
        }
    }

    /// Requests a token, whether or not there is one, and makes it the current one.
    pub(super) fn request(&self, transport: &Transport, deadline: Instant) -> Result<Arc<Token>> {
        let mut state = self.lock();
        while state.is_refreshing {
            state = self.wait_for_refresh(state, deadline)?;
        }
        let request = |refresh: &mut TokenRefresh<'_>| refresh.request_and_store().map(Some);
        let token = self.refresh(state, transport, deadline, request)?;
        token.ok_or_else(|| token_error(TransportErrorKind::Other, "no token was requested"))
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
        state.refresh.error = Some(error.clone());
        self.refresh(state, transport, deadline, |refresh| refresh.run())
    }

    /// Refreshes the token, or waits for the thread that does.
    fn refresh(
        &self,
        mut state: MutexGuard<'_, State>,
        transport: &Transport,
        deadline: Instant,
        run: impl FnOnce(&mut TokenRefresh<'_>) -> Result<Option<AccessToken>>,
    ) -> Result<Option<Arc<Token>>> {
        while state.is_refreshing {
            let generation = state.generation;
            state = self.wait_for_refresh(state, deadline)?;
            // The other thread may have had less time, so its timeout is not an error of this thread.
            match &state.outcome {
                Some(outcome) if state.generation > generation && !is_timeout(outcome) => {
                    return outcome.clone();
                }
                _ => {}
            }
        }
        state.is_refreshing = true;
        let mut refresh = TokenRefresh {
            credentials: &self.credentials,
            cache: self.cache.as_ref(),
            transport,
            deadline,
            refused: state.refused.clone(),
            state: RefreshState {
                cache_error: None,
                ..state.refresh.clone()
            },
        };
        let generation = state.generation;
        drop(state);
        let guard = RefreshGuard(self);
        let outcome = run(&mut refresh).and_then(|token| {
            token
                .map(|token| Token::new(token, generation, transport))
                .transpose()
        });

        let mut state = self.lock();
        if let Ok(token) = &outcome {
            state.current.clone_from(token);
        }
        state.refresh = refresh.state;
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
