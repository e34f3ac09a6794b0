//! Creates the tasks of a list, and follows them: for `migrate` and `create`.
//!
//! Each step is recorded in the journal, if there is one, before it is shown.

use std::io;
use std::time::Duration;

use pan123_offline::{
    Error, ErrorCode, Migration, MigrationEvent, NewTask, NextTimeoutError, Status, Update,
};

use crate::args::NewTaskArgs;
use crate::failure::{Failure, describe, eprint_line, explain};
use crate::input::{Entry, InvalidLine, Item, SeenItems};
use crate::interrupt::{Interruptible, Shared};
use crate::journal::{Counts, Ended, Journal, JournalError, NotCreated, Recreate, State, Step};

/// The maximum time between two calls of [`View::tick`] outside a request.
const TICK: Duration = Duration::from_secs(1);

/// Shows what happens.
pub(super) trait View: Send + 'static {
    /// Shows an invalid line of the list.
    fn invalid(&mut self, line: &InvalidLine) -> io::Result<()>;
    fn created(&mut self, item: &Item, task_id: u64) -> io::Result<()>;
    /// Shows that a creation has failed, and is repeated after a delay.
    fn delayed(&mut self, item: &Item, error: &Error, delay: Duration) -> io::Result<()>;
    fn not_created(&mut self, item: &Item, outcome: NotCreated, error: &Error) -> io::Result<()>;
    /// Reports whether changes of tasks are shown, and not only their ends.
    fn shows_progress(&self) -> bool;
    /// Shows a change of a task, which belongs to these lines of the list.
    fn update(&mut self, items: &[Item], update: &Update) -> io::Result<()>;
    /// Shows the state of the whole, if it is time to.
    fn tick(&mut self, progress: &Progress);
    fn print_message(&mut self, text: &str);
    /// Shows the end: the summary.
    fn close(&mut self, progress: &Progress, is_interrupted: bool);
}

/// The progress of the run so far, for the display.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The number of lines that repeat an earlier one.
    pub(super) duplicates: usize,
    /// The number of lines for which the journal leaves nothing to create.
    pub(super) skipped: usize,
    pub(super) created: usize,
    /// Failed tasks, and URLs that were not created.
    pub(super) failures: usize,
    pub(super) counts: Counts,
}

/// The record of the steps: a journal, or without one the set of lines so far.
pub(super) enum Ledger {
    Journal(Box<Journal>),
    None(SeenItems),
}

impl Ledger {
    /// Marks a line of the list as seen. Returns its state, or `None` if it was seen before.
    fn mark_seen(&mut self, item: &Item) -> Option<State> {
        match self {
            Self::Journal(journal) => journal
                .history_mut()
                .mark_seen(item.url(), item.file_name()),
            Self::None(seen) => seen.insert(item).then_some(State::New),
        }
    }

    fn mark_invalid_seen(&mut self, line: &InvalidLine) -> Result<(), JournalError> {
        let Self::Journal(journal) = self else {
            return Ok(());
        };
        match journal.history_mut().mark_seen(&line.text, None) {
            Some(State::New) => journal.append_invalid(&line.text, &line.message),
            _ => Ok(()),
        }
    }

    fn append(&mut self, item: &Item, step: Step<'_>) -> Result<(), JournalError> {
        match self {
            Self::Journal(journal) => journal.append(item, step),
            Self::None(_) => Ok(()),
        }
    }

    /// Returns the lines whose open task has this id.
    fn items_of(&mut self, task_id: u64) -> Result<Vec<Item>, JournalError> {
        match self {
            Self::Journal(journal) => journal.items_of(task_id),
            Self::None(_) => Ok(Vec::new()),
        }
    }
}

/// The task that is being created.
struct Current {
    item: Item,
    state: State,
    /// Its request is sent by the next step of the migration.
    is_announced: bool,
}

