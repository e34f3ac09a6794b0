//! Tests of the built program `pan123-offline` against the stand-in.
//!
//! `cargo test -p pan123-offline-cli`. Each run has an environment and a home of its own, ends
//! by itself or is killed, and must print no secret: `cli/tool.rs` checks that for each run.
//!
//! On Windows the tests run that need no shell, no signals and no file modes. Tests that need
//! `/proc`, `script` or `/dev/full` run on Linux only.

#[cfg(unix)]
#[path = "cli/completions.rs"]
mod completions;
#[path = "cli/demo.rs"]
mod demo;
#[path = "cli/extract.rs"]
mod extract;
#[cfg(target_os = "linux")]
#[path = "cli/interrupt.rs"]
mod interrupt;
#[cfg(target_os = "linux")]
#[path = "cli/kills.rs"]
mod kills;
#[path = "cli/links.rs"]
mod links;
#[path = "cli/list.rs"]
mod list;
#[path = "cli/login.rs"]
mod login;
#[path = "cli/migrate.rs"]
mod migrate;
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
#[path = "cli/tasks.rs"]
mod tasks;
#[cfg(target_os = "linux")]
#[path = "cli/terminal.rs"]
mod terminal;
#[path = "cli/tool.rs"]
mod tool;
#[path = "cli/whole_way.rs"]
mod whole_way;
