//! The client: one short method for each endpoint.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use crate::auth::TokenCacheError;
use crate::builder::ClientBuilder;
use crate::credentials::AccessToken;
use crate::endpoint;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::images::{Image, Images, RawImage};
use crate::migrate::Migration;
use crate::new_task::{CreatedTask, NewTask};
use crate::session::Session;
use crate::task::Progress;
use crate::watch::{Wait, Watch};

/// A blocking client. Starts no threads, except a short-lived one for a DNS lookup.
///
/// Clones are cheap. They share the keep-alive connections, the token, the pace of requests and the pause after a
/// `Retry-After`, so one client serves a whole program. Calls that several threads make at the same time, a creation and
/// a token request have a connection of their own. A thread needs a stack of at least 96 KiB, with TLS 192 KiB, in a debug
/// build.
///
/// After `fork()`, parent and child must not use the same client: they would read each other's responses from the shared
/// connections. Make a client of its own in the child, after the fork.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Session>);

impl Client {
    /// Creates a client with an access token, and with every other setting at its default.
    ///
    /// # Errors
    /// [`Error::Config`] if the token cannot be sent (it must have 1 to 4096 visible ASCII characters), if a proxy
    /// variable of the environment cannot work, or if no TLS feature is on.
    pub fn new(access_token: impl Into<AccessToken>) -> Result<Self> {
        Self::builder().access_token(access_token).build()
    }

    /// Creates a client from environment variables: `PAN123_ACCESS_TOKEN`, or `PAN123_CLIENT_ID` and
    /// `PAN123_CLIENT_SECRET` with `PAN123_TOKEN_CACHE` as their [cache file](crate::Credentials::cache_file);
    /// and `PAN123_BASE_URL`. An empty variable counts as absent. [`ClientBuilder::from_env`] adds other settings.
    ///
    /// # Errors
    /// [`Error::Config`] with the name of the variable that is missing or cannot work.
    pub fn from_env() -> Result<Self> {
        ClientBuilder::from_env()?.build()
    }

    /// Returns a builder with default settings.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Returns the progress of a task: `GET /api/v1/oss/offline/download/process`.
    ///
    /// Transient errors are retried up to [`retries`](ClientBuilder::retries) times within
    /// [`timeout`](ClientBuilder::timeout). A failed task is a progress, not an error. After an error response with
    /// `Retry-After`, calls wait until that time, or return that error at once if the time is beyond their timeout.
    ///
    /// # Errors
    /// [`Error::Api`], [`Error::Http`], [`Error::Decode`] or [`Error::Transport`]. The code for an unknown task id is not
    /// documented; probably 1.
    pub fn get_process(&self, task_id: u64) -> Result<Progress> {
        self.0.call(endpoint::get_process(task_id))
    }

    /// Creates a task for which the service downloads an image from a URL: `POST /api/v1/oss/offline/download`.
    /// Returns the task's id.
    ///
    /// Not idempotent: two requests would be two tasks. It is therefore retried only if no task can have been created, as
    /// [`Error::may_have_taken_effect`] says.
    ///
    /// ```no_run
    /// # use pan123_offline::NewTask;
    /// # let client = pan123_offline::Client::from_env()?;
    /// match client.create_task(&NewTask::new("https://example.org/cat.png")) {
    ///     Ok(task_id) => println!("created task {task_id}"),
    ///     Err(error) if error.may_have_taken_effect() => println!("the task may exist: {error}"),
    ///     Err(error) => println!("not created: {error}"),
    /// }
    /// # Ok::<(), pan123_offline::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`get_process`](Self::get_process), and [`Error::Config`] for a task that cannot work; nothing was sent.
    pub fn create_task(&self, task: &NewTask) -> Result<u64> {
        let CreatedTask { task_id } = self.0.call(endpoint::create_task(task)?)?;
        Ok(task_id)
    }

    /// Returns a wait for the end of one task. Nothing is sent before [`Wait::run`] or the first step of its iterator.
    pub fn wait(&self, task_id: u64) -> Wait {
        Wait::new(Arc::clone(&self.0), task_id)
    }

