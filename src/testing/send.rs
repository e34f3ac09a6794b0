//! Sending a response: in one piece, or with the scripted fault.

use std::io;
use std::time::Duration;

use super::connection::Connection;
use super::reply::{Framing, Reply};

/// Filler of an endless body. JSON may be followed by any number of blanks.
const FILLER: [u8; 16 * 1024] = [b' '; 16 * 1024];

/// Whether a connection stays open after a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum After {
    KeepAlive,
    Close,
}

/// Sends `reply`; `out` is a buffer to build its bytes in.
pub(super) fn send_reply(
    reply: &Reply,
    connection: &Connection,
    out: &mut Vec<u8>,
) -> io::Result<After> {
    if !reply.delay.is_zero() {
        connection.sleep(reply.delay)?;
    }
    reply.render(out);
    let limit = reply.halt.map_or(usize::MAX, |halt| halt.at);
    send_bytes(connection, &out[..out.len().min(limit)], reply.drip)?;
    if reply.framing == Framing::Endless {
        send_filler(connection, limit.saturating_sub(out.len()), reply.drip)?;
    }
    match reply.halt {
        Some(halt) => {
            if halt.stall {
                connection.drain()?;
            }
            Ok(After::Close)
        }
        None if reply.closes() => Ok(After::Close),
        None => Ok(After::KeepAlive),
    }
}

/// Sends `bytes` in one piece, or byte by byte at the interval `drip`.
fn send_bytes(connection: &Connection, bytes: &[u8], drip: Option<Duration>) -> io::Result<()> {
    let Some(interval) = drip else {
        return connection.write_all(bytes);
    };
    for (index, byte) in bytes.chunks(1).enumerate() {
        if index > 0 {
            connection.sleep(interval)?;
        }
        connection.write_all(byte)?;
    }
    Ok(())
}

fn send_filler(connection: &Connection, len: usize, drip: Option<Duration>) -> io::Result<()> {
    let mut remaining = len;
    while remaining > 0 {
        let block = &FILLER[..FILLER.len().min(remaining)];
        send_bytes(connection, block, drip)?;
        remaining -= block.len();
    }
    Ok(())
}
