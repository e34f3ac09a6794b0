//! The output of a run: results on standard output, progress and messages on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use pan123_offline::{Error, Progress, Status};

use crate::args::Common;
use crate::display::Bars;
use crate::failure::{ErrorTexts, eprint_line};
use crate::image::{Image, State};
use crate::list::printable;
use crate::records;
use crate::stats::RunStats;

/// The interval of lines about the run as a whole, where there are no bars.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// What a run tells.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A task was created.
    Created(&'a Image),
    /// An image has a new state, or its task a new progress.
    Changed {
        image: &'a Image,
        progress: Option<Progress>,
        error: Option<&'a Error>,
    },
    /// The run as a whole, a few times a second.
    Tick(&'a RunStats),
    Error(&'a str),
    /// A message that `--quiet` suppresses.
    Note(&'a str),
}

/// The source of the images, which decides about the form of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The images of a list, when they end.
    List,
    /// URLs of the command line: created tasks.
    Urls,
    /// Task ids: each change of their progress.
    Tasks,
    /// The same, of which each is polled once; without bars.
    TasksOnce,
}

impl Form {
    pub(crate) fn is_tasks(self) -> bool {
        matches!(self, Self::Tasks | Self::TasksOnce)
    }
}

/// Shows events: as bars, lines or JSON objects.
pub(crate) struct Output {
    form: Form,
    is_json: bool,
    is_quiet: bool,
    only_ends: bool,
    bars: Option<Bars>,
    /// Standard output gets results. A terminal that has bars of them does not.
    prints_results: bool,
    printed: Instant,
    texts: ErrorTexts,
}

impl Output {
    /// Creates the output for this number of tasks.
    pub(crate) fn new(common: &Common, form: Form, tasks: usize, only_ends: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        // Objects and bars on one terminal would mix, and so would the lines of --verbose. The reader of a pipe may
        // have bars of its own.
        let has_no_bars = common.quiet
            || common.verbose
            || (common.json && is_terminal)
            || form == Form::TasksOnce
            || (form == Form::Urls && is_pipe());
        let bars = if has_no_bars { None } else { Bars::new(tasks) };
        let shows_ends = form != Form::Urls && !common.json;
        Self {
            form,
            is_json: common.json,
            is_quiet: common.quiet,
            only_ends,
            prints_results: !(bars.is_some() && is_terminal && shows_ends),
            bars,
            printed: Instant::now(),
            texts: ErrorTexts::default(),
        }
    }

    pub(crate) fn show(&mut self, event: &Event<'_>) -> io::Result<()> {
        if let Some(bars) = &mut self.bars {
            bars.show(event);
        }
        match event {
            Event::Created(image) if self.form == Form::Urls => {
                let line = match self.is_json {
                    true => records::image_json(image),
                    false => records::created_line(image),
                };
                self.print(&line)
            }
            Event::Created(_) => Ok(()),
            Event::Changed {
                image,
                progress,
                error,
            } => self.changed(image, *progress, *error),
            Event::Tick(stats) => {
                if self.bars.is_none() && self.printed.elapsed() >= LINE_INTERVAL {
                    self.printed = Instant::now();
                    self.note(&stats.line());
                }
                Ok(())
            }
            Event::Error(text) => {
                self.message(text);
                Ok(())
            }
            Event::Note(text) => {
                self.note(text);
                Ok(())
            }
        }
    }

    fn changed(
        &mut self,
        image: &Image,
        progress: Option<Progress>,
        error: Option<&Error>,
    ) -> io::Result<()> {
        let line = match (self.form, self.is_json) {
            (Form::Tasks | Form::TasksOnce, _) => self.task_line(image, progress, error),
            (_, _) if !image.state.is_end() => None,
            (_, true) => Some(records::image_json(image)),
            (Form::List, false) => Some(records::image_line(image)),
            (Form::Urls, false) if image.task_id.is_some() => Some(records::created_line(image)),
            (Form::Urls, false) => None,
        };
        let is_printed = line.is_some() && self.prints_results;
        if let Some(line) = line.filter(|_| self.prints_results) {
            self.print(&line)?;
        }
        if !is_printed || self.form == Form::Urls && !self.is_json {
            self.tell(image, progress, error);
        }
        Ok(())
    }

    /// Returns the line of a task, where it is wanted.
    fn task_line(
        &self,
        image: &Image,
        progress: Option<Progress>,
        error: Option<&Error>,
    ) -> Option<String> {
        let task_id = image.task_id?;
        let is_end = error.is_some() || progress.is_some_and(|p| p.status.is_terminal());
        if self.only_ends && !is_end {
            return None;
        }
        if self.is_json {
            let url = Some(&*image.given).filter(|given| !given.is_empty());
            return Some(records::task_json(task_id, url, progress, error));
        }
        if error.is_some() {
            return None;
        }
        progress.map(|progress| records::task_line(task_id, progress))
    }

    /// Tells on standard error what went wrong.
    fn tell(&mut self, image: &Image, progress: Option<Progress>, error: Option<&Error>) {
        let name = name_of(image);
        if let Some(error) = error {
            let text = self.texts.compose(&name, error);
            return self.message(&text);
        }
        let reason = image.reason.as_deref().unwrap_or("the task failed");
        match image.state {
            State::Failed | State::Refused | State::Unknown | State::Invalid => {
                self.message(&format!("{name}: {}", printable(reason)));
            }
            _ if progress.is_some_and(|progress| progress.status == Status::Failed) => {
                self.message(&format!("{name}: {}", printable(reason)));
            }
            _ => {}
        }
    }

    /// Prints results, and flushes them, so that a reader can act on them at once.
    fn print(&self, text: &str) -> io::Result<()> {
        let print = || {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()
        };
        match &self.bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }

    fn message(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| eprint_line(text)),
            None => eprint_line(text),
        }
    }

    fn note(&self, text: &str) {
        if !self.is_quiet {
            self.message(text);
        }
    }

    /// Ends the bars. Later messages stand below them.
    pub(crate) fn close(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.close();
        }
    }
}

/// Returns the URL of an image, and its task.
fn name_of(image: &Image) -> String {
    let url = printable(&image.given);
    match image.task_id {
        Some(task_id) if url.is_empty() => task_id.to_string(),
        Some(task_id) => format!("{url} (task {task_id})"),
        None => url,
    }
}

fn is_pipe() -> bool {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        use std::os::unix::fs::FileTypeExt;

        let file = io::stdout().as_fd().try_clone_to_owned();
        let metadata = file.and_then(|file| std::fs::File::from(file).metadata());
        metadata.is_ok_and(|metadata| metadata.file_type().is_fifo())
    }
    #[cfg(not(unix))]
    !io::stdout().is_terminal()
}
