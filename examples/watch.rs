//! Watches twenty tasks of a stand-in on this machine with a progress bar each. Some of them fail,
//! and one does not exist.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use pan123_offline::testing::Service;
use pan123_offline::{Client, PollPolicy, Progress, Status};

fn main() -> Result<(), Box<dyn Error>> {
    let ids = 403316..403336;
    let service = Service::start()?;
    for id in ids.clone().filter(|id| id % 20 != 9) {
        let steps = 3 + id * 7 % 5;
        let mut script: Vec<_> = (0..steps)
            .map(|step| Progress::new(Status::InProgress, (100 * step / steps) as u8))
            .collect();
        script.push(match id % 6 {
            0 => Progress::new(Status::Failed, 70),
            _ => Progress::new(Status::Succeeded, 100),
        });
        service.task(id, script);
    }
    let client = Client::builder()
        .access_token("any")
        .base_url(service.base_url())
        .build()?;

    let screen = MultiProgress::new();
    let bar = |prefix: String, length, style: &str| -> Result<_, Box<dyn Error>> {
        let style = ProgressStyle::with_template(style)?.progress_chars("━╸ ");
        Ok(screen.add(
            ProgressBar::new(length)
                .with_style(style)
                .with_prefix(prefix),
        ))
    };
    let one = "{prefix} {bar:30.cyan} {pos:>3} %  {wide_msg}";
    let bars = ids
        .clone()
        .map(|id| Ok((id, bar(id.to_string(), 100, one)?)));
    let bars = bars.collect::<Result<BTreeMap<u64, ProgressBar>, Box<dyn Error>>>()?;
    let total = bar(
        "ended ".into(),
        ids.clone().count() as u64,
        "{prefix} {bar:30.green} {pos:>3} of {len}",
    )?;
    bars.values().chain([&total]).for_each(ProgressBar::tick);

    // Shorter intervals than the defaults, which are for the real service.
    let mut watch = client.watch(ids).policy(
        PollPolicy::new()
            .initial_interval(Duration::from_millis(500))
            .max_interval(Duration::from_secs(1)),
    );
    while let Some(update) = watch.next() {
        let bar = &bars[&update.task_id];
        let text = match &update.result {
            Ok(progress) => {
                bar.set_position(progress.percent.into());
                progress.status.to_string()
            }
            Err(error) => error.to_string(),
        };
        if screen.is_hidden() {
            // Without a terminal there are no bars.
            println!("task {}: {} %, {text}", update.task_id, bar.position());
        }
        total.set_position(watch.finished() as u64);
        if update.is_end() {
            bar.abandon_with_message(text)
        } else {
            bar.set_message(text)
        }
    }
    total.abandon();
    Ok(())
}
