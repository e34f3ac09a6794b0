//! Progress on a terminal: a bar for each of a few tasks, or one for the whole run.
//!
//! The bars are drawn on standard error, below what is printed there, and end with a line feed.

use std::env;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use console::{Color, Style, Term, measure_text_width};

use crate::overview::{Counts, Look, Overview, Rate, bar, duration, fit};
use crate::traffic;

/// The interval at which the elapsed time is redrawn, and the minimum time between two drawings.
const TICK: Duration = Duration::from_millis(250);
const MIN_DRAW_GAP: Duration = Duration::from_millis(50);

/// The maximum number of tasks that have a bar each.
const MAX_ROWS: usize = 19;
const MAX_BAR_WIDTH: usize = 30;
const MIN_BAR_WIDTH: usize = 5;

/// The state of a task that has its own bar.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) task_id: u64,
    pub(crate) percent: u8,
    pub(crate) text: String,
    pub(crate) color: Color,
}

/// Bars that a thread keeps up to date.
pub(crate) struct Bars(Arc<Mutex<Board>>);

struct Board {
    term: Term,
    is_unicode: bool,
    started: Instant,
    /// `None` before anything is known, when nothing is drawn.
    counts: Option<Counts>,
    rate: Rate,
    /// `None` if there are too many tasks.
    rows: Option<Vec<Row>>,
    /// The widths of the lines on the terminal.
    drawn: Vec<usize>,
    drawn_at: Option<Instant>,
    is_closed: bool,
}

impl Bars {
    /// Starts the bars; `None` if standard error is no terminal with a movable cursor.
    pub(crate) fn new(has_rows: bool) -> Option<Self> {
        let term = Term::buffered_stderr();
        if !term.is_term() || console::is_dumb() {
            return None;
        }
        let board = Arc::new(Mutex::new(Board {
            term,
            is_unicode: is_unicode(|name| env::var(name).ok()),
            started: Instant::now(),
            counts: None,
            rate: Rate::default(),
            rows: has_rows.then(Vec::new),
            drawn: Vec::new(),
            drawn_at: None,
            is_closed: false,
        }));
        let weak = Arc::downgrade(&board);
        // Without the thread the bars change with the tasks only.
        let _ = thread::Builder::new().spawn(move || {
            while let Some(board) = weak.upgrade() {
                lock(&board).draw();
                drop(board);
                thread::sleep(TICK);
            }
        });
        Some(Self(board))
    }

    pub(crate) fn set_counts(&self, counts: Counts) {
        let mut board = lock(&self.0);
        board.counts = Some(counts);
        board.draw_soon();
    }

    pub(crate) fn set_row(&self, row: Row) {
        let mut board = lock(&self.0);
        let Some(rows) = &mut board.rows else { return };
        match rows.iter().position(|known| known.task_id == row.task_id) {
            Some(place) => rows[place] = row,
            None if rows.len() < MAX_ROWS => rows.push(row),
            None => board.rows = None,
        }
        board.draw_soon();
    }

    /// Runs `f`, which prints something, while the bars are hidden.
    pub(crate) fn suspend(&self, f: impl FnOnce()) {
        let mut board = lock(&self.0);
        board.erase();
        let _ = board.term.flush();
        f();
        board.draw();
    }

    /// Removes the line of the run as a whole. The bars of tasks stay on the terminal.
    pub(crate) fn close(&self) {
        let mut board = lock(&self.0);
        board.erase();
        let look = board.look();
        let rows = board.rows.take().unwrap_or_default();
        let fits = rows.len() + 2 <= board.height();
        let lines = if fits {
            row_lines(&rows, look)
        } else {
            Vec::new()
        };
        board.print(&lines);
        board.is_closed = true;
    }
}

impl Board {
    fn height(&self) -> usize {
        self.term.size().0.into()
    }

    fn look(&self) -> Look {
        Look {
            // Some terminals move the cursor to the next line after the last column.
            width: usize::from(self.term.size().1).saturating_sub(1),
            is_unicode: self.is_unicode,
            is_colored: console::colors_enabled_stderr(),
        }
    }

