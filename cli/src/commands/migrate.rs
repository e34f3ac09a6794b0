//! `migrate`: creates the tasks of a list and follows them, through interruptions.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::{client, counted, folder_text, print, warn_of_cache};
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
    let mut recreate = Vec::new();
    if args.retry_failed {
        recreate.extend([State::Failed, State::Refused]);
    }
    if args.recreate_unknown {
        recreate.push(State::Unknown);
    }
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
    let create_gap = args.create_rate;
    let Some((client, observer)) = run else {
        let to_create = u32::try_from(counts.new).unwrap_or(u32::MAX);
        // The creations take this time, at least.
        let seconds = create_gap.saturating_mul(to_create).as_secs();
        let text = if common.json {
            let mut plan = json!(counts);
            plan["duplicates"] = duplicates.into();
            plan["to_create"] = counts.new.into();
            plan["to_follow"] = to_follow.into();
            plan["seconds"] = seconds.into();
            json::to_line(&plan)
        } else {
            let time = humantime::format_duration(Duration::from_secs(seconds));
            format!(
                "{start}\nto create\t{}\nto follow\t{to_follow}\nexpected time\tat least {time}\n",
                counts.new
            )
        };
        print(text.as_bytes())?;
        return Ok(match counts.invalid {
            0 => ExitStatus::Succeeded,
            _ => ExitStatus::Usage,
        });
    };
    let tasks = to_follow + usize::try_from(counts.new).unwrap_or(usize::MAX);
    let output = Output::new(common, Form::List, tasks, true);
    let plan = Plan {
        start: Some(start),
        new_task: args.new_task.clone(),
        follows: true,
        timeout: args.timeout,
        create_gap,
        report: Some(report_command(args)),
        ..Plan::default()
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
