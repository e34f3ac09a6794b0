//! The commands, one function for each.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use clap::CommandFactory;
use clap_complete::Shell;
use pan123_offline::{Client, Error, ErrorCode, NewTask, PollPolicy, Watch};

use crate::args::{Arguments, Command, Common, Create, NAME, WaitArgs};
use crate::demo;
use crate::failure::{ExitStatus, Failure, describe, eprint_line, usage};
use crate::input::{self, Entry, Item, SeenItems, Task};
use crate::inspect;
use crate::interrupt::Shared;
use crate::json;
use crate::man;
use crate::report::Report;
use crate::settings::{Login, ResolvedSettings};

/// Polls and new tasks a second: the rates that other clients of the service keep to.
const DEFAULT_POLL_RATE: f64 = 5.0;
const DEFAULT_CREATE_RATE: f64 = 1.0;
const DEMO_POLL_RATE: f64 = 40.0;

/// Retries of a transient error, and the delay before one if the service names none.
const RETRIES: u32 = 2;
const DEFAULT_RETRY_DELAY: Duration = Duration::from_secs(1);

pub(crate) fn run(Arguments { common, command }: Arguments) -> Result<ExitStatus, Failure> {
    match command {
        Command::Process(tasks) => process(&common, &tasks.ids),
        Command::Wait { tasks, wait_args } => wait(&common, &tasks.ids, &wait_args),
        Command::Create(create) => self::create(&common, &create),
        Command::Status(args) => inspect::status(&args, common.json),
        Command::Report(args) => inspect::report(&args, common.json),
        Command::Login => login(&common),
        Command::Demo => demo(&common),
        Command::Completions { shell } => print(completions(shell).as_bytes()),
        Command::Man { command } => print(&man::page(command.as_deref())?),
    }
}

fn process(common: &Common, ids: &[String]) -> Result<ExitStatus, Failure> {
    let client = client(common)?;
    let report = begin(common)?;
    let mut limiter = RateLimiter::new(
        common.rate.unwrap_or(DEFAULT_POLL_RATE),
        common.request_timeout,
    );
    let mut seen = HashSet::new();
    for entry in input::task_ids(ids) {
        let task = match entry? {
            Entry::Valid(task) => task,
            Entry::Invalid(line) => {
                report.lock().invalid_line(&line);
                continue;
            }
        };
        if !seen.insert(task.id) {
            continue;
        }
        report.lock().add_task(&task);
        let result = limiter.call_with_retries(|| client.get_process(task.id), Error::is_transient);
        let mut report = report.lock();
        match result {
            Ok(progress) => report.progress(task.id, progress)?,
            Err(error) => report.task_error(task.id, &error)?,
        }
        if report.exit_status() >= ExitStatus::Refused {
            break;
        }
    }
    Ok(report.lock().exit_status())
}

fn wait(
    common: &Common,
    arguments: &[String],
    wait_args: &WaitArgs,
) -> Result<ExitStatus, Failure> {
    let client = client(common)?;
    let report = begin(common)?;
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for entry in input::task_ids(arguments) {
        match entry? {
            Entry::Valid(task) => {
                if seen.insert(task.id) {
                    report.lock().add_task(&task);
                    ids.push(task.id);
                }
            }
            Entry::Invalid(line) => report.lock().invalid_line(&line),
        }
    }
    report.lock().follow(&ids);
    follow(&report, watch(wait_args.timeout, &client, ids))
}

/// Follows tasks to their ends.
fn follow(report: &Shared, watch: Watch) -> Result<ExitStatus, Failure> {
    for update in watch {
        report.lock().update(&update)?;
    }
    let mut report = report.lock();
    report.close();
    Ok(report.exit_status())
}

fn watch(timeout: Option<Duration>, client: &Client, ids: Vec<u64>) -> Watch {
    let watch = client.watch(ids);
    match timeout {
        Some(timeout) => watch.timeout(timeout),
        None => watch,
    }
}

