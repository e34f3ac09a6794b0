//! The options of `extract`, `links` and `rewrite`.

use std::path::PathBuf;

use clap::Args;

use super::StateArgs;

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
    /// Links of 123pan.cn and 123pan.com are left out without it, those of a domain of your own are
    /// not.
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
