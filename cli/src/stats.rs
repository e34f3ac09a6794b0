//! The texts about a run as a whole: counts, rate, time left, and the reason of a pause. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::image::Counts;

/// The time over which the rate is measured, and the interval of its samples.
const RATE_WINDOW: Duration = Duration::from_secs(5 * 60);
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// The reason for which no request succeeds at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pause {
    /// The service wants no request for this time.
    RateLimited(Duration),
    /// Requests have failed in a row for this time.
    Failing { error: String, elapsed: Duration },
}

impl Pause {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::RateLimited(delay) => {
                format!("rate limited, next request in {}", round_up(*delay))
            }
            Self::Failing { error, elapsed } => format!("{error} for {}", round_up(*elapsed)),
        }
    }
}

/// The progress of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunStats {
    pub(crate) counts: Counts,
    pub(crate) elapsed: Duration,
    /// Ends a second; `None` if nothing has ended in this run.
    pub(crate) rate: Option<f64>,
    pub(crate) time_left: Option<Duration>,
    pub(crate) pause: Option<Pause>,
}

impl RunStats {
    /// Returns `12 of 54`.
    pub(crate) fn position(&self) -> String {
        format!("{} of {}", self.counts.ended(), self.counts.total())
    }

    /// Returns the percentage of ended images: 100 only when all have ended.
    pub(crate) fn percent(&self) -> u64 {
        match self.counts.total() {
            0 => 0,
            total => self.counts.ended() * 100 / total,
        }
    }

    /// Returns rate and time left, or the reason of a pause.
    pub(crate) fn pace(&self) -> String {
        if let Some(pause) = &self.pause {
            return pause.text();
        }
        let rate = self.rate.map(|rate| format!("{rate:.1}/s"));
        let left = self
            .time_left
            .map(|time| format!("{} left", duration(time)));
        let parts: Vec<_> = [rate, left].into_iter().flatten().collect();
        parts.join(", ")
    }

    /// Returns all in one line.
    pub(crate) fn line(&self) -> String {
        let (position, percent) = (self.position(), self.percent());
        let (counts, elapsed) = (self.counts.text(), duration(self.elapsed));
        let mut text = format!("{position} ({percent} %): {counts}; {elapsed}");
        let pace = self.pace();
        if !pace.is_empty() {
            text += &format!("; {pace}");
        }
        text
    }
}

/// Returns the time until all have ended: the creations that remain take their time, and so do the ends.
pub(crate) fn time_left(
    counts: Counts,
    rate: Option<f64>,
    create_gap: Duration,
) -> Option<Duration> {
    let remaining = counts.new + counts.open;
    if remaining == 0 {
        return None;
    }
    let creations = create_gap.checked_mul(u32::try_from(counts.new).ok()?)?;
    let ends = match rate {
        Some(rate) => Duration::try_from_secs_f64(remaining as f64 / rate).ok()?,
        // Nothing is known about the ends, which matter little for a long list.
        None if counts.new <= counts.open => return None,
        None => Duration::ZERO,
    };
    Some(creations.max(ends))
}

/// Measures how many images end in a second, over the last five minutes.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    samples: VecDeque<(Duration, u64)>,
}

impl Rate {
    /// Records how many have ended, and returns the rate.
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
pub(crate) fn round_up(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    match seconds {
        0..=90 => format!("{seconds} s"),
        91..=5400 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn counts(new: u64, open: u64, succeeded: u64) -> Counts {
        Counts {
            new,
            open,
            succeeded,
            ..Counts::default()
        }
    }

    #[test]
    fn time_left_is_that_of_the_slower_of_creations_and_ends() {
        for (counts, rate, gap, expected) in [
            // 33 to create at one a second, although the ends of the others came fast.
            (counts(33, 2, 10), Some(4.0), secs(1), Some(secs(33))),
            (counts(10, 10, 5), Some(0.5), secs(1), Some(secs(40))),
            (counts(10, 0, 0), None, secs(1), Some(secs(10))),
            (counts(1, 7, 0), None, secs(1), None),
            (counts(0, 0, 7), Some(1.0), secs(1), None),
            (counts(u64::MAX / 2, 0, 0), Some(1.0), secs(1), None),
            (counts(2, 0, 0), Some(1.0), Duration::MAX, None),
        ] {
            assert_eq!(time_left(counts, rate, gap), expected, "{counts:?}");
        }
    }

    #[test]
    fn a_line_has_counts_and_pace() {
        let mut stats = RunStats {
            counts: counts(20, 4, 10),
            elapsed: secs(125),
            rate: Some(0.96),
            time_left: Some(secs(61)),
            pause: None,
        };
        assert_eq!(
            stats.line(),
            "10 of 34 (29 %): 20 new, 4 open, 10 succeeded; 2m 05s; 1.0/s, 1m 01s left"
        );
        stats.pause = Some(Pause::RateLimited(secs(540)));
        assert!(
            stats
                .line()
                .ends_with("; rate limited, next request in 9 min")
        );
        let error = "HTTP 502".to_owned();
        let elapsed = secs(45);
        stats.pause = Some(Pause::Failing { error, elapsed });
        assert!(stats.line().ends_with("; HTTP 502 for 45 s"));
        assert_eq!(RunStats::default().line(), "0 of 0 (0 %): nothing; 0s");
    }

    #[test]
    fn rate_counts_the_last_five_minutes() {
        let mut rate = Rate::default();
        assert_eq!(rate.sample(secs(0), 100), None);
        assert_eq!(rate.sample(secs(10), 120), Some(2.0));
        // The samples before are too old.
        assert_eq!(rate.sample(secs(310), 420), None);
        assert_eq!(rate.sample(secs(320), 430), Some(1.0));
    }

    #[test]
    fn durations_have_one_or_two_units() {
        for (seconds, two, one) in [
            (4, "4s", "4 s"),
            (725, "12m 05s", "13 min"),
            (3720, "1h 02m", "62 min"),
            (273_600, "3d 04h", "76 h"),
        ] {
            assert_eq!(duration(secs(seconds)), two);
            assert_eq!(round_up(secs(seconds)), one);
        }
    }
}
