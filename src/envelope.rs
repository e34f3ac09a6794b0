//! The envelope around every response, and its decoding.

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer};

use crate::error::{ApiError, DecodeError, Error, HttpError, Result, shorten};
use crate::error_code::ErrorCode;
use crate::json::{self, Number};

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
    /// `code` may be a whole number, or a string that holds one, as the service's load balancer sends it.
    ///
    /// # Errors
    /// [`Error::Decode`] if it is not a JSON object with a `code`, or if the code is 0 and `data` is not a `T`.
    pub fn from_slice(body: &[u8]) -> Result<Self> {
        let envelope = match json::from_slice::<RawEnvelope<T>>(body) {
            Ok(raw) => Self {
                data: raw.data.filter(|_| raw.code.0.is_ok()),
                code: raw.code.0,
                message: raw.message.unwrap_or_default(),
                trace_id: raw.trace_id,
            },
            Err(error) => parse_lenient(body).ok_or_else(|| {
                let reason = json::describe(&error, body);
                Error::Decode(DecodeError::new(reason, body, Some(error)))
            })?,
        };
        Ok(Self {
            message: shorten(envelope.message),
            trace_id: envelope.trace_id.map(shorten),
            ..envelope
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
        Error::Api(ApiError::new(
            self.code,
            self.message,
            self.trace_id,
            http_status,
        ))
    }
}

/// Decodes an HTTP response: its status and its body both count. A success with a longer body than `max_len` is an error.
pub(crate) fn decode<T: DeserializeOwned>(status: u16, body: &[u8], max_len: usize) -> Result<T> {
    if !(200..=299).contains(&status) {
        return Err(match Envelope::<de::IgnoredAny>::from_slice(body) {
            Ok(envelope) => envelope.into_error(Some(status)),
            Err(_) => Error::Http(HttpError::new(status, body)),
        });
    }
    if body.len() > max_len {
        let reason = format!("its body is longer than {} KiB", max_len / 1024);
        return Err(Error::Decode(DecodeError::new(reason, body, None)));
    }
    Envelope::from_slice(body)?.into_result_of(body, Some(status))
}

/// The documented fields.
#[derive(Deserialize)]
#[serde(rename = "Envelope")]
struct RawEnvelope<T> {
    code: Code,
    message: Option<String>,
    data: Option<T>,
    #[serde(rename = "x-traceID")]
    trace_id: Option<String>,
}

/// Parses an envelope field by field, so that an unexpected value in one field does not hide the code in another.
fn parse_lenient<T: DeserializeOwned>(body: &[u8]) -> Option<Envelope<T>> {
    let Code(code) = json::field(body, "code")?;
    // A success must have all that it needs, in valid UTF-8.
    let data = if code.is_ok() {
        std::str::from_utf8(body).ok()?;
        Some(json::field(body, "data")?)
    } else {
        None
    };
    let message = json::field(body, "message").unwrap_or_default();
    Some(Envelope {
        code,
        message,
        data,
        trace_id: json::field(body, "x-traceID"),
    })
}

/// A code in any of its forms: `403`, `403.0`, `"403"`, `"403 "`. Success has two only: `0` and `"0"`.
struct Code(ErrorCode);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let number = Number::deserialize(deserializer)?;
        match number.as_integer().map(ErrorCode) {
            Some(code) if !code.is_ok() || number == Number::Integer(0) => Ok(Self(code)),
            _ => Err(de::Error::custom("`code` must be a whole number")),
        }
    }
}
