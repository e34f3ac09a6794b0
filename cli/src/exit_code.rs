//! Exit codes.

use pan123_offline::Error;

use crate::image::Counts;

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
        match counts {
            Counts { invalid: 1.., .. } => Self::Usage,
            Counts { refused: 1.., .. } => Self::RequestFailed,
            Counts { failed: 1.., .. } | Counts { unknown: 1.., .. } => Self::TaskFailed,
            _ => Self::Succeeded,
        }
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
    use crate::image::State;

    #[test]
    fn the_first_of_3_2_5_4_1_applies() {
        use ExitStatus::{Refused, RequestFailed, Succeeded, TaskFailed, TimedOut, Usage};

        let statuses = [
            Refused,
            Usage,
            RequestFailed,
            TimedOut,
            TaskFailed,
            Succeeded,
        ];
        assert_eq!(statuses.map(ExitStatus::code), [3, 2, 5, 4, 1, 0]);
        assert!(statuses.is_sorted_by(|before, after| before > after));
        let mut counts = Counts::default();
        for (state, status) in [
            (State::Succeeded, Succeeded),
            (State::Open, Succeeded),
            (State::Unknown, TaskFailed),
            (State::Refused, RequestFailed),
            (State::Failed, RequestFailed),
            (State::Invalid, Usage),
        ] {
            counts.add(state, 1);
            assert_eq!(ExitStatus::of_counts(counts), status, "{state:?}");
        }
    }
}
