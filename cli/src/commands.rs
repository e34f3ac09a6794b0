//! The commands, one file for each, and their shared parts.

mod completions;
mod create;
mod demo;
mod extract;
mod links;
mod login;
mod man;
mod migrate;
mod report;
mod rewrite;
mod status;
mod wait;

use std::io::{self, Write};
use std::time::Duration;

use pan123_offline::Client;

use crate::args::{Arguments, Command, Common, NewTaskArgs, StateArgs};
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line, with_causes};
use crate::observer::Observer;
use crate::output::Form;
use crate::settings::{Login, ResolvedSettings};
use crate::store::{Store, state_path};

/// The time between two polls, and between two new tasks: other clients of the service keep to these rates.
const DEFAULT_POLL_GAP: Duration = Duration::from_millis(200);
const DEFAULT_CREATE_GAP: Duration = Duration::from_secs(1);

pub(crate) fn run(Arguments { common, command }: Arguments) -> Result<ExitStatus, Failure> {
    match command {
        Command::Migrate(args) => migrate::migrate(&common, &args),
        Command::Extract(args) => extract::extract(&args, &common),
        Command::Links(args) => links::links(&common, &args),
        Command::Rewrite(args) => rewrite::rewrite(&args, &common),
        Command::Status(args) => status::status(&args, common.json),
        Command::Report(args) => report::report(&args, common.json),
        Command::Create(args) => create::create(&common, &args),
        Command::Wait(args) => {
            let (ids, form) = (&args.tasks.ids, Form::Tasks);
            wait::follow(&common, ids, form, args.timeout, args.only_ends)
        }
        Command::Process(tasks) => {
            let once = Some(Duration::ZERO);
            wait::follow(&common, &tasks.ids, Form::TasksOnce, once, false)
        }
        Command::Login => login::login(&common),
        Command::Demo => demo::demo(),
        Command::Completions { shell } => print(&completions::completions(shell)),
        Command::Man { command } => print(&man::page(command.as_deref())?),
    }
}

fn print(text: &[u8]) -> Result<ExitStatus, Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()?;
    Ok(ExitStatus::Succeeded)
}

/// Creates the client, and what observes it. A migration and a watch repeat requests themselves, within the rate, and
/// need no retries.
fn client(
    common: &Common,
    settings: &ResolvedSettings,
    retries: u32,
) -> Result<(Client, Observer), Failure> {
    if let Login::Credentials { cache: Err(e), .. } = &settings.login {
        warn_of_lost_token(e);
    }
    let observer = Observer::default();
    let builder = settings.builder().timeout(common.request_timeout);
    let gap = common.rate.unwrap_or(DEFAULT_POLL_GAP);
    let builder = observer.observe(builder, common.verbose);
    let client = builder.retries(retries).min_request_gap(gap).build()?;
    Ok((client, observer))
}

/// Warns if the token of this run was not kept.
fn warn_of_cache(client: &Client) {
    if let Some(error) = client.token_cache_error() {
        warn_of_lost_token(&with_causes(&error));
    }
}

fn warn_of_lost_token(reason: &str) {
    eprint_line(&format!(
        "the token cannot be kept: {reason}; each run requests a new one, and the service keeps \
         three"
    ));
}

/// Returns a number and a noun, such as `1 file` or `2 files`.
fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// Opens the state of a list that need not exist any more.
fn open_state(args: &StateArgs) -> Result<Store, Failure> {
    Ok(Store::open(&state_path(&args.list, args.state.as_deref()))?)
}

/// Returns the text about the folder of new tasks, if the user chose one.
fn folder_text(args: &NewTaskArgs) -> String {
    match &args.directory {
        Some(directory) => format!(", folder {}", directory.escape_debug()),
        None => String::new(),
    }
}
