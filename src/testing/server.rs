//! The server: accepts connections, and serves each in a thread of its own.

use std::collections::VecDeque;
use std::io::{self, BufReader, ErrorKind, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::api::{self, Api, lock};
use super::reply::Reply;
use super::request::Request;

/// Maximum number of requests that are kept.
const MAX_KEPT: usize = 100_000;
pub(super) type Hook = Arc<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;

/// The state that a service shares with the threads of its connections.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) api: Mutex<Api>,
    pub(super) traffic: Mutex<Traffic>,
    stopped: Condvar,
}

/// Requests and connections.
#[derive(Default)]
pub(super) struct Traffic {
    /// Responses that a user has scripted in place of the documented ones.
    pub(super) queue: VecDeque<Reply>,
    pub(super) hook: Option<Hook>,
    /// The latest requests.
    pub(super) requests: VecDeque<Request>,
    pub(super) request_count: usize,
    pub(super) connection_count: usize,
    /// Streams, of which the open ones belong to a thread.
    streams: Vec<Weak<TcpStream>>,
    stopping: bool,
}

impl Shared {
    /// Closes every connection, as the peers see it, and wakes the threads that sleep.
    pub(super) fn stop(&self) {
        let mut traffic = lock(&self.traffic);
        traffic.stopping = true;
        for stream in traffic.streams.iter().filter_map(Weak::upgrade) {
            // An error means that the connection is gone.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.stopped.notify_all();
    }

    /// Accepts connections until the service stops.
    pub(super) fn accept(self: &Arc<Self>, listener: &TcpListener) {
        while self.sleep(Duration::ZERO).is_ok() {
            match listener.accept() {
                Ok((stream, _)) => self.open(stream),
                // The system has no descriptor or memory.
                Err(_) => drop(self.sleep(Duration::from_millis(10))),
            }
        }
    }

    fn open(self: &Arc<Self>, stream: TcpStream) {
        let stream = Arc::new(stream);
        let mut traffic = lock(&self.traffic);
        if traffic.stopping {
            return;
        }
        traffic.connection_count += 1;
        traffic.streams.retain(|stream| stream.strong_count() > 0);
        traffic.streams.push(Arc::downgrade(&stream));
        drop(traffic);
        let shared = Arc::clone(self);
        // Without a thread the connection is closed. An error while serving means that the peer is
        // gone, that its request is malformed, or that the service stops.
        let _ = thread::Builder::new()
            .name("pan123 stand-in connection".to_owned())
            .spawn(move || drop(shared.serve(&stream)));
    }

    /// Serves one request after another.
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        while let Some(request) = Request::read(&mut reader)? {
            // The response to a request with `Connection: close` does not repeat it.
            let closes = request.header("Connection") == Some("close");
            let reply = self.reply_to(request);
            self.send(&reply, stream)?;
            if closes || reply.closes() {
                break;
            }
        }
        Ok(())
    }

    /// Returns the scripted response to a request if there is one, else the documented one.
    fn reply_to(&self, request: Request) -> Reply {
        let mut traffic = lock(&self.traffic);
        traffic.request_count += 1;
        if traffic.requests.len() == MAX_KEPT {
            traffic.requests.pop_front();
        }
        traffic.requests.push_back(request.clone());
        if let Some(reply) = traffic.queue.pop_front() {
            return reply;
        }
        let hook = traffic.hook.clone();
        // The hook is the user's closure: it may block, and may call the service's methods.
        drop(traffic);
        hook.and_then(|hook| hook(&request))
            .unwrap_or_else(|| api::respond(&self.api, &request))
    }

    fn send(&self, reply: &Reply, mut stream: &TcpStream) -> io::Result<()> {
        self.sleep(reply.delay)?;
        let Some(steps) = &reply.raw else {
            return stream.write_all(&reply.to_bytes());
        };
        for (pause, bytes) in steps {
            self.sleep(*pause)?;
            stream.write_all(bytes)?;
        }
        Ok(())
    }

    /// Sleeps; an error if the service stops.
    fn sleep(&self, time: Duration) -> io::Result<()> {
        let wait = self
            .stopped
            .wait_timeout_while(lock(&self.traffic), time, |traffic| !traffic.stopping);
        let (traffic, _) = wait.unwrap_or_else(PoisonError::into_inner);
        if traffic.stopping {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}
