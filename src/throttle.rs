//! The pace of requests, which a client shares with its clones, waits, watches and migrations.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;

/// The pause after a 429 without `Retry-After`.
pub(crate) const DEFAULT_PAUSE: Duration = Duration::from_secs(1);

/// Maximum width of a slot, for a caller that comes at long intervals.
const MAX_WIDTH: Duration = Duration::from_secs(5);

/// Maximum delay; a longer one could overflow an `Instant`.
const MAX_DELAY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Keeps polls and creations apart, and pauses all requests after an error with `Retry-After`.
///
/// A poll or creation that is due reserves the next slot and keeps it: a direct call, which does not wait, delays only
/// slots that are reserved later. A pause voids all reserved slots; each is reserved anew after it.
#[derive(Debug)]
pub(crate) struct Throttle {
    min_gap: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The end of the gap after the last reserved slot, and after the last request.
    after_slots: Option<Instant>,
    after_requests: Option<Instant>,
    /// The end of the last pause, and the error that demanded it, as that of a request that was not sent.
    pause: Option<(Instant, Error)>,
    /// Number of pauses so far.
    pauses: u64,
}

/// A reserved time for a poll or creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) time: Instant,
    /// The last time at which it can be used.
    end: Instant,
    /// Number of pauses before the reservation.
    pauses: u64,
}

