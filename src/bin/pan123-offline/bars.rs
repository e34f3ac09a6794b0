//! Progress bars: one for each task that fits on the terminal, the active ones first, and a total.

use std::time::Duration;

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pan123_offline::{Error, Progress, Status};

/// The interval at which the elapsed time is redrawn.
const TICK: Duration = Duration::from_millis(250);

pub(crate) struct Bars {
    screen: MultiProgress,
    rows: Vec<Row>,
    /// The maximum number of rows; `None` if each task has its own.
    limit: Option<usize>,
    total: ProgressBar,
    failed: usize,
    /// The number of changes, to find the row that changed least recently.
    changes: usize,
}

struct Row {
    task_id: u64,
    bar: ProgressBar,
    changed: usize,
}

impl Bars {
    /// Draws the bars; `None` on a terminal that cannot move its cursor.
    pub(crate) fn new(task_ids: &[u64]) -> Option<Self> {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        if screen.is_hidden() {
            return None;
        }
        let height = usize::from(Term::stdout().size().0);
        let all_fit = task_ids.len() + 2 <= height;
        let total = screen.add(ProgressBar::new(task_ids.len() as u64).with_style(style(
            "{spinner} {bar:30} {pos} of {len} finished in {elapsed}{msg}",
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

    /// Runs `f` while the bars are hidden.
    pub(crate) fn suspend(&self, f: impl FnOnce()) {
        self.screen.suspend(f);
    }

    /// Leaves the bars on the terminal as they are.
    pub(crate) fn close(&self) {
        self.rows.iter().for_each(|row| row.bar.abandon());
        self.total.abandon();
    }

    fn ended(&mut self, task_id: u64, is_success: bool) {
        self.total.inc(1);
        if !is_success {
            self.failed += 1;
            self.total.set_message(format!(", {} failed", self.failed));
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

    /// Returns the row of a task: its own, a new one, or the one that changed least recently.
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

/// Returns a style; the default one if the template is wrong, which every run would show.
fn style(template: &str, color: &str) -> ProgressStyle {
    ProgressStyle::with_template(&template.replace("COLOR", color))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸ ")
}
