//! Waiting: when to ask next, which is pure, and the one engine that asks.
//!
//! [`Watch`] follows any number of tasks on the calling thread; [`Wait`] is the same for one task, with a deadline.
//! Both yield first and sleep on the next call, so that nobody sees stale progress.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::iter::FusedIterator;
use std::time::{Duration, Instant};

use crate::client::{Client, Failure};
use crate::error::{Error, Result, TransportErrorKind};
use crate::task::{Progress, Status};
use crate::transport::RequestOptions;

/// How long after an answer a task is asked again.
const FIRST: Duration = Duration::from_secs(1);
/// The longest such pause.
const LONGEST: Duration = Duration::from_secs(15);
/// The service bans who floods it; other clients keep to this.
const POLLS_PER_SECOND: f64 = 5.0;
/// Which error in a row ends a task.
const TOLERATED: u32 = 8;
/// How long all tasks rest after a 429 that does not say.
const HOLD: Duration = Duration::from_secs(1);
/// The longest `Retry-After` that is waited for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a [`Wait`] lasts at most.
const TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// The time for the poll at a deadline.
const LAST_POLL: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests;

/// What became of a task: a change of its status or percentage, its first answer, or its end.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Update {
    /// Which task.
    pub task_id: u64,
    /// How far it is, or why it is not followed any more.
    pub result: Result<Progress>,
}

impl Update {
    /// Whether this is the last update of its task: it has failed or succeeded, or was given up with an error.
    pub fn is_end(&self) -> bool {
        match &self.result {
            Ok(progress) => progress.status.is_terminal(),
            Err(_) => true,
        }
    }
}

/// The updates of many tasks, made by [`Client::watch`]. Each task has exactly one end, whatever happens.
///
/// All polls together keep to a rate. One poll is one request; where a pooled connection turns out to be closed, it
/// goes once more in its next turn. The client's `retries` do not apply: what passes slows a task down and is asked
/// again, and so is an answer that cannot be decoded. `Retry-After` is obeyed, up to a day; a longer one ends the task
/// as a permanent error does, which ends its task alone. A ban, or a 401 that
/// stays, ends every task with that error, without another request.
///
/// A setting that cannot work is the end of every task: [`Error::Config`].
#[derive(Debug)]
#[must_use = "nothing is asked before the first `next()`"]
pub struct Watch<'a>(Engine<Asker<'a>, SystemClock>);

impl<'a> Watch<'a> {
    pub(crate) fn new(client: &'a Client, task_ids: Vec<u64>) -> Self {
        Self(Engine::new(Asker(client), SystemClock::start(), task_ids))
    }

    /// How soon a task is asked again after a change, and how long that pause may get: while nothing changes it grows
    /// by half. Default: 1 s and 15 s. Neither may be zero, nor the first longer than the longest.
    pub fn intervals(mut self, first: Duration, longest: Duration) -> Self {
        self.0.change(|settings| settings.intervals = (first, longest));
        self
    }

    /// How many polls there are in a second, of all tasks together, evenly spaced. Default: 5, because the service
    /// bans who floods it. `f64::INFINITY` is no limit.
    pub fn polls_per_second(mut self, rate: f64) -> Self {
        self.0.change(|settings| settings.polls_per_second = rate);
        self
    }

    /// Which error in a row ends a task: with 3, two are passed over and the third is yielded. With 0 and 1 it is the
    /// first. Only what may pass is counted; anything else ends the task at once. Default: 8.
    pub fn tolerate(mut self, errors: u32) -> Self {
        self.0.change(|settings| settings.tolerate = errors);
        self
    }

    /// How long to watch, the time of the requests included; then every task that is still open ends with
    /// [`Error::WaitTimeout`], and goes on at the service. Default: no limit.
    ///
    /// No poll gets more time than is left. At the deadline one more task is asked, as with [`Wait::timeout`]. Zero
    /// means to ask each task once, with the client's own timeout and at the rate that is set, unless a 429 forbids it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = Some(timeout);
        self
    }

    /// How many tasks are still followed.
    pub fn pending(&self) -> usize {
        self.0.open.len()
    }

    /// How many tasks have had their end.
    pub fn finished(&self) -> usize {
        self.0.finished
    }
}

