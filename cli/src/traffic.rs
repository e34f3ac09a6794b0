//! Observation of requests and responses: for `--verbose`, and for the reason why a run makes no
//! progress.

use std::io::{self, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pan123_offline::ureq::http::{HeaderMap, Request, Response};
use pan123_offline::ureq::middleware::{Middleware, MiddlewareNext};
use pan123_offline::ureq::{self, Body, BodyReader, SendBody};
use pan123_offline::{ClientBuilder, Envelope, ErrorCode};
use serde::de::IgnoredAny;

use crate::failure::eprint_line;
use crate::overview::Pause;

/// Maximum number of bytes of a body that are kept to find its code.
const MAX_BODY_LEN: usize = 4096;
/// Time that the library waits after a 429 without `Retry-After`.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Minimum time for which requests must fail before the error is shown.
const MIN_FAILING_TIME: Duration = Duration::from_secs(3);

/// The state of the connection with the service.
#[derive(Debug)]
struct Traffic {
    limited_until: Option<Instant>,
    /// The last error, and the time of the first consecutive one.
    failing: Option<(String, Instant)>,
}

static TRAFFIC: Mutex<Traffic> = Mutex::new(Traffic {
    limited_until: None,
    failing: None,
});

fn traffic() -> MutexGuard<'static, Traffic> {
    TRAFFIC.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the reason why the run makes no progress, if there is one.
pub(crate) fn pause_reason() -> Option<Pause> {
    traffic().pause_reason(Instant::now())
}

impl Traffic {
    fn pause_reason(&self, now: Instant) -> Option<Pause> {
        let remaining = self
            .limited_until
            .map(|time| time.saturating_duration_since(now))
            .filter(|remaining| !remaining.is_zero());
        if let Some(remaining) = remaining {
            return Some(Pause::RateLimited(remaining));
        }
        let (error, first) = self.failing.as_ref()?;
        let elapsed = now.saturating_duration_since(*first);
        (elapsed >= MIN_FAILING_TIME).then(|| Pause::Failing {
            error: error.clone(),
            elapsed,
        })
    }

    fn record(&mut self, outcome: &Outcome, now: Instant) {
        if outcome.is_rate_limited() {
            let limited_until = now.checked_add(outcome.retry_after.unwrap_or(DEFAULT_RETRY_AFTER));
            self.limited_until = self.limited_until.max(limited_until);
        }
        self.failing = outcome
            .service_error()
            .map(|error| match self.failing.take() {
                Some((_, first)) => (error, first),
                None => (error, now),
            });
    }
}

/// The outcome of a request.
#[derive(Debug, Default)]
struct Outcome {
    status: Option<u16>,
    code: Option<ErrorCode>,
    trace_id: Option<String>,
    retry_after: Option<Duration>,
    error: Option<String>,
}

impl Outcome {
    fn is_rate_limited(&self) -> bool {
        self.status == Some(429) || self.code == Some(ErrorCode::RATE_LIMITED)
    }

    /// Returns the error, unless it concerns a single task only.
    fn service_error(&self) -> Option<String> {
        match (self.status, &self.error) {
            (_, Some(error)) => Some(error.clone()),
            (Some(status @ 500..), _) => Some(format!("HTTP {status}")),
            (Some(200..300), _) if self.code.is_none() => Some("no valid response".to_owned()),
            _ => None,
        }
    }

    /// Returns the part of a line of `--verbose` that comes after the request.
    fn text(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.status.map(|status| format!("HTTP {status}")));
        parts.extend(self.code.map(|code| format!("code {}", code.0)));
        let retry_after = self.retry_after.map(|delay| delay.as_secs());
        parts.extend(retry_after.map(|delay| format!("retry after {delay} s")));
        let trace_id = self.trace_id.as_deref();
        parts.extend(trace_id.map(|id| format!("trace id {}", id.escape_debug())));
        parts.extend(self.error.clone());
        parts.join(", ")
    }
}

/// Observes the requests of a client.
pub(crate) fn observe(builder: ClientBuilder, is_verbose: bool) -> ClientBuilder {
    builder.configure_agent(move |config| config.middleware(Observer { is_verbose }))
}

struct Observer {
    is_verbose: bool,
}

