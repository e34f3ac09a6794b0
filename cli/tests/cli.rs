//! Tests of the built program `pan123-offline` against the stand-in.
//!
//! `cargo test -p pan123-offline-cli`. Each run has an environment and a home of its own, ends
//! by itself or is killed, and must print no secret: `cli/tool.rs` checks that for each run.
//!
//! On Windows the tests run that need no shell, no signals and no file modes. Tests that need
//! `/proc`, `script` or `/dev/full` run on Linux only.

#[path = "cli/commands.rs"]
mod commands;
#[cfg(unix)]
#[path = "cli/completions.rs"]
mod completions;
#[path = "cli/ends.rs"]
mod ends;
#[path = "cli/extract.rs"]
mod extract;
#[cfg(unix)]
#[path = "cli/follow.rs"]
mod follow;
#[path = "cli/input.rs"]
mod input;
#[cfg(target_os = "linux")]
#[path = "cli/interrupt.rs"]
mod interrupt;
#[cfg(unix)]
#[path = "cli/journal.rs"]
mod journal;
#[path = "cli/json.rs"]
mod json;
#[cfg(target_os = "linux")]
#[path = "cli/kills.rs"]
mod kills;
#[path = "cli/migrate.rs"]
mod migrate;
#[cfg(unix)]
#[path = "cli/pace.rs"]
mod pace;
#[path = "cli/platform.rs"]
mod platform;
#[path = "cli/report.rs"]
mod report;
#[path = "cli/rewrite.rs"]
mod rewrite;
#[cfg(target_os = "linux")]
#[path = "cli/screen.rs"]
mod screen;
#[path = "cli/settings.rs"]
mod settings;
#[path = "cli/support.rs"]
mod support;
#[cfg(target_os = "linux")]
#[path = "cli/terminal.rs"]
mod terminal;
#[path = "cli/tool.rs"]
mod tool;
