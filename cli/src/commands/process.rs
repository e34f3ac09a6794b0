//! `process`: the progress of tasks, once.

use std::time::Duration;

use super::wait::follow;
use crate::args::Common;
use crate::exit_code::ExitStatus;
use crate::failure::Failure;
use crate::output::Form;

pub(super) fn process(common: &Common, arguments: &[String]) -> Result<ExitStatus, Failure> {
    let once = Some(Duration::ZERO);
    follow(common, arguments, Form::TasksOnce, once, false)
}
