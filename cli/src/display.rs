//! Progress of a run on standard error: bars on a terminal, and a line every ten seconds elsewhere.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use crate::args::Common;
use crate::bars::{Bars, Row};
use crate::failure::eprint_line;
use crate::overview::{Counts, Overview, Rate};
use crate::traffic;

/// The interval of lines, and the number of tasks from which they are printed.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
const MIN_TASKS: u64 = 20;

/// The form in which progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A bar for each of a few tasks, or one for the whole run.
    Tasks,
    /// One bar for the whole run.
    Run,
    /// Lines only, because other lines come in between.
    Lines,
    None,
}

impl Form {
    /// Returns the form for the creation of a list of URLs.
    ///
    /// The reader of a pipe, such as `wait -`, may draw bars of its own on the same terminal.
    pub(crate) fn of_creation() -> Self {
        match is_stdout_pipe() {
            true => Self::None,
            false => Self::Run,
        }
    }

    /// Returns this form, or another one that the options demand.
    pub(crate) fn within(self, common: &Common) -> Self {
        if common.quiet {
            Self::None
        } else if common.verbose {
            Self::Lines
        } else if common.json && io::stdout().is_terminal() {
            // Objects and bars on one terminal would mix.
            Self::None
        } else {
            self
        }
    }
}

fn is_stdout_pipe() -> bool {
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

pub(crate) struct Display {
    output: Output,
    started: Instant,
    rate: Rate,
}

enum Output {
    Bars(Bars),
    Lines { printed: Instant },
    None,
}

impl Display {
    pub(crate) fn new(form: Form) -> Self {
        let started = Instant::now();
        let bars = match form {
            Form::Tasks | Form::Run => Bars::new(form == Form::Tasks),
            Form::Lines | Form::None => None,
        };
        Self {
            output: match bars {
                Some(bars) => Output::Bars(bars),
                None if form == Form::None => Output::None,
                None => Output::Lines { printed: started },
            },
            started,
            rate: Rate::default(),
        }
    }

    pub(crate) fn has_bars(&self) -> bool {
        matches!(self.output, Output::Bars(_))
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Shows the counts. Must be called again and again where there is no terminal.
    pub(crate) fn set_counts(&mut self, counts: Counts) {
        let elapsed = self.elapsed();
        match &mut self.output {
            Output::Bars(bars) => bars.set_counts(counts),
            Output::Lines { printed } => {
                let rate = self.rate.sample(elapsed, counts.ended());
                let is_large = counts.ended() + counts.open >= MIN_TASKS;
                if is_large && printed.elapsed() >= LINE_INTERVAL {
                    *printed = Instant::now();
                    let pause = traffic::pause_reason();
                    let overview = Overview {
                        counts,
                        elapsed,
                        rate,
                        pause,
                    };
                    eprint_line(&overview.line());
                }
            }
            Output::None => {}
        }
    }

    /// Shows the state of a task, where it has its own bar.
    pub(crate) fn set_row(&self, row: impl FnOnce() -> Row) {
        if let Output::Bars(bars) = &self.output {
            bars.set_row(row());
        }
    }

    /// Prints a message above the bars.
    pub(crate) fn print_message(&self, text: &str) {
        self.suspend(|| eprint_line(text));
    }

    /// Prints why the next request is delayed. Bars show it themselves.
    pub(crate) fn print_delay(&self, text: &str) {
        if !self.has_bars() {
            self.print_message(text);
        }
    }

    /// Runs `f`, which prints something, while the bars are hidden.
    pub(crate) fn suspend(&self, f: impl FnOnce()) {
        match &self.output {
            Output::Bars(bars) => bars.suspend(f),
            _ => f(),
        }
    }

    /// Ends the display. Later output stands below the bars of tasks.
    pub(crate) fn close(&mut self) {
        if let Output::Bars(bars) = &self.output {
            bars.close();
        }
        self.output = Output::None;
    }
}
