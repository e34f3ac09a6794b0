//! Tests of the built program `pan123-offline` against the stand-in.
//!
//! `cargo test -p pan123-offline-cli`. Each run has an environment and a home of its own, ends by itself or is killed,
//! and must print no secret: `tool.rs` checks that for each run.
//!
//! On Windows the tests run that need no shell, no signals and no file modes. Tests that need `/proc`, `script` or
//! `/dev/full` run on Linux only.

#[cfg(unix)]
mod completions;
mod demo;
mod extract;
#[cfg(target_os = "linux")]
mod interrupt;
#[cfg(target_os = "linux")]
mod kills;
mod links;
mod list;
mod login;
mod migrate;
mod platform;
mod report;
mod rewrite;
#[cfg(target_os = "linux")]
mod screen;
mod settings;
mod tasks;
#[cfg(target_os = "linux")]
mod terminal;
mod tool;
mod whole_way;
