//! Faults of a response. Each but [`chunked`](Fault::chunked) fixes the bytes, and closes the
//! connection after them.

use std::time::Duration;

use pan123_offline::testing::Reply;

/// Beyond every timeout of the tests.
pub(crate) const NEVER: Duration = Duration::from_secs(600);

pub(crate) trait Fault: Sized {
    /// Length of the whole response.
    fn len(&self) -> usize;
    /// Length of the status line and the headers, with the blank line at their end.
    fn header_len(&self) -> usize;
    fn close_after(self) -> Reply;
    /// Sends only this number of bytes.
    fn cut_at(self, len: usize) -> Reply;
    /// Sends only this number of bytes, then nothing more.
    fn stall_at(self, len: usize) -> Reply;
    /// Sends one byte at a time.
    fn drip(self, interval: Duration) -> Reply;
    /// Sends the body in three chunks.
    fn chunked(self) -> Reply;
    /// Sends no `Content-Length`.
    fn until_close(self) -> Reply;
    /// Sends no `Content-Length` and 1 MiB of blanks after the body, then nothing more.
    fn endless(self) -> Reply;
}

impl Fault for Reply {
    fn len(&self) -> usize {
        self.to_bytes().len()
    }

    fn header_len(&self) -> usize {
        let bytes = self.to_bytes();
        let end = bytes.windows(4).position(|end| end == b"\r\n\r\n");
        end.unwrap() + 4
    }

    fn close_after(self) -> Reply {
        Reply::raw(self.to_bytes())
    }

    fn cut_at(self, len: usize) -> Reply {
        let mut bytes = self.to_bytes();
        bytes.truncate(len);
        Reply::raw(bytes)
    }

    fn stall_at(self, len: usize) -> Reply {
        self.cut_at(len).then(NEVER, "")
    }

    fn drip(self, interval: Duration) -> Reply {
        let bytes = self.to_bytes();
        bytes
            .into_iter()
            .fold(Reply::nothing(), |reply, byte| reply.then(interval, [byte]))
    }

    fn chunked(self) -> Reply {
        let body = self.to_bytes().split_off(self.header_len());
        let mut chunks = Vec::new();
        for chunk in body.chunks(body.len().div_ceil(3).max(1)) {
            let size = format!("{:x}\r\n", chunk.len());
            chunks.extend([size.as_bytes(), chunk, b"\r\n"].concat());
        }
        chunks.extend(b"0\r\n\r\n");
        self.header("Transfer-Encoding", "chunked").body(chunks)
    }

    fn until_close(self) -> Reply {
        let mut bytes = self.to_bytes();
        let body = bytes.split_off(self.header_len());
        let header = String::from_utf8(bytes).unwrap();
        let lines = header
            .split_inclusive('\n')
            .filter(|line| !line.starts_with("Content-Length"));
        Reply::raw([lines.collect::<String>().as_bytes(), &body].concat())
    }

    fn endless(self) -> Reply {
        self.until_close()
            .then(Duration::ZERO, " ".repeat(1 << 20))
            .then(NEVER, "")
    }
}
