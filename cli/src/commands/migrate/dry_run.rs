//! `migrate --dry-run`: the plan of a migration, without a request.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::{List, create_gap, recreate};
use crate::args::{Common, Migrate};
use crate::commands::{DEFAULT_POLL_RATE, gap};
use crate::failure::{ExitStatus, Failure, eprint_line};
use crate::input::Entry;
use crate::journal::{Counts, History, JournalReader};
use crate::json;

/// Requests of a task after its creation: at least one while it is in progress, one at its end.
const MIN_POLLS: u32 = 2;

#[derive(Debug, Default, Serialize)]
struct Plan {
    /// Lines of the list that are not skipped.
    lines: usize,
    duplicates: usize,
    /// The state of each line of the list and of the journal.
    #[serde(flatten)]
    counts: Counts,
    /// Tasks to create, and existing tasks to follow.
    to_create: usize,
    to_follow: usize,
    /// The expected time, at least.
    seconds: u64,
}

pub(super) fn dry_run(
    common: &Common,
    args: &Migrate,
    journal: &Path,
) -> Result<ExitStatus, Failure> {
    let mut history = match journal.try_exists() {
        Ok(false) => History::default(),
        _ => JournalReader::open(journal)?.into_history(),
    };
    let mut plan = Plan::default();
    for entry in List::open(&args.list)?.entries() {
        plan.lines += 1;
        let is_first = match entry? {
            Entry::Valid(item) => {
                let state = history.mark_seen(item.url(), item.file_name());
                plan.to_create +=
                    usize::from(state.is_some_and(|state| state.is_to_create(recreate(args))));
                state.is_some()
            }
            Entry::Invalid(line) => {
                eprint_line(&line.message);
                history.mark_invalid_seen(&line.text)
            }
        };
        plan.duplicates += usize::from(!is_first);
    }
    plan.counts = history.counts();
    plan.to_follow = history.open_tasks().len();
    let poll_gap = gap(common.rate.unwrap_or(DEFAULT_POLL_RATE));
    plan.seconds = expected_time(&plan, create_gap(args), poll_gap).as_secs();
    plan.print(common.json)?;
    Ok(match plan.counts.invalid {
        0 => ExitStatus::Succeeded,
        _ => ExitStatus::Usage,
    })
}

/// Returns the minimum time: creations keep one gap apart, and all requests another.
fn expected_time(plan: &Plan, create_gap: Duration, poll_gap: Duration) -> Duration {
    let tasks = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let create = tasks(plan.to_create);
    let requests = create
        .saturating_mul(1 + MIN_POLLS)
        .saturating_add(tasks(plan.to_follow));
    create_gap
        .saturating_mul(create)
        .max(poll_gap.saturating_mul(requests))
}

impl Plan {
    fn print(&self, as_json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if as_json {
            out.write_all(json::to_line(self).as_bytes())?;
            return out.flush();
        }
        let before = [("lines", self.lines), ("duplicates", self.duplicates)];
        let after = [("to create", self.to_create), ("to follow", self.to_follow)];
        let counts = self.counts.rows();
        let rows = before.into_iter().chain(counts).chain(after);
        for (name, count) in rows {
            writeln!(out, "{name}\t{count}")?;
        }
        let time = humantime::format_duration(Duration::from_secs(self.seconds));
        writeln!(out, "expected time\tat least {time}")?;
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_time_follows_the_slower_of_both_rates() {
        let second = Duration::from_secs(1);
        let rows = [
            // To create and to follow, gaps of creations and of all requests, the time.
            (0, 0, second, second / 5, Duration::ZERO),
            (100, 0, second, second / 5, 100 * second),
            (100, 0, second, second, 300 * second),
            (0, 10, second, second, 10 * second),
            (100, 50, Duration::ZERO, second / 5, 70 * second),
            (usize::MAX, 1, Duration::MAX, second, Duration::MAX),
        ];
        for (to_create, to_follow, create_gap, poll_gap, expected) in rows {
            let plan = Plan {
                to_create,
                to_follow,
                ..Plan::default()
            };
            assert_eq!(
                expected_time(&plan, create_gap, poll_gap),
                expected,
                "{plan:?}"
            );
        }
    }
}
