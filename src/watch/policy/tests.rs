use super::*;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn interval_grows_by_half_and_falls_back_on_change() {
    use Outcome::{Changed, Error, Unchanged};

    let default = PollPolicy::new();
    let fixed = default.initial_interval(ms(10)).max_interval(ms(10));
    let inverted = default.initial_interval(ms(500)).max_interval(ms(10));
    let from_zero = default.initial_interval(ms(0));
    let zero = from_zero.max_interval(ms(0));
    let endless = default.max_interval(Duration::MAX);
    for (policy, last, outcome, expected) in [
        (default, ms(0), Changed, ms(1000)),
        (default, ms(0), Unchanged, ms(1000)),
        (default, ms(1000), Unchanged, ms(1500)),
        (default, ms(1500), Unchanged, ms(2250)),
        (default, ms(9000), Unchanged, ms(13_500)),
        (default, ms(10_000), Unchanged, ms(15_000)),
        (default, ms(14_000), Error, ms(15_000)),
        (default, ms(15_000), Changed, ms(1000)),
        (default, Duration::MAX, Unchanged, ms(15_000)),
        (fixed, ms(7), Unchanged, ms(10)),
        (fixed, ms(7), Error, ms(10)),
        (inverted, ms(500), Unchanged, ms(500)),
        (inverted, ms(500), Error, ms(500)),
        // It grows from zero, too, and after an error at once.
        (from_zero, ms(0), Changed, ms(0)),
        (from_zero, ms(0), Unchanged, ms(10)),
        (from_zero, ms(10), Unchanged, ms(20)),
        (from_zero, ms(30), Unchanged, ms(45)),
        (from_zero, ms(0), Error, ms(1000)),
        (from_zero, ms(1000), Error, ms(1500)),
        (zero, ms(0), Unchanged, ms(0)),
        (zero, ms(0), Error, ms(0)),
        (endless, Duration::MAX, Unchanged, Duration::MAX),
    ] {
        let interval = policy.next_interval(last, outcome);
        assert_eq!(interval, expected, "{policy:?} {last:?} {outcome:?}");
    }
}

#[test]
fn errors_are_too_many_by_number_and_time() {
    let default = PollPolicy::new();
    let at_once = default.max_consecutive_errors(3).error_window(ms(0));
    let start = Instant::now();
    for (policy, errors, span, expected) in [
        (default, 8, ms(600_000), true),
        (default, 7, ms(600_000), false),
        (default, 8, ms(599_999), false),
        (default, 800, ms(0), false),
        (at_once, 2, ms(0), false),
        (at_once, 3, ms(0), true),
        (at_once.max_consecutive_errors(0), 1, ms(0), true),
    ] {
        let mut streak = ErrorStreak::default();
        (0..errors).for_each(|_| streak.add(start));
        let is_exhausted = policy.is_exhausted(streak, start + span);
        assert_eq!(is_exhausted, expected, "{policy:?} {errors} {span:?}");
    }
}

/// Times in milliseconds; a timeout ends at 10 s.
#[test]
fn decides_when_a_task_is_polled() {
    const DEADLINE: u64 = 10_000;
    let start = Instant::now();
    let time = |time| start + ms(time);
    let at = |at| NextPoll::At {
        time: time(at),
        deadline: Some(time(DEADLINE)),
    };
    let without_deadline = |at| NextPoll::At {
        time: time(at),
        deadline: None,
    };
    let final_at = |at| NextPoll::FinalAt(time(at));
    let timed_out = |at| NextPoll::TimedOutAt(time(at));
    let with = |state: &'static str| {
        let has = |word| state.contains(word);
        Some(TimeLimit {
            deadline: time(DEADLINE),
            is_zero: has("zero"),
            any_polled: !has("first"),
            task_polled: !has("first"),
            final_poll_made: has("last poll made"),
            is_paused: has("paused"),
        })
    };
    for (now, due, ready, limit, expected) in [
        // Without a limit: when the task is due and the client is ready.
        (0, 0, 0, None, without_deadline(0)),
        (100, 50, 60, None, without_deadline(100)),
        (100, 500, 60, None, without_deadline(500)),
        (100, 50, 700, None, without_deadline(700)),
        // In time.
        (0, 0, 0, with("first"), at(0)),
        (5000, 6000, 5200, with(""), at(6000)),
        (5000, 9750, 5200, with(""), at(9750)),
        // The first poll needs less than the time of a last one.
        (9900, 0, 0, with("first"), at(9900)),
        // Due too near to the deadline, or after it.
        (5000, 9751, 5200, with(""), final_at(10_000)),
        (5000, 60_000, 5200, with(""), final_at(10_000)),
        // Not while a pause or the pace forbids it.
        (5000, 9000, 60_000, with(""), timed_out(10_000)),
        (0, 0, 60_000, with("first"), timed_out(10_000)),
        (5000, 10_000, 10_000, with(""), final_at(10_000)),
        // The caller's loop took longer than the timeout: one last poll.
        (12_000, 11_000, 0, with(""), final_at(12_000)),
        (12_000, 13_000, 0, with(""), final_at(12_000)),
        (12_000, 11_000, 12_001, with(""), timed_out(12_000)),
        // Only one.
        (10_100, 11_000, 0, with("last poll made"), timed_out(10_100)),
        (5000, 9751, 5200, with("last poll made"), timed_out(10_000)),
        // A timeout of zero polls each task once.
        (500, 0, 700, with("zero, first"), without_deadline(700)),
        (500, 0, 700, with("zero"), timed_out(500)),
        (500, 0, 700, with("zero, first, paused"), timed_out(500)),
    ] {
        let timing = PollTiming {
            now: time(now),
            due: time(due),
            ready: time(ready),
            limit,
        };
        assert_eq!(next_poll(timing), expected, "{now} {due} {ready} {limit:?}");
    }
}
