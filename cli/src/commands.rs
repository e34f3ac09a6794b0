//! The commands, one file for each, and their shared parts.

mod completions;
mod create;
mod demo;
mod engine;
mod inspect;
mod login;
mod man;
mod migrate;
mod process;
mod wait;

use std::io::{self, Write};
use std::time::Duration;

use pan123_offline::Client;

use crate::args::{Arguments, Command, Common};
use crate::failure::{ExitStatus, Failure, describe, eprint_line};
use crate::interrupt::Shared;
use crate::report::Report;
use crate::settings::{ResolvedSettings, cache_warning};
use crate::traffic;

/// Polls and new tasks a second: the rates that other clients of the service keep to.
const DEFAULT_POLL_RATE: f64 = 5.0;
const DEFAULT_CREATE_RATE: f64 = 1.0;

pub(crate) fn run(Arguments { common, command }: Arguments) -> Result<ExitStatus, Failure> {
    match command {
        Command::Process(tasks) => process::process(&common, &tasks.ids),
        Command::Wait { tasks, wait_args } => wait::wait(&common, &tasks.ids, &wait_args),
        Command::Create(create) => create::create(&common, &create),
        Command::Migrate(args) => migrate::migrate(&common, &args),
        Command::Status(args) => inspect::status(&args, common.json),
        Command::Report(args) => inspect::report(&args, common.json),
        Command::Login => login::login(&common),
        Command::Demo => demo::demo(&common),
        Command::Completions { shell } => print(completions::completions(shell).as_bytes()),
        Command::Man { command } => print(&man::page(command.as_deref())?),
    }
}

fn print(text: &[u8]) -> Result<ExitStatus, Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()?;
    Ok(ExitStatus::Succeeded)
}

fn client(common: &Common) -> Result<Client, Failure> {
    let settings = ResolvedSettings::resolve(common)?;
    if let Some(warning) = settings.warning() {
        eprint_line(&warning);
    }
    // Retries are made here, within the rate; the client's own would come on top of it.
    let builder = settings.builder().timeout(common.request_timeout);
    let builder = traffic::observe(builder, common.verbose);
    let gap = gap(common.rate.unwrap_or(DEFAULT_POLL_RATE));
    Ok(builder.retries(0).min_request_gap(gap).build()?)
}

/// Warns if the token of this run was not kept.
fn warn_of_cache(client: &Client) {
    if let Some(error) = client.token_cache_error() {
        eprint_line(&cache_warning(&describe(&error)));
    }
}

/// Returns the time between two requests at a rate in requests a second.
fn gap(rate: f64) -> Duration {
    Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX)
}

/// Creates the report, and has Ctrl-C end with a summary from here on.
fn begin(common: &Common) -> Result<Shared, Failure> {
    let report = Shared::new(Report::new(common));
    report.end_on_interrupt()?;
    Ok(report)
}
