//! The state of a run: what each event of the migration means for the images, the output and the end.

use std::sync::mpsc::Sender;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::vec;

use pan123_offline::{Error, ErrorCode, MigrationEvent, NewTask, Progress, Status, Update};

use super::verdict::{after_creation, is_forgotten};
use super::{Plan, Stop, TICK};
use crate::args::NewTaskArgs;
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, describe, explain};
use crate::image::{Image, State};
use crate::key::ImageUrl;
use crate::list::printable;
use crate::names::generated_name;
use crate::observer::Observer;
use crate::output::{Form, Output};
use crate::stats::RunStats;
use crate::store::Store;

/// The key of the end of a pause in the state, in seconds since 1970.
const PAUSED_UNTIL: &str = "paused_until";
/// The start of the reason of a task that the service did not know when it was polled.
const FORGOTTEN: &str = "the service no longer knows the task";

pub(super) struct Run {
    pub(super) store: Store,
    pub(super) output: Output,
    pub(super) plan: Plan,
    pub(super) observer: Observer,
    /// The rows of the images to create.
    pub(super) todo: vec::IntoIter<i64>,
    /// The image whose task is created. Its state is [`State::Creating`] once that is in the file.
    pub(super) current: Option<Image>,
    pub(super) started: Instant,
    ended_before: u64,
    /// Images that this run has not brought to an end, whatever the reason.
    failures: usize,
    /// Tasks that the service knows, and those that it does not know.
    pub(super) known: usize,
    pub(super) forgotten: usize,
    pub(super) stops_creating: bool,
    /// The error that ended everything, or that stopped the creations.
    pub(super) stopped_by: Option<Error>,
    pub(super) has_ended: bool,
    pub(super) stop: Option<Stop>,
    /// Dropped at the end of the run, which a signal has demanded.
    pub(super) obeyed: Option<Sender<()>>,
    /// The worst outcome that no count shows.
    pub(super) status: ExitStatus,
    /// The last tick.
    shown: Option<Instant>,
    paused_until: Option<SystemTime>,
}

impl Run {
    pub(super) fn new(
        store: Store,
        output: Output,
        plan: Plan,
        observer: Observer,
    ) -> Result<Self, Failure> {
        let ended_before = store.counts().ended();
        let todo = match plan.is_once() {
            true => Vec::new(),
            false => store.new_images()?,
        };
        let text = store.meta(PAUSED_UNTIL)?;
        let seconds = text.and_then(|text| text.parse().ok());
        let paused_until =
            seconds.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        if let Some(until) = paused_until {
            observer.pause_until(until);
        }
        Ok(Self {
            store,
            output,
            plan,
            observer,
            todo: todo.into_iter(),
            current: None,
            started: Instant::now(),
            ended_before,
            failures: 0,
            known: 0,
            forgotten: 0,
            stops_creating: false,
            stopped_by: None,
            has_ended: false,
            stop: None,
            obeyed: None,
            status: ExitStatus::Succeeded,
            shown: None,
            paused_until,
        })
    }

    /// Takes the next image to create.
    pub(super) fn next_task(&mut self) -> Result<Option<NewTask>, Failure> {
        let (mut image, url) = loop {
            let Some(id) = self.todo.next() else {
                return Ok(None);
            };
            let image = self.store.image(id)?;
            // Each URL was parsed when the list was read, unless somebody has edited the state.
            if let Ok(url) = ImageUrl::parse(&image.given) {
                break (image, url);
            }
        };
        image.file_name = match &image.name {
            None if self.plan.form == Form::List => generated_name(&url.sent, &image.key),
            name => name.clone(),
        };
        image.directory = self.plan.new_task.directory.clone();
        let task = new_task(&url.sent, image.file_name.clone(), &self.plan.new_task);
        self.current = Some(image);
        Ok(Some(task))
    }

    /// Records and shows an event, and the error that has ended everything.
    pub(super) fn on_step(
        &mut self,
        event: Option<MigrationEvent>,
        stopped_by: Option<Error>,
    ) -> Result<(), Failure> {
        if let Some(error) = stopped_by {
            self.end_all(&error);
        }
        match event {
            Some(MigrationEvent::Creating { .. }) => self.set_current(State::Creating)?,
            Some(MigrationEvent::Created { task_id, .. }) => self.created(task_id)?,
            Some(MigrationEvent::Delayed { .. }) => self.retract()?,
            Some(MigrationEvent::NotCreated { error, .. }) => self.not_created(&error)?,
            Some(MigrationEvent::Update { update, .. }) => self.update(&update)?,
            _ => {}
        }
        let max_failures = self.plan.new_task.max_failures;
        if max_failures.is_some_and(|max| self.failures >= max.get()) && !self.stops_creating {
            self.stops_creating = true;
            let text = format!("{} failures: no further task is created", self.failures);
            self.output.error(&text);
        }
        match self.stops_creating {
            true => self.retract(),
            false => Ok(()),
        }
    }

    /// Records that the task is created next, or not now. The record is on disk when this returns.
    fn set_current(&mut self, state: State) -> Result<(), Failure> {
        if let Some(mut image) = self.current.take() {
            self.store.change(&mut image, |image| image.state = state)?;
            self.current = Some(image);
        }
        Ok(())
    }

    /// Records that the task was announced, but is not created now.
    pub(super) fn retract(&mut self) -> Result<(), Failure> {
        match self.is_announced() {
            true => self.set_current(State::New),
            false => Ok(()),
        }
    }

    /// Reports whether the next request, or the one under way, creates a task.
    pub(super) fn is_announced(&self) -> bool {
        let state = self.current.as_ref().map(|image| image.state);
        state == Some(State::Creating)
    }

