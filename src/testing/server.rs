//! Connections: accepted, served by a thread each, and ended when the service stops.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::mem;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::api::Api;
use super::faults::Faults;
use super::lock;
use super::log::Log;
use super::play::{After, drain, play};
use super::reply::Reply;
use super::request::{Malformed, RequestView};

/// How long to wait before accepting again when the system has run out of something.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(10);

/// How much is read at once, in bytes: a usual request in one go.
const READ_SIZE: usize = 8 * 1024;

/// What all connections of a service work on.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) api: Api,
    pub(super) faults: Faults,
    pub(super) log: Log,
    pub(super) connections: Connections,
}

/// Accepts connections until the service stops, and returns when the last one has ended.
pub(super) fn accept(listener: &TcpListener, shared: &Shared) {
    // The scope joins the connections' threads.
    thread::scope(|scope| {
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    let Some(connection) = shared.connections.open(stream) else {
                        return;
                    };
                    // Without a thread the connection is dropped, and so closed. An error while
                    // serving means that the other side is gone, or the service stops.
                    let _ = thread::Builder::new()
                        .name("pan123 stand-in connection".to_owned())
                        .spawn_scoped(scope, move || drop(connection.serve(shared)));
                }
                Err(_) => {
                    if shared.connections.sleep(PAUSE_AFTER_ERROR).is_err() {
                        return;
                    }
                }
            }
        }
    });
}

/// The open connections, and whether the service stops.
#[derive(Default)]
pub(super) struct Connections {
    // One lock for both: no connection can slip in while the service stops.
    state: Mutex<Open>,
    stopped: Condvar,
}

#[derive(Default)]
struct Open {
    stopping: bool,
    accepted: usize,
    streams: HashMap<usize, Arc<TcpStream>>,
}

impl Connections {
    /// Registers a connection; `None` once the service stops.
    fn open(&self, stream: TcpStream) -> Option<Connection<'_>> {
        let mut open = lock(&self.state);
        if open.stopping {
            return None;
        }
        let number = open.accepted;
        open.accepted += 1;
        let stream = Arc::new(stream);
        open.streams.insert(number, Arc::clone(&stream));
        Some(Connection { number, stream, connections: self })
    }

    pub(super) fn accepted(&self) -> usize {
        lock(&self.state).accepted
    }

    /// Ends every connection, whatever it is doing, and takes no further one.
    pub(super) fn stop(&self) {
        let mut open = lock(&self.state);
        open.stopping = true;
        for stream in open.streams.values() {
            // Wakes a thread that reads or writes. An error means that the connection is gone.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.stopped.notify_all();
    }

    /// Sleeps; an error says that the service stops.
    pub(super) fn sleep(&self, time: Duration) -> io::Result<()> {
        let open = lock(&self.state);
        let (open, _) =
            self.stopped.wait_timeout_while(open, time, |open| !open.stopping).unwrap_or_else(PoisonError::into_inner);
        if open.stopping { Err(ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

/// One connection, registered until it is dropped: after a panic in a user's closure, too.
struct Connection<'a> {
    number: usize,
    stream: Arc<TcpStream>,
    connections: &'a Connections,
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        lock(&self.connections.state).streams.remove(&self.number);
    }
}

impl Connection<'_> {
    /// Answers one request after another. The buffers live as long as the connection, so that a
    /// usual poll allocates nothing.
    fn serve(&self, shared: &Shared) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        let mut stream = &*self.stream;
        let mut chunk = [0; READ_SIZE];
        let (mut received, mut body, mut out) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            match RequestView::parse(&received, self.number) {
                Ok(Some(request)) => {
                    let reply = reply_to(&request, shared, mem::take(&mut body));
                    let after = play(&reply, stream, self.connections, &mut out)?;
                    // Who asked for the end needs no notice of it.
                    if after == After::Close || request.is_last() {
                        return Ok(());
                    }
                    let used = request.len;
                    received.drain(..used);
                    body = reply.body;
                }
                Ok(None) => match stream.read(&mut chunk)? {
                    0 => return Ok(()),
                    count => received.extend_from_slice(&chunk[..count]),
                },
                Err(Malformed(status)) => return self.refuse(status, &mut out),
            }
        }
    }

    /// Answers what is no request, and closes.
    fn refuse(&self, status: u16, out: &mut Vec<u8>) -> io::Result<()> {
        let reply = Reply::new(status).announce_close();
        play(&reply, &self.stream, self.connections, out)?;
        // What comes after may still be under way, and closing before it is read would destroy the
        // answer on its way.
        self.stream.shutdown(Shutdown::Write)?;
        drain(&self.stream)
    }
}

/// The answer to a request, from whoever comes first; `spare` is a buffer for a usual one's body.
fn reply_to(request: &RequestView<'_>, shared: &Shared, spare: Vec<u8>) -> Reply {
    shared.log.note(request);
    shared.faults.reply_to(request).unwrap_or_else(|| shared.api.answer(request, spare))
}
