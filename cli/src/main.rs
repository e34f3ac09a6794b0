//! The command `pan123-offline`: the library for terminals, shells and cron jobs.
//!
//! The main thread shows the progress of a run and ends it at its timeout. Other threads send the requests of a run, wait
//! for signals, and run the stand-in of `demo`.

#[expect(clippy::doc_markdown, reason = "clap shows doc comments as they are")]
mod args;
mod commands;
mod display;
mod engine;
mod exit_code;
mod failure;
mod files;
mod help;
mod image;
mod json;
mod key;
mod links;
mod list;
mod names;
mod observer;
mod output;
mod records;
mod rewrite;
mod settings;
mod signals;
mod stats;
mod store;
mod task_ids;
mod text;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Arguments;

fn main() -> ExitCode {
    #[cfg(unix)]
    signals::survive_file_limit();
    let arguments = Arguments::parse();
    match commands::run(arguments) {
        Ok(end) => end.code().into(),
        Err(failure) => {
            if let Some(text) = failure.text() {
                failure::eprint_line(&text);
            }
            failure.code().into()
        }
    }
}
