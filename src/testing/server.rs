//! The server: accepts connections, and serves each in a thread of its own.

use std::io;
use std::mem;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::connection::{Connection, READ_BUFFER_LEN};
use super::reply::Reply;
use super::request::{Malformed, RequestView};
use super::send::{After, send_reply};
use super::shared::Shared;

/// Delay before the next accept after an error: the system has no descriptor or memory.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(10);

/// Accepts connections until the service stops.
pub(super) fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let Some(connection) = open(stream, shared) else {
                    return;
                };
                // Without a thread the connection is dropped, and so closed. An error while serving
                // means that the peer is gone, or that the service stops.
                let _ = thread::Builder::new()
                    .name("pan123 stand-in connection".to_owned())
                    .spawn(move || drop(serve(&connection)));
            }
            Err(_) => {
                if shared.connections.sleep(ACCEPT_RETRY_DELAY).is_err() {
                    return;
                }
            }
        }
    }
}

/// Registers a connection; `None` once the service stops.
fn open(stream: TcpStream, shared: &Arc<Shared>) -> Option<Connection> {
    let stream = Arc::new(stream);
    let number = shared.connections.register(&stream)?;
    Some(Connection {
        number,
        stream,
        shared: Arc::clone(shared),
    })
}

/// Serves one request after another. The buffers live as long as the connection, so that a typical
/// poll allocates nothing.
fn serve(connection: &Connection) -> io::Result<()> {
    connection.prepare()?;
    let mut buffer = [0; READ_BUFFER_LEN];
    let (mut received, mut body, mut out) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        match RequestView::parse(&received, connection.number) {
            Ok(Some(request)) => {
                let reply = connection.shared.reply_to(&request, mem::take(&mut body));
                let after = send_reply(&reply, connection, &mut out)?;
                // The response to a request with `Connection: close` does not repeat it.
                if after == After::Close || request.wants_close() {
                    return Ok(());
                }
                let request_len = request.len;
                received.drain(..request_len);
                body = reply.body;
            }
            Ok(None) => match connection.read(&mut buffer)? {
                0 => return Ok(()),
                count => received.extend_from_slice(&buffer[..count]),
            },
            Err(Malformed(status)) => return reject(connection, status, &mut out),
        }
    }
}

/// Sends an error response to a malformed request, and closes.
fn reject(connection: &Connection, status: u16, out: &mut Vec<u8>) -> io::Result<()> {
    let reply = Reply::new(status).announce_close();
    send_reply(&reply, connection, out)?;
    // The peer may still be sending. Closing before everything is read would reset the connection,
    // and the peer could lose the response.
    connection.stream.shutdown(Shutdown::Write)?;
    connection.drain()
}
