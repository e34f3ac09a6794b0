//! Which tokens are taken, and who gets one.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::api::Refusal;

/// How many issued tokens are live at once.
const MOST_LIVE: usize = 3;

const INVALID: Refusal = Refusal::new(401, "token is invalid");
const KICKED_OUT: Refusal = Refusal::new(401, "tokens number has exceeded the limit");
const WRONG_CLIENT: Refusal = Refusal::new(1, "client id or secret is wrong");

/// One number for the whole process: a token of one stand-in must not pass at the next one.
static SERIAL: AtomicUsize = AtomicUsize::new(1);

#[derive(Default)]
pub(super) struct Tokens {
    /// Whether tokens are told apart at all.
    checked: bool,
    /// Whether all tokens were kicked out at some time.
    revoked: bool,
    required: Option<String>,
    client: Option<(String, String)>,
    /// Every token ever issued; those from `first_live` on are taken.
    issued: Vec<String>,
    first_live: usize,
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
        self.first_live = self.issued.len();
        self.checked = true;
        self.revoked = true;
    }

    pub(super) fn issued(&self) -> usize {
        self.issued.len()
    }

    /// Judges the value of an `Authorization` header.
    pub(super) fn check(&self, authorization: Option<&str>) -> Result<(), Refusal> {
        let token = authorization.and_then(|value| value.strip_prefix("Bearer ")).ok_or(INVALID)?;
        let issued = self.issued.iter().position(|issued| issued == token);
        let live = issued.is_some_and(|at| at >= self.first_live);
        if !self.checked || live || self.required.as_deref() == Some(token) {
            Ok(())
        } else if self.revoked || issued.is_some() {
            Err(KICKED_OUT)
        } else {
            Err(INVALID)
        }
    }

    pub(super) fn issue(&mut self, id: &str, secret: &str) -> Result<&str, Refusal> {
        let right = match &self.client {
            Some(client) => (client.0.as_str(), client.1.as_str()) == (id, secret),
            None => !id.is_empty() && !secret.is_empty(),
        };
        if !right {
            return Err(WRONG_CLIENT);
        }
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        // As long as a small real one: 100 characters.
        let at = self.issued.len();
        self.issued.push(format!("{:x<100}", format!("issued-token-{serial}-")));
        self.first_live = self.first_live.max((at + 1).saturating_sub(MOST_LIVE));
        Ok(&self.issued[at])
    }
}
