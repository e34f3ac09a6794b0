//! The command `pan123-offline`: the library for terminals, shells and cron jobs.
//!
//! Requests are sent from the main thread. A second thread waits for signals; on a terminal
//! indicatif starts one that redraws the elapsed time.

#[expect(clippy::doc_markdown, reason = "clap shows doc comments as they are")]
mod args;
mod bars;
mod commands;
mod failure;
mod help;
mod input;
mod interrupt;
mod journal;
mod json;
mod lines;
mod report;
mod settings;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Arguments;

fn main() -> ExitCode {
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
