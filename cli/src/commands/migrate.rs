//! `migrate`: creates the tasks of a list and follows them, through interruptions.

use std::path::Path;
use std::time::Duration;

use pan123_offline::PollPolicy;
use serde::Serialize;

use super::{DEFAULT_CREATE_RATE, client, counted, folder_text, gap, print, warn_of_cache};
use crate::args::{Common, Migrate};
use crate::engine::{self, Plan};
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line, usage};
use crate::image::{Counts, State};
use crate::json;
use crate::list::{List, Remark, excerpt};
use crate::output::{Form, Output};
use crate::settings::ResolvedSettings;
use crate::store::{Store, state_path};

/// The keys of the account in the state.
const BASE_URL: &str = "base_url";
const CLIENT_ID: &str = "client_id";

pub(super) fn migrate(common: &Common, args: &Migrate) -> Result<ExitStatus, Failure> {
    engine::check(&args.new_task)?;
    let path = state_path(&args.list, args.state.as_deref());
    let list = List::read(&args.list, args.state.is_some())?;
    let recreate = [
        (args.retry_failed, State::Failed),
        (args.retry_failed, State::Refused),
        (args.recreate_unknown, State::Unknown),
    ];
    let recreate = recreate.into_iter().filter(|(is_wanted, _)| *is_wanted);
    let recreate: Vec<_> = recreate.map(|(_, state)| state).collect();
    if args.strict {
        let (mut copy, _) = Store::copy_of(&path)?;
        copy.sync(&list, &recreate, |remark| tell(&list, remark, true))?;
        if copy.counts().invalid > 0 {
            let count = copy.counts().invalid;
            let name = &list.name;
            return Err(usage(format!(
                "invalid lines of {name}: {count}; with --strict nothing is done"
            )));
        }
    }
    let settings = match args.dry_run {
        // Without a login nothing is known about the account, and a plan can be made all the same.
        true => ResolvedSettings::resolve(common).ok(),
        false => Some(ResolvedSettings::resolve(common)?),
    };
    let run = match &settings {
        Some(settings) if !args.dry_run => Some(client(common, settings, 0)?),
        _ => None,
    };
    let (mut store, is_new) = match args.dry_run {
        true => Store::copy_of(&path)?,
        false => Store::open_for_run(&path)?,
    };
    if let Some(settings) = &settings {
        claim(&store, settings, &path)?;
    }
    let service = settings.map_or("no login".to_owned(), |settings| settings.service());
    let duplicates = store.sync(&list, &recreate, |remark| tell(&list, remark, common.quiet))?;
    let (counts, to_follow) = (store.counts(), store.open_tasks()?.len());
    let start = format!(
        "{service}{}; state {} ({}); {}",
        folder_text(&args.new_task),
        path.display(),
        if is_new { "new" } else { "continued" },
        counts_text(counts, duplicates)
    );
    let create_gap = gap(args.create_rate.unwrap_or(DEFAULT_CREATE_RATE));
    let Some((client, observer)) = run else {
        let to_create = u32::try_from(counts.new).unwrap_or(u32::MAX);
        let plan = DryRun {
            counts,
            duplicates,
            to_create: counts.new,
            to_follow,
            seconds: create_gap.saturating_mul(to_create).as_secs(),
        };
        return plan.print(&start, common.json);
    };
    let tasks = to_follow + usize::try_from(counts.new).unwrap_or(usize::MAX);
    let output = Output::new(common, Form::List, tasks, true);
    let plan = Plan {
        form: Form::List,
        start: Some(start),
        new_task: args.new_task.clone(),
        follows: true,
        timeout: args.timeout,
        create_gap,
        policy: PollPolicy::new(),
        report: Some(report_command(args)),
    };
    let status = engine::run(&client, observer, store, output, plan);
    warn_of_cache(&client);
    status
}

/// Prints what a user should know about a line.
pub(super) fn tell(list: &List, remark: &Remark<'_>, is_quiet: bool) {
    let kind = match remark.is_invalid {
        true => "invalid",
        false if is_quiet => return,
        false => "warning",
    };
    let (line, text, reason) = (remark.line, excerpt(remark.text), remark.reason);
    let name = &list.name;
    eprint_line(&format!("line {line} of {name}: {kind}: {text}: {reason}"));
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

fn counts_text(counts: Counts, duplicates: u64) -> String {
    let count = |count, what| counted(usize::try_from(count).unwrap_or(usize::MAX), what);
    let mut text = format!("{}: {}", count(counts.total(), "image"), counts.text());
    if duplicates > 0 {
        text += &format!("; {}", count(duplicates, "duplicate line"));
    }
    text
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
    to_follow: usize,
    /// The time that the creations take, at least.
    seconds: u64,
}

impl DryRun {
    fn print(&self, start: &str, as_json: bool) -> Result<ExitStatus, Failure> {
        let text = if as_json {
            json::to_line(self)
        } else {
            let time = humantime::format_duration(Duration::from_secs(self.seconds));
            let (to_create, to_follow) = (self.to_create, self.to_follow);
            format!(
                "{start}\nto create\t{to_create}\nto follow\t{to_follow}\nexpected time\tat least \
                 {time}\n"
            )
        };
        print(text.as_bytes())?;
        Ok(match self.counts.invalid {
            0 => ExitStatus::Succeeded,
            _ => ExitStatus::Usage,
        })
    }
}