impl Iterator for Watch<'_> {
    type Item = Update;

    fn next(&mut self) -> Option<Update> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // Each task has its end yet to come, and nobody knows how many changes before it.
        (self.pending(), if self.pending() == 0 { Some(0) } else { None })
    }
}

impl FusedIterator for Watch<'_> {}

/// The wait for one task, made by [`Client::wait`]: [`run()`](Self::run) for its end, a `for` loop for its progress.
///
/// It asks as [`Watch`] does.
///
/// ```
/// # use pan123_offline::{Client, Progress, Status, testing::Service};
/// # let service = Service::start()?;
/// # service.task(403316, [Progress::new(Status::Succeeded, 100)]);
/// # let client = Client::builder().access_token("token").base_url(service.base_url()).build()?;
/// for progress in client.wait(403316) {
///     println!("{} %", progress?.percent);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is asked before `run()` or the first step of the iterator"]
pub struct Wait<'a> {
    client: &'a Client,
    task_id: u64,
    timeout: Duration,
    settings: Settings,
}

impl<'a> Wait<'a> {
    pub(crate) fn new(client: &'a Client, task_id: u64) -> Self {
        Self { client, task_id, timeout: TIMEOUT, settings: Settings::default() }
    }

    /// How long to wait, the time of the requests included. Default: one hour. `Duration::MAX` is no limit.
    ///
    /// A poll gets no more time than is left. At the deadline there is a last one, with 250 ms for it, unless the rate
    /// or a `Retry-After` forbids it. Zero means to ask once, with the client's own timeout.
    ///
    /// Running out of time never touches the task: it goes on at the service.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// As [`Watch::intervals`].
    pub fn intervals(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.intervals = (first, longest);
        self
    }

    /// As [`Watch::polls_per_second`].
    pub fn polls_per_second(mut self, rate: f64) -> Self {
        self.settings.polls_per_second = rate;
        self
    }

    /// As [`Watch::tolerate`].
    pub fn tolerate(mut self, errors: u32) -> Self {
        self.settings.tolerate = errors;
        self
    }

    /// Waits until the task has succeeded.
    ///
    /// # Errors
    /// * [`Error::TaskFailed`]: the service says that the task failed. Why, only its callback says.
    /// * [`Error::WaitTimeout`]: time ran out. The task goes on.
    /// * [`Error::Config`]: a setting cannot work; nothing was asked.
    /// * Any other error of [`Client::get_process`] that does not pass, or that came too often in a row.
    pub fn run(self) -> Result<Progress> {
        let task_id = self.task_id;
        // A wait has one item at least, its end.
        let end = self.into_iter().last();
        match end {
            Some(Ok(progress)) if progress.status == Status::Failed => Err(Error::TaskFailed { task_id, progress }),
            Some(end) => end,
            None => Err(Error::config("wait", "it has no task")),
        }
    }
}

impl<'a> IntoIterator for Wait<'a> {
    type Item = Result<Progress>;
    type IntoIter = WaitIter<'a>;

    fn into_iter(self) -> WaitIter<'a> {
        let mut engine = Engine::new(Asker(self.client), SystemClock::start(), vec![self.task_id]);
        engine.settings = self.settings;
        engine.timeout = Some(self.timeout);
        WaitIter(engine)
    }
}

/// The progress of one task, then its end: see [`Wait`].
#[derive(Debug)]
pub struct WaitIter<'a>(Engine<Asker<'a>, SystemClock>);

impl Iterator for WaitIter<'_> {
    type Item = Result<Progress>;

    fn next(&mut self) -> Option<Result<Progress>> {
        self.0.next().map(|update| update.result)
    }
}

impl FusedIterator for WaitIter<'_> {}

