//! A listener in front of a stand-in that treats connections as it is told: what no answer can do.
#![allow(dead_code, reason = "no test file needs all of it")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What is done to a connection. One that is returned stays open until the front is dropped.
pub(crate) type Strike = Arc<dyn Fn(TcpStream) -> Option<TcpStream> + Send + Sync>;

pub(crate) struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    backend: SocketAddr,
    strike: Mutex<Option<Strike>>,
    connections: AtomicUsize,
    held: Mutex<Vec<TcpStream>>,
    over: AtomicBool,
}

impl Front {
    /// Strikes each connection until [`lift`](Self::lift), and passes on each one after it.
    pub(crate) fn start(listener: TcpListener, backend: SocketAddr, strike: Strike) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            backend,
            strike: Mutex::new(Some(strike)),
            connections: AtomicUsize::new(0),
            held: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let of_listener = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if of_listener.over.load(Ordering::SeqCst) {
                    return;
                }
                of_listener.connections.fetch_add(1, Ordering::SeqCst);
                let shared = Arc::clone(&of_listener);
                thread::spawn(move || shared.treat(stream));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn lift(&self) {
        *self.shared.strike.lock().unwrap() = None;
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.shared.held.lock().unwrap().clear();
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn treat(&self, stream: TcpStream) {
        let strike = self.strike.lock().unwrap().clone();
        match strike {
            Some(strike) => {
                let held = strike(stream);
                let mut all = self.held.lock().unwrap();
                all.extend(held.filter(|_| !self.over.load(Ordering::SeqCst)));
            }
            // A connection that breaks is the client's affair.
            None => drop(pass(stream, self.backend)),
        }
    }
}

/// Passes on what comes, both ways, until one side ends.
pub(crate) fn pass(client: TcpStream, backend: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(backend)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut &server, &mut &client);
    client.shutdown(Shutdown::Both)
}

/// Ends a connection by a reset: what a system does when one is closed that holds bytes nobody has read.
pub(crate) fn reset(stream: TcpStream) {
    assert!(
        stream.peek(&mut [0]).unwrap() > 0,
        "a reset needs an unread byte"
    );
    drop(stream);
}

/// Reads a request but for its last byte, which is left for a [`reset`].
pub(crate) fn read_most(stream: &mut TcpStream) {
    let mut seen = vec![0; 16 * 1024];
    let len = loop {
        let len = stream.peek(&mut seen).unwrap();
        if is_whole(&seen[..len]) {
            break len;
        }
        assert!(len > 0, "the client has closed");
        thread::sleep(Duration::from_millis(1));
    };
    stream.read_exact(&mut seen[..len - 1]).unwrap();
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    body.len() >= length.unwrap_or(0)
}

/// A listener whose backlog is full: the system drops the packets of any further connection.
pub(crate) fn full_listener(address: impl ToSocketAddrs) -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
    let queued: Vec<_> = std::iter::from_fn(connect).take(10_000).collect();
    assert!(queued.len() < 10_000, "the backlog never fills");
    (listener, queued)
}

/// Takes all connections out of a backlog.
pub(crate) fn empty(listener: &TcpListener) {
    listener.set_nonblocking(true).unwrap();
    while listener.accept().is_ok() {}
    listener.set_nonblocking(false).unwrap();
}

/// The bytes of an answer with a `Content-Length`.
pub(crate) fn http(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) fn write(mut stream: &TcpStream, bytes: impl AsRef<[u8]>) {
    stream.set_nodelay(true).unwrap();
    stream.write_all(bytes.as_ref()).unwrap();
}
