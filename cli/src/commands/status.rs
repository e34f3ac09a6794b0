//! `status`: the number of images in each state. Works offline, also during a migration.

use serde_json::json;

use super::{open_state, print};
use crate::args::StatusArgs;
use crate::exit_code::ExitStatus;
use crate::failure::Failure;
use crate::image::State;
use crate::json;

pub(super) fn status(args: &StatusArgs, as_json: bool) -> Result<ExitStatus, Failure> {
    let store = open_state(&args.state)?;
    let (counts, left) = (store.counts(), store.counts_left()?);
    let text = if as_json {
        let mut object = json!(counts);
        object["total"] = counts.total().into();
        // These are not in the other counts.
        object["no_longer_in_list"] = left.total().into();
        json::to_line(&object)
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
