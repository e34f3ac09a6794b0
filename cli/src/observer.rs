//! Observation of requests: the reason why a run makes no progress, and the lines of `--verbose`.

use std::io::{self, Cursor, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use pan123_offline::ureq::http::{Request, Response};
use pan123_offline::ureq::middleware::{Middleware, MiddlewareNext};
use pan123_offline::ureq::{self, Body, SendBody};
use pan123_offline::{ClientBuilder, Envelope, ErrorCode};
use serde::de::IgnoredAny;

use crate::failure::{eprint_line, without_prefix};
use crate::stats::Pause;

/// Maximum number of bytes of a body that are read to find its code: a page of images has 1 MiB at most.
const MAX_BODY_LEN: u64 = 2 * 1024 * 1024;
/// Time that the library waits after a 429 without `Retry-After`.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);
/// A longer pause counts as none, as in the library: it is no number of seconds.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(365 * 86_400);

/// Observes the requests of a client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observer(Arc<Mutex<Traffic>>);

#[derive(Debug, Default)]
struct Traffic {
    paused_until: Option<SystemTime>,
    /// The last error, and the time of the first consecutive one.
    failing: Option<(String, Instant)>,
}

impl Observer {
    fn lock(&self) -> MutexGuard<'_, Traffic> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Observes the requests of the client that is built.
    pub(crate) fn observe(&self, builder: ClientBuilder, is_verbose: bool) -> ClientBuilder {
        let observer = self.clone();
        let layer = Layer {
            observer,
            is_verbose,
        };
        builder.configure_agent(move |config| config.middleware(layer))
    }

    /// Returns the reason for which the last request did not succeed.
    pub(crate) fn pause(&self) -> Option<Pause> {
        let remaining = self.remaining_pause();
        if !remaining.is_zero() {
            return Some(Pause::RateLimited(remaining));
        }
        let (error, first) = self.lock().failing.clone()?;
        let elapsed = first.elapsed();
        Some(Pause::Failing { error, elapsed })
    }

    /// Returns the time for which the service wants no request.
    pub(crate) fn remaining_pause(&self) -> Duration {
        let until = self.lock().paused_until;
        let remaining = until.and_then(|until| until.duration_since(SystemTime::now()).ok());
        remaining.unwrap_or_default()
    }

    /// Returns the end of the pause that the service has demanded.
    pub(crate) fn paused_until(&self) -> Option<SystemTime> {
        self.lock().paused_until
    }

    /// Shows a pause that an earlier run was told.
    pub(crate) fn pause_until(&self, time: SystemTime) {
        self.lock().paused_until = Some(time);
    }

    fn record(&self, outcome: &Outcome) {
        let mut traffic = self.lock();
        if let Some(delay) = outcome.pause() {
            let end = SystemTime::now().checked_add(delay);
            traffic.paused_until = traffic.paused_until.max(end);
        }
        let first = traffic.failing.take().map(|(_, first)| first);
        let error = outcome.service_error();
        traffic.failing = error.map(|error| (error, first.unwrap_or_else(Instant::now)));
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
    /// Reads the response, and returns one with the same body.
    fn read(&mut self, response: Response<Body>) -> Response<Body> {
        self.status = Some(response.status().as_u16());
        let retry_after = response.headers().get("Retry-After");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        self.retry_after = retry_after.map(Duration::from_secs);
        let (parts, body) = response.into_parts();
        let (mut reader, mut start) = (body.into_reader(), Vec::new());
        let read = reader.by_ref().take(MAX_BODY_LEN).read_to_end(&mut start);
        if let Ok(envelope) = Envelope::<IgnoredAny>::from_slice(&start) {
            self.code = Some(envelope.code);
            self.trace_id = envelope.trace_id;
        }
        let rest: Box<dyn Read + Send + Sync> = match read {
            Ok(_) => Box::new(reader),
            Err(error) => {
                self.error = Some(without_prefix(&error.to_string()).to_owned());
                Box::new(Failing(Some(error)))
            }
        };
        let body = Body::builder().reader(Cursor::new(start).chain(rest));
        Response::from_parts(parts, body)
    }

    /// Reports whether the code, or the HTTP status, is this number.
    fn has(&self, code: ErrorCode) -> bool {
        self.code == Some(code) || self.status.map(i64::from) == Some(code.0)
    }

    /// Returns the time for which the service wants no request.
    fn pause(&self) -> Option<Duration> {
        let is_limited = self.has(ErrorCode::RATE_LIMITED);
        let is_error = is_limited || self.status >= Some(400);
        let given = self.retry_after.filter(|delay| *delay <= MAX_RETRY_AFTER);
        let default = is_limited.then_some(DEFAULT_RETRY_AFTER);
        given.filter(|_| is_error).or(default)
    }

    /// Returns the error, unless it concerns a single task only.
    fn service_error(&self) -> Option<String> {
        let text = match self.status {
            _ if self.error.is_some() => return self.error.clone(),
            _ if self.has(ErrorCode::RATE_LIMITED) => "rate limited",
            _ if self.has(ErrorCode::UNAUTHORIZED) => "the access token was refused",
            Some(status @ 500..) => return Some(format!("HTTP {status}")),
            Some(200..300) if self.code.is_none() => "no valid response",
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// Returns the part of a line of `--verbose` that comes after the request.
    fn text(&self) -> String {
        let retry_after = self.retry_after.map(|delay| delay.as_secs());
        let trace_id = self.trace_id.as_deref().map(str::escape_debug);
        let parts = [
            self.status.map(|status| format!("HTTP {status}")),
            self.code.map(|code| format!("code {}", code.0)),
            retry_after.map(|delay| format!("retry after {delay} s")),
            trace_id.map(|id| format!("trace id {id}")),
            self.error.clone(),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
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
        // The method and the URL only: no header, and so no token.
        let name = format!("{} {}", request.method(), request.uri());
        let (started, mut outcome) = (Instant::now(), Outcome::default());
        let result = next.handle(request);
        if let Err(error) = &result {
            outcome.error = Some(match error {
                ureq::Error::Timeout(_) => "no response in time".to_owned(),
                other => without_prefix(&other.to_string()).to_owned(),
            });
        }
        let result = result.map(|response| outcome.read(response));
        self.observer.record(&outcome);
        if self.is_verbose {
            let time = started.elapsed().as_millis();
            eprint_line(&format!("{name}: {}, {time} ms", outcome.text()));
        }
        result
    }
}

/// The end of a body that could not be read to its end.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
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

    #[test]
    fn the_longest_pause_counts() {
        let observer = Observer::default();
        // The last is an epoch in place of seconds.
        for seconds in [600, 1, 1_800_000_000] {
            let mut outcome = outcome(200, Some(429));
            outcome.retry_after = Some(Duration::from_secs(seconds));
            observer.record(&outcome);
        }
        let remaining = observer.remaining_pause().as_secs();
        assert!((500..=600).contains(&remaining), "{remaining}");
    }

    #[test]
    fn consecutive_errors_count_from_the_first() {
        let refused = || Outcome {
            error: Some("Connection refused".to_owned()),
            ..Outcome::default()
        };
        for (outcome, expected) in [
            (refused(), "Connection refused"),
            (outcome(502, None), "HTTP 502"),
            (outcome(200, None), "no valid response"),
            (outcome(200, Some(429)), "rate limited"),
            (outcome(429, None), "rate limited"),
            (outcome(200, Some(401)), "the access token was refused"),
            (outcome(401, None), "the access token was refused"),
            // The error of a single task is a valid response.
            (outcome(200, Some(1)), ""),
        ] {
            let observer = Observer::default();
            observer.record(&refused());
            let before = Instant::now().checked_sub(Duration::from_secs(9)).unwrap();
            observer.lock().failing.as_mut().unwrap().1 = before;
            observer.record(&outcome);
            observer.lock().paused_until = None;
            let pause = observer.pause().map(|pause| pause.text());
            let (text, time) = match pause.as_deref() {
                Some(text) => text.split_once(" for ").unwrap(),
                None => ("", ""),
            };
            assert_eq!(text, expected, "{outcome:?}");
            assert_ne!(time, "1 s");
        }
    }
}
