//! `migrate`: creates the tasks of a list and follows them, through interruptions.

mod dry_run;
mod view;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::view::MigrateView;
use super::engine::{self, Input, Ledger, Run};
use super::{DEFAULT_CREATE_RATE, client, gap, warn_of_cache};
use crate::args::{Common, Migrate};
use crate::failure::{ExitStatus, Failure, usage};
use crate::input::{self, Entries, Item};
use crate::interrupt::Shared;
use crate::journal::{Journal, Recreate};

pub(super) fn migrate(common: &Common, args: &Migrate) -> Result<ExitStatus, Failure> {
    engine::check(&args.new_task)?;
    let journal_path = journal_path(args);
    if args.dry_run {
        return dry_run::dry_run(common, args, &journal_path);
    }
    let list = List::open(&args.list)?;
    let total = list.count_lines()?;
    let client = client(common)?;
    // Without a token nothing can be done, and the journal need not record that for each URL.
    client.access_token().map_err(Failure::Service)?;
    warn_of_cache(&client);
    let journal = Journal::open(&journal_path)?;
    let open = journal.history().open_tasks();
    let view = MigrateView::new(common, total, &journal_path);
    let run = Shared::new(Run::new(Ledger::Journal(Box::new(journal)), view));
    run.end_on_interrupt()?;
    let input = Input::new(list.entries(), &run, args.new_task.clone(), recreate(args));
    let mut migration = client
        .migrate(input)
        .also_watch(open)
        .create_gap(create_gap(args));
    if let Some(timeout) = args.timeout {
        migration = migration.timeout(timeout);
    }
    engine::drive(&run, migration, args.new_task.max_failures, || Ok(()))?;
    let run = run.lock();
    Ok(run.view.exit_status(&run.counts()))
}

fn recreate(args: &Migrate) -> Recreate {
    Recreate {
        unknown: args.recreate_unknown,
        failed: args.retry_failed,
    }
}

fn create_gap(args: &Migrate) -> Duration {
    gap(args.create_rate.unwrap_or(DEFAULT_CREATE_RATE))
}

/// Returns the journal's path: by default the list's, with `.journal` after it.
fn journal_path(args: &Migrate) -> PathBuf {
    args.journal.clone().unwrap_or_else(|| {
        let mut name = args.list.clone().into_os_string();
        name.push(".journal");
        name.into()
    })
}

/// The list: a file, or standard input.
enum List {
    File(PathBuf, File),
    Stdin,
}

impl List {
    fn open(path: &Path) -> Result<Self, Failure> {
        if path.as_os_str() == OsStr::new("-") {
            return Ok(Self::Stdin);
        }
        let file = File::open(path).map_err(|error| list_error(path, &error))?;
        Ok(Self::File(path.to_owned(), file))
    }

    /// Returns the number of lines, which is not known of a pipe.
    fn count_lines(&self) -> Result<Option<usize>, Failure> {
        let Self::File(path, file) = self else {
            return Ok(None);
        };
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Ok(None);
        }
        let count = File::open(path).and_then(|file| input::count_lines(BufReader::new(file)));
        count.map(Some).map_err(|error| list_error(path, &error))
    }

    fn entries(self) -> Entries<'static, Item> {
        let (reader, name): (Box<dyn BufRead>, _) = match self {
            Self::File(path, file) => (Box::new(BufReader::new(file)), path.display().to_string()),
            Self::Stdin => (Box::new(io::stdin().lock()), "standard input".to_owned()),
        };
        input::urls_of(reader, &name)
    }
}

fn list_error(path: &Path, error: &io::Error) -> Failure {
    usage(format!("the list {}: {error}", path.display()))
}
