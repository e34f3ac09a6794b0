//! Access tokens, and the credentials for which the service issues them.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// Maximum length of a header's value in bytes. The service's own tokens have a few hundred.
const MAX_HEADER_VALUE_LEN: usize = 4 * 1024;

/// An access token of the service. `Debug` does not show it; [`secret()`](Self::secret) returns it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AccessToken(String);

impl AccessToken {
    /// Returns the token itself.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Checks that the token can be the value of a header. The error says why not.
    pub(crate) fn validate(&self) -> std::result::Result<(), &'static str> {
        if self.0.is_empty() {
            return Err("it is empty; POST /api/v1/access_token issues tokens");
        }
        check_header_value(&self.0, false)
    }
}

impl From<String> for AccessToken {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl From<&String> for AccessToken {
    fn from(token: &String) -> Self {
        Self(token.clone())
    }
}

impl From<&str> for AccessToken {
    fn from(token: &str) -> Self {
        Self(token.to_owned())
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken([redacted])")
    }
}

/// A client id and its secret, for which the service issues access tokens.
///
/// The service keeps three tokens valid for a client id; a fourth invalidates an older one. A program that starts often,
/// such as a build script or a cron job, should therefore share one token between its runs:
/// [`cache_file()`](Self::cache_file).
///
/// ```no_run
/// use pan123_offline::{Client, Credentials};
///
/// let credentials = Credentials::new("client id", "client secret").cache_file("/var/lib/my-job/pan123-token");
/// let client = Client::builder().credentials(credentials).build()?;
/// # Ok::<(), pan123_offline::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) cache_file: Option<PathBuf>,
}

impl Credentials {
    /// Creates credentials from the pair that the service's open platform shows.
    #[must_use]
    pub fn new(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            client_secret: client_secret.into(),
            cache_file: None,
        }
    }

    /// Sets a file that keeps the token between runs and shares it between processes. Default: none.
    ///
    /// Its folder must exist, and only its owner should be able to write to it: a lock file and a temporary file stand
    /// beside it. On Unix the file has mode 0600, and one that others can read or write is not used. A call waits for a
    /// locked file for at most seven eighths of its time. A cache that cannot be used fails no call:
    /// [`Client::token_cache_error`](crate::Client::token_cache_error) tells why. One for another client id or base URL
    /// is replaced.
    #[must_use]
    pub fn cache_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.cache_file = Some(path.into());
        self
    }

    /// Checks the values. The names are those under which the user set id and secret.
    pub(crate) fn validate(&self, [id, secret]: [&'static str; 2]) -> Result<()> {
        for (name, value) in [(id, &self.client_id), (secret, &self.client_secret)] {
            check_text(value).map_err(|reason| Error::config(name, reason))?;
        }
        match &self.cache_file {
            Some(path) if path.as_os_str().is_empty() => {
                Err(Error::config("cache_file", "it is empty"))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("client_id", &self.client_id)
            .field("client_secret", &"[redacted]")
            .field("cache_file", &self.cache_file)
            .finish()
    }
}

/// Checks that a text can be the value of a header. The error says why not.
pub(crate) fn check_header_value(
    text: &str,
    may_have_spaces: bool,
) -> std::result::Result<(), &'static str> {
    check_text(text)?;
    let is_valid = |byte: u8| byte.is_ascii_graphic() || (may_have_spaces && byte == b' ');
    if text.len() > MAX_HEADER_VALUE_LEN {
        Err("it is longer than 4096 bytes")
    } else if text.bytes().all(is_valid) {
        Ok(())
    } else if may_have_spaces {
        Err("it must contain only visible ASCII characters and spaces between them")
    } else {
        Err("it must contain only visible ASCII characters")
    }
}

fn check_text(text: &str) -> std::result::Result<(), &'static str> {
    if text.is_empty() {
        Err("it is empty")
    } else if text.trim() != text {
        Err("it begins or ends with white space; trim it")
    } else {
        Ok(())
    }
}
