//! A small HTTP proxy that knows one method, CONNECT, and one host.
#![allow(dead_code, reason = "no test file needs all of it")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Runs until it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
}

impl Proxy {
    /// Leads whoever asks for this host and port to `target`.
    pub(crate) fn to(host_and_port: &str, target: SocketAddr) -> Self {
        let asked = format!("CONNECT {host_and_port} HTTP/1.1\r\n");
        let not_found = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        Self::start(move |head| {
            if head.starts_with(&asked) {
                Ok(target)
            } else {
                Err(not_found.to_owned())
            }
        })
    }

    /// Gives everybody this answer, and closes.
    pub(crate) fn refusing(answer: &str) -> Self {
        let answer = answer.to_owned();
        Self::start(move |_| Err(answer.clone()))
    }

    fn start(judge: impl Fn(&str) -> Result<SocketAddr, String> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self {
            address,
            heads: Arc::default(),
            over: Arc::default(),
        };
        let (heads, over) = (Arc::clone(&proxy.heads), Arc::clone(&proxy.over));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                // A connection that breaks is its client's affair.
                drop(serve(client, &heads, &judge));
            }
        });
        proxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(
    mut client: TcpStream,
    heads: &Mutex<Vec<String>>,
    judge: impl Fn(&str) -> Result<SocketAddr, String>,
) -> io::Result<()> {
    let head = read_head(&mut client)?;
    let verdict = judge(&head);
    heads.lock().unwrap().push(head);
    let target = match verdict {
        Ok(target) => TcpStream::connect(target)?,
        Err(answer) => return client.write_all(answer.as_bytes()),
    };
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    pump(client.try_clone()?, target.try_clone()?);
    pump(target, client);
    Ok(())
}

/// To the blank line, byte by byte: what comes after it belongs to the tunnel.
fn read_head(client: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

/// One direction of a tunnel, to its end.
fn pump(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        drop(io::copy(&mut from, &mut to));
        // It may be closed already.
        drop(to.shutdown(Shutdown::Write));
    });
}
