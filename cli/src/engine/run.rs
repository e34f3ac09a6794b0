//! The state of a run: what each event of the migration means for the images, the output and the end.

use std::time::Instant;

use pan123_offline::{Error, ErrorCode, MigrationEvent, Progress, Status, Update};

use super::Plan;
use super::creation::Current;
use super::verdict::{NotPolled, after_poll};
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, describe, explain};
use crate::image::{Image, State};
use crate::observer::Observer;
use crate::output::{Event, Output};
use crate::stats::RunStats;
use crate::store::Store;

pub(super) struct Run {
    pub(super) store: Store,
    pub(super) output: Output,
    pub(super) plan: Plan,
    pub(super) observer: Observer,
    /// The rows of the images to create, and the next of them.
    pub(super) todo: Vec<i64>,
    pub(super) next: usize,
    pub(super) current: Option<Current>,
    pub(super) started: Instant,
    ended_before: u64,
    /// Images that this run has not brought to an end, whatever the reason.
    pub(super) failures: usize,
    /// Tasks that the service knows, and those that it does not know.
    pub(super) known: usize,
    pub(super) forgotten: usize,
    pub(super) stops_creating: bool,
    pub(super) timed_out: bool,
    /// The error that ended everything, or that stopped the creations.
    pub(super) stopped_by: Option<Error>,
    pub(super) has_ended: bool,
    /// The worst outcome that no count shows.
    pub(super) status: ExitStatus,
    pub(super) failure: Option<Failure>,
    pub(super) paused_until: Option<Instant>,
    pub(super) is_closed: bool,
}

impl Run {
    pub(super) fn new(
        store: Store,
        output: Output,
        plan: Plan,
        observer: Observer,
    ) -> Result<Self, Failure> {
        let todo = store.new_images()?;
        let ended_before = store.counts().ended();
        let timed_out = plan.limits.is_once();
        let mut run = Self {
            store,
            output,
            plan,
            observer,
            todo,
            next: 0,
            current: None,
            started: Instant::now(),
            ended_before,
            failures: 0,
            known: 0,
            forgotten: 0,
            stops_creating: false,
            timed_out,
            stopped_by: None,
            has_ended: false,
            status: ExitStatus::Succeeded,
            failure: None,
            paused_until: None,
            is_closed: false,
        };
        run.restore_pause()?;
        Ok(run)
    }

    /// Reports whether there is no image to create.
    pub(super) fn is_idle(&self) -> bool {
        self.todo.is_empty()
    }

    pub(super) fn open_tasks(&self) -> Result<Vec<u64>, Failure> {
        Ok(self.store.open_tasks()?)
    }

    /// Records and shows an event.
    pub(super) fn on_event(&mut self, event: MigrationEvent) -> Result<(), Failure> {
        match event {
            MigrationEvent::Creating { .. } => self.announce()?,
            MigrationEvent::Created { task_id, .. } => self.created(task_id)?,
            MigrationEvent::Delayed { .. } => self.retract()?,
            MigrationEvent::NotCreated { error, .. } => self.not_created(&error)?,
            MigrationEvent::Update { update, .. } => self.update(&update)?,
            _ => {}
        }
        let max_failures = self.plan.new_task.max_failures;
        if max_failures.is_some_and(|max| self.failures >= max) && !self.stops_creating {
            self.stops_creating = true;
            let text = format!("{} failures: no further task is created", self.failures);
            self.output.show(&Event::Error(&text))?;
        }
        self.save_pause()
    }

    fn update(&mut self, update: &Update) -> Result<(), Failure> {
        let is_task = self.plan.form.is_tasks();
        match &update.result {
            Ok(progress) => {
                self.known += 1;
                for image in self.store.images_of(update.task_id)? {
                    self.progress(image, *progress)?;
                }
                Ok(())
            }
            Err(Error::WaitTimeout { cause, .. }) => {
                self.not_ended(update.task_id, cause.as_deref())
            }
            // The error concerns all tasks.
            Err(_) if self.has_ended => Ok(()),
            Err(error) if error.code() == Some(ErrorCode::QUOTA_EXHAUSTED) && !is_task => {
                self.stopped_by(error);
                Ok(())
            }
            Err(error) => {
                for image in self.store.images_of(update.task_id)? {
                    self.not_polled(image, error)?;
                }
                Ok(())
            }
        }
    }

