//! The creations of a run: the next image, its name, and what became of its task.

use pan123_offline::{Error, NewTask};

use super::run::Run;
use super::verdict::after_creation;
use crate::args::NewTaskArgs;
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, explain};
use crate::image::{Image, State};
use crate::key::ImageUrl;
use crate::list::printable;
use crate::names::generated_names;
use crate::output::{Event, Form};
use crate::store::StoreError;

/// The image whose task is created.
pub(super) struct Current {
    pub(super) image: Image,
    file_name: Option<String>,
    /// The state says so, and its request is sent by the next step of the migration.
    pub(super) is_announced: bool,
}

impl Run {
    /// Takes the next image to create. A failure ends the input.
    pub(super) fn next_task(&mut self) -> Option<NewTask> {
        match self.try_next_task() {
            Ok(task) => task,
            Err(failure) => {
                self.failure = Some(failure);
                None
            }
        }
    }

    fn try_next_task(&mut self) -> Result<Option<NewTask>, Failure> {
        while let Some(id) = self.todo.get(self.next) {
            self.next += 1;
            let mut image = self.store.image(*id)?;
            let Ok(url) = ImageUrl::parse(&image.given) else {
                continue;
            };
            let name = self.name_of(&image, &url)?;
            let file_name = match name {
                Ok(name) => name,
                Err(reason) => {
                    self.store.change(&mut image, |image| {
                        image.state = State::Invalid;
                        image.reason = Some(reason);
                    })?;
                    self.show_change(&image, None, None)?;
                    continue;
                }
            };
            let task = new_task(&url.sent, file_name.clone(), &self.plan.new_task);
            self.current = Some(Current {
                image,
                file_name,
                is_announced: false,
            });
            return Ok(Some(task));
        }
        Ok(None)
    }

    /// Returns the name to send: that of the list, or one that no other image has.
    fn name_of(
        &self,
        image: &Image,
        url: &ImageUrl,
    ) -> Result<Result<Option<String>, String>, StoreError> {
        if let Some(name) = &image.name {
            if self.store.is_name_taken(name, image.id)? {
                return Ok(Err("its name was sent for another image".to_owned()));
            }
            return Ok(Ok(Some(name.clone())));
        }
        if self.plan.form == Form::List {
            for name in generated_names(&url.sent, &image.key) {
                if !self.store.is_name_taken(&name, image.id)? {
                    return Ok(Ok(Some(name)));
                }
            }
        }
        Ok(Ok(None))
    }
    /// Records that the task is created next. The record is on disk when this returns.
    pub(super) fn announce(&mut self) -> Result<(), Failure> {
        let Some(mut current) = self.current.take() else {
            return Ok(());
        };
        let (file_name, directory) = (
            current.file_name.clone(),
            self.plan.new_task.directory.clone(),
        );
        self.store.change(&mut current.image, |image| {
            image.state = State::Creating;
            image.file_name = file_name;
            image.directory = directory;
        })?;
        self.observer.expect_creation();
        current.is_announced = true;
        self.current = Some(current);
        Ok(())
    }

    pub(super) fn created(&mut self, task_id: u64) -> Result<(), Failure> {
        let Some(Current { mut image, .. }) = self.current.take() else {
            return Ok(());
        };
        let recorded = self.store.change(&mut image, |image| {
            image.state = State::Open;
            image.task_id = Some(task_id);
            image.percent = None;
            image.reason = None;
        });
        if recorded.is_err() {
            let url = printable(&image.given);
            let text = format!("created task {task_id} for {url}, which is not in the state");
            self.output.show(&Event::Error(&text))?;
        }
        recorded?;
        let shown = self.output.show(&Event::Created(&image));
        if shown.is_err() && self.plan.form == Form::Urls {
            // The id can be had from nowhere else.
            let url = printable(&image.given);
            let text = format!("created task {task_id} for {url}");
            self.output.show(&Event::Error(&text))?;
        }
        Ok(shown?)
    }

    /// Records that the task was announced, but is not created now.
    pub(super) fn retract(&mut self) -> Result<(), Failure> {
        let Some(mut current) = self.current.take() else {
            return Ok(());
        };
        if current.is_announced {
            current.is_announced = false;
            self.store
                .change(&mut current.image, |image| image.state = State::New)?;
        }
        self.current = Some(current);
        Ok(())
    }

    pub(super) fn not_created(&mut self, error: &Error) -> Result<(), Failure> {
        let Some(Current { mut image, .. }) = self.current.take() else {
            return Ok(());
        };
        let verdict = after_creation(error);
        if self.plan.limits.is_once() && error.is_timeout() && verdict.state == State::New {
            return Ok(self
                .store
                .change(&mut image, |image| image.state = State::New)?);
        }
        self.store.change(&mut image, |image| {
            image.state = verdict.state;
            image.reason = match verdict.state {
                State::New => None,
                _ => Some(explain(error)),
            };
        })?;
        if verdict.state != State::New {
            self.failures += 1;
            self.show_change(&image, None, None)?;
        }
        if verdict.stops_creating {
            self.stops_creating = true;
            self.raise(ExitStatus::of(error));
            self.stopped_by.get_or_insert_with(|| error.clone());
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
