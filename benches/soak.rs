//! A million calls over one client, one in twenty of them answered with a fault: what the client holds must not grow.
//!
//! `cargo bench --bench soak`, or `cargo bench --bench soak -- CALLS SEED` for fewer calls, or for the same ones again;
//! when the token is replaced is decided by the clock.
//! The stand-in runs in a process of its own, so that memory, descriptors and threads are the client's alone. They are
//! read from /proc; where there is none, only the answers are checked. Ends with 1 if a limit is broken.
#![allow(missing_docs, reason = "a program")]

use std::collections::HashSet;
use std::fmt::Debug;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use pan123_offline::testing::{Reply, Request, Service};
use pan123_offline::{
    AccessToken, Client, Credentials, Error, NewTask, PollPolicy, Progress, Status,
    TransportErrorKind,
};

const CALLS: u64 = 1_000_000;
const SECRET: &str = "secret-of-the-soak";

/// How many task ids share a fate: ids are `fate * ALIKE + n`, so both processes know what comes of a call.
const ALIKE: u64 = 100;
/// The task whose poll makes the service kick out every token.
const REVOKE: u64 = 1_000_000;

/// Memory in the second half, to that in the first.
const MOST_GROWTH: f64 = 1.02;
/// Bytes on the heap that the second half may leave behind: the pool holds one connection more, or one less.
const MOST_KEPT: i64 = 64 * 1024;
/// Short, because stalls last so long; long enough for a machine that is busy.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A good answer may come too late on a machine that is very busy, but not in less than this, and not often.
const LATE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if arguments == ["serve"] {
        serve();
        return ExitCode::SUCCESS;
    }
    let number = |at: usize| {
        arguments
            .get(at)
            .map(|text| text.parse().expect("CALLS and SEED are numbers"))
    };
    let calls = number(0).unwrap_or(CALLS);
    let seed = number(1).unwrap_or_else(|| RandomState::new().build_hasher().finish());
    println!("{calls} calls, seed {seed}");
    match soak(calls, seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("soak: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What a caller sees of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Right,
    Transport(TransportErrorKind),
    Http(u16),
    Api(i64),
    Decode,
    Other,
}

use Seen::{Api, Decode, Http, Right};
const CLOSED: Seen = Seen::Transport(TransportErrorKind::Closed);
const TIMED_OUT: Seen = Seen::Transport(TransportErrorKind::Timeout);
const PROTOCOL: Seen = Seen::Transport(TransportErrorKind::Protocol);

impl Seen {
    fn of<T>(result: &pan123_offline::Result<T>) -> Self {
        match result {
            Ok(_) => Right,
            Err(Error::Transport(error)) => Self::Transport(error.kind()),
            Err(Error::Http(error)) => Http(error.status()),
            Err(Error::Api(error)) => Api(error.code().0),
            Err(Error::Decode(_)) => Decode,
            Err(_) => Self::Other,
        }
    }

    fn ends_a_watch(self) -> bool {
        matches!(self, Api(403) | Http(403))
    }
}

#[derive(PartialEq, Eq)]
enum How {
    Often,
    /// It takes time.
    Rarely,
    /// It strikes every other request of a task.
    Once,
}

/// What becomes of a call: what the service makes of the good answer, and what the caller sees of it.
struct Fate {
    name: &'static str,
    how: How,
    seen: Seen,
    reply: fn(Reply) -> Reply,
}

impl Fate {
    const fn new(name: &'static str, seen: Seen, reply: fn(Reply) -> Reply) -> Self {
        Self {
            name,
            how: How::Often,
            seen,
            reply,
        }
    }

    const fn rarely(name: &'static str, seen: Seen, reply: fn(Reply) -> Reply) -> Self {
        Self {
            name,
            how: How::Rarely,
            seen,
            reply,
        }
    }

    /// A task is never created twice, so what strikes once is for `create_task` as if it struck always.
    fn seen_by_create(&self) -> Seen {
        if self.how == How::Once {
            CLOSED
        } else {
            self.seen
        }
    }
}

const GOOD: usize = 0;
const SERVER_CLOSES: usize = 1;
const NO_ANSWER: usize = 7;

/// Without a refused token, which is never sent again: [`Soak::revoke`] makes those.
static FATES: [Fate; 45] = [
    Fate::new("none", Right, |good| good),
    Fate::new("closes unannounced", Right, Reply::close_after),
    Fate::new("closes as announced", Right, Reply::announce_close),
    Fate::new("in chunks", Right, Reply::chunked),
    Fate::new("no length", Right, Reply::until_close),
    Fate::new("a delay", Right, |good| {
        good.delay(Duration::from_millis(5))
    }),
    Fate {
        name: "no answer, once",
        how: How::Once,
        seen: Right,
        reply: |_| Reply::nothing(),
    },
    Fate::new("no answer", CLOSED, |_| Reply::nothing()),
    Fate::new("cut in the status line", CLOSED, |good| good.cut_at(12)),
    Fate::new("cut in the head", CLOSED, |good| {
        cut(good.header_len() - 1, good)
    }),
    Fate::new("cut before the body", CLOSED, |good| {
        cut(good.header_len(), good)
    }),
    Fate::new("cut in the body", CLOSED, |good| cut(good.len() - 1, good)),
    Fate::new("cut in the chunks", CLOSED, |good| {
        cut(good.clone().chunked().len() - 9, good.chunked())
    }),
    Fate::new("cut without a length", Decode, |good| {
        cut(good.clone().until_close().len() - 1, good.until_close())
    }),
    Fate::new("Content-Length too great", CLOSED, |good| {
        good.header("Content-Length", "1000").close_after()
    }),
    Fate::new("Content-Length too small", Decode, |good| {
        good.header("Content-Length", "30")
    }),
    Fate::new("Content-Length no number", PROTOCOL, |good| {
        good.header("Content-Length", "x")
    }),
    Fate::new("a chunk size that is none", PROTOCOL, |_| {
        Reply::raw(BAD_CHUNK)
    }),
    Fate::new("a head of 9 KiB", PROTOCOL, |good| {
        good.header("X-Long", "x".repeat(9 * 1024))
    }),
    Fate::new("not HTTP", PROTOCOL, |_| {
        Reply::raw("SSH-2.0-OpenSSH_9.2\r\n")
    }),
    Fate::new("endless", Decode, Reply::endless),
    Fate::new("a body of 65 KiB", Decode, |good| {
        good.body(" ".repeat(65 * 1024))
    }),
    Fate::new("an empty body", Decode, |_| Reply::json("")),
    Fate::new("a page", Decode, |good| {
        good.body("<html><body>no</body></html>")
    }),
    Fate::new("not UTF-8", Decode, |good| {
        good.body(b"{\"code\":0,\"message\":\"\xff\"}".as_slice())
    }),
    Fate::new("no code", Decode, |_| {
        Reply::json(r#"{"data":{"process":100,"status":2,"taskID":7}}"#)
    }),
    Fate::new("no data", Decode, |_| {
        Reply::json(r#"{"code":0,"message":"ok","data":null}"#)
    }),
    Fate::new("other data", Decode, |_| {
        Reply::json(r#"{"code":0,"message":"ok","data":[7]}"#)
    }),
    Fate::new("code 1", Api(1), |_| Reply::code(1, "internal error")),
    Fate::new("code \"403\"", Api(403), |_| {
        Reply::json(r#"{"code":"403","message":"forbidden client ip"}"#)
    }),
    // Without `Retry-After` a watch would rest for a second.
    Fate::new("code 429", Api(429), |_| {
        Reply::code(429, "too many requests").header("Retry-After", "0")
    }),
    Fate::new("code 5066", Api(5066), |_| {
        Reply::code(5066, "file not found")
    }),
    Fate::new("code 0 in HTTP 502", Api(0), |good| good.status(502)),
    Fate::new("HTTP 301", Http(301), |_| {
        Reply::new(301).header("Location", "http://127.0.0.1:9/")
    }),
    Fate::new("HTTP 403", Http(403), |_| Reply::new(403)),
    Fate::new("HTTP 404", Http(404), |good| {
        good.status(404).body("<html>Not Found</html>")
    }),
    Fate::new("HTTP 429", Http(429), |_| {
        Reply::new(429).header("Retry-After", "0")
    }),
    Fate::new("HTTP 500", Http(500), |_| Reply::new(500)),
    Fate::new("HTTP 502", Http(502), |good| {
        good.status(502)
            .body("<html>Bad Gateway</html>")
            .announce_close()
    }),
    Fate::rarely("stalls before the head", TIMED_OUT, |good| good.stall_at(0)),
    Fate::rarely("stalls in the head", TIMED_OUT, |good| good.stall_at(30)),
    Fate::rarely("stalls in the body", TIMED_OUT, |good| {
        stall(good.len() - 1, good)
    }),
    Fate::rarely("Content-Length too great, silence", TIMED_OUT, |good| {
        good.header("Content-Length", "1000")
    }),
    Fate::rarely("byte by byte, too slow", TIMED_OUT, |good| {
        good.drip(Duration::from_millis(100))
    }),
    Fate::rarely("byte by byte", Right, |good| {
        good.drip(Duration::from_micros(10))
    }),
];

const BAD_CHUNK: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n";

fn cut(at: usize, reply: Reply) -> Reply {
    reply.cut_at(at)
}

fn stall(at: usize, reply: Reply) -> Reply {
    reply.stall_at(at)
}

/// What a task's poll is answered.
fn progress_of(task_id: u64) -> Progress {
    let status = [
        Status::InProgress,
        Status::Failed,
        Status::Succeeded,
        Status::Retrying,
    ][(task_id % 4) as usize];
    Progress::new(status, (task_id * 7 % 101) as u8)
}

fn url_of(number: u64) -> String {
    format!("https://example.org/{number}.png")
}

/// The stand-in, until standard input ends.
fn serve() {
    // To the end of the process.
    let service: &'static Service = Box::leak(Box::new(Service::start().unwrap()));
    service.keep_requests(0).credentials("client", SECRET);
    for (fate, at) in FATES.iter().zip(0..) {
        if at == GOOD as u64 || fate.how == How::Once {
            for id in at * ALIKE..(at + 1) * ALIKE {
                service.task(id, [progress_of(id)]);
            }
        }
    }
    let struck = Mutex::new(HashSet::new());
    // True for every other request of the same number.
    let strikes = move |number: u64| {
        let mut struck = struck.lock().unwrap();
        let now = struck.insert(number);
        if !now {
            struck.remove(&number);
        }
        now
    };
    service.reply_with(move |request| reply(service, request, &strikes));
    println!("{}", service.base_url());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// What fate has for a request; `None` is the stand-in's own answer, which needs a token that is live.
fn reply(service: &Service, request: &Request, strikes: &dyn Fn(u64) -> bool) -> Option<Reply> {
    if request.path.ends_with("/access_token") {
        // The caller sees it; the call after it gets the token.
        return strikes(REVOKE).then(Reply::nothing);
    }
    let number = request.task_id().or_else(|| number_in_url(&request.body))?;
    let good = match request.task_id() {
        Some(_) => Reply::progress(progress_of(number)),
        None => Reply::json(format!(
            r#"{{"code":0,"message":"ok","data":{{"taskID":{number}}}}}"#
        )),
    };
    if number == REVOKE {
        service.revoke_tokens();
        return Some(good);
    }
    let at = (number / ALIKE) as usize;
    // A task that was created has none.
    let fate = FATES.get(at)?;
    let usual =
        at == GOOD || fate.how == How::Once && request.task_id().is_some() && !strikes(number);
    (!usual).then(|| (fate.reply)(good))
}

fn number_in_url(body: &[u8]) -> Option<u64> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body["url"]
        .as_str()?
        .strip_prefix("https://example.org/")?
        .strip_suffix(".png")?
        .parse()
        .ok()
}

/// The stand-in's process. It ends with this one, whatever way that ends: by its standard input.
struct Server {
    process: Child,
    base: String,
}

impl Server {
    fn start() -> Self {
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new(program);
        let mut process = command
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the stand-in's process");
        let mut base = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut base)
            .unwrap();
        Self {
            process,
            base: base.trim().to_owned(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The folder of the token cache.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("pan123-soak-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The generator `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// The process as the system sees it.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    kib: u64,
    descriptors: usize,
    threads: usize,
}

impl Usage {
    /// `None` where there is no /proc.
    fn now() -> Option<Self> {
        // VmRSS is put together from counters of each CPU and may be some hundred KiB off on older kernels.
        let kib = field("/proc/self/smaps_rollup", "Rss:")
            .or_else(|| field("/proc/self/status", "VmRSS:"))?;
        let count = |path| fs::read_dir(path).ok().map(Iterator::count);
        // One is the list's own.
        Some(Self {
            kib,
            descriptors: count("/proc/self/fd")? - 1,
            threads: count("/proc/self/task")?,
        })
    }

    fn most(self, other: Self) -> Self {
        Self {
            kib: self.kib.max(other.kib),
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
        }
    }
}

fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(name))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// The most that was used in a half, and what it left behind on the heap.
#[derive(Debug)]
struct Half {
    most: Option<Usage>,
    kept: i64,
}

/// The client's side, and what it knows of the service's.
struct Soak {
    client: Client,
    cache: PathBuf,
    random: Random,
    calls: u64,
    /// How often each fate was seen.
    seen: [u64; FATES.len()],
    late: u64,
    /// The task that is polled.
    task: u64,
    /// The last task that was created, where that is known: the service counts them.
    created: Option<u64>,
    /// When the token was last replaced, and how often.
    replaced: Option<Instant>,
    replacements: u64,
    /// The call after which the service closed the connection unannounced.
    closed_at: u64,
}

fn soak(calls: u64, seed: u64) -> Result<(), String> {
    let started = Instant::now();
    let (server, folder) = (Server::start(), Folder::new());
    let mut soak = Soak::new(&server, &folder, seed);
    // Every fate once, so that whatever is set up at its first use is there before anything is measured.
    soak.revoke()?;
    (0..FATES.len())
        .try_for_each(|fate| soak.ask(fate).and_then(|()| soak.create(fate).map(drop)))?;
    soak.watch()?;
    soak.run_until(calls / 20, &mut None)?;
    let [first, second] = [calls / 2, calls].map(|end| soak.half(end));
    let (first, second) = (first?, second?);
    soak.report(&first, &second, started.elapsed());
    soak.judge(&first, &second)
}

impl Soak {
    fn new(server: &Server, folder: &Folder, seed: u64) -> Self {
        let cache = folder.0.join("token");
        let client = Client::builder()
            .credentials(Credentials::new("client", SECRET).cache_file(&cache))
            .base_url(&server.base)
            .timeout(TIMEOUT)
            // Each answer is to be seen.
            .retries(0)
            .build()
            .unwrap();
        let seen = [0; FATES.len()];
        let random = Random(seed);
        let (calls, late, task, created, replaced, replacements, closed_at) =
            (0, 0, 0, None, None, 0, 0);
        Self {
            client,
            cache,
            random,
            calls,
            seen,
            late,
            task,
            created,
            replaced,
            replacements,
            closed_at,
        }
    }

    fn half(&mut self, end: u64) -> Result<Half, String> {
        let mut most = Usage::now();
        let mut outcome = Ok(());
        let counted = allocation_counter::measure(|| outcome = self.run_until(end, &mut most));
        outcome.map(|()| Half {
            most,
            kept: counted.bytes_current,
        })
    }

    fn run_until(&mut self, end: u64, most: &mut Option<Usage>) -> Result<(), String> {
        // A thousand calls, or fewer where there are fewer altogether.
        let between_samples = (end / 500).clamp(1, 1000);
        let mut next_sample = self.calls;
        while self.calls < end {
            self.step()?;
            if self.calls >= next_sample {
                *most = most.zip(Usage::now()).map(|(most, now)| most.most(now));
                next_sample += between_samples;
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        if self
            .replaced
            .is_none_or(|replaced| replaced.elapsed() > Duration::from_secs(61))
        {
            return self.revoke();
        }
        let fate = self.fate();
        match self.random.below(1000) {
            0 => self.watch(),
            1..=20 => self.create(fate).map(drop),
            _ => self.ask(fate),
        }
    }

    /// One in twenty is a fault.
    fn fate(&mut self) -> usize {
        if self.random.below(20) != 0 {
            return GOOD;
        }
        let at = self.random.below(FATES.len() as u64) as usize;
        let fate = &FATES[at];
        let allowed = match fate.how {
            How::Rarely => self.random.below(150) == 0,
            // A connection that ends just now may cost the call the one replay that it has.
            How::Once => self.calls > self.closed_at + 10,
            How::Often => true,
        };
        if allowed { at } else { GOOD }
    }

    fn number(&mut self, fate: usize) -> u64 {
        fate as u64 * ALIKE + self.random.below(ALIKE)
    }

    fn ask(&mut self, fate: usize) -> Result<(), String> {
        // As most programs do, it asks for the same task again and again.
        if fate == GOOD && self.random.below(10) == 0 {
            self.task = self.number(GOOD);
        }
        let id = if fate == GOOD {
            self.task
        } else {
            self.number(fate)
        };
        let started = Instant::now();
        let result = self.client.get_process(id);
        let late = started.elapsed() > LATE;
        self.check(fate, FATES[fate].seen, Some(progress_of(id)), result, late)
    }

    /// Returns the new task's id, if there is one.
    fn create(&mut self, fate: usize) -> Result<Option<u64>, String> {
        let number = self.number(fate);
        let started = Instant::now();
        let result = self.client.create_task(&NewTask::new(url_of(number)));
        let late = started.elapsed() > LATE;
        let created = result.as_ref().ok().copied();
        let expected = if fate == GOOD {
            self.created.map(|last| last + 1)
        } else {
            Some(number)
        };
        if fate == GOOD {
            self.created = created;
        }
        self.check(fate, FATES[fate].seen_by_create(), expected, result, late)?;
        Ok(created)
    }

    /// Whether a call got what its fate says. `expected` is the good answer, if it is known.
    fn check<T: Debug + PartialEq>(
        &mut self,
        fate: usize,
        expected_seen: Seen,
        expected: Option<T>,
        result: pan123_offline::Result<T>,
        late: bool,
    ) -> Result<(), String> {
        self.calls += 1;
        self.seen[fate] += 1;
        if fate == SERVER_CLOSES {
            self.closed_at = self.calls;
        }
        let seen = Seen::of(&result);
        if seen == TIMED_OUT && expected_seen != TIMED_OUT && late {
            self.late += 1;
            return Ok(());
        }
        let right = match &result {
            Ok(answer) => expected.as_ref().is_none_or(|expected| expected == answer),
            Err(_) => true,
        };
        if seen == expected_seen && right {
            return Ok(());
        }
        Err(format!(
            "call {}, fault \"{}\": expected {expected_seen:?} {expected:?}, got {result:?}",
            self.calls, FATES[fate].name
        ))
    }

    /// Has the service kick out every token: one call sees that there is no other yet, the next one gets it, and so
    /// does the file.
    fn revoke(&mut self) -> Result<(), String> {
        if self.replacements == 0 {
            let lost = self.client.access_token();
            self.check(NO_ANSWER, CLOSED, None, lost, false)?;
        }
        let old = self.token()?;
        let result = self.client.get_process(REVOKE);
        self.check(GOOD, Right, Some(progress_of(REVOKE)), result, false)?;
        let lost = self.client.get_process(self.task);
        self.check(NO_ANSWER, CLOSED, None, lost, false)?;
        self.ask(GOOD)?;
        self.replaced = Some(Instant::now());
        self.replacements += 1;
        let new = self.token()?;
        let file = fs::read_to_string(&self.cache)
            .map_err(|error| format!("the token's cache: {error}"))?;
        let cache_error = self.client.token_cache_error();
        if new == old || !file.contains(new.secret()) || cache_error.is_some() {
            return Err(format!(
                "a token that was kicked out was not replaced as it should; {cache_error:?}"
            ));
        }
        Ok(())
    }

    fn token(&self) -> Result<AccessToken, String> {
        self.client
            .access_token()
            .map_err(|error| format!("no token: {error:?}"))
    }

    /// Follows six tasks to their ends, with the fates that come.
    fn watch(&mut self) -> Result<(), String> {
        let mut fates: Vec<(u64, usize)> = Vec::new();
        while fates.len() < 5 {
            let at = self.fate();
            if FATES[at].how != How::Rarely {
                // Of those that have ended.
                let number =
                    at as u64 * ALIKE + self.random.below(ALIKE / 4) * 4 + 1 + self.random.below(2);
                fates.push((number, at));
            }
        }
        fates.extend(self.create(GOOD)?.map(|created| (created, GOOD)));
        fates.sort_unstable();
        fates.dedup();
        let client = self.client.clone();
        let pause = Duration::from_nanos(1);
        let watch = client.watch(fates.iter().map(|&(id, _)| id));
        let ends_all =
            |seen: Seen| seen.ends_a_watch() && fates.iter().any(|&(_, at)| FATES[at].seen == seen);
        let mut ended = HashSet::new();
        for update in watch.policy(
            PollPolicy::new()
                .initial_interval(pause)
                .max_interval(pause)
                .max_consecutive_errors(2)
                .error_window(Duration::ZERO),
        ) {
            let id = update.task_id;
            let &(_, fate) = fates
                .iter()
                .find(|(watched, _)| *watched == id)
                .ok_or("an update of another task")?;
            if update.is_end() && !ended.insert(id) {
                return Err(format!("task {id} has ended twice"));
            }
            let seen = Seen::of(&update.result);
            let expected_seen = if ends_all(seen) {
                seen
            } else {
                FATES[fate].seen
            };
            let own = match (&update.result, Some(id) == self.created) {
                (Ok(progress), true) => *progress,
                _ => progress_of(id),
            };
            self.check(fate, expected_seen, Some(own), update.result, true)?;
        }
        if ended.len() == fates.len() {
            Ok(())
        } else {
            Err(format!("of {fates:?} only {ended:?} have ended"))
        }
    }

    fn report(&self, first: &Half, second: &Half, time: Duration) {
        println!("{:<34}{:<20}{:>10}", "fault", "seen as", "times");
        for (fate, times) in FATES.iter().zip(self.seen) {
            println!(
                "{:<34}{:<20}{times:>10}",
                fate.name,
                format!("{:?}", fate.seen)
            );
        }
        println!(
            "{} answers came too late, the token was replaced {} times\n",
            self.late, self.replacements
        );
        let row =
            |name: &str, values: [u64; 2]| println!("{name:<34}{:>15}{:>15}", values[0], values[1]);
        println!(
            "{} calls in {} s{:>22}{:>15}",
            self.calls,
            time.as_secs(),
            "first half",
            "second half"
        );
        if let (Some(first), Some(second)) = (first.most, second.most) {
            row("memory at its peak, KiB", [first.kib, second.kib]);
            println!(
                "{:<34}{:>30.4}",
                "  second to first",
                second.kib as f64 / first.kib as f64
            );
            row(
                "descriptors at their peak",
                [first.descriptors, second.descriptors].map(|count| count as u64),
            );
            row(
                "threads at their peak",
                [first.threads, second.threads].map(|count| count as u64),
            );
        } else {
            println!("no /proc here: memory, descriptors and threads were not looked at");
        }
        println!(
            "{:<34}{:>15}{:>15}",
            "left on the heap, bytes", first.kept, second.kept
        );
    }

    fn judge(&self, first: &Half, second: &Half) -> Result<(), String> {
        let mut broken = Vec::new();
        if let (Some(first), Some(second)) = (first.most, second.most) {
            if second.kib as f64 > first.kib as f64 * MOST_GROWTH {
                broken.push("memory grows");
            }
            if second.descriptors > first.descriptors {
                broken.push("descriptors grow");
            }
            if first.threads.max(second.threads) != 1 {
                broken.push("there is more than one thread");
            }
        }
        if second.kept > MOST_KEPT {
            broken.push("the heap grows");
        }
        if self.late > self.calls / 10_000 + 1 {
            broken.push("too many good answers came too late");
        }
        if broken.is_empty() {
            Ok(())
        } else {
            Err(broken.join(", "))
        }
    }
}