    fn progress(&mut self, mut image: Image, progress: Progress) -> Result<(), Failure> {
        self.store.change(&mut image, |image| {
            image.percent = Some(progress.percent);
            image.reason = None;
            match progress.status {
                Status::Succeeded => image.state = State::Succeeded,
                Status::Failed => {
                    image.state = State::Failed;
                    let percent = progress.percent;
                    image.reason = Some(format!("the task failed at {percent} %"));
                }
                _ => {}
            }
        })?;
        if image.state == State::Failed {
            self.failures += 1;
        }
        self.show_change(&image, Some(progress), None)
    }

    /// Handles the end of a timeout of zero: each task was polled once.
    fn not_ended(&mut self, task_id: u64, cause: Option<&Error>) -> Result<(), Failure> {
        self.timed_out = true;
        for image in self.store.images_of(task_id)? {
            if let Some(error) = cause {
                self.raise(ExitStatus::of(error));
                self.show_change(&image, None, Some(error))?;
            } else if image.percent.is_none() {
                self.raise(ExitStatus::RequestFailed);
                let pause = self.observer.pause();
                let reason = pause.map_or("no time was left".to_owned(), |pause| pause.text());
                let text = format!("{task_id}: not polled: {reason}");
                self.output.show(&Event::Error(&text))?;
            }
        }
        Ok(())
    }

    fn not_polled(&mut self, mut image: Image, error: &Error) -> Result<(), Failure> {
        self.failures += 1;
        let is_task = self.plan.form.is_tasks();
        let is_forgotten = after_poll(error) == NotPolled::Forgotten && !is_task;
        self.forgotten += usize::from(is_forgotten);
        self.store.change(&mut image, |image| {
            image.reason = Some(explain(error));
            if is_forgotten {
                image.state = State::Failed;
                image.reason = Some(format!(
                    "the service no longer knows the task: {}",
                    describe(error)
                ));
            } else if is_task {
                image.state = State::Unknown;
            }
        })?;
        if is_forgotten {
            return self.show_change(&image, None, None);
        }
        self.raise(ExitStatus::of(error));
        self.show_change(&image, None, Some(error))
    }

    pub(super) fn show_change(
        &mut self,
        image: &Image,
        progress: Option<Progress>,
        error: Option<&Error>,
    ) -> Result<(), Failure> {
        let event = Event::Changed {
            image,
            progress,
            error,
        };
        Ok(self.output.show(&event)?)
    }

    pub(super) fn raise(&mut self, status: ExitStatus) {
        self.status = self.status.max(status);
    }

    pub(super) fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Records the error that has ended everything.
    pub(super) fn stopped_by(&mut self, error: &Error) {
        if !matches!(error, Error::WaitTimeout { .. }) {
            self.has_ended = true;
            self.raise(ExitStatus::of(error));
            self.stopped_by.get_or_insert_with(|| error.clone());
        }
    }

    pub(super) fn stops_creating(&self) -> bool {
        self.stops_creating
    }

    /// Reports whether the next request, or the one under way, creates a task.
    pub(super) fn is_announced(&self) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|current| current.is_announced)
    }

    pub(super) fn set_timed_out(&mut self) {
        self.timed_out = true;
    }

    /// Tells that the command ends after the creation that is under way.
    pub(super) fn announce_end(&mut self) {
        let text = "ends after the request that is under way; another signal ends at once";
        let _ = self.output.show(&Event::Note(text));
    }

    /// Shows the run as a whole. Returns false once the run is closed.
    pub(super) fn tick(&mut self) -> bool {
        if self.is_closed {
            return false;
        }
        let stats = RunStats {
            counts: self.store.counts(),
            ended_before: self.ended_before,
            elapsed: self.started.elapsed(),
            create_gap: self.plan.limits.create_gap,
            pause: self.observer.pause(),
        };
        // What fails here fails again at the next event.
        let _ = self.output.show(&Event::Tick(&stats));
        let _ = self.save_pause();
        true
    }
}
