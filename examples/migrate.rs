//! Creates a task for each URL given, one a second, follows them to their ends and prints a
//! summary.
//!
//! `cargo run --example migrate` uses a stand-in for the service on this machine, in which some
//! tasks fail. With `PAN123_CLIENT_ID` and `PAN123_CLIENT_SECRET`, or `PAN123_ACCESS_TOKEN`, it
//! uses the service itself.

use std::collections::BTreeMap;
use std::env;
use std::process::ExitCode;

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Client, Credentials, MigrationEvent, NewTask, Progress, Status};

fn main() -> ExitCode {
    let urls: Vec<_> = env::args().skip(1).collect();
    let real = env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with("PAN123_"));
    let result = if real {
        Client::from_env().and_then(|client| migrate(&client, urls))
    } else {
        stand_in(urls)
    };
    if let Err(error) = &result {
        eprintln!("error: {error}");
    }
    if result.unwrap_or(false) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn stand_in(mut urls: Vec<String>) -> pan123_offline::Result<bool> {
    if urls.is_empty() {
        urls = ["cat", "dog", "slow", "fox", "owl"]
            .map(|name| format!("https://example.org/{name}.png"))
            .into();
    }
    let service = Service::start().expect("a free port");
    service
        .credentials("demo", "secret")
        .new_tasks(|task_id, _| {
            let end = if task_id % 3 == 0 {
                (Status::Failed, 60)
            } else {
                (Status::Succeeded, 100)
            };
            [(Status::InProgress, 20), (Status::InProgress, 60), end]
                .map(|(s, percent)| Progress::new(s, percent))
                .into()
        });
    service.reply_with(|request| {
        request
            .body
            .windows(5)
            .any(|part| part == b"/slow")
            .then(|| Reply::new(504))
    });
    let builder = Client::builder().credentials(Credentials::new("demo", "secret"));
    migrate(&builder.base_url(service.base_url()).build()?, urls).map(|_| true)
}

/// Creates the tasks and follows them. Returns whether all succeeded.
fn migrate(client: &Client, urls: Vec<String>) -> pan123_offline::Result<bool> {
    let mut tasks = BTreeMap::new();
    let mut failed = Vec::new();
    let new_tasks: Vec<_> = urls.iter().map(NewTask::new).collect();
    for event in client.migrate(new_tasks) {
        match event {
            MigrationEvent::Created { index, task_id, .. } => {
                println!("{}: task {task_id}", urls[index]);
                tasks.insert(task_id, &urls[index]);
            }
            MigrationEvent::NotCreated { index, error, .. } if error.may_have_taken_effect() => {
                failed.push(format!("{}: the task may exist: {error}", urls[index]));
            }
            MigrationEvent::NotCreated { index, error, .. } => {
                failed.push(format!("{}: {error}", urls[index]));
            }
            MigrationEvent::Update { update, .. } => {
                let url = tasks[&update.task_id];
                match update.result {
                    Ok(progress) if progress.status == Status::Failed => {
                        failed.push(format!("{url}: {progress}"));
                    }
                    Ok(progress) => println!("{url}: {progress}"),
                    Err(error) => failed.push(format!("{url}: no longer followed: {error}")),
                }
            }
            _ => {}
        }
    }
    println!("{} of {} failed: {failed:#?}", failed.len(), urls.len());
    Ok(failed.is_empty())
}
