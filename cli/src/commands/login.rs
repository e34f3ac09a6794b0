//! `login`: requests a token and keeps it.

use super::print;
use crate::args::Common;
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, usage, with_causes};
use crate::json;
use crate::settings::{Login, ResolvedSettings};

pub(super) fn login(common: &Common) -> Result<ExitStatus, Failure> {
    let settings = ResolvedSettings::resolve(common)?;
    let cache = match &settings.login {
        Login::Credentials { cache, .. } => cache
            .as_ref()
            .map_err(|reason| usage(format!("the token cannot be kept: {reason}")))?,
        Login::CachedToken { .. } => {
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
    client.request_access_token()?;
    if let Some(error) = client.token_cache_error() {
        return Err(usage(format!(
            "the token was issued, but cannot be kept: {}",
            with_causes(&error)
        )));
    }
    let service = settings.service();
    let text = match common.json {
        true => json::to_line(&serde_json::json!({
            "service": service,
            "token_cache": cache.to_string_lossy()
        })),
        false => format!(
            "{service} has issued a token, which is kept in {}\n",
            cache.display()
        ),
    };
    print(text.as_bytes())
}
