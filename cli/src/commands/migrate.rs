//! `migrate`: creates the tasks of a list and follows them, through interruptions.

use std::path::Path;
use std::time::Duration;

use pan123_offline::PollPolicy;
use serde::Serialize;

use super::{DEFAULT_CREATE_RATE, client, counted, folder_text, gap, print, warn_of_cache};
use crate::args::{Common, Migrate};
use crate::engine::{self, Limits, Plan};
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line, usage};
use crate::image::Counts;
use crate::json;
use crate::list::{Entry, List, excerpt};
use crate::output::{Event, Form, Output};
use crate::settings::ResolvedSettings;
use crate::store::{Recreate, Store, SyncReport, state_path};

/// The keys of the account in the state.
const BASE_URL: &str = "base_url";
const CLIENT_ID: &str = "client_id";

pub(super) fn migrate(common: &Common, args: &Migrate) -> Result<ExitStatus, Failure> {
    engine::check(&args.new_task)?;
    let path = state_path(&args.list, args.state.as_deref());
    let list = List::read(&args.list, args.state.is_some())?;
    if args.strict {
        check_strictly(&list)?;
    }
    let tell = |entry: &Entry<'_>| tell_line(&list, entry, common.quiet);
    if args.dry_run {
        return dry_run(common, args, &list, &path, tell);
    }
    let settings = ResolvedSettings::resolve(common)?;
    let (client, observer) = client(common, &settings, 0)?;
    let (mut store, is_new) = Store::open_for_run(&path)?;
    claim(&store, &settings, &path)?;
    let report = store.sync(&list, recreate(args), tell)?;
    let open = store.open_tasks()?.len();
    let tasks = open + usize::try_from(store.counts().new).unwrap_or(usize::MAX);
    let mut output = Output::new(common, Form::List, tasks, true);
    let service = settings.service();
    let state = if is_new { "new" } else { "continued" };
    let start = format!(
        "{service}{}; state {} ({state}); {}",
        folder_text(&args.new_task),
        path.display(),
        counts_text(store.counts(), &report)
    );
    output.show(&Event::Note(&start))?;
    tell_late_names(&mut output, &report)?;
    let plan = Plan {
        form: Form::List,
        new_task: args.new_task.clone(),
        limits: Limits {
            follows: true,
            timeout: args.timeout,
            create_gap: create_gap(args),
            policy: PollPolicy::new(),
        },
        report: Some(report_command(args)),
    };
    let status = engine::run(&client, &observer, store, output, plan);
    warn_of_cache(&client);
    status
}

/// Tells that a line is invalid, or that the service will probably not reach its URL.
fn tell_line(list: &List, entry: &Entry<'_>, is_quiet: bool) {
    let (kind, reason) = match &entry.parsed {
        Err(reason) => ("invalid", reason.as_str()),
        Ok(parsed) => match parsed.warning {
            Some(warning) if !is_quiet => ("warning", warning),
            _ => return,
        },
    };
    let (line, name) = (entry.line, list.name());
    let text = excerpt(entry.text);
    eprint_line(&format!("line {line} of {name}: {kind}: {text}: {reason}"));
}

/// Tells the invalid lines, and ends the command if there are any.
fn check_strictly(list: &List) -> Result<(), Failure> {
    let invalid = list.entries().filter(|entry| entry.parsed.is_err());
    let count = invalid
        .inspect(|entry| tell_line(list, entry, true))
        .count();
    match count {
        0 => Ok(()),
        _ => Err(usage(format!(
            "invalid lines of {}: {count}; with --strict nothing is done",
            list.name()
        ))),
    }
}

