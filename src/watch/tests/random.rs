//! Properties that hold for any service.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::throttle::DEFAULT_PAUSE;

fn random_result() -> impl Strategy<Value = Result<Progress>> {
    let seconds = || prop::option::of((0_u64..20).prop_map(Duration::from_secs));
    let closed = || Err(transport(TransportErrorKind::Closed));
    prop_oneof![
        8 => (0_i64..5, 0_u8..4).prop_map(|(status, percent)| Ok(Progress::new(status.into(), percent))),
        2 => (500_u16..505, seconds()).prop_map(|(status, delay)| Err(http(status).with_retry_after(delay))),
        1 => seconds().prop_map(|delay| Err(api(429).with_retry_after(delay))),
        2 => Just(closed()),
        1 => Just(Err(http(200))),
        1 => Just(Err(api(1))),
        // Rare, because it ends the whole run.
        1 => prop::bool::weighted(0.05).prop_map(move |yes| if yes { Err(api(403)) } else { closed() }),
    ]
}

proptest! {
    #[test]
    fn each_task_has_one_end_and_polls_keep_the_gap(
        results in prop::collection::vec(random_result(), 1..200),
        durations in prop::collection::vec((0_u64..700).prop_map(Duration::from_millis), 800),
        tasks in 1_u64..30,
        gap in prop_oneof![Just(200_u64), Just(0), 1_u64..2000],
        max_consecutive_errors in 0_u32..10,
        error_window in 0_u64..60,
    ) {
        let (mut next, count) = (0, results.len());
        let script = move |_| {
            next += 1;
            // After some rounds every task succeeds, so that the run ends.
            if next < 4 * count { results[next % count].clone() } else { Ok(done()) }
        };
        let gap = Duration::from_millis(gap);
        let mut run = Run::of(Fake::new(gap, script), (0..tasks).chain(0..tasks / 2), 0);
        run.requests.durations.borrow_mut().extend(durations);
        run.policy = PollPolicy::new()
            .max_consecutive_errors(max_consecutive_errors)
            .error_window(Duration::from_secs(error_window));

        let mut ends = HashMap::new();
        while let Ok(MigrationEvent::Update { update, .. }) = run.next(None) {
            prop_assert!(!ends.contains_key(&update.task_id), "an update after the end");
            if update.is_end() {
                ends.insert(update.task_id, run.requests.received.borrow().len());
            }
            let counts = (run.finished, run.pending());
            prop_assert_eq!(counts, (ends.len(), tasks as usize - ends.len()));
        }
        prop_assert_eq!(ends.len() as u64, tasks, "every task has its end");

        let polls = run.requests.received.borrow();
        for pair in polls.windows(2) {
            prop_assert!(pair[1].at >= pair[0].at + gap, "closer than the gap");
            let Some(error) = &pair[0].error else { continue };
            let default = if error.is_rate_limited() { DEFAULT_PAUSE } else { Duration::ZERO };
            let pause = error.retry_after().unwrap_or(default);
            prop_assert!(pair[1].at >= pair[0].end + pause, "polled before `Retry-After`");
        }
        for (id, end) in &ends {
            let is_other = |poll: &Received| poll.task_id != Some(*id);
            prop_assert!(polls[*end..].iter().all(is_other), "a poll after the end");
        }
    }
}
