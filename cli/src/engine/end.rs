//! The end of a run: when it comes, its summary and its exit code.

use super::Stop;
use super::run::Run;
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, explain};
use crate::image::{Counts, State};
use crate::list::printable;
use crate::output::Form;
use crate::stats::duration;
use crate::store::CUT_OFF;

impl Run {
    /// Decides whether the run ends now, in the middle of a request, or after the creation that is under way.
    pub(super) fn ends_at_once(&mut self, stop: Stop) -> Result<bool, Failure> {
        if let Some(Stop::Signal(_)) = self.stop {
            // The second signal.
            return match stop {
                Stop::Signal(_) => self.cut_off_creation().map(|()| true),
                Stop::Timeout => Ok(false),
            };
        }
        self.stop = Some(stop);
        let is_creating = self.is_announced();
        if is_creating && stop != Stop::Timeout {
            let text = "ends after the request that is under way; another signal ends at once";
            self.output.note(text);
        }
        Ok(!is_creating)
    }

    /// Records that a task may exist of the creation without a response.
    pub(super) fn cut_off_creation(&mut self) -> Result<(), Failure> {
        let is_announced = self.is_announced();
        if let Some(mut image) = self.current.take_if(|_| is_announced) {
            let url = printable(&image.given);
            let text = format!("the creation was cut off: a task may exist for {url}");
            self.output.error(&text);
            self.store.change(&mut image, |image| {
                image.state = State::Unknown;
                image.reason = Some(CUT_OFF.to_owned());
            })?;
        }
        Ok(())
    }

    /// Closes the state, and prints the summary.
    pub(super) fn close(&mut self) -> Result<(), Failure> {
        let saved = self.save_pause();
        self.output.close();
        let left = self.store.counts_left().unwrap_or_default();
        let closed = self.store.close();
        self.print_summary(left)?;
        saved.and(closed.map_err(Failure::from))
    }

    fn print_summary(&mut self, left: Counts) -> Result<(), Failure> {
        if let Some(error) = &self.stopped_by {
            let text = match self.has_ended {
                true => explain(error),
                false => format!("{}\n  No further task was created.", explain(error)),
            };
            self.output.error(&text);
        }
        if self.forgotten > 0 && self.known == 0 {
            let text =
                "the service knows no task of this run: does the token belong to another account?";
            self.output.error(text);
        }
        let counts = self.store.counts();
        // A single result is its own summary.
        if self.plan.form == Form::List || counts.total() > 1 || self.stop.is_some() {
            let text = self.summary(counts, left);
            self.output.note(&text);
        }
        let missed = [
            State::Failed,
            State::Refused,
            State::Unknown,
            State::Invalid,
        ];
        let missed = missed.iter().filter(|state| counts.get(**state) > 0);
        let options: String = missed.map(|state| format!(" --{}", state.name())).collect();
        if let Some(report) = self.plan.report.as_ref().filter(|_| !options.is_empty()) {
            let text = format!("see `{report}{options}`");
            self.output.note(&text);
        }
        Ok(())
    }

    fn summary(&self, counts: Counts, left: Counts) -> String {
        let what = match self.stop {
            Some(Stop::Signal(_)) => "interrupted: ",
            Some(Stop::Timeout) => "timed out: ",
            None if self.is_late() => "timed out: ",
            None => "",
        };
        let noun = match self.plan.form.is_tasks() {
            true => "task",
            false => "image",
        };
        let plural = if counts.total() == 1 { "" } else { "s" };
        let (total, elapsed) = (counts.total(), duration(self.started.elapsed()));
        let text = match self.plan.follows {
            true => counts.text(),
            // Nothing is known about their progress.
            false => counts.text().replace(" open", " created"),
        };
        let mut summary = format!("{what}{total} {noun}{plural} in {elapsed}: {text}");
        let reason = self.observer.pause();
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
        let is_timed_out = self.plan.is_once() || self.stop == Some(Stop::Timeout);
        let counts = self.store.counts();
        is_timed_out && counts.new + counts.open > 0 && self.plan.form != Form::TasksOnce
    }

    pub(super) fn exit_status(&self) -> ExitStatus {
        let status = self.status.max(ExitStatus::of_counts(self.store.counts()));
        match self.is_late() {
            true => status.max(ExitStatus::TimedOut),
            false => status,
        }
    }
}
