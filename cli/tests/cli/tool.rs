//! Runs the tool in an environment of its own, to its end, and checks that it prints no secret.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pan123_offline::testing::Service;
use serde_json::Value;

use crate::platform;
use crate::support::TOKEN;

pub(crate) const CLIENT_ID: &str = "client-7";
pub(crate) const SECRET: &str = "Kx93-secret-that-must-not-show";

/// Texts that no run may print: the token, the secret, and the tokens of the stand-in.
const SECRETS: [&str; 3] = [TOKEN, SECRET, "issued-token-"];

/// The time limit of a run. A run that exceeds it is killed, and its test fails.
const LIMIT: Duration = Duration::from_secs(120);

/// The tool with its environment, and a home folder that is removed when the test ends.
pub(crate) struct Tool {
    home: PathBuf,
    environment: BTreeMap<&'static str, OsString>,
}

impl Tool {
    /// Creates a tool without an account.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let home = std::env::temp_dir().join(format!("pan123-cli-{}-{number}", std::process::id()));
        fs::create_dir(&home).unwrap();
        let tool = Self {
            environment: BTreeMap::new(),
            home,
        };
        let own = PathBuf::from(TOOL).parent().unwrap().to_owned();
        let others = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths([own].into_iter().chain(std::env::split_paths(&others)));
        let folders = [
            tool.home.clone(),
            tool.path(platform::CONFIG),
            tool.path(platform::CACHE),
        ];
        let mut tool = tool.with("PATH", path.unwrap());
        for (name, folder) in platform::FOLDERS.into_iter().zip(folders) {
            tool = tool.with(name, folder);
        }
        for name in platform::KEPT {
            tool = tool.with(name, std::env::var_os(name).unwrap());
        }
        tool
    }

    /// Creates a tool with a token for this stand-in, from the environment.
    pub(crate) fn of(service: &Service) -> Self {
        Self::at(service).with("PAN123_ACCESS_TOKEN", TOKEN)
    }

    /// Creates a tool for this stand-in, without an account.
    pub(crate) fn at(service: &Service) -> Self {
        Self::new().with("PAN123_BASE_URL", service.base_url())
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.insert(name, value.into());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    pub(crate) fn with_credentials(self) -> Self {
        self.with("PAN123_CLIENT_ID", CLIENT_ID)
            .with("PAN123_CLIENT_SECRET", SECRET)
    }

    /// Returns a path in the home folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Writes a file into the home folder, and the folders before it. The mode is for Unix.
    pub(crate) fn write(&self, name: &str, mode: u32, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        platform::set_mode(&path, mode);
        path
    }

    /// Runs the tool with these arguments, separated by blanks, and with an empty standard input.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &str) -> Run {
        self.feed(arguments, "")
    }

    #[track_caller]
    pub(crate) fn run_args<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Run {
        Running::start(self.command(TOOL, arguments), "").end()
    }

    /// Runs the tool with this text on standard input.
    #[track_caller]
    pub(crate) fn feed(&self, arguments: &str, input: impl Into<Vec<u8>>) -> Run {
        self.start(arguments, input).end()
    }

    pub(crate) fn start(&self, arguments: &str, input: impl Into<Vec<u8>>) -> Running {
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        Running::start(self.command(TOOL, &arguments), input)
    }

    /// Runs a script of the shell.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn shell(&self, script: &str, input: impl Into<Vec<u8>>) -> Run {
        Running::start(self.command("sh", &["-c", script]), input).end()
    }

    /// Returns a command for any program in the tool's environment.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, program: &str, arguments: &[A]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(&self.home);
        // The coverage of the tool is measured as well.
        if let Some(profile) = std::env::var_os("LLVM_PROFILE_FILE") {
            command.env("LLVM_PROFILE_FILE", profile);
        }
        command
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.home);
    }
}

pub(crate) const TOOL: &str = env!("CARGO_BIN_EXE_pan123-offline");

/// A running program. Drop kills it and the processes that it has started.
pub(crate) struct Running {
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    pub(crate) fn start(mut command: Command, input: impl Into<Vec<u8>>) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = platform::spawn(&mut command).unwrap();
        let (mut stdin, input) = (child.stdin.take().unwrap(), input.into());
        // A program may end before it has read all of its input.
        thread::spawn(move || stdin.write_all(&input));
        Self::listening(child)
    }

    fn listening(mut child: Child) -> Self {
        let stdout = Some(collect(child.stdout.take().unwrap()));
        let stderr = Some(collect(child.stderr.take().unwrap()));
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Starts a program as `start` does, and writes the input only after `before`.
    #[cfg(target_os = "linux")]
    pub(crate) fn start_typing(mut command: Command, input: &str, before: impl FnOnce()) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = platform::spawn(&mut command).unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let running = Self::listening(child);
        before();
        stdin.write_all(input.as_bytes()).unwrap();
        running
    }

    /// Starts a program as `start` does, without a reader of its output.
    #[cfg(target_os = "linux")]
    pub(crate) fn start_unread(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = platform::spawn(&mut command).unwrap();
        let stderr = Some(collect(child.stderr.take().unwrap()));
        Self {
            child,
            stdout: None,
            stderr,
        }
    }

    #[cfg(unix)]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        platform::signal(name, &self.id().to_string());
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end, and returns the output and the exit code.
    #[track_caller]
    pub(crate) fn end(mut self) -> Run {
        let in_time = until(|| self.has_ended());
        if !in_time {
            platform::kill(&mut self.child);
        }
        let status = self.child.wait().unwrap();
        let [stdout, stderr] = [self.stdout.take(), self.stderr.take()].map(text);
        let run = Run {
            status,
            stdout,
            stderr,
        };
        assert!(in_time, "it did not end: {run:#?}");
        run.shows_no_secret();
        run
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `wait` the id may belong to another process.
        if self.stderr.is_some() {
            platform::kill(&mut self.child);
            let _ = self.child.wait();
        }
    }
}

/// Reads on a thread of its own, so that no full pipe blocks the program.
fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

fn text(bytes: Option<JoinHandle<Vec<u8>>>) -> String {
    bytes.map_or_else(String::new, |bytes| {
        String::from_utf8(bytes.join().unwrap()).unwrap()
    })
}

/// Waits until the condition is true. Returns `false` if the time limit passes first.
pub(crate) fn until(mut condition: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > LIMIT {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Run {
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    fn shows_no_secret(&self) {
        for secret in SECRETS {
            // A part of a secret must not be printed either.
            let part = &secret[..13];
            assert!(
                !self.stdout.contains(part) && !self.stderr.contains(part),
                "a secret shows: {self:#?}"
            );
        }
    }

    pub(crate) fn code(&self) -> i32 {
        platform::code(self.status)
    }

    #[track_caller]
    pub(crate) fn ends(&self, code: i32) -> &Self {
        assert_eq!(self.code(), code, "{self:#?}");
        self
    }

    /// Asserts that standard output is exactly this.
    #[track_caller]
    pub(crate) fn prints(&self, text: &str) -> &Self {
        assert_eq!(self.stdout, text, "{self:#?}");
        self
    }

    /// Asserts that standard error contains this.
    #[track_caller]
    pub(crate) fn has_message(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "no {text:?} in {self:#?}");
        self
    }

    /// Asserts that standard error is empty.
    #[track_caller]
    pub(crate) fn is_quiet(&self) -> &Self {
        assert_eq!(self.stderr, "", "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        let lines = self
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let lines: Vec<_> = lines.collect();
        assert!(lines.iter().all(Value::is_object), "{self:#?}");
        lines
    }
}
