//! The client: one short method for each endpoint, and what a call does about failures that pass.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::auth::{self, AccessToken, Auth, TokenCacheError};
use crate::builder::ClientBuilder;
use crate::envelope::Object;
use crate::error::{Error, Result};
use crate::task::{Created, NewTask, Progress};
use crate::transport::{Endpoint, Request, RequestOptions, Response, Transport};
use crate::watch::{Wait, Watch};

/// A service that asks to be called again at once does not mean without end.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

const CREATE: &str = "/api/v1/oss/offline/download";
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
    last: Mutex<Option<(u64, Arc<Endpoint>)>>,
}

impl Client {
    /// A client with this access token and every other setting at its default.
    ///
    /// # Errors
    /// [`Error::Config`] if the token cannot be sent: it may hold 1 to 4096 visible ASCII characters.
    pub fn new(access_token: impl Into<AccessToken>) -> Result<Self> {
        Self::builder().access_token(access_token).build()
    }

    /// A client as the environment describes it: `PAN123_ACCESS_TOKEN`, or `PAN123_CLIENT_ID` and
    /// `PAN123_CLIENT_SECRET` with `PAN123_TOKEN_CACHE` as their [cache file](crate::Credentials::cache_file);
    /// and `PAN123_BASE_URL`. An empty variable counts as none.
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
        self.0.call(Repeat::Harmless, |started, limits| self.0.ask(task_id, started, limits))
    }

    /// Creates a task that has the service fetch an image from a URL: `POST /api/v1/oss/offline/download`.
    /// Returns the task's id.
    ///
    /// Twice sent would be two tasks. So it goes over a new connection, and is sent again only where nothing of it can
    /// have reached the service: after a connection that failed, a 429, or a token that was refused and replaced.
    ///
    /// # Errors
    /// * [`Error::Config`]: the task cannot work, and nothing was sent.
    /// * Any other as with [`get_process`](Self::get_process). Where [`Error::may_have_been_sent`] is true, the task
    ///   may exist all the same.
    pub fn create_task(&self, task: &NewTask) -> Result<u64> {
        let body = task.to_body()?;
        let target = self.0.transport.endpoint(CREATE)?;
        let created = self
            .0
            .call(Repeat::Never, |started, limits| self.0.exchange(Request::Post(&target, &body), started, limits));
        created.map(|Object(Created { task_id })| task_id).map_err(Error::of_creation)
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

    /// The token that calls go with: the one that was given, or what the [credentials](crate::Credentials) get, from
    /// their cache file or from the service, if there is none yet. For a login ahead of the first call, and for calls
    /// that are not this crate's. Whether the service still takes it shows only in a call.
    ///
    /// # Errors
    /// As [`get_process`](Self::get_process), of the request for a token.
    pub fn access_token(&self) -> Result<AccessToken> {
        self.0.call(Repeat::Harmless, |started, limits| {
            let token = self.0.auth.first(&self.0.transport, self.0.until(started, limits))?;
            Ok(AccessToken::from(token.secret()))
        })
    }

    /// Why the file of [`Credentials::cache_file`](crate::Credentials::cache_file) could not be used the last time a
    /// token was needed. `None` if it could, or if there is none.
    pub fn token_cache_error(&self) -> Option<TokenCacheError> {
        self.0.auth.cache_error()
    }

    /// One request for a task's progress, with nothing done about its failure.
    pub(crate) fn ask(&self, task_id: u64, limits: RequestOptions) -> std::result::Result<Progress, Failure> {
        self.0.ask(task_id, Instant::now(), limits)
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.0.timeout
    }
}

/// Why one request did not do.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// The token was refused, and there is another one now.
    pub(crate) token_replaced: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, token_replaced: false }
    }
}

/// Whether a request may reach the service twice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Harmless,
    Never,
}

impl Inner {
    /// One request for a task's progress.
    fn ask(&self, task_id: u64, started: Instant, limits: RequestOptions) -> std::result::Result<Progress, Failure> {
        let target = self.target(task_id)?;
        self.exchange(Request::Get(&target), started, limits)
    }

    fn target(&self, task_id: u64) -> Result<Arc<Endpoint>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((id, target)) if *id == task_id => Ok(Arc::clone(target)),
            _ => {
                let target = Arc::new(self.transport.endpoint(&format!("{PROCESS}?taskID={task_id}"))?);
                *last = Some((task_id, Arc::clone(&target)));
                Ok(target)
            }
        }
    }

    /// When a request that was begun then must have ended.
    fn until(&self, started: Instant, limits: RequestOptions) -> Instant {
        started + limits.timeout.unwrap_or(self.timeout)
    }

    /// One request with the token there is, and what its answer says. A token that is refused is replaced.
    fn exchange<T: DeserializeOwned>(
        &self,
        message: Request<'_>,
        started: Instant,
        mut limits: RequestOptions,
    ) -> std::result::Result<T, Failure> {
        let until = self.until(started, limits);
        let token = match self.auth.current() {
            Some(token) => token,
            None => {
                let token = self.auth.first(&self.transport, until)?;
                limits.timeout = Some(until.saturating_duration_since(Instant::now()));
                token
            }
        };
        let read = |answer: Response<'_>| auth::read_answer(answer, token.secret());
        let error = match self.transport.send(&token.template, message, limits, read)? {
            Ok(data) => return Ok(data),
            Err(error) => error,
        };
        // A ban is one whatever else the answer says.
        let token_replaced = error.is_unauthorized()
            && !error.is_banned()
            && Instant::now() < until
            && self.auth.replace(&token, &self.transport, until)?.is_some();
        Err(Failure { error, token_replaced })
    }

    /// Does a request until it succeeds, fails for good, or time or patience run out.
    fn call<T>(
        &self,
        repeat: Repeat,
        ask: impl Fn(Instant, RequestOptions) -> std::result::Result<T, Failure>,
    ) -> Result<T> {
        let started = Instant::now();
        let mut limits = RequestOptions { timeout: None, new_connection: repeat == Repeat::Never };
        let mut attempt_started = started;
        let (mut replayed, mut token_replaced) = (false, false);
        let mut retries = 0;
        loop {
            let failure = match ask(attempt_started, limits) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            attempt_started = Instant::now();
            let left = self.timeout.saturating_sub(attempt_started - started);
            limits = RequestOptions { timeout: Some(left), new_connection: repeat == Repeat::Never };
            let error = failure.error;
            let may_repeat = repeat == Repeat::Harmless || !error.may_have_been_processed();
            if failure.token_replaced && may_repeat && !token_replaced && !left.is_zero() {
                token_replaced = true;
                continue;
            }
            // A pooled connection that the server has closed meanwhile shows only when it is used.
            if error.is_closed() && repeat == Repeat::Harmless && !replayed && !left.is_zero() {
                replayed = true;
                limits.new_connection = true;
                continue;
            }
            let Some(pause) = pause(&error, retries, self.retries, left).filter(|_| may_repeat) else {
                return Err(error);
            };
            std::thread::sleep(pause);
            retries += 1;
            attempt_started += pause;
            limits.timeout = Some(left - pause);
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
    let pause = error.retry_after().unwrap_or_else(backoff).max(SHORTEST_PAUSE);
    (pause < left).then_some(pause)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("host", &self.0.transport.base_url().host())
            .field("timeout", &self.0.timeout)
            .field("retries", &self.0.retries)
            .finish_non_exhaustive()
    }
}
