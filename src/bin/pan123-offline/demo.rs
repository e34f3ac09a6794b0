//! The demonstration: tasks on the built-in stand-in.

use std::io;

use pan123_offline::testing::Service;
use pan123_offline::{Progress, Status};

/// The id of the first task.
const FIRST_TASK: u64 = 403_316;
const TASKS: u64 = 8;

/// Starts a stand-in with tasks of different length: one fails, one is retried, one is unknown.
pub(crate) fn service() -> io::Result<Service> {
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

pub(crate) fn task_ids() -> Vec<u64> {
    (FIRST_TASK..FIRST_TASK + TASKS).collect()
}
