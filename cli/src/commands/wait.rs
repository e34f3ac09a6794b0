//! `wait`: follows tasks to their ends.

use std::time::Duration;

use pan123_offline::{Client, PollPolicy};

use super::{client, warn_of_cache};
use crate::args::{Common, NewTaskArgs, WaitArgs};
use crate::engine::{self, Limits, Plan};
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line};
use crate::observer::Observer;
use crate::output::{Form, Output};
use crate::settings::ResolvedSettings;
use crate::store::Store;
use crate::task_ids::{TaskIds, read};

pub(super) fn wait(
    common: &Common,
    arguments: &[String],
    args: &WaitArgs,
) -> Result<ExitStatus, Failure> {
    follow(common, arguments, Form::Tasks, args.timeout, args.only_ends)
}

/// Follows tasks to their ends, or polls each of them once.
pub(super) fn follow(
    common: &Common,
    arguments: &[String],
    form: Form,
    timeout: Option<Duration>,
    only_ends: bool,
) -> Result<ExitStatus, Failure> {
    let settings = ResolvedSettings::resolve(common)?;
    let (client, observer) = client(common, &settings, 0)?;
    let ids = read(arguments)?;
    for reason in &ids.invalid {
        eprint_line(reason);
    }
    let policy = PollPolicy::new();
    let limits = (form, timeout, only_ends);
    let status = follow_tasks(common, &client, &observer, &ids, limits, policy)?;
    warn_of_cache(&client);
    let invalid = match ids.invalid.is_empty() {
        true => ExitStatus::Succeeded,
        false => ExitStatus::Usage,
    };
    Ok(status.max(invalid))
}

/// Follows these tasks with any client.
pub(super) fn follow_tasks(
    common: &Common,
    client: &Client,
    observer: &Observer,
    ids: &TaskIds,
    (form, timeout, only_ends): (Form, Option<Duration>, bool),
    policy: PollPolicy,
) -> Result<ExitStatus, Failure> {
    let mut store = Store::in_memory()?;
    store.add_tasks(&ids.tasks)?;
    let output = Output::new(common, form, ids.tasks.len(), only_ends);
    let plan = Plan {
        form,
        new_task: NewTaskArgs::default(),
        limits: Limits {
            follows: true,
            timeout,
            create_gap: Duration::ZERO,
            policy,
        },
        report: None,
    };
    engine::run(client, observer, store, output, plan)
}
