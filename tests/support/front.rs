//! A listener in front of a stand-in, for faults of connections that no response can make.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A fault of a connection. A connection that it returns stays open until the front is dropped.
pub(crate) type Fault = Arc<dyn Fn(TcpStream) -> Option<TcpStream> + Send + Sync>;

pub(crate) struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    backend: SocketAddr,
    fault: Mutex<Option<Fault>>,
    connections: AtomicUsize,
    kept: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

impl Front {
    /// Applies the fault to each connection before [`lift`](Self::lift), and forwards later ones.
    pub(crate) fn start(listener: TcpListener, backend: SocketAddr, fault: Fault) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            backend,
            fault: Mutex::new(Some(fault)),
            connections: AtomicUsize::new(0),
            kept: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let listener_shared = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if listener_shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                listener_shared.connections.fetch_add(1, Ordering::SeqCst);
                let shared = Arc::clone(&listener_shared);
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn lift(&self) {
        *self.shared.fault.lock().unwrap() = None;
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.shared.kept.lock().unwrap().clear();
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let fault = self.fault.lock().unwrap().clone();
        match fault {
            Some(fault) => {
                let stream = fault(stream);
                let mut kept = self.kept.lock().unwrap();
                kept.extend(stream.filter(|_| !self.stopped.load(Ordering::SeqCst)));
            }
            // The client reports a broken connection.
            None => drop(pass(stream, self.backend)),
        }
    }
}

/// Forwards bytes in both directions until one side closes.
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

/// Ends a connection by a reset, which the system sends if a connection is closed with unread
/// bytes.
pub(crate) fn reset(stream: TcpStream) {
    let unread = stream.peek(&mut [0]).unwrap();
    assert!(unread > 0, "a reset needs an unread byte");
    drop(stream);
}

/// Reads a request except for its last byte, which stays unread for a [`reset`].
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
    let Some((header, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = header.lines().find_map(|line| {
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

/// Accepts and closes all connections in a backlog.
pub(crate) fn empty(listener: &TcpListener) {
    listener.set_nonblocking(true).unwrap();
    while listener.accept().is_ok() {}
    listener.set_nonblocking(false).unwrap();
}

/// A response with a `Content-Length`.
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
