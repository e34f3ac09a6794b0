//! A stand-in for the service on loopback, to test programs that use this crate.
//!
//! [`Service::start`] opens a free port of 127.0.0.1 and answers as the service's document says,
//! from threads of its own, until it is dropped. Tasks progress by a script, faults come on demand,
//! and what was asked can be looked at afterwards. Nothing leaves the machine.
//!
//! ```
//! use pan123_offline::testing::{Reply, Service};
//! use pan123_offline::{Client, Progress, Status};
//!
//! let service = Service::start()?;
//! service.task(
//!     403316,
//!     [
//!         Progress::new(Status::InProgress, 40),
//!         Progress::new(Status::Succeeded, 100),
//!     ],
//! );
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
//! # What it answers
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/v1/oss/offline/download/process?taskID=N` | the task's next step ([`Service::task`]) |
//! | `POST /api/v1/oss/offline/download` | a new task id, counted up from 403316 ([`Service::new_tasks`]) |
//! | `POST /api/v1/access_token` | a new token ([`Service::credentials`]) |
//! | another method | HTTP 405 |
//! | another path | HTTP 404 and a small page of HTML |
//!
//! Where the document is silent, the stand-in had to choose; don't rely on the real service doing
//! the same. An unknown task is code 1, "task not found". Bad input (no `Platform: open_platform`, a
//! task id that is no number, a body that is not as documented) is code 1. A wrong pair of client id
//! and secret is code 1, "client id or secret is wrong". All of these come with HTTP 200.
//!
//! It speaks HTTP/1.1 and keeps connections alive. A request's head may have 16 KiB and its body,
//! which needs a `Content-Length`, 64 KiB.

mod api;
mod connection;
mod faults;
mod log;
mod play;
mod reply;
mod request;
mod server;
#[cfg(test)]
mod tests;
mod tokens;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use self::reply::{Reply, TRACE_ID};
pub use self::request::Request;

use self::server::Shared;
use crate::task::Progress;

/// Maximum time that dropping a service takes to end its threads.
const MAX_DROP_TIME: Duration = Duration::from_millis(150);
/// Delay before the next attempt to wake the thread that accepts connections.
const WAKE_RETRY_DELAY: Duration = Duration::from_millis(20);

/// The stand-in service: runs from [`start`](Self::start) until it is dropped.
///
/// Dropping it closes its port and every connection, in the middle of a response too, and waits up
/// to 150 ms for its threads. A thread that runs a user's closure ends when the closure returns.
/// A change made through one of its methods counts from the next request on.
pub struct Service {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When the system gives no port or no thread.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let acceptor = thread::Builder::new().name("pan123 stand-in".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || server::accept(&listener, &shared)
        })?;
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }

    /// What a client takes as its base URL: `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Scripts a task: each poll answers the next of `steps`, the last one is repeated for ever.
    ///
    /// Replaces what was scripted for this task before. Without any step the task is in progress at
    /// 0 %.
    pub fn task(&self, task_id: u64, steps: impl IntoIterator<Item = Progress>) -> &Self {
        self.shared.api.script(task_id, steps.into_iter().collect());
        self
    }

    /// Scripts the tasks that are made through the service, from a task's id and URL.
    ///
    /// Default: in progress at 50 %, then succeeded.
    pub fn new_tasks(&self, steps: impl Fn(u64, &str) -> Vec<Progress> + Send + Sync + 'static) -> &Self {
        self.shared.api.script_new(Arc::new(steps));
        self
    }

    /// Answers one of the next requests with `reply`, whatever it asks for: the first reply queued
    /// goes to the first request.
    pub fn reply_next(&self, reply: Reply) -> &Self {
        self.shared.faults.push(reply);
        self
    }

    /// Asks `f` for the answer to every request that takes none from the queue of
    /// [`reply_next`](Self::reply_next); on `None` the usual answer is given. Replaces the `f` before.
    ///
    /// It runs on the thread of the request's connection; a panic in it closes that connection.
    pub fn reply_with(&self, f: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> &Self {
        self.shared.faults.set_hook(Arc::new(f));
        self
    }

    /// Takes only this token from now on, and issued ones; any other gets code 401. Replaces the
    /// token required before.
    ///
    /// Default: every token is taken that isn't empty.
    pub fn require_token(&self, token: impl Into<String>) -> &Self {
        self.shared.api.tokens(|tokens| tokens.require(token.into()));
        self
    }

    /// Issues tokens to this client only, and takes no others than issued and
    /// [required](Self::require_token) ones from now on.
    ///
    /// Default: a token is issued for any id and secret that aren't empty. Three issued tokens are
    /// live at most: a fourth one kicks out the oldest.
    pub fn credentials(&self, client_id: impl Into<String>, client_secret: impl Into<String>) -> &Self {
        let (client_id, client_secret) = (client_id.into(), client_secret.into());
        self.shared.api.tokens(|tokens| tokens.set_client(client_id, client_secret));
        self
    }

    /// Kicks out every token there is, the required one too: only tokens issued (or required) later
    /// are taken, others get code 401, "tokens number has exceeded the limit".
    pub fn revoke_tokens(&self) -> &Self {
        self.shared.api.tokens(|tokens| tokens.revoke());
        self
    }

    /// How many tokens were issued so far, kicked out or not.
    pub fn tokens_issued(&self) -> usize {
        self.shared.api.tokens(|tokens| tokens.issued())
    }

    /// The requests received so far, oldest first: the latest 100,000, or what
    /// [`keep_requests`](Self::keep_requests) says.
    ///
    /// What is answered with HTTP 400 or 411 for its form is no request.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.log.requests()
    }

    /// How many requests were received so far, kept or not.
    pub fn request_count(&self) -> usize {
        self.shared.log.count()
    }

    /// Returns the number of connections accepted so far.
    pub fn connection_count(&self) -> usize {
        self.shared.connections.accepted()
    }

    /// How many requests are kept for [`requests`](Self::requests), 100,000 by default. With 0
    /// nothing is allocated for them, which suits a benchmark.
    pub fn keep_requests(&self, most: usize) -> &Self {
        self.shared.log.keep(most);
        self
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let deadline = Instant::now() + MAX_DROP_TIME;
        self.shared.connections.announce_stop();
        self.shared.connections.shut_down();
        self.end_acceptor(deadline);
        self.shared.connections.wait_closed(deadline.saturating_duration_since(Instant::now()));
    }
}

impl Service {
    /// Wakes the thread that accepts connections by a last connection, and waits for its end.
    ///
    /// If the system cannot open another connection before `deadline`, the thread is left running:
    /// no drop may hang.
    fn end_acceptor(&mut self, deadline: Instant) {
        let Some(acceptor) = self.acceptor.take() else { return };
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return;
            }
            let woken = TcpStream::connect_timeout(&self.address, remaining).is_ok();
            if woken || acceptor.is_finished() {
                // The thread runs no closure of the user, so it does not panic.
                let _ = acceptor.join();
                return;
            }
            thread::sleep(WAKE_RETRY_DELAY);
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("address", &self.address)
            .field("connections", &self.connection_count())
            .field("requests", &self.request_count())
            .finish_non_exhaustive()
    }
}

/// Locks, even after a panic: no state in here is left half changed by one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