/// The state of a run, shared with the thread that handles signals.
pub(super) struct Run<V> {
    pub(super) view: V,
    ledger: Ledger,
    current: Option<Current>,
    progress: Progress,
    /// No further task is created.
    is_stopped: bool,
    /// The error that ended the list.
    failure: Option<Failure>,
    is_closed: bool,
}

impl<V: View> Run<V> {
    pub(super) fn new(ledger: Ledger, view: V) -> Self {
        Self {
            view,
            ledger,
            current: None,
            progress: Progress::default(),
            is_stopped: false,
            failure: None,
            is_closed: false,
        }
    }

    /// Takes an entry of the list. Returns whether its task is to be created.
    fn admit(
        &mut self,
        entry: Result<Entry<Item>, Failure>,
        recreate: Recreate,
    ) -> Result<bool, Failure> {
        let item = match entry? {
            Entry::Valid(item) => item,
            Entry::Invalid(line) => {
                self.ledger.mark_invalid_seen(&line)?;
                self.view.invalid(&line)?;
                return Ok(false);
            }
        };
        let Some(state) = self.ledger.mark_seen(&item) else {
            self.progress.duplicates += 1;
            return Ok(false);
        };
        let is_to_create = state.is_to_create(recreate);
        self.progress.skipped += usize::from(!is_to_create);
        if is_to_create {
            self.current = Some(Current {
                item,
                state,
                is_announced: false,
            });
        }
        Ok(is_to_create)
    }

    /// Records and shows an event.
    fn on_event(&mut self, event: MigrationEvent, max_failures: usize) -> Result<(), Failure> {
        match event {
            MigrationEvent::Creating { .. } => self.announce()?,
            MigrationEvent::Created { task_id, .. } => self.created(task_id)?,
            MigrationEvent::Delayed { error, delay, .. } => self.delayed(&error, delay)?,
            MigrationEvent::NotCreated { error, .. } => self.not_created(&error)?,
            MigrationEvent::Update { update, .. } => self.update(&update)?,
            _ => {}
        }
        if self.progress.failures >= max_failures && !self.is_stopped {
            self.view.print_message(&format!(
                "{} failures: no further task is created",
                self.progress.failures
            ));
            self.is_stopped = true;
        }
        Ok(())
    }

    /// Records that the current task is created next. The record is on disk when this returns.
    fn announce(&mut self) -> Result<(), Failure> {
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        self.ledger.append(&current.item, Step::Creating)?;
        current.is_announced = true;
        Ok(())
    }

    fn created(&mut self, task_id: u64) -> Result<(), Failure> {
        let Some(Current { item, .. }) = self.current.take() else {
            return Ok(());
        };
        self.progress.created += 1;
        let recorded = self.ledger.append(&item, Step::Created { task_id });
        if recorded.is_err() {
            let url = item.url().escape_debug();
            self.view.print_message(&format!(
                "created task {task_id} for {url}, which is not recorded"
            ));
        }
        self.view.created(&item, task_id)?;
        Ok(recorded?)
    }

    fn delayed(&mut self, error: &Error, delay: Duration) -> Result<(), Failure> {
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        current.is_announced = false;
        self.ledger.append(
            &current.item,
            not_created(NotCreated::NotSent, &explain(error)),
        )?;
        self.view.delayed(&current.item, error, delay)?;
        Ok(())
    }

    fn not_created(&mut self, error: &Error) -> Result<(), Failure> {
        let Some(current) = self.current.take() else {
            return Ok(());
        };
        let outcome = outcome(error);
        self.progress.failures += 1;
        // An invalid line was not announced. A line keeps its state if its task was created before,
        // or if the timeout passed before it was announced again.
        let is_new_state = current.state == State::New && outcome != NotCreated::NotSent;
        if current.is_announced || is_new_state {
            self.ledger
                .append(&current.item, not_created(outcome, &explain(error)))?;
        }
        self.view.not_created(&current.item, outcome, error)?;
        // The cause is not the URL, so the next URL would fail, too.
        if outcome == NotCreated::NotSent && !self.is_stopped {
            self.view.print_message("no further task is created");
            self.is_stopped = true;
        }
        Ok(())
    }