fn create(common: &Common, create: &Create) -> Result<ExitStatus, Failure> {
    let client = client(common)?;
    if create.file_name.is_some() && (create.urls.len() > 1 || create.urls[0] == "-") {
        return Err(usage(
            "--file-name is for one URL; in a list, write the name after the URL and a TAB",
        ));
    }
    let report = begin(common)?;
    let mut limiter = RateLimiter::new(
        common.rate.unwrap_or(DEFAULT_CREATE_RATE),
        common.request_timeout,
    );
    let mut seen = SeenItems::default();
    let mut duplicates = 0;
    // The service may give two URLs the same id.
    let mut seen_ids = HashSet::new();
    let mut ids = Vec::new();
    // A ban or a refused token stops the rest; a URL that cannot work does not.
    let mut is_refused = false;
    for entry in input::urls(&create.urls) {
        let item = match entry? {
            Entry::Valid(item) => item,
            Entry::Invalid(line) => {
                report.lock().invalid_url(&line)?;
                continue;
            }
        };
        if !seen.insert(&item) {
            duplicates += 1;
            continue;
        }
        let task = new_task(&item, create);
        let result = limiter.call_with_retries(|| client.create_task(&task), may_create_again);
        let mut report = report.lock();
        match result {
            Ok(id) => {
                report.created(item.url(), id)?;
                if create.wait && seen_ids.insert(id) {
                    let url = Some(item.url().to_owned());
                    report.add_task(&Task { id, url });
                    ids.push(id);
                }
            }
            Err(error) => {
                report.not_created(item.url(), &error)?;
                is_refused = ExitStatus::of(&error) == ExitStatus::Refused;
            }
        }
        if is_refused {
            break;
        }
    }
    if duplicates > 0 {
        report.lock().say(&format!(
            "{duplicates} of the URLs are doubled and were created once"
        ));
    }
    if create.wait && !is_refused && !ids.is_empty() {
        report.lock().follow(&ids);
        return follow(&report, watch(create.timeout, &client, ids));
    }
    Ok(report.lock().exit_status())
}

/// Reports whether a creation may be retried: no task can have come of it.
fn may_create_again(error: &Error) -> bool {
    let not_sent =
        matches!(error, Error::Transport(_)) && error.is_transient() && !error.may_have_been_sent();
    error.is_rate_limited() || not_sent
}

fn new_task(item: &Item, create: &Create) -> NewTask {
    let mut task = NewTask::new(item.url());
    if let Some(name) = create.file_name.as_deref().or(item.file_name()) {
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

fn login(common: &Common) -> Result<ExitStatus, Failure> {
    let settings = ResolvedSettings::resolve(common)?;
    let cache = match &settings.login {
        Login::Credentials { cache, .. } => cache
            .as_ref()
            .map_err(|reason| usage(format!("the token cannot be kept: {reason}")))?,
        Login::CachedToken(_) => {
            return Err(usage(
                "a login needs a client id and secret: set PAN123_CLIENT_ID and PAN123_CLIENT_SECRET",
            ));
        }
        Login::Token(_) => {
            return Err(usage(
                "there is an access token already, which is used as it is; for a login take it \
                 away, and set PAN123_CLIENT_ID and PAN123_CLIENT_SECRET",
            ));
        }
    };
    let client = settings.builder().timeout(common.request_timeout).build()?;
    client.access_token().map_err(login_failure)?;
    if let Some(error) = client.token_cache_error() {
        return Err(usage(format!(
            "the token was issued, but cannot be kept: {}",
            describe(&error)
        )));
    }
    let issued_at = time_of(cache)?;
    if common.json {
        let cache = cache.to_string_lossy();
        let object = serde_json::json!({"token_cache": cache, "issued_at": issued_at});
        return print(json::to_line(&object).as_bytes());
    }
    print(
        format!(
            "the token in {} was issued at {issued_at}\n",
            cache.display()
        )
        .as_bytes(),
    )
}

/// Returns the failure of a login: an envelope with code 1 means a wrong client id or secret.
fn login_failure(error: Error) -> Failure {
    match &error {
        Error::Api(refusal) if refusal.code() == ErrorCode::INTERNAL => Failure::Login(format!(
            "the service refused the login: check client id and secret; received: {}",
            refusal.message().escape_debug()
        )),
        _ => Failure::Service(error),
    }
}

/// Returns the time at which the token was written to its file, in UTC.
fn time_of(cache: &Path) -> Result<String, Failure> {
    let time: io::Result<SystemTime> = fs::metadata(cache).and_then(|metadata| metadata.modified());
    let time =
        time.map_err(|error| usage(format!("the token cache {}: {error}", cache.display())))?;
    // A wrong clock is no reason to fail.
    Ok(humantime::format_rfc3339_seconds(time.max(SystemTime::UNIX_EPOCH)).to_string())
}

fn demo(common: &Common) -> Result<ExitStatus, Failure> {
    let service = demo::service()?;
    let client = Client::builder()
        .access_token("demo")
        .base_url(service.base_url())
        .min_poll_gap(gap(common.rate.unwrap_or(DEMO_POLL_RATE)))
        .build()?;
    let report = begin(common)?;
    report.lock().say(
        "this is a demonstration on a built-in service: one task fails, and one does not exist",
    );
    let ids = demo::task_ids();
    for id in &ids {
        report.lock().add_task(&Task { id: *id, url: None });
    }
    report.lock().follow(&ids);
    // The stand-in has no rate limit; the defaults are those for the service.
    let policy = PollPolicy::new()
        .initial_interval(Duration::from_millis(300))
        .max_interval(Duration::from_millis(600));
    let watch = client.watch(ids).policy(policy);
    let end = follow(&report, watch)?;
    let report = report.lock();
    report.say(&format!(
        "{}; `wait` would end with exit code {}",
        report.summary(),
        end.code()
    ));
    Ok(ExitStatus::Succeeded)
}

/// Returns a shell's completion script.
fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    let mut generate = |name: &str| {
        clap_complete::generate(shell, &mut Arguments::command(), name, &mut script);
    };
    if shell != Shell::Bash {
        generate(NAME);
        return String::from_utf8_lossy(&script).into_owned();
    }
    // clap_complete replaces a dash in the name by `__` in one place and by `__subcmd__` in
    // another (4.6.11), so that no label of a subcommand matches. The name is needed as it is in
    // the registration only.
    let name = NAME.replace('-', "_");
    generate(&name);
    let script = String::from_utf8_lossy(&script);
    script.replace(
        &format!("-o default {name}\n"),
        &format!("-o default {NAME}\n"),
    )
}

fn print(text: &[u8]) -> Result<ExitStatus, Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()?;
    Ok(ExitStatus::Succeeded)
}

