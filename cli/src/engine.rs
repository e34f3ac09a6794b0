//! The engine of `migrate`, `create`, `wait` and `process`: creates the tasks of the images in a state, and follows them.
//!
//! One thread sends the requests. The main thread records each step in the state, and shows it, before the next one
//! begins; so a creation is in the state before its request is sent. The first signal during a creation lets it finish,
//! so that its result is recorded; at any other time a signal ends the command at once.

mod end;
mod run;
mod verdict;

use std::iter;
use std::process::exit;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use pan123_offline::{Client, Error, MigrationEvent, NewTask, NextTimeoutError, PollPolicy};

use self::run::Run;
use crate::args::NewTaskArgs;
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line, usage};
use crate::observer::Observer;
use crate::output::{Form, Output};
use crate::signals::{self, Signal};
use crate::stats::round_up;
use crate::store::Store;

/// The maximum time between two looks at the run as a whole.
const TICK: Duration = Duration::from_millis(250);
/// A longer pause is no reason to wait.
const MAX_PAUSE: Duration = Duration::from_secs(86_400);
/// Twice this time after a signal the command ends, even if nothing reads its output.
const EXIT_GRACE: Duration = Duration::from_millis(500);

/// What a run does, and within which limits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) form: Form,
    /// The line that is shown first.
    pub(crate) start: Option<String>,
    pub(crate) new_task: NewTaskArgs,
    /// Created tasks are followed to their ends.
    pub(crate) follows: bool,
    /// Zero: each task is polled once, and none is created.
    pub(crate) timeout: Option<Duration>,
    pub(crate) create_gap: Duration,
    pub(crate) policy: PollPolicy,
    /// The command that lists images by state, for the summary.
    pub(crate) report: Option<String>,
}

impl Plan {
    fn is_once(&self) -> bool {
        self.timeout.is_some_and(|timeout| timeout.is_zero())
    }
}

/// The reason why a run ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Signal(Signal),
    Timeout,
}

/// What the main thread is told. All but signals are answered.
enum Message {
    /// The sender is dropped once the signal is obeyed: at the end of the run, or when the run is to end later.
    Signal(Signal, Sender<()>),
    /// The next task is wanted.
    Next,
    /// An event, if there was one, and the error that ended everything.
    Step(Option<MigrationEvent>, Option<Error>),
    End(Result<(), Failure>),
}

/// The task that is wanted, and whether no further one is created.
type Answer = (Option<NewTask>, bool);

/// Runs to the end, until a signal, the timeout or a failure. Ends with a summary in each case.
pub(crate) fn run(
    client: &Client,
    observer: Observer,
    store: Store,
    output: Output,
    plan: Plan,
) -> Result<ExitStatus, Failure> {
    let (sender, messages) = mpsc::channel();
    let signals = sender.clone();
    signals::handle(move |signal| obey(signal, &signals))
        .map_err(|error| usage(format!("signals cannot be caught: {error}")))?;
    let mut run = Run::new(store, output, plan, observer)?;
    let followed = follow(&mut run, client, sender, &messages);
    // Nothing is under way any more, so what was announced was not sent.
    let retracted = run.retract();
    let closed = run.close();
    followed.and(retracted).and(closed)?;
    match run.stop {
        Some(Stop::Signal(signal)) => Err(Failure::Silent(signal.exit_code())),
        _ => Ok(run.exit_status()),
    }
}

/// Passes a signal on. Ends the command if that is blocked because nothing reads its output.
fn obey(signal: Signal, messages: &Sender<Message>) {
    let (obeyed, is_obeyed) = mpsc::channel();
    let _ = messages.send(Message::Signal(signal, obeyed));
    if is_obeyed.recv_timeout(EXIT_GRACE) == Err(RecvTimeoutError::Timeout) {
        let text = "the command ends, and its output is blocked; the tasks go on at the service";
        // Standard error may be blocked, too.
        let _ = thread::Builder::new().spawn(|| eprint_line(text));
        thread::sleep(EXIT_GRACE);
        exit(signal.exit_code().into());
    }
}

