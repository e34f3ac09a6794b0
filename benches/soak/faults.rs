//! The faults: the change of the good response, and the result of the call.

use std::time::Duration;

use pan123_offline::testing::Reply;
use pan123_offline::{Error, Progress, Status, TransportErrorKind};

use Seen::{Api, Decode, Http, Right};

/// Number of task ids of each fault. Ids are `fault * IDS_PER_FAULT + n`, so both processes know the response.
pub(crate) const IDS_PER_FAULT: u64 = 100;
/// The task whose poll makes the service revoke all tokens.
pub(crate) const REVOKE: u64 = 1_000_000;

/// The result of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Right,
    Transport(TransportErrorKind),
    Http(u16),
    Api(i64),
    Decode,
    Other,
}

pub(crate) const CLOSED: Seen = Seen::Transport(TransportErrorKind::Closed);
pub(crate) const TIMED_OUT: Seen = Seen::Transport(TransportErrorKind::Timeout);
const PROTOCOL: Seen = Seen::Transport(TransportErrorKind::Protocol);

impl Seen {
    pub(crate) fn of<T>(result: &pan123_offline::Result<T>) -> Self {
        match result {
            Ok(_) => Right,
            Err(Error::Transport(error)) => Self::Transport(error.kind),
            Err(Error::Http(error)) => Http(error.status),
            Err(Error::Api(error)) => Api(error.code.0),
            Err(Error::Decode(_)) => Decode,
            Err(_) => Self::Other,
        }
    }

    pub(crate) fn ends_a_watch(self) -> bool {
        matches!(self, Api(403) | Http(403))
    }
}

#[derive(PartialEq, Eq)]
pub(crate) enum Frequency {
    Often,
    /// The fault takes time.
    Rarely,
    /// Every other request of a task has the fault.
    Once,
}

/// A fault: the change of the good response, and the result of the call.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) frequency: Frequency,
    pub(crate) seen: Seen,
    pub(crate) reply: fn(Reply) -> Reply,
}

impl Fault {
    const fn new(name: &'static str, seen: Seen, reply: fn(Reply) -> Reply) -> Self {
        Self {
            name,
            frequency: Frequency::Often,
            seen,
            reply,
        }
    }

    const fn rarely(name: &'static str, seen: Seen, reply: fn(Reply) -> Reply) -> Self {
        Self {
            name,
            frequency: Frequency::Rarely,
            seen,
            reply,
        }
    }

    /// Returns the result of `create_task`, which makes no second request after a closed connection.
    pub(crate) fn seen_by_create(&self) -> Seen {
        if self.frequency == Frequency::Once {
            CLOSED
        } else {
            self.seen
        }
    }
}

pub(crate) const GOOD: usize = 0;
pub(crate) const SERVER_CLOSES: usize = 1;
pub(crate) const NO_RESPONSE: usize = 7;

