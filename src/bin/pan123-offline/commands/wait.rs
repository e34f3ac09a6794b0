//! `wait`: follows tasks to their ends.

use std::collections::HashSet;
use std::time::Duration;

use pan123_offline::{Client, Watch};

use super::{begin, client};
use crate::args::{Common, WaitArgs};
use crate::failure::{ExitStatus, Failure};
use crate::input::{self, Entry};
use crate::interrupt::Shared;

pub(super) fn wait(
    common: &Common,
    arguments: &[String],
    wait_args: &WaitArgs,
) -> Result<ExitStatus, Failure> {
    let client = client(common)?;
    let report = begin(common)?;
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for entry in input::task_ids(arguments) {
        match entry? {
            Entry::Valid(task) => {
                if seen.insert(task.id) {
                    report.lock().add_task(&task);
                    ids.push(task.id);
                }
            }
            Entry::Invalid(line) => report.lock().invalid_line(&line),
        }
    }
    report.lock().follow(&ids);
    follow(&report, watch(wait_args.timeout, &client, ids))
}

/// Follows tasks to their ends.
pub(super) fn follow(report: &Shared, watch: Watch) -> Result<ExitStatus, Failure> {
    for update in watch {
        report.lock().update(&update)?;
    }
    let mut report = report.lock();
    report.close();
    Ok(report.exit_status())
}

pub(super) fn watch(timeout: Option<Duration>, client: &Client, ids: Vec<u64>) -> Watch {
    let watch = client.watch(ids);
    match timeout {
        Some(timeout) => watch.timeout(timeout),
        None => watch,
    }
}
