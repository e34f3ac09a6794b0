//! The end of a run: its summary and its exit code; and the pause that the next run keeps.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::run::Run;
use super::stop::Stop;
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, explain};
use crate::image::{Counts, State};
use crate::list::printable;
use crate::output::{Event, Form};
use crate::stats::duration;
use crate::store::CUT_OFF;

/// The key of the end of a pause in the state, in seconds since 1970.
const PAUSED_UNTIL: &str = "paused_until";

impl Run {
    /// Takes the pause over that an earlier run was told.
    pub(super) fn restore_pause(&mut self) -> Result<(), Failure> {
        let text = self.store.meta(PAUSED_UNTIL)?;
        let seconds = text.and_then(|text| text.parse().ok());
        let end = seconds.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        let remaining = end.and_then(|end| end.duration_since(SystemTime::now()).ok());
        self.paused_until = remaining.and_then(|remaining| Instant::now().checked_add(remaining));
        if let Some(until) = self.paused_until {
            self.observer.pause_until(until);
        }
        Ok(())
    }

    /// Records the end of a pause that the service has demanded, for the next run.
    pub(super) fn save_pause(&mut self) -> Result<(), Failure> {
        let until = self.observer.paused_until();
        if until > self.paused_until {
            self.paused_until = until;
            let remaining = until.map(|until| until.saturating_duration_since(Instant::now()));
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let end = now.unwrap_or_default() + remaining.unwrap_or_default();
            self.store
                .set_meta(PAUSED_UNTIL, &end.as_secs().to_string())?;
        }
        Ok(())
    }

    /// Ends the run in the middle of a request, and returns the exit code.
    pub(super) fn end_at_once(&mut self, stop: Stop) -> u8 {
        self.timed_out |= stop == Stop::Timeout;
        if let Err(failure) = self.close(Some(stop))
            && let Some(text) = failure.text()
        {
            let _ = self.output.show(&Event::Error(&text));
        }
        match stop {
            Stop::Timeout => self.exit_status().code(),
            Stop::Signal(signal) => signal.exit_code(),
        }
    }

    /// Closes the state, and prints the summary.
    pub(super) fn close(&mut self, stop: Option<Stop>) -> Result<(), Failure> {
        if self.is_closed {
            return Ok(());
        }
        self.is_closed = true;
        let settled = self.settle_creation().and(self.save_pause());
        self.output.close();
        let left = self.store.counts_left().unwrap_or_default();
        let closed = self.store.close();
        self.print_summary(stop, left)?;
        settled?;
        Ok(closed?)
    }

    /// Decides about a creation without a response: new if it was not sent, else unknown.
    fn settle_creation(&mut self) -> Result<(), Failure> {
        if !self.observer.is_creation_sent() {
            return self.retract();
        }
        if let Some(mut current) = self.current.take_if(|current| current.is_announced) {
            let url = printable(&current.image.given);
            let text = format!("the creation was cut off: a task may exist for {url}");
            self.output.show(&Event::Error(&text))?;
            self.store.change(&mut current.image, |image| {
                image.state = State::Unknown;
                image.reason = Some(CUT_OFF.to_owned());
            })?;
        }
        Ok(())
    }

    fn print_summary(&mut self, stop: Option<Stop>, left: Counts) -> Result<(), Failure> {
        if let Some(error) = &self.stopped_by {
            let text = match self.has_ended {
                true => explain(error),
                false => format!("{}\n  No further task was created.", explain(error)),
            };
            self.output.show(&Event::Error(&text))?;
        }
        if self.forgotten > 0 && self.known == 0 {
            let text =
                "the service knows no task of this run: does the token belong to another account?";
            self.output.show(&Event::Error(text))?;
        }
        let counts = self.store.counts();
        // A single result is its own summary.
        if self.plan.form == Form::List || counts.total() > 1 || stop.is_some() {
            let text = self.summary(stop, counts, left);
            self.output.show(&Event::Note(&text))?;
        }
        let options = report_options(counts);
        if let Some(report) = self.plan.report.as_ref().filter(|_| !options.is_empty()) {
            let text = format!("see `{report}{options}`");
            self.output.show(&Event::Note(&text))?;
        }
        Ok(())
    }

    fn summary(&self, stop: Option<Stop>, counts: Counts, left: Counts) -> String {
        let what = match stop {
            Some(Stop::Signal(_)) => "interrupted: ",
            Some(Stop::Timeout) => "timed out: ",
            None if self.is_late() => "timed out: ",
            None => "",
        };
        let total = counts.total();
        let noun = if self.plan.form.is_tasks() {
            "task"
        } else {
            "image"
        };
        let plural = if total == 1 { "" } else { "s" };
        let elapsed = duration(self.started.elapsed());
        let text = match self.plan.limits.follows {
            true => counts.text(),
            // Nothing is known about their progress.
            false => counts.text().replace(" open", " created"),
        };
        let mut summary = format!("{what}{total} {noun}{plural} in {elapsed}: {text}");
        let reason = self.observer.last_reason();
        if let Some(reason) = reason.filter(|_| !what.is_empty()) {
            summary += &format!("; {}", reason.text());
        }
        if left.total() > 0 {
            summary += &format!("; no longer in the list: {}", left.text());
        }
        if counts.open + left.open > 0 {
            summary += "; the tasks go on at the service";
        }
        summary
    }

    fn is_late(&self) -> bool {
        let counts = self.store.counts();
        let is_unfinished = counts.new > 0 || counts.open > 0;
        self.timed_out && is_unfinished && self.plan.form != Form::TasksOnce
    }

    pub(super) fn exit_status(&self) -> ExitStatus {
        let timed_out = match self.is_late() {
            true => ExitStatus::TimedOut,
            false => ExitStatus::Succeeded,
        };
        let of_counts = ExitStatus::of_counts(self.store.counts());
        self.status.max(of_counts).max(timed_out)
    }
}

/// Returns the options of `report` that list what did not succeed.
fn report_options(counts: Counts) -> String {
    [
        State::Failed,
        State::Refused,
        State::Unknown,
        State::Invalid,
    ]
    .iter()
    .filter(|state| counts.get(**state) > 0)
    .map(|state| format!(" --{}", state.name()))
    .collect()
}
