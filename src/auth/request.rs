//! The request that issues a token: `POST /api/v1/access_token`.

use std::time::Instant;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::credentials::{AccessToken, Credentials};
use crate::envelope::{self, MAX_BODY_LEN};
use crate::error::{DecodeError, Error, Result};
use crate::redact::{redact_new_token, redact_secret};
use crate::transport::{Connection, Request, Response, Transport};

const ACCESS_TOKEN_PATH: &str = "/api/v1/access_token";

/// The expiry time is ignored: a token is used until the service refuses it with 401.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IssuedToken {
    access_token: String,
}

/// Requests a token, once. Its errors show neither the secret nor a token.
pub(super) fn request_token(
    credentials: &Credentials,
    transport: &Transport,
    deadline: Instant,
) -> Result<AccessToken> {
    let client_secret = &credentials.client_secret;
    let body = json!({"clientID": credentials.client_id, "clientSecret": client_secret});
    let template = transport.template(None)?;
    let body = body.to_string();
    let request = Request {
        path: ACCESS_TOKEN_PATH,
        body: Some(body.as_bytes()),
        max_response_len: MAX_BODY_LEN,
    };
    let response = transport.send(&template, request, deadline, Connection::Own)?;
    let IssuedToken { access_token } =
        decode_response(&response, client_secret).map_err(redact_new_token)?;
    let token = AccessToken::from(access_token);
    match token.validate() {
        Ok(()) => Ok(token),
        Err(reason) => {
            let reason = format!("its `accessToken` cannot be used: {reason}");
            Err(Error::Decode(DecodeError::new(reason, b"", None)))
        }
    }
}

/// Decodes a response. Its error does not contain the secret of the request, which the server may quote.
pub(crate) fn decode_response<T: DeserializeOwned>(response: &Response, secret: &str) -> Result<T> {
    envelope::decode(response.status, &response.body, response.max_len)
        .map_err(|error| redact_secret(error, secret).with_retry_after(response.retry_after))
}
