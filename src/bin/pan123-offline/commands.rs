//! What each command does.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use clap::{Command as Definition, CommandFactory};
use pan123_offline::{Client, Error, ErrorCode, NewTask, Watch};

use crate::args::{Arguments, Command, Common, Create, Patience};
use crate::demo;
use crate::failure::{End, Failure, usage};
use crate::input::{self, Item};
use crate::interrupt::Shared;
use crate::report::Report;
use crate::settings::{Account, Login};

/// Polls a second, and new tasks a second: what other clients of the service keep to.
const POLLS: f64 = 5.0;
const CREATIONS: f64 = 1.0;

/// How often what passes is asked again, and after which pause where the service names none.
const RETRIES: u32 = 2;
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) fn run(Arguments { common, command }: Arguments) -> Result<End, Failure> {
    match command {
        Command::Process(tasks) => process(&common, &tasks.ids),
        Command::Wait { tasks, patience } => wait(&common, &tasks.ids, &patience),
        Command::Create(create) => self::create(&common, &create),
        Command::Login => login(&common),
        Command::Demo => demo(&common),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(
                shell,
                &mut Arguments::command(),
                "pan123-offline",
                &mut script,
            );
            print(&script)
        }
        Command::Man { command } => man(command.as_deref()),
    }
}

fn process(common: &Common, ids: &[String]) -> Result<End, Failure> {
    let client = client(common)?;
    let ids = input::task_ids(ids)?;
    let report = begin(common)?;
    report.lock().expect(ids.len());
    let mut pace = Pace::new(common.rate.unwrap_or(POLLS), common.request_timeout);
    for id in ids {
        let answer = pace.ask(|| client.get_process(id), Error::is_transient);
        let mut report = report.lock();
        match answer {
            Ok(progress) => report.progress(id, progress)?,
            Err(error) => report.task_error(id, &error)?,
        }
        if report.end() >= End::NotAuthorised {
            break;
        }
    }
    Ok(report.lock().end())
}

fn wait(common: &Common, ids: &[String], patience: &Patience) -> Result<End, Failure> {
    let client = client(common)?;
    let ids = input::task_ids(ids)?;
    let report = begin(common)?;
    report.lock().follow(&ids);
    follow(&report, watch(common, patience, &client, ids))
}

/// Follows tasks to their ends.
fn follow(report: &Shared, watch: Watch<'_>) -> Result<End, Failure> {
    for update in watch {
        report.lock().update(&update)?;
    }
    let mut report = report.lock();
    report.close();
    Ok(report.end())
}

fn watch<'a>(common: &Common, patience: &Patience, client: &'a Client, ids: Vec<u64>) -> Watch<'a> {
    let watch = client
        .watch(ids)
        .polls_per_second(common.rate.unwrap_or(POLLS));
    match patience.timeout {
        Some(timeout) => watch.timeout(timeout),
        None => watch,
    }
}

