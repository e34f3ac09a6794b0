//! The texts about a run as a whole: counts, rate, time left, and the reason of a pause. Pure.

use std::time::Duration;

use crate::image::Counts;

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
#[derive(Debug, Clone)]
pub(crate) struct RunStats {
    pub(crate) counts: Counts,
    /// Images that had ended before the run.
    pub(crate) ended_before: u64,
    pub(crate) elapsed: Duration,
    /// The time between two creations.
    pub(crate) create_gap: Duration,
    pub(crate) pause: Option<Pause>,
}

impl RunStats {
    /// Returns `12 of 54`.
    pub(crate) fn position(&self) -> String {
        format!("{} of {}", self.counts.ended(), self.counts.total())
    }

    /// Returns the percentage of ended images: 100 only when all have ended.
    pub(crate) fn percent(&self) -> u64 {
        self.counts.ended() * 100 / self.counts.total().max(1)
    }

    /// Returns rate and time left, as far as they are known.
    pub(crate) fn pace(&self) -> String {
        let rate = self.rate().map(|rate| format!("{rate:.1}/s"));
        let left = self.time_left();
        let left = left.map(|time| format!("{} left", duration(time)));
        let parts: Vec<_> = [rate, left].into_iter().flatten().collect();
        parts.join(", ")
    }

    /// Returns all in one line.
    pub(crate) fn line(&self) -> String {
        let (position, percent) = (self.position(), self.percent());
        let (counts, elapsed) = (self.counts.text(), duration(self.elapsed));
        let last = match &self.pause {
            Some(pause) => pause.text(),
            None => self.pace(),
        };
        let text = format!("{position} ({percent} %): {counts}; {elapsed}; {last}");
        text.trim_end_matches("; ").to_owned()
    }

    /// Returns how many images of this run have ended in a second; `None` before the first.
    fn rate(&self) -> Option<f64> {
        let ended = self.counts.ended().saturating_sub(self.ended_before);
        let seconds = self.elapsed.as_secs_f64();
        (seconds > 0.0 && ended > 0).then(|| ended as f64 / seconds)
    }

    /// Returns the time until all have ended: the creations that remain take their time, and so do the ends.
    fn time_left(&self) -> Option<Duration> {
        let counts = self.counts;
        let remaining = counts.new + counts.open;
        if remaining == 0 {
            return None;
        }
        let creations = self.create_gap.checked_mul(counts.new.try_into().ok()?)?;
        let ends = match self.rate() {
            Some(rate) => Duration::try_from_secs_f64(remaining as f64 / rate).ok()?,
            // Nothing is known about the ends, which matter little for a long list.
            None if counts.new <= counts.open => return None,
            None => Duration::ZERO,
        };
        Some(creations.max(ends))
    }
}

/// Returns a duration in about two units: `4s`, `12m 5s`, `1h 2m`, `3days 4h`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let unit = match seconds {
        0..3600 => 1,
        3600..86_400 => 60,
        _ => 3600,
    };
    humantime::format_duration(Duration::from_secs(seconds / unit * unit)).to_string()
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

    /// A run of two minutes, before which ten images had ended.
    fn stats(new: u64, open: u64, succeeded: u64) -> RunStats {
        RunStats {
            counts: Counts {
                new,
                open,
                succeeded,
                ..Counts::default()
            },
            ended_before: 10,
            elapsed: secs(120),
            create_gap: secs(1),
            pause: None,
        }
    }

    #[test]
    fn a_line_has_counts_and_the_time_of_the_slower_of_creations_and_ends() {
        for (new, open, succeeded, end) in [
            (33, 2, 490, "; 2m; 4.0/s, 33s left"),
            (10, 10, 70, "; 2m; 0.5/s, 40s left"),
            (4000, 0, 10, "; 2m; 1h 6m left"),
            (1, 7, 10, ": 1 new, 7 open, 10 succeeded; 2m"),
            (0, 0, 130, "130 of 130 (100 %): 130 succeeded; 2m; 1.0/s"),
            (u64::MAX / 200, 0, 130, "; 2m; 1.0/s"),
        ] {
            let line = stats(new, open, succeeded).line();
            assert!(line.ends_with(end), "{line}");
        }
        let mut stats = stats(2, 0, 10);
        stats.pause = Some(Pause::RateLimited(secs(540)));
        let line = stats.line();
        assert!(
            line.ends_with("; 2m; rate limited, next request in 9 min"),
            "{line}"
        );
    }

    #[test]
    fn durations_have_one_or_two_units() {
        for (seconds, two, one) in [
            (4, "4s", "4 s"),
            (725, "12m 5s", "13 min"),
            (3725, "1h 2m", "63 min"),
            (273_601, "3days 4h", "77 h"),
        ] {
            assert_eq!(duration(secs(seconds)), two);
            assert_eq!(round_up(secs(seconds)), one);
        }
    }
}
