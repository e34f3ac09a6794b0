//! Waiting over real connections, against the stand-in. When to ask next is tested beside the code, on a clock moved by
//! hand; nothing here measures how long something takes, but for what must not be shorter, and for what must not hang.

mod support;

use std::collections::{BTreeMap, HashMap};
use std::iter::FusedIterator;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pan123_offline::testing::{Reply, Request, Service};
use pan123_offline::{
    Client, Error, PollPolicy, Progress, Status, TransportErrorKind, Update, Wait, Watch,
};
use support::{RUNNING, TASK, TOKEN, builder, client, service};

const DONE: Progress = Progress::new(Status::Succeeded, 100);
const FAILED: Progress = Progress::new(Status::Failed, 40);

/// So long that only a hang meets it.
const MAX_WAIT: Duration = Duration::from_secs(20);

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// As fast as it goes, so that tests need not wait.
/// Polls in short intervals, and gives up after eight errors however soon they come.
const FAST: PollPolicy = PollPolicy::new()
    .initial_interval(ms(1))
    .max_interval(ms(5))
    .error_window(Duration::ZERO);

fn brisk(watch: Watch) -> Watch {
    watch.policy(FAST)
}

fn brisk_wait(wait: Wait) -> Wait {
    wait.policy(FAST)
}

/// An answer that passes, and that no other task has to rest for.
fn passing(reply: Reply) -> Reply {
    reply.header("Retry-After", "0")
}

fn html(status: u16) -> Reply {
    Reply::new(status)
        .header("Content-Type", "text/html")
        .body("<html><body>a gateway</body></html>")
}

// ---- Thousands of tasks, and every fault there is.

/// The time of a call in the crowd: only the stalls use it up.
const CROWD_TIMEOUT: Duration = Duration::from_secs(2);
/// The shortest phase of such a call. A machine that stands still for longer may cost a connection without any fault.
const SHORTEST_PHASE: Duration = ms(100);
/// What a fault says that is an answer all the same: no script has it.
const ODD: Progress = Progress::new(Status::Unknown(77), 77);

/// What goes wrong with every tenth poll.
struct Fault {
    name: &'static str,
    reply: Reply,
    /// Whether the connection is of no further use.
    closes: bool,
}

