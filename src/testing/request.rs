//! A request: read from a connection, and kept for the user.

use std::io::{self, BufRead, ErrorKind, Read};
use std::time::Instant;

/// Maximum length of the request line and the headers, in bytes.
const MAX_HEADERS_LEN: usize = 16 * 1024;
/// Maximum length of a body, in bytes.
const MAX_BODY_LEN: usize = 64 * 1024;

/// A request that the stand-in has received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
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
        find_header(&self.headers, name)
    }

    /// Returns the number in the query's `taskID=N`.
    #[must_use]
    pub fn task_id(&self) -> Option<u64> {
        self.parameter("taskID=")?.parse().ok()
    }

    /// Returns the value of the query's parameter `name=`, with its percent-encoding.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.as_deref()?.split('&');
        pairs.find_map(|pair| pair.strip_prefix(name))
    }

    /// Reads the next request of a connection. `None` if the connection ends, an error if the
    /// request is malformed.
    pub(super) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            let remaining = MAX_HEADERS_LEN - bytes.len();
            if remaining == 0 {
                return Err(ErrorKind::InvalidData.into());
            }
            let mut line = from.by_ref().take(remaining as u64);
            if line.read_until(b'\n', &mut bytes)? == 0 {
                return Ok(None);
            }
        }
        let text = str::from_utf8(&bytes).ok();
        let request = text.and_then(|text| Self::parse(text.trim_end()));
        let mut request = request.ok_or(ErrorKind::InvalidData)?;
        let body_len = match request.header("Content-Length") {
            Some(digits) => digits.parse().unwrap_or(usize::MAX),
            None if request.header("Transfer-Encoding").is_some() => usize::MAX,
            None => 0,
        };
        if body_len > MAX_BODY_LEN {
            return Err(ErrorKind::InvalidData.into());
        }
        request.body = vec![0; body_len];
        from.read_exact(&mut request.body)?;
        request.at = Instant::now();
        Ok(Some(request))
    }

    /// Parses the request line and the headers.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let words: Vec<_> = lines.next()?.split(' ').collect();
        let [method, target, "HTTP/1.1" | "HTTP/1.0"] = words[..] else {
            return None;
        };
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        });
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            headers: headers.collect::<Option<_>>()?,
            body: Vec::new(),
            at: Instant::now(),
        })
    }
}

/// Returns the value of the first header of this name, in any case.
pub(super) fn find_header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut headers = headers.iter();
    let (_, value) = headers.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(value)
}
