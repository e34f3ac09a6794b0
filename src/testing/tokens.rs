//! Access tokens: validation and issue.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::reply::Reply;

/// Maximum number of issued tokens that are valid at the same time.
const MAX_VALID: usize = 3;

/// Serial number of the next token, shared by the process: no service accepts a token of another
/// one.
static NEXT_SERIAL: AtomicUsize = AtomicUsize::new(1);

#[derive(Default)]
pub(super) struct Tokens {
    pub(super) required: Option<String>,
    pub(super) client: Option<(String, String)>,
    /// All tokens issued; those from `first_valid` on are valid.
    pub(super) issued: Vec<String>,
    first_valid: usize,
    /// Whether all tokens have been revoked at some time.
    revoked: bool,
}

impl Tokens {
    pub(super) fn revoke(&mut self) {
        self.required = None;
        self.first_valid = self.issued.len();
        self.revoked = true;
    }

    /// Checks the value of an `Authorization` header.
    pub(super) fn check(&self, authorization: Option<&str>) -> Result<(), Reply> {
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        let issued = self
            .issued
            .iter()
            .position(|issued| Some(issued.as_str()) == token);
        let valid = issued.is_some_and(|index| index >= self.first_valid);
        let checked = self.revoked || self.required.is_some() || self.client.is_some();
        let accepted = !checked || valid || self.required.as_deref() == token;
        match token {
            Some(_) if accepted => Ok(()),
            Some(_) if self.revoked || issued.is_some() => {
                Err(Reply::code(401, "tokens number has exceeded the limit"))
            }
            _ => Err(Reply::code(401, "token is invalid")),
        }
    }

    pub(super) fn issue(&mut self, id: &str, secret: &str) -> Result<String, Reply> {
        let accepted = match &self.client {
            Some(client) => (client.0.as_str(), client.1.as_str()) == (id, secret),
            None => !id.is_empty() && !secret.is_empty(),
        };
        if !accepted {
            return Err(Reply::code(1, "client id or secret is wrong"));
        }
        let serial = NEXT_SERIAL.fetch_add(1, Ordering::Relaxed);
        // 100 characters, the length of a short real token.
        let token = format!("{:x<100}", format!("issued-token-{serial}-"));
        self.issued.push(token.clone());
        let first_of_the_latest = self.issued.len().saturating_sub(MAX_VALID);
        self.first_valid = self.first_valid.max(first_of_the_latest);
        Ok(token)
    }
}
