//! Follows one task to its end.
//!
//! `cargo run --example quickstart` uses a stand-in for the service on this machine. With
//! `PAN123_ACCESS_TOKEN` set and a task id as its argument it uses the service itself.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use pan123_offline::testing::Service;
use pan123_offline::{Client, PollPolicy, Progress, Status, Wait};

fn main() -> ExitCode {
    let result = match std::env::args().nth(1) {
        Some(task_id) => real(&task_id),
        None => stand_in(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn real(task_id: &str) -> Result<(), Box<dyn Error>> {
    let task_id = task_id
        .parse()
        .map_err(|_| format!("`{task_id}` is not a task id"))?;
    follow(task_id, Client::from_env()?.wait(task_id))
}

fn stand_in() -> Result<(), Box<dyn Error>> {
    let service = Service::start()?;
    let client = Client::builder()
        .access_token("any")
        .base_url(service.base_url())
        .build()?;
    println!(
        "no task id given, so this uses a stand-in at {}",
        service.base_url()
    );
    let retrying = Progress::new(Status::Retrying, 40);
    let running = [0, 40, 80].map(|percent| Progress::new(Status::InProgress, percent));
    service.task(
        403316,
        [
            running[0],
            running[1],
            retrying,
            running[2],
            Progress::new(Status::Succeeded, 100),
        ],
    );
    let interval = Duration::from_millis(300);
    follow(
        403316,
        client.wait(403316).policy(
            PollPolicy::new()
                .initial_interval(interval)
                .max_interval(interval),
        ),
    )
}

fn follow(task_id: u64, wait: Wait) -> Result<(), Box<dyn Error>> {
    for progress in wait {
        println!("task {task_id}: {}", progress?);
    }
    Ok(())
}
