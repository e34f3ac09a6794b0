//! What to answer: the bytes of an answer, and how they are to be sent.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use crate::task::Progress;

/// The trace id in every envelope of the stand-in.
pub const TRACE_ID: &str = "stand-in-0001";

const JSON: &str = "application/json; charset=utf-8";

/// Into how many chunks a chunked body is cut.
const CHUNKS: usize = 3;

/// An answer to order with [`Service::reply_next`](super::Service::reply_next) or
/// [`Service::reply_with`](super::Service::reply_with): what is said, and what goes wrong.
///
/// Unless told otherwise it goes out in one piece and at once, with a `Content-Length`, and the
/// connection stays open.
///
/// ```
/// use pan123_offline::testing::Reply;
///
/// // A gateway that stops in the middle of its page.
/// let page = Reply::new(502).header("Content-Type", "text/html").body("<html>Bad Gateway</html>");
/// let half = page.len() - 10;
/// let broken = page.cut_at(half);
/// # let _ = broken;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    status: u16,
    content_type: Option<&'static str>,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Whether the body is all there is, without a head.
    raw: bool,
    pub(super) framing: Framing,
    announce_close: bool,
    close_after: bool,
    pub(super) halt: Option<Halt>,
    pub(super) drip: Option<Duration>,
    pub(super) delay: Duration,
}

/// How a receiver is to find the end of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Chunked,
    UntilClose,
    Endless,
}

/// Where an answer stops before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Halt {
    /// After so many bytes, head included.
    pub(super) at: usize,
    /// Whether the connection then stays open in silence, or is closed.
    pub(super) stall: bool,
}

