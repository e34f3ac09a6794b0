//! The text of a run as a whole: counts, rate, remaining time, and the reason of a pause. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use console::{Style, measure_text_width, truncate_str};

/// Maximum and minimum width of a bar, in columns.
const MAX_BAR_WIDTH: usize = 30;
const MIN_BAR_WIDTH: usize = 8;

/// A terminal of fewer columns has no bar.
const NARROW: usize = 40;

/// The time over which the rate is measured, and the interval of its samples.
const RATE_WINDOW: Duration = Duration::from_secs(5 * 60);
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// The progress of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// The number of tasks or URLs of the whole run; `None` while the list is being read.
    pub(crate) total: Option<u64>,
    /// Created tasks, where the run creates any.
    pub(crate) created: Option<u64>,
    /// The run only creates tasks: `succeeded` counts created ones.
    pub(crate) only_creates: bool,
    pub(crate) succeeded: u64,
    /// Failed, refused, or no longer followed.
    pub(crate) failed: u64,
    /// Existing tasks without an end.
    pub(crate) open: u64,
}

impl Counts {
    pub(crate) fn ended(self) -> u64 {
        self.succeeded + self.failed
    }

    fn is_complete(self) -> bool {
        self.total == Some(self.ended())
    }
}

/// The reason for which no request succeeds at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pause {
    /// The service has sent a 429; the next request is sent after this time.
    RateLimited(Duration),
    /// Requests have failed in a row for this time.
    Failing { error: String, elapsed: Duration },
}

impl Pause {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::RateLimited(delay) => {
                format!("rate limited, next request in {}", rough(*delay))
            }
            Self::Failing { error, elapsed } => format!("{error} for {}", rough(*elapsed)),
        }
    }

    /// Returns a text for a narrow terminal.
    fn short_text(&self) -> String {
        match self {
            Self::RateLimited(delay) => format!("next in {}", rough(*delay)),
            Self::Failing { error, .. } => error.clone(),
        }
    }
}

/// The data of the texts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overview {
    pub(crate) counts: Counts,
    pub(crate) elapsed: Duration,
    /// Ends a second; `None` if nothing has ended yet.
    pub(crate) rate: Option<f64>,
    pub(crate) pause: Option<Pause>,
}

/// The abilities of a terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) width: usize,
    pub(crate) is_unicode: bool,
    pub(crate) is_colored: bool,
}

/// A part of a line. If the line is too long, the part with the least weight is left out.
type Part = (u8, String);

impl Overview {
    /// Returns two lines that fit the terminal: the bar, and the counts.
    pub(crate) fn lines(&self, look: Look) -> [String; 2] {
        let mut parts = vec![(3, self.position()), (2, duration(self.elapsed))];
        if let Some(percent) = self.percent() {
            parts.insert(0, (4, format!("{percent} %")));
        }
        match (&self.pause, self.rate) {
            (Some(pause), _) if look.width < NARROW => parts.push((5, pause.short_text())),
            (Some(pause), _) => parts.push((5, pause.text())),
            (None, Some(rate)) => {
                parts.push((1, format!("{rate:.1}/s")));
                parts.extend(self.remaining_time().map(|time| (5, time)));
            }
            (None, None) => {}
        }
        let reserved = if look.width < NARROW {
            0
        } else {
            MIN_BAR_WIDTH + 2
        };
        let text = fit(parts, "  ", look.width - reserved);
        let free = look.width.saturating_sub(measure_text_width(&text) + 2);
        let bar = match self.fraction() {
            Some(fraction) if free >= MIN_BAR_WIDTH => {
                bar(fraction, free.min(MAX_BAR_WIDTH), look, Style::new().cyan()) + "  "
            }
            _ => String::new(),
        };
        let counts = fit(self.count_parts(), ", ", look.width);
        [bar + &text, counts]
    }

    /// Returns all in one line.
    pub(crate) fn line(&self) -> String {
        let counts: Vec<_> = self
            .count_parts()
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        let mut text = self.position();
        if let Some(percent) = self.percent() {
            text += &format!(" ({percent} %)");
        }
        text += &format!(": {}; {}", counts.join(", "), duration(self.elapsed));
        match (&self.pause, self.rate) {
            (Some(pause), _) => text += &format!("; {}", pause.text()),
            (None, Some(rate)) => {
                text += &format!(", {rate:.1}/s");
                if let Some(time) = self.remaining_time() {
                    text += &format!(", {time}");
                }
            }
            (None, None) => {}
        }
        text
    }

    fn count_parts(&self) -> Vec<Part> {
        let Counts {
            created,
            succeeded,
            failed,
            open,
            ..
        } = self.counts;
        if self.counts.only_creates {
            let created = (3, format!("{succeeded} created"));
            return vec![created, (4, format!("{failed} failed"))];
        }
        let created = created.map(|created| (1, format!("{created} created")));
        created
            .into_iter()
            .chain([
                (3, format!("{succeeded} succeeded")),
                (4, format!("{failed} failed")),
                (2, format!("{open} open")),
            ])
            .collect()
    }

