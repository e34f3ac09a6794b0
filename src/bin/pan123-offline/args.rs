//! The command line: one definition for the parser, the help, the completions and the man pages.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// The name of the command.
pub(crate) const NAME: &str = "pan123-offline";

/// Shown below every help.
const AFTER: &str = "\
Settings: options come first, then the variables PAN123_ACCESS_TOKEN, PAN123_CLIENT_ID, PAN123_CLIENT_SECRET, \
PAN123_TOKEN_CACHE, PAN123_BASE_URL and PAN123_CONFIG, then the configuration file.

Exit codes:
  0    all succeeded
  1    some task failed
  2    usage, or a setting that cannot work
  3    not authorised, or banned
  4    ran out of time
  5    could not ask or print, or was refused
  130  interrupted; 141: nobody reads the output any more";

/// Follow offline migration tasks of the 123pan image host to their end.
#[derive(Debug, Parser)]
#[command(name = NAME, version, after_help = AFTER, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Read the access token from this file; there is no option for the token itself, which the list of processes
    /// would show
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub(crate) token_file: Option<PathBuf>,

    /// Keep the token of client id and secret in this file [default: token in the user's cache folder]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub(crate) token_cache: Option<PathBuf>,

    /// Where the service is [default: https://open-api.123pan.com]
    #[arg(long, global = true, value_name = "URL", help_heading = "Settings")]
    pub(crate) base_url: Option<String>,

    /// The configuration file: JSON with any of access_token, client_id, client_secret, token_cache and base_url,
    /// readable by its owner only [default: config.json in the user's configuration folder]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub(crate) config: Option<PathBuf>,

    /// The time for one request, such as 500ms, 30s or 2m
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration, help_heading = "Settings")]
    pub(crate) request_timeout: Duration,

    /// Requests a second at most, of all tasks together; the service bans who floods it [default: 5, and 1 for new
    /// tasks]
    #[arg(long, global = true, value_name = "NUMBER", value_parser = rate, help_heading = "Settings")]
    pub(crate) rate: Option<f64>,

    /// Print one JSON object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask once how far tasks are
    Process(Tasks),
    /// Follow tasks to their ends
    Wait {
        #[command(flatten)]
        tasks: Tasks,
        #[command(flatten)]
        wait_args: WaitArgs,
    },
    /// Create tasks that fetch images from URLs, and print their ids
    Create(Create),
    /// Count what a journal holds, without asking the service; also while a migration writes to it
    Status(StatusArgs),
    /// List what a journal holds, without asking the service; also while a migration writes to it
    Report(ReportArgs),
    /// Get a token for client id and secret, and keep it for the other commands
    Login,
    /// Show what this looks like, on a service built in: nothing leaves the machine, and no account is needed
    Demo,
    /// Print the completions for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print a man page
    Man {
        /// Of this command; of the whole without it
        command: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Tasks {
    /// Task ids; `-` reads them from standard input, one a line, and takes what stands before the first blank
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Give up after this time, such as 90s, 10m or 2h; the tasks go on. 0s asks once [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Addresses of images; `-` reads them from standard input, one a line
    #[arg(required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,

    /// Name the image so; for one URL only
    #[arg(long, value_name = "NAME")]
    pub(crate) file_name: Option<String>,

    /// Put it into the folder of this id [default: the service's folder for offline downloads]
    #[arg(long, value_name = "ID")]
    pub(crate) directory: Option<String>,

    /// Have the service POST the end of each task to this address
    #[arg(long, value_name = "URL")]
    pub(crate) callback_url: Option<String>,

    /// Then follow the tasks to their ends
    #[arg(long)]
    pub(crate) wait: bool,

    #[command(flatten)]
    pub(crate) wait_args: WaitArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The journal of a migration
    #[arg(value_name = "JOURNAL")]
    pub(crate) journal: PathBuf,

    /// The list of URLs, so that those the journal does not have are counted as new
    #[arg(value_name = "FILE")]
    pub(crate) list: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The journal of a migration
    #[arg(value_name = "JOURNAL")]
    pub(crate) journal: PathBuf,

    /// List what failed, or was refused by the service
    #[arg(long)]
    pub(crate) failed: bool,

    /// List URLs whose task may exist: the creation was interrupted, or got no response
    #[arg(long)]
    pub(crate) unknown: bool,

    /// List tasks that have not ended
    #[arg(long)]
    pub(crate) open: bool,

    /// Print the URLs only, as `create` and `migrate` read them
    #[arg(long, conflicts_with = "json")]
    pub(crate) urls: bool,
}

/// One request in eleven days. Less is a slip, and with much less no clock reaches the second request.
const LOWEST_RATE: f64 = 1e-6;

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate >= LOWEST_RATE => Ok(rate),
        _ => Err(format!("it must be a number, and {LOWEST_RATE} at least")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds() {
        Arguments::command().debug_assert();
    }
}
