//! A stand-in for the service on loopback, to test programs that use this crate.
//!
//! [`Service::start`] listens on a free port of 127.0.0.1 and sends the documented responses from
//! its own threads until it is dropped. Tasks progress by a script, faults are sent on demand, and
//! the requests received can be inspected. Nothing leaves the machine.
//!
//! ```
//! use pan123_offline::testing::{Reply, Service};
//! use pan123_offline::{Client, Progress, Status};
//!
//! let service = Service::start()?;
//! let first = Progress::new(Status::InProgress, 40);
//! service.task(403316, [first, Progress::new(Status::Succeeded, 100)]);
//! let client = Client::builder()
//!     .access_token("any-token-will-do")
//!     .base_url(service.base_url())
//!     .build()?;
//!
//! assert_eq!(client.get_process(403316)?.percent, 40);
//! assert_eq!(client.get_process(403316)?.percent, 100);
//!
//! service.reply_next(Reply::code(5113, "traffic quota used up"));
//! assert!(client.get_process(403316).is_err());
//!
//! assert_eq!(service.request_count(), 3);
//! assert_eq!(service.connection_count(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Responses
//!
//! | request | response |
//! |---|---|
//! | `GET /api/v1/oss/offline/download/process?taskID=N` | the task's next step ([`Service::task`]) |
//! | `POST /api/v1/oss/offline/download` | a new task id, counted up from 403316 ([`Service::new_tasks`]) |
//! | `POST /api/v1/access_token` | a new token ([`Service::credentials`]) |
//! | `POST /api/v1/oss/file/list` | a page of the files and folders in a folder |
//! | `GET /api/v1/oss/file/detail?fileID=ID` | one file or folder |
//! | another method | HTTP 405 |
//! | another path | HTTP 404 and a small page of HTML |
//!
//! The following is not documented and is the stand-in's own choice; the real service may differ.
//! An unknown task ("task not found"), a wrong pair of client id and secret ("client id or secret
//! is wrong") and invalid input (no `Platform: open_platform`, a task id that is not a number, a
//! body that is not as documented) get code 1 with HTTP 200, an unknown file or folder code 5066.
//!
//! A task that a client has created makes a file when its success is first sent: in the folder of
//! the request, which is in the root, or in `来自:离线下载`, which the first such file makes. Without
//! a `fileName` it has the last part of the URL's path. Two files with the same bytes in one folder
//! are one file, which has the name of the later.
//!
//! The protocol is HTTP/1.1 with connections kept alive. A request may have 16 KiB of headers and a
//! body of 64 KiB, which needs a `Content-Length`. A malformed request ends its connection.

mod api;
mod files;
mod reply;
mod request;
mod server;
#[cfg(test)]
mod tests;
mod tokens;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use self::reply::{Reply, TRACE_ID};
pub use self::request::Request;

use self::api::lock;
use self::server::Shared;
use crate::task::Progress;

/// The stand-in service: runs from [`start`](Self::start) until it is dropped.
///
/// Dropping it closes its port and every connection, in the middle of a response too. A thread that
/// runs a user's closure ends when the closure returns. A change made through one of its methods
/// applies from the next request on.
pub struct Service {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[allow(clippy::must_use_candidate, reason = "setters are chained")]
impl Service {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If the system provides no port or no thread.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let accepting = Arc::clone(&shared);
        let acceptor = thread::Builder::new()
            .name("pan123 stand-in".to_owned())
            .spawn(move || accepting.accept(&listener))?;
        Ok(Self {
            address,
            shared,
            acceptor: Some(acceptor),
        })
    }

    /// Returns the base URL for a client: `http://127.0.0.1:PORT`, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Scripts a task: each poll gets the next of `steps`, and the last one is repeated.
    ///
    /// Replaces the earlier script of this task. Without any step the task is in progress at 0 %.
    pub fn task(&self, task_id: u64, steps: impl IntoIterator<Item = Progress>) -> &Self {
        let steps = steps.into_iter().collect();
        lock(&self.shared.api).script(task_id, steps);
        self
    }

