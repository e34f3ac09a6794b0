//! Decides about the next step: which request is made when, and when tasks end by the timeout. Pure.

use std::time::{Duration, Instant};

use super::Scheduler;
use crate::throttle::later;
use crate::watch::requests::Requests;

/// Minimum time limit of a request, for the last poll.
const MIN_TIME_LIMIT: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Poll,
    Create,
    /// The first task ends by the timeout.
    TimeOut,
}

pub(super) struct Step {
    pub(super) action: Action,
    pub(super) time: Instant,
    /// Whether it is a request that is due, so that it reserves a slot.
    pub(super) is_due: bool,
}

impl<R: Requests, I> Scheduler<R, I> {
    /// Decides about the next step. The last poll is at the deadline, if the client can send at that time.
    pub(super) fn next_step(&self, now: Instant) -> Option<Step> {
        let throttle = self.requests.throttle();
        let reserved = self.slot.map(|slot| slot.time);
        let ready = reserved.unwrap_or_else(|| throttle.ready_at(now));
        let poll = self.tasks.keys().next().map(|(due, _)| *due);
        let (action, due) = match (poll, self.creation_due(now)) {
            (None, None) => return None,
            (Some(poll), None) => (Action::Poll, poll),
            (None, Some(creation)) => (Action::Create, creation),
            (Some(poll), Some(creation)) => {
                // If both are due, they take turns.
                let is_polls_turn = self.creations.was_last && poll <= now;
                match creation <= poll.max(now) && !is_polls_turn {
                    true => (Action::Create, creation),
                    false => (Action::Poll, poll),
                }
            }
        };
        let time = due.max(ready).max(now);
        let end = self.deadline().map(|deadline| deadline.max(now));
        let (action, time) = match (action, end) {
            (Action::Poll, _) if self.is_last_poll_made(now) => (Action::TimeOut, now),
            (Action::Poll, Some(end)) if ready > end => (Action::TimeOut, end),
            (action, Some(end)) => (action, time.min(end)),
            (action, None) => (action, time),
        };
        Some(Step {
            action,
            time,
            is_due: due <= now && action != Action::TimeOut,
        })
    }

    /// Returns whether the first task is not polled again: its only poll was made or must not wait, if the timeout is
    /// zero; otherwise, if any was made since the deadline.
    fn is_last_poll_made(&self, now: Instant) -> bool {
        match self.tasks.values().next() {
            Some(task) if self.is_once() => {
                let is_polled = task.progress.is_some() || task.errors.is_some();
                is_polled || self.requests.throttle().pause(now).is_some()
            }
            _ => self
                .deadline()
                .is_some_and(|end| self.last_poll >= Some(end)),
        }
    }

    /// Returns whether the timeout is zero, so that each task is polled once and has no deadline.
    pub(super) fn is_once(&self) -> bool {
        self.timeout == Some(Duration::ZERO)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let timeout = self.timeout.filter(|timeout| !timeout.is_zero());
        self.started?.checked_add(timeout?)
    }

    pub(super) fn request_deadline(&self, now: Instant) -> Instant {
        let own = later(now, self.requests.timeout());
        match self.deadline() {
            Some(deadline) => deadline.max(now + MIN_TIME_LIMIT).min(own),
            None => own,
        }
    }
}
