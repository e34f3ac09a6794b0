//! Reference texts. There is no code here.

/// The result of each fault, at each place where it can occur.
///
#[doc = include_str!("faults.md")]
pub mod faults {}
