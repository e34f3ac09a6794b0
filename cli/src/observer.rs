//! Observation of requests: the reason why a run makes no progress, whether a creation was sent, and the lines of
//! `--verbose`.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pan123_offline::ureq::http::{Method, Request, Response};
use pan123_offline::ureq::middleware::{Middleware, MiddlewareNext};
use pan123_offline::ureq::{self, Body, BodyReader, SendBody};
use pan123_offline::{ClientBuilder, Envelope, ErrorCode};
use serde::de::IgnoredAny;

use crate::failure::{eprint_line, without_prefix};
use crate::stats::Pause;

/// Maximum number of bytes of a body that are kept to find its code.
const MAX_BODY_LEN: usize = 4096;
/// Time that the library waits after a 429 without `Retry-After`.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);
/// A longer pause counts as none, as in the library: it is no number of seconds.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(365 * 86_400);
/// Minimum time for which requests must fail before the error is shown.
const MIN_FAILING_TIME: Duration = Duration::from_secs(3);

/// Observes the requests of a client, and can stop creations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observer(Arc<Mutex<Traffic>>);

#[derive(Debug, Default)]
struct Traffic {
    paused_until: Option<Instant>,
    /// The last error, and the time of the first consecutive one.
    failing: Option<(String, Instant)>,
    /// A creation was sent since [`Observer::expect_creation`].
    is_creation_sent: bool,
    /// No creation is sent any more.
    is_closed: bool,
}

impl Observer {
    fn lock(&self) -> MutexGuard<'_, Traffic> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Observes the requests of the client that is built.
    pub(crate) fn observe(&self, builder: ClientBuilder, is_verbose: bool) -> ClientBuilder {
        let layer = Layer {
            observer: self.clone(),
            is_verbose,
        };
        builder.configure_agent(move |config| config.middleware(layer))
    }

    /// Returns the reason why the run makes no progress, if there is one.
    pub(crate) fn pause(&self) -> Option<Pause> {
        self.lock().pause(Instant::now())
    }

    /// Returns the reason for which the last request did not succeed, however short ago it was.
    pub(crate) fn last_reason(&self) -> Option<Pause> {
        self.lock().reason(Instant::now())
    }

    /// Returns the end of the pause that the service has demanded.
    pub(crate) fn paused_until(&self) -> Option<Instant> {
        self.lock().paused_until
    }

    /// Shows a pause that an earlier run was told.
    pub(crate) fn pause_until(&self, time: Instant) {
        self.lock().paused_until = Some(time);
    }

    /// Forgets earlier creations.
    pub(crate) fn expect_creation(&self) {
        self.lock().is_creation_sent = false;
    }

    /// Stops creations from here on, unless one was sent; then it returns false.
    pub(crate) fn stop_unless_sent(&self) -> bool {
        let mut traffic = self.lock();
        traffic.is_closed |= !traffic.is_creation_sent;
        traffic.is_closed
    }

    /// Reports whether a creation was sent, so that a task may exist.
    pub(crate) fn is_creation_sent(&self) -> bool {
        self.lock().is_creation_sent
    }
}

impl Traffic {
    fn pause(&self, now: Instant) -> Option<Pause> {
        self.reason(now).filter(|pause| match pause {
            Pause::RateLimited(_) => true,
            Pause::Failing { elapsed, .. } => *elapsed >= MIN_FAILING_TIME,
        })
    }

    fn reason(&self, now: Instant) -> Option<Pause> {
        let remaining = self
            .paused_until
            .map(|time| time.saturating_duration_since(now))
            .filter(|remaining| !remaining.is_zero());
        if let Some(remaining) = remaining {
            return Some(Pause::RateLimited(remaining));
        }
        let (error, first) = self.failing.as_ref()?;
        Some(Pause::Failing {
            error: error.clone(),
            elapsed: now.saturating_duration_since(*first),
        })
    }

