//! A scripted response: its bytes, and the way they are sent.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use crate::task::Progress;

/// Trace id in every envelope of the stand-in.
pub const TRACE_ID: &str = "stand-in-0001";

const JSON: &str = "application/json; charset=utf-8";

/// Maximum number of chunks of a chunked body, the empty one at its end not counted.
const MAX_CHUNKS: usize = 3;

/// A response for [`Service::reply_next`](super::Service::reply_next) or
/// [`Service::reply_with`](super::Service::reply_with), with its faults.
///
/// By default it is sent at once and in one piece, with a `Content-Length`, and the connection
/// stays open.
///
/// ```
/// use pan123_offline::testing::Reply;
///
/// // A gateway that closes the connection in the middle of its error page.
/// let page = Reply::new(502).header("Content-Type", "text/html").body("<html>Bad Gateway</html>");
/// let half = page.len() - 10;
/// let broken = page.cut_at(half);
/// # let _ = broken;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a response has no effect before it is given to a service"]
pub struct Reply {
    status: u16,
    content_type: Option<&'static str>,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Whether the body is sent alone, without a status line and headers.
    raw: bool,
    pub(super) framing: Framing,
    announce_close: bool,
    close_after: bool,
    pub(super) halt: Option<Halt>,
    pub(super) drip: Option<Duration>,
    pub(super) delay: Duration,
}

/// The way in which a receiver finds the end of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Chunked,
    UntilClose,
    Endless,
}

/// The point at which a response stops before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Halt {
    /// Number of bytes that are sent, status line and headers included.
    pub(super) at: usize,
    /// Whether the connection stays open after them without another byte. If not, it is closed.
    pub(super) stall: bool,
}

impl Reply {
    /// Creates a response with this HTTP status, no headers of its own and an empty body.
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