/// All faults, except a refused token, which is not sent again: `Soak::revoke` makes those.
pub(crate) static FAULTS: [Fault; 45] = [
    Fault::new("none", Right, |good| good),
    Fault::new("closes unannounced", Right, Reply::close_after),
    Fault::new("closes as announced", Right, Reply::announce_close),
    Fault::new("in chunks", Right, Reply::chunked),
    Fault::new("no length", Right, Reply::until_close),
    Fault::new("a delay", Right, |good| {
        good.delay(Duration::from_millis(5))
    }),
    Fault {
        name: "no response, once",
        frequency: Frequency::Once,
        seen: Right,
        reply: |_| Reply::nothing(),
    },
    Fault::new("no response", CLOSED, |_| Reply::nothing()),
    Fault::new("cut in the status line", CLOSED, |good| good.cut_at(12)),
    Fault::new("cut in the header", CLOSED, |good| {
        cut(good.header_len() - 1, good)
    }),
    Fault::new("cut before the body", CLOSED, |good| {
        cut(good.header_len(), good)
    }),
    Fault::new("cut in the body", CLOSED, |good| cut(good.len() - 1, good)),
    Fault::new("cut in the chunks", CLOSED, |good| {
        cut(good.clone().chunked().len() - 9, good.chunked())
    }),
    Fault::new("cut without a length", Decode, |good| {
        cut(good.clone().until_close().len() - 1, good.until_close())
    }),
    Fault::new("Content-Length too large", CLOSED, |good| {
        good.header("Content-Length", "1000").close_after()
    }),
    Fault::new("Content-Length too small", Decode, |good| {
        good.header("Content-Length", "30")
    }),
    Fault::new("Content-Length not a number", PROTOCOL, |good| {
        good.header("Content-Length", "x")
    }),
    Fault::new("an invalid chunk size", PROTOCOL, |_| Reply::raw(BAD_CHUNK)),
    Fault::new("a header of 9 KiB", PROTOCOL, |good| {
        good.header("X-Long", "x".repeat(9 * 1024))
    }),
    Fault::new("not HTTP", PROTOCOL, |_| {
        Reply::raw("SSH-2.0-OpenSSH_9.2\r\n")
    }),
    Fault::new("endless", Decode, Reply::endless),
    Fault::new("a body of 65 KiB", Decode, |good| {
        good.body(" ".repeat(65 * 1024))
    }),
    Fault::new("an empty body", Decode, |_| Reply::json("")),
    Fault::new("a page", Decode, |good| {
        good.body("<html><body>no</body></html>")
    }),
    Fault::new("not UTF-8", Decode, |good| {
        good.body(b"{\"code\":0,\"message\":\"\xff\"}".as_slice())
    }),
    Fault::new("no code", Decode, |_| {
        Reply::json(r#"{"data":{"process":100,"status":2,"taskID":7}}"#)
    }),
    Fault::new("no data", Decode, |_| {
        Reply::json(r#"{"code":0,"message":"ok","data":null}"#)
    }),
    Fault::new("other data", Decode, |_| {
        Reply::json(r#"{"code":0,"message":"ok","data":[7]}"#)
    }),
    Fault::new("code 1", Api(1), |_| Reply::code(1, "internal error")),
    Fault::new("code \"403\"", Api(403), |_| {
        Reply::json(r#"{"code":"403","message":"forbidden client ip"}"#)
    }),
    // Without `Retry-After` a watch would rest for a second.
    Fault::new("code 429", Api(429), |_| {
        Reply::code(429, "too many requests").header("Retry-After", "0")
    }),
    Fault::new("code 5066", Api(5066), |_| {
        Reply::code(5066, "file not found")
    }),
    Fault::new("code 0 in HTTP 502", Api(0), |good| good.status(502)),
    Fault::new("HTTP 301", Http(301), |_| {
        Reply::new(301).header("Location", "http://127.0.0.1:9/")
    }),
    Fault::new("HTTP 403", Http(403), |_| Reply::new(403)),
    Fault::new("HTTP 404", Http(404), |good| {
        good.status(404).body("<html>Not Found</html>")
    }),
    Fault::new("HTTP 429", Http(429), |_| {
        Reply::new(429).header("Retry-After", "0")
    }),
    Fault::new("HTTP 500", Http(500), |_| Reply::new(500)),
    Fault::new("HTTP 502", Http(502), |good| {
        good.status(502)
            .body("<html>Bad Gateway</html>")
            .announce_close()
    }),
    Fault::rarely("stalls before the header", TIMED_OUT, |good| {
        good.stall_at(0)
    }),
    Fault::rarely("stalls in the header", TIMED_OUT, |good| good.stall_at(30)),
    Fault::rarely("stalls in the body", TIMED_OUT, |good| {
        stall(good.len() - 1, good)
    }),
    Fault::rarely("Content-Length too large, silence", TIMED_OUT, |good| {
        good.header("Content-Length", "1000")
    }),
    Fault::rarely("byte by byte, too slow", TIMED_OUT, |good| {
        good.drip(Duration::from_millis(100))
    }),
    Fault::rarely("byte by byte", Right, |good| {
        good.drip(Duration::from_micros(10))
    }),
];

const BAD_CHUNK: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n";

fn cut(at: usize, reply: Reply) -> Reply {
    reply.cut_at(at)
}

fn stall(at: usize, reply: Reply) -> Reply {
    reply.stall_at(at)
}

/// Returns the progress of a task.
pub(crate) fn progress_of(task_id: u64) -> Progress {
    let status = [
        Status::InProgress,
        Status::Failed,
        Status::Succeeded,
        Status::Retrying,
    ][(task_id % 4) as usize];
    Progress::new(status, (task_id * 7 % 101) as u8)
}

pub(crate) fn url_of(number: u64) -> String {
    format!("https://example.org/{number}.png")
}
