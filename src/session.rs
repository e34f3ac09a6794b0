//! One request with its token (`attempt`), and one call with its retries (`call`).

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::auth::{Auth, Token};
use crate::credentials::AccessToken;
use crate::error::{Error, Result, TransportErrorKind};
use crate::retry;
use crate::throttle::Throttle;
use crate::transport::{Request, Transport};

/// Max number of replacement tokens that an attempt tries: one from the cache file, and one that is new.
const MAX_TOKEN_REPLACEMENTS: u32 = 2;

/// The state that a client shares with its clones.
pub(crate) struct Session {
    pub(crate) transport: Transport,
    pub(crate) auth: Auth,
    pub(crate) throttle: Throttle,
    pub(crate) timeout: Duration,
    pub(crate) max_retries: u32,
}

impl Session {
    pub(crate) fn call<T: DeserializeOwned>(&self, mut request: Request) -> Result<T> {
        self.retry(request.is_idempotent, |deadline| {
            self.attempt(&mut request, deadline)
        })
    }

    pub(crate) fn access_token(&self) -> Result<AccessToken> {
        // Also during a pause, for which only requests wait.
        let token = match self.auth.current() {
            Some(token) => token,
            None => self.retry(true, |deadline| self.token(deadline))?,
        };
        Ok(token.bearer.token.clone())
    }

    pub(crate) fn request_access_token(&self) -> Result<AccessToken> {
        let request = |deadline| self.auth.token(true, &self.transport, deadline);
        Ok(self.retry(true, request)?.bearer.token.clone())
    }

    pub(crate) fn token(&self, deadline: Instant) -> Result<Arc<Token>> {
        self.auth.token(false, &self.transport, deadline)
    }

    /// Makes one attempt: sends a request with the current token, and decodes its response.
    ///
    /// If the server has closed the pooled connection, an idempotent request is sent again over one of its own, which its
    /// next attempt has, too. If the token is refused, it is replaced, and the request is sent again: at most twice.
    pub(crate) fn attempt<T: DeserializeOwned>(
        &self,
        request: &mut Request,
        deadline: Instant,
    ) -> Result<T> {
        let mut token = self.token(deadline)?;
        let mut replacements = 0;
        loop {
            let error = match self.send(request, &token, deadline) {
                Ok(data) => return Ok(data),
                Err(error) if request.is_idempotent => error,
                Err(error) => error.mark_maybe_created(),
            };
            let is_late = Instant::now() >= deadline;
            // A response with both 401 and 403 is a ban, after which no token is requested.
            if error.is_unauthorized() && !error.is_banned() {
                let replaced = self.auth.replace(&self.transport, &token, &error, deadline);
                if is_late || replacements == MAX_TOKEN_REPLACEMENTS {
                    return Err(error);
                }
                if !retry::permits_repetition(request.is_idempotent, &error) {
                    // The next request has the other token, so this error does not end a migration.
                    return Err(match replaced {
                        Ok(_) => error.mark_token_replaceable(Duration::ZERO),
                        Err(_) => error,
                    });
                }
                token = replaced?;
                replacements += 1;
            } else if matches!(&error, Error::Transport(e) if e.kind == TransportErrorKind::Closed)
                && !request.own_connection
                && !is_late
            {
                request.own_connection = true;
            } else {
                return Err(error);
            }
            self.wait_for_pause(deadline)?;
        }
    }

    /// Sends one request, and decodes its response. A pause that the response demands is recorded.
    fn send<T: DeserializeOwned>(
        &self,
        request: &Request,
        token: &Token,
        deadline: Instant,
    ) -> Result<T> {
        self.throttle.record(Instant::now());
        let result = self.transport.send(request, Some(&token.bearer), deadline);
        // The service answers with another error of its own only after it has accepted the token.
        let is_accepted = match &result {
            Ok(_) => true,
            Err(error) => {
                self.throttle.observe(error, Instant::now());
                matches!(error, Error::Api(_))
                    && !(error.is_unauthorized() || error.is_banned() || error.is_transient())
            }
        };
        if is_accepted {
            token.mark_accepted();
        }
        result
    }

    /// Repeats attempts until one succeeds, an error is permanent, or the retries or the time are used up.
    fn retry<T>(
        &self,
        is_idempotent: bool,
        mut attempt: impl FnMut(Instant) -> Result<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + self.timeout;
        let mut retries = 0;
        loop {
            self.wait_for_pause(deadline)?;
            let error = match attempt(deadline) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let remaining = deadline.saturating_duration_since(Instant::now());
            let max_retries = self.max_retries;
            match retry::decide(&error, is_idempotent, retries, max_retries, remaining) {
                Some(delay) => thread::sleep(delay),
                None => return Err(error),
            }
            retries += 1;
        }
    }

    /// Waits for the slot of a request that keeps the pace. A pause that a call does not wait for is left to the call.
    pub(crate) fn wait_for_slot(&self) {
        let mut slot = self.throttle.reserve(Instant::now());
        loop {
            let now = Instant::now();
            slot = self.throttle.keep(slot, now);
            let pause = self.throttle.pause(now);
            let retry_after = pause.and_then(|error| error.retry_after());
            if slot.time <= now || retry_after.is_some_and(|delay| delay >= self.timeout) {
                return;
            }
            thread::sleep(slot.time - now);
        }
    }

    /// Waits while an error with `Retry-After` pauses requests, whichever call received it. Returns that error if the
    /// pause lasts until the deadline.
    fn wait_for_pause(&self, deadline: Instant) -> Result<()> {
        loop {
            let now = Instant::now();
            let Some(error) = self.throttle.pause(now) else {
                return Ok(());
            };
            match error.retry_after() {
                None => return Ok(()),
                Some(delay) if now + delay >= deadline => return Err(error),
                Some(delay) => thread::sleep(delay),
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("host", &self.transport.base_url().host())
            .field("timeout", &self.timeout)
            .field("retries", &self.max_retries)
            .finish_non_exhaustive()
    }
}
