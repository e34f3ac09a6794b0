//! `create`: creates tasks.

use std::collections::HashSet;

use pan123_offline::{Error, NewTask};

use super::process::RateLimiter;
use super::wait::{follow, watch};
use super::{DEFAULT_CREATE_RATE, begin, client};
use crate::args::{Common, Create};
use crate::failure::{ExitStatus, Failure, usage};
use crate::input::{self, Entry, Item, SeenItems, Task};

pub(super) fn create(common: &Common, create: &Create) -> Result<ExitStatus, Failure> {
    let client = client(common)?;
    if create.file_name.is_some() && (create.urls.len() > 1 || create.urls[0] == "-") {
        return Err(usage(
            "--file-name is for one URL; in a list, write the name after the URL and a TAB",
        ));
    }
    let report = begin(common)?;
    let mut limiter = RateLimiter::new(
        common.rate.unwrap_or(DEFAULT_CREATE_RATE),
        common.request_timeout,
    );
    let mut seen = SeenItems::default();
    let mut duplicates = 0;
    // The service may give two URLs the same id.
    let mut seen_ids = HashSet::new();
    let mut ids = Vec::new();
    // A ban or a refused token stops the rest; a URL that cannot work does not.
    let mut is_refused = false;
    for entry in input::urls(&create.urls) {
        let item = match entry? {
            Entry::Valid(item) => item,
            Entry::Invalid(line) => {
                report.lock().invalid_url(&line)?;
                continue;
            }
        };
        if !seen.insert(&item) {
            duplicates += 1;
            continue;
        }
        let task = new_task(&item, create);
        let result = limiter.call_with_retries(|| client.create_task(&task), may_create_again);
        let mut report = report.lock();
        match result {
            Ok(id) => {
                report.created(item.url(), id)?;
                if create.wait && seen_ids.insert(id) {
                    let url = Some(item.url().to_owned());
                    report.add_task(&Task { id, url });
                    ids.push(id);
                }
            }
            Err(error) => {
                report.not_created(item.url(), &error)?;
                is_refused = ExitStatus::of(&error) == ExitStatus::Refused;
            }
        }
        if is_refused {
            break;
        }
    }
    if duplicates > 0 {
        report.lock().say(&format!(
            "{duplicates} of the URLs are doubled and were created once"
        ));
    }
    if create.wait && !is_refused && !ids.is_empty() {
        report.lock().follow(&ids);
        return follow(&report, watch(create.timeout, &client, ids));
    }
    Ok(report.lock().exit_status())
}

/// Reports whether a creation may be retried: no task can have come of it.
fn may_create_again(error: &Error) -> bool {
    let not_sent =
        matches!(error, Error::Transport(_)) && error.is_transient() && !error.may_have_been_sent();
    error.is_rate_limited() || not_sent
}

fn new_task(item: &Item, create: &Create) -> NewTask {
    let mut task = NewTask::new(item.url());
    if let Some(name) = create.file_name.as_deref().or(item.file_name()) {
        task = task.file_name(name);
    }
    if let Some(directory) = &create.directory {
        task = task.directory(directory);
    }
    if let Some(url) = &create.callback_url {
        task = task.callback_url(url);
    }
    task
}
