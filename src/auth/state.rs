//! A token, and the state of a client's tokens with its decisions: which token may be sent, and what a call gets while
//! none may be requested. Pure: the time is an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::cache::TokenCacheError;
use crate::credentials::AccessToken;
use crate::error::{DecodeError, Error, Result};
use crate::transport::Bearer;

/// Minimum time between two replacements of a token: clients that request tokens in a loop have been banned.
const MIN_REPLACEMENT_INTERVAL: Duration = Duration::from_secs(60);

const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// The pause after the service has rejected the credentials: another request would most likely be rejected, too.
const REJECTION_PAUSE: Duration = Duration::from_secs(10 * 60);

/// Maximum number of consecutive failures without a backoff: those of one call with its default retries.
const FAILURES_WITHOUT_BACKOFF: u32 = 3;

#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) bearer: Bearer,
    accepted: AtomicBool,
}

impl Token {
    /// Records that the service has accepted this token. If the service refuses it later, that is no reason to doubt
    /// the credentials: another process has requested tokens, and this one became invalid.
    pub(crate) fn mark_accepted(&self) {
        self.accepted.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) current: Option<Arc<Token>>,
    /// The reason for which there is no current token: the error of the last token request, or the one with which the
    /// service refused the last token; that is transient after an accepted token.
    pub(super) error: Option<Error>,
    /// Tokens that the service refused. They are never sent again.
    refused: Vec<AccessToken>,
    /// Whether a refused token had been accepted, since the last one was issued.
    was_accepted: bool,
    /// Whether a token was issued. The first one is free; each further one is a replacement.
    has_issued: bool,
    next_replacement: Option<Instant>,
    /// Number of consecutive failed requests, without those whose credentials were rejected.
    failures: u32,
    /// The end of the pause after the last failed request.
    paused_until: Option<Instant>,
    /// Whether a thread reads the cache and requests a token now. The others wait for it.
    pub(super) is_refreshing: bool,
    pub(super) cache_error: Option<TokenCacheError>,
}

impl State {
    /// Records that the service has refused a token. One that was replaced already leaves the current one alone.
    pub(super) fn refuse(&mut self, token: &Token, error: &Error) {
        let refused = &token.bearer.token;
        if !self.refused.contains(refused) {
            self.refused.push(refused.clone());
        }
        let current = self.current.as_ref();
        if current.is_some_and(|current| current.bearer.token != *refused) {
            return;
        }
        self.current = None;
        self.was_accepted |= token.accepted.load(Ordering::Relaxed);
        if self.error.as_ref().is_some_and(Error::is_of_token_request) {
            return;
        }
        // It is the error of later requests, which are not sent.
        let error = error.clone().mark_not_sent();
        self.error = Some(match self.was_accepted {
            true => error.mark_token_replaceable(Duration::ZERO),
            false => error,
        });
    }

    /// Returns whether a token of the cache can be sent.
    pub(super) fn is_usable(&self, token: &AccessToken) -> bool {
        token.validate().is_ok() && !self.refused.contains(token)
    }

    /// Returns the error of a call that needs a token while none may be requested; `None` if one may be.
    pub(super) fn blocking_error(&self, is_new_wanted: bool, now: Instant) -> Option<Error> {
        let end = match is_new_wanted {
            true => self.paused_until,
            false => self.paused_until.max(self.next_replacement),
        };
        let end = end.filter(|end| *end > now)?;
        let error = self.error.clone()?;
        // The refusal of a token that was never accepted is final.
        Some(match error.is_of_token_request() || error.is_transient() {
            true => error.with_retry_after(Some(end - now)),
            false => error,
        })
    }

    pub(super) fn set_current(&mut self, bearer: Bearer) -> Arc<Token> {
        let token = Arc::new(Token {
            bearer,
            accepted: AtomicBool::new(false),
        });
        self.current = Some(Arc::clone(&token));
        self.error = None;
        token
    }

