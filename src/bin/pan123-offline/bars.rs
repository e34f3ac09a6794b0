//! A progress bar a task. Beyond what fits on the terminal: the active ones, and one for them all.

use std::time::Duration;

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pan123_offline::{Error, Progress, Status};

/// How often the time beside the total moves.
const TICK: Duration = Duration::from_millis(250);

pub(crate) struct Bars {
    screen: MultiProgress,
    rows: Vec<Row>,
    /// How many rows there may be; `None` if all tasks have theirs.
    limit: Option<usize>,
    total: ProgressBar,
    failed: usize,
    /// Counts the changes, to know whose row was quiet for longest.
    changes: usize,
}

struct Row {
    task_id: u64,
    bar: ProgressBar,
    changed: usize,
}

impl Bars {
    /// `None` on a terminal that cannot move its cursor.
    pub(crate) fn new(task_ids: &[u64]) -> Option<Self> {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        if screen.is_hidden() {
            return None;
        }
        let height = usize::from(Term::stdout().size().0);
        let all_fit = task_ids.len() + 2 <= height;
        let total = screen.add(ProgressBar::new(task_ids.len() as u64).with_style(style(
            "{spinner} {bar:30} {pos} of {len} ended in {elapsed}{msg}",
            "",
        )));
        let mut bars = Self {
            screen,
            rows: Vec::new(),
            limit: (!all_fit).then(|| height.saturating_sub(3).max(1)),
            total,
            failed: 0,
            changes: 0,
        };
        if all_fit {
            task_ids.iter().for_each(|task_id| bars.add_row(*task_id));
        }
        bars.total.enable_steady_tick(TICK);
        Some(bars)
    }

    pub(crate) fn progress(&mut self, task_id: u64, progress: Progress) {
        let row = self.row(task_id);
        row.bar.set_style(row_style(color(progress.status)));
        row.bar.set_position(progress.percent.into());
        row.bar.set_message(progress.status.to_string());
        if progress.status.is_terminal() {
            self.ended(task_id, progress.status == Status::Succeeded);
        }
    }

    pub(crate) fn given_up(&mut self, task_id: u64, error: &Error) {
        let row = self.row(task_id);
        row.bar.set_style(row_style("red"));
        row.bar.set_message(error.to_string());
        self.ended(task_id, false);
    }

    /// Does something else with the terminal.
    pub(crate) fn suspend(&self, f: impl FnOnce()) {
        self.screen.suspend(f);
    }

    /// Leaves what is there, as it is.
    pub(crate) fn close(&self) {
        self.rows.iter().for_each(|row| row.bar.abandon());
        self.total.abandon();
    }

    fn ended(&mut self, task_id: u64, well: bool) {
        self.total.inc(1);
        if !well {
            self.failed += 1;
            self.total
                .set_message(format!(", {} not well", self.failed));
        }
        let Some(place) = self.rows.iter().position(|row| row.task_id == task_id) else {
            return;
        };
        if self.limit.is_some() {
            let row = self.rows.remove(place);
            row.bar.finish_and_clear();
            self.screen.remove(&row.bar);
        } else {
            self.rows[place].bar.abandon();
        }
    }

    /// The row of a task: its own, a new one, or that of the task that was quiet for longest.
    fn row(&mut self, task_id: u64) -> &mut Row {
        let own = self.rows.iter().position(|row| row.task_id == task_id);
        let place = own.unwrap_or_else(|| {
            if self.limit.is_none_or(|limit| self.rows.len() < limit) {
                self.add_row(task_id);
                return self.rows.len() - 1;
            }
            let quiet = self
                .rows
                .iter()
                .enumerate()
                .min_by_key(|(_, row)| row.changed);
            quiet.map_or(0, |(place, _)| place)
        });
        self.changes += 1;
        let row = &mut self.rows[place];
        if row.task_id != task_id {
            row.task_id = task_id;
            row.bar.set_prefix(task_id.to_string());
        }
        row.changed = self.changes;
        row
    }

    fn add_row(&mut self, task_id: u64) {
        let bar = ProgressBar::new(100)
            .with_style(row_style("dim"))
            .with_prefix(task_id.to_string());
        let bar = self.screen.insert_before(&self.total, bar);
        bar.tick();
        self.rows.push(Row {
            task_id,
            bar,
            changed: 0,
        });
    }
}

fn color(status: Status) -> &'static str {
    match status {
        Status::InProgress => "cyan",
        Status::Succeeded => "green",
        Status::Failed => "red",
        _ => "yellow",
    }
}

fn row_style(color: &str) -> ProgressStyle {
    style(
        "{prefix:>12} {bar:30.COLOR} {pos:>3} %  {wide_msg:.COLOR}",
        color,
    )
}

/// The templates are fixed, so a fault in one would show in every run; the plain bar is good enough then.
fn style(template: &str, color: &str) -> ProgressStyle {
    ProgressStyle::with_template(&template.replace("COLOR", color))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸ ")
}
