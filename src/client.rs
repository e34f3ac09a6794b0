//! The client: one short method for each endpoint, and what a call does about failures that pass.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::auth::{AccessToken, Auth};
use crate::builder::ClientBuilder;
use crate::envelope;
use crate::error::{Error, Result};
use crate::task::Progress;
use crate::transport::{Buffer, Limits, Target, Transport};
use crate::watch::{Wait, Watch};

const PROCESS: &str = "/api/v1/oss/offline/download/process";

/// The way to the service: one connection, kept open between calls, and no thread of its own.
///
/// Clones are cheap and share the connection, so one client serves a whole program. It may be used from several
/// threads; each that asks at the same moment gets a connection.
///
/// ```no_run
/// let client = pan123_offline::Client::new("eyJhbGciOi…")?;
/// let progress = client.get_process(403316)?;
/// println!("{}: {} %", progress.status, progress.percent);
/// # Ok::<(), pan123_offline::Error>(())
/// ```
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    transport: Transport,
    auth: Auth,
    timeout: Duration,
    retries: u32,
    /// The last task that was asked for: most programs follow one at a time.
    last: Mutex<Option<(u64, Target)>>,
}

impl Client {
    /// A client with this access token and every other setting at its default.
    ///
    /// # Errors
    /// [`Error::Config`] if the token cannot be sent: it may hold 1 to 4096 visible ASCII characters.
    pub fn new(access_token: impl Into<AccessToken>) -> Result<Self> {
        Self::builder().access_token(access_token).build()
    }

    /// A client as the environment describes it: `PAN123_ACCESS_TOKEN`, and `PAN123_BASE_URL` if it is set.
    ///
    /// # Errors
    /// [`Error::Config`] with the name of the variable that is missing or cannot work.
    pub fn from_env() -> Result<Self> {
        ClientBuilder::from_env()?.build()
    }

    /// A client with settings of one's own.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    pub(crate) fn from_parts(transport: Transport, auth: Auth, timeout: Duration, retries: u32) -> Self {
        Self(Arc::new(Inner { transport, auth, timeout, retries, last: Mutex::new(None) }))
    }

    /// Asks once how far a task is: `GET /api/v1/oss/offline/download/process`.
    ///
    /// What is transient is asked again, as often as [`retries`](ClientBuilder::retries) says and within
    /// [`timeout`](ClientBuilder::timeout). A task that has failed is an answer, not an error.
    ///
    /// # Errors
    /// * [`Error::Api`]: the service refused. Which code an unknown task id gets is not documented; 1 is likely.
    /// * [`Error::Http`]: a gateway answered in the service's place.
    /// * [`Error::Decode`]: the answer is not the documented one.
    /// * [`Error::Transport`]: no answer came in time.
    pub fn get_process(&self, task_id: u64) -> Result<Progress> {
        self.0.call(|limits| self.ask(task_id, limits))
    }

    /// Waits for the end of one task. Nothing is asked before [`Wait::run`] or the first step of its iterator.
    ///
    /// ```
    /// # use pan123_offline::{Client, Progress, Status, testing::Service};
    /// # let service = Service::start()?;
    /// # service.task(403316, [Progress::new(Status::Succeeded, 100)]);
    /// # let client = Client::builder().access_token("token").base_url(service.base_url()).build()?;
    /// use std::time::Duration;
    ///
    /// let progress = client.wait(403316).timeout(Duration::from_secs(600)).run()?;
    /// assert_eq!(progress.status, Status::Succeeded);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait(&self, task_id: u64) -> Wait<'_> {
        Wait::new(self, task_id)
    }

    /// Follows any number of tasks to their ends, in one loop, on this thread, over one connection.
    /// A task id that is given twice is watched once.
    ///
    /// ```
    /// # use pan123_offline::{Client, Progress, Status, testing::Service};
    /// # let service = Service::start()?;
    /// # service.task(403316, [Progress::new(Status::Succeeded, 100)]);
    /// # let client = Client::builder().access_token("token").base_url(service.base_url()).build()?;
    /// for update in client.watch([403316, 403317]) {
    ///     match update.result {
    ///         Ok(progress) => println!("task {}: {progress}", update.task_id),
    ///         Err(error) => println!("task {} is given up: {error}", update.task_id),
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn watch(&self, task_ids: impl IntoIterator<Item = u64>) -> Watch<'_> {
        Watch::new(self, task_ids.into_iter().collect())
    }

    /// One request for a task's progress, with nothing done about its failure.
    pub(crate) fn ask(&self, task_id: u64, limits: Limits) -> Result<Progress> {
        self.0.ask(task_id, limits)
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.0.timeout
    }
}

impl Inner {
    /// One request for a task's progress.
    fn ask(&self, task_id: u64, limits: Limits) -> Result<Progress> {
        let mut buffer = Buffer::new();
        let answer = self.transport.get(self.auth.prepared(), self.target(task_id)?, limits, &mut buffer)?;
        let body = buffer.bytes();
        let result = envelope::decode(answer.status, body).or_else(|error| match self.auth.redact(body) {
            Some(body) => envelope::decode(answer.status, &body),
            None => Err(error),
        });
        result.map_err(|error| error.with_retry_after(answer.retry_after()))
    }

    fn target(&self, task_id: u64) -> Result<Target> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((id, target)) if *id == task_id => Ok(target.clone()),
            _ => {
                let target = self.transport.target(&format!("{PROCESS}?taskID={task_id}"))?;
                *last = Some((task_id, target.clone()));
                Ok(target)
            }
        }
    }

    /// Does a request that may be repeated until it succeeds, fails for good, or time or patience run out.
    fn call<T>(&self, ask: impl Fn(Limits) -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let mut limits = Limits::default();
        let mut replayed = false;
        let mut retries = 0;
        loop {
            let error = match ask(limits) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let left = self.timeout.saturating_sub(started.elapsed());
            // A pooled connection that the server has closed meanwhile shows only when it is used.
            if error.is_closed() && !replayed && !left.is_zero() {
                replayed = true;
                limits = Limits { time: Some(left), fresh: true };
                continue;
            }
            let Some(pause) = pause(&error, retries, self.retries, left) else { return Err(error) };
            std::thread::sleep(pause);
            retries += 1;
            limits = Limits { time: Some(left - pause), fresh: false };
        }
    }
}

/// How long to wait before asking again after an error; `None` if that is no use.
fn pause(error: &Error, retries: u32, most: u32, left: Duration) -> Option<Duration> {
    if retries == most || !error.is_transient() {
        return None;
    }
    // 0.5 s, 1 s, 2 s …; no more than a day, where the exponent stops mattering.
    let backoff = || Duration::from_millis(500) * 2_u32.pow(retries.min(17));
    let pause = error.retry_after().unwrap_or_else(backoff);
    (pause < left).then_some(pause)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("host", &self.0.transport.base().host())
            .field("timeout", &self.0.timeout)
            .field("retries", &self.0.retries)
            .finish_non_exhaustive()
    }
}
