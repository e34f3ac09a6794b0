//! Reference texts: errors, faults, tokens and waiting. Shown on docs.rs only; there is no code here.

/// Errors: their kinds, the codes of the service, and what a caller can do.
///
#[doc = include_str!("docs/errors.md")]
pub mod errors {}

/// The result of each fault, at each place where it can occur.
///
#[doc = include_str!("docs/faults.md")]
pub mod faults {}

/// Access tokens: requesting, sharing between processes, replacing.
///
#[doc = include_str!("docs/tokens.md")]
pub mod tokens {}

/// Waiting for tasks: when a task is polled, and what ends it.
///
#[doc = include_str!("docs/waiting.md")]
pub mod waiting {}
