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
    let chosen = [
        args.new,
        args.open,
        args.succeeded,
        args.failed,
        args.refused,
        args.unknown,
        args.invalid,
    ];
    let is_wanted = |(state, is_chosen): &(State, bool)| {
        (*is_chosen || !chosen.contains(&true)) && !(args.urls && *state == State::Invalid)
    };
    let states = State::COUNTED.into_iter().zip(chosen).filter(is_wanted);
    let states: Vec<_> = states.map(|(state, _)| state).collect();
    if args.urls && args.invalid {
        eprint_line("--urls leaves invalid lines out, since no command takes them");
    }
    store.for_each(&states, |image| {
        out.write_all(form(&image).as_bytes())
            .map_err(Failure::from)
    })?;
    out.flush()?;
    Ok(ExitStatus::Succeeded)
}