    fn update(&mut self, update: &Update) -> Result<(), Failure> {
        // The lines of a task are read from the journal.
        if !update.is_end() && !self.view.shows_progress() {
            return Ok(());
        }
        let items = self.ledger.items_of(update.task_id)?;
        let task_id = update.task_id;
        let step = match &update.result {
            Ok(progress) if progress.status == Status::Succeeded => Some(Step::Ended {
                task_id,
                outcome: Ended::Succeeded,
            }),
            Ok(progress) if progress.status == Status::Failed => Some(Step::Ended {
                task_id,
                outcome: Ended::Failed,
            }),
            Ok(_) => None,
            // The error is not about this task.
            Err(error) if ends_all(error) => None,
            Err(error) => Some(Step::GivenUp {
                task_id,
                reason: explain(error).into(),
            }),
        };
        let is_failure = matches!(
            step,
            Some(
                Step::GivenUp { .. }
                    | Step::Ended {
                        outcome: Ended::Failed,
                        ..
                    }
            )
        );
        if let Some(step) = step {
            for item in &items {
                self.ledger.append(item, step.clone())?;
            }
        }
        if is_failure {
            self.progress.failures += items.len();
        }
        self.view.update(&items, update)?;
        Ok(())
    }

    /// Records that the current task was announced, but its request not sent.
    fn retract(&mut self) -> Result<(), Failure> {
        match self.current.take() {
            Some(Current {
                item,
                is_announced: true,
                ..
            }) => {
                let step = not_created(
                    NotCreated::NotSent,
                    "the migration was stopped before the request was sent",
                );
                Ok(self.ledger.append(&item, step)?)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.progress.counts
    }

    /// Brings the journal to disk, and shows the summary.
    fn close(&mut self, is_interrupted: bool) -> Result<(), Failure> {
        if self.is_closed {
            return Ok(());
        }
        self.is_closed = true;
        let result = match &mut self.ledger {
            Ledger::Journal(journal) => journal.sync().map_err(Failure::from),
            Ledger::None(_) => Ok(()),
        };
        self.refresh_counts();
        self.view.close(&self.progress, is_interrupted);
        result
    }

    fn refresh_counts(&mut self) {
        if let Ledger::Journal(journal) = &self.ledger {
            self.progress.counts = journal.history().counts();
        }
    }

    fn tick(&mut self) {
        self.refresh_counts();
        // The journal has it as unknown until the response is there.
        if self.creating().is_some() {
            let counts = &mut self.progress.counts;
            counts.unknown = counts.unknown.saturating_sub(1);
        }
        self.view.tick(&self.progress);
    }
}

impl<V: View> Interruptible for Run<V> {
    fn creating(&self) -> Option<&str> {
        let current = self.current.as_ref()?;
        current.is_announced.then(|| current.item.url())
    }

    fn is_ending(&mut self) {
        self.view
            .print_message("ends after the request that is under way; another signal ends at once");
    }

    fn interrupted(&mut self) {
        if let Err(error) = self.close(true)
            && let Some(text) = error.text()
        {
            eprint_line(&text);
        }
    }
}

/// Reports whether an error ends the whole migration, so that each open task ends with it.
pub(super) fn ends_all(error: &Error) -> bool {
    matches!(error, Error::WaitTimeout { .. })
        || error.is_unauthorized()
        || error.is_banned()
        || error.is_rate_limited()
}

fn not_created<'a>(outcome: NotCreated, reason: &'a str) -> Step<'a> {
    Step::NotCreated {
        outcome,
        reason: reason.into(),
    }
}

