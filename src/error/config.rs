//! Error of a setting.

use std::fmt;

/// Error of a setting that cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// Name of the setter or the environment variable.
    pub setting: &'static str,
    /// The fault of the value, and a value that would work.
    pub reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "setting `{}`: {}", self.setting, self.reason)
    }
}

impl std::error::Error for ConfigError {}