/// What a user may set.
#[derive(Debug, Clone, Copy)]
struct Settings {
    /// After a change, and at most.
    intervals: (Duration, Duration),
    polls_per_second: f64,
    tolerate: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { intervals: (FIRST, LONGEST), polls_per_second: POLLS_PER_SECOND, tolerate: TOLERATED }
    }
}

impl Settings {
    /// The time between two polls, or which setting cannot work.
    fn spacing(&self) -> Result<Duration> {
        let (first, longest) = self.intervals;
        if first.is_zero() {
            return Err(Error::config("intervals", "an interval must be longer than zero"));
        }
        if first > longest {
            return Err(Error::config("intervals", "the first interval is longer than the longest"));
        }
        let rate = self.polls_per_second;
        if rate.is_nan() || rate <= 0.0 {
            return Err(Error::config("polls_per_second", "it must be a number above zero"));
        }
        // Rounded up, so that a second never holds one poll too many.
        let spacing = Duration::try_from_secs_f64(1.0 / rate)
            .map_err(|_| Error::config("polls_per_second", "it is so small that there would be no second poll"))?;
        Ok(if rate.is_infinite() { Duration::ZERO } else { spacing + Duration::from_nanos(1) })
    }
}

/// What the last poll said, as far as it matters for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// The first answer, or another status or percentage than before.
    Changed,
    /// The same as before, or nothing of use.
    Same,
}

/// When to ask a task again, given how long it was left alone the last time.
fn next_pause(last: Duration, said: Said, (first, longest): (Duration, Duration)) -> Duration {
    match said {
        Said::Changed => first,
        Said::Same => last.saturating_add(last / 2).clamp(first, longest),
    }
}

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It may pass: ask again, more slowly.
    SlowDown,
    /// This task is over.
    End,
    /// All are.
    EndAll,
}

fn verdict(error: &Error) -> Verdict {
    let undecodable = match error {
        Error::Decode(_) => true,
        Error::Transport(e) => e.kind() == TransportErrorKind::Protocol,
        _ => false,
    };
    // To be asked back in more than a day is to be refused, and no watch should sleep through it without a word.
    let soon = error.retry_after().is_none_or(|wait| wait <= LONGEST_RETRY_AFTER);
    if error.is_unauthorized() || error.is_banned() {
        Verdict::EndAll
    } else if soon && (error.is_transient() || undecodable) {
        Verdict::SlowDown
    } else {
        Verdict::End
    }
}

/// Whom the engine asks.
trait Ask {
    /// One request.
    fn ask(&self, task_id: u64, limits: RequestOptions) -> std::result::Result<Progress, Failure>;
    /// The time a request may take where no deadline is nearer.
    fn timeout(&self) -> Duration;
}

#[derive(Debug)]
struct Asker<'a>(&'a Client);

impl Ask for Asker<'_> {
    fn ask(&self, task_id: u64, limits: RequestOptions) -> std::result::Result<Progress, Failure> {
        self.0.ask(task_id, limits)
    }

    fn timeout(&self) -> Duration {
        self.0.timeout()
    }
}

/// Time since a start that each clock has for itself.
trait Clock {
    fn now(&self) -> Duration;
    fn sleep(&self, time: Duration);
}

#[derive(Debug)]
struct SystemClock(Instant);