impl Throttle {
    pub(crate) fn new(min_gap: Duration) -> Self {
        Self {
            min_gap,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the earliest time of a slot that is reserved now.
    pub(crate) fn ready_at(&self, now: Instant) -> Instant {
        self.lock().ready_at(now)
    }

    pub(crate) fn reserve(&self, now: Instant) -> Slot {
        let mut state = self.lock();
        let time = state.ready_at(now);
        state.take(time, self.min_gap)
    }

    /// Returns the slot while it can be used: up to the next one, and before a pause. Otherwise reserves another one,
    /// for which the requests since then do not count. It is wider by the time for which the last one was missed, so
    /// that a caller that comes at intervals longer than the gap does not miss each.
    pub(crate) fn keep(&self, slot: Slot, now: Instant) -> Slot {
        let mut state = self.lock();
        let is_void = slot.pauses != state.pauses;
        if !is_void && now <= slot.end {
            return slot;
        }
        let time = now.max(state.paused_until(now));
        let time = state.after_slots.map_or(time, |after| after.max(time));
        let missed_by = match is_void || time == now {
            true => Duration::ZERO,
            false => (now - slot.time).min(MAX_WIDTH),
        };
        state.take(time, self.min_gap.saturating_add(missed_by))
    }

    pub(crate) fn record(&self, now: Instant) {
        let mut state = self.lock();
        state.after_requests = state.after_requests.max(Some(later(now, self.min_gap)));
    }

    /// Records the pause that the error of a response demands: its `Retry-After`, or the default after a 429.
    pub(crate) fn observe(&self, error: &Error, now: Instant) {
        let default = error.is_rate_limited().then_some(DEFAULT_PAUSE);
        let Some(delay) = error.retry_after().or(default) else {
            return;
        };
        let end = later(now, delay);
        let mut state = self.lock();
        if end > state.paused_until(now) {
            state.pauses += 1;
            state.after_slots = None;
            state.pause = Some((end, error.clone().mark_not_sent()));
        }
    }

    /// Returns the error that demanded the pause at this time. Its `retry_after` is the remaining time, if the service
    /// named a time.
    pub(crate) fn pause(&self, now: Instant) -> Option<Error> {
        let (end, error) = self.lock().pause.clone().filter(|(end, _)| *end > now)?;
        let remaining = error.retry_after().map(|_| end - now);
        Some(error.with_retry_after(remaining))
    }
}

impl State {
    fn paused_until(&self, now: Instant) -> Instant {
        self.pause.as_ref().map_or(now, |(end, _)| now.max(*end))
    }

    fn ready_at(&self, now: Instant) -> Instant {
        let ready = self.after_slots.max(self.after_requests);
        self.paused_until(now).max(ready.unwrap_or(now))
    }

    fn take(&mut self, time: Instant, width: Duration) -> Slot {
        let end = later(time, width);
        self.after_slots = Some(end);
        Slot {
            time,
            end,
            pauses: self.pauses,
        }
    }
}

/// Adds a delay of at most 100 years.
pub(crate) fn later(time: Instant, delay: Duration) -> Instant {
    time.checked_add(delay.min(MAX_DELAY)).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::tests::{self, api};

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// A throttle with a gap of 200 ms, and a function for times after its start.
    fn throttle() -> (Throttle, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (Throttle::new(ms(200)), move |time| start + ms(time))
    }

    fn http(status: u16, retry_after: Option<Duration>) -> Error {
        tests::http(status).with_retry_after(retry_after)
    }

    #[test]
    fn slots_are_a_gap_apart() {
        let (throttle, at) = throttle();
        for (now, expected) in [(0, 0), (0, 200), (100, 400), (700, 700), (899, 900)] {
            let slot = throttle.reserve(at(now));
            assert_eq!(slot.time, at(expected), "{now} ms");
        }
        let never = Throttle::new(Duration::MAX);
        assert_eq!(never.reserve(at(0)).time, at(0));
        assert!(never.reserve(at(0)).time > at(0) + Duration::from_secs(1 << 30));
    }

    #[test]
    fn direct_calls_delay_only_slots_that_are_reserved_later() {
        let (throttle, at) = throttle();
        throttle.record(at(0));
        let slot = throttle.reserve(at(50));
        assert_eq!(slot.time, at(200));
        throttle.record(at(190));
        assert_eq!(throttle.keep(slot, at(190)), slot);
        assert_eq!(throttle.reserve(at(200)).time, at(400));
    }

    #[test]
    fn a_slot_that_was_missed_is_reserved_anew_after_the_others() {
        let (throttle, at) = throttle();
        let [first, second] = [throttle.reserve(at(0)), throttle.reserve(at(0))];
        assert_eq!(throttle.keep(first, at(200)), first);
        throttle.record(at(390));
        let anew = throttle.keep(first, at(201));
        assert_eq!((anew.time, second.time), (at(400), at(200)));
        assert_eq!(throttle.keep(second, at(5000)).time, at(5000));
    }

    /// The first caller always has a request to make, and comes first.
    #[test]
    fn callers_at_intervals_longer_than_the_gap_all_get_a_turn() {
        for (callers, tick) in [(2, 300), (2, 500), (3, 500), (2, 2000), (5, 701)] {
            let (throttle, at) = throttle();
            let mut slots = vec![None; callers];
            let mut requests = vec![0; callers];
            for now in (0..40).map(|turn| at(turn * tick)) {
                for (slot, requests) in slots.iter_mut().zip(&mut requests) {
                    let kept = match *slot {
                        Some(slot) => throttle.keep(slot, now),
                        None => throttle.reserve(now),
                    };
                    *slot = Some(kept);
                    if kept.time <= now {
                        throttle.record(now);
                        *requests += 1;
                        *slot = None;
                    }
                }
            }
            let fewest = requests.iter().min().unwrap();
            assert!(fewest * callers >= 15, "{tick} ms: {requests:?}");
        }
    }

    #[test]
    fn a_pause_voids_slots_and_nobody_bursts_after_it() {
        let (throttle, at) = throttle();
        let slots = [0; 3].map(|now| throttle.reserve(at(now)));
        throttle.observe(&http(503, Some(ms(1000))), at(100));
        let anew = slots.map(|slot| throttle.keep(slot, at(150)).time);
        assert_eq!(anew, [at(1100), at(1300), at(1500)]);
        assert_eq!(throttle.reserve(at(150)).time, at(1700));
    }

    #[test]
    fn pauses_after_retry_after_of_any_error_and_after_429() {
        let (_, at) = throttle();
        // It may be a success, but the request that it pauses is not sent.
        let success = api(0, 429).with_retry_after(Some(ms(5000)));
        assert!(success.may_have_taken_effect());
        for (error, expected) in [
            (http(429, None), 1000),
            (http(429, Some(ms(60_000))), 60_000),
            (http(503, Some(ms(7000))), 7000),
            (http(404, Some(ms(7000))), 7000),
            (success, 5000),
            (http(503, None), 0),
        ] {
            let throttle = Throttle::new(Duration::ZERO);
            throttle.observe(&error, at(10));
            // A shorter pause does not end a longer one.
            throttle.observe(&http(429, Some(ms(0))), at(10));
            assert_eq!(throttle.ready_at(at(10)), at(10 + expected), "{error}");
            assert!(throttle.pause(at(10 + expected)).is_none());
            let pause = throttle.pause(at(110));
            assert_eq!(pause.is_some(), expected > 0);
            if let Some(pause) = pause {
                assert!(!pause.may_have_taken_effect());
                let remaining = error.retry_after().map(|delay| delay - ms(100));
                assert_eq!(pause.retry_after(), remaining);
            }
        }
    }
}
