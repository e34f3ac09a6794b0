//! `login`: requests a token and keeps it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use pan123_offline::{Error, ErrorCode};

use super::print;
use crate::args::Common;
use crate::failure::{ExitStatus, Failure, describe, usage};
use crate::json;
use crate::settings::{Login, ResolvedSettings};

pub(super) fn login(common: &Common) -> Result<ExitStatus, Failure> {
    let settings = ResolvedSettings::resolve(common)?;
    let cache = match &settings.login {
        Login::Credentials { cache, .. } => cache
            .as_ref()
            .map_err(|reason| usage(format!("the token cannot be kept: {reason}")))?,
        Login::CachedToken(_) => {
            return Err(usage(
                "a login needs a client id and secret: set PAN123_CLIENT_ID and PAN123_CLIENT_SECRET",
            ));
        }
        Login::Token(_) => {
            return Err(usage(
                "there is an access token already, which is used as it is; for a login take it \
                 away, and set PAN123_CLIENT_ID and PAN123_CLIENT_SECRET",
            ));
        }
    };
    let client = settings.builder().timeout(common.request_timeout).build()?;
    client.access_token().map_err(login_failure)?;
    if let Some(error) = client.token_cache_error() {
        return Err(usage(format!(
            "the token was issued, but cannot be kept: {}",
            describe(&error)
        )));
    }
    let issued_at = time_of(cache)?;
    if common.json {
        let cache = cache.to_string_lossy();
        let object = serde_json::json!({"token_cache": cache, "issued_at": issued_at});
        return print(json::to_line(&object).as_bytes());
    }
    print(
        format!(
            "the token in {} was issued at {issued_at}\n",
            cache.display()
        )
        .as_bytes(),
    )
}

/// Returns the failure of a login: an envelope with code 1 means a wrong client id or secret.
fn login_failure(error: Error) -> Failure {
    match &error {
        Error::Api(refusal) if refusal.code == ErrorCode::INTERNAL => Failure::Login(format!(
            "the service refused the login: check client id and secret; received: {}",
            refusal.message.escape_debug()
        )),
        _ => Failure::Service(error),
    }
}

/// Returns the time at which the token was written to its file, in UTC.
fn time_of(cache: &Path) -> Result<String, Failure> {
    let time: io::Result<SystemTime> = fs::metadata(cache).and_then(|metadata| metadata.modified());
    let time =
        time.map_err(|error| usage(format!("the token cache {}: {error}", cache.display())))?;
    // A wrong clock is no reason to fail.
    Ok(humantime::format_rfc3339_seconds(time.max(SystemTime::UNIX_EPOCH)).to_string())
}