    fn record(&mut self, outcome: &Outcome, now: Instant) {
        if let Some(delay) = outcome.pause() {
            self.paused_until = self.paused_until.max(now.checked_add(delay));
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
    /// Reports whether the code, or the HTTP status, is this number.
    fn has(&self, code: ErrorCode) -> bool {
        self.code == Some(code) || self.status.map(i64::from) == Some(code.0)
    }

    /// Returns the time for which the service wants no request.
    fn pause(&self) -> Option<Duration> {
        let is_limited = self.has(ErrorCode::RATE_LIMITED);
        let default = is_limited.then_some(DEFAULT_RETRY_AFTER);
        let is_error = is_limited || self.status.is_some_and(|status| status >= 400);
        let given = self.retry_after.filter(|_| is_error);
        given.filter(|delay| *delay <= MAX_RETRY_AFTER).or(default)
    }

    /// Returns the error, unless it concerns a single task only.
    fn service_error(&self) -> Option<String> {
        match (self.status, &self.error) {
            (_, Some(error)) => Some(error.clone()),
            _ if self.has(ErrorCode::RATE_LIMITED) => Some("rate limited".to_owned()),
            _ if self.has(ErrorCode::UNAUTHORIZED) => {
                Some("the access token was refused".to_owned())
            }
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

/// The observer as the client calls it.
struct Layer {
    observer: Observer,
    is_verbose: bool,
}

impl Middleware for Layer {
    fn handle(
        &self,
        request: Request<SendBody>,
        next: MiddlewareNext,
    ) -> Result<Response<Body>, ureq::Error> {
        if request.method() == Method::POST && request.uri().path().ends_with("/download") {
            let mut traffic = self.observer.lock();
            if traffic.is_closed {
                return Err(io::Error::other("the command ends").into());
            }
            traffic.is_creation_sent = true;
        }
        let mut record = RequestRecord {
            observer: self.observer.clone(),
            // The method and the URL only: no header, and so no token.
            request: self
                .is_verbose
                .then(|| format!("{} {}", request.method(), request.uri())),
            started: Instant::now(),
            outcome: Outcome::default(),
            body: Vec::new(),
        };
        match next.handle(request) {
            Ok(response) => {
                record.outcome.status = Some(response.status().as_u16());
                let retry_after = response.headers().get("Retry-After");
                record.outcome.retry_after = retry_after
                    .and_then(|value| value.to_str().ok()?.trim().parse().ok())
                    .map(Duration::from_secs);
                let (parts, body) = response.into_parts();
                let reader = body.into_reader();
                let body = Body::builder().reader(ObservedBody { reader, record });
                Ok(Response::from_parts(parts, body))
            }
            Err(error) => {
                record.outcome.error = Some(text_of(&error));
                Err(error)
            }
        }
    }
}

fn text_of(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no response in time".to_owned(),
        other => without_prefix(&other.to_string()).to_owned(),
    }
}

/// A request and its response so far. Recorded on drop.
struct RequestRecord {
    observer: Observer,
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
        self.observer.lock().record(&self.outcome, Instant::now());
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
            Err(error) => {
                self.record.outcome.error = Some(without_prefix(&error.to_string()).to_owned());
            }
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

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_longest_pause_counts_until_its_end() {
        let (now, mut traffic) = (Instant::now(), Traffic::default());
        let limited = |seconds| Outcome {
            retry_after: Some(Duration::from_secs(seconds)),
            ..outcome(200, Some(429))
        };
        traffic.record(&limited(600), now);
        traffic.record(&outcome(429, None), now);
        // An epoch in place of seconds.
        traffic.record(&limited(1_800_000_000), now);
        let after = |time| traffic.pause(now + seconds(time));
        assert_eq!(after(60), Some(Pause::RateLimited(seconds(540))));
        let text = after(600).map(|pause| pause.text());
        assert_eq!(text.as_deref(), Some("rate limited for 10 min"));
    }

    #[test]
    fn consecutive_errors_are_shown_after_three_seconds() {
        let (now, mut traffic) = (Instant::now(), Traffic::default());
        traffic.record(&outcome(502, None), now);
        assert_eq!(traffic.pause(now + seconds(2)), None);
        let refused = Outcome {
            error: Some("Connection refused".to_owned()),
            ..Outcome::default()
        };
        traffic.record(&refused, now + seconds(10));
        let expected = Pause::Failing {
            error: "Connection refused".to_owned(),
            elapsed: seconds(12),
        };
        assert_eq!(traffic.pause(now + seconds(12)), Some(expected));
        // Requests go on at a low rate, or wait for another token.
        for (status, code, text) in [
            (200, Some(429), "rate limited"),
            (429, None, "rate limited"),
            (200, Some(401), "the access token was refused"),
            (401, None, "the access token was refused"),
        ] {
            let mut traffic = Traffic::default();
            traffic.record(&outcome(status, code), now);
            let error = text.to_owned();
            let elapsed = seconds(9);
            let expected = Pause::Failing { error, elapsed };
            assert_eq!(traffic.pause(now + elapsed), Some(expected));
        }
        // The error of a single task is a valid response.
        traffic.record(&outcome(200, Some(1)), now + seconds(13));
        assert_eq!(traffic.pause(now + seconds(20)), None);
    }

    #[test]
    fn creations_stop_only_before_one_was_sent() {
        let observer = Observer::default();
        observer.lock().is_creation_sent = true;
        assert!(!observer.stop_unless_sent());
        observer.expect_creation();
        assert!(observer.stop_unless_sent());
    }
}
