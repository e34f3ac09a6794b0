use super::*;
use crate::error::{ApiError, DecodeError, Delivery, HttpError, TransportError};
use crate::error_code::ErrorCode;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn interval_grows_by_half_and_falls_back_on_change() {
    let default = PollPolicy::new();
    let fixed = default.initial_interval(ms(10)).max_interval(ms(10));
    let inverted = default.initial_interval(ms(500)).max_interval(ms(10));
    let zero = default.initial_interval(ms(0)).max_interval(ms(0));
    let endless = default.max_interval(Duration::MAX);
    for (policy, last, changed, expected) in [
        (default, ms(0), true, ms(1000)),
        (default, ms(0), false, ms(1000)),
        (default, ms(1000), false, ms(1500)),
        (default, ms(1500), false, ms(2250)),
        (default, ms(9000), false, ms(13_500)),
        (default, ms(10_000), false, ms(15_000)),
        (default, ms(14_000), false, ms(15_000)),
        (default, ms(15_000), true, ms(1000)),
        (default, Duration::MAX, false, ms(15_000)),
        (fixed, ms(7), false, ms(10)),
        (inverted, ms(500), false, ms(500)),
        (zero, ms(0), false, ms(0)),
        (endless, Duration::MAX, false, Duration::MAX),
    ] {
        assert_eq!(
            policy.next_interval(last, changed),
            expected,
            "{policy:?} {last:?} {changed}"
        );
    }
}

#[test]
fn errors_are_too_many_by_number_and_time() {
    let default = PollPolicy::new();
    let at_once = default.max_consecutive_errors(3).error_window(ms(0));
    for (policy, errors, span, expected) in [
        (default, 8, ms(600_000), true),
        (default, 7, ms(600_000), false),
        (default, 8, ms(599_999), false),
        (default, 800, ms(0), false),
        (at_once, 2, ms(0), false),
        (at_once, 3, ms(0), true),
        (at_once.max_consecutive_errors(0), 1, ms(0), true),
    ] {
        assert_eq!(
            policy.is_exhausted(errors, span),
            expected,
            "{policy:?} {errors} {span:?}"
        );
    }
}

#[test]
fn classifies_errors() {
    use AttemptCause::{Request, TokenReplaced, TokenRequest};
    use ErrorAction::{BackOff, EndAll, EndTask};
    use TransportErrorKind as Kind;

    let http = |status| Error::Http(HttpError::new(status, b""));
    let api = |code| Error::Api(ApiError::new(ErrorCode(code), "m".into(), None, Some(200)));
    let transport =
        |kind| Error::Transport(TransportError::new(kind, "m", Delivery::MaybeSent, None));
    let decode = || Error::Decode(DecodeError::new("r", b"", None));
    let day = MAX_RETRY_AFTER;
    let longer = day + ms(1);
    for (error, cause, expected) in [
        (http(500), Request, BackOff),
        (http(429), Request, BackOff),
        (http(429).with_retry_after(Some(day)), Request, BackOff),
        (http(429).with_retry_after(Some(longer)), Request, EndAll),
        (
            api(429).with_retry_after(Some(longer)),
            TokenRequest,
            EndAll,
        ),
        (http(503).with_retry_after(Some(longer)), Request, EndTask),
        (
            http(503).with_retry_after(Some(longer)),
            TokenRequest,
            EndAll,
        ),
        (http(404), Request, EndTask),
        (http(301), Request, EndTask),
        (http(401), Request, EndAll),
        (http(401), TokenReplaced, EndAll),
        (http(403), Request, EndAll),
        (api(1), Request, EndTask),
        (api(1), TokenRequest, EndAll),
        (api(401), Request, EndAll),
        (api(403), Request, EndAll),
        (api(500), Request, BackOff),
        (api(5113), Request, EndTask),
        (decode(), Request, BackOff),
        (decode(), TokenRequest, BackOff),
        (transport(Kind::Dns), Request, BackOff),
        (transport(Kind::Connect), TokenRequest, BackOff),
        (transport(Kind::Timeout), Request, BackOff),
        (transport(Kind::Protocol), Request, BackOff),
        (transport(Kind::Tls), Request, BackOff),
        (transport(Kind::Other), Request, EndTask),
        (Error::config("url", "r"), Request, EndTask),
    ] {
        let text = format!("{error} {cause:?}");
        assert_eq!(classify(&AttemptError { error, cause }), expected, "{text}");
    }
}

