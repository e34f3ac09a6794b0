//! The command `pan123-offline`: the library for people, and for pipes.
//!
//! It runs on its main thread, as the library does. Of its own it has one more, which waits for Ctrl-C; on a terminal
//! indicatif adds one that moves the clock beside the bars.

mod args;
mod bars;
mod commands;
mod demo;
mod failure;
mod input;
mod interrupt;
mod report;
mod settings;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match commands::run(arguments) {
        Ok(end) => end.code().into(),
        Err(failure) => {
            if let Some(text) = failure.text() {
                // Where nobody listens there is nothing left to tell.
                let _ = writeln!(std::io::stderr(), "pan123-offline: {text}");
            }
            failure.code().into()
        }
    }
}
