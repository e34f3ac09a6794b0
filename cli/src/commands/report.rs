//! `report`: images with their states. Works offline, also during a migration.

use std::io::{self, BufWriter, Write};

use super::open_state;
use crate::args::ReportArgs;
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line};
use crate::image::{Image, State};
use crate::records;

pub(super) fn report(args: &ReportArgs, as_json: bool) -> Result<ExitStatus, Failure> {
    let store = open_state(&args.state)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let form: fn(&Image) -> String = match (args.urls, as_json) {
        (true, _) => records::list_line,
        (_, true) => records::image_json,
        _ => records::image_line,
    };
    let mut states = states(args);
    if args.urls {
        // An invalid line is no input for another command.
        states.retain(|state| *state != State::Invalid);
        if args.invalid {
            eprint_line("--urls leaves invalid lines out, since no command takes them");
        }
    }
    store.for_each(&states, |image| {
        out.write_all(form(&image).as_bytes())
            .map_err(Failure::from)
    })?;
    out.flush()?;
    Ok(ExitStatus::Succeeded)
}

/// Returns the states that the options name; without any, all.
fn states(args: &ReportArgs) -> Vec<State> {
    let chosen = [
        (args.new, State::New),
        (args.open, State::Open),
        (args.succeeded, State::Succeeded),
        (args.failed, State::Failed),
        (args.refused, State::Refused),
        (args.unknown, State::Unknown),
        (args.invalid, State::Invalid),
    ];
    let all = chosen.iter().all(|(is_chosen, _)| !is_chosen);
    let chosen = chosen
        .into_iter()
        .filter(|(is_chosen, _)| *is_chosen || all);
    chosen.map(|(_, state)| state).collect()
}
