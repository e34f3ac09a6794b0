//! The command line: one definition for the parser, the help, the completions and the man pages.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use humantime::parse_duration as duration;

use crate::help;

/// The name of the command.
pub(crate) const NAME: &str = "pan123-offline";

/// Migrate images to the 123pan image host, from a list of URLs, through interruptions.
#[derive(Debug, Parser)]
// The name of the file is another one on Windows.
#[command(name = NAME, bin_name = NAME, version, after_long_help = help::GENERAL)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Common {
    /// Read the access token from this file
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(crate) token_file: Option<PathBuf>,

    /// Keep the token of client id and secret in this file [default: `token` in the user's cache folder]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(crate) token_cache: Option<PathBuf>,

    /// Send requests to this address [default: https://open-api.123pan.com]
    ///
    /// It must begin with https, except for a loopback address.
    #[arg(long, global = true, value_name = "URL", hide_short_help = true)]
    pub(crate) base_url: Option<String>,

    /// Read settings from this file [default: `config.json` in the user's configuration folder]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(crate) config: Option<PathBuf>,

    /// Maximum time for one request, with DNS lookup and connection, such as 500ms, 30s or 2m
    #[arg(long, global = true, value_name = "TIME", hide_short_help = true)]
    #[arg(default_value = "30s", value_parser = duration)]
    pub(crate) request_timeout: Duration,

    /// Maximum number of requests a second, for all tasks together [default: 5; 1 for new tasks]
    ///
    /// The service bans clients that send too many requests.
    #[arg(long, global = true, value_name = "NUMBER", hide_short_help = true)]
    #[arg(value_parser = gap)]
    pub(crate) rate: Option<Duration>,

    /// Print one JSON object per line
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print no progress and no summary, only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Print each request with its status, code, trace id and duration, in place of progress bars
    #[arg(short, long, global = true, hide_short_help = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the URLs of the images in texts and folders, each once
    ///
    /// The output is a list for `migrate`. Texts may have any encoding: Markdown, HTML, JSON and
    /// others. Links of the image host are left out, and of a folder hidden files, symbolic links and
    /// what `.gitignore` names.
    Extract(Extract),
    /// Migrate a list of images: create their tasks and follow them, through interruptions
    ///
    /// A state file beside the list records each step. Started again, the command goes on where it
    /// was, and creates no task twice.
    #[command(after_long_help = help::MIGRATE)]
    Migrate(Migrate),
    /// Print the number of images in each state, offline, also during a migration
    Status(StatusArgs),
    /// Print images with their states
    ///
    /// Each line holds the line of the list, the URL, the state, the task id and the reason, with
    /// TABs between them, and `-` for what is absent. Images that are no longer in the list come
    /// last. It works offline, also during a migration.
    #[command(after_long_help = help::REPORT)]
    Report(ReportArgs),
    /// Find the new link of each image that has arrived, and print all
    ///
    /// Each line holds the URL as the list has it, a TAB, and the new link. Links that are known need
    /// no request. The command can be used during a migration.
    Links(Links),
    /// Replace the old links in texts and folders by the new ones
    ///
    /// Every other byte of a file stays as it is, and FILE.bak keeps the original. Each changed file
    /// is printed with the number of its links. It sends no request.
    #[command(after_long_help = help::REWRITE)]
    Rewrite(Rewrite),
    /// Create tasks that fetch images from URLs, and print their ids
    ///
    /// For a list, `migrate` remembers what was created.
    Create(Create),
    /// Track tasks until they finish
    ///
    /// Each change is printed on a line: id, status and percentage, with TABs between them. A task
    /// is no longer followed after eight consecutive errors that span at least ten minutes.
    Wait(Wait),
    /// Print the progress of tasks, once
    Process(Tasks),
    /// Request a token for client id and secret, and keep it for the other commands
    Login,
    /// Show the way from posts to posts with new links on a built-in service, without an account
    Demo,
    /// Print the completion script for a shell
    ///
    /// That for bash belongs into ~/.local/share/bash-completion/completions/pan123-offline.
    Completions { shell: Shell },
    /// Print a manual page, for `man -l -`
    Man {
        /// Name of a command [default: the main page]
        command: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Tasks {
    /// Task ids; `-` reads them from standard input, to its end
    ///
    /// On each line stands one id, or a JSON object of this command's output. Blank lines and lines
    /// that begin with `#` are skipped.
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    #[command(flatten)]
    pub(crate) tasks: Tasks,

    /// Maximum time to wait, such as 90s, 10m or 2h [default: none]
    ///
    /// The tasks themselves go on. 0s polls each task once.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// Print a line for each end only, and none for changes before it
    #[arg(long)]
    pub(crate) only_ends: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// URLs of images, each of which is created once
    #[arg(required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,

    /// Name of the file, for a single URL
    #[arg(long, value_name = "NAME")]
    pub(crate) file_name: Option<String>,

    #[command(flatten)]
    pub(crate) new_task: NewTaskArgs,

    /// Track the created tasks until they finish
    #[arg(long)]
    pub(crate) wait: bool,

    /// Maximum time to wait, such as 90s, 10m or 2h [default: none]
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "wait")]
    pub(crate) timeout: Option<Duration>,
}

