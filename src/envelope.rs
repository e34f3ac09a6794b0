//! The envelope around every response, and its decoding.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;

use crate::error::{ApiError, DecodeError, Error, HttpError, Result, shorten};
use crate::error_code::ErrorCode;
use crate::json::{self, Integer, JsonObject};

/// Maximum length of a body, except that of a page of a list. Not more than one byte more is read.
pub(crate) const MAX_BODY_LEN: usize = 64 * 1024;

/// The object that wraps every response of the service.
///
/// ```
/// use pan123_offline::{Envelope, ErrorCode, Progress};
///
/// let body = br#"{"code":401,"message":"token is expired","data":null}"#;
/// let envelope = Envelope::<Progress>::from_slice(body)?;
/// assert_eq!(envelope.code, ErrorCode::UNAUTHORIZED);
/// assert!(envelope.into_result().unwrap_err().is_unauthorized());
/// # Ok::<(), pan123_offline::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Envelope<T> {
    /// 0 for success; any other number is an error.
    pub code: ErrorCode,
    /// The service's message, at most 256 characters; empty if it sent none.
    pub message: String,
    /// The result. `None` if the code is not 0, whatever the response has here.
    pub data: Option<T>,
    /// `x-traceID`, which the service's support asks for; at most 256 characters.
    pub trace_id: Option<String>,
}

impl<T: DeserializeOwned> Envelope<T> {
    /// Decodes the body of a response. A byte-order mark before it is skipped.
    ///
    /// `code` may be a whole number, or a string that holds one, as the service's load balancer sends it. Success has the
    /// code `0` or `"0"`, not `0.0`.
    ///
    /// # Errors
    /// [`Error::Decode`] if it is not a JSON object with a `code`, or if the code is 0 and `data` is not a `T`.
    pub fn from_slice(body: &[u8]) -> Result<Self> {
        Self::parse(body, true)
    }

    /// Decodes a body, and the texts of a success only if they are wanted.
    fn parse(body: &[u8], wants_texts: bool) -> Result<Self> {
        Self::parse_json(body, wants_texts).map_err(|error| {
            let reason = json::describe(&error, body);
            Error::Decode(DecodeError::new(reason, body, Some(error)))
        })
    }

    fn parse_json(body: &[u8], wants_texts: bool) -> serde_json::Result<Self> {
        let body = json::strip_bom(body);
        // Faster than the lossy conversion, which looks at each byte.
        let json = match std::str::from_utf8(body) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(body),
        };
        // Of an error, only the code must be valid: no other field hides it, such as one that comes twice.
        let raw = match serde_json::from_str::<JsonObject<RawEnvelope<'_>>>(&json) {
            Ok(JsonObject(raw)) => raw,
            Err(error) => {
                return match serde_json::from_str(&json) {
                    Ok(JsonObject(CodeAlone { code })) if code.0 != 0 => Ok(Self {
                        code: ErrorCode(code.0),
                        message: String::new(),
                        data: None,
                        trace_id: None,
                    }),
                    _ => Err(error),
                };
            }
        };
        let Integer(code) = serde_json::from_str(raw.code.get())?;
        let code = ErrorCode(code);
        if code.is_ok() && !["0", "\"0\""].contains(&raw.code.get()) {
            return Err(de::Error::custom(
                "expected `0` or `\"0\"`, the code of a success",
            ));
        }
        let data = match raw.data {
            // A success must be valid UTF-8.
            Some(_) if code.is_ok() && matches!(json, Cow::Owned(_)) => {
                return Err(de::Error::custom("invalid UTF-8"));
            }
            Some(data) if code.is_ok() => Some(serde_json::from_str(data.get())?),
            _ => None,
        };
        let text = |value: Option<&RawValue>| match wants_texts || !code.is_ok() {
            true => serde_json::from_str(value?.get()).ok().map(shorten),
            false => None,
        };
        Ok(Self {
            code,
            message: text(raw.message).unwrap_or_default(),
            data,
            trace_id: text(raw.trace_id),
        })
    }
}

impl<T> Envelope<T> {
    /// Returns the data, or the error that the envelope holds.
    ///
    /// # Errors
    /// [`Error::Api`] if the code is not 0; [`Error::Decode`] if it is 0 and `data` is missing.
    pub fn into_result(self) -> Result<T> {
        self.into_result_of(b"", None)
    }

    fn into_result_of(self, body: &[u8], http_status: Option<u16>) -> Result<T> {
        if !self.code.is_ok() {
            return Err(self.into_error(http_status));
        }
        self.data.ok_or_else(|| {
            let reason = "its `code` is 0 and its `data` is missing";
            Error::Decode(DecodeError::new(reason, body, None))
        })
    }

    fn into_error(self, http_status: Option<u16>) -> Error {
        let error = ApiError::new(self.code, self.message, self.trace_id, http_status);
        Error::Api(error)
    }
}

/// Decodes an HTTP response: its status and its body both count. A success has an object as `data`, and no longer body than
/// `max_len`.
pub(crate) fn decode<T: DeserializeOwned>(status: u16, body: &[u8], max_len: usize) -> Result<T> {
    if !(200..=299).contains(&status) {
        return Err(match Envelope::<IgnoredAny>::from_slice(body) {
            Ok(envelope) => envelope.into_error(Some(status)),
            Err(_) => Error::Http(HttpError::new(status, body)),
        });
    }
    if body.len() > max_len {
        let reason = format!("its body is longer than {} KiB", max_len / 1024);
        return Err(Error::Decode(DecodeError::new(reason, body, None)));
    }
    let JsonObject(data) = Envelope::parse(body, false)?.into_result_of(body, Some(status))?;
    Ok(data)
}

#[derive(Deserialize)]
struct RawEnvelope<'a> {
    #[serde(borrow)]
    code: &'a RawValue,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow, rename = "x-traceID")]
    trace_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CodeAlone {
    code: Integer<i64>,
}
