//! Runs the tool in an environment of its own, to its end, and checks that it prints no secret.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pan123_offline::testing::Service;
use pan123_offline::{Progress, Status};
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::platform;

pub(crate) const TOOL: &str = env!("CARGO_BIN_EXE_pan123-offline");

pub(crate) const TASK: u64 = 403_316;
pub(crate) const RUNNING: Progress = Progress::new(Status::InProgress, 37);
pub(crate) const HALF: Progress = Progress::new(Status::InProgress, 50);
pub(crate) const SUCCEEDED: Progress = Progress::new(Status::Succeeded, 100);

/// A token that no text contains by chance.
pub(crate) const TOKEN: &str = "s3cr3t-Zq81-token-that-must-not-show";
pub(crate) const CLIENT_ID: &str = "client-7";
pub(crate) const SECRET: &str = "Kx93-secret-that-must-not-show";

/// Texts that no run may print: the token, the secret, and the tokens of the stand-in.
const SECRETS: [&str; 3] = [TOKEN, SECRET, "issued-token-"];

/// The time limit of a run. A run that exceeds it is killed, and its test fails.
const LIMIT: Duration = Duration::from_secs(120);

/// Starts a stand-in with one running task.
pub(crate) fn service() -> Service {
    let service = Service::start().unwrap();
    service.task(TASK, [RUNNING]);
    service
}

/// The tool with its environment, and a home folder that is removed when the test ends.
pub(crate) struct Tool {
    home: TempDir,
    environment: BTreeMap<&'static str, OsString>,
}

impl Tool {
    /// Creates a tool without an account.
    pub(crate) fn new() -> Self {
        // In memory, if possible: on a disk, SQLite waits at each commit.
        let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let home = home.unwrap();
        // Sockets of Windows need the system's folder.
        let kept = ["PATH", "SystemRoot"].into_iter();
        let kept = kept.filter_map(|name| Some((name, std::env::var_os(name)?)));
        let folders = ["", platform::CONFIG, platform::CACHE];
        let folders = folders.map(|folder| home.path().join(folder).into());
        let folders = platform::FOLDERS.into_iter().zip(folders);
        Self {
            environment: kept.chain(folders).collect(),
            home,
        }
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

    pub(crate) fn without_credentials(self) -> Self {
        self.without("PAN123_CLIENT_ID")
            .without("PAN123_CLIENT_SECRET")
    }

    /// Returns a path in the home folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file that only its owner can access into the home folder, and the folders before it.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        platform::set_mode(&path, 0o600);
        path
    }

    /// Returns the names in a folder of the home folder, in order.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// Runs the tool with these arguments, separated by blanks, and with an empty standard input.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &str) -> Run {
        self.feed(arguments, "")
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

    /// Starts the tool with the default handling of signals, as a terminal does.
    #[cfg(target_os = "linux")]
    pub(crate) fn start_interruptible(&self, arguments: &str) -> Running {
        let line = ["--default-signal=INT,TERM,HUP", TOOL].into_iter();
        let line: Vec<_> = line.chain(arguments.split_whitespace()).collect();
        Running::start(self.command("env", &line), "")
    }

    /// Runs a script of the shell.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn shell(&self, script: &str) -> Run {
        Running::start(self.command("sh", &["-c", script]), "").end()
    }

    /// Returns a command for any program in the tool's environment.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
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

/// A running program. Drop kills it and the processes that it has started.
pub(crate) struct Running {
    pub(crate) child: Child,
    /// What it has written to standard output and to standard error. No full pipe blocks it.
    output: [NamedTempFile; 2],
}

impl Running {
    pub(crate) fn start(command: Command, input: impl Into<Vec<u8>>) -> Self {
        let ((running, mut stdin), input) = (Self::spawn(command, None), input.into());
        // A program may end before it has read all of its input.
        thread::spawn(move || stdin.write_all(&input));
        running
    }

    /// Starts a program whose input is written by the test, with another standard output if one is named.
    pub(crate) fn spawn(mut command: Command, stdout: Option<Stdio>) -> (Self, ChildStdin) {
        let output = [(), ()].map(|()| NamedTempFile::new().unwrap());
        let [out, err] = output.each_ref().map(|file| file.reopen().unwrap());
        let stdout = stdout.unwrap_or(out.into());
        command.stdin(Stdio::piped()).stdout(stdout).stderr(err);
        let mut child = platform::spawn(&mut command).unwrap();
        let stdin = child.stdin.take().unwrap();
        (Self { child, output }, stdin)
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        platform::signal(name, &self.child.id().to_string());
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
        let code = platform::code(self.child.wait().unwrap());
        let output = self.output.each_ref();
        let [stdout, stderr] = output.map(|file| fs::read_to_string(file.path()).unwrap());
        let run = Run {
            code,
            stdout,
            stderr,
        };
        assert!(in_time, "it did not end: {run:#?}");
        for secret in SECRETS {
            // A part of a secret must not be printed either.
            let shows = |text: &str| text.contains(&secret[..13]);
            assert!(!shows(&run.stdout) && !shows(&run.stderr), "{run:#?}");
        }
        run
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After its end, the id may belong to another process.
        if !self.has_ended() {
            platform::kill(&mut self.child);
            let _ = self.child.wait();
        }
    }
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

/// Tests cases at the same time, because they mostly wait.
pub(crate) fn at_once<T: Send>(cases: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    let test = &test;
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || test(case));
        }
    });
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    #[track_caller]
    pub(crate) fn ends(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
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

    /// Asserts that the command did nothing, with exit code 2 and this message.
    #[track_caller]
    pub(crate) fn is_rejected(&self, text: &str) {
        self.ends(2).prints("").has_message(text);
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        let lines = self.stdout.lines().map(serde_json::from_str);
        let lines: Vec<Value> = lines.collect::<Result<_, _>>().unwrap();
        assert!(lines.iter().all(Value::is_object), "{self:#?}");
        lines
    }
}
