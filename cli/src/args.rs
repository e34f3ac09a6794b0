//! The command line: one definition for the parser, the help, the completions and the man pages.

mod texts;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use self::texts::{Extract, Links, Rewrite};
use crate::help;

/// The name of the command.
pub(crate) const NAME: &str = "pan123-offline";

/// The heading of the options that every command has.
const SETTINGS: &str = "Settings";

/// Migrate images to the 123pan image host, from a list of URLs, through interruptions.
#[derive(Debug, Parser)]
#[command(
    name = NAME,
    // Not the name of the file, which is another one on Windows.
    bin_name = NAME,
    version,
    after_long_help = help::general(),
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options of every command.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Read the access token from this file
    ///
    /// There is no option for the token itself, because the list of processes would show it.
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true, help_heading = SETTINGS)]
    pub(crate) token_file: Option<PathBuf>,

    /// Keep the token of client id and secret in this file
    ///
    /// [default: `token` in the user's cache folder]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true, help_heading = SETTINGS)]
    pub(crate) token_cache: Option<PathBuf>,

    /// Send requests to this address [default: https://open-api.123pan.com]
    ///
    /// It must begin with https, except for a loopback address.
    #[arg(long, global = true, value_name = "URL", hide_short_help = true, help_heading = SETTINGS)]
    pub(crate) base_url: Option<String>,

    /// Read settings from this configuration file
    ///
    /// It holds a JSON object with any of access_token, client_id, client_secret, token_cache and
    /// base_url, and must be readable by its owner only.
    /// [default: `config.json` in the user's configuration folder]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true, help_heading = SETTINGS)]
    pub(crate) config: Option<PathBuf>,

    /// Maximum time for one request, such as 500ms, 30s or 2m
    ///
    /// It includes the DNS lookup and the connection.
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        default_value = "30s",
        value_parser = humantime::parse_duration,
        hide_short_help = true,
        help_heading = SETTINGS
    )]
    pub(crate) request_timeout: Duration,

    /// Maximum number of requests a second [default: 5; 1 for new tasks]
    ///
    /// It applies to all tasks together. The service bans clients that send too many requests.
    #[arg(long, global = true, value_name = "NUMBER", value_parser = rate, hide_short_help = true, help_heading = SETTINGS)]
    pub(crate) rate: Option<f64>,

    /// Print one JSON object per line
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print no progress and no summary, only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Print each request with its status, code, trace id and duration
    ///
    /// The access token is not printed. There are no progress bars then.
    #[arg(short, long, global = true, hide_short_help = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the URLs of the images in texts and folders, each once
    ///
    /// The output is a list for `migrate`. Texts may have any encoding: Markdown, HTML, JSON and
    /// others. Of a folder, hidden files, symbolic links and what `.gitignore` names are left out.
    /// Links of the image host itself are left out.
    #[command(after_long_help = help::examples("extract"))]
    Extract(Extract),
    /// Migrate a list of images: create their tasks and follow them, through interruptions
    ///
    /// A state file beside the list records each step. Started again, the command goes on where it
    /// was, and creates no task twice.
    #[command(after_long_help = help::examples("migrate"))]
    Migrate(Migrate),
    /// Print the number of images in each state
    ///
    /// It sends no request, and can be used during a migration.
    #[command(after_long_help = help::examples("status"))]
    Status(StatusArgs),
    /// Print images with their states
    ///
    /// Each line holds the line of the list, the URL, the state, the task id and the reason, with
    /// TABs between them, and `-` for what is absent. Images that are no longer in the list come
    /// last. It sends no request, and can be used during a migration.
    #[command(after_long_help = help::examples("report"))]
    Report(ReportArgs),
    /// Find the new link of each image that has arrived, and print all
    ///
    /// Each line holds the URL as the list has it, a TAB, and the new link. Links that are known need
    /// no request. The command can be used during a migration.
    #[command(after_long_help = help::examples("links"))]
    Links(Links),
    /// Replace the old links in texts and folders by the new ones
    ///
    /// Every other byte of a file stays as it is, and FILE.bak keeps the original. Each changed file
    /// is printed with the number of its links. It sends no request.
    #[command(after_long_help = help::examples("rewrite"))]
    Rewrite(Rewrite),
    /// Create tasks that fetch images from URLs, and print their ids
    ///
    /// For a list, `migrate` remembers what was created.
    #[command(after_long_help = help::examples("create"))]
    Create(Create),
    /// Track tasks until they finish
    ///
    /// Each change is printed on a line: id, status and percentage, with TABs between them. A task
    /// is no longer followed after eight consecutive errors that span at least ten minutes.
    #[command(after_long_help = help::examples("wait"))]
    Wait {
        #[command(flatten)]
        tasks: Tasks,
        #[command(flatten)]
        wait_args: WaitArgs,
    },
    /// Print the progress of tasks, once
    #[command(after_long_help = help::examples("process"))]
    Process(Tasks),
    /// Request a token for client id and secret, and keep it for the other commands
    #[command(after_long_help = help::examples("login"))]
    Login,
    /// Show the way from posts to posts with new links on a built-in service, without an account
    ///
    /// The posts lie in a temporary folder, which is removed at the end. Nothing leaves the machine.
    #[command(after_long_help = help::examples("demo"))]
    Demo,
    /// Print the completion script for a shell
    #[command(after_long_help = help::examples("completions"))]
    Completions {
        /// Name of the shell
        shell: Shell,
    },
    /// Print a manual page
    #[command(after_long_help = help::examples("man"))]
    Man {
        /// Name of a command [default: the main page]
        command: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Tasks {
    /// Task ids; `-` reads them from standard input, to its end
    ///
    /// On each line stands one id, or a JSON object of this command's output. Anything after the
    /// first TAB is ignored, except a URL: errors name it. Blank lines and lines that begin with
    /// `#` are skipped.
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Maximum time to wait, such as 90s, 10m or 2h [default: none]
    ///
    /// The tasks themselves go on. 0s polls each task once.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,

    /// Print a line for each end only, and none for changes before it
    #[arg(long)]
    pub(crate) only_ends: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// URLs of images
    ///
    /// A duplicate URL is created once.
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
    ///
    /// The tasks themselves go on.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, requires = "wait")]
    pub(crate) timeout: Option<Duration>,
}

/// The options of each new task.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct NewTaskArgs {
    /// Id of the target folder
    ///
    /// [default: the service's folder for offline downloads]
    #[arg(long, value_name = "ID", hide_short_help = true)]
    pub(crate) directory: Option<String>,

    /// URL to which the service POSTs the end of each task
    ///
    /// The service's documentation describes the body of that request.
    #[arg(long, value_name = "URL", hide_short_help = true)]
    pub(crate) callback_url: Option<String>,

    /// Create no further task after so many failures [default: no limit]
    ///
    /// A failure is a URL whose task failed, was not created, or could not be followed to its end.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_failures: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// List of URLs; `-` reads it from standard input
    ///
    /// On each line stands one URL, or a URL, a TAB and a file name. Blank lines and lines that
    /// begin with `#` are skipped. A duplicate URL is created once, in whatever spelling. The whole
    /// list is read before anything is sent.
    #[arg(value_name = "LIST")]
    pub(crate) list: PathBuf,

    /// Keep the state in this file [default: <LIST>.db]
    ///
    /// It is a SQLite database. Only its owner can read it, and one process migrates with it.
    /// `status` and `report` print what it holds.
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
    /// A task is unknown if the command was killed while it was being created, or if no clear
    /// response came back. Created again, it may exist twice.
    #[arg(long)]
    pub(crate) recreate_unknown: bool,

    #[command(flatten)]
    pub(crate) new_task: NewTaskArgs,

    /// Maximum number of new tasks a second [default: 1]
    #[arg(long, value_name = "NUMBER", value_parser = rate)]
    pub(crate) create_rate: Option<f64>,

    /// Maximum time for the whole run, such as 90s, 10m or 2h [default: none]
    ///
    /// The tasks themselves go on, and the next start follows them. 0s polls each task once.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

/// A list whose state is read.
#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// List of a migration, which need not exist any more
    #[arg(value_name = "LIST")]
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

/// The minimum rate: one request in eleven days. A lower one is a mistake.
const MIN_RATE: f64 = 1e-6;

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate >= MIN_RATE => Ok(rate),
        _ => Err(format!("it must be a number of at least {MIN_RATE}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_valid() {
        Arguments::command().debug_assert();
    }
}
