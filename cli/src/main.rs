//! The command `pan123-offline`: the library for terminals, shells and cron jobs.
//!
//! Requests are sent from the main thread. Other threads wait for signals, redraw the elapsed time on a terminal, read
//! standard input for `wait -`, sync the journal to disk, and run the stand-in of `demo`.

#[expect(clippy::doc_markdown, reason = "clap shows doc comments as they are")]
mod args;
mod bars;
mod commands;
mod display;
mod failure;
mod files;
mod help;
mod input;
mod interrupt;
mod journal;
mod json;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the list and `extract` will use it")
)]
mod key;
mod lines;
mod overview;
mod report;
mod rewrite;
mod settings;
mod signals;
mod text;
mod traffic;

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
