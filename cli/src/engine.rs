//! The engine of `migrate`, `create`, `wait` and `process`: creates the tasks of the images in a state, and follows them.
//!
//! Each step is in the state before it is shown. A creation is in the state before its request is sent.

mod creation;
mod end;
mod run;
mod stop;
mod verdict;

use std::thread;
use std::time::{Duration, Instant};

use pan123_offline::{Client, Migration, NewTask, NextTimeoutError, PollPolicy};

use self::run::Run;
use self::stop::{Shared, Stop};
use crate::args::NewTaskArgs;
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, usage};
use crate::observer::Observer;
use crate::output::{Form, Output};
use crate::stats::round_up;
use crate::store::Store;

/// The maximum time between two looks at signals, outside a request.
const TICK: Duration = Duration::from_millis(250);
/// A longer pause is no reason to wait.
const MAX_PAUSE: Duration = Duration::from_secs(86_400);

/// What a run does, and within which limits.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) form: Form,
    pub(crate) new_task: NewTaskArgs,
    pub(crate) limits: Limits,
    /// The command that lists images by state, for the summary.
    pub(crate) report: Option<String>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Created tasks are followed to their ends.
    pub(crate) follows: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) create_gap: Duration,
    pub(crate) policy: PollPolicy,
}

impl Limits {
    /// Reports whether each task is polled once, and nothing is created: a timeout of zero.
    fn is_once(&self) -> bool {
        self.timeout.is_some_and(|timeout| timeout.is_zero())
    }
}

/// Runs to the end, until a signal, the timeout or a failure. Ends with a summary in each case.
pub(crate) fn run(
    client: &Client,
    observer: &Observer,
    store: Store,
    output: Output,
    plan: Plan,
) -> Result<ExitStatus, Failure> {
    let limits = plan.limits;
    let run = Run::new(store, output, plan, observer.clone())?;
    let shared = Shared::new(run, observer.clone());
    shared.end_on_signals()?;
    // A timeout of zero polls each task once, and the library ends the run.
    let deadline = limits
        .timeout
        .filter(|timeout| !timeout.is_zero())
        .and_then(|timeout| Instant::now().checked_add(timeout));
    shared.tick_until(deadline)?;
    let result = drive(&shared, client, observer, limits);
    let mut run = shared.lock();
    let interruption = match &result {
        Err(Failure::Interrupted(signal)) => Some(Stop::Signal(*signal)),
        _ => None,
    };
    let closed = run.close(interruption);
    result?;
    closed?;
    Ok(run.exit_status())
}

fn drive(
    shared: &Shared,
    client: &Client,
    observer: &Observer,
    limits: Limits,
) -> Result<(), Failure> {
    let (open, is_idle) = {
        let run = shared.lock();
        (run.open_tasks()?, run.is_idle())
    };
    if is_idle && open.is_empty() {
        return Ok(());
    }
    if limits.is_once() && observer.pause().is_some() {
        return Ok(());
    }
    wait_for_pause(observer)?;
    // Without a token nothing can be done.
    client.access_token()?;
    let input = Input {
        shared: shared.clone(),
    };
    let mut migration = client
        .migrate(input)
        .also_watch(open)
        .create_gap(limits.create_gap)
        .policy(limits.policy);
    if !limits.follows {
        migration = migration.create_only();
    }
    if limits.is_once() {
        migration = migration.timeout(Duration::ZERO);
    }
    drive_to_end(shared, migration)
}

/// Waits for the end of a pause that an earlier run was told.
fn wait_for_pause(observer: &Observer) -> Result<(), Failure> {
    let Some(end) = observer.paused_until() else {
        return Ok(());
    };
    let remaining = end.saturating_duration_since(Instant::now());
    if remaining > MAX_PAUSE {
        let remaining = round_up(remaining);
        return Err(Failure::Other(
            ExitStatus::RequestFailed,
            format!(
                "the service has demanded a pause, of which {remaining} remain; try again then"
            ),
        ));
    }
    // A signal or the timeout ends the command meanwhile.
    thread::sleep(remaining);
    Ok(())
}

fn drive_to_end(
    shared: &Shared,
    mut migration: Migration<impl Iterator<Item = NewTask>>,
) -> Result<(), Failure> {
    let mut creates = true;
    loop {
        let event = migration.next_timeout(TICK);
        let mut run = shared.lock();
        let is_finished = matches!(event, Err(NextTimeoutError::Finished));
        if let Some(error) = migration.stopped_by() {
            run.stopped_by(error);
        }
        if let Ok(event) = event {
            run.on_event(event)?;
        }
        if let Some(failure) = run.take_failure() {
            return Err(failure);
        }
        // The other tasks would end with the same error.
        if is_finished || migration.stopped_by().is_some() {
            return run.retract();
        }
        // Otherwise a creation is under way.
        if !run.is_announced() {
            match shared.stop_reason() {
                Some(Stop::Signal(signal)) => return Err(Failure::Interrupted(signal)),
                Some(Stop::Timeout) => {
                    run.set_timed_out();
                    return Ok(());
                }
                None => {}
            }
        }
        if run.stops_creating() && creates {
            creates = false;
            migration.stop_creating();
            run.retract()?;
        }
    }
}

/// The images to create, as the migration takes them: one at a time.
struct Input {
    shared: Shared,
}

impl Iterator for Input {
    type Item = NewTask;

    fn next(&mut self) -> Option<NewTask> {
        self.shared.lock().next_task()
    }
}

/// Checks the options of new tasks, so that their errors are not reported for each URL.
pub(crate) fn check(args: &NewTaskArgs) -> Result<(), Failure> {
    let task = creation::new_task("https://example.org/", None, args);
    task.validate()?;
    if args.max_failures == Some(0) {
        return Err(usage("--max-failures must be at least 1"));
    }
    Ok(())
}