/// The options of each new task.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct NewTaskArgs {
    /// Id of the target folder [default: the service's folder for offline downloads]
    #[arg(long, value_name = "ID", hide_short_help = true)]
    pub(crate) directory: Option<String>,

    /// URL to which the service POSTs the end of each task
    #[arg(long, value_name = "URL", hide_short_help = true)]
    pub(crate) callback_url: Option<String>,

    /// Create no further task after so many failures [default: no limit]
    ///
    /// A failure is a URL whose task failed, was not created, or could not be followed to its end.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_failures: Option<NonZeroUsize>,
}

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// List of URLs; `-` reads it from standard input
    ///
    /// On each line stands one URL, or a URL, a TAB and a file name. Blank lines and lines that
    /// begin with `#` are skipped. The whole list is read before anything is sent.
    pub(crate) list: PathBuf,

    /// Keep the state in this file [default: <LIST>.db]
    ///
    /// It is a SQLite database that only its owner can read. One process migrates with it.
    #[arg(long, value_name = "FILE", required_if_eq("list", "-"))]
    pub(crate) state: Option<PathBuf>,

    /// Print what would be done, and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Do nothing if any line of the list is invalid
    #[arg(long)]
    pub(crate) strict: bool,

    /// Create failed and refused images again
    #[arg(long)]
    pub(crate) retry_failed: bool,

    /// Create the images again of which it is unknown whether a task exists
    ///
    /// The creation was cut off, or had no clear response. Created again, a task may exist twice.
    #[arg(long)]
    pub(crate) recreate_unknown: bool,

    #[command(flatten)]
    pub(crate) new_task: NewTaskArgs,

    /// Maximum number of new tasks a second
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = gap)]
    pub(crate) create_rate: Duration,

    /// Maximum time for the whole run, such as 90s, 10m or 2h [default: none]
    ///
    /// The tasks themselves go on, and the next start follows them. 0s polls each task once.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

/// A list whose state is read.
#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// List of a migration, which need not exist any more
    pub(crate) list: PathBuf,

    /// Read the state from this file [default: <LIST>.db]
    #[arg(long, value_name = "FILE", required_if_eq("list", "-"))]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,

    /// Exit with 0 if all have succeeded, with 4 while any is new or open, else with 1
    #[arg(long)]
    pub(crate) exit_code: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,

    /// Print images without a task
    #[arg(long)]
    pub(crate) new: bool,

    /// Print images whose task has not ended
    #[arg(long)]
    pub(crate) open: bool,

    /// Print images that have arrived
    #[arg(long)]
    pub(crate) succeeded: bool,

    /// Print images whose task failed
    #[arg(long)]
    pub(crate) failed: bool,

    /// Print images for which the service refused to create a task
    #[arg(long)]
    pub(crate) refused: bool,

    /// Print images of which it is unknown whether a task exists
    #[arg(long)]
    pub(crate) unknown: bool,

    /// Print invalid lines of the list
    #[arg(long)]
    pub(crate) invalid: bool,

    /// Print only URLs and file names, as a list for `migrate`
    #[arg(long, conflicts_with = "json")]
    pub(crate) urls: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Extract {
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// Print every http and https URL, not only those of images
    #[arg(long)]
    pub(crate) all: bool,

    /// Leave out the new links that are in this state of a migration
    ///
    /// Without it only links of 123pan.cn and 123pan.com are left out, not those of your own domain.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Links {
    #[command(flatten)]
    pub(crate) state: StateArgs,

    /// Look the known links up again, too
    #[arg(long)]
    pub(crate) refresh: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rewrite {
    #[command(flatten)]
    pub(crate) state: StateArgs,

    /// Files and folders
    ///
    /// Files with a NUL byte, backups, the list, its state and temporary files are left out.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// Print the lines that would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Write no FILE.bak
    #[arg(long)]
    pub(crate) no_backup: bool,

    /// Rename each FILE.bak over its FILE, where that has not changed since
    #[arg(long, conflicts_with_all = ["dry_run", "no_backup"])]
    pub(crate) undo: bool,
}

/// Parses a rate, and returns the time between two requests. More than eleven days are a mistake.
fn gap(text: &str) -> Result<Duration, &'static str> {
    match text.parse::<f64>() {
        Ok(rate) if rate >= 1e-6 => Ok(Duration::from_secs_f64(1.0 / rate)),
        _ => Err("it must be a number of at least 0.000001"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_valid_and_its_examples_parse() {
        Arguments::command().debug_assert();
        let whole = Arguments::command();
        for command in whole.get_subcommands().chain([&whole]) {
            let help = command.get_after_long_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            let examples = help.lines().filter(|line| line.starts_with("  pan123-"));
            let own = examples.flat_map(|line| line.split('|'));
            for line in own.filter(|part| part.contains(NAME)) {
                let words = line.split_whitespace();
                let words = words.take_while(|word| !["<", ">"].contains(word));
                let parsed = Arguments::try_parse_from(words);
                assert!(parsed.is_ok(), "{line}: {parsed:?}");
            }
        }
    }
}