impl Reply {
    /// An answer of this HTTP status without headers of its own and with an empty body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            content_type: None,
            headers: Vec::new(),
            body: Vec::new(),
            raw: false,
            framing: Framing::Length,
            announce_close: false,
            close_after: false,
            halt: None,
            drip: None,
            delay: Duration::ZERO,
        }
    }

    /// HTTP 200 with this body, declared as JSON but not looked at.
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self { content_type: Some(JSON), body: body.into(), ..Self::new(200) }
    }

    /// HTTP 200 with the envelope of a failure: this code and message, no data, [`TRACE_ID`].
    pub fn code(code: i64, message: &str) -> Self {
        let message = serde_json::Value::from(message);
        Self::json(format!(r#"{{"code":{code},"message":{message},"data":null,"x-traceID":"{TRACE_ID}"}}"#))
    }

    /// HTTP 200 with the envelope of a success, as a task's poll is usually answered.
    pub fn progress(progress: Progress) -> Self {
        Self::progress_in(Vec::new(), progress)
    }

    /// As [`progress`](Self::progress), with the body built in `spare`.
    pub(super) fn progress_in(spare: Vec<u8>, progress: Progress) -> Self {
        let (percent, status) = (progress.percent, progress.status.as_i64());
        let data = format_args!(r#"{{"process":{percent},"status":{status}}}"#);
        Self::success_in(spare, data)
    }

    /// The envelope of a success around `data`, which is JSON, built in `spare`.
    pub(super) fn success_in(mut spare: Vec<u8>, data: fmt::Arguments<'_>) -> Self {
        spare.clear();
        put(&mut spare, format_args!(r#"{{"code":0,"message":"ok","data":{data},"x-traceID":"{TRACE_ID}"}}"#));
        Self::json(spare)
    }

    /// These bytes in place of head and body. Status, headers and framing of such a reply have no
    /// effect; how it is sent and ended can be set as for others.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { raw: true, body: bytes.into(), ..Self::new(200) }
    }

    /// Closes the connection without a word.
    pub fn nothing() -> Self {
        Self::raw([]).close_after()
    }

    /// Sets the HTTP status.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a header, sent as it is. A `Content-Length` or `Transfer-Encoding` stands in place of the
    /// one that would be sent otherwise, so it may lie.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = bytes.into();
        self
    }

    /// Says `Connection: close`, and closes after the answer.
    pub fn announce_close(mut self) -> Self {
        self.announce_close = true;
        self
    }

    /// Closes after the answer without having said so.
    pub fn close_after(mut self) -> Self {
        self.close_after = true;
        self
    }

    /// Sends only so many bytes, head included, then closes. Replaces a
    /// [`stall_at`](Self::stall_at).
    pub fn cut_at(mut self, bytes: usize) -> Self {
        self.halt = Some(Halt { at: bytes, stall: false });
        self
    }

    /// Sends only so many bytes, head included, then keeps silent until the other side closes or the
    /// service is dropped. Replaces a [`cut_at`](Self::cut_at).
    pub fn stall_at(mut self, bytes: usize) -> Self {
        self.halt = Some(Halt { at: bytes, stall: true });
        self
    }

    /// Sends one byte at a time, with this pause between two of them.
    pub fn drip(mut self, pause: Duration) -> Self {
        self.drip = Some(pause);
        self
    }

    /// Waits so long before the first byte.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sends the body with `Transfer-Encoding: chunked`, in a few chunks. Of this,
    /// [`until_close`](Self::until_close) and [`endless`](Self::endless) the last one counts.
    pub fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    /// Sends no `Content-Length`: the body ends when the connection does.
    pub fn until_close(mut self) -> Self {
        self.framing = Framing::UntilClose;
        self
    }

    /// Sends no `Content-Length`, and blanks after the body until the other side closes, as fast as
    /// it reads. A [`cut_at`](Self::cut_at) or [`stall_at`](Self::stall_at) may end them.
    pub fn endless(mut self) -> Self {
        self.framing = Framing::Endless;
        self
    }

    /// How many bytes the head has, the blank line at its end included; 0 if the reply is
    /// [raw](Self::raw).
    pub fn head_len(&self) -> usize {
        let mut head = Vec::new();
        self.render_head(&mut head);
        head.len()
    }

    /// How many bytes head and body have together as they are sent; what
    /// [`cut_at`](Self::cut_at) leaves out and [`endless`](Self::endless) adds is not considered.
    pub fn len(&self) -> usize {
        let mut bytes = Vec::new();
        self.render(&mut bytes);
        bytes.len()
    }

    /// Whether there is neither head nor body.
    pub fn is_empty(&self) -> bool {
        self.raw && self.body.is_empty()
    }

    /// Whether the connection is closed after the whole answer.
    pub(super) fn closes(&self) -> bool {
        self.announce_close || self.close_after || self.framing == Framing::UntilClose
    }

    /// Puts the bytes to send into `out`, in place of what it holds.
    pub(super) fn render(&self, out: &mut Vec<u8>) {
        out.clear();
        self.render_head(out);
        if self.framing == Framing::Chunked && !self.raw {
            self.render_chunks(out);
        } else {
            out.extend_from_slice(&self.body);
        }
    }

    fn render_head(&self, out: &mut Vec<u8>) {
        if self.raw {
            return;
        }
        let (status, reason) = (self.status, reason(self.status));
        put(out, format_args!("HTTP/1.1 {status} {reason}\r\n"));
        if let Some(content_type) = self.content_type {
            put(out, format_args!("Content-Type: {content_type}\r\n"));
        }
        for (name, value) in &self.headers {
            put(out, format_args!("{name}: {value}\r\n"));
        }
        self.render_framing(out);
        if self.announce_close {
            put(out, format_args!("Connection: close\r\n"));
        }
        put(out, format_args!("\r\n"));
    }

    fn render_framing(&self, out: &mut Vec<u8>) {
        let own = self.headers.iter().any(|(name, _)| {
            name.eq_ignore_ascii_case("Content-Length") || name.eq_ignore_ascii_case("Transfer-Encoding")
        });
        // HTTP forbids both headers in these answers.
        let bodiless = matches!(self.status, 100..=199 | 204);
        if own || bodiless {
            return;
        }
        match self.framing {
            Framing::Length => put(out, format_args!("Content-Length: {}\r\n", self.body.len())),
            Framing::Chunked => put(out, format_args!("Transfer-Encoding: chunked\r\n")),
            Framing::UntilClose | Framing::Endless => {}
        }
    }

    fn render_chunks(&self, out: &mut Vec<u8>) {
        let longest = self.body.len().div_ceil(CHUNKS).max(1);
        for chunk in self.body.chunks(longest) {
            put(out, format_args!("{:x}\r\n", chunk.len()));
            out.extend_from_slice(chunk);
            put(out, format_args!("\r\n"));
        }
        put(out, format_args!("0\r\n\r\n"));
    }
}

/// Appends text; a `Vec` takes everything, so there is no error to report.
fn put(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unknown",
    }
}
