//! `login`: requests a token and keeps it.

use super::print;
use crate::args::Common;
use crate::exit_code::ExitStatus;
use crate::failure::{Failure, usage, with_causes};
use crate::json;
use crate::settings::{Login, ResolvedSettings};

pub(super) fn login(common: &Common) -> Result<ExitStatus, Failure> {
    let settings = ResolvedSettings::resolve(common)?;
    let Login::Credentials { cache, .. } = &settings.login else {
        return Err(usage(
            "a login needs a client id and secret, and no access token, which would go before them: \
             set PAN123_CLIENT_ID and PAN123_CLIENT_SECRET",
        ));
    };
    let kept = |reason: &String| usage(format!("the token cannot be kept: {reason}"));
    let cache = cache.as_ref().map_err(kept)?;
    let client = settings.builder().timeout(common.request_timeout).build()?;
    client.request_access_token()?;
    if let Some(error) = client.token_cache_error() {
        return Err(kept(&with_causes(&error)));
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
