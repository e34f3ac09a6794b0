//! State that the connections of a service share, and the list of open ones.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::api::Api;
use super::faults::Faults;
use super::lock;
use super::log::Log;
use super::reply::Reply;
use super::request::RequestView;

/// State shared by all connections of a service.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) api: Api,
    pub(super) faults: Faults,
    pub(super) log: Log,
    pub(super) connections: Connections,
}

impl Shared {
    /// Returns the scripted response to a request if there is one, else the documented one. `spare`
    /// is a buffer for the body of the documented one.
    pub(super) fn reply_to(&self, request: &RequestView<'_>, spare: Vec<u8>) -> Reply {
        self.log.record(request);
        self.faults
            .reply_to(request)
            .unwrap_or_else(|| self.api.respond(request, spare))
    }
}

/// The open connections, and whether the service stops.
#[derive(Default)]
pub(super) struct Connections {
    // One lock for both, so that no connection is added while the service stops.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stopping: bool,
    accepted: usize,
    open: HashMap<usize, Arc<TcpStream>>,
}

impl Connections {
    pub(super) fn register(&self, stream: &Arc<TcpStream>) -> Option<usize> {
        let mut state = lock(&self.state);
        if state.stopping {
            return None;
        }
        let number = state.accepted;
        state.accepted += 1;
        state.open.insert(number, Arc::clone(stream));
        Some(number)
    }

    pub(super) fn close(&self, number: usize) {
        let mut state = lock(&self.state);
        state.open.remove(&number);
        if state.stopping {
            self.changed.notify_all();
        }
    }

    pub(super) fn accepted(&self) -> usize {
        lock(&self.state).accepted
    }

    /// Notifies every thread that the service stops.
    pub(super) fn announce_stop(&self) {
        lock(&self.state).stopping = true;
        self.changed.notify_all();
    }

    /// Closes every connection at once, as the peers see it.
    pub(super) fn shut_down(&self) {
        for stream in lock(&self.state).open.values() {
            // An error means that the connection is gone.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits for the threads of all connections, for at most `time`; returns whether all have
    /// ended.
    pub(super) fn wait_closed(&self, time: Duration) -> bool {
        self.wait_while(time, |state| !state.open.is_empty())
    }

    /// Sleeps; an error if the service stops.
    pub(super) fn sleep(&self, time: Duration) -> io::Result<()> {
        let stopping = self.wait_while(time, |state| !state.stopping);
        if stopping {
            Err(ErrorKind::ConnectionAborted.into())
        } else {
            Ok(())
        }
    }

    /// Returns an error if the service stops.
    pub(super) fn check_running(&self) -> io::Result<()> {
        self.sleep(Duration::ZERO)
    }

    /// Waits while `condition` is true, for at most `time`; returns whether it has become false.
    fn wait_while(&self, time: Duration, mut condition: impl FnMut(&mut State) -> bool) -> bool {
        let state = lock(&self.state);
        let waited = self.changed.wait_timeout_while(state, time, &mut condition);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !condition(&mut state)
    }
}
