//! An HTTP proxy that supports one method, CONNECT, and one target.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A running proxy. Dropping it closes its port.
pub(crate) struct Proxy {
    address: SocketAddr,
    request_headers: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
}

impl Proxy {
    /// Connects clients that request this host and port to `target`.
    pub(crate) fn to(host_and_port: &str, target: SocketAddr) -> Self {
        let request_line = format!("CONNECT {host_and_port} HTTP/1.1\r\n");
        let not_found = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        Self::start(move |header| {
            if header.starts_with(&request_line) {
                Ok(target)
            } else {
                Err(not_found.to_owned())
            }
        })
    }

    /// Sends this response to each client, and closes.
    pub(crate) fn refusing(response: &str) -> Self {
        let response = response.to_owned();
        Self::start(move |_| Err(response.clone()))
    }

    fn start(route: impl Fn(&str) -> Result<SocketAddr, String> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self {
            address,
            request_headers: Arc::default(),
            stopped: Arc::default(),
        };
        let (request_headers, stopped) = (
            Arc::clone(&proxy.request_headers),
            Arc::clone(&proxy.stopped),
        );
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // The client reports a broken connection.
                drop(serve(client, &request_headers, &route));
            }
        });
        proxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the request line and the headers of each request.
    pub(crate) fn request_headers(&self) -> Vec<String> {
        self.request_headers.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(
    mut client: TcpStream,
    request_headers: &Mutex<Vec<String>>,
    route: impl Fn(&str) -> Result<SocketAddr, String>,
) -> io::Result<()> {
    let header = read_header(&mut client)?;
    let target = route(&header);
    request_headers.lock().unwrap().push(header);
    let target = match target {
        Ok(target) => TcpStream::connect(target)?,
        Err(response) => return client.write_all(response.as_bytes()),
    };
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    pump(client.try_clone()?, target.try_clone()?);
    pump(target, client);
    Ok(())
}

/// Reads up to the blank line, byte by byte: the bytes after it belong to the tunnel.
fn read_header(client: &mut TcpStream) -> io::Result<String> {
    let mut header = Vec::new();
    let mut byte = [0];
    while !header.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        header.push(byte[0]);
    }
    String::from_utf8(header).map_err(io::Error::other)
}

/// Forwards one direction of a tunnel until its end.
fn pump(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        drop(io::copy(&mut from, &mut to));
        // The socket may be closed already.
        drop(to.shutdown(Shutdown::Write));
    });
}
