//! `process`: the progress of tasks, once.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use pan123_offline::Error;

use super::{DEFAULT_POLL_RATE, begin, client, gap, warn_of_cache};
use crate::args::Common;
use crate::failure::{ExitStatus, Failure};
use crate::input::{self, Entry};

/// Retries of a transient error, and the delay before one if the service names none.
const RETRIES: u32 = 2;
const DEFAULT_RETRY_DELAY: Duration = Duration::from_secs(1);

pub(super) fn process(common: &Common, ids: &[String]) -> Result<ExitStatus, Failure> {
    let client = client(common)?;
    let report = begin(common)?;
    let mut limiter = RateLimiter::new(
        common.rate.unwrap_or(DEFAULT_POLL_RATE),
        common.request_timeout,
    );
    let mut seen = HashSet::new();
    for entry in input::task_ids(ids) {
        let task = match entry? {
            Entry::Valid(task) => task,
            Entry::Invalid(line) => {
                report.lock().invalid_line(&line);
                continue;
            }
        };
        if !seen.insert(task.id) {
            continue;
        }
        if report.lock().is_refused() {
            report.lock().not_polled();
            continue;
        }
        report.lock().add_task(&task);
        let result = limiter.call_with_retries(|| client.get_process(task.id), Error::is_transient);
        let mut report = report.lock();
        match result {
            Ok(progress) => report.progress(task.id, progress)?,
            Err(error) => report.task_error(task.id, &error)?,
        }
    }
    let status = report.lock().finish();
    warn_of_cache(&client);
    Ok(status)
}

/// Keeps a minimum gap between requests, retries included.
pub(super) struct RateLimiter {
    min_gap: Duration,
    /// A longer `Retry-After` is not waited for.
    max_retry_after: Duration,
    next: Option<Instant>,
}

impl RateLimiter {
    pub(super) fn new(rate: f64, max_retry_after: Duration) -> Self {
        Self {
            min_gap: gap(rate),
            max_retry_after,
            next: None,
        }
    }

    /// Sends a request, and sends it again up to `RETRIES` times where `may_retry` allows it.
    pub(super) fn call_with_retries<T>(
        &mut self,
        send: impl Fn() -> Result<T, Error>,
        may_retry: impl Fn(&Error) -> bool,
    ) -> Result<T, Error> {
        for _ in 0..RETRIES {
            match self.call_once(&send) {
                Err(error)
                    if may_retry(&error)
                        && error
                            .retry_after()
                            .is_none_or(|delay| delay <= self.max_retry_after) =>
                {
                    self.delay(error.retry_after().unwrap_or(DEFAULT_RETRY_DELAY));
                }
                result => return result,
            }
        }
        self.call_once(&send)
    }

    fn call_once<T>(&mut self, send: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        if let Some(next) = self.next {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let before = self.next;
        self.next = Some(Instant::now() + self.min_gap);
        let result = send();
        // For an invalid task no request was sent.
        if matches!(result, Err(Error::Config(_))) {
            self.next = before;
        }
        result
    }

    fn delay(&mut self, delay: Duration) {
        let earliest = Instant::now().checked_add(delay);
        self.next = self.next.max(earliest);
    }
}
