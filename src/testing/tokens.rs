//! Access tokens: validation and issue.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::failure::ApiFailure;

/// Maximum number of issued tokens that are valid at the same time.
const MAX_VALID: usize = 3;

const INVALID: ApiFailure = ApiFailure::new(401, "token is invalid");
const REVOKED: ApiFailure = ApiFailure::new(401, "tokens number has exceeded the limit");
const WRONG_CLIENT: ApiFailure = ApiFailure::new(1, "client id or secret is wrong");

/// Serial number of the next token, shared by the process: no service accepts a token of another
/// one.
static NEXT_SERIAL: AtomicUsize = AtomicUsize::new(1);

#[derive(Default)]
pub(super) struct Tokens {
    /// Whether tokens are compared. If not, any token is valid.
    checked: bool,
    /// Whether all tokens have been revoked at some time.
    revoked: bool,
    required: Option<String>,
    client: Option<(String, String)>,
    /// All tokens issued; those from `first_valid` on are valid.
    issued: Vec<String>,
    first_valid: usize,
}

impl Tokens {
    pub(super) fn require(&mut self, token: String) {
        self.required = Some(token);
        self.checked = true;
    }

    pub(super) fn set_client(&mut self, id: String, secret: String) {
        self.client = Some((id, secret));
        self.checked = true;
    }

    pub(super) fn revoke(&mut self) {
        self.required = None;
        self.first_valid = self.issued.len();
        self.checked = true;
        self.revoked = true;
    }

    pub(super) fn issued(&self) -> usize {
        self.issued.len()
    }

    /// Checks the value of an `Authorization` header.
    pub(super) fn check(&self, authorization: Option<&str>) -> Result<(), ApiFailure> {
        let token = authorization
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or(INVALID)?;
        let issued = self.issued.iter().position(|issued| issued == token);
        let valid = issued.is_some_and(|index| index >= self.first_valid);
        if !self.checked || valid || self.required.as_deref() == Some(token) {
            Ok(())
        } else if self.revoked || issued.is_some() {
            Err(REVOKED)
        } else {
            Err(INVALID)
        }
    }

    pub(super) fn issue(&mut self, id: &str, secret: &str) -> Result<&str, ApiFailure> {
        let accepted = match &self.client {
            Some(client) => (client.0.as_str(), client.1.as_str()) == (id, secret),
            None => !id.is_empty() && !secret.is_empty(),
        };
        if !accepted {
            return Err(WRONG_CLIENT);
        }
        let serial = NEXT_SERIAL.fetch_add(1, Ordering::Relaxed);
        // 100 characters, the length of a short real token.
        let index = self.issued.len();
        self.issued
            .push(format!("{:x<100}", format!("issued-token-{serial}-")));
        self.first_valid = self.first_valid.max((index + 1).saturating_sub(MAX_VALID));
        Ok(&self.issued[index])
    }
}
