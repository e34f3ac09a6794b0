//! Exit codes.

use pan123_offline::Error;

use crate::image::{Counts, State};

/// The outcome of a run, in increasing order of severity: the worst counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ExitStatus {
    Succeeded,
    TaskFailed,
    TimedOut,
    RequestFailed,
    Usage,
    Refused,
}

impl ExitStatus {
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::Config(_) => Self::Usage,
            Error::WaitTimeout { .. } => Self::TimedOut,
            error if error.is_unauthorized() || error.is_banned() => Self::Refused,
            _ => Self::RequestFailed,
        }
    }

    /// Returns the outcome of images in these states. What has not ended yet does not count.
    pub(crate) fn of_counts(counts: Counts) -> Self {
        let outcomes = [
            (State::Invalid, Self::Usage),
            (State::Refused, Self::RequestFailed),
            (State::Failed, Self::TaskFailed),
            (State::Unknown, Self::TaskFailed),
        ];
        let applies = outcomes
            .into_iter()
            .find(|(state, _)| counts.get(*state) > 0);
        applies.map_or(Self::Succeeded, |(_, status)| status)
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::TaskFailed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::TimedOut => 4,
            Self::RequestFailed => 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_3_2_5_4_1_applies() {
        let mut statuses = [
            ExitStatus::TaskFailed,
            ExitStatus::Refused,
            ExitStatus::RequestFailed,
            ExitStatus::Succeeded,
            ExitStatus::Usage,
            ExitStatus::TimedOut,
        ];
        statuses.sort();
        let codes: Vec<_> = statuses.iter().rev().map(|status| status.code()).collect();
        assert_eq!(codes, [3, 2, 5, 4, 1, 0]);
    }

    #[test]
    fn invalid_lines_precede_refused_and_failed_ones() {
        let mut counts = Counts::default();
        for (state, code) in [
            (State::Succeeded, 0),
            (State::Open, 0),
            (State::Unknown, 1),
            (State::Failed, 1),
            (State::Refused, 5),
            (State::Invalid, 2),
        ] {
            counts.add(state, 1);
            assert_eq!(ExitStatus::of_counts(counts).code(), code, "{state:?}");
        }
    }
}
