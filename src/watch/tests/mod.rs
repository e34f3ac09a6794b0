//! The scheduler's loop with a clock that does not sleep and a service in memory.

mod creations;
mod fake;
mod polls;
mod timeouts;

use self::fake::{Fake, GAP, SECOND, transport};
use super::requests::Requests;
use super::*;
use crate::TransportErrorKind;
use crate::error::tests::{self, http};

type Run = Scheduler<Fake, std::vec::IntoIter<NewTask>>;

impl Run {
    /// Follows tasks and creates others. The service responds to polls with this function.
    fn of<P>(task_ids: impl IntoIterator<Item = u64>, new_tasks: usize, on_poll: P) -> Self
    where
        P: FnMut(u64) -> Result<Progress> + 'static,
    {
        let url = |number| NewTask::new(format!("https://a.example/{number}.png"));
        let input: Vec<_> = (0..new_tasks).map(url).collect();
        let mut run = Self::new(Fake::new(on_poll), Some(input.into_iter()));
        run.also_watch(task_ids);
        run
    }

    /// A watch of task 1. Its results come at once, in this order; the last one repeats.
    fn one(results: impl IntoIterator<Item = Result<Progress>>) -> Self {
        let mut results: Vec<_> = results.into_iter().collect();
        results.reverse();
        Self::of([1], 0, move |_| match &results[..] {
            [last] => last.clone(),
            _ => results.pop().unwrap(),
        })
    }

    /// A migration of this number of tasks, which are created after these errors and succeed at the first poll.
    fn migration(new_tasks: usize, errors: impl IntoIterator<Item = Error>) -> Self {
        let run = Self::of([], new_tasks, |_| Ok(done()));
        run.creating(errors.into_iter().map(Err))
    }

    /// These are the results of the next creations.
    fn creating(self, results: impl IntoIterator<Item = Result<u64>>) -> Self {
        self.requests.creations.borrow_mut().extend(results);
        self
    }

    fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    fn create_only(mut self) -> Self {
        self.follows = false;
        self
    }

    fn gap(mut self, gap: Duration) -> Self {
        self.create_gap = gap;
        self
    }

    /// Another call receives this error.
    fn observe(&self, error: Error) {
        self.requests.throttle.observe(&error, self.requests.now());
    }

    /// The next event, or the error, after its time in milliseconds.
    fn step(&mut self, timeout: Option<Duration>) -> String {
        let next = self.next(timeout);
        let text = next.map_or_else(|error| format!("{error:?}"), text);
        format!("{}: {text}", self.requests.elapsed.get().as_millis())
    }

    fn times(&self) -> Vec<(u128, u128)> {
        self.requests.times.borrow().clone()
    }

    /// The remaining events, without announcements.
    fn events(&mut self) -> String {
        let mut events = Vec::new();
        loop {
            let event = self.step(None);
            if event.ends_with("Finished") {
                return events.join("; ");
            }
            if !event.contains("creating") {
                events.push(event);
            }
        }
    }
}

fn text(event: MigrationEvent) -> String {
    match event {
        MigrationEvent::Creating { index, .. } => format!("creating {index}"),
        MigrationEvent::Created { index, task_id } => format!("created {index} as {task_id}"),
        MigrationEvent::Delayed { index, delay, .. } => {
            format!("delayed {index} by {}", delay.as_millis())
        }
        MigrationEvent::NotCreated { index, error } => match error.may_have_taken_effect() {
            true => format!("not created {index}, may exist"),
            false => format!("not created {index}"),
        },
        MigrationEvent::Update { index, update } => {
            let index = index.map_or(String::new(), |index| format!("[{index}]"));
            let text = match update.result {
                Ok(progress) if progress == done() => "done".into(),
                Ok(progress) => format!("{} %", progress.percent),
                Err(Error::WaitTimeout {
                    polls, last, cause, ..
                }) => {
                    let details = (polls, last.map(|last| last.percent), cause.is_some());
                    format!("timed out {details:?}")
                }
                Err(_) => "ended".into(),
            };
            format!("{}{index} {text}", update.task_id)
        }
    }
}

fn running(percent: u8) -> Progress {
    Progress::new(Status::InProgress, percent)
}

fn done() -> Progress {
    Progress::new(Status::Succeeded, 100)
}

fn api(code: i64) -> Error {
    tests::api(code, 200)
}

fn retry_after(error: Error, seconds: u64) -> Error {
    error.with_retry_after(Some(Duration::from_secs(seconds)))
}