    /// Creates a response with HTTP 200 and this body, declared as JSON but not checked.
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self {
            content_type: Some(JSON),
            body: body.into(),
            ..Self::new(200)
        }
    }

    /// Creates a response with HTTP 200 and the envelope of a failure: this code and message, no
    /// data, [`TRACE_ID`].
    pub fn code(code: i64, message: &str) -> Self {
        let message = serde_json::Value::from(message);
        Self::json(format!(
            r#"{{"code":{code},"message":{message},"data":null,"x-traceID":"{TRACE_ID}"}}"#
        ))
    }

    /// Creates the documented response to a poll: HTTP 200 and the envelope of a success.
    pub fn progress(progress: Progress) -> Self {
        Self::progress_in(Vec::new(), progress)
    }

    /// Creates a response as [`progress`](Self::progress) does, with the body built in `spare`.
    pub(super) fn progress_in(spare: Vec<u8>, progress: Progress) -> Self {
        let (percent, status) = (progress.percent, progress.status.as_i64());
        let data = format_args!(r#"{{"process":{percent},"status":{status}}}"#);
        Self::success_in(spare, data)
    }

    /// Creates a response with the envelope of a success around `data`, which is JSON, built in
    /// `spare`.
    pub(super) fn success_in(mut spare: Vec<u8>, data: fmt::Arguments<'_>) -> Self {
        spare.clear();
        push(
            &mut spare,
            format_args!(r#"{{"code":0,"message":"ok","data":{data},"x-traceID":"{TRACE_ID}"}}"#),
        );
        Self::json(spare)
    }

    /// Creates a response of these bytes only. Its status, headers and framing have no effect;
    /// delays, closing and the like can be set as for other responses.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            raw: true,
            body: bytes.into(),
            ..Self::new(200)
        }
    }

    /// Creates an empty response: the connection is closed without a byte.
    pub fn nothing() -> Self {
        Self::raw([]).close_after()
    }

    /// Sets the HTTP status.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a header, which is sent unchanged. A `Content-Length` or `Transfer-Encoding` replaces
    /// the computed one, so it may be wrong.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = bytes.into();
        self
    }

    /// Sends `Connection: close`, and closes the connection after the response.
    pub fn announce_close(mut self) -> Self {
        self.announce_close = true;
        self
    }

    /// Closes the connection after the response, without a `Connection: close`.
    pub fn close_after(mut self) -> Self {
        self.close_after = true;
        self
    }

    /// Sends only this number of bytes, status line and headers included, then closes the
    /// connection. Replaces a [`stall_at`](Self::stall_at).
    pub fn cut_at(mut self, bytes: usize) -> Self {
        self.halt = Some(Halt {
            at: bytes,
            stall: false,
        });
        self
    }

    /// Sends only this number of bytes, status line and headers included, then nothing more. The
    /// connection stays open until the peer closes it or the service is dropped. Replaces a
    /// [`cut_at`](Self::cut_at).
    pub fn stall_at(mut self, bytes: usize) -> Self {
        self.halt = Some(Halt {
            at: bytes,
            stall: true,
        });
        self
    }

    /// Sends one byte at a time, with this interval between two bytes.
    pub fn drip(mut self, interval: Duration) -> Self {
        self.drip = Some(interval);
        self
    }

    /// Waits for this time before the first byte.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sends the body with `Transfer-Encoding: chunked`, in at most three chunks. Of
    /// `chunked`, [`until_close`](Self::until_close) and [`endless`](Self::endless), each replaces
    /// the others.
    pub fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    /// Sends no `Content-Length`: the body ends with the connection.
    pub fn until_close(mut self) -> Self {
        self.framing = Framing::UntilClose;
        self
    }

    /// Sends no `Content-Length`, and blanks after the body as fast as the peer reads, until it
    /// closes the connection. A [`cut_at`](Self::cut_at) or [`stall_at`](Self::stall_at) limits
    /// them.
    pub fn endless(mut self) -> Self {
        self.framing = Framing::Endless;
        self
    }

    /// Returns the length in bytes of the status line and the headers, the blank line at their end
    /// included; 0 if the response is [raw](Self::raw).
    #[must_use]
    pub fn header_len(&self) -> usize {
        let mut headers = Vec::new();
        self.render_headers(&mut headers);
        headers.len()
    }

    /// Returns the length in bytes of the whole response as it is sent, without regard to
    /// [`cut_at`](Self::cut_at), [`stall_at`](Self::stall_at) and [`endless`](Self::endless).
    #[must_use]
    pub fn len(&self) -> usize {
        let mut bytes = Vec::new();
        self.render(&mut bytes);
        bytes.len()
    }

    /// Returns whether the response is raw and has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.raw && self.body.is_empty()
    }

    /// Returns whether the connection is closed after the whole response.
    pub(super) fn closes(&self) -> bool {
        self.announce_close || self.close_after || self.framing == Framing::UntilClose
    }

    /// Writes the bytes to send into `out`, in place of its contents.
    pub(super) fn render(&self, out: &mut Vec<u8>) {
        out.clear();
        self.render_headers(out);
        if self.framing == Framing::Chunked && !self.raw {
            self.render_chunks(out);
        } else {
            out.extend_from_slice(&self.body);
        }
    }

    fn render_headers(&self, out: &mut Vec<u8>) {
        if self.raw {
            return;
        }
        let (status, reason) = (self.status, reason(self.status));
        push(out, format_args!("HTTP/1.1 {status} {reason}\r\n"));
        if let Some(content_type) = self.content_type {
            push(out, format_args!("Content-Type: {content_type}\r\n"));
        }
        for (name, value) in &self.headers {
            push(out, format_args!("{name}: {value}\r\n"));
        }
        self.render_framing(out);
        if self.announce_close {
            push(out, format_args!("Connection: close\r\n"));
        }
        push(out, format_args!("\r\n"));
    }

    fn render_framing(&self, out: &mut Vec<u8>) {
        let is_set = self.headers.iter().any(|(name, _)| {
            name.eq_ignore_ascii_case("Content-Length")
                || name.eq_ignore_ascii_case("Transfer-Encoding")
        });
        // HTTP forbids both headers in these responses.
        let has_no_body = matches!(self.status, 100..=199 | 204);
        if is_set || has_no_body {
            return;
        }
        match self.framing {
            Framing::Length => push(out, format_args!("Content-Length: {}\r\n", self.body.len())),
            Framing::Chunked => push(out, format_args!("Transfer-Encoding: chunked\r\n")),
            Framing::UntilClose | Framing::Endless => {}
        }
    }

    fn render_chunks(&self, out: &mut Vec<u8>) {
        let chunk_len = self.body.len().div_ceil(MAX_CHUNKS).max(1);
        for chunk in self.body.chunks(chunk_len) {
            push(out, format_args!("{:x}\r\n", chunk.len()));
            out.extend_from_slice(chunk);
            push(out, format_args!("\r\n"));
        }
        push(out, format_args!("0\r\n\r\n"));
    }
}

/// Appends text. Writing to a `Vec` cannot fail.
fn push(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
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
