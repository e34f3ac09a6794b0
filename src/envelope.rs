//! The envelope around every answer, and its decoding: bytes in, result out.

use std::borrow::Cow;
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
        read(body).map(Self::from)
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
        Error::Api(ApiError {
            code: self.code,
            message: self.message,
            trace_id: self.trace_id,
            http_status,
            retry_after: None,
        })
    }
}

/// The most bytes of a body that are read, whatever the server sends.
pub(crate) const LONGEST_BODY: usize = 64 * 1024;

/// Makes of an HTTP answer what its status and its body say together.
pub(crate) fn decode<T: DeserializeOwned>(status: u16, body: &[u8]) -> Result<T> {
    if !(200..=299).contains(&status) {
        // `data` does not count here, so whatever it is, the code and the message come through.
        return Err(match read::<IgnoredAny>(body) {
            Ok(wire) => Envelope::from(wire).into_error(Some(status)),
            Err(_) => Error::Http(HttpError::new(status, body)),
        });
    }
    if body.len() > LONGEST_BODY {
        let reason = format!("its body is longer than {} KiB", LONGEST_BODY / 1024);
        return Err(Error::Decode(DecodeError::new(reason, body, None)));
    }
    let wire = read::<T>(body)?;
    match wire.data {
        Some(data) if wire.code.is_ok() => Ok(data),
        None if wire.code.is_ok() => Err(missing_data(body)),
        _ => Err(Envelope::from(wire).into_error(Some(status))),
    }
}

fn missing_data(body: &[u8]) -> Error {
    Error::Decode(DecodeError::new("its `code` is 0 and its `data` is missing", body, None))
}

/// An envelope as it comes, its texts still in the body where they can be.
#[derive(Deserialize)]
#[serde(rename = "Envelope", bound(deserialize = "T: Deserialize<'de>"))]
struct Wire<'a, T> {
    code: ErrorCode,
    #[serde(borrow)]
    message: Option<Text<'a>>,
    data: Option<T>,
    #[serde(borrow, rename = "x-traceID")]
    trace_id: Option<Text<'a>>,
}

// Inside an `Option`, serde borrows a `Cow` only where it sits in a type of its own.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<T> From<Wire<'_, T>> for Envelope<T> {
    fn from(wire: Wire<'_, T>) -> Self {
        let owned = |text: Text<'_>| text.0.into_owned();
        Self {
            code: wire.code,
            message: wire.message.map(owned).unwrap_or_default(),
            data: wire.data.filter(|_| wire.code.is_ok()),
            trace_id: wire.trace_id.map(owned),
        }
    }
}

/// One pass over the usual body, a second look only where that fails.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<Wire<'_, T>> {
    from_json(body).or_else(|failure| match read_error(body) {
        Some(wire) => Ok(wire),
        None => Err(Error::Decode(DecodeError::new(complaint(&failure, without_mark(body)), body, Some(failure)))),
    })
}

/// Reads one JSON object, and nothing behind it. A byte-order mark before it is skipped.
pub(crate) fn from_json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> serde_json::Result<T> {
    let json = without_mark(body);
    // To look at all bytes once costs less than to have serde_json look at each string's.
    match std::str::from_utf8(json) {
        Ok(text) => object(serde_json::Deserializer::from_str(text)),
        Err(_) => object(serde_json::Deserializer::from_slice(json)),
    }
}

fn object<'a, T: Deserialize<'a>, R: serde_json::de::Read<'a>>(
    mut deserializer: serde_json::Deserializer<R>,
) -> serde_json::Result<T> {
    let value = T::deserialize(ObjectOnly(&mut deserializer))?;
    deserializer.end().map(|()| value)
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// The second look: what is odd beside the code of an error must not hide the error. Field by field, each the only one
/// that is read; serde_json skips over the others, whatever they are.
fn read_error<T>(json: &[u8]) -> Option<Wire<'static, T>> {
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

    let json = String::from_utf8_lossy(json);
    let json = json.as_bytes();
    let Code { code } = from_json(json).ok().filter(|Code { code }| !code.is_ok())?;
    let owned = |text: String| Text(Cow::Owned(text));
    let message = from_json(json).ok().map(|Message { message }| owned(message));
    let trace_id = from_json(json).ok().map(|TraceId { trace_id }| owned(trace_id));
    Some(Wire { code, message, data: None, trace_id })
}

/// What is wrong with a body, in a word; the details are serde_json's, as the source.
fn complaint(failure: &serde_json::Error, json: &[u8]) -> &'static str {
    match failure.classify() {
        Category::Eof if json.is_empty() => "it is empty",
        Category::Eof => "it breaks off",
        Category::Data => "a field is missing, twice there, or of another type",
        Category::Syntax | Category::Io if std::str::from_utf8(json).is_err() => "it is not UTF-8",
        Category::Syntax | Category::Io => "it is not JSON",
    }
}

/// Lets a derived struct be read from a JSON object only. On its own it would take an array, too, field by field.
pub(crate) struct ObjectOnly<D>(pub(crate) D);

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
