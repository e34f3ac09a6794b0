//! A request: parsed from a connection's bytes, and kept for the user.

use std::time::Instant;

/// Maximum length of the request line and the headers, in bytes.
const MAX_HEADERS_LEN: usize = 16 * 1024;
/// Maximum length of a body, in bytes.
const MAX_BODY_LEN: usize = 64 * 1024;

const BLANK_LINE: &[u8] = b"\r\n\r\n";

/// A request that the stand-in has received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Number of its connection, in the order in which they were accepted, from 0.
    pub connection: usize,
    /// Method, for example `GET`.
    pub method: String,
    /// Path, without the query.
    pub path: String,
    /// Query, without the question mark.
    pub query: Option<String>,
    /// Headers in the order and case in which they were sent.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// Time at which its last byte was read.
    pub at: Instant,
}

impl Request {
    /// Returns the value of the first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns the number in the query's `taskID=N`.
    #[must_use]
    pub fn task_id(&self) -> Option<u64> {
        task_id_in(self.query.as_deref()?)
    }
}

/// A request in its connection's buffer. Reading it allocates nothing.
#[derive(Debug)]
pub(super) struct RequestView<'a> {
    connection: usize,
    at: Instant,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    query: Option<&'a str>,
    http_1_0: bool,
    /// Lines of the headers, each with a colon in it.
    headers: &'a str,
    pub(super) body: &'a [u8],
    /// Number of bytes of the buffer that it takes.
    pub(super) len: usize,
}

/// HTTP status of the response to bytes that are no valid request.
#[derive(Debug)]
pub(super) struct Malformed(pub(super) u16);

impl<'a> RequestView<'a> {
    /// Parses the request at the start of `bytes`; `None` while it is not complete.
    pub(super) fn parse(bytes: &'a [u8], connection: usize) -> Result<Option<Self>, Malformed> {
        let end = bytes
            .windows(BLANK_LINE.len())
            .position(|bytes| bytes == BLANK_LINE);
        let headers_len = end.map_or(bytes.len(), |end| end + BLANK_LINE.len());
        if headers_len > MAX_HEADERS_LEN {
            return Err(Malformed(400));
        }
        let Some(end) = end else { return Ok(None) };

        let mut request = Self::parse_headers(&bytes[..end], connection).ok_or(Malformed(400))?;
        if request.header("Transfer-Encoding").is_some() {
            return Err(Malformed(411));
        }
        let body_len = match request.header("Content-Length") {
            Some(digits) => digits.parse().map_err(|_| Malformed(400))?,
            None => 0,
        };
        if body_len > MAX_BODY_LEN {
            return Err(Malformed(400));
        }
        request.len = headers_len + body_len;
        let Some(body) = bytes.get(headers_len..request.len) else {
            return Ok(None);
        };
        request.body = body;
        Ok(Some(request))
    }

    /// Parses the request line and the headers, without the blank line at their end.
    fn parse_headers(bytes: &'a [u8], connection: usize) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        let (request_line, headers) = text.split_once("\r\n").unwrap_or((text, ""));
        let mut words = request_line.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        let valid = !method.is_empty()
            && !target.is_empty()
            && words.next().is_none()
            && matches!(version, "HTTP/1.1" | "HTTP/1.0")
            && headers.lines().all(|line| line.contains(':'));
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        valid.then(|| Self {
            connection,
            at: Instant::now(),
            method,
            path,
            query,
            http_1_0: version == "HTTP/1.0",
            headers,
            body: &[],
            len: 0,
        })
    }

    fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.headers
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name, value.trim()))
    }

    /// Returns the value of the first header of this name, in any case.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(super) fn task_id(&self) -> Option<u64> {
        task_id_in(self.query?)
    }

    /// Returns the value of a parameter of the query, which is given as `name=`, with its percent-encoding.
    pub(super) fn parameter(&self, name: &str) -> Option<&'a str> {
        parameter_in(self.query?, name)
    }

    /// Returns whether the peer wants the connection closed after the response.
    pub(super) fn wants_close(&self) -> bool {
        let has_close = |value: &str| {
            value
                .split(',')
                .any(|option| option.trim().eq_ignore_ascii_case("close"))
        };
        self.http_1_0 || self.header("Connection").is_some_and(has_close)
    }

    /// Returns a copy to keep.
    pub(super) fn to_request(&self) -> Request {
        Request {
            connection: self.connection,
            method: self.method.to_owned(),
            path: self.path.to_owned(),
            query: self.query.map(str::to_owned),
            headers: self
                .headers()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: self.body.to_owned(),
            at: self.at,
        }
    }
}

fn parameter_in<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name))
}

fn task_id_in(query: &str) -> Option<u64> {
    parameter_in(query, "taskID=")?.parse().ok()
}
