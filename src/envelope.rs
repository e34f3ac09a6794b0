//! The envelope around every answer, and its decoding: bytes in, result out.

use std::fmt;

use serde::de::{self, DeserializeOwned, IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;

use crate::error::{ApiError, DecodeError, Error, HttpError, Result};

/// What every answer of the service is wrapped in.
///
/// ```
/// use pan123_offline::{Envelope, ErrorCode, Progress};
///
/// let answer = br#"{"code":401,"message":"token is expired","data":null}"#;
/// let envelope = Envelope::<Progress>::from_slice(answer)?;
/// assert_eq!(envelope.code, ErrorCode::UNAUTHORIZED);
/// assert!(envelope.into_result().unwrap_err().is_unauthorized());
/// # Ok::<(), pan123_offline::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope<T> {
    /// 0 for success; any other number is an error.
    pub code: ErrorCode,
    /// The service's own words; empty where it sent none.
    pub message: String,
    /// What was asked for. Only where the code is 0: whatever an error carries here is dropped.
    pub data: Option<T>,
    /// `x-traceID`, which the service's support asks for.
    pub trace_id: Option<String>,
}

impl<T: DeserializeOwned> Envelope<T> {
    /// Decodes the body of an answer. A byte-order mark before it is skipped.
    ///
    /// `code` may be a whole number or a string that holds one, as the service's load balancer sends it.
    ///
    /// # Errors
    /// [`Error::Decode`] if it is not a JSON object with a `code`, or if the code is 0 and `data` is not a `T`.
    pub fn from_slice(body: &[u8]) -> Result<Self> {
        read(body)
    }
}

impl<T> Envelope<T> {
    /// What was asked for, or why not.
    ///
    /// # Errors
    /// [`Error::Api`] if the code is not 0; [`Error::Decode`] if it is 0 and `data` is missing.
    pub fn into_result(self) -> Result<T> {
        match self.data {
            Some(data) if self.code.is_ok() => Ok(data),
            None if self.code.is_ok() => Err(missing_data(&[])),
            _ => Err(self.into_error(None)),
        }
    }

    fn into_error(self, http_status: Option<u16>) -> Error {
        Error::Api(ApiError::new(self.code, self.message, self.trace_id, http_status))
    }
}

/// The most bytes of a body that are read, whatever the server sends.
pub(crate) const MAX_BODY_LEN: usize = 64 * 1024;

/// Makes of an HTTP answer what its status and its body say together.
pub(crate) fn decode<T: DeserializeOwned>(status: u16, body: &[u8]) -> Result<T> {
    if !(200..=299).contains(&status) {
        // `data` does not count here, so whatever it is, the code and the message come through.
        return Err(match read::<IgnoredAny>(body) {
            Ok(envelope) => envelope.into_error(Some(status)),
            Err(_) => Error::Http(HttpError::new(status, body)),
        });
    }
    if body.len() > MAX_BODY_LEN {
        let reason = format!("its body is longer than {} KiB", MAX_BODY_LEN / 1024);
        return Err(Error::Decode(DecodeError::new(reason, body, None)));
    }
    // The usual answer, in one pass and without a copy of its texts.
    if let Ok(Good { code: ErrorCode::OK, data: Some(data) }) = from_json(body) {
        return Ok(data);
    }
    let envelope = read::<T>(body)?;
    if envelope.code.is_ok() {
        envelope.data.ok_or_else(|| missing_data(body))
    } else {
        Err(envelope.into_error(Some(status)))
    }
}

fn missing_data(body: &[u8]) -> Error {
    Error::Decode(DecodeError::new("its `code` is 0 and its `data` is missing", body, None))
}

/// What an answer needs to be a success.
#[derive(Deserialize)]
#[serde(rename = "Envelope")]
struct Good<T> {
    code: ErrorCode,
    data: Option<T>,
}

