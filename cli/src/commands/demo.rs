//! `demo`: the whole way from posts to posts with new links, with this command and the built-in stand-in.

use std::env;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use pan123_offline::testing::Service;
use pan123_offline::{Progress, Status};
use tempfile::NamedTempFile;

use super::print;
use crate::args::{Common, NAME};
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line, usage};
use crate::files::{BACKUP, with_ending};
use crate::rewrite;
use crate::signals;

const LIST: &str = "urls.txt";
/// The post whose diff is shown.
const POST: &str = "posts/cats.md";
const POSTS: [(&str, &str); 3] = [
    (
        POST,
        "# Cats\n\n![Tom](https://images.example/cats/tom.png \"asleep\")\n\n\
         ![Minka](<https://images.example/cats/minka 2.jpg>), the younger one.\n\n\
         A link that stays: https://images.example/cats/\n",
    ),
    (
        "posts/garden.html",
        "<p><img src=\"https://images.example/garden.php?id=7&amp;format=webp\" alt=\"Roses\">\n\
         <img srcset=\"https://images.example/bee-1.png 1x, https://images.example/bee-2.png 2x\"></p>\n",
    ),
    (
        "posts/trip.json",
        "{\"cover\":\"https:\\/\\/images.example\\/trip\\/cover.jpg\",\"body\":\
         \"![map](https://images.example/trip/map.svg) ![lost](https://images.example/trip/lost.gif)\"}\n",
    ),
];
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The command that runs.
type Running = Arc<Mutex<Option<Child>>>;

pub(super) fn demo(common: &Common) -> Result<ExitStatus, Failure> {
    let failed = |error: io::Error| usage(format!("the demonstration cannot be set up: {error}"));
    let folder = tempfile::Builder::new()
        .prefix("pan123-demo-")
        .tempdir()
        .map_err(failed)?;
    let running = Running::default();
    end_on_signals(&running, folder.path())?;
    fs::create_dir(folder.path().join("posts")).map_err(failed)?;
    for (name, text) in POSTS {
        fs::write(folder.path().join(name), text).map_err(failed)?;
    }
    // In the place of the user's own configuration file.
    let mut config = NamedTempFile::new_in(&folder).map_err(failed)?;
    config.write_all(b"{}").map_err(failed)?;
    let service = service().map_err(failed)?;
    for line in [
        "extract posts > urls.txt",
        "migrate urls.txt",
        "links urls.txt",
        "rewrite urls.txt posts",
    ] {
        if !common.quiet {
            let _ = writeln!(io::stderr(), "\n$ {NAME} {line}");
        }
        let mut command = command(line, common, folder.path()).map_err(failed)?;
        command
            .env("PAN123_ACCESS_TOKEN", "demo")
            .env("PAN123_BASE_URL", service.base_url())
            .env("PAN123_CONFIG", config.path())
            .env("NO_PROXY", "127.0.0.1");
        run(&mut command, &running)?;
    }
    let diff = diff(folder.path()).map_err(failed)?;
    // Windows removes no open file.
    drop(config);
    folder.close().map_err(failed)?;
    if !common.quiet {
        eprint_line(&format!(
            "the changes of {POST}; the posts of this demonstration are removed"
        ));
    }
    match common.json {
        true => Ok(ExitStatus::Succeeded),
        false => print(diff.as_bytes()),
    }
}

/// Starts a stand-in whose tasks take some seconds. One fails.
fn service() -> io::Result<Service> {
    let service = Service::start()?;
    service.new_tasks(|task_id, url| {
        let steps = 2 + task_id % 3;
        let percent = |step| (100 * step / steps) as u8;
        let progress = (0..steps).map(|step| Progress::new(Status::InProgress, percent(step)));
        let end = match url.contains("lost") {
            true => Progress::new(Status::Failed, percent(1)),
            false => Progress::new(Status::Succeeded, 100),
        };
        progress.chain([end]).collect()
    });
    Ok(service)
}

/// Returns this program with the words of a line, in a folder.
fn command(line: &str, common: &Common, folder: &Path) -> io::Result<Command> {
    // Without `/proc`, Linux does not tell where this program is.
    let named = || PathBuf::from(env::args_os().next().unwrap_or_default());
    let mut command = Command::new(env::current_exe().unwrap_or_else(|_| named()));
    let words = line.split(' ').take_while(|word| *word != ">");
    command.args(words).current_dir(folder).stdin(Stdio::null());
    for (is_given, option) in [
        (common.json, "--json"),
        (common.quiet, "--quiet"),
        (common.verbose, "--verbose"),
    ] {
        if is_given && !line.starts_with("extract") {
            command.arg(option);
        }
    }
    if line.starts_with("extract") {
        command.stdout(File::create(folder.join(LIST))?);
    }
    Ok(command)
}

/// Runs a command to its end. One that failed has told why.
fn run(command: &mut Command, running: &Running) -> Result<(), Failure> {
    let failed = |error: io::Error| usage(format!("{NAME} cannot be started: {error}"));
    // Locked first, so that a signal does not miss the new process.
    let mut child = lock(running);
    *child = Some(command.spawn().map_err(failed)?);
    drop(child);
    let status = loop {
        // Not locked during the delay, so that a signal can end the command.
        let mut child = lock(running);
        if let Some(status) = child
            .as_mut()
            .and_then(|child| child.try_wait().transpose())
        {
            *child = None;
            break status.map_err(failed)?;
        }
        drop(child);
        thread::sleep(POLL_INTERVAL);
    };
    match status.code() {
        // One image fails.
        Some(0 | 1) => Ok(()),
        Some(141) => Err(io::Error::from(ErrorKind::BrokenPipe).into()),
        _ => Err(usage(format!("the demonstration ended early: {status}"))),
    }
}

/// Ends the running command and removes the folder when a signal comes.
fn end_on_signals(running: &Running, folder: &Path) -> Result<(), Failure> {
    let (running, folder) = (Arc::clone(running), folder.to_owned());
    signals::handle(move |signal| {
        let mut child = lock(&running);
        if let Some(child) = child.as_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&folder);
        process::exit(signal.exit_code().into());
    })?;
    Ok(())
}

fn lock(running: &Running) -> MutexGuard<'_, Option<Child>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the diff of a post and its backup.
fn diff(folder: &Path) -> io::Result<String> {
    let path = folder.join(POST);
    let old = fs::read(with_ending(&path, BACKUP))?;
    Ok(rewrite::diff(Path::new(POST), &old, &fs::read(path)?))
}