    fn position(&self) -> String {
        let ended = self.counts.ended();
        let name = match self.counts.only_creates {
            true => "done",
            false => "ended",
        };
        match self.counts.total {
            Some(total) => format!("{ended} of {total} {name}"),
            None => format!("{ended} {name}"),
        }
    }

    fn fraction(&self) -> Option<f64> {
        let total = self.counts.total.filter(|total| *total > 0)?;
        Some((self.counts.ended() as f64 / total as f64).min(1.0))
    }

    /// Returns the percentage of ended tasks: 100 only when all have ended.
    fn percent(&self) -> Option<u8> {
        self.fraction()
            .map(|fraction| (fraction * 100.0).floor() as u8)
    }

    fn remaining_time(&self) -> Option<String> {
        if self.counts.is_complete() {
            return None;
        }
        let remaining_tasks = self.counts.total?.saturating_sub(self.counts.ended());
        let seconds = remaining_tasks as f64 / self.rate.filter(|rate| *rate > 0.0)?;
        let remaining = Duration::try_from_secs_f64(seconds).ok()?;
        Some(format!("{} left", duration(remaining)))
    }
}

/// Joins the parts that fit into the width, by their weight. The last one left is cut.
pub(crate) fn fit(mut parts: Vec<Part>, separator: &str, width: usize) -> String {
    loop {
        let texts: Vec<_> = parts.iter().map(|(_, text)| text.as_str()).collect();
        let text = texts.join(separator);
        if measure_text_width(&text) <= width {
            return text;
        }
        if parts.len() == 1 {
            return truncate_str(&text, width, "").into_owned();
        }
        let least = parts
            .iter()
            .enumerate()
            .min_by_key(|(_, (weight, _))| *weight);
        let place = least.map_or(0, |(place, _)| place);
        parts.remove(place);
    }
}

/// Returns a bar of this width.
pub(crate) fn bar(fraction: f64, width: usize, look: Look, style: Style) -> String {
    let [full, head, empty] = match look.is_unicode {
        true => ["━", "╸", "─"],
        false => ["=", ">", "-"],
    };
    let filled = (fraction * width as f64).floor() as usize;
    let mut done = full.repeat(filled.min(width));
    let mut rest = width.saturating_sub(filled);
    if filled > 0 && rest > 0 {
        done += head;
        rest -= 1;
    }
    let done = style.force_styling(look.is_colored).apply_to(done);
    format!("{done}{}", empty.repeat(rest))
}

/// Returns a duration in its two largest units: `4s`, `12m 05s`, `1h 02m`, `3d 04h`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// Returns a duration in one unit, rounded up: `45 s`, `9 min`, `3 h`.
fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    match seconds {
        0..=90 => format!("{seconds} s"),
        91..=5400 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3600)),
    }
}

/// Measures how many tasks end in a second, over the last five minutes.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    samples: VecDeque<(Duration, u64)>,
}

