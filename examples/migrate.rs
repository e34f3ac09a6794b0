//! Creates a task for each URL given, one a second, watches them to their end and sums up.
//!
//! `cargo run --example migrate` talks to a stand-in of the service on this machine, which makes some of them fail. With
//! `PAN123_CLIENT_ID` and `PAN123_CLIENT_SECRET`, or `PAN123_ACCESS_TOKEN`, it talks to the service itself.

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{Client, Credentials, NewTask, Progress, Status};
use std::{collections::BTreeMap, env, process::ExitCode, thread::sleep, time::Duration};

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

fn migrate(client: &Client, urls: Vec<String>) -> pan123_offline::Result<bool> {
    let (mut tasks, mut failed, total) = (BTreeMap::new(), Vec::new(), urls.len());
    for (number, url) in urls.into_iter().enumerate() {
        sleep(Duration::from_secs(u64::from(number > 0)));
        match client.create_task(&NewTask::new(&url)) {
            Ok(task_id) => {
                println!("{url}: task {task_id}");
                tasks.insert(task_id, url);
            }
            // Once more might make two tasks of it, and no call lists them: look into the folder before.
            Err(e) if e.may_have_been_sent() => {
                failed.push(format!("{url} may have begun, look before a retry: {e}"))
            }
            Err(e) if e.is_banned() || e.is_unauthorized() => return Err(e),
            Err(e) => failed.push(format!("{url}: {e}")),
        }
    }
    for update in client.watch(tasks.keys().copied()) {
        let (url, is_end) = (&tasks[&update.task_id], update.is_end());
        match update.result {
            Ok(progress) if !is_end || progress.status == Status::Succeeded => {
                println!("{url}: {progress}")
            }
            Ok(progress) => failed.push(format!("{url}: {progress}")),
            Err(e) => failed.push(format!("{url} is not watched any more: {e}")),
        }
    }
    println!(
        "{} of {total} succeeded; these did not: {failed:#?}",
        total - failed.len()
    );
    Ok(failed.is_empty())
}
