//! One connection: reads and writes bytes, and ends when the service stops.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;

/// Interval at which a waiting read checks whether the service stops.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Delay before the next attempt to write to a peer that does not read.
const WRITE_RETRY_DELAY: Duration = Duration::from_millis(1);

/// Size of the read buffer in bytes: a typical request fits.
pub(super) const READ_BUFFER_LEN: usize = 8 * 1024;

/// A connection. Dropping it removes it from the service, also after a panic in a user's closure.
///
/// No read or write blocks without a limit: on Windows, `shutdown` from another thread does not
/// wake them.
pub(super) struct Connection {
    pub(super) number: usize,
    pub(super) stream: Arc<TcpStream>,
    pub(super) shared: Arc<Shared>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.connections.close(self.number);
    }
}

impl Connection {
    /// Prepares the stream of a new connection.
    pub(super) fn prepare(&self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        self.stream.set_read_timeout(Some(STOP_CHECK_INTERVAL))
    }

    /// Reads and discards until the peer closes or the service stops.
    pub(super) fn drain(&self) -> io::Result<()> {
        let mut buffer = [0; READ_BUFFER_LEN];
        while self.read(&mut buffer)? > 0 {}
        Ok(())
    }

    /// Waits for bytes and reads those that have arrived; an error if the service stops.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
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
