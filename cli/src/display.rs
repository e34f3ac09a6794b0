//! Progress on a terminal, drawn on standard error: a bar for each of a few tasks, or one for the whole run.

use std::collections::HashMap;
use std::env;

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pan123_offline::Status;

use crate::image::{Image, State};
use crate::list::printable;
use crate::stats::{RunStats, duration};

/// The maximum number of tasks that have a bar each.
const MAX_ROWS: usize = 19;
/// The width of a terminal below which there are no bars, and that of a bar where there is room.
const MIN_WIDTH: usize = 60;
const BAR_WIDTH: usize = 24;
/// The columns of what stands before a bar: an image's name, or the id of a task.
const NAME_WIDTH: usize = 24;
const ID_WIDTH: usize = 10;
/// The columns of what stands after the bar of a task, and of the whole run.
const STATUS_WIDTH: usize = 18;
const PACE_WIDTH: usize = 50;

/// Bars on a terminal.
pub(crate) struct Bars {
    multi: MultiProgress,
    /// An empty line.
    top: ProgressBar,
    /// The bars of tasks, by the rows of the state; `None` if there are too many.
    rows: Option<HashMap<i64, ProgressBar>>,
    total: ProgressBar,
    counts: ProgressBar,
    /// The columns of the terminal; 0 if it is too narrow for bars.
    width: usize,
}

impl Bars {
    /// Starts the bars of a run with this number of tasks. They are hidden if nobody wants them, or if standard error is
    /// no terminal with a movable cursor.
    pub(crate) fn new(tasks: usize, is_wanted: bool) -> Self {
        let term = Term::stderr();
        let is_shown = is_wanted && term.is_term() && !console::is_dumb();
        let (height, width) = term.size();
        let fits = tasks <= MAX_ROWS && tasks + 4 <= usize::from(height);
        let width = Some(usize::from(width)).filter(|width| *width >= MIN_WIDTH);
        let width = width.unwrap_or_default();
        let multi = MultiProgress::with_draw_target(match is_shown {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        });
        let line = |template: &str| multi.add(ProgressBar::new(100).with_style(style(template)));
        // After the terminal has written `^C` below the bars, the line at the top cannot be removed.
        let top = line(" ");
        let total = line(&(bar("cyan", PACE_WIDTH, width) + "{wide_msg}"));
        let counts = line("{wide_msg}");
        Self {
            multi,
            top,
            rows: fits.then(HashMap::new),
            total,
            counts,
            width,
        }
    }

    pub(crate) fn are_hidden(&self) -> bool {
        self.multi.is_hidden()
    }

    /// Shows the task of an image, if it has one, in a bar of its own.
    pub(crate) fn show_task(&mut self, image: &Image, status: Option<Status>) {
        let Some(rows) = self.rows.as_mut().filter(|_| image.task_id.is_some()) else {
            return;
        };
        let width = match image.given.is_empty() {
            true => ID_WIDTH,
            false => NAME_WIDTH,
        };
        let text = match (image.state, status) {
            (State::Open, Some(status)) => &status.to_string(),
            (State::Open, None) if image.reason.is_some() => "error",
            (State::Open, None) => "waiting",
            (state, _) => state.name(),
        };
        let color = match image.state {
            State::Succeeded => "green",
            State::Failed => "red",
            State::Open => "cyan",
            _ => "yellow",
        };
        let percent = image.percent.unwrap_or_default();
        let bar = bar(color, width + 2 + STATUS_WIDTH, self.width);
        let style = style(&format!("{{prefix:{width}!}}  {bar}{{wide_msg}}"));
        let row = rows.entry(image.id).or_insert_with(|| {
            let row = ProgressBar::new(100).with_prefix(label(image));
            self.multi
                .insert_before(&self.total, row.with_style(style.clone()))
        });
        row.set_style(style);
        row.set_position(percent.into());
        row.set_message(format!("{percent:>3} %  {text}"));
    }

    /// Shows the run as a whole.
    pub(crate) fn show_stats(&self, stats: &RunStats) {
        let (position, elapsed) = (stats.position(), duration(stats.elapsed));
        let total = format!("{:>3} %  {position}  {elapsed}", stats.percent());
        let counts = stats.counts.text();
        let (total, counts) = match &stats.pause {
            Some(pause) => (total, format!("{}; {counts}", pause.text())),
            None => (format!("{total}  {}", stats.pace()), counts),
        };
        self.top.tick();
        self.total.set_position(stats.percent());
        self.total.set_message(total);
        self.counts.set_message(counts);
    }

    /// Runs `f`, which prints something, while the bars are hidden.
    pub(crate) fn suspend<T>(&self, f: impl FnOnce() -> T) -> T {
        self.multi.suspend(f)
    }

    /// Removes the lines of the run as a whole. The bars of tasks stay on the terminal.
    pub(crate) fn close(&self) {
        self.counts.finish_and_clear();
        self.total.finish_and_clear();
        self.top.finish_and_clear();
        for row in self.rows.iter().flat_map(HashMap::values) {
            row.abandon();
        }
        self.multi.set_draw_target(ProgressDrawTarget::hidden());
    }
}

/// Returns the part of a template that is the bar, as wide as the other columns of the line leave room.
fn bar(color: &str, other: usize, width: usize) -> String {
    match width.saturating_sub(other + 2) {
        0 => String::new(),
        room => format!("{{bar:{}.{color}}}  ", room.min(BAR_WIDTH)),
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    match is_unicode() {
        true => style.progress_chars("━╸─"),
        false => style.progress_chars("=>-"),
    }
}

/// Returns the name of an image in its bar: the last part of the URL's path, or else the task id.
fn label(image: &Image) -> String {
    let path = image.given.split(['?', '#']).next().unwrap_or_default();
    match path.rsplit('/').next() {
        None | Some("") => image.task_id.unwrap_or_default().to_string(),
        Some(last) => printable(last),
    }
}

/// Reports whether the terminal shows characters outside of ASCII. Windows Terminal, which has no locale, does.
fn is_unicode() -> bool {
    let value = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(value);
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8") || value("WT_SESSION").is_some()
}
