//! The pace of requests, which a client shares with its clones, waits, watches and migrations.
//!
//! Times are durations since the client's creation.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::Error;

/// The pause after a 429 without `Retry-After`.
pub(crate) const DEFAULT_RATE_LIMIT_PAUSE: Duration = Duration::from_secs(1);

/// Keeps polls and creations apart, and pauses them after a 429.
#[derive(Debug)]
pub(crate) struct Throttle {
    min_gap: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The earliest time of the next poll or creation.
    next_request: Duration,
    rate_limit: Option<RateLimit>,
}

/// A 429, and the end of the pause after it.
#[derive(Debug, Clone)]
pub(crate) struct RateLimit {
    pub(crate) resume_at: Duration,
    pub(crate) error: Error,
}

impl Throttle {
    pub(crate) fn new(min_gap: Duration) -> Self {
        Self {
            min_gap,
            state: Mutex::default(),
        }
    }

    pub(crate) fn min_gap(&self) -> Duration {
        self.min_gap
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the earliest time of the next poll or creation.
    pub(crate) fn ready_at(&self) -> Duration {
        let state = self.lock();
        let resume_at = state
            .rate_limit
            .as_ref()
            .map_or(Duration::ZERO, |limit| limit.resume_at);
        state.next_request.max(resume_at)
    }

    /// Takes the slot of a poll or creation, unless it is too early for one.
    pub(crate) fn try_acquire(&self, now: Duration) -> bool {
        let mut state = self.lock();
        let is_limited = state
            .rate_limit
            .as_ref()
            .is_some_and(|limit| now < limit.resume_at);
        if is_limited || now < state.next_request {
            return false;
        }
        state.next_request = now.saturating_add(self.min_gap);
        true
    }

    /// Records a request that did not wait for its slot.
    pub(crate) fn record(&self, now: Duration) {
        let mut state = self.lock();
        state.next_request = state.next_request.max(now.saturating_add(self.min_gap));
    }

    /// Records the pause if the error is a 429.
    pub(crate) fn observe(&self, error: &Error, now: Duration) {
        if !error.is_rate_limited() {
            return;
        }
        let resume_at = now.saturating_add(error.retry_after().unwrap_or(DEFAULT_RATE_LIMIT_PAUSE));
        let mut state = self.lock();
        if state
            .rate_limit
            .as_ref()
            .is_none_or(|limit| limit.resume_at < resume_at)
        {
            state.rate_limit = Some(RateLimit {
                resume_at,
                error: error.clone(),
            });
        }
    }

    /// Returns the 429 that pauses requests at this time. Its error is that of a request that is not
    /// sent. It has the remaining time as `retry_after`, if the service named a time.
    pub(crate) fn rate_limit(&self, now: Duration) -> Option<RateLimit> {
        let mut state = self.lock();
        let limit = state.rate_limit.as_ref()?;
        if limit.resume_at <= now {
            state.rate_limit = None;
            return None;
        }
        let RateLimit { resume_at, error } = limit.clone();
        let remaining = error.retry_after().map(|_| resume_at - now);
        Some(RateLimit {
            resume_at,
            error: error.with_retry_after(remaining).mark_not_sent(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ApiError, HttpError};
    use crate::error_code::ErrorCode;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn too_many(retry_after: Option<Duration>) -> Error {
        Error::Http(HttpError::new(429, b"")).with_retry_after(retry_after)
    }

    #[test]
    fn keeps_requests_apart() {
        let throttle = Throttle::new(ms(200));
        for (now, expected) in [
            (0, true),
            (199, false),
            (200, true),
            (300, false),
            (450, true),
            (649, false),
            (650, true),
        ] {
            assert_eq!(throttle.try_acquire(ms(now)), expected, "{now} ms");
        }
        throttle.record(ms(700));
        assert_eq!(throttle.ready_at(), ms(900));
        throttle.record(ms(650));
        assert_eq!(throttle.ready_at(), ms(900));

        let unlimited = Throttle::new(Duration::ZERO);
        assert!(unlimited.try_acquire(ms(5)) && unlimited.try_acquire(ms(5)));
    }

    #[test]
    fn pauses_requests_after_429() {
        for (retry_after, until) in [
            (None, ms(1010)),
            (Some(ms(60_000)), ms(60_010)),
            (Some(Duration::MAX), Duration::MAX),
        ] {
            let throttle = Throttle::new(Duration::ZERO);
            throttle.observe(&Error::Http(HttpError::new(502, b"")), ms(0));
            assert_eq!(throttle.ready_at(), ms(0));
            throttle.observe(&too_many(retry_after), ms(10));
            assert_eq!(throttle.ready_at(), until);
            assert!(!throttle.try_acquire(until - ms(1)) && throttle.try_acquire(until));
            // A shorter pause does not end a longer one.
            throttle.observe(&too_many(Some(ms(1))), ms(20));
            assert_eq!(throttle.ready_at(), until);
        }
    }

    /// HTTP 429 with code 0 may be a success, but the request that it pauses is not sent.
    #[test]
    fn paused_request_was_not_sent() {
        let throttle = Throttle::new(Duration::ZERO);
        let error = ApiError::new(ErrorCode::OK, String::new(), None, Some(429));
        let error = Error::Api(error).with_retry_after(Some(ms(5000)));
        assert!(error.may_have_taken_effect());
        throttle.observe(&error, ms(0));
        let limit = throttle.rate_limit(ms(0)).unwrap();
        assert!(!limit.error.may_have_taken_effect());
    }

    #[test]
    fn rate_limit_error_has_the_remaining_time() {
        let throttle = Throttle::new(Duration::ZERO);
        throttle.observe(&too_many(Some(ms(5000))), ms(1000));
        let limit = throttle.rate_limit(ms(2000)).unwrap();
        assert_eq!(
            (limit.resume_at, limit.error.retry_after()),
            (ms(6000), Some(ms(4000)))
        );
        assert!(throttle.rate_limit(ms(6000)).is_none());
        throttle.observe(&too_many(None), ms(7000));
        assert_eq!(
            throttle.rate_limit(ms(7000)).unwrap().error.retry_after(),
            None
        );
    }
}