fn client(common: &Common) -> Result<Client, Failure> {
    let settings = ResolvedSettings::resolve(common)?;
    if let Some(warning) = settings.warning() {
        eprint_line(&warning);
    }
    // Retries are made here, within the rate; the client's own would come on top of it.
    let builder = settings.builder().timeout(common.request_timeout);
    let gap = gap(common.rate.unwrap_or(DEFAULT_POLL_RATE));
    Ok(builder.retries(0).min_poll_gap(gap).build()?)
}

/// Returns the time between two requests at a rate in requests a second.
fn gap(rate: f64) -> Duration {
    Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX)
}

/// Creates the report, and has Ctrl-C end with a summary from here on.
fn begin(common: &Common) -> Result<Shared, Failure> {
    let report = Shared::new(Report::new(common.json));
    report.end_on_interrupt()?;
    Ok(report)
}

/// Keeps a minimum gap between requests, retries included.
struct RateLimiter {
    min_gap: Duration,
    /// A longer `Retry-After` is not waited for.
    max_retry_after: Duration,
    next: Option<Instant>,
}

impl RateLimiter {
    fn new(rate: f64, max_retry_after: Duration) -> Self {
        Self {
            min_gap: gap(rate),
            max_retry_after,
            next: None,
        }
    }

    /// Sends a request, and sends it again up to `RETRIES` times where `may_retry` allows it.
    fn call_with_retries<T>(
        &mut self,
        send: impl Fn() -> Result<T, Error>,
        may_retry: impl Fn(&Error) -> bool,
    ) -> Result<T, Error> {
        for _ in 0..RETRIES {
            match self.call_once(&send) {
                Err(error)
                    if may_retry(&error)
                        && error
                            .retry_after()
                            .is_none_or(|delay| delay <= self.max_retry_after) =>
                {
                    self.delay(error.retry_after().unwrap_or(DEFAULT_RETRY_DELAY));
                }
                result => return result,
            }
        }
        self.call_once(&send)
    }

    fn call_once<T>(&mut self, send: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        if let Some(next) = self.next {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let before = self.next;
        self.next = Some(Instant::now() + self.min_gap);
        let result = send();
        // A task that cannot work was not sent.
        if matches!(result, Err(Error::Config(_))) {
            self.next = before;
        }
        result
    }

    fn delay(&mut self, delay: Duration) {
        let earliest = Instant::now().checked_add(delay);
        self.next = self.next.max(earliest);
    }
}
