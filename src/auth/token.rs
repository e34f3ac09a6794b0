//! A token, as requests need it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::credentials::AccessToken;
use crate::error::Result;
use crate::transport::{RequestTemplate, Transport};

/// A token with the headers of its requests.
#[derive(Debug)]
pub(crate) struct Token {
    access_token: AccessToken,
    template: RequestTemplate,
    accepted: AtomicBool,
}

impl Token {
    pub(super) fn new(access_token: AccessToken, transport: &Transport) -> Result<Arc<Self>> {
        let template = transport.template(Some(&format!("Bearer {}", access_token.secret())))?;
        Ok(Arc::new(Self {
            access_token,
            template,
            accepted: AtomicBool::new(false),
        }))
    }

    pub(crate) fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    pub(crate) fn template(&self) -> &RequestTemplate {
        &self.template
    }

    /// Records that a request with this token has succeeded. If the service refuses it later, that is no reason to doubt
    /// the credentials: another process has requested tokens, and this one became invalid.
    pub(crate) fn mark_accepted(&self) {
        self.accepted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }
}