    fn draw_soon(&mut self) {
        if self
            .drawn_at
            .is_none_or(|drawn_at| drawn_at.elapsed() >= MIN_DRAW_GAP)
        {
            self.draw();
        }
    }

    fn draw(&mut self) {
        let Some(counts) = self.counts.filter(|_| !self.is_closed) else {
            return;
        };
        let elapsed = self.started.elapsed();
        let overview = Overview {
            counts,
            elapsed,
            rate: self.rate.sample(elapsed, counts.ended()),
            pause: traffic::pause_reason(),
        };
        let lines = compose(&overview, self.rows.as_deref(), self.height(), self.look());
        self.erase();
        self.print(&lines);
        self.drawn = lines.iter().map(|line| measure_text_width(line)).collect();
        self.drawn_at = Some(Instant::now());
    }

    fn print(&self, lines: &[String]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        // A closed standard error is no reason to fail.
        let _ = self.term.write_str(&text);
        let _ = self.term.flush();
    }

    /// Erases what was drawn, also if the terminal has become narrower and has wrapped the lines.
    fn erase(&mut self) {
        let rows = height_of(&self.drawn, self.term.size().1.into());
        let _ = self.term.move_cursor_up(rows);
        if !self.drawn.is_empty() {
            let _ = self.term.clear_to_end_of_screen();
        }
        self.drawn.clear();
    }
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the number of rows that lines of these widths take on a terminal, which wraps them.
fn height_of(lines: &[usize], width: usize) -> usize {
    let rows = lines.iter().map(|line| line.div_ceil(width.max(1)).max(1));
    rows.sum()
}

/// Returns the lines for a terminal: at most as many as it has, and one for the cursor.
fn compose(overview: &Overview, rows: Option<&[Row]>, height: usize, look: Look) -> Vec<String> {
    let mut lines = match rows {
        Some(rows) if rows.len() + 2 <= height => {
            let mut lines = row_lines(rows, look);
            lines.push(total_line(overview, look));
            lines
        }
        _ => overview.lines(look).into(),
    };
    lines.truncate(height.saturating_sub(1));
    lines
}

fn row_lines(rows: &[Row], look: Look) -> Vec<String> {
    let id_width = rows.iter().map(|row| row.task_id.to_string().len()).max();
    let id_width = id_width.unwrap_or_default();
    let text_width = rows.iter().map(|row| measure_text_width(&row.text)).max();
    let fixed = id_width + "    100 %  ".len() + text_width.unwrap_or_default();
    let free = look.width.saturating_sub(fixed);
    let line = |row: &Row| {
        let style = Style::new().fg(row.color);
        let bar = match free {
            MIN_BAR_WIDTH.. => {
                let fraction = f64::from(row.percent) / 100.0;
                bar(fraction, free.min(MAX_BAR_WIDTH), look, style.clone()) + "  "
            }
            _ => String::new(),
        };
        let id = format!("{:>id_width$}", row.task_id);
        let percent = format!("{:>3} %", row.percent);
        let text = style.force_styling(look.is_colored).apply_to(&row.text);
        let parts = vec![
            (3, id),
            (2, format!("{bar}{percent}")),
            (1, text.to_string()),
        ];
        fit(parts, "  ", look.width)
    };
    rows.iter().map(line).collect()
}

/// Returns the line below the bars of single tasks.
fn total_line(overview: &Overview, look: Look) -> String {
    let counts = overview.counts;
    let mut text = match counts.total {
        Some(total) => format!("{} of {total} finished", counts.ended()),
        None => format!("{} finished", counts.ended()),
    };
    text += &format!(" in {}", duration(overview.elapsed));
    if counts.failed > 0 {
        text += &format!(", {} failed", counts.failed);
    }
    let pause = overview.pause.as_ref().map(|pause| (2, pause.text()));
    let parts = [(1, text)].into_iter().chain(pause).collect();
    fit(parts, "; ", look.width)
}

/// Reports whether the terminal shows characters outside of ASCII.
fn is_unicode(variable: impl Fn(&str) -> Option<String>) -> bool {
    let value = |name| variable(name).filter(|value| !value.is_empty());
    if cfg!(windows) {
        // The old console shows only characters of its font and code page.
        return value("WT_SESSION").or_else(|| value("TERM")).is_some();
    }
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(value);
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::Pause;

    fn row(task_id: u64, percent: u8, text: &str) -> Row {
        Row {
            task_id,
            percent,
            text: text.to_owned(),
            color: Color::Cyan,
        }
    }

    fn look(width: usize, is_unicode: bool) -> Look {
        Look {
            width,
            is_unicode,
            is_colored: false,
        }
    }

    fn overview(failed: u64) -> Overview {
        Overview {
            counts: Counts {
                total: Some(3),
                failed,
                open: 3 - failed,
                ..Counts::default()
            },
            elapsed: Duration::from_secs(4),
            ..Overview::default()
        }
    }

    #[test]
    fn rows_fit_the_width() {
        let rows = [row(7, 0, "retrying"), row(403_316, 50, "in progress")];
        for (width, is_unicode, first, second) in [
            (
                79,
                true,
                "     7  ──────────────────────────────    0 %  retrying",
                "403316  ━━━━━━━━━━━━━━━╸──────────────   50 %  in progress",
            ),
            (
                39,
                false,
                "     7  -----------    0 %  retrying",
                "403316  =====>-----   50 %  in progress",
            ),
            (
                29,
                true,
                "     7    0 %  retrying",
                "403316   50 %  in progress",
            ),
            (19, true, "     7    0 %", "403316   50 %"),
            (4, true, "    ", "4033"),
        ] {
            let lines = row_lines(&rows, look(width, is_unicode));
            assert_eq!(lines, [first, second], "{width}");
        }
    }

    #[test]
    fn lines_fit_the_height() {
        let rows = [row(1, 0, ""), row(2, 0, ""), row(3, 0, "")];
        for (height, expected) in [(24, 4), (5, 4), (4, 2), (3, 2), (2, 1), (1, 0), (0, 0)] {
            let lines = compose(&overview(0), Some(&rows), height, look(79, true));
            assert_eq!(lines.len(), expected, "{height}");
        }
        assert_eq!(compose(&overview(0), None, 24, look(79, true)).len(), 2);
    }

    #[test]
    fn a_narrower_terminal_wraps_what_was_drawn() {
        for (width, expected) in [(80, 3), (79, 3), (40, 4), (39, 5), (1, 110), (0, 110)] {
            assert_eq!(height_of(&[79, 0, 30], width), expected, "{width}");
        }
        assert_eq!(height_of(&[], 80), 0);
    }

    #[test]
    fn total_shows_the_failures() {
        let mut overview = overview(2);
        assert_eq!(
            total_line(&overview, look(79, true)),
            "2 of 3 finished in 4s, 2 failed"
        );
        overview.pause = Some(Pause::RateLimited(Duration::from_secs(540)));
        assert_eq!(
            total_line(&overview, look(79, true)),
            "2 of 3 finished in 4s, 2 failed; rate limited, next request in 9 min"
        );
        assert_eq!(
            total_line(&overview, look(40, true)),
            "rate limited, next request in 9 min"
        );
    }

    /// The old console of Windows has a code page in place of a locale.
    #[cfg(windows)]
    #[test]
    fn characters_depend_on_the_terminal() {
        for (name, expected) in [("LANG", false), ("WT_SESSION", true), ("TERM", true)] {
            let variable = |known: &str| (known == name).then(|| "de_DE.UTF-8".to_owned());
            assert_eq!(is_unicode(variable), expected, "{name}");
        }
    }

    #[cfg(not(windows))]
    #[test]
    fn characters_depend_on_the_locale() {
        for (variables, expected) in [
            (&[][..], false),
            (&[("LANG", "de_DE.UTF-8")], true),
            (&[("LANG", "C.utf8")], true),
            (&[("LANG", "de_DE")], false),
            (&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")], false),
            (&[("LANG", "C"), ("LC_CTYPE", "UTF-8")], true),
            (&[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "")], true),
        ] {
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(is_unicode(variable), expected, "{variables:?}");
        }
    }
}