/// An envelope as the document has it.
#[derive(Deserialize)]
#[serde(rename = "Envelope")]
struct Wire<T> {
    code: ErrorCode,
    message: Option<String>,
    data: Option<T>,
    #[serde(rename = "x-traceID")]
    trace_id: Option<String>,
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<Envelope<T>> {
    match from_json::<Wire<T>>(body) {
        Ok(Wire { code, message, data, trace_id }) => {
            Ok(Envelope { code, message: message.unwrap_or_default(), data: data.filter(|_| code.is_ok()), trace_id })
        }
        Err(failure) => read_leniently(body).ok_or_else(|| {
            Error::Decode(DecodeError::new(complaint(&failure, without_mark(body)), body, Some(failure)))
        }),
    }
}

/// A second look: what is odd beside the code must not hide it. Field by field, each the only one that is read;
/// serde_json skips over the others, whatever they are.
fn read_leniently<T: DeserializeOwned>(body: &[u8]) -> Option<Envelope<T>> {
    #[derive(Deserialize)]
    struct Code {
        code: ErrorCode,
    }
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    #[derive(Deserialize)]
    struct TraceId {
        #[serde(rename = "x-traceID")]
        trace_id: String,
    }

    let text = String::from_utf8_lossy(body);
    let Code { code } = from_json(text.as_bytes()).ok()?;
    // Of a success all must be right that is asked for.
    let data = if code.is_ok() { from_json::<Good<T>>(body).ok()?.data } else { None };
    let message = from_json(text.as_bytes()).map_or_else(|_| String::new(), |Message { message }| message);
    let trace_id = from_json(text.as_bytes()).ok().map(|TraceId { trace_id }| trace_id);
    Some(Envelope { code, message, data, trace_id })
}

/// Reads one JSON object, and nothing behind it. A byte-order mark before it is skipped.
pub(crate) fn from_json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> serde_json::Result<T> {
    // To look at all bytes once costs less than to have serde_json look at each string's.
    let text = std::str::from_utf8(without_mark(body)).map_err(de::Error::custom)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let Object(value) = Object::deserialize(&mut deserializer)?;
    deserializer.end().map(|()| value)
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// What is wrong with a body, in a word; the details are serde_json's, as the source.
fn complaint(failure: &serde_json::Error, json: &[u8]) -> &'static str {
    match failure.classify() {
        _ if json.is_empty() => "it is empty",
        _ if std::str::from_utf8(json).is_err() => "it is not UTF-8",
        Category::Eof => "it breaks off",
        Category::Data => "a field is missing, twice there, or of another type",
        Category::Syntax | Category::Io => "it is not JSON",
    }
}

/// A derived struct that is read from a JSON object only.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        T::deserialize(ObjectOnly(deserializer)).map(Self)
    }
}

/// Lets a derived struct be read from a JSON object only. On its own it would take an array, too, field by field.
struct ObjectOnly<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectOnly<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The service's code for what became of a call. Any number is possible and passes through unchanged.
///
/// The names are those of the service's document, and what other clients of it have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub i64);

impl ErrorCode {
    /// 0: success.
    pub const OK: Self = Self(0);
    /// 1: an internal error by the document; in practice the answer to any bad input.
    pub const INTERNAL: Self = Self(1);
    /// 401: the access token is invalid, expired, or was replaced by a newer one.
    pub const UNAUTHORIZED: Self = Self(401);
    /// 403: the load balancer has banned this address.
    pub const FORBIDDEN: Self = Self(403);
    /// 429: too many requests.
    pub const RATE_LIMITED: Self = Self(429);
    /// 5066: the file was not found.
    pub const FILE_NOT_FOUND: Self = Self(5066);
    /// 5113: the traffic quota is used up.
    pub const QUOTA_EXHAUSTED: Self = Self(5113);

    /// Whether this is [`OK`](Self::OK).
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }

    /// The number itself.
    pub const fn as_i64(self) -> i64 {
        self.0
    }
}

impl From<i64> for ErrorCode {
    fn from(code: i64) -> Self {
        Self(code)
    }
}

impl From<ErrorCode> for i64 {
    fn from(code: ErrorCode) -> Self {
        code.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct CodeVisitor;

        impl Visitor<'_> for CodeVisitor {
            type Value = ErrorCode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, or a string that holds one")
            }

            fn visit_i64<E>(self, code: i64) -> std::result::Result<ErrorCode, E> {
                Ok(ErrorCode(code))
            }

            fn visit_u64<E: de::Error>(self, code: u64) -> std::result::Result<ErrorCode, E> {
                let beyond = || E::invalid_value(de::Unexpected::Unsigned(code), &self);
                i64::try_from(code).map(ErrorCode).map_err(|_| beyond())
            }

            fn visit_str<E: de::Error>(self, code: &str) -> std::result::Result<ErrorCode, E> {
                let other = || E::invalid_value(de::Unexpected::Str(code), &self);
                code.parse().map(ErrorCode).map_err(|_| other())
            }
        }

        deserializer.deserialize_any(CodeVisitor)
    }
}
