//! `status`: the number of images in each state. Works offline, also during a migration.

use serde::Serialize;

use super::{open_state, print};
use crate::args::StatusArgs;
use crate::exit_code::ExitStatus;
use crate::failure::Failure;
use crate::image::{Counts, State};
use crate::json;

/// The object of `status --json`.
#[derive(Serialize)]
struct Object {
    #[serde(flatten)]
    counts: Counts,
    total: u64,
    /// Images that are no longer in the list, and not in the other counts.
    no_longer_in_list: u64,
}

pub(super) fn status(args: &StatusArgs, as_json: bool) -> Result<ExitStatus, Failure> {
    let store = open_state(&args.state)?;
    let (counts, left) = (store.counts(), store.counts_left()?);
    let text = if as_json {
        json::to_line(&Object {
            counts,
            total: counts.total(),
            no_longer_in_list: left.total(),
        })
    } else {
        let rows = State::COUNTED.map(|state| (state.name(), counts.get(state)));
        let total = [("total", counts.total())];
        let left = Some(("no longer in the list", left.total())).filter(|(_, left)| *left > 0);
        let rows = rows.into_iter().chain(total).chain(left);
        rows.map(|(name, count)| format!("{name}\t{count}\n"))
            .collect()
    };
    print(text.as_bytes())?;
    Ok(match args.exit_code {
        // A state without images has not read its list yet.
        true if counts.total() == 0 || counts.new + counts.open > 0 => ExitStatus::TimedOut,
        true if counts.succeeded < counts.total() => ExitStatus::TaskFailed,
        _ => ExitStatus::Succeeded,
    })
}