impl Middleware for Observer {
    fn handle(
        &self,
        request: Request<SendBody>,
        next: MiddlewareNext,
    ) -> Result<Response<Body>, ureq::Error> {
        let mut record = RequestRecord {
            // The method and the URL only: no header, and so no token.
            request: match self.is_verbose {
                true => Some(format!("{} {}", request.method(), request.uri())),
                false => None,
            },
            started: Instant::now(),
            outcome: Outcome::default(),
            body: Vec::new(),
        };
        match next.handle(request) {
            Ok(response) => {
                record.outcome.status = Some(response.status().as_u16());
                record.outcome.retry_after = retry_after(response.headers());
                let (parts, body) = response.into_parts();
                let reader = body.into_reader();
                let body = Body::builder().reader(ObservedBody { reader, record });
                Ok(Response::from_parts(parts, body))
            }
            Err(error) => {
                if is_lookup_needed(&error) {
                    record.request = None;
                    record.outcome.error = Some("DNS lookup fails".to_owned());
                } else {
                    record.outcome.error = Some(error.to_string());
                }
                Err(error)
            }
        }
    }
}

/// Returns whether nothing was sent because the library must look up the host's name first.
fn is_lookup_needed(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Io(e)
        if e.kind() == io::ErrorKind::ConnectionRefused && e.raw_os_error().is_none())
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("Retry-After")?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// A request and its response so far. Recorded on drop.
struct RequestRecord {
    request: Option<String>,
    started: Instant,
    outcome: Outcome,
    body: Vec<u8>,
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        if let Ok(envelope) = Envelope::<IgnoredAny>::from_slice(&self.body) {
            self.outcome.code = Some(envelope.code);
            self.outcome.trace_id = envelope.trace_id;
        }
        traffic().record(&self.outcome, Instant::now());
        if let Some(request) = &self.request {
            let time = self.started.elapsed().as_millis();
            eprint_line(&format!("{request}: {}, {time} ms", self.outcome.text()));
        }
    }
}

/// A body whose first bytes are kept.
struct ObservedBody {
    reader: BodyReader<'static>,
    record: RequestRecord,
}

impl Read for ObservedBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.reader.read(buffer);
        match &result {
            Ok(read) => {
                let free = MAX_BODY_LEN - self.record.body.len();
                let start = &buffer[..(*read).min(free)];
                self.record.body.extend_from_slice(start);
            }
            Err(error) => self.record.outcome.error = Some(error.to_string()),
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, code: Option<i64>) -> Outcome {
        Outcome {
            status: Some(status),
            code: code.map(ErrorCode),
            ..Outcome::default()
        }
    }

    fn traffic() -> Traffic {
        Traffic {
            limited_until: None,
            failing: None,
        }
    }

    #[test]
    fn rate_limit_lasts_until_retry_after() {
        let (now, mut traffic) = (Instant::now(), traffic());
        let limited = Outcome {
            retry_after: Some(Duration::from_secs(600)),
            ..outcome(200, Some(429))
        };
        traffic.record(&limited, now);
        // A shorter `Retry-After` does not replace a longer one.
        traffic.record(&outcome(429, None), now);
        let after = |seconds| traffic.pause_reason(now + Duration::from_secs(seconds));
        assert_eq!(
            after(60),
            Some(Pause::RateLimited(Duration::from_secs(540)))
        );
        assert_eq!(after(600), None);
    }

    #[test]
    fn consecutive_errors_are_shown_after_three_seconds() {
        let (now, mut traffic) = (Instant::now(), traffic());
        let at = |seconds| now + Duration::from_secs(seconds);
        traffic.record(&outcome(502, None), at(0));
        assert_eq!(traffic.pause_reason(at(2)), None);
        let error = Some("Connection refused".to_owned());
        let refused = Outcome {
            error,
            ..Outcome::default()
        };
        traffic.record(&refused, at(10));
        let expected = Pause::Failing {
            error: "Connection refused".to_owned(),
            elapsed: Duration::from_secs(12),
        };
        assert_eq!(traffic.pause_reason(at(12)), Some(expected));
        // The error of a single task is a valid response.
        traffic.record(&outcome(200, Some(1)), at(13));
        assert_eq!(traffic.pause_reason(at(20)), None);
    }

    #[test]
    fn text_has_status_code_and_trace_id() {
        let full = Outcome {
            trace_id: Some("id-1\u{1b}".to_owned()),
            retry_after: Some(Duration::from_secs(9)),
            ..outcome(200, Some(429))
        };
        let text = r"HTTP 200, code 429, retry after 9 s, trace id id-1\u{1b}";
        assert_eq!(full.text(), text);
    }
}