/// Returns the state of a task after an error of its creation.
fn outcome(error: &Error) -> NotCreated {
    match error {
        Error::Config(_) => NotCreated::Invalid,
        _ if error.may_have_taken_effect() => NotCreated::MayExist,
        _ if ends_all(error) || error.is_transient() => NotCreated::NotSent,
        Error::Api(error) if error.code != ErrorCode::QUOTA_EXHAUSTED => NotCreated::Refused,
        // The quota, or a gateway between here and the service.
        _ => NotCreated::NotSent,
    }
}

/// The list, as the migration takes it: one task at a time.
pub(super) struct Input<E, V> {
    entries: E,
    run: Shared<Run<V>>,
    args: NewTaskArgs,
    recreate: Recreate,
}

impl<E, V> Input<E, V> {
    pub(super) fn new(
        entries: E,
        run: &Shared<Run<V>>,
        args: NewTaskArgs,
        recreate: Recreate,
    ) -> Self {
        Self {
            entries,
            run: run.clone(),
            args,
            recreate,
        }
    }
}

impl<E: Iterator<Item = Result<Entry<Item>, Failure>>, V: View> Iterator for Input<E, V> {
    type Item = NewTask;

    fn next(&mut self) -> Option<NewTask> {
        loop {
            // Not locked: the next line may take long.
            let entry = self.entries.next()?;
            let mut run = self.run.lock();
            match run.admit(entry, self.recreate) {
                Ok(false) => {}
                Ok(true) => {
                    let current = run.current.as_ref()?;
                    return Some(new_task(&current.item, &self.args));
                }
                Err(failure) => {
                    run.failure = Some(failure);
                    return None;
                }
            }
        }
    }
}

pub(super) fn new_task(item: &Item, args: &NewTaskArgs) -> NewTask {
    let mut task = NewTask::new(item.url());
    if let Some(name) = item.file_name() {
        task = task.file_name(name);
    }
    if let Some(directory) = &args.directory {
        task = task.directory(directory);
    }
    if let Some(url) = &args.callback_url {
        task = task.callback_url(url);
    }
    task
}

/// Checks the options of new tasks, so that their errors are not reported for each URL.
pub(super) fn check(args: &NewTaskArgs) -> Result<(), Failure> {
    let item = Item::new("https://example.org/", None);
    Ok(new_task(&item, args).validate()?)
}

/// Returns the message for a creation that is repeated.
pub(super) fn delay_text(item: &Item, error: &Error, delay: Duration) -> String {
    let delay = humantime::format_duration(Duration::from_secs(delay.as_secs()));
    match error.is_rate_limited() {
        true => format!("rate limited; next request in {delay}"),
        false => {
            let url = item.url().escape_debug();
            format!("{url}: {}; next attempt in {delay}", describe(error))
        }
    }
}

/// Creates tasks and follows them to their ends, until a signal or a failure; then does the rest.
/// Ends with a summary in every case.
pub(super) fn drive<V: View>(
    run: &Shared<Run<V>>,
    migration: Migration<impl Iterator<Item = NewTask>>,
    max_failures: Option<usize>,
    rest: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let result =
        drive_to_end(run, migration, max_failures.unwrap_or(usize::MAX)).and_then(|()| rest());
    let is_interrupted = matches!(result, Err(Failure::Interrupted(_)));
    let closed = run.lock().close(is_interrupted);
    result.and(closed)
}

fn drive_to_end<V: View>(
    run: &Shared<Run<V>>,
    mut migration: Migration<impl Iterator<Item = NewTask>>,
    max_failures: usize,
) -> Result<(), Failure> {
    let mut creates = true;
    loop {
        let event = migration.next_timeout(TICK);
        let mut state = run.lock();
        let is_finished = matches!(event, Err(NextTimeoutError::Finished));
        if let Ok(event) = event {
            state.on_event(event, max_failures)?;
        }
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        if is_finished {
            return state.retract();
        }
        if let Some(signal) = run.signal()
            && state.creating().is_none()
        {
            return Err(Failure::Interrupted(signal));
        }
        if state.is_stopped && creates {
            creates = false;
            migration.stop_creating();
            state.retract()?;
        }
        state.tick();
    }
}
