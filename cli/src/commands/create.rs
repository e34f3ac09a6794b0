//! `create`: creates tasks.

use std::collections::HashSet;
use std::io;
use std::mem;
use std::time::Duration;

use pan123_offline::{Error, NextTimeoutError, PollPolicy, Update};

use super::engine::{self, Input, Ledger, Progress, Run, View};
use super::wait::{INTERVAL, watch};
use super::{DEFAULT_CREATE_RATE, client, gap, warn_of_cache};
use crate::args::{Common, Create};
use crate::failure::{ExitStatus, Failure, usage};
use crate::input::{self, Entry, InvalidLine, Item, SeenItems, Task};
use crate::interrupt::Shared;
use crate::journal::{Journal, NotCreated, Recreate};
use crate::report::Report;

/// Maximum number of attempts for a single URL. A list ends after as many errors as the default `PollPolicy` allows.
const MAX_SINGLE_URL_ATTEMPTS: u32 = 3;

pub(super) fn create(common: &Common, args: &Create) -> Result<ExitStatus, Failure> {
    let client = client(common)?;
    let is_single = args.urls.len() == 1 && args.urls[0] != "-";
    if args.file_name.is_some() && !is_single {
        return Err(usage(
            "--file-name is for one URL; in a list, write the name after the URL and a TAB",
        ));
    }
    engine::check(&args.new_task)?;
    let ledger = match &args.journal {
        Some(path) => Ledger::Journal(Box::new(Journal::open(path)?)),
        None => Ledger::None(SeenItems::default()),
    };
    let mut view = CreateView::new(common, args);
    if !is_single {
        view.report.show_creation(common);
    }
    let run = Shared::new(Run::new(ledger, view));
    run.end_on_interrupt()?;
    let name = args.file_name.clone();
    let entries = input::urls(&args.urls).map(|entry| rename(entry, name.as_deref()));
    let input = Input::new(entries, &run, args.new_task.clone(), Recreate::default());
    let policy = match is_single {
        true => PollPolicy::new()
            .max_consecutive_errors(MAX_SINGLE_URL_ATTEMPTS)
            .error_window(Duration::ZERO),
        false => PollPolicy::new(),
    };
    let migration = client
        .migrate(input)
        .create_only()
        .create_gap(gap(common.rate.unwrap_or(DEFAULT_CREATE_RATE)))
        .policy(policy);
    engine::drive(&run, migration, args.new_task.max_failures, || {
        let ids = mem::take(&mut run.lock().view.ids);
        if ids.is_empty() {
            return Ok(());
        }
        run.lock().view.report.follow();
        let mut watch = watch(args.timeout, &client, ids);
        loop {
            let next = watch.next_timeout(INTERVAL);
            let report = &mut run.lock().view.report;
            match next {
                Ok(update) => report.update(&update)?,
                Err(NextTimeoutError::Timeout) => report.tick(),
                Err(NextTimeoutError::Finished) => break,
            }
        }
        Ok(())
    })?;
    warn_of_cache(&client);
    Ok(run.lock().view.report.exit_status())
}

/// Gives an entry the file name of `--file-name`.
fn rename(
    entry: Result<Entry<Item>, Failure>,
    file_name: Option<&str>,
) -> Result<Entry<Item>, Failure> {
    Ok(match (entry?, file_name) {
        (Entry::Valid(item), Some(_)) => Entry::Valid(Item::new(item.url(), file_name)),
        (entry, _) => entry,
    })
}

/// Prints what happens, and collects the tasks to follow.
struct CreateView {
    report: Report,
    wait: bool,
    /// The number of entries of the list, if it is known.
    total: Option<usize>,
    /// Entries that are invalid, and those that were not created.
    failed: usize,
    ids: Vec<u64>,
    /// The service may give two URLs the same id.
    seen_ids: HashSet<u64>,
}

impl CreateView {
    fn new(common: &Common, args: &Create) -> Self {
        let is_stdin = |url: &&String| *url == "-";
        let stdin = match args.urls.iter().filter(is_stdin).count() {
            0 => Some(0),
            _ => input::count_stdin_lines(),
        };
        let others = args.urls.iter().filter(|url| !is_stdin(url)).count();
        Self {
            report: Report::new(common),
            wait: args.wait,
            total: stdin.map(|lines| lines + others),
            failed: 0,
            ids: Vec::new(),
            seen_ids: HashSet::new(),
        }
    }
}

impl View for CreateView {
    fn invalid(&mut self, line: &InvalidLine) -> io::Result<()> {
        self.failed += 1;
        self.report.invalid_url(line)
    }

    fn created(&mut self, item: &Item, task_id: u64) -> io::Result<()> {
        self.report.created(item.url(), task_id)?;
        if self.wait && self.seen_ids.insert(task_id) {
            let url = Some(item.url().to_owned());
            self.report.add_task(&Task { id: task_id, url });
            self.ids.push(task_id);
        }
        Ok(())
    }

    fn delayed(&mut self, item: &Item, error: &Error, delay: Duration) -> io::Result<()> {
        self.report
            .print_delay(&engine::delay_text(item, error, delay));
        Ok(())
    }

    fn not_created(&mut self, item: &Item, _: NotCreated, error: &Error) -> io::Result<()> {
        self.failed += 1;
        // No request can be made after a ban or without a token.
        if ExitStatus::of(error) == ExitStatus::Refused {
            self.ids.clear();
        }
        self.report.not_created(item.url(), error)
    }

    fn shows_progress(&self) -> bool {
        false
    }

    fn update(&mut self, _: &[Item], _: &Update) -> io::Result<()> {
        Ok(())
    }

    fn tick(&mut self, progress: &Progress) {
        let skipped = progress.duplicates + progress.skipped;
        let total = self.total.map(|total| total.saturating_sub(skipped));
        self.report.tick_creation(total, self.failed);
    }

    fn print_message(&mut self, text: &str) {
        self.report.print_message(text);
    }

    fn close(&mut self, progress: &Progress, is_interrupted: bool) {
        self.report.close();
        if progress.duplicates > 0 {
            self.print_message(&match progress.duplicates {
                1 => "1 line repeats a URL, which was created once".to_owned(),
                duplicates => format!("{duplicates} lines repeat a URL, which was created once"),
            });
        }
        if is_interrupted {
            let summary = self.report.summary();
            self.print_message(&format!(
                "interrupted: {summary}; the tasks go on at the service"
            ));
        } else {
            self.report.sum_up();
        }
    }
}
