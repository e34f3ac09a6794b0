//! The output of a run: results on standard output, progress and messages on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use pan123_offline::{Error, Progress};

use crate::args::Common;
use crate::display::Bars;
use crate::failure::{Failure, advice, describe, eprint_line};
use crate::image::{Image, State};
use crate::list::printable;
use crate::records;
use crate::stats::RunStats;

/// The interval of lines about the run as a whole, where there are no bars.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

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

/// Shows what happens in a run: as bars, lines or JSON objects.
pub(crate) struct Output {
    form: Form,
    is_json: bool,
    is_quiet: bool,
    only_ends: bool,
    bars: Bars,
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
        let bars = Bars::new(tasks, !has_no_bars);
        let shows_ends = form != Form::Urls && !common.json;
        Self {
            form,
            is_json: common.json,
            is_quiet: common.quiet,
            only_ends,
            prints_results: bars.are_hidden() || !is_terminal || !shows_ends,
            bars,
            printed: Instant::now(),
            last_advice: "",
        }
    }

    /// Shows that a task was created.
    pub(crate) fn created(&mut self, image: &Image) -> Result<(), Failure> {
        self.bars.show_task(image, None);
        match (self.form, self.is_json) {
            (Form::Urls, true) => self.print(&records::image_json(image)),
            (Form::Urls, false) => self.print(&records::created_line(image)),
            _ => Ok(()),
        }
    }

    /// Shows that an image has a new state, or its task a new progress.
    pub(crate) fn changed(
        &mut self,
        image: &Image,
        progress: Option<Progress>,
        error: Option<&Error>,
    ) -> Result<(), Failure> {
        let status = progress.map(|progress| progress.status);
        self.bars.show_task(image, status);
        let line = self.line(image, progress, error);
        let line = line.filter(|_| self.prints_results);
        if let Some(line) = &line {
            self.print(line)?;
        }
        if line.is_none() || self.form == Form::Urls && !self.is_json {
            self.tell(image, error);
        }
        Ok(())
    }

    /// Shows the run as a whole.
    pub(crate) fn tick(&mut self, stats: &RunStats) {
        self.bars.show_stats(stats);
        if self.bars.are_hidden() && self.printed.elapsed() >= LINE_INTERVAL {
            self.printed = Instant::now();
            self.note(&stats.line());
        }
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
        let is_end = error.is_some() || progress.is_some_and(|p| p.status.is_terminal());
        match (self.is_json, progress) {
            _ if self.only_ends && !is_end => None,
            (true, _) => Some(records::task_json(image, progress, error)),
            (false, Some(progress)) => Some(records::task_line(image, progress)),
            (false, None) => None,
        }
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
            return self.error(&format!("{name}: {}{advice}", describe(error)));
        }
        let has_failed = image.state.is_end() && image.state != State::Succeeded;
        if let Some(reason) = image.reason.as_deref().filter(|_| has_failed) {
            self.error(&format!("{name}: {}", printable(reason)));
        }
    }

    /// Prints results, and flushes them, so that a reader can act on them at once.
    fn print(&self, text: &str) -> Result<(), Failure> {
        self.bars.suspend(|| {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes())?;
            Ok(out.flush()?)
        })
    }

    /// Prints an error.
    pub(crate) fn error(&self, text: &str) {
        self.bars.suspend(|| eprint_line(text));
    }

    /// Prints a message that `--quiet` suppresses.
    pub(crate) fn note(&self, text: &str) {
        if !self.is_quiet {
            self.error(text);
        }
    }

    /// Ends the bars. Later messages stand below them.
    pub(crate) fn close(&self) {
        self.bars.close();
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