impl Rate {
    /// Records how many have ended since the start of the run, and returns the rate.
    pub(crate) fn sample(&mut self, elapsed: Duration, ended: u64) -> Option<f64> {
        let last = self.samples.back().map(|(time, _)| *time);
        if last.is_none_or(|last| elapsed.saturating_sub(last) >= SAMPLE_INTERVAL) {
            self.samples.push_back((elapsed, ended));
        }
        let is_old = |sample: &(Duration, u64)| elapsed.saturating_sub(sample.0) >= RATE_WINDOW;
        while self.samples.len() > 1 && self.samples.front().is_some_and(is_old) {
            self.samples.pop_front();
        }
        let (since, before) = *self.samples.front()?;
        let seconds = elapsed.saturating_sub(since).as_secs_f64();
        let new = ended.saturating_sub(before);
        (seconds > 0.0 && new > 0).then(|| new as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn look(width: usize, is_unicode: bool) -> Look {
        Look {
            width,
            is_unicode,
            is_colored: false,
        }
    }

    fn overview() -> Overview {
        Overview {
            counts: Counts {
                total: Some(20_000),
                created: Some(1300),
                only_creates: false,
                succeeded: 1200,
                failed: 34,
                open: 66,
            },
            elapsed: secs(1260),
            rate: Some(0.98),
            pause: None,
        }
    }

    #[test]
    fn lines_fit_the_width() {
        let counts = "1300 created, 1200 succeeded, 34 failed, 66 open";
        for (width, first, second) in [
            (
                100,
                "━╸────────────────────────────  6 %  1234 of 20000 ended  21m 00s  1.0/s  5h 19m left",
                counts,
            ),
            (
                79,
                "━╸──────────────────────  6 %  1234 of 20000 ended  21m 00s  1.0/s  5h 19m left",
                counts,
            ),
            (
                59,
                "───────────  6 %  1234 of 20000 ended  21m 00s  5h 19m left",
                counts,
            ),
            (
                39,
                "6 %  1234 of 20000 ended  5h 19m left",
                "1200 succeeded, 34 failed, 66 open",
            ),
            (19, "6 %  5h 19m left", "34 failed"),
            (8, "5h 19m l", "34 faile"),
            (0, "", ""),
        ] {
            let lines = overview().lines(look(width, true));
            assert_eq!(lines, [first, second], "{width}");
        }
        for width in 0..200 {
            for pause in [None, Some(Pause::RateLimited(secs(540)))] {
                for line in (Overview {
                    pause,
                    ..overview()
                })
                .lines(look(width, true))
                {
                    assert!(measure_text_width(&line) <= width, "{width}: {line}");
                }
            }
        }
    }

    #[test]
    fn first_line_shows_the_reason_of_a_pause() {
        let limited = Pause::RateLimited(secs(535));
        let failing = Pause::Failing {
            error: "HTTP 502".to_owned(),
            elapsed: secs(40),
        };
        for (width, pause, expected) in [
            (
                79,
                limited.clone(),
                "----------------  6 %  1234 of 20000 ended  rate limited, next request in 9 min",
            ),
            (
                59,
                limited.clone(),
                "=>---------------  6 %  rate limited, next request in 9 min",
            ),
            (19, limited, "6 %  next in 9 min"),
            (
                79,
                failing,
                "=>-----------------------  6 %  1234 of 20000 ended  21m 00s  HTTP 502 for 40 s",
            ),
        ] {
            let overview = Overview {
                pause: Some(pause),
                ..overview()
            };
            assert_eq!(overview.lines(look(width, false))[0], expected);
        }
    }

    #[test]
    fn line_has_all_parts() {
        let counts = "1234 of 20000 ended (6 %): 1300 created, 1200 succeeded, 34 failed, 66 open";
        let overview = overview();
        assert_eq!(
            overview.line(),
            format!("{counts}; 21m 00s, 1.0/s, 5h 19m left")
        );
        let limited = Overview {
            pause: Some(Pause::RateLimited(secs(30))),
            ..overview.clone()
        };
        assert_eq!(
            limited.line(),
            format!("{counts}; 21m 00s; rate limited, next request in 30 s")
        );
        let streaming = Overview {
            counts: Counts {
                total: None,
                created: None,
                ..overview.counts
            },
            rate: None,
            ..overview
        };
        assert_eq!(
            streaming.line(),
            "1234 ended: 1200 succeeded, 34 failed, 66 open; 21m 00s"
        );
    }

    #[test]
    fn creations_are_done_and_not_ended() {
        let counts = Counts {
            total: Some(60),
            only_creates: true,
            succeeded: 11,
            failed: 1,
            ..Counts::default()
        };
        let overview = Overview {
            counts,
            elapsed: secs(12),
            rate: Some(1.0),
            pause: None,
        };
        assert_eq!(
            overview.line(),
            "12 of 60 done (20 %): 11 created, 1 failed; 12s, 1.0/s, 48s left"
        );
        let [first, second] = overview.lines(look(59, false));
        assert_eq!(
            first,
            "===>------------  20 %  12 of 60 done  12s  1.0/s  48s left"
        );
        assert_eq!(second, "11 created, 1 failed");
    }

    #[test]
    fn percentage_is_100_only_at_the_end() {
        for (ended, total, percent) in [(0, 3, 0), (2, 3, 66), (19_999, 20_000, 99), (3, 3, 100)] {
            let counts = Counts {
                total: Some(total),
                succeeded: ended,
                ..Counts::default()
            };
            let overview = Overview {
                counts,
                ..Overview::default()
            };
            assert_eq!(overview.percent(), Some(percent));
        }
        assert_eq!(Overview::default().percent(), None);
    }

    #[test]
    fn durations() {
        for (seconds, expected) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 00s"),
            (3661, "1h 01m"),
            (86_399, "23h 59m"),
            (273_600, "3d 04h"),
        ] {
            assert_eq!(duration(secs(seconds)), expected);
        }
        for (seconds, expected) in [
            (0, "0 s"),
            (90, "90 s"),
            (91, "2 min"),
            (600, "10 min"),
            (5401, "2 h"),
        ] {
            assert_eq!(rough(secs(seconds)), expected);
        }
        assert_eq!(rough(Duration::from_millis(500)), "1 s");
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(fit(vec![(1, "图片图片".to_owned())], " ", 5), "图片");
    }

    #[test]
    fn rate_follows_the_last_five_minutes() {
        let mut rate = Rate::default();
        assert_eq!(rate.sample(secs(0), 0), None);
        assert_eq!(rate.sample(secs(10), 20), Some(2.0));
        assert_eq!(rate.sample(secs(20), 20), Some(1.0));
        // After a pause of an hour, the earlier ends no longer count.
        assert_eq!(rate.sample(secs(3620), 20), None);
        assert_eq!(rate.sample(secs(3630), 60), Some(4.0));
    }
}