/// Checks that the state belongs to the service and the account of the settings, and enters them into a new one.
pub(super) fn claim(
    store: &Store,
    settings: &ResolvedSettings,
    path: &Path,
) -> Result<(), Failure> {
    let (service, client_id) = (settings.service(), settings.client_id());
    for (key, what, value) in [
        (BASE_URL, "service", Some(&*service)),
        (CLIENT_ID, "client id", client_id),
    ] {
        let Some(value) = value else { continue };
        match store.meta(key)? {
            Some(known) if known != value => {
                return Err(usage(format!(
                    "the state {} belongs to the {what} {}, and the settings name {}; change \
                     the settings, or name another file with --state",
                    path.display(),
                    known.escape_debug(),
                    value.escape_debug()
                )));
            }
            Some(_) => {}
            None => store.set_meta(key, value)?,
        }
    }
    Ok(())
}

fn recreate(args: &Migrate) -> Recreate {
    Recreate {
        failed: args.retry_failed,
        unknown: args.recreate_unknown,
    }
}

fn counts_text(counts: Counts, report: &SyncReport) -> String {
    let total = usize::try_from(counts.total()).unwrap_or(usize::MAX);
    let mut text = format!("{}: {}", counted(total, "image"), counts.text());
    match report.duplicates {
        0 => {}
        1 => text += "; 1 duplicate line",
        count => text += &format!("; {count} duplicate lines"),
    }
    text
}

fn tell_late_names(output: &mut Output, report: &SyncReport) -> Result<(), Failure> {
    if let [first, others @ ..] = &report.late_names[..] {
        let text = match others.len() {
            0 => format!("the name in line {first} comes too late: the task was created before"),
            count => format!(
                "the names in line {first} and {} come too late: the tasks were created before",
                counted(count, "more line")
            ),
        };
        output.show(&Event::Note(&text))?;
    }
    Ok(())
}

fn create_gap(args: &Migrate) -> Duration {
    gap(args.create_rate.unwrap_or(DEFAULT_CREATE_RATE))
}

/// Returns the command line that lists the images of this state.
fn report_command(args: &Migrate) -> String {
    let mut command = format!("pan123-offline report {}", args.list.display());
    if let Some(state) = &args.state {
        command += &format!(" --state {}", state.display());
    }
    command
}

/// The plan of a migration.
#[derive(Serialize)]
struct DryRun {
    #[serde(flatten)]
    counts: Counts,
    duplicates: u64,
    /// Tasks to create, and existing tasks to follow.
    to_create: u64,
    to_follow: u64,
    /// The time that the creations take, at least.
    seconds: u64,
}

fn dry_run(
    common: &Common,
    args: &Migrate,
    list: &List,
    path: &Path,
    tell: impl FnMut(&Entry<'_>),
) -> Result<ExitStatus, Failure> {
    let (mut store, is_new) = Store::copy_of(path)?;
    // Without a login nothing is known about the account.
    let settings = ResolvedSettings::resolve(common).ok();
    if let Some(settings) = &settings {
        claim(&store, settings, path)?;
    }
    let report = store.sync(list, recreate(args), tell)?;
    let to_follow = store.open_tasks()?.len() as u64;
    let counts = store.counts();
    let to_create = u32::try_from(counts.new).unwrap_or(u32::MAX);
    let plan = DryRun {
        counts,
        duplicates: report.duplicates,
        to_create: counts.new,
        to_follow,
        seconds: create_gap(args).saturating_mul(to_create).as_secs(),
    };
    let text = if common.json {
        json::to_line(&plan)
    } else {
        let state = if is_new { "new" } else { "continued" };
        let service = settings.map_or("no login".to_owned(), |settings| settings.service());
        let time = humantime::format_duration(Duration::from_secs(plan.seconds));
        format!(
            "{service}{}; state {} ({state}); {}\nto create\t{}\nto follow\t{}\nexpected time\tat \
             least {time}\n",
            folder_text(&args.new_task),
            path.display(),
            counts_text(counts, &report),
            plan.to_create,
            plan.to_follow,
        )
    };
    print(text.as_bytes())?;
    Ok(match counts.invalid {
        0 => ExitStatus::Succeeded,
        _ => ExitStatus::Usage,
    })
}
