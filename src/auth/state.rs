//! State of a client's tokens, and its decisions: which token may be used, and what a call gets while none may be
//! requested. Pure: the time is an argument.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cache::TokenCacheError;
use super::limiter::Limiter;
use super::token::Token;
use crate::credentials::AccessToken;
use crate::error::{DecodeError, Error, Result};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) current: Option<Arc<Token>>,
    /// Tokens that the service refused. They are never sent again.
    refused: Vec<AccessToken>,
    /// Why there is no current token, if the service has refused the last one.
    refusal: Option<Refusal>,
    /// Error of the last token request, if that failed.
    pub(super) failure: Option<Error>,
    pub(super) limiter: Limiter,
    /// Whether a thread reads the cache and requests a token now. The others wait for it.
    pub(super) is_refreshing: bool,
    pub(super) cache_error: Option<TokenCacheError>,
}

#[derive(Debug)]
struct Refusal {
    error: Error,
    /// Whether the token had been accepted before.
    was_accepted: bool,
}

/// The reason of a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// There is no token. The one in the cache will do.
    NoToken,
    /// Somebody wants a new one, whatever there is, and needs not wait for the minute between two replacements.
    Asked,
}

impl State {
    /// Records that the service has refused a token. One that was replaced already leaves the current one alone.
    pub(super) fn refuse(&mut self, token: &Token, error: &Error) {
        if !self.refused.contains(token.access_token()) {
            self.refused.push(token.access_token().clone());
        }
        let current = self.current.as_ref();
        if current.is_some_and(|current| current.access_token() != token.access_token()) {
            return;
        }
        self.current = None;
        self.refusal = Some(Refusal {
            error: error.clone(),
            was_accepted: token.is_accepted(),
        });
    }

    /// Returns whether a token of the cache can be sent.
    pub(super) fn is_usable(&self, token: &AccessToken) -> bool {
        token.validate().is_ok() && !self.refused.contains(token)
    }

    /// Returns the error of a call that needs a token while none may be requested; `None` if one may be.
    pub(super) fn blocking_error(&self, reason: Reason, now: Instant) -> Option<Error> {
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

    /// Makes a token the current one.
    pub(super) fn set_current(&mut self, token: Arc<Token>) {
        self.current = Some(token);
        self.refusal = None;
        self.failure = None;
    }

    /// Records the result of a token request. A token that the service has refused before is an error.
    pub(super) fn record_request(
        &mut self,
        issued: Result<AccessToken>,
        now: Instant,
    ) -> Result<AccessToken> {
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
