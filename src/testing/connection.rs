//! One connection: reads requests, sends responses, and ends when the service stops.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::play::{After, play};
use super::reply::Reply;
use super::request::{Malformed, RequestView};
use super::server::Shared;

/// Interval at which a waiting read checks whether the service stops.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Delay before the next attempt to write to a peer that does not read.
const WRITE_RETRY_DELAY: Duration = Duration::from_millis(1);

/// Size of the read buffer in bytes: a typical request fits.
const READ_BUFFER_LEN: usize = 8 * 1024;

/// A connection. Dropping it removes it from the service, also after a panic in a user's closure.
///
/// No read or write blocks without a limit: on Windows, `shutdown` from another thread does not
/// wake them.
pub(super) struct Connection {
    number: usize,
    stream: Arc<TcpStream>,
    shared: Arc<Shared>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.connections.close(self.number);
    }
}

impl Connection {
    pub(super) fn new(number: usize, stream: Arc<TcpStream>, shared: Arc<Shared>) -> Self {
        Self {
            number,
            stream,
            shared,
        }
    }

    /// Serves one request after another. The buffers live as long as the connection, so that a
    /// typical poll allocates nothing.
    pub(super) fn serve(&self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        self.stream.set_read_timeout(Some(STOP_CHECK_INTERVAL))?;
        let mut buffer = [0; READ_BUFFER_LEN];
        let (mut received, mut body, mut out) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            match RequestView::parse(&received, self.number) {
                Ok(Some(request)) => {
                    let reply = self.shared.reply_to(&request, mem::take(&mut body));
                    let after = play(&reply, self, &mut out)?;
                    // The response to a request with `Connection: close` does not repeat it.
                    if after == After::Close || request.wants_close() {
                        return Ok(());
                    }
                    let request_len = request.len;
                    received.drain(..request_len);
                    body = reply.body;
                }
                Ok(None) => match self.read(&mut buffer)? {
                    0 => return Ok(()),
                    count => received.extend_from_slice(&buffer[..count]),
                },
                Err(Malformed(status)) => return self.reject(status, &mut out),
            }
        }
    }

    /// Sends an error response to a malformed request, and closes.
    fn reject(&self, status: u16, out: &mut Vec<u8>) -> io::Result<()> {
        let reply = Reply::new(status).announce_close();
        play(&reply, self, out)?;
        // The peer may still be sending. Closing before everything is read would reset the
        // connection, and the peer could lose the response.
        self.stream.shutdown(Shutdown::Write)?;
        self.drain()
    }

    /// Reads and discards until the peer closes or the service stops.
    pub(super) fn drain(&self) -> io::Result<()> {
        let mut buffer = [0; READ_BUFFER_LEN];
        while self.read(&mut buffer)? > 0 {}
        Ok(())
    }

    /// Waits for bytes and reads those that have arrived; an error if the service stops.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut stream = &*self.stream;
        loop {
            // Peeks first: a read that times out may lose data on Windows.
            match stream.peek(&mut [0]) {
                Ok(_) => return stream.read(buffer),
                Err(error) if is_timeout(&error) => self.shared.connections.check_running()?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes all bytes; an error if the service stops meanwhile.
    ///
    /// Switches to non-blocking mode, because on Windows a write that times out does not report the
    /// number of bytes it sent.
    pub(super) fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        let mut stream = &*self.stream;
        stream.set_nonblocking(true)?;
        while !bytes.is_empty() {
            match stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if is_timeout(&error) => self.sleep(WRITE_RETRY_DELAY)?,
                Err(error) => return Err(error),
            }
        }
        stream.set_nonblocking(false)
    }

    /// Sleeps; an error if the service stops.
    pub(super) fn sleep(&self, time: Duration) -> io::Result<()> {
        self.shared.connections.sleep(time)
    }
}

/// Returns whether an operation on a socket did nothing, and may be repeated.
fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