fn follow(
    run: &mut Run,
    client: &Client,
    sender: Sender<Message>,
    messages: &Receiver<Message>,
) -> Result<(), Failure> {
    if let Some(start) = run.plan.start.take() {
        run.output.note(&start);
    }
    let open = run.store.open_tasks()?;
    // An earlier run may have been told of a pause.
    let pause = run.observer.remaining_pause();
    let is_once = run.plan.is_once();
    if (run.todo.len() == 0 && open.is_empty()) || (is_once && !pause.is_zero()) {
        return Ok(());
    }
    if pause > MAX_PAUSE {
        let remaining = round_up(pause);
        let text = format!(
            "the service has demanded a pause, of which {remaining} remain; try again then"
        );
        return Err(Failure::Other(ExitStatus::RequestFailed, text));
    }
    // A timeout of zero is the library's.
    let timeout = run.plan.timeout.filter(|_| !is_once);
    let mut deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let (client, plan) = (client.clone(), run.plan.clone());
    let (answers, answered) = mpsc::channel();
    let worker = thread::Builder::new().name("requests".to_owned());
    let worker = worker.spawn(move || {
        thread::sleep(pause);
        let link = Rc::new(Link { sender, answered });
        let result = send_requests(&client, &plan, open, &link);
        let _ = link.sender.send(Message::End(result));
    })?;
    loop {
        let mut task = None;
        // Known before, so that its last message comes first.
        let has_finished = worker.is_finished();
        let message = messages.recv_timeout(TICK);
        run.tick();
        let passed = deadline.take_if(|deadline| *deadline <= Instant::now());
        if passed.is_some() && run.ends_at_once(Stop::Timeout)? {
            return Ok(());
        }
        match message {
            Ok(Message::Signal(signal, obeyed)) => match run.ends_at_once(Stop::Signal(signal))? {
                true => {
                    run.obeyed = Some(obeyed);
                    return Ok(());
                }
                false => continue,
            },
            Ok(Message::Next) => task = run.next_task()?,
            Ok(Message::Step(event, stopped_by)) => run.on_step(event, stopped_by)?,
            Ok(Message::End(result)) => return result,
            Err(_) if has_finished => {
                run.cut_off_creation()?;
                return Err(usage("the thread that sends requests has panicked"));
            }
            Err(_) => continue,
        }
        if run.stop.is_some() {
            return Ok(());
        }
        // It fails if the other thread has panicked.
        let _ = answers.send((task, run.stops_creating));
    }
}

/// The connection of the thread that sends requests to the main thread.
struct Link {
    sender: Sender<Message>,
    answered: Receiver<Answer>,
}

impl Link {
    /// Waits for the answer; `None` if the run has ended.
    fn ask(&self, message: Message) -> Option<Answer> {
        self.sender.send(message).ok()?;
        self.answered.recv().ok()
    }
}

/// Creates the tasks that the main thread names, and follows them.
fn send_requests(
    client: &Client,
    plan: &Plan,
    open: Vec<u64>,
    link: &Rc<Link>,
) -> Result<(), Failure> {
    // Without a token nothing can be done.
    client.access_token()?;
    let input = Rc::clone(link);
    let input = iter::from_fn(move || input.ask(Message::Next)?.0);
    let mut migration = client.migrate(input).also_watch(open);
    migration = migration.create_gap(plan.create_gap).policy(plan.policy);
    if !plan.follows {
        migration = migration.create_only();
    }
    if plan.is_once() {
        migration = migration.timeout(Duration::ZERO);
    }
    loop {
        let event = migration.next_timeout(TICK);
        let is_finished = matches!(event, Err(NextTimeoutError::Finished));
        let stopped_by = migration.stopped_by().cloned();
        // After an error of all tasks, the others would end with the same.
        let is_end = is_finished || stopped_by.is_some();
        match link.ask(Message::Step(event.ok(), stopped_by)) {
            Some((_, true)) if !is_end => migration.stop_creating(),
            Some(_) if !is_end => {}
            _ => return Ok(()),
        }
    }
}

/// Checks the options of new tasks, so that their errors are not reported for each URL.
pub(crate) fn check(args: &NewTaskArgs) -> Result<(), Failure> {
    let task = run::new_task("https://example.org/", None, args);
    Ok(task.validate()?)
}
