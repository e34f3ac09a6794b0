//! Follows one task to its end.
//!
//! `cargo run --example quickstart` talks to a stand-in of the service on this machine. With `PAN123_ACCESS_TOKEN` set
//! and a task id as argument it talks to the service itself.

use std::error::Error;
use std::thread::sleep;
use std::time::Duration;

use pan123_offline::testing::Service;
use pan123_offline::{Client, Progress, Status};

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(task_id) => follow(&Client::from_env()?, task_id.parse()?, Duration::from_secs(2)),
        None => {
            let service = Service::start()?;
            let client = Client::builder().access_token("any").base_url(service.base_url()).build()?;
            println!("no task id given, so this is a stand-in at {}", service.base_url());
            service.task(
                403316,
                [
                    Progress::new(Status::InProgress, 0),
                    Progress::new(Status::InProgress, 40),
                    Progress::new(Status::Retrying, 40),
                    Progress::new(Status::InProgress, 80),
                    Progress::new(Status::Succeeded, 100),
                ],
            );
            follow(&client, 403316, Duration::from_millis(300))
        }
    }
}

fn follow(client: &Client, task_id: u64, pause: Duration) -> Result<(), Box<dyn Error>> {
    loop {
        let progress = client.get_process(task_id)?;
        println!("task {task_id}: {progress}");
        match progress.status {
            Status::Succeeded => return Ok(()),
            Status::Failed => return Err("the task has failed".into()),
            _ => sleep(pause),
        }
    }
}
