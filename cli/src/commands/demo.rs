//! `demo`: the whole way from posts to posts with new links, with this command and the built-in stand-in.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use pan123_offline::testing::Service;
use pan123_offline::{Progress, Status};

use super::print;
use crate::args::NAME;
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, eprint_line, usage};
use crate::files::{BACKUP, with_ending};
use crate::rewrite;
use crate::signals::{self, Signal};

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

pub(super) fn demo() -> Result<ExitStatus, Failure> {
    let signal = Arc::new(OnceLock::new());
    let received = Arc::clone(&signal);
    let on_signal = move |signal| {
        let _ = received.set(signal);
    };
    signals::handle(on_signal).map_err(not_set_up)?;
    // Removed on each way out.
    let folder = tempfile::Builder::new().prefix("pan123-demo-").tempdir();
    let folder = folder.map_err(not_set_up)?;
    let path = folder.path();
    let service = set_up(path).map_err(not_set_up)?;
    // No settings of the user count. The file is its owner's alone.
    let mut config = tempfile::NamedTempFile::new_in(path).map_err(not_set_up)?;
    config.write_all(b"{}").map_err(not_set_up)?;
    for line in [
        "extract posts > urls.txt",
        "migrate urls.txt",
        "links urls.txt",
        "rewrite urls.txt posts",
    ] {
        let _ = writeln!(io::stderr(), "\n$ {NAME} {line}");
        // Without `/proc`, Linux does not tell where this program is.
        let named = || PathBuf::from(env::args_os().next().unwrap_or_default());
        let mut command = Command::new(env::current_exe().unwrap_or_else(|_| named()));
        command
            .args(line.split(' ').take_while(|word| *word != ">"))
            .env("PAN123_ACCESS_TOKEN", "demo")
            .env("PAN123_BASE_URL", service.base_url())
            .env("PAN123_CONFIG", config.path())
            .current_dir(path)
            .stdin(Stdio::null());
        if line.ends_with("> urls.txt") {
            command.stdout(File::create(path.join("urls.txt")).map_err(not_set_up)?);
        }
        let status = run(&mut command, &signal).map_err(not_set_up)?;
        match (signal.get(), status.code()) {
            (Some(signal), _) => return Err(Failure::Silent(signal.exit_code())),
            // One image fails.
            (None, Some(0 | 1)) => {}
            (None, Some(code)) => return Err(Failure::Silent(code as u8)),
            (None, None) => return Err(usage(format!("the demonstration ended early: {status}"))),
        }
    }
    let diff = diff(path).map_err(not_set_up)?;
    eprint_line(&format!(
        "the changes of {POST}; the posts of this demonstration are removed"
    ));
    print(diff.as_bytes())
}

/// Runs a command to its end, or ends it when a signal comes.
fn run(command: &mut Command, signal: &OnceLock<Signal>) -> io::Result<process::ExitStatus> {
    let mut child = command.spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if signal.get().is_some() {
            child.kill()?;
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn not_set_up(error: io::Error) -> Failure {
    usage(format!("the demonstration cannot be set up: {error}"))
}

/// Writes the posts, and starts a stand-in whose tasks take some seconds. One fails.
fn set_up(folder: &Path) -> io::Result<Service> {
    fs::create_dir(folder.join("posts"))?;
    for (name, text) in POSTS {
        fs::write(folder.join(name), text)?;
    }
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

/// Returns the diff of a post and its backup.
fn diff(folder: &Path) -> io::Result<String> {
    let path = folder.join(POST);
    let old = fs::read(with_ending(&path, BACKUP))?;
    Ok(rewrite::diff(Path::new(POST), &old, &fs::read(path)?))
}
