//! The output of a run: results on standard output, progress and messages on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use pan123_offline::{Error, Progress};

use crate::args::Common;
use crate::display::Bars;
use crate::failure::{advice, describe, eprint_line};
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// The images of a list, when they end.
    #[default]
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
    /// The time of the last line about the run as a whole.
    printed: Instant,
    /// Advice is given once, not for each of ten thousand tasks.
    last_advice: &'static str,
}

impl Output {
    /// Creates the output for this number of tasks.
    pub(crate) fn new(common: &Common, form: Form, tasks: usize, only_ends: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        // Objects, or the lines of --verbose, would mix with bars. The reader of a pipe may print on the same terminal.
        let has_no_bars = common.quiet
            || common.verbose
            || (common.json && is_terminal)
            || form == Form::TasksOnce
            || is_pipe();
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
            last_advice: "",
        }
    }

    pub(crate) fn show(&mut self, event: &Event<'_>) -> io::Result<()> {
        if let Some(bars) = &mut self.bars {
            bars.show(event);
        }
        match *event {
            Event::Created(image) if self.form == Form::Urls => {
                self.print(&match self.is_json {
                    true => records::image_json(image),
                    false => records::created_line(image),
                })?;
            }
            Event::Created(_) => {}
            Event::Changed {
                image,
                progress,
                error,
            } => {
                let line = self.line(image, progress, error);
                let line = line.filter(|_| self.prints_results);
                if let Some(line) = &line {
                    self.print(line)?;
                }
                if line.is_none() || self.form == Form::Urls && !self.is_json {
                    self.tell(image, error);
                }
            }
            Event::Tick(stats) => {
                if self.bars.is_none() && self.printed.elapsed() >= LINE_INTERVAL {
                    self.printed = Instant::now();
                    self.note(&stats.line());
                }
            }
            Event::Error(text) => self.message(text),
            Event::Note(text) => self.note(text),
        }
        Ok(())
    }

    /// Returns the line of a change on standard output, where one is wanted.
    fn line(
        &self,
        image: &Image,
        progress: Option<Progress>,
        error: Option<&Error>,
    ) -> Option<String> {
        if !self.form.is_tasks() {
            return match (self.form, self.is_json) {
                _ if !image.state.is_end() => None,
                (_, true) => Some(records::image_json(image)),
                (Form::Urls, false) => image.task_id.map(|_| records::created_line(image)),
                (_, false) => Some(records::image_line(image)),
            };
        }
        let task_id = image.task_id?;
        let is_end = error.is_some() || progress.is_some_and(|p| p.status.is_terminal());
        if self.only_ends && !is_end {
            return None;
        }
        if self.is_json {
            let url = Some(&*image.given).filter(|given| !given.is_empty());
            return Some(records::task_json(task_id, url, progress, error));
        }
        let progress = progress.filter(|_| error.is_none());
        progress.map(|progress| records::task_line(task_id, progress))
    }

    /// Tells on standard error what went wrong.
    fn tell(&mut self, image: &Image, error: Option<&Error>) {
        let url = printable(&image.given);
        let name = match image.task_id {
            Some(task_id) if url.is_empty() => task_id.to_string(),
            Some(task_id) => format!("{url} (task {task_id})"),
            None => url,
        };
        if let Some(error) = error {
            let advice = advice(error);
            let is_new = advice != self.last_advice;
            self.last_advice = advice;
            let advice = if is_new { advice } else { "" };
            return self.message(&format!("{name}: {}{advice}", describe(error)));
        }
        let has_failed = image.state.is_end() && image.state != State::Succeeded;
        if let Some(reason) = image.reason.as_deref().filter(|_| has_failed) {
            self.message(&format!("{name}: {}", printable(reason)));
        }
    }

    /// Prints results, and flushes them, so that a reader can act on them at once.
    fn print(&self, text: &str) -> io::Result<()> {
        self.above_bars(|| {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()
        })
    }

    fn message(&self, text: &str) {
        self.above_bars(|| eprint_line(text));
    }

    fn note(&self, text: &str) {
        if !self.is_quiet {
            self.message(text);
        }
    }

    fn above_bars<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }

    /// Ends the bars. Later messages stand below them.
    pub(crate) fn close(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.close();
        }
    }
}

/// Reports whether another program reads standard output.
fn is_pipe() -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;

        std::fs::metadata("/dev/stdout").is_ok_and(|stdout| stdout.file_type().is_fifo())
    }
    #[cfg(not(unix))]
    !io::stdout().is_terminal()
}
