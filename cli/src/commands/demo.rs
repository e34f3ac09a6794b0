//! `demo`: a demonstration with tasks on the built-in stand-in.

use std::io;
use std::time::Duration;

use pan123_offline::testing::Service;
use pan123_offline::{Client, PollPolicy, Progress, Status};

use super::gap;
use super::wait::follow_tasks;
use crate::args::Common;
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line};
use crate::observer::Observer;
use crate::output::Form;
use crate::task_ids::TaskIds;

const DEMO_POLL_RATE: f64 = 40.0;
/// The id of the first task.
const FIRST_TASK: u64 = 403_316;
const TASKS: u64 = 8;

/// Starts a stand-in with tasks of different length: one fails, one is retried, one is unknown.
fn service() -> io::Result<Service> {
    let service = Service::start()?;
    for task in 0..TASKS - 1 {
        let steps = 5 + task * 3 % 7;
        let percent = |step: u64| (100 * step / steps) as u8;
        let mut script: Vec<_> = (0..steps)
            .map(|step| Progress::new(Status::InProgress, percent(step)))
            .collect();
        match task {
            2 => script.insert(3, Progress::new(Status::Retrying, percent(2))),
            4 => script.truncate(4),
            _ => {}
        }
        script.push(match task {
            4 => Progress::new(Status::Failed, percent(3)),
            _ => Progress::new(Status::Succeeded, 100),
        });
        service.task(FIRST_TASK + task, script);
    }
    Ok(service)
}

pub(super) fn demo(common: &Common) -> Result<ExitStatus, Failure> {
    let service = service()?;
    let observer = Observer::default();
    let builder = Client::builder()
        .access_token("demo")
        .base_url(service.base_url())
        .min_request_gap(gap(common.rate.unwrap_or(DEMO_POLL_RATE)));
    let client = observer.observe(builder, common.verbose).build()?;
    if !common.quiet {
        eprint_line("a demonstration: one task fails, and one does not exist");
    }
    let tasks = (FIRST_TASK..FIRST_TASK + TASKS).map(|id| (id, None));
    let ids = TaskIds {
        tasks: tasks.collect(),
        invalid: Vec::new(),
    };
    // The stand-in has no rate limit; the defaults are those for the service.
    let policy = PollPolicy::new()
        .initial_interval(Duration::from_millis(300))
        .max_interval(Duration::from_millis(600));
    let limits = (Form::Tasks, None, false);
    let end = follow_tasks(common, &client, &observer, &ids, limits, policy)?;
    if !common.quiet {
        eprint_line(&format!("`wait` would end with exit code {}", end.code()));
    }
    Ok(ExitStatus::Succeeded)
}
