//! A scripted response.

use std::fmt::Display;
use std::time::Duration;

use super::request::find_header;
use crate::task::Progress;

/// Trace id in every envelope of the stand-in.
pub const TRACE_ID: &str = "stand-in-0001";

/// A response for [`Service::reply_next`](super::Service::reply_next) or
/// [`Service::reply_with`](super::Service::reply_with).
///
/// It is sent at once, with a `Content-Length`, and the connection stays open, unless one of the
/// methods says otherwise.
///
/// ```
/// use pan123_offline::testing::Reply;
///
/// // A gateway that closes the connection in the middle of its error page.
/// let page = Reply::new(502).header("Content-Type", "text/html").body("<html>Bad Gateway</html>");
/// let bytes = page.to_bytes();
/// let broken = Reply::raw(&bytes[..bytes.len() - 10]);
/// # let _ = broken;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a response has no effect before it is given to a service"]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    pub(super) delay: Duration,
    /// In place of status, headers and body: bytes, each with the time to wait before them.
    pub(super) raw: Option<Vec<(Duration, Vec<u8>)>>,
}

impl Reply {
    /// Creates a response with this HTTP status, no headers of its own and an empty body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            delay: Duration::ZERO,
            raw: None,
        }
    }

    /// Creates a response with HTTP 200 and this body, declared as JSON but not checked.
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200)
            .header("Content-Type", "application/json; charset=utf-8")
            .body(body)
    }

    /// Creates a response with HTTP 200 and the envelope of a failure: this code and message, no
    /// data, [`TRACE_ID`].
    pub fn code(code: i64, message: &str) -> Self {
        Self::envelope(code, message, "null")
    }

    /// Creates the documented response to a poll: HTTP 200 and the envelope of a success.
    pub fn progress(progress: Progress) -> Self {
        let (percent, status) = (progress.percent, progress.status.as_i64());
        Self::success(format_args!(r#"{{"process":{percent},"status":{status}}}"#))
    }

    /// Creates a response with the envelope of a success around `data`, which is JSON.
    pub(super) fn success(data: impl Display) -> Self {
        Self::envelope(0, "ok", data)
    }

    fn envelope(code: i64, message: &str, data: impl Display) -> Self {
        let message = serde_json::Value::from(message);
        Self::json(format!(
            r#"{{"code":{code},"message":{message},"data":{data},"x-traceID":"{TRACE_ID}"}}"#
        ))
    }

    /// Creates a response of these bytes only, whatever they are. The connection is closed after
    /// them.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            raw: Some(vec![(Duration::ZERO, bytes.into())]),
            ..Self::new(200)
        }
    }

    /// Creates an empty response: the connection is closed without a byte.
    pub fn nothing() -> Self {
        Self::raw([])
    }

    /// Makes the response a [raw](Self::raw) one, which sends further bytes after a pause.
    pub fn then(mut self, pause: Duration, bytes: impl Into<Vec<u8>>) -> Self {
        let steps = self.raw.take();
        let mut steps = steps.unwrap_or_else(|| vec![(Duration::ZERO, self.to_bytes())]);
        steps.push((pause, bytes.into()));
        self.raw = Some(steps);
        self
    }

    /// Sets the HTTP status.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a header, which is sent unchanged. A `Content-Length` or `Transfer-Encoding` replaces
    /// the computed `Content-Length`, so it may be wrong. After a `Connection: close` the connection
    /// is closed.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = bytes.into();
        self
    }

    /// Waits for this time before the first byte.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Returns the bytes that are sent, the status line and the headers included.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        if let Some(steps) = &self.raw {
            return steps.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        }
        let mut text = format!("HTTP/1.1 {} \r\n", self.status);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        let has = |name| find_header(&self.headers, name).is_some();
        if !has("Content-Length") && !has("Transfer-Encoding") {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        text += "\r\n";
        [text.as_bytes(), &self.body].concat()
    }

    /// Returns whether the connection is closed after the response.
    pub(super) fn closes(&self) -> bool {
        self.raw.is_some() || find_header(&self.headers, "Connection") == Some("close")
    }
}
