//! `wait` and `process`: follow tasks to their ends, or poll each of them once.

use std::time::Duration;

use super::{client, warn_of_cache};
use crate::args::Common;
use crate::engine::{self, Plan};
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line};
use crate::output::{Form, Output};
use crate::settings::ResolvedSettings;
use crate::store::Store;
use crate::task_ids;

pub(super) fn follow(
    common: &Common,
    arguments: &[String],
    form: Form,
    timeout: Option<Duration>,
    only_ends: bool,
) -> Result<ExitStatus, Failure> {
    let settings = ResolvedSettings::resolve(common)?;
    let (client, observer) = client(common, &settings, 0)?;
    let (tasks, invalid) = task_ids::read(arguments)?;
    for reason in &invalid {
        eprint_line(reason);
    }
    let mut store = Store::in_memory()?;
    store.add_tasks(&tasks)?;
    let output = Output::new(common, form, tasks.len(), only_ends);
    let plan = Plan {
        form,
        follows: true,
        timeout,
        ..Plan::default()
    };
    let status = engine::run(&client, observer, store, output, plan)?;
    warn_of_cache(&client);
    Ok(match invalid.is_empty() {
        true => status,
        false => status.max(ExitStatus::Usage),
    })
}