impl SystemClock {
    fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A task that is followed. With its place in the heap, 64 bytes beside its id.
#[derive(Debug, Clone, Copy)]
struct Task {
    id: u64,
    /// When it may be asked again, in nanoseconds of the clock: half of a `Duration`.
    due: u64,
    /// How long it was left alone the last time, likewise.
    pause: u64,
    last: Option<Progress>,
    /// Errors in a row.
    errors: u32,
    /// The last request ended with its connection, so the next one is its replay.
    replay: bool,
    /// The last request had its token refused, so the next one goes with another.
    new_token: bool,
    /// It is due so late because the service asked for it.
    held: bool,
}

/// When a task is due, and where it stands in the list: of those due at the same moment, the one given first goes
/// first. Small, because a heap moves its items about.
type Due = Reverse<(u64, u32)>;

#[derive(Debug)]
struct Engine<A, C> {
    asker: A,
    clock: C,
    settings: Settings,
    /// From the settings; `None` until they have been checked.
    spacing: Option<Duration>,
    tasks: Vec<Task>,
    /// Those of them that have not had their end.
    open: BinaryHeap<Due>,
    finished: usize,
    /// No poll before this: the rate, or a 429 that holds all tasks.
    not_before: Duration,
    /// Until when a 429 holds all tasks.
    held_until: Duration,
    /// What ends every task that is left.
    end: Option<Error>,
    /// How long from the first poll on; a [`Wait`] always has one.
    timeout: Option<Duration>,
    /// When the first poll was due.
    started: Option<Duration>,
    polls: u32,
    /// For each task whose last poll ended with an error that was passed over, that error: a timeout then tells it.
    passed_over: HashMap<u64, Error>,
}

impl<A: Ask, C: Clock> Engine<A, C> {
    fn new(asker: A, clock: C, task_ids: Vec<u64>) -> Self {
        let tasks = distinct(task_ids);
        let open: Vec<Due> = (0..tasks.len()).map(|place| Reverse((0, place as u32))).collect();
        Self {
            asker,
            clock,
            settings: Settings::default(),
            spacing: None,
            tasks,
            open: open.into(),
            finished: 0,
            not_before: Duration::ZERO,
            held_until: Duration::ZERO,
            end: None,
            timeout: None,
            started: None,
            polls: 0,
            passed_over: HashMap::new(),
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        self.spacing = None;
    }

    fn next(&mut self) -> Option<Update> {
        loop {
            let Reverse((_, place)) = self.open.pop()?;
            let mut task = self.tasks[place as usize];
            let update = self.step(&mut task);
            if update.as_ref().is_some_and(Update::is_end) {
                self.finished += 1;
                return update;
            }
            self.tasks[place as usize] = task;
            self.open.push(Reverse((task.due, place)));
            if update.is_some() {
                return update;
            }
        }
    }

    /// Polls the task that is due first, once its time has come. `None` if that is nothing to tell.
    fn step(&mut self, task: &mut Task) -> Option<Update> {
        let end = |error| Some(Update { task_id: task.id, result: Err(error) });
        if let Some(error) = &self.end {
            return end(error.clone());
        }
        let spacing = match self.spacing.map_or_else(|| self.settings.spacing(), Ok) {
            Ok(spacing) => *self.spacing.insert(spacing),
            Err(error) => return end(self.end.insert(error).clone()),
        };
        let Some(limits) = self.turn(task) else {
            return end(self.timed_out(task));
        };
        self.not_before = self.clock.now().saturating_add(spacing);
        self.polls = self.polls.saturating_add(1);
        match self.asker.ask(task.id, limits) {
            Ok(progress) => self.answered(task, progress),
            Err(failure) => self.failed(task, failure),
        }
    }

    /// Sleeps until a task's turn, and says how its poll is limited; `None` if a deadline comes before it.
    fn turn(&mut self, task: &Task) -> Option<RequestOptions> {
        let now = self.clock.now();
        let due = Duration::from_nanos(task.due).max(self.not_before);
        let started = *self.started.get_or_insert(now);
        let Some(deadline) = self.timeout.and_then(|timeout| started.checked_add(timeout)) else {
            self.sleep_until(due);
            return Some(self.limits(task, None));
        };
        // The first poll comes at once. Where each task has but one, its replay belongs to it.
        let only = deadline == started;
        let unanswered = task.pause == 0;
        if self.polls == 0 || (only && unanswered && self.held_until <= now) {
            self.sleep_until(due);
            let left = deadline.saturating_sub(now);
            return Some(self.limits(task, (!only).then_some(left)));
        }
        if due.saturating_add(LAST_POLL) <= deadline {
            self.sleep_until(due);
            return Some(self.limits(task, Some(deadline.saturating_sub(self.clock.now()))));
        }
        // What is due so near the deadline, or later, has its turn there.
        let allowed = if task.held { due } else { self.not_before };
        self.sleep_until(deadline);
        (now < deadline && allowed <= deadline).then(|| self.limits(task, Some(LAST_POLL)))
    }

    fn limits(&self, task: &Task, time: Option<Duration>) -> RequestOptions {
        // The client's own time needs no settings for this one request.
        RequestOptions { timeout: time.filter(|time| *time < self.asker.timeout()), new_connection: task.replay }
    }

    fn sleep_until(&self, moment: Duration) {
        let time = moment.saturating_sub(self.clock.now());
        if !time.is_zero() {
            self.clock.sleep(time);
        }
    }

    fn answered(&mut self, task: &mut Task, progress: Progress) -> Option<Update> {
        let changed = task.last != Some(progress);
        if task.errors > 0 || task.replay || task.new_token {
            self.passed_over.remove(&task.id);
        }
        (task.last, task.errors) = (Some(progress), 0);
        (task.replay, task.new_token) = (false, false);
        self.schedule(task, if changed { Said::Changed } else { Said::Same }, Duration::ZERO);
        changed.then_some(Update { task_id: task.id, result: Ok(progress) })
    }

    fn failed(&mut self, task: &mut Task, Failure { error, token_replaced }: Failure) -> Option<Update> {
        // Neither a pooled connection that the server has closed meanwhile nor a token that has been replaced counts,
        // once. The task is still due, so its turn is the next.
        if error.is_closed() && !task.replay {
            task.replay = true;
            self.passed_over.insert(task.id, error);
            return None;
        }
        if token_replaced && !task.new_token {
            task.new_token = true;
            self.passed_over.insert(task.id, error);
            return None;
        }
        (task.replay, task.new_token) = (false, false);
        task.errors += 1;
        let asked_for = error.retry_after().unwrap_or_default();
        if error.is_rate_limited() {
            // One that is longer ends its own task.
            let hold = error.retry_after().filter(|wait| *wait <= LONGEST_RETRY_AFTER).unwrap_or(HOLD);
            self.held_until = self.clock.now().saturating_add(hold);
            self.not_before = self.not_before.max(self.held_until);
        }
        let verdict = verdict(&error);
        if verdict == Verdict::SlowDown && task.errors < self.settings.tolerate {
            self.schedule(task, Said::Same, asked_for);
            self.passed_over.insert(task.id, error);
            return None;
        }
        self.passed_over.remove(&task.id);
        if verdict == Verdict::EndAll {
            self.end = Some(error.clone());
        }
        Some(Update { task_id: task.id, result: Err(error) })
    }

    /// Sets when a task is due again: after its pause, or as late as the service asked for.
    fn schedule(&self, task: &mut Task, said: Said, asked_for: Duration) {
        let pause = next_pause(Duration::from_nanos(task.pause), said, self.settings.intervals);
        task.pause = nanoseconds(pause);
        task.held = asked_for > pause;
        task.due = nanoseconds(self.clock.now().saturating_add(pause.max(asked_for)));
    }

    fn timed_out(&mut self, task: &Task) -> Error {
        Error::WaitTimeout {
            task_id: task.id,
            last: task.last,
            elapsed: self.clock.now().saturating_sub(self.started.unwrap_or_default()),
            polls: self.polls,
            cause: self.passed_over.remove(&task.id).map(Box::new),
        }
    }
}

/// Tasks that are all due at once, in the order given; of the same task the first.
fn distinct(task_ids: Vec<u64>) -> Vec<Task> {
    // Until they are in order again, `due` is the place that a task was given.
    let task = |(place, id)| Task {
        id,
        due: place,
        pause: 0,
        last: None,
        errors: 0,
        replay: false,
        new_token: false,
        held: false,
    };
    let mut tasks: Vec<Task> = (0..).zip(task_ids).map(task).collect();
    tasks.sort_unstable_by_key(|task| (task.id, task.due));
    tasks.dedup_by_key(|task| task.id);
    tasks.sort_unstable_by_key(|task| task.due);
    tasks.iter_mut().for_each(|task| task.due = 0);
    tasks
}

/// 584 years fit; more is as good as that.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
