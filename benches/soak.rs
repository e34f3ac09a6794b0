//! A million calls over one client, about 4 % of them with a fault: memory and descriptors must not grow.
//!
//! `cargo bench --bench soak`, or `cargo bench --bench soak -- CALLS SEED` for fewer calls or to repeat a run. The clock
//! decides when the token is replaced. The stand-in runs in a process of its own, so that memory, descriptors and
//! threads are those of the client. They are read from /proc; without it, only the responses are checked. Ends with 1
//! if a limit is exceeded.
#![allow(missing_docs, unreachable_pub, reason = "a program")]

#[path = "soak/faults.rs"]
mod faults;
#[path = "soak/responses.rs"]
mod responses;
mod server;
#[path = "soak/usage.rs"]
mod usage;

use std::collections::HashSet;
use std::fmt::Debug;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use faults::Seen::{self, Right};
use faults::{
    CLOSED, FAULTS, Frequency, GOOD, IDS_PER_FAULT, NO_RESPONSE, REVOKE, SERVER_CLOSES, TIMED_OUT,
    progress_of, url_of,
};
use pan123_offline::{AccessToken, Client, Credentials, NewTask, PollPolicy};
use responses::{SECRET, serve};
use server::Server;
use usage::Usage;

const CALLS: u64 = 1_000_000;

/// Maximum ratio of the memory in the second half to that in the first.
const MAX_GROWTH: f64 = 1.02;
/// Maximum number of bytes that the second half adds to the heap, since the pool may have one connection more.
const MAX_KEPT_BYTES: i64 = 64 * 1024;
/// Timeout of a call: short, since each stall takes this long, but enough for a busy machine.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Minimum time of a call whose good response may have timed out on a very busy machine.
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
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
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

/// The peak usage in a half of the calls, and the bytes that it added to the heap.
#[derive(Debug)]
struct Half {
    peak: Option<Usage>,
    kept: i64,
}

/// The client, and its knowledge of the service.
struct Soak {
    client: Client,
    cache: PathBuf,
    random: Random,
    calls: u64,
    /// Number of calls with each fault.
    seen: [u64; FAULTS.len()],
    /// Number of good responses that came too late.
    late: u64,
    /// The task that is polled.
    task: u64,
    /// The last task that was created, if it is known. The service counts them.
    created: Option<u64>,
    /// Time of the last replacement of the token.
    replaced: Option<Instant>,
    replacements: u64,
    /// The call after which the service closed the connection unannounced.
    closed_at: u64,
}

fn soak(calls: u64, seed: u64) -> Result<(), String> {
    let started = Instant::now();
    let (server, folder) = (Server::start(), Folder::new());
    let mut soak = Soak::new(&server, &folder, seed);
    // Every fault once, so that everything is initialized before the measurement.
    soak.revoke()?;
    (0..FAULTS.len())
        .try_for_each(|fault| soak.poll(fault).and_then(|()| soak.create(fault).map(drop)))?;
    soak.watch()?;
    soak.run_until(calls / 20, &mut None)?;
    let [first, second] = [calls / 2, calls].map(|end| soak.half(end));
    let (first, second) = (first?, second?);
    soak.report(&first, &second, started.elapsed());
    soak.check_limits(&first, &second)
}

impl Soak {
    fn new(server: &Server, folder: &Folder, seed: u64) -> Self {
        let cache = folder.0.join("token");
        let client = Client::builder()
            .credentials(Credentials::new("client", SECRET).cache_file(&cache))
            .base_url(&server.base)
            .timeout(TIMEOUT)
            // Each response is checked.
            .retries(0)
            .build()
            .unwrap();
        let seen = [0; FAULTS.len()];
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
        let mut peak = Usage::now();
        let mut outcome = Ok(());
        let counted = allocation_counter::measure(|| outcome = self.run_until(end, &mut peak));
        outcome.map(|()| Half {
            peak,
            kept: counted.bytes_current,
        })
    }

