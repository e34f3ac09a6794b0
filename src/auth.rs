//! The access token: what it may look like, and where it is kept.

use std::fmt;

use crate::error::{Error, Result};
use crate::transport::{Prepared, Transport};

/// The longest token that is taken, in bytes; the service's own have some hundred.
pub(crate) const LONGEST_TOKEN: usize = 4 * 1024;

/// The shortest token that is looked for in answers.
const SHORTEST_SECRET: usize = 16;

/// An access token of the service. It shows itself nowhere but in [`secret()`](Self::secret).
///
/// ```
/// use pan123_offline::AccessToken;
///
/// let token = AccessToken::from("eyJhbGciOi…");
/// assert_eq!(format!("{token:?}"), "AccessToken([redacted])");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(String);

impl AccessToken {
    /// The token itself. Mind where it goes.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Checks that the token can stand in a header.
    pub(crate) fn check(&self, setting: &'static str) -> Result<()> {
        let reason = if self.0.is_empty() {
            "it is empty; a token comes from POST /api/v1/access_token".to_owned()
        } else if self.0.len() > LONGEST_TOKEN {
            format!("it is longer than {LONGEST_TOKEN} bytes")
        } else if self.0.trim() != self.0 {
            "it has blanks or line breaks around it; trim it".to_owned()
        } else if !self.0.bytes().all(|byte| byte.is_ascii_graphic()) {
            "it may only hold visible ASCII characters".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::config(setting, reason))
    }
}

impl From<String> for AccessToken {
    fn from(token: String) -> Self {
        Self(token)
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

/// The token in use, with the request that carries it.
#[derive(Debug)]
pub(crate) struct Auth {
    token: AccessToken,
    prepared: Prepared,
}

impl Auth {
    pub(crate) fn new(token: AccessToken, transport: &Transport) -> Result<Self> {
        let prepared = transport.prepare(&token)?;
        Ok(Self { token, prepared })
    }

    pub(crate) fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// The body of an answer without the token, should the server have sent it back.
    pub(crate) fn redact(&self, body: &[u8]) -> Option<Vec<u8>> {
        let token = self.token.secret();
        // What is that short is a test's, and may be part of any word.
        if token.len() < SHORTEST_SECRET || !body.windows(token.len()).any(|part| part == token.as_bytes()) {
            return None;
        }
        Some(String::from_utf8_lossy(body).replace(token, "[redacted]").into_bytes())
    }
}