fn create(common: &Common, create: &Create) -> Result<End, Failure> {
    let client = client(common)?;
    let urls = input::items(&create.urls)?;
    if create.file_name.is_some() && urls.len() > 1 {
        return Err(usage(
            "--file-name is for one URL; several images cannot have the same name",
        ));
    }
    let tasks = urls
        .into_iter()
        .map(|item| (new_task(&item, create), item.text));
    let report = begin(common)?;
    let mut pace = Pace::new(common.rate.unwrap_or(CREATIONS), common.request_timeout);
    let mut ids = Vec::new();
    // Whoever is refused asks nothing more; a URL that cannot work is a matter of its own.
    let mut refused = false;
    for (task, url) in tasks {
        let created = pace.ask(|| client.create_task(&task), is_no_task_yet);
        let mut report = report.lock();
        match created {
            Ok(id) => {
                report.created(&url, id)?;
                // The service may have taken two URLs for the same.
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            Err(error) => {
                report.not_created(&url, &error)?;
                refused = End::of(&error) == End::NotAuthorised;
            }
        }
        if refused {
            break;
        }
    }
    if create.wait && !refused && !ids.is_empty() {
        report.lock().follow(&ids);
        return follow(&report, watch(common, &create.patience, &client, ids));
    }
    Ok(report.lock().end())
}

/// Whether the same may be asked for again without two tasks coming of it.
fn is_no_task_yet(error: &Error) -> bool {
    let rate_limited = match error {
        Error::Api(e) => e.code == ErrorCode::RATE_LIMITED,
        Error::Http(e) => e.status == 429,
        _ => false,
    };
    let not_sent =
        matches!(error, Error::Transport(_)) && error.is_transient() && !error.may_have_been_sent();
    rate_limited || not_sent
}

fn new_task(item: &Item, create: &Create) -> NewTask {
    let mut task = NewTask::new(&item.text);
    if let Some(name) = &create.file_name {
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

fn login(common: &Common) -> Result<End, Failure> {
    let account = Account::find(common)?;
    let Login::Credentials { cache, .. } = &account.login else {
        return Err(usage(
            "there is an access token already, which is used as it is; for a login take it away, and set \
             PAN123_CLIENT_ID and PAN123_CLIENT_SECRET",
        ));
    };
    let client = account.builder().timeout(common.request_timeout).build()?;
    client.access_token()?;
    if let Some(error) = client.token_cache_error() {
        return Err(usage(format!(
            "the token was issued, but cannot be kept: {}",
            causes(&error)
        )));
    }
    let got = time_of(cache)?;
    if common.json {
        return print(
            format!(
                "{}\n",
                serde_json::json!({"token_cache": cache.to_string_lossy(), "got": got})
            )
            .as_bytes(),
        );
    }
    print(format!("the token in {} was got at {got}\n", cache.display()).as_bytes())
}

/// When the token was put into its file, in UTC.
fn time_of(cache: &Path) -> Result<String, Failure> {
    let time: io::Result<SystemTime> = fs::metadata(cache).and_then(|metadata| metadata.modified());
    let time =
        time.map_err(|error| usage(format!("the token cache {}: {error}", cache.display())))?;
    // A clock that was wrong is no reason to fail.
    Ok(humantime::format_rfc3339_seconds(time.max(SystemTime::UNIX_EPOCH)).to_string())
}

fn demo(common: &Common) -> Result<End, Failure> {
    let service = demo::service()?;
    let client = Client::builder()
        .access_token("demo")
        .base_url(service.base_url())
        .build()?;
    let report = begin(common)?;
    report.lock().say(
        "this is a demonstration, on a service built in; one task fails, and one does not exist",
    );
    let ids = demo::task_ids();
    report.lock().follow(&ids);
    // The stand-in bears more than the service, for which the defaults are made.
    let watch = client
        .watch(ids)
        .polls_per_second(common.rate.unwrap_or(40.0))
        .intervals(Duration::from_millis(300), Duration::from_millis(600));
    let end = follow(&report, watch)?;
    let report = report.lock();
    report.say(&format!(
        "{}; `wait` would end with exit code {}",
        report.summary(),
        end.code()
    ));
    Ok(End::Succeeded)
}

fn man(command: Option<&str>) -> Result<End, Failure> {
    let mut whole = Arguments::command();
    whole.build();
    let definition: Definition = match command {
        None => whole,
        Some(name) => whole
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| usage(format!("there is no command `{}`", name.escape_debug())))?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(definition).render(&mut page)?;
    print(&page)
}

fn print(text: &[u8]) -> Result<End, Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()?;
    Ok(End::Succeeded)
}

fn client(common: &Common) -> Result<Client, Failure> {
    // What passes is asked again here, in its turn; by the client it would come on top of the rate.
    Ok(Account::find(common)?
        .builder()
        .timeout(common.request_timeout)
        .retries(0)
        .build()?)
}

/// From here on Ctrl-C ends with a report.
fn begin(common: &Common) -> Result<Shared, Failure> {
    let report = Shared::new(Report::new(common.json));
    report.end_on_interrupt()?;
    Ok(report)
}

fn causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", causes(cause)),
        None => error.to_string(),
    }
}

/// Keeps requests apart, those made again included.
struct Pace {
    spacing: Duration,
    /// The longest `Retry-After` that is waited for.
    patience: Duration,
    next: Option<Instant>,
}

impl Pace {
    fn new(rate: f64, patience: Duration) -> Self {
        Self {
            spacing: Duration::from_secs_f64(1.0 / rate),
            patience,
            next: None,
        }
    }

    /// Asks, and again what may be repeated.
    fn ask<T>(
        &mut self,
        ask: impl Fn() -> Result<T, Error>,
        may_repeat: impl Fn(&Error) -> bool,
    ) -> Result<T, Error> {
        for _ in 0..RETRIES {
            match self.turn(&ask) {
                Err(error)
                    if may_repeat(&error)
                        && error.retry_after().is_none_or(|wait| wait <= self.patience) =>
                {
                    self.hold(error.retry_after().unwrap_or(PAUSE));
                }
                answer => return answer,
            }
        }
        self.turn(&ask)
    }

    fn turn<T>(&mut self, ask: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        if let Some(next) = self.next {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let before = self.next;
        self.next = Some(Instant::now() + self.spacing);
        let answer = ask();
        // What cannot work was not asked.
        if matches!(answer, Err(Error::Config(_))) {
            self.next = before;
        }
        answer
    }

    fn hold(&mut self, time: Duration) {
        let until = Instant::now().checked_add(time);
        self.next = self.next.max(until);
    }
}