    /// Records the result of a token request. A token that the service has refused before is an error.
    pub(super) fn record_request(
        &mut self,
        issued: Result<AccessToken>,
        now: Instant,
    ) -> Result<AccessToken> {
        let error = match issued {
            Ok(token) => {
                if self.has_issued || !self.refused.is_empty() {
                    self.next_replacement = Some(now + MIN_REPLACEMENT_INTERVAL);
                }
                self.has_issued = true;
                self.was_accepted = false;
                self.failures = 0;
                self.paused_until = None;
                if !self.refused.contains(&token) {
                    return Ok(token);
                }
                let reason = "its `accessToken` is one that the service has refused";
                Error::Decode(DecodeError::new(reason, b"", None))
            }
            Err(error) => {
                let are_credentials_rejected =
                    matches!(error, Error::Api(_)) && !error.is_transient() && !error.is_banned();
                let pause = match are_credentials_rejected {
                    true => REJECTION_PAUSE,
                    false => self.backoff().max(error.retry_after().unwrap_or_default()),
                };
                // A pause that the clock cannot represent counts as none.
                self.paused_until = now.checked_add(pause);
                error
            }
        };
        let error = error.of_token_request();
        self.error = Some(error.clone());
        Err(error)
    }

    /// Counts a failed request, and returns the backoff after it. Each may have issued a token that nobody has, so many
    /// in a row are kept apart.
    fn backoff(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        match self.failures.checked_sub(FAILURES_WITHOUT_BACKOFF + 1) {
            None => Duration::ZERO,
            Some(doublings) => {
                Duration::from_secs(2_u64.saturating_pow(doublings)).min(MAX_BACKOFF)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::tests::{api, http};

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Two tokens are issued within 10 s, and both are refused.
    #[test]
    fn an_accepted_token_is_waited_for_until_the_minute_is_over() {
        let start = Instant::now();
        for was_accepted in [true, false] {
            let mut state = State::default();
            for (text, now) in [("first", start), ("second", start + seconds(10))] {
                assert!(state.blocking_error(false, now).is_none());
                let issued = state.record_request(Ok(text.into()), now).unwrap();
                let token = state.set_current(Bearer::new(issued).unwrap());
                token.accepted.store(was_accepted, Ordering::Relaxed);
                state.refuse(&token, &http(401));
            }
            for (now, delay) in [(10, 60), (50, 20), (69, 1)] {
                let now = start + seconds(now);
                let error = state.blocking_error(false, now).unwrap();
                assert!(error.is_unauthorized());
                assert_eq!(error.is_transient(), was_accepted);
                let delay = Some(seconds(delay)).filter(|_| was_accepted);
                assert_eq!(error.retry_after(), delay);
                assert!(state.blocking_error(true, now).is_none());
            }
            let now = start + seconds(70);
            assert!(state.blocking_error(false, now).is_none());
        }
    }

    #[test]
    fn a_failed_request_blocks_the_next_one() {
        let api = |code| api(code, 200);
        for (error, delay) in [
            (api(1), 600),
            (api(401), 600),
            (api(403), 0),
            (api(500), 0),
            (api(429).with_retry_after(Some(seconds(7))), 7),
            (http(404), 0),
        ] {
            let (mut state, now) = (State::default(), Instant::now());
            assert!(state.record_request(Err(error.clone()), now).is_err());
            for is_new_wanted in [false, true] {
                let blocking = state.blocking_error(is_new_wanted, now);
                let delays = blocking.map(|blocking| blocking.retry_after().unwrap());
                let expected = Some(seconds(delay)).filter(|delay| !delay.is_zero());
                assert_eq!(delays, expected, "{error}");
            }
        }
    }

    #[test]
    fn backs_off_after_three_failures() {
        let (mut state, mut now) = (State::default(), Instant::now());
        for pause in [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60].map(seconds) {
            assert!(state.record_request(Err(http(502)), now).is_err());
            assert_eq!(state.paused_until, Some(now + pause));
            now += pause;
        }
        assert!(state.record_request(Ok("token".into()), now).is_ok());
        assert_eq!(state.backoff(), Duration::ZERO, "a token ends the backoff");
    }
}