    /// Scripts the tasks that clients create, each from its id and URL.
    ///
    /// Default: in progress at 50 %, then succeeded.
    pub fn new_tasks(
        &self,
        steps: impl Fn(u64, &str) -> Vec<Progress> + Send + Sync + 'static,
    ) -> &Self {
        lock(&self.shared.api).new_steps = Some(Arc::new(steps));
        self
    }

    /// Declares that an image has the bytes of another one, so that of the files in one folder the
    /// later overwrites the earlier. Applies to files that are made from now on.
    ///
    /// Default: each URL has an image of its own.
    pub fn same_image(&self, url: &str, other: &str) -> &Self {
        let same_images = &mut lock(&self.shared.api).files.same_images;
        same_images.insert(url.to_owned(), other.to_owned());
        self
    }

    /// Returns the body of the callback that the service POSTs when a task succeeds, for
    /// [`Callback::from_slice`](crate::Callback::from_slice). The stand-in sends none. `None` until
    /// a client has created the task and seen its success.
    #[must_use]
    pub fn callback(&self, task_id: u64) -> Option<Vec<u8>> {
        lock(&self.shared.api).callback(task_id)
    }

    /// Queues `reply`. Each request to any endpoint gets the first reply of the queue, if there is
    /// one.
    pub fn reply_next(&self, reply: Reply) -> &Self {
        lock(&self.shared.traffic).queue.push_back(reply);
        self
    }

    /// Calls `f` for the response to every request that gets none from the queue of
    /// [`reply_next`](Self::reply_next). If it returns `None`, the documented response is sent.
    /// Replaces the earlier `f`.
    ///
    /// It runs on the thread of the request's connection; a panic in it closes that connection.
    pub fn reply_with(
        &self,
        f: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
    ) -> &Self {
        lock(&self.shared.traffic).hook = Some(Arc::new(f));
        self
    }

    /// Accepts only this token and issued ones from now on; any other gets code 401. Replaces the
    /// token that was required before.
    ///
    /// Default: every token is accepted that is not empty.
    pub fn require_token(&self, token: impl Into<String>) -> &Self {
        lock(&self.shared.api).tokens.required = Some(token.into());
        self
    }

    /// Issues tokens to this client only, and accepts only issued and
    /// [required](Self::require_token) ones from now on.
    ///
    /// Default: a token is issued for any id and secret that are not empty. At most three issued
    /// tokens are valid at the same time: a fourth one revokes the oldest.
    pub fn credentials(
        &self,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
    ) -> &Self {
        lock(&self.shared.api).tokens.client = Some((client_id.into(), client_secret.into()));
        self
    }

    /// Revokes all tokens, the required one included: only tokens issued or required later are
    /// accepted. Others get code 401, "tokens number has exceeded the limit".
    pub fn revoke_tokens(&self) -> &Self {
        lock(&self.shared.api).tokens.revoke();
        self
    }

    /// Returns the number of tokens issued so far, revoked ones included.
    #[must_use]
    pub fn tokens_issued(&self) -> usize {
        lock(&self.shared.api).tokens.issued.len()
    }

    /// Returns the latest 100,000 requests received, oldest first, without malformed ones.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.traffic).requests.clone().into()
    }

    /// Returns the number of requests received so far, whether they are kept or not.
    #[must_use]
    pub fn request_count(&self) -> usize {
        lock(&self.shared.traffic).request_count
    }

    /// Returns the number of connections accepted so far.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        lock(&self.shared.traffic).connection_count
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shared.stop();
        // A last connection wakes the thread that accepts them. If the system cannot open one, the
        // thread keeps running, so that dropping never hangs.
        let woken = TcpStream::connect_timeout(&self.address, Duration::from_millis(150)).is_ok();
        // The thread runs no closure of the user, so it does not panic.
        let _ = self.acceptor.take().filter(|_| woken).map(JoinHandle::join);
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