/// Without a time limit a task is polled when it is due and the client is ready.
#[test]
fn polls_when_due_and_ready() {
    for (now, due, ready, expected) in [
        (0, 0, 0, 0),
        (100, 50, 60, 100),
        (100, 500, 60, 500),
        (100, 50, 700, 700),
    ] {
        let timing = PollTiming {
            now: ms(now),
            due: ms(due),
            is_due_fixed: false,
            ready: ms(ready),
            limit: None,
        };
        assert_eq!(
            next_poll(timing),
            NextPoll::At {
                time: ms(expected),
                deadline: None
            }
        );
    }
}

#[test]
fn makes_a_last_poll_at_the_deadline() {
    const DEADLINE: u64 = 10_000;
    let at = |time| NextPoll::At {
        time: ms(time),
        deadline: Some(ms(DEADLINE)),
    };
    let final_at = |time| NextPoll::FinalAt(ms(time));
    let timed_out = |time| NextPoll::TimedOutAt(ms(time));
    let limit = TimeLimit {
        deadline: ms(DEADLINE),
        is_zero: false,
        any_polled: true,
        task_polled: true,
        final_poll_made: false,
        is_rate_limited: false,
    };
    let first = TimeLimit {
        any_polled: false,
        task_polled: false,
        ..limit
    };
    let made = TimeLimit {
        final_poll_made: true,
        ..limit
    };
    for (now, due, is_due_fixed, ready, limit, expected) in [
        // In time.
        (0, 0, false, 0, first, at(0)),
        (5000, 6000, false, 5200, limit, at(6000)),
        (5000, 9750, false, 5200, limit, at(9750)),
        // The first poll needs less than the time of a last one.
        (9900, 0, false, 0, first, at(9900)),
        // Due too near to the deadline, or after it.
        (5000, 9751, false, 5200, limit, final_at(10_000)),
        (5000, 60_000, false, 5200, limit, final_at(10_000)),
        // Not while `Retry-After` or the pace forbids it.
        (5000, 60_000, true, 5200, limit, timed_out(10_000)),
        (5000, 10_000, true, 5200, limit, final_at(10_000)),
        (5000, 9000, false, 60_000, limit, timed_out(10_000)),
        (0, 0, false, 60_000, first, timed_out(10_000)),
        // The caller's loop took longer than the timeout: one last poll.
        (12_000, 11_000, false, 0, limit, final_at(12_000)),
        (12_000, 13_000, false, 0, limit, final_at(12_000)),
        (12_000, 11_000, false, 12_001, limit, timed_out(12_000)),
        // Only one.
        (10_100, 11_000, false, 0, made, timed_out(10_100)),
        (5000, 9751, false, 5200, made, timed_out(10_000)),
    ] {
        let timing = PollTiming {
            now: ms(now),
            due: ms(due),
            is_due_fixed,
            ready: ms(ready),
            limit: Some(limit),
        };
        assert_eq!(next_poll(timing), expected, "{timing:?}");
    }
}

#[test]
fn zero_timeout_polls_each_task_once() {
    let limit = TimeLimit {
        deadline: ms(0),
        is_zero: true,
        any_polled: true,
        task_polled: false,
        final_poll_made: false,
        is_rate_limited: false,
    };
    let polled = TimeLimit {
        task_polled: true,
        ..limit
    };
    let held = TimeLimit {
        is_rate_limited: true,
        ..limit
    };
    for (limit, expected) in [
        (
            limit,
            NextPoll::At {
                time: ms(700),
                deadline: None,
            },
        ),
        (polled, NextPoll::TimedOutAt(ms(500))),
        (held, NextPoll::TimedOutAt(ms(500))),
    ] {
        let timing = PollTiming {
            now: ms(500),
            due: ms(0),
            is_due_fixed: false,
            ready: ms(700),
            limit: Some(limit),
        };
        assert_eq!(next_poll(timing), expected, "{limit:?}");
    }
}
