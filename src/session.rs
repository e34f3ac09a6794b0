//! One logical call: token, attempts, retries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::auth::{Auth, Token};
use crate::credentials::AccessToken;
use crate::error::Result;
use crate::retry::{self, AttemptCause, AttemptError, Attempts, Idempotency, Retry};
use crate::throttle::{RateLimit, Throttle};
use crate::transport::{Connection, Request, Transport};

/// Options of a single request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RequestOptions {
    /// Time limit of the whole request; `None` is the client's `timeout`.
    pub(crate) timeout: Option<Duration>,
    /// Whether the request has a connection of its own.
    pub(crate) new_connection: bool,
}

/// The state that a client shares with its clones.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) transport: Transport,
    pub(crate) auth: Auth,
    pub(crate) throttle: Throttle,
    /// Time limit of a call.
    pub(crate) timeout: Duration,
    pub(crate) max_retries: u32,
    /// Start of the throttle's time.
    pub(crate) created: Instant,
}

impl Session {
    /// Makes a call, and retries transient errors within the timeout.
    pub(crate) fn call<T: DeserializeOwned>(
        &self,
        request: Request<'_>,
        idempotency: Idempotency,
    ) -> Result<T> {
        self.call_with_retries(idempotency, |options| self.attempt(request, options))
    }

    /// Returns the current access token, and requests one if there is none.
    pub(crate) fn access_token(&self) -> Result<AccessToken> {
        self.call_with_retries(Idempotency::Idempotent, |options| {
            let token = self.ensure_token(self.deadline(options))?;
            Ok(token.access_token().clone())
        })
    }

    /// Requests a new access token, and keeps it.
    pub(crate) fn request_access_token(&self) -> Result<AccessToken> {
        self.call_with_retries(Idempotency::Idempotent, |options| {
            let token = self
                .auth
                .request_token(&self.transport, self.deadline(options))
                .map_err(|error| AttemptError {
                    error,
                    cause: AttemptCause::TokenRequest,
                })?;
            Ok(token.access_token().clone())
        })
    }

    /// Returns the current token, and requests one if there is none.
    pub(crate) fn ensure_token(
        &self,
        deadline: Instant,
    ) -> std::result::Result<Arc<Token>, AttemptError> {
        let token = self.auth.token(&self.transport, deadline);
        token.map_err(|error| AttemptError {
            error,
            cause: AttemptCause::TokenRequest,
        })
    }

    /// Sends one request with the current token, and decodes its response. A refused token is replaced.
    pub(crate) fn attempt<T: DeserializeOwned>(
        &self,
        request: Request<'_>,
        options: RequestOptions,
    ) -> std::result::Result<T, AttemptError> {
        let deadline = self.deadline(options);
        let token = match self.auth.current() {
            Some(token) => token,
            None => self.ensure_token(deadline)?,
        };
        self.throttle.record(self.now());
        let connection = if options.new_connection {
            Connection::Own
        } else {
            Connection::Pooled
        };
        let result =
            self.auth
                .send_authenticated(&self.transport, &token, request, deadline, connection);
        if let Err(AttemptError {
            error,
            cause: AttemptCause::Request,
        }) = &result
        {
            self.throttle.observe(error, self.now());
        }
        result
    }

    /// Waits for the slot of a request that keeps the pace. A pause after a 429 is left to the call.
    pub(crate) fn wait_for_slot(&self) {
        loop {
            let now = self.now();
            if self.throttle.try_acquire(now) || self.throttle.rate_limit(now).is_some() {
                return;
            }
            std::thread::sleep(self.throttle.ready_at().saturating_sub(now));
        }
    }

    /// The time since the client's creation.
    pub(crate) fn now(&self) -> Duration {
        self.created.elapsed()
    }

    fn deadline(&self, options: RequestOptions) -> Instant {
        Instant::now() + options.timeout.unwrap_or(self.timeout)
    }

    /// Repeats attempts until one succeeds, an error is permanent, or the retries or the time are used up.
    fn call_with_retries<T>(
        &self,
        idempotency: Idempotency,
        attempt: impl Fn(RequestOptions) -> std::result::Result<T, AttemptError>,
    ) -> Result<T> {
        let started = Instant::now();
        let is_repeatable = idempotency == Idempotency::Idempotent;
        let mut options = RequestOptions {
            timeout: None,
            new_connection: !is_repeatable,
        };
        let mut attempts = Attempts::default();
        loop {
            if self.wait_for_rate_limit(started)? {
                options.timeout = Some(self.timeout.saturating_sub(started.elapsed()));
            }
            let failed = match attempt(options) {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            let remaining = self.timeout.saturating_sub(started.elapsed());
            options.new_connection = !is_repeatable;
            match retry::decide(&failed, idempotency, attempts, self.max_retries, remaining) {
                Retry::WithNewToken => attempts.token_replacements += 1,
                Retry::OverNewConnection => {
                    attempts.replayed = true;
                    options.new_connection = true;
                }
                Retry::After(delay) => {
                    attempts.retries += 1;
                    std::thread::sleep(delay);
                }
                Retry::No => return Err(failed.error),
            }
            options.timeout = Some(self.timeout.saturating_sub(started.elapsed()));
        }
    }

    /// Waits while a 429 with `Retry-After` pauses requests, whichever call received it. Returns
    /// whether it waited, or the 429 if the pause is longer than the remaining time of the call.
    fn wait_for_rate_limit(&self, started: Instant) -> Result<bool> {
        let mut has_waited = false;
        while let Some(RateLimit { error, .. }) = self.throttle.rate_limit(self.now()) {
            let Some(delay) = error.retry_after() else {
                break;
            };
            if delay >= self.timeout.saturating_sub(started.elapsed()) {
                return Err(error);
            }
            std::thread::sleep(delay);
            has_waited = true;
        }
        Ok(has_waited)
    }
}