    fn run_until(&mut self, end: u64, peak: &mut Option<Usage>) -> Result<(), String> {
        // A thousand calls, or fewer in a short run.
        let between_samples = (end / 500).clamp(1, 1000);
        let mut next_sample = self.calls;
        while self.calls < end {
            self.step()?;
            if self.calls >= next_sample {
                *peak = peak.zip(Usage::now()).map(|(peak, now)| peak.max(now));
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
        let fault = self.fault();
        match self.random.below(1000) {
            0 => self.watch(),
            1..=20 => self.create(fault).map(drop),
            _ => self.poll(fault),
        }
    }

    /// Returns a fault for one call of twenty.
    fn fault(&mut self) -> usize {
        if self.random.below(20) != 0 {
            return GOOD;
        }
        let at = self.random.below(FAULTS.len() as u64) as usize;
        let fault = &FAULTS[at];
        let allowed = match fault.frequency {
            Frequency::Rarely => self.random.below(150) == 0,
            // If the pooled connection has just been closed, the call has already used its replay.
            Frequency::Once => self.calls > self.closed_at + 10,
            Frequency::Often => true,
        };
        if allowed { at } else { GOOD }
    }

    fn number(&mut self, fault: usize) -> u64 {
        fault as u64 * IDS_PER_FAULT + self.random.below(IDS_PER_FAULT)
    }

    fn poll(&mut self, fault: usize) -> Result<(), String> {
        // As in most programs, the same task is polled again and again.
        if fault == GOOD && self.random.below(10) == 0 {
            self.task = self.number(GOOD);
        }
        let id = if fault == GOOD {
            self.task
        } else {
            self.number(fault)
        };
        let started = Instant::now();
        let result = self.client.get_process(id);
        let late = started.elapsed() > LATE;
        self.check(
            fault,
            FAULTS[fault].seen,
            Some(progress_of(id)),
            result,
            late,
        )
    }

    /// Returns the new task's id, if there is one.
    fn create(&mut self, fault: usize) -> Result<Option<u64>, String> {
        let number = self.number(fault);
        let started = Instant::now();
        let result = self.client.create_task(&NewTask::new(url_of(number)));
        let late = started.elapsed() > LATE;
        let created = result.as_ref().ok().copied();
        let expected = if fault == GOOD {
            self.created.map(|last| last + 1)
        } else {
            Some(number)
        };
        if fault == GOOD {
            self.created = created;
        }
        self.check(
            fault,
            FAULTS[fault].seen_by_create(),
            expected,
            result,
            late,
        )?;
        Ok(created)
    }

    /// Checks the result of a call with a fault. `expected` is the good response, if it is known.
    fn check<T: Debug + PartialEq>(
        &mut self,
        fault: usize,
        expected_seen: Seen,
        expected: Option<T>,
        result: pan123_offline::Result<T>,
        late: bool,
    ) -> Result<(), String> {
        self.calls += 1;
        self.seen[fault] += 1;
        if fault == SERVER_CLOSES {
            self.closed_at = self.calls;
        }
        let seen = Seen::of(&result);
        if seen == TIMED_OUT && expected_seen != TIMED_OUT && late {
            self.late += 1;
            return Ok(());
        }
        let right = match &result {
            Ok(value) => expected.as_ref().is_none_or(|expected| expected == value),
            Err(_) => true,
        };
        if seen == expected_seen && right {
            return Ok(());
        }
        Err(format!(
            "call {}, fault \"{}\": expected {expected_seen:?} {expected:?}, got {result:?}",
            self.calls, FAULTS[fault].name
        ))
    }

    /// Has the service revoke all tokens. The next call fails, since its token request does; the call after it gets a
    /// new token, which is then in the cache file.
    fn revoke(&mut self) -> Result<(), String> {
        if self.replacements == 0 {
            let failed = self.client.access_token();
            self.check(NO_RESPONSE, CLOSED, None, failed, false)?;
        }
        let old = self.token()?;
        let result = self.client.get_process(REVOKE);
        self.check(GOOD, Right, Some(progress_of(REVOKE)), result, false)?;
        let failed = self.client.get_process(self.task);
        self.check(NO_RESPONSE, CLOSED, None, failed, false)?;
        self.poll(GOOD)?;
        self.replaced = Some(Instant::now());
        self.replacements += 1;
        let new = self.token()?;
        let file = fs::read_to_string(&self.cache)
            .map_err(|error| format!("the token's cache: {error}"))?;
        let cache_error = self.client.token_cache_error();
        if new == old || !file.contains(new.secret()) || cache_error.is_some() {
            return Err(format!(
                "a revoked token was not replaced correctly; {cache_error:?}"
            ));
        }
        Ok(())
    }

    fn token(&self) -> Result<AccessToken, String> {
        self.client
            .access_token()
            .map_err(|error| format!("no token: {error:?}"))
    }

    /// Follows six tasks with random faults to their ends.
    fn watch(&mut self) -> Result<(), String> {
        let mut faults: Vec<(u64, usize)> = Vec::new();
        while faults.len() < 5 {
            let at = self.fault();
            if FAULTS[at].frequency != Frequency::Rarely {
                // A task that has ended.
                let number = at as u64 * IDS_PER_FAULT
                    + self.random.below(IDS_PER_FAULT / 4) * 4
                    + 1
                    + self.random.below(2);
                faults.push((number, at));
            }
        }
        faults.extend(self.create(GOOD)?.map(|created| (created, GOOD)));
        faults.sort_unstable();
        faults.dedup();
        let client = self.client.clone();
        let pause = Duration::from_nanos(1);
        let watch = client.watch(faults.iter().map(|&(id, _)| id));
        let ends_all = |seen: Seen| {
            seen.ends_a_watch() && faults.iter().any(|&(_, at)| FAULTS[at].seen == seen)
        };
        let mut ended = HashSet::new();
        for update in watch.policy(
            PollPolicy::new()
                .initial_interval(pause)
                .max_interval(pause)
                .max_consecutive_errors(2)
                .error_window(Duration::ZERO),
        ) {
            let id = update.task_id;
            let &(_, fault) = faults
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
                FAULTS[fault].seen
            };
            let progress = match (&update.result, Some(id) == self.created) {
                (Ok(progress), true) => *progress,
                _ => progress_of(id),
            };
            self.check(fault, expected_seen, Some(progress), update.result, true)?;
        }
        if ended.len() == faults.len() {
            Ok(())
        } else {
            Err(format!("of {faults:?} only {ended:?} have ended"))
        }
    }

    fn report(&self, first: &Half, second: &Half, time: Duration) {
        println!("{:<34}{:<20}{:>10}", "fault", "seen as", "times");
        for (fault, times) in FAULTS.iter().zip(self.seen) {
            println!(
                "{:<34}{:<20}{times:>10}",
                fault.name,
                format!("{:?}", fault.seen)
            );
        }
        println!(
            "{} responses came too late, the token was replaced {} times\n",
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
        if let (Some(first), Some(second)) = (first.peak, second.peak) {
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
            println!("no /proc: memory, descriptors and threads were not measured");
        }
        println!(
            "{:<34}{:>15}{:>15}",
            "left on the heap, bytes", first.kept, second.kept
        );
    }

    fn check_limits(&self, first: &Half, second: &Half) -> Result<(), String> {
        let mut exceeded = Vec::new();
        if let (Some(first), Some(second)) = (first.peak, second.peak) {
            if second.kib as f64 > first.kib as f64 * MAX_GROWTH {
                exceeded.push("memory grows");
            }
            if second.descriptors > first.descriptors {
                exceeded.push("descriptors grow");
            }
            if first.threads.max(second.threads) != 1 {
                exceeded.push("there is more than one thread");
            }
        }
        if second.kept > MAX_KEPT_BYTES {
            exceeded.push("the heap grows");
        }
        if self.late > self.calls / 10_000 + 1 {
            exceeded.push("too many good responses came too late");
        }
        if exceeded.is_empty() {
            Ok(())
        } else {
            Err(exceeded.join(", "))
        }
    }
}