    /// Returns the updates of any number of tasks, followed in one loop, on this thread, over one connection.
    /// A duplicate task id is followed once.
    pub fn watch(&self, task_ids: impl IntoIterator<Item = u64>) -> Watch {
        Watch::new(Arc::clone(&self.0), task_ids)
    }

    /// Returns a migration: creates many tasks and follows them to their ends, in one loop, on this thread.
    ///
    /// ```no_run
    /// # use pan123_offline::MigrationEvent;
    /// # let client = pan123_offline::Client::from_env()?;
    /// let urls = ["https://example.org/cat.png", "https://example.org/dog.png"];
    /// for event in client.migrate(urls) {
    ///     match event {
    ///         MigrationEvent::Created { index, task_id, .. } => println!("{}: task {task_id}", urls[index]),
    ///         MigrationEvent::NotCreated { index, error, .. } => println!("{}: {error}", urls[index]),
    ///         MigrationEvent::Update { update, .. } => println!("task {}: {:?}", update.task_id, update.result),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok::<(), pan123_offline::Error>(())
    /// ```
    pub fn migrate<I: IntoIterator<Item: Into<NewTask>>>(
        &self,
        tasks: I,
    ) -> Migration<I::IntoIter> {
        Migration::new(Arc::clone(&self.0), tasks.into_iter())
    }

    /// Returns an image or a folder by its file id: `GET /api/v1/oss/file/detail`. Retried like
    /// [`get_process`](Self::get_process).
    ///
    /// A [`Callback`](crate::Callback) has the id of the file that a task has made. Without one,
    /// [`images`](Self::images) of the target folder finds it by its name.
    ///
    /// # Errors
    /// Those of [`get_process`](Self::get_process), and [`Error::Config`] for an id that is empty or longer than 256
    /// bytes. An unknown id is probably code 5066.
    pub fn image(&self, file_id: &str) -> Result<Image> {
        let image: RawImage = self.0.call(endpoint::image(file_id)?)?;
        Ok(image.into())
    }

    /// Returns the images and folders in a folder: `POST /api/v1/oss/file/list`, once for each 100 of them. Folders
    /// within it are not opened. The empty id is the root.
    ///
    /// The service puts images of tasks without a [`directory`](NewTask::directory) into its own folder `来自:离线下载`,
    /// which is in the root.
    ///
    /// ```no_run
    /// # let client = pan123_offline::Client::from_env()?;
    /// for item in client.images("") {
    ///     let item = item?;
    ///     println!("{}: {}", item.name, item.link());
    /// }
    /// # Ok::<(), pan123_offline::Error>(())
    /// ```
    pub fn images(&self, directory_id: &str) -> Images {
        Images::new(Arc::clone(&self.0), directory_id)
    }

    /// Returns the current access token: the given one, or the one of the [credentials](crate::Credentials), which is
    /// taken from their cache file or requested if there is none yet. For a login before the first call, and for calls
    /// that this crate does not make. Whether the service still accepts the token shows only in a call.
    ///
    /// # Errors
    /// Those of [`get_process`](Self::get_process), for the token request.
    pub fn access_token(&self) -> Result<AccessToken> {
        self.0.access_token()
    }

    /// Requests a new access token with the [credentials](crate::Credentials), whether or not there is one already, and
    /// keeps it in the client and in the cache file. It does not wait for the minute between two replacements, and counts
    /// as one. For a login: a request may invalidate the token of another program.
    ///
    /// # Errors
    /// Those of [`get_process`](Self::get_process), for the token request, and [`Error::Config`] without credentials.
    pub fn request_access_token(&self) -> Result<AccessToken> {
        self.0.request_access_token()
    }

    /// Returns the error of the [cache file](crate::Credentials::cache_file) at the last time a token was needed;
    /// `None` if it could be used, or if there is no cache file.
    #[must_use]
    pub fn token_cache_error(&self) -> Option<TokenCacheError> {
        self.0.auth.cache_error()
    }
}

// A lock that a panic has poisoned is used again, and what it guards is valid between any two steps.
impl UnwindSafe for Client {}
impl RefUnwindSafe for Client {}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
