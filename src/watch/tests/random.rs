//! Properties that hold for any service.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::super::fake::Received;
use super::*;
use crate::throttle::DEFAULT_PAUSE;
/// A reply of a random service.
#[derive(Debug, Clone)]
enum RandomReply {
    Progress(i64, u8),
    Closed,
    ServerError(u16, Option<u64>),
    RateLimited(Option<u64>),
    Undecodable,
    Rejected,
    Banned,
}

impl RandomReply {
    fn result(&self) -> Result<Progress> {
        match *self {
            Self::Progress(status, percent) => Ok(Progress::new(Status::from(status), percent)),
            Self::Closed => Err(closed()),
            Self::ServerError(status, delay) => {
                Err(http(status).with_retry_after(delay.map(Duration::from_secs)))
            }
            Self::RateLimited(delay) => {
                Err(api(429).with_retry_after(delay.map(Duration::from_secs)))
            }
            Self::Undecodable => Err(http(200)),
            Self::Rejected => Err(api(1)),
            Self::Banned => Err(api(403)),
        }
    }
}

/// Task, duration and result of a response.
type Response = (u64, Duration, Result<Progress>);

fn random_reply() -> impl Strategy<Value = RandomReply> {
    prop_oneof![
        8 => (0_i64..5, 0_u8..4).prop_map(|(status, percent)| RandomReply::Progress(status, percent)),
        2 => Just(RandomReply::Closed),
        2 => (500_u16..505, prop::option::of(0_u64..20)).prop_map(|(status, d)| RandomReply::ServerError(status, d)),
        1 => prop::option::of(0_u64..20).prop_map(RandomReply::RateLimited),
        1 => Just(RandomReply::Undecodable),
        1 => Just(RandomReply::Rejected),
        // Rare, because it ends the whole run.
        1 => prop::bool::weighted(0.05).prop_map(|yes| if yes { RandomReply::Banned } else { RandomReply::Closed }),
    ]
}

proptest! {
    #[test]
    fn each_task_has_one_end_and_polls_keep_the_gap(
        replies in prop::collection::vec((random_reply(), 0_u64..700), 1..200),
        tasks in 1_u64..30,
        gap in prop_oneof![Just(200_u64), Just(0), 1_u64..2000],
        max_consecutive_errors in 0_u32..10,
        error_window in 0_u64..60,
    ) {
        let responses: Rc<RefCell<Vec<Response>>> = Rc::default();
        let (log, mut next, count) = (Rc::clone(&responses), 0, replies.len());
        let script = move |id: u64| {
            let (reply, duration) = &replies[next % count];
            // After some rounds every task succeeds, so that the run ends.
            let result = if next < 4 * count { reply.result() } else { Ok(done()) };
            next += 1;
            let duration = Duration::from_millis(*duration);
            log.borrow_mut().push((id, duration, result.clone()));
            (duration, result)
        };
        let gap = Duration::from_millis(gap);
        let mut fixture = Fixture::with_gap(gap, (0..tasks).chain(0..tasks / 2), script)
            .policy(PollPolicy::new()
                .max_consecutive_errors(max_consecutive_errors)
                .error_window(Duration::from_secs(error_window)));

        let mut ends = HashMap::new();
        let mut reported: HashMap<u64, Vec<Progress>> = HashMap::new();
        while let Some(update) = fixture.next() {
            prop_assert!(!ends.contains_key(&update.task_id), "an update after the end");
            if update.is_end() {
                ends.insert(update.task_id, fixture.times().len());
            }
            if let Ok(progress) = update.result {
                reported.entry(update.task_id).or_default().push(progress);
            }
            let counts = (fixture.scheduler.finished, fixture.scheduler.pending());
            prop_assert_eq!(counts, (ends.len(), tasks as usize - ends.len()));
        }
        prop_assert_eq!(ends.len() as u64, tasks, "every task has its end");

        let polls = fixture.service.received.borrow();
        let responses = responses.borrow();
        for (index, pair) in polls.windows(2).enumerate() {
            prop_assert!(pair[1].at >= pair[0].at + gap, "closer than the gap");
            let (_, duration, Err(error)) = &responses[index] else { continue };
            let default = if error.is_rate_limited() { DEFAULT_PAUSE } else { Duration::ZERO };
            let pause = error.retry_after().unwrap_or(default);
            prop_assert!(pair[1].at >= pair[0].at + *duration + pause, "polled before `Retry-After`");
        }
        for (id, end) in &ends {
            let is_other = |poll: &Received| poll.task_id != Some(*id);
            prop_assert!(polls[*end..].iter().all(is_other), "a poll after the end");
            // The updates of a task are its responses, in order, without repetition.
            let of_task = responses.iter().filter(|(task, ..)| task == id);
            let mut expected: Vec<Progress> = of_task.filter_map(|(_, _, result)| result.clone().ok()).collect();
            expected.dedup();
            prop_assert_eq!(reported.get(id).map_or(&[][..], |progress| &progress[..]), &expected[..]);
        }
    }
}
