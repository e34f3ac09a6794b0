//! How an answer goes out: in one piece, or with the fault that was ordered.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::reply::{Framing, Reply};
use super::server::Connections;

/// What an endless body goes on with. Blanks, since JSON may be followed by any number of them.
const FILLER: [u8; 16 * 1024] = [b' '; 16 * 1024];

/// Whether a connection goes on after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum After {
    KeepAlive,
    Close,
}

/// Sends `reply`; `out` is a buffer to build its bytes in.
pub(super) fn play(
    reply: &Reply,
    stream: &TcpStream,
    connections: &Connections,
    out: &mut Vec<u8>,
) -> io::Result<After> {
    if !reply.delay.is_zero() {
        connections.sleep(reply.delay)?;
    }
    reply.render(out);
    let outlet = Outlet { stream, connections, pause: reply.drip };
    let limit = reply.halt.map_or(usize::MAX, |halt| halt.at);
    outlet.send(&out[..out.len().min(limit)])?;
    if reply.framing == Framing::Endless {
        outlet.fill(limit.saturating_sub(out.len()))?;
    }
    match reply.halt {
        Some(halt) => {
            if halt.stall {
                drain(stream)?;
            }
            Ok(After::Close)
        }
        None if reply.closes() => Ok(After::Close),
        None => Ok(After::KeepAlive),
    }
}

/// Reads and forgets, until the other side closes or the service stops.
pub(super) fn drain(mut stream: &TcpStream) -> io::Result<()> {
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

/// A connection to write to, at the speed that was ordered.
struct Outlet<'a> {
    stream: &'a TcpStream,
    connections: &'a Connections,
    pause: Option<Duration>,
}

impl Outlet<'_> {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stream = self.stream;
        let Some(pause) = self.pause else {
            return stream.write_all(bytes);
        };
        for (at, byte) in bytes.chunks(1).enumerate() {
            if at > 0 {
                self.connections.sleep(pause)?;
            }
            stream.write_all(byte)?;
        }
        Ok(())
    }

    fn fill(&self, mut left: usize) -> io::Result<()> {
        while left > 0 {
            let block = &FILLER[..FILLER.len().min(left)];
            self.send(block)?;
            left -= block.len();
        }
        Ok(())
    }
}
