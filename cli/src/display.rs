//! Progress on a terminal, drawn on standard error: a bar for each of a few tasks, or one for the whole run.

use std::collections::HashMap;
use std::env;

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use pan123_offline::Status;

use crate::image::{Image, State};
use crate::list::printable;
use crate::output::Event;
use crate::stats::{RunStats, duration};

/// The maximum number of tasks that have a bar each.
const MAX_ROWS: usize = 19;
/// Width of a bar, and the width of a terminal below which there is none.
const BAR_WIDTH: usize = 24;
const MIN_WIDTH: u16 = 60;
/// Maximum number of characters of an image's name.
const MAX_LABEL_LEN: usize = 24;

/// Bars on a terminal.
pub(crate) struct Bars {
    multi: MultiProgress,
    /// The bars of tasks, by the rows of the state; `None` if there are too many.
    rows: Option<HashMap<i64, ProgressBar>>,
    total: ProgressBar,
    counts: ProgressBar,
    look: TermStyle,
    _quiet_keys: Option<QuietKeys>,
}

/// The characters of bars, and whether there is room for them.
#[derive(Debug, Clone, Copy)]
struct TermStyle {
    is_unicode: bool,
    has_bar: bool,
}

impl Bars {
    /// Starts the bars of a run with this number of tasks; `None` if standard error is no terminal with a movable
    /// cursor.
    pub(crate) fn new(tasks: usize) -> Option<Self> {
        let term = Term::stderr();
        let can_move_cursor = match env::var_os("TERM") {
            Some(name) => name != "dumb",
            None => cfg!(windows),
        };
        if !term.is_term() || !can_move_cursor {
            return None;
        }
        let (height, width) = term.size();
        let fits = tasks <= MAX_ROWS && tasks + 3 <= usize::from(height);
        let look = TermStyle {
            is_unicode: is_unicode(|name| env::var(name).ok()),
            has_bar: width >= MIN_WIDTH,
        };
        let multi = MultiProgress::new();
        let total = multi.add(bar(100, "cyan", "", look));
        let counts = multi.add(ProgressBar::new(0).with_style(style("{wide_msg}", look)));
        Some(Self {
            multi,
            rows: fits.then(HashMap::new),
            total,
            counts,
            look,
            _quiet_keys: QuietKeys::new(),
        })
    }

    pub(crate) fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Created(image) => self.show_row(image, None),
            Event::Changed {
                image,
                progress,
                error,
            } => {
                let status = match error {
                    Some(_) => None,
                    None => progress.map(|progress| progress.status),
                };
                if let Some(progress) = progress {
                    self.show_row(image, Some(progress.status));
                } else if image.task_id.is_some() || error.is_some() {
                    self.show_row(image, status);
                }
            }
            Event::Tick(stats) => self.show_stats(stats),
            Event::Error(_) | Event::Note(_) => {}
        }
    }

    /// Shows an image in a bar of its own.
    fn show_row(&mut self, image: &Image, status: Option<Status>) {
        let Some(rows) = &mut self.rows else { return };
        let look = self.look;
        let row = rows.entry(image.id).or_insert_with(|| {
            let row = bar(100, "cyan", "{prefix:24!}  ", look);
            // Before it has its place, it would be drawn on its own.
            let row = self.multi.insert_before(&self.total, row);
            row.set_prefix(label(image));
            row
        });
        let (text, color) = match (image.state, status) {
            (State::Succeeded, _) => ("succeeded".to_owned(), "green"),
            (State::Failed, _) => ("failed".to_owned(), "red"),
            (State::Open, Some(status)) => (status.to_string(), "cyan"),
            (State::Open, None) if image.reason.is_some() => ("error".to_owned(), "red"),
            (State::Open, None) => ("waiting".to_owned(), "cyan"),
            (state, _) => (state.name().to_owned(), "yellow"),
        };
        let percent = image.percent.unwrap_or_default();
        row.set_style(row_style("{prefix:24!}  ", color, look));
        row.set_position(percent.into());
        row.set_message(format!("{percent:>3} %  {text}"));
    }

    fn show_stats(&self, stats: &RunStats) {
        let percent = stats.percent();
        let pace = stats.pace();
        let mut first = format!(
            "{percent:>3} %  {}  {}",
            stats.position(),
            duration(stats.elapsed)
        );
        let mut second = stats.counts.text();
        match &stats.pause {
            Some(pause) => second = format!("{}; {second}", pause.text()),
            None => first += &format!("  {pace}"),
        }
        self.total.set_position(percent);
        self.total.set_message(first);
        self.counts.set_message(second);
    }

    /// Runs `f`, which prints something, while the bars are hidden.
    pub(crate) fn suspend<T>(&self, f: impl FnOnce() -> T) -> T {
        self.multi.suspend(f)
    }

    /// Removes the lines of the run as a whole. The bars of tasks stay on the terminal.
    pub(crate) fn close(self) {
        self.counts.finish_and_clear();
        self.total.finish_and_clear();
        for row in self.rows.into_iter().flatten() {
            row.1.abandon();
        }
    }
}

/// Keeps the terminal from writing `^C` among the bars, until it is dropped.
#[cfg(unix)]
struct QuietKeys(rustix::termios::Termios);

#[cfg(unix)]
impl QuietKeys {
    fn new() -> Option<Self> {
        use rustix::termios::{LocalModes, tcgetattr};

        let saved = tcgetattr(std::io::stdin()).ok()?;
        let mut changed = saved.clone();
        changed.local_modes.remove(LocalModes::ECHOCTL);
        set_terminal(&changed)?;
        Some(Self(saved))
    }
}

#[cfg(unix)]
impl Drop for QuietKeys {
    fn drop(&mut self) {
        set_terminal(&self.0);
    }
}

/// Changes the terminal of standard input. In the background the system would stop the process.
#[cfg(unix)]
fn set_terminal(state: &rustix::termios::Termios) -> Option<()> {
    use rustix::process::getpgrp;
    use rustix::termios::{OptionalActions, tcgetpgrp, tcsetattr};

    let stdin = std::io::stdin();
    let is_foreground = tcgetpgrp(&stdin).ok()? == getpgrp();
    is_foreground.then(|| tcsetattr(&stdin, OptionalActions::Now, state).ok())?
}

#[cfg(not(unix))]
struct QuietKeys;

#[cfg(not(unix))]
impl QuietKeys {
    fn new() -> Option<Self> {
        None
    }
}

fn bar(len: u64, color: &str, before: &str, look: TermStyle) -> ProgressBar {
    ProgressBar::new(len).with_style(row_style(before, color, look))
}

fn row_style(before: &str, color: &str, look: TermStyle) -> ProgressStyle {
    let bar = match look.has_bar {
        true => format!("{{bar:{BAR_WIDTH}.{color}}}  "),
        false => String::new(),
    };
    style(&format!("{before}{bar}{{wide_msg}}"), look)
}

fn style(template: &str, look: TermStyle) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars(if look.is_unicode { "━╸─" } else { "=>-" })
}

/// Returns the name of an image in its bar: the last part of the URL's path, or the task id where there is no URL.
fn label(image: &Image) -> String {
    let path = image.given.split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let label = match (last, image.task_id) {
        ("", Some(task_id)) => task_id.to_string(),
        ("", None) => printable(&image.given),
        (last, _) => printable(last),
    };
    label.chars().take(MAX_LABEL_LEN).collect()
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
