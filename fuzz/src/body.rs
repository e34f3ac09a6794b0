//! The checks of what is pure: bytes in, result out.

use pan123_offline::{Callback, CallbackStatus, Envelope, Error, ErrorCode, Progress, Status};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::errors::check_error;
use super::json::{find, only, without_mark};

/// The body of an answer, decoded for a progress and for anything.
pub fn envelope(body: &[u8]) -> bool {
    let progress = decode::<Progress>(body);
    assert_eq!(progress, progress_in(body), "the progress");
    let value = decode::<Value>(body);
    assert_eq!(value, data(body, &[]), "the value");
    progress.is_some()
}

/// The `data` of an answer, on its own and in an envelope.
pub fn progress(data: &[u8]) -> bool {
    let expected = progress_at(data, &[]);
    let progress = serde_json::from_slice::<Progress>(data);
    assert_eq!(progress.as_ref().ok().copied(), expected);
    if let Ok(value) = serde_json::from_slice::<Value>(data)
        && let Some(expected) = expected
    {
        assert_eq!(serde_json::from_value::<Progress>(value).ok(), Some(expected), "by way of a tree");
    }
    if std::str::from_utf8(data).is_ok() && serde_json::from_slice::<IgnoredAny>(data).is_ok() {
        let in_envelope = |code| [format!("{{\"code\":{code},\"data\":").as_bytes(), data, b"}"].concat();
        let success = Envelope::<Progress>::from_slice(&in_envelope(0)).and_then(Envelope::into_result);
        assert_eq!(success.ok(), expected, "in the envelope of a success");
        let failure = Envelope::<Progress>::from_slice(&in_envelope(7)).and_then(Envelope::into_result);
        assert_eq!(failure.expect_err("code 7").code(), Some(ErrorCode(7)));
    }
    expected.is_some()
}

/// What the service sends on its own.
pub fn callback(body: &[u8]) -> bool {
    let expected = callback_in(body);
    match Callback::from_slice(body) {
        Ok(callback) => {
            let seen = (callback.url, callback.status, callback.fail_reason, callback.file_id);
            assert_eq!(Some(seen), expected);
        }
        Err(error) => {
            assert_eq!(expected, None, "{error:?}");
            assert!(matches!(error, Error::Decode(_)) && !error.is_transient() && !error.may_have_been_sent());
            check_error(&error, body, &[]);
        }
    }
    expected.is_some()
}

fn decode<T: DeserializeOwned + Clone>(body: &[u8]) -> Option<T> {
    let envelope = match Envelope::<T>::from_slice(body) {
        Ok(envelope) => envelope,
        Err(error) => {
            assert!(matches!(error, Error::Decode(_)) && !error.is_transient(), "{error:?}");
            assert!(matches!(code(body), None | Some(0)), "a code is lost: {error:?}");
            check_error(&error, body, &[]);
            return None;
        }
    };
    assert_eq!(code(body), Some(envelope.code.as_i64()), "a code that is there, once");
    assert!(envelope.data.is_none() || envelope.code.is_ok(), "an error has no data");
    assert!(envelope.message.is_empty() || text(body, "message") == Some(envelope.message.clone()));
    assert!(envelope.trace_id.is_none() || text(body, "x-traceID") == envelope.trace_id);
    let (code, data) = (envelope.code, envelope.data.clone());
    match envelope.into_result() {
        Ok(_) => assert!(code.is_ok()),
        Err(error) => {
            assert_eq!(error.code(), Some(code).filter(|code| !code.is_ok()), "an error keeps its code");
            check_error(&error, body, &[]);
        }
    }
    data
}

/// The `code` of an envelope: a number, or a string that holds one. Bytes that are not UTF-8 do not hide an error's.
fn code(body: &[u8]) -> Option<i64> {
    let code = match only(&lossy(body), &["code"])? {
        Value::Number(code) => code.as_i64()?,
        Value::String(code) => code.parse().ok()?,
        _ => return None,
    };
    (code != 0 || std::str::from_utf8(body).is_ok()).then_some(code)
}

fn text(body: &[u8], field: &str) -> Option<String> {
    Some(only(&lossy(body), &[field])?.as_str()?.to_owned())
}

fn lossy(body: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(without_mark(body)).into_owned().into_bytes()
}

/// A field of the `data` of a success.
pub fn data(body: &[u8], path: &[&str]) -> Option<Value> {
    let data = only(without_mark(body), &[&["data"], path].concat())?;
    (code(body) == Some(0) && !data.is_null()).then_some(data)
}

/// The progress in the body of a success.
pub fn progress_in(body: &[u8]) -> Option<Progress> {
    data(body, &["status"])?;
    progress_at(without_mark(body), &["data"])
}

/// The progress at this path: the status as the number says, the percentage cut and never rounded.
fn progress_at(json: &[u8], path: &[&str]) -> Option<Progress> {
    let number = |field| only(json, &[path, &[field]].concat());
    let (status, process) = (number("status")?.as_i64()?, number("process")?.as_f64()?);
    let percent = (0..=100).rev().find(|percent| f64::from(*percent) <= process).unwrap_or(0);
    let status = match status {
        0 => Status::InProgress,
        1 => Status::Failed,
        2 => Status::Succeeded,
        3 => Status::Retrying,
        other => Status::Unknown(other),
    };
    Some(Progress::new(status, percent))
}

/// What a callback says: texts and numbers count as texts, and an empty text as none.
fn callback_in(body: &[u8]) -> Option<(String, CallbackStatus, Option<String>, Option<String>)> {
    let json = without_mark(body);
    let text = |field| {
        let text = match find(json, &[field]).ok()? {
            Some(Value::String(text)) => text,
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        Some(Some(text).filter(|text| !text.is_empty()))
    };
    std::str::from_utf8(json).ok()?;
    let url = only(json, &["url"])?.as_str()?.to_owned();
    let status = match only(json, &["status"])?.as_i64()? {
        0 => CallbackStatus::Succeeded,
        1 => CallbackStatus::Failed,
        other => CallbackStatus::Unknown(other),
    };
    let (fail_reason, file_reason, file_id) = (text("failReason")?, text("fileReason")?, text("fileID")?);
    Some((url, status, fail_reason.or(file_reason), file_id))
}