/// Every kind of fault that the stand-in can make, but for what takes its time.
fn faults() -> Vec<Fault> {
    let odd = || Reply::progress(ODD);
    let (head, all) = (odd().header_len(), odd().len());
    let page = html(502).len();
    let twice = || [whole(ODD), whole(ODD)].concat();
    let keep = |name, reply| Fault {
        name,
        reply,
        closes: false,
    };
    let close = |name, reply| Fault {
        name,
        reply,
        closes: true,
    };
    vec![
        keep("code 429", passing(Reply::code(429, "too many requests"))),
        keep(
            "code 429 with HTTP 429",
            passing(Reply::code(429, "too many requests").status(429)),
        ),
        keep("HTTP 429", passing(html(429))),
        close("nothing", Reply::nothing()),
        keep("HTTP 500", Reply::new(500)),
        keep("HTTP 502", html(502)),
        keep(
            "HTTP 503, in a second",
            html(503).header("Retry-After", "1"),
        ),
        keep("HTTP 504, in chunks", html(504).chunked()),
        close("HTTP 500 without end", Reply::new(500).body("x").endless()),
        close("HTTP 502 cut off", html(502).cut_at(page - 9)),
        close("HTTP 502, closed without notice", html(502).close_after()),
        keep("HTTP 500 in an envelope", Reply::code(0, "ok").status(500)),
        keep("HTML", html(200)),
        close("HTML and the end", html(200).announce_close()),
        close("half a head", odd().cut_at(20)),
        keep("no body", Reply::new(200)),
        keep("no content", Reply::new(204)),
        keep(
            "no code",
            Reply::json(r#"{"message":"ok","data":{"process":1,"status":0}}"#),
        ),
        close("a head and no body", odd().cut_at(head)),
        keep(
            "no data",
            Reply::json(r#"{"code":0,"message":"ok","data":null}"#),
        ),
        close("no HTTP", Reply::raw("SSH-2.0-OpenSSH_9.6\r\n\r\n")),
        close("bytes", Reply::raw([0, 255, 13, 10, 13, 10]).close_after()),
        close("half a body", odd().cut_at(all - 9)),
        close("half a chunked body", odd().chunked().cut_at(all - 9)),
        close(
            "chunks that are none",
            Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nzz\r\n"),
        ),
        close(
            "a body that ends too early",
            odd().header("Content-Length", "999").close_after(),
        ),
        close("a body that goes on", odd().header("Content-Length", "20")),
        close("two answers", Reply::raw(twice())),
        close("a body without end", Reply::json("{").endless()),
        close("100 KiB", Reply::json(vec![b'x'; 100 * 1024])),
        close("a long head", odd().header("X-Long", "x".repeat(9 * 1024))),
        keep("chunks", odd().chunked()),
        keep("late", odd().delay(ms(20))),
        close("the last of its connection", odd().announce_close()),
        close("closed without notice", odd().close_after()),
        close("a body until the end", odd().until_close()),
    ]
}

/// An answer's bytes, to be sent with others.
fn whole(progress: Progress) -> Vec<u8> {
    let (percent, status) = (progress.percent, progress.status.as_i64());
    let body =
        format!(r#"{{"code":0,"message":"ok","data":{{"process":{percent},"status":{status}}}}}"#);
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What takes its time: each is made once, as every eightieth fault.
fn slow_faults() -> Vec<Fault> {
    let odd = Reply::progress(ODD);
    let in_the_body = odd.len() - 9;
    let fault = |name, reply, closes| Fault {
        name,
        reply,
        closes,
    };
    vec![
        fault(
            "code 429 that does not say how long",
            Reply::code(429, "too many requests"),
            false,
        ),
        fault("silence", odd.clone().stall_at(0), true),
        fault(
            "HTTP 429, in a second",
            html(429).header("Retry-After", "1"),
            false,
        ),
        fault(
            "silence in the body",
            odd.clone().stall_at(in_the_body),
            true,
        ),
        fault(
            "byte by byte",
            odd.clone().drip(Duration::from_micros(20)),
            false,
        ),
        fault(
            "the end among the bytes",
            odd.drip(Duration::from_micros(20)).cut_at(in_the_body),
            true,
        ),
    ]
}

/// What a task of the crowd is to end with.
#[derive(Debug, Clone, Copy)]
enum End {
    Of(Progress),
    /// What no poll makes better.
    Code(i64),
    Http(u16),
    /// With what is passed over, but not for ever: this, always. The last straw may be a fault of another kind.
    GivenUp(fn() -> Reply),
}

impl End {
    fn expected(task_id: u64) -> Self {
        match task_id % 100 {
            3 => Self::Code(1),
            13 => Self::Code(5066),
            23 => Self::Http(404),
            33 => Self::Http(302),
            43 => Self::GivenUp(|| html(502)),
            53 => Self::GivenUp(|| passing(Reply::code(429, "too many requests"))),
            63 => Self::GivenUp(|| html(200)),
            _ if task_id.is_multiple_of(7) => Self::Of(Progress::new(Status::Failed, 99)),
            _ => Self::Of(DONE),
        }
    }

    fn is_met(self, result: &pan123_offline::Result<Progress>) -> bool {
        match (self, result) {
            (Self::Of(expected), Ok(progress)) => expected == *progress,
            (Self::Code(code), Err(error)) => {
                error.code().is_some_and(|known| known.as_i64() == code)
            }
            (Self::Http(status), Err(Error::Http(e))) => e.status() == status,
            (Self::GivenUp(_), Err(Error::Transport(e))) => {
                e.kind() == TransportErrorKind::Protocol
                    || Error::Transport(e.clone()).is_transient()
            }
            (Self::GivenUp(_), Err(error)) => {
                error.is_transient() || matches!(error, Error::Decode(_))
            }
            _ => false,
        }
    }

    /// What such a task is always answered, where it is not the usual.
    fn reply(self) -> Option<Reply> {
        match self {
            // An unknown task.
            Self::Of(_) | Self::Code(1) => None,
            Self::Code(code) => Some(Reply::code(code, "no")),
            Self::Http(status) => Some(html(status)),
            Self::GivenUp(reply) => Some(reply()),
        }
    }
}

/// What a task of the crowd goes through; some polls say the same as before.
fn script(task_id: u64) -> Vec<Progress> {
    let End::Of(end) = End::expected(task_id) else {
        return Vec::new();
    };
    let statuses = [
        Status::InProgress,
        Status::Retrying,
        Status::Unknown(9),
        Status::InProgress,
    ];
    let times = 1 + usize::from(task_id.is_multiple_of(3));
    let steps = (0..task_id % 4).flat_map(|step| {
        let progress = Progress::new(statuses[(task_id / 4 + step) as usize % 4], 20 * step as u8);
        std::iter::repeat_n(progress, times)
    });
    steps.chain([end]).collect()
}

fn crowd_ids(tasks: u64) -> impl Iterator<Item = u64> + Clone {
    TASK..TASK + tasks
}

/// A stand-in with many tasks, where every tenth poll goes wrong.
struct Crowd {
    service: Service,
    made: Arc<Mutex<Made>>,
}

/// What a crowd has answered.
#[derive(Default)]
struct Made {
    /// For each request, whether its fault cost the connection.
    closed: Vec<bool>,
    faults: BTreeMap<&'static str, usize>,
}

impl Crowd {
    fn new(tasks: u64) -> Self {
        let service = Service::start().unwrap();
        for task_id in crowd_ids(tasks).filter(|id| !matches!(End::expected(*id), End::Code(1))) {
            service.task(task_id, script(task_id));
        }
        let made: Arc<Mutex<Made>> = Arc::default();
        let (log, usual, slow) = (Arc::clone(&made), faults(), slow_faults());
        service.reply_with(move |request| {
            let mut made = log.lock().unwrap();
            let poll = made.closed.len();
            made.closed.push(false);
            if poll % 10 != 9 {
                return End::expected(request.task_id().unwrap()).reply();
            }
            let fault = match poll / 10 {
                nth if nth % 80 == 10 && nth / 80 < slow.len() => &slow[nth / 80],
                nth => &usual[nth % usual.len()],
            };
            made.closed[poll] = fault.closes;
            *made.faults.entry(fault.name).or_default() += 1;
            Some(fault.reply.clone())
        });
        Self { service, made }
    }

    /// One connection, and one more for each that a fault has cost.
    #[track_caller]
    fn check_connections(&self) {
        let made = self.made.lock().unwrap();
        let requests = self.service.requests();
        assert_eq!(requests.len(), made.closed.len());
        let mut explained = 0;
        for (poll, pair) in requests.windows(2).enumerate() {
            let stood_still = || {
                pair[0].connection != pair[1].connection
                    && pair[1].at - pair[0].at >= SHORTEST_PHASE
            };
            explained += usize::from(made.closed[poll] || stood_still());
        }
        let connections = self.service.connection_count();
        assert!(
            connections <= 1 + explained,
            "{connections} connections, but {explained} were closed"
        );
        assert!(
            connections > requests.len() / 30,
            "{connections} connections: no fault closes any"
        );
    }
}

fn crowd_client(base_url: String) -> Client {
    // Its retries must not show.
    builder(base_url)
        .retries(7)
        .timeout(CROWD_TIMEOUT)
        .build()
        .unwrap()
}

/// Watches a crowd to its end, and checks all that can be seen from this side.
fn follow(client: &Client, tasks: u64, mut each: impl FnMut(&Update)) {
    let tasks = usize::try_from(tasks).unwrap();
    // Some are named twice.
    let ids = crowd_ids(tasks as u64);
    let mut watch = brisk(client.watch(ids.clone().chain(ids.clone().step_by(3))));
    assert_eq!(
        (watch.pending(), watch.finished(), watch.size_hint()),
        (tasks, 0, (tasks, None))
    );

    let mut told: HashMap<u64, Vec<Progress>> = HashMap::new();
    let mut ends: HashMap<u64, pan123_offline::Result<Progress>> = HashMap::new();
    while let Some(update) = watch.next() {
        let task_id = update.task_id;
        assert!(
            !ends.contains_key(&task_id),
            "{update:?} after the end {:?}",
            ends[&task_id]
        );
        if let Ok(progress) = update.result {
            let told = told.entry(task_id).or_default();
            assert_ne!(
                told.last(),
                Some(&progress),
                "{task_id} is told twice what has not changed"
            );
            told.push(progress);
        }
        if update.is_end() {
            ends.insert(task_id, update.result.clone());
        }
        let pending = tasks - ends.len();
        assert_eq!((watch.pending(), watch.finished()), (pending, ends.len()));
        assert_eq!(watch.size_hint(), (pending, (pending == 0).then_some(0)));
        each(&update);
    }
    assert!(watch.next().is_none() && watch.next().is_none());

    assert_eq!(ends.len(), tasks, "a task is lost");
    for task_id in ids {
        let (end, expected) = (&ends[&task_id], End::expected(task_id));
        assert!(
            expected.is_met(end),
            "{task_id}: {end:?} and not {expected:?}"
        );
        // What was told is what the service said, in its order.
        let mut told = told.remove(&task_id).unwrap_or_default();
        told.retain(|progress| *progress != ODD);
        told.dedup();
        let mut said = script(task_id);
        said.dedup();
        assert_eq!(told, said, "{task_id}");
    }
    assert!(told.is_empty(), "of tasks that nobody watches: {told:?}");
}

#[test]
fn two_thousand_tasks_and_every_fault() {
    let tasks = 2000;
    let crowd = Crowd::new(tasks);
    let client = crowd_client(crowd.service.base_url());
    let mut ended = Vec::new();
    follow(&client, tasks, |update| {
        if update.is_end() {
            ended.push((update.task_id, crowd.service.request_count()));
        }
    });

    crowd.check_connections();
    let requests = crowd.service.requests();
    let mut last: HashMap<u64, usize> = HashMap::new();
    for (poll, request) in requests.iter().enumerate() {
        assert_eq!(
            (
                request.method.as_str(),
                request.header("Authorization").is_some()
            ),
            ("GET", true)
        );
        last.insert(request.task_id().unwrap(), poll);
    }
    for (task_id, polls) in ended {
        assert!(last[&task_id] < polls, "{task_id} is asked after its end");
    }
    let made = crowd.made.lock().unwrap();
    for fault in faults().iter().chain(&slow_faults()) {
        assert!(
            made.faults.contains_key(fault.name),
            "{} polls are too few for: {}",
            requests.len(),
            fault.name
        );
    }
    assert_eq!(made.faults.values().sum::<usize>(), requests.len() / 10);
}

/// What the parent hands to its child: where to call.
#[cfg(target_os = "linux")]
const BASE_URL: &str = "WATCH_TEST_BASE_URL";
#[cfg(target_os = "linux")]
const FEWER_TASKS: u64 = 200;

/// As in `surface.rs`: the child watches in a process of its own, where no thread can be started.
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
#[test]
fn a_watch_starts_no_thread() {
    let crowd = Crowd::new(FEWER_TASKS);
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_watches",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(BASE_URL, crowd.service.base_url())
        .env("RUST_MIN_STACK", (1_u64 << 60).to_string())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{stdout}\n{stderr}"
    );
    crowd.check_connections();
    assert!(crowd.service.request_count() > 400);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by a_watch_starts_no_thread in a process of its own"]
fn child_watches() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let client = crowd_client(std::env::var(BASE_URL).expect("set by the parent"));
    assert_eq!(threads(), 1);
    assert!(
        std::thread::Builder::new().spawn(|| ()).is_err(),
        "this test cannot see a short-lived thread"
    );
    follow(&client, FEWER_TASKS, |_| assert_eq!(threads(), 1));
}

// ---- One task.

#[test]
fn a_wait_runs_to_the_end() {
    let service = service();
    let client = client(&service);
    let wait = brisk_wait(client.wait(TASK));
    assert_eq!(service.request_count(), 0, "nothing is asked yet");
    service.task(
        TASK,
        [
            RUNNING,
            RUNNING,
            Progress::new(Status::Retrying, 37),
            Progress::new(Status::Unknown(8), 60),
            DONE,
        ],
    );
    assert_eq!(wait.run().unwrap(), DONE);
    assert_eq!(
        (service.request_count(), service.connection_count()),
        (5, 1)
    );
    // Once more: it is at its end already.
    assert_eq!(client.wait(TASK).run().unwrap(), DONE);
    assert_eq!(
        (service.request_count(), service.connection_count()),
        (6, 1)
    );
}

#[test]
fn a_failed_task_is_an_error_of_run_alone() {
    let service = service();
    service.task(TASK, [RUNNING, FAILED]);
    let client = client(&service);
    let error = brisk_wait(client.wait(TASK)).run().unwrap_err();
    assert!(
        matches!(
            &error,
            Error::TaskFailed {
                task_id: TASK,
                progress: FAILED,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "task 403316 failed at 40 %; only its callback gives the reason"
    );
    assert!(std::error::Error::source(&error).is_none());
    assert!(!error.is_transient() && !error.is_timeout() && !error.may_have_been_sent());
    assert_eq!(service.request_count(), 2);

    service.task(TASK, [RUNNING, FAILED]);
    let items: Vec<_> = brisk_wait(client.wait(TASK))
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(items, [RUNNING, FAILED]);

    service.task(TASK, [RUNNING, FAILED]);
    let updates: Vec<_> = brisk(client.watch([TASK])).collect();
    assert!(!updates[0].is_end() && updates[1].is_end());
    assert_eq!(updates[1].result.clone().unwrap(), FAILED);
}

#[test]
fn a_wait_is_a_for_loop() {
    let service = service();
    let half = Progress::new(Status::InProgress, 50);
    service.task(TASK, [RUNNING, RUNNING, half, half, half, DONE, RUNNING]);
    let client = client(&service);
    let mut seen = Vec::new();
    for progress in brisk_wait(client.wait(TASK)) {
        seen.push(progress.unwrap());
    }
    assert_eq!(seen, [RUNNING, half, DONE]);
    assert_eq!(service.request_count(), 6, "not asked after its end");

    let mut iter = brisk_wait(client.wait(403_317)).into_iter();
    let error = iter.next().unwrap().unwrap_err();
    assert_eq!(error.code().map(|code| code.as_i64()), Some(1));
    assert!(iter.next().is_none() && iter.next().is_none());
}

#[test]
fn a_watch_that_runs_out_of_time_says_what_is_known_of_each_task() {
    let service = service();
    service.task(TASK + 1, [DONE]);
    let client = client(&service);
    let watch = client.watch([TASK, TASK + 1]).timeout(ms(300));
    let updates: Vec<_> = watch
        .policy(
            PollPolicy::new()
                .initial_interval(ms(20))
                .max_interval(ms(50)),
        )
        .collect();
    let [running, done, end] = &updates[..] else {
        panic!("{updates:?}")
    };
    assert_eq!(
        (running.task_id, running.result.as_ref().unwrap()),
        (TASK, &RUNNING)
    );
    assert_eq!(
        (done.task_id, done.result.as_ref().unwrap()),
        (TASK + 1, &DONE)
    );
    let Err(Error::WaitTimeout {
        task_id: TASK,
        last: Some(RUNNING),
        ..
    }) = &end.result
    else {
        panic!("{end:?}")
    };
}

#[test]
fn a_wait_that_runs_out_of_time_leaves_its_task_alone() {
    let service = service();
    let client = client(&service);
    let timeout = Duration::from_secs(1);
    let error = client
        .wait(TASK)
        .timeout(timeout)
        .policy(
            PollPolicy::new()
                .initial_interval(ms(20))
                .max_interval(ms(50)),
        )
        .run()
        .unwrap_err();
    let Error::WaitTimeout {
        task_id,
        last,
        elapsed,
        polls,
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!((*task_id, *last), (TASK, Some(RUNNING)));
    assert!(*elapsed >= timeout, "{error:?}");
    // On a slow machine the short time of the last one, at the deadline, may be over before it is sent.
    assert!(
        *polls >= 2 && service.request_count() <= *polls as usize,
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        format!(
            "task 403316 did not end within {:.1} s and {polls} polls; its last progress was: in progress, 37 %; it \
             continues at the service",
            elapsed.as_secs_f64()
        )
    );
    assert!(error.is_timeout() && !error.is_transient() && !error.may_have_been_sent());
    assert!(
        service.requests().iter().all(is_poll),
        "{:?}",
        service.requests()
    );
    service.task(TASK, [DONE]);
    assert_eq!(client.wait(TASK).run().unwrap(), DONE);

    // The iterator says so, too, and then no more.
    service.task(TASK, [RUNNING]);
    let mut iter = client.wait(TASK).timeout(Duration::ZERO).into_iter();
    assert_eq!(iter.next().unwrap().unwrap(), RUNNING);
    assert!(iter.next().unwrap().unwrap_err().is_timeout());
    assert!(iter.next().is_none() && iter.next().is_none());
}

fn is_poll(request: &Request) -> bool {
    (
        request.method.as_str(),
        request.path.as_str(),
        request.task_id(),
    ) == ("GET", "/api/v1/oss/offline/download/process", Some(TASK))
}

#[test]
fn zero_polls_once_and_the_longest_timeout_does_not_panic() {
    let service = service();
    let client = client(&service);
    let error = client.wait(TASK).timeout(Duration::ZERO).run().unwrap_err();
    assert!(
        matches!(
            error,
            Error::WaitTimeout {
                polls: 1,
                last: Some(RUNNING),
                cause: None,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(service.request_count(), 1);
    service.task(TASK, [DONE]);
    assert_eq!(
        client.wait(TASK).timeout(Duration::ZERO).run().unwrap(),
        DONE
    );
    service.task(TASK, [RUNNING, DONE]);
    assert_eq!(
        brisk_wait(client.wait(TASK))
            .timeout(Duration::MAX)
            .run()
            .unwrap(),
        DONE
    );
    assert_eq!(service.connection_count(), 1);
}

/// A poll is one request and, where its connection has meanwhile been closed, the replay.
#[test]
fn zero_timeout_polls_once_over_a_pooled_connection() {
    let service = service();
    let client = client(&service);
    client.get_process(TASK).unwrap();
    service.task(TASK, [DONE]);
    service.reply_next(Reply::nothing());
    assert_eq!(
        client.wait(TASK).timeout(Duration::ZERO).run().unwrap(),
        DONE
    );
    assert_eq!(
        (service.request_count(), service.connection_count()),
        (3, 2)
    );
}

/// The client's own timeout would let each of these go on for most of a minute.
#[test]
fn a_wait_ends_although_the_server_is_silent() {
    let whole = Reply::progress(RUNNING);
    let (head, all) = (whole.header_len(), whole.len());
    for (what, reply) in [
        ("before the head", whole.clone().stall_at(0)),
        ("in the head", whole.clone().stall_at(30)),
        ("in the body", whole.clone().stall_at(head + 10)),
        ("byte by byte", whole.clone().drip(ms(500))),
        ("late", whole.clone().delay(Duration::from_secs(60))),
        (
            "in a chunked body",
            whole.clone().chunked().stall_at(all - 5),
        ),
    ] {
        let service = service();
        service.reply_with(move |_| Some(reply.clone()));
        let client = builder(service.base_url())
            .timeout(Duration::from_secs(100))
            .build()
            .unwrap();
        let started = Instant::now();
        let error = client.wait(TASK).timeout(ms(500)).run().unwrap_err();
        assert!(
            started.elapsed() < MAX_WAIT,
            "{what}: {:?}",
            started.elapsed()
        );
        let Error::WaitTimeout {
            last, polls, cause, ..
        } = &error
        else {
            panic!("{what}: {error:?}")
        };
        // On a slow machine the short time of the last one may be over before it is sent.
        assert!(
            last.is_none() && service.request_count() <= *polls as usize,
            "{what}: {error:?}"
        );
        assert!(
            cause.as_ref().is_some_and(|cause| cause.is_timeout()),
            "{what}: {error:?}"
        );
        assert!(
            error.to_string().ends_with(" polls; no poll succeeded"),
            "{error}"
        );
    }
}

/// Nobody listens: what there is to tell is the cause.
#[test]
fn a_wait_without_a_server_tells_the_reason() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let client = builder(format!("http://{gone}")).build().unwrap();
    let error = client
        .wait(TASK)
        .policy(
            PollPolicy::new()
                .initial_interval(ms(5))
                .max_interval(ms(20)),
        )
        .timeout(ms(300))
        .run()
        .unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(
        cause,
        format!("cannot connect to {gone}; check the address and the network")
    );
}

// ---- Settings.

#[test]
fn polls_keep_to_the_rate() {
    let service = service();
    service.reply_with(|_| Some(Reply::progress(DONE)));
    let client = builder(service.base_url())
        .min_poll_gap(ms(50))
        .build()
        .unwrap();
    let started = Instant::now();
    assert_eq!(client.watch(1..=7).count(), 7);
    assert!(started.elapsed() >= 6 * ms(50), "{:?}", started.elapsed());
}

#[test]
fn a_retry_after_is_obeyed() {
    for reply in [
        Reply::code(429, "").header("Retry-After", "1"),
        html(503).header("Retry-After", "1"),
    ] {
        let service = service();
        service.task(TASK, [DONE]);
        service.reply_next(reply);
        let started = Instant::now();
        assert_eq!(brisk_wait(client(&service).wait(TASK)).run().unwrap(), DONE);
        assert!(
            started.elapsed() >= Duration::from_secs(1),
            "{:?}",
            started.elapsed()
        );
        assert_eq!(service.request_count(), 2);
    }
}

#[test]
fn a_429_holds_all_tasks() {
    for reply in [Reply::code(429, ""), html(429)] {
        let service = service();
        service.task(1, [DONE]).task(2, [DONE]);
        service.reply_next(reply);
        let client = client(&service);
        let started = Instant::now();
        let mut watch = brisk(client.watch([1, 2]));
        assert!(watch.next().is_some_and(|update| update.result.is_ok()));
        assert!(
            started.elapsed() >= Duration::from_secs(1),
            "{:?}",
            started.elapsed()
        );
        assert_eq!((watch.count(), service.request_count()), (1, 3));
    }
}

#[test]
fn the_nth_error_in_a_row_ends_a_task() {
    let cut = |reply: Reply| {
        let len = reply.len();
        reply.cut_at(len - 9)
    };
    type Check = fn(&Error) -> bool;
    let cases: [(&str, Reply, usize, Check); 7] = [
        (
            "502",
            html(502),
            1,
            |e| matches!(e, Error::Http(e) if e.status() == 502),
        ),
        (
            "429",
            passing(html(429)),
            1,
            |e| matches!(e, Error::Http(e) if e.status() == 429),
        ),
        ("code 429", passing(Reply::code(429, "")), 1, |e| {
            e.code().is_some_and(|code| code.as_i64() == 429)
        }),
        ("HTML", html(200), 1, |e| matches!(e, Error::Decode(_))),
        (
            "garbage",
            Reply::raw("garbage\r\n\r\n"),
            1,
            |e| matches!(e, Error::Transport(e) if e.kind() == TransportErrorKind::Protocol),
        ),
        // Each with its replay, which does not count.
        (
            "nothing",
            Reply::nothing(),
            2,
            |e| matches!(e, Error::Transport(e) if e.kind() == TransportErrorKind::Closed),
        ),
        (
            "cut",
            cut(Reply::progress(RUNNING)),
            2,
            |e| matches!(e, Error::Transport(e) if e.kind() == TransportErrorKind::Closed),
        ),
    ];
    for (what, reply, requests, is_it) in cases {
        for (tolerate, polls) in [(0, 1), (1, 1), (3, 3)] {
            let service = service();
            let reply = reply.clone();
            service.reply_with(move |_| Some(reply.clone()));
            // The client's own retries have no part in it.
            let client = builder(service.base_url()).retries(5).build().unwrap();
            let updates: Vec<_> = brisk(client.watch([TASK]))
                .policy(FAST.max_consecutive_errors(tolerate))
                .collect();
            assert_eq!(
                (updates.len(), service.request_count()),
                (1, polls * requests),
                "{what}, {tolerate}"
            );
            assert!(
                updates[0].result.as_ref().is_err_and(is_it),
                "{what}: {updates:?}"
            );

            let error = brisk_wait(client.wait(TASK))
                .policy(FAST.max_consecutive_errors(tolerate))
                .run()
                .unwrap_err();
            assert_eq!(
                service.request_count(),
                2 * polls * requests,
                "{what}, {tolerate}"
            );
            assert!(is_it(&error), "{what}: {error:?}");
        }
    }

    // Eight by default, and a good answer in between starts the count anew.
    let service = service();
    service.task(TASK, [RUNNING, DONE]);
    let client = client(&service);
    for _ in 0..2 {
        for _ in 0..7 {
            service.reply_next(html(502));
        }
        service.reply_next(Reply::progress(RUNNING));
    }
    for _ in 0..8 {
        service.reply_next(html(502));
    }
    let updates: Vec<_> = brisk(client.watch([TASK])).collect();
    assert_eq!(updates[0].result.clone().unwrap(), RUNNING);
    assert!(matches!(&updates[1].result, Err(Error::Http(e)) if e.status() == 502));
    assert_eq!(
        (
            updates.len(),
            service.request_count(),
            service.connection_count()
        ),
        (2, 24, 1)
    );
}

// ---- The watch and its client.

#[test]
fn a_watch_of_nothing_ends_at_once() {
    let service = service();
    let client = client(&service);
    let mut watch = client.watch([]);
    assert_eq!(
        (watch.pending(), watch.finished(), watch.size_hint()),
        (0, 0, (0, Some(0)))
    );
    assert!(watch.next().is_none() && watch.next().is_none());
    assert_eq!(service.connection_count(), 0);
}

#[test]
fn a_watch_can_be_broken_off_and_its_client_goes_on() {
    let service = service();
    for task_id in 1..=10 {
        service.task(task_id, [RUNNING]);
    }
    let client = client(&service);
    for update in brisk(client.watch(1..=10)) {
        // The client is free between two updates, and a poll of one's own has its place there.
        assert_eq!(client.get_process(update.task_id).unwrap(), RUNNING);
        if update.task_id == 4 {
            break;
        }
    }
    assert_eq!(service.request_count(), 8);
    let mut watch = brisk(client.watch([5, 6]));
    assert_eq!(
        watch
            .by_ref()
            .take(2)
            .map(|update| update.task_id)
            .collect::<Vec<_>>(),
        [5, 6]
    );
    service.task(5, [DONE]).task(6, [DONE]);
    assert_eq!(watch.by_ref().filter(Update::is_end).count(), 2);
    assert_eq!((watch.pending(), watch.finished()), (0, 2));
    assert_eq!(service.connection_count(), 1);
}

#[test]
fn clones_watch_over_one_connection() {
    let service = service();
    for task_id in 1..=3 {
        service.task(task_id, [RUNNING, DONE]);
    }
    let client = client(&service);
    let clones = [client.clone(), client.clone(), client];
    let mut watches: Vec<_> = clones
        .iter()
        .zip(1..)
        .map(|(client, id)| brisk(client.watch([id])))
        .collect();
    for _ in 0..2 {
        assert!(
            watches
                .iter_mut()
                .all(|watch| watch.next().is_some_and(|update| update.result.is_ok()))
        );
    }
    assert!(watches.iter_mut().all(|watch| watch.next().is_none()));
    assert_eq!(
        (service.request_count(), service.connection_count()),
        (6, 1)
    );
}

#[test]
fn a_ban_ends_everything_without_another_request() {
    type Check = fn(&Error) -> bool;
    let cases: [(Reply, Check); 6] = [
        (Reply::code(403, "banned"), Error::is_banned),
        (Reply::code(403, "banned").status(403), Error::is_banned),
        (html(403), Error::is_banned),
        (html(403).header("Retry-After", "1"), Error::is_banned),
        (Reply::code(401, "expired"), Error::is_unauthorized),
        (html(401), Error::is_unauthorized),
    ];
    for (reply, is_it) in cases {
        let service = service();
        for task_id in 1..=10 {
            service.task(task_id, [RUNNING]);
        }
        service.task(4, [RUNNING, DONE]);
        let polls = 25;
        let asked = Mutex::new(0);
        service.reply_with(move |_| {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            (*asked > polls).then(|| reply.clone())
        });
        let client = builder(service.base_url()).retries(5).build().unwrap();
        let mut ended: Vec<u64> = Vec::new();
        let mut texts = Vec::new();
        let mut watch = brisk(client.watch(1..=10));
        while let Some(update) = watch.next() {
            if let Err(error) = &update.result {
                assert!(is_it(error), "{error:?}");
                texts.push(error.to_string());
            }
            if update.is_end() {
                ended.push(update.task_id);
            }
            assert_eq!(
                (watch.pending(), watch.finished()),
                (10 - ended.len(), ended.len())
            );
        }
        assert_eq!(service.request_count(), polls + 1);
        assert_eq!(ended[0], 4, "it was over before");
        ended.sort_unstable();
        assert_eq!(ended, (1..=10).collect::<Vec<_>>());
        texts.dedup();
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(watch.next().is_none());
        assert!(is_it(&client.wait(TASK).run().unwrap_err()));
        assert_eq!(
            service.request_count(),
            polls + 2,
            "a wait ends with it, too"
        );
    }
}

#[test]
fn traits_and_texts() {
    fn fused<T: FusedIterator + Send + Sync + Unpin>(_: &T) {}
    fn plain<T: Clone + Send + Sync + Unpin + 'static>(_: &T) {}

    let service = service();
    let client = client(&service);
    let (mut watch, wait) = (client.watch([TASK]), client.wait(TASK));
    assert!(!format!("{watch:?} {watch:#?} {wait:?} {wait:#?}").contains(TOKEN));
    plain(&watch.next().unwrap());
    fused(&watch);
    fused(&wait.into_iter());
}