    fn created(&mut self, task_id: u64) -> Result<(), Failure> {
        let Some(mut image) = self.current.take() else {
            return Ok(());
        };
        let recorded = self.store.change(&mut image, |image| {
            image.state = State::Open;
            image.task_id = Some(task_id);
            image.percent = None;
            image.reason = None;
        });
        let told = recorded.map_err(Failure::from);
        let told = told.and_then(|()| self.output.created(&image));
        if told.is_err() {
            // The id can be had from nowhere else.
            let url = printable(&image.given);
            let text = format!("created task {task_id} for {url}");
            self.output.error(&text);
        }
        told
    }

    fn not_created(&mut self, error: &Error) -> Result<(), Failure> {
        let Some(mut image) = self.current.take() else {
            return Ok(());
        };
        let (state, stops_creating) = after_creation(error);
        let is_new = state == State::New;
        self.store.change(&mut image, |image| {
            image.state = state;
            image.reason = (!is_new).then(|| explain(error));
        })?;
        if stops_creating {
            self.stops_creating = true;
            self.raise(error);
            self.stopped_by.get_or_insert_with(|| error.clone());
        }
        if is_new {
            return Ok(());
        }
        self.failures += 1;
        self.output.changed(&image, None, None)
    }

    fn update(&mut self, update: &Update) -> Result<(), Failure> {
        let is_task = self.plan.form.is_tasks();
        match &update.result {
            Ok(_) => self.known += 1,
            // The error concerns all tasks.
            Err(_) if self.has_ended => return Ok(()),
            Err(error) if error.code() == Some(ErrorCode::QUOTA_EXHAUSTED) && !is_task => {
                self.end_all(error);
                return Ok(());
            }
            Err(_) => {}
        }
        for image in self.store.images_of(update.task_id)? {
            match &update.result {
                Ok(progress) => self.progress(image, *progress)?,
                // Each task was polled once.
                Err(Error::WaitTimeout {
                    cause: Some(error), ..
                }) => {
                    self.raise(error);
                    self.output.changed(&image, None, Some(error))?;
                }
                Err(Error::WaitTimeout { .. }) if image.percent.is_some() => {}
                Err(Error::WaitTimeout { task_id, .. }) => {
                    self.status = self.status.max(ExitStatus::RequestFailed);
                    let pause = self.observer.pause().map(|pause| pause.text());
                    let reason = pause.as_deref().unwrap_or("no time was left");
                    let text = format!("{task_id}: not polled: {reason}");
                    self.output.error(&text);
                }
                Err(error) => self.not_polled(image, error)?,
            }
        }
        Ok(())
    }

    fn progress(&mut self, mut image: Image, progress: Progress) -> Result<(), Failure> {
        self.store.change(&mut image, |image| {
            image.percent = Some(progress.percent);
            image.reason = None;
            match progress.status {
                Status::Succeeded => image.state = State::Succeeded,
                Status::Failed => {
                    image.state = State::Failed;
                    image.reason = Some(format!("the task failed at {} %", progress.percent));
                }
                _ => {}
            }
        })?;
        self.failures += usize::from(image.state == State::Failed);
        self.output.changed(&image, Some(progress), None)
    }

    fn not_polled(&mut self, mut image: Image, error: &Error) -> Result<(), Failure> {
        self.failures += 1;
        let is_task = self.plan.form.is_tasks();
        let is_forgotten = is_forgotten(error) && !is_task;
        self.forgotten += usize::from(is_forgotten);
        // One such response may be an error of the service, or due to the token of another account.
        let reason = image.reason.as_deref().unwrap_or_default();
        let has_failed = is_forgotten && reason.starts_with(FORGOTTEN);
        self.store.change(&mut image, |image| {
            image.reason = Some(match is_forgotten {
                true => format!("{FORGOTTEN}: {}", describe(error)),
                false => explain(error),
            });
            image.state = match is_task {
                true => State::Unknown,
                false if has_failed => State::Failed,
                false => State::Open,
            };
        })?;
        if has_failed {
            return self.output.changed(&image, None, None);
        }
        self.raise(error);
        self.output.changed(&image, None, Some(error))
    }

    fn raise(&mut self, error: &Error) {
        self.status = self.status.max(ExitStatus::of(error));
    }

    /// Records the error that has ended everything.
    fn end_all(&mut self, error: &Error) {
        self.has_ended = true;
        self.raise(error);
        self.stopped_by.get_or_insert_with(|| error.clone());
    }

    /// Shows the run as a whole, a few times a second.
    pub(super) fn tick(&mut self) {
        if self.shown.is_some_and(|shown| shown.elapsed() < TICK) {
            return;
        }
        self.shown = Some(Instant::now());
        let stats = RunStats {
            counts: self.store.counts(),
            ended_before: self.ended_before,
            elapsed: self.started.elapsed(),
            create_gap: self.plan.create_gap,
            pause: self.observer.pause(),
        };
        self.output.tick(&stats);
        // What fails here fails again at the next event.
        let _ = self.save_pause();
    }

    /// Records the end of a pause that the service has demanded, for the next run.
    pub(super) fn save_pause(&mut self) -> Result<(), Failure> {
        let until = self.observer.paused_until();
        if until > self.paused_until {
            self.paused_until = until;
            let end = until.and_then(|until| until.duration_since(UNIX_EPOCH).ok());
            let seconds = end.unwrap_or_default().as_secs().to_string();
            self.store.set_meta(PAUSED_UNTIL, &seconds)?;
        }
        Ok(())
    }
}

/// Returns the task to create.
pub(super) fn new_task(url: &str, file_name: Option<String>, args: &NewTaskArgs) -> NewTask {
    let mut task = NewTask::new(url);
    task.file_name = file_name;
    task.directory = args.directory.clone();
    task.callback_url = args.callback_url.clone();
    task
}
