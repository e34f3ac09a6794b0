//! The scheduler's loop with a clock that does not sleep and a service in memory.

mod errors;
mod order;
mod random;
mod timeouts;

use super::fake::{
    FakeClock, FakeService, GAP, Reply, SECOND, api, done, http, retry_after, running, transport,
};
use super::*;
use crate::error::TransportErrorKind;

struct Fixture {
    scheduler: Scheduler<FakeService, FakeClock>,
    service: FakeService,
}

impl Fixture {
    fn new(
        task_ids: impl IntoIterator<Item = u64>,
        script: impl FnMut(u64) -> Reply<Progress> + 'static,
    ) -> Self {
        Self::with_gap(GAP, task_ids, script)
    }

    fn with_gap(
        gap: Duration,
        task_ids: impl IntoIterator<Item = u64>,
        script: impl FnMut(u64) -> Reply<Progress> + 'static,
    ) -> Self {
        let service = FakeService::new(gap, script);
        let mut scheduler = Scheduler::new(service.clone(), service.clock.clone());
        scheduler.add(&task_ids.into_iter().collect::<Vec<_>>());
        Self { scheduler, service }
    }

    /// One task whose results come at once, in this order; the last one repeats.
    fn one(results: impl IntoIterator<Item = Result<Progress>>) -> Self {
        let results: Vec<_> = results.into_iter().collect();
        let mut results = results.into_iter();
        let mut last = Ok(running(0));
        Self::new([1], move |_| {
            last = results.next().unwrap_or_else(|| last.clone());
            (Duration::ZERO, last.clone())
        })
    }

    /// Two tasks and more that succeed at the first poll after one error.
    fn after_one_error(task_ids: impl IntoIterator<Item = u64>, error: Error) -> Self {
        let mut first = Some(error);
        Self::new(task_ids, move |_| {
            (Duration::ZERO, first.take().map_or(Ok(done()), Err))
        })
    }

    fn timeout(mut self, timeout: Duration) -> Self {
        self.scheduler.timeout = Some(timeout);
        self
    }

    fn policy(mut self, policy: PollPolicy) -> Self {
        self.scheduler.policy = policy;
        self
    }

    fn next(&mut self) -> Option<Update> {
        match self.scheduler.next(None) {
            Step::Update(update) => Some(update),
            Step::Woken | Step::Finished => None,
        }
    }

    fn next_until(&mut self, wake: Duration) -> Step {
        let wake = self.service.clock.start + wake;
        self.scheduler.next(Some(wake))
    }

    fn updates(&mut self) -> Vec<Update> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// The ids of the remaining updates.
    fn ids(&mut self) -> Vec<u64> {
        self.updates().iter().map(|update| update.task_id).collect()
    }

    /// The error of the last update.
    fn last_error(&mut self) -> Error {
        self.updates().pop().unwrap().result.unwrap_err()
    }

    fn times(&self) -> Vec<u128> {
        self.service.times()
    }

    fn timeouts(&self) -> Vec<Duration> {
        let received = self.service.received.borrow();
        received.iter().map(|request| request.timeout).collect()
    }

    fn elapsed(&self) -> Duration {
        self.service.clock.elapsed()
    }
}

fn closed() -> Error {
    transport(TransportErrorKind::Closed)
}
