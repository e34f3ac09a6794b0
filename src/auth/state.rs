//! A token, and the state of a client's tokens with its decisions: which token may be sent, and what a call gets while
//! none may be requested. Pure: the time is an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::cache::TokenCacheError;
use super::limiter::Limiter;
use crate::credentials::AccessToken;
use crate::error::{DecodeError, Error, Result};
use crate::transport::{RequestTemplate, Transport};

/// A token with the headers of its requests.
#[derive(Debug)]
pub(crate) struct Token {
    access_token: AccessToken,
    template: RequestTemplate,
    accepted: AtomicBool,
}

impl Token {
    pub(super) fn new(access_token: AccessToken, transport: &Transport) -> Result<Arc<Self>> {
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

    /// Records that the service has accepted this token. If the service refuses it later, that is no reason to doubt
    /// the credentials: another process has requested tokens, and this one became invalid.
    pub(crate) fn mark_accepted(&self) {
        self.accepted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) current: Option<Arc<Token>>,
    /// Tokens that the service refused. They are never sent again.
    refused: Vec<AccessToken>,
    /// Why there is no current token, if the service has refused the last one: transient after an accepted token.
    refusal: Option<Error>,
    /// Whether a refused token had been accepted, since the last one was issued.
    was_accepted: bool,
    /// Error of the last token request, if that failed.
    pub(super) failure: Option<Error>,
    pub(super) limiter: Limiter,
    /// Whether a thread reads the cache and requests a token now. The others wait for it.
    pub(super) is_refreshing: bool,
    pub(super) cache_error: Option<TokenCacheError>,
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
    pub(super) fn refuse(&mut self, token: &AccessToken, was_accepted: bool, error: &Error) {
        if !self.refused.contains(token) {
            self.refused.push(token.clone());
        }
        let current = self.current.as_ref();
        if current.is_some_and(|current| current.access_token() != token) {
            return;
        }
        self.current = None;
        self.was_accepted |= was_accepted;
        self.refusal = Some(match self.was_accepted {
            true => error.clone().mark_token_replaceable(Duration::ZERO),
            false => error.clone(),
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
        if delay.is_zero() {
            return None;
        }
        match (self.failure.clone(), self.refusal.clone()) {
            (Some(failure), _) => Some(failure.with_retry_after(Some(delay))),
            (None, Some(refusal)) if refusal.is_transient() => {
                Some(refusal.with_retry_after(Some(delay)))
            }
            (None, refusal) => refusal,
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
                self.was_accepted = false;
                self.limiter.record_issue(!self.refused.is_empty(), now);
                if self.refused.contains(&token) {
                    let reason = "its `accessToken` is one that the service has refused";
                    Err(Error::Decode(DecodeError::new(reason, b"", None)))
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
        let result = result.map_err(Error::of_token_request);
        self.failure = result.as_ref().err().cloned();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ApiError, HttpError};
    use crate::error_code::ErrorCode;

    /// A state whose first token was issued at `start` and refused, and whose second token was issued and refused 10 s later.
    fn refused_twice(start: Instant, was_accepted: bool) -> State {
        let mut state = State::default();
        for (token, time) in [("first", start), ("second", start + seconds(10))] {
            assert!(state.blocking_error(Reason::NoToken, time).is_none());
            let token = state.record_request(Ok(token.into()), time).unwrap();
            state.refuse(&token, was_accepted, &refusal());
        }
        state
    }

    fn refusal() -> Error {
        Error::Http(HttpError::new(401, b""))
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_accepted_token_is_waited_for_until_the_minute_is_over() {
        let start = Instant::now();
        for was_accepted in [true, false] {
            let state = refused_twice(start, was_accepted);
            for (now, delay) in [(10, 60), (50, 20), (69, 1)] {
                let now = start + seconds(now);
                let error = state.blocking_error(Reason::NoToken, now).unwrap();
                assert!(error.is_unauthorized());
                assert_eq!(error.is_transient(), was_accepted);
                let delay = Some(seconds(delay)).filter(|_| was_accepted);
                assert_eq!(error.retry_after(), delay);
                assert!(state.blocking_error(Reason::Asked, now).is_none());
            }
            let blocking = state.blocking_error(Reason::NoToken, start + seconds(70));
            assert!(blocking.is_none());
        }
    }

    #[test]
    fn a_failed_request_blocks_the_next_one() {
        let api = |code| {
            let code = ErrorCode(code);
            Error::Api(ApiError::new(code, String::new(), None, Some(200)))
        };
        let retry_after = |error: Error, delay| error.with_retry_after(Some(seconds(delay)));
        for (error, delay) in [
            (api(1), 600),
            (api(401), 600),
            (api(403), 0),
            (api(500), 0),
            (retry_after(api(429), 7), 7),
            (Error::Http(HttpError::new(404, b"")), 0),
        ] {
            let (mut state, now) = (State::default(), Instant::now());
            assert!(state.record_request(Err(error.clone()), now).is_err());
            for reason in [Reason::NoToken, Reason::Asked] {
                let blocking = state.blocking_error(reason, now);
                let delays = blocking.map(|blocking| blocking.retry_after().unwrap());
                let expected = Some(seconds(delay)).filter(|delay| !delay.is_zero());
                assert_eq!(delays, expected, "{error}");
            }
        }
    }
}
