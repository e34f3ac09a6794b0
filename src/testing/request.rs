//! A request: read from a connection's bytes, and kept for the user.

use std::time::Instant;

/// The longest head taken, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;
/// The longest body taken, in bytes.
const LONGEST_BODY: usize = 64 * 1024;

const BLANK_LINE: &[u8] = b"\r\n\r\n";

/// A request as the stand-in received it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The number of its connection, from 0 on in the order they were accepted.
    pub connection: usize,
    /// Its method, like `GET`.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
    /// Its query, without the question mark.
    pub query: Option<String>,
    /// Its headers, as sent: order and case kept.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// When it had arrived to its last byte.
    pub at: Instant,
}

impl Request {
    /// The value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The number in the query's `taskID=N`.
    pub fn task_id(&self) -> Option<u64> {
        task_id_in(self.query.as_deref()?)
    }
}

/// A request that still lies in its connection's buffer: looking at it allocates nothing.
#[derive(Debug)]
pub(super) struct RequestView<'a> {
    connection: usize,
    at: Instant,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    query: Option<&'a str>,
    http_1_0: bool,
    /// The lines of the headers, each with a colon in it.
    headers: &'a str,
    pub(super) body: &'a [u8],
    /// How many bytes of the buffer it takes.
    pub(super) len: usize,
}

/// The HTTP status for what is no request that can be answered.
#[derive(Debug)]
pub(super) struct Malformed(pub(super) u16);

impl<'a> RequestView<'a> {
    /// The request at the start of `bytes`; `None` while it is not complete.
    pub(super) fn parse(bytes: &'a [u8], connection: usize) -> Result<Option<Self>, Malformed> {
        let end = bytes.windows(BLANK_LINE.len()).position(|bytes| bytes == BLANK_LINE);
        let head_len = end.map_or(bytes.len(), |end| end + BLANK_LINE.len());
        if head_len > LONGEST_HEAD {
            return Err(Malformed(400));
        }
        let Some(end) = end else { return Ok(None) };

        let mut request = Self::parse_head(&bytes[..end], connection).ok_or(Malformed(400))?;
        if request.header("Transfer-Encoding").is_some() {
            return Err(Malformed(411));
        }
        let body_len = match request.header("Content-Length") {
            Some(digits) => digits.parse().map_err(|_| Malformed(400))?,
            None => 0,
        };
        if body_len > LONGEST_BODY {
            return Err(Malformed(400));
        }
        request.len = head_len + body_len;
        let Some(body) = bytes.get(head_len..request.len) else {
            return Ok(None);
        };
        request.body = body;
        Ok(Some(request))
    }

    /// Reads a head, without the blank line at its end.
    fn parse_head(head: &'a [u8], connection: usize) -> Option<Self> {
        let head = str::from_utf8(head).ok()?;
        let (first, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let mut words = first.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        let well_formed = !method.is_empty()
            && !target.is_empty()
            && words.next().is_none()
            && matches!(version, "HTTP/1.1" | "HTTP/1.0")
            && headers.lines().all(|line| line.contains(':'));
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        well_formed.then(|| Self {
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
        self.headers.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()))
    }

    /// The value of the first header of this name, in any case.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(super) fn task_id(&self) -> Option<u64> {
        task_id_in(self.query?)
    }

    /// Whether the connection ends after the answer.
    pub(super) fn is_last(&self) -> bool {
        let asked = |value: &str| value.split(',').any(|option| option.trim().eq_ignore_ascii_case("close"));
        self.http_1_0 || self.header("Connection").is_some_and(asked)
    }

    /// A copy to keep.
    pub(super) fn to_request(&self) -> Request {
        Request {
            connection: self.connection,
            method: self.method.to_owned(),
            path: self.path.to_owned(),
            query: self.query.map(str::to_owned),
            headers: self.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: self.body.to_owned(),
            at: self.at,
        }
    }
}

fn task_id_in(query: &str) -> Option<u64> {
    query.split('&').find_map(|pair| pair.strip_prefix("taskID="))?.parse().ok()
}
