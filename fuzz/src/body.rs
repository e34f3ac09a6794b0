//! Checks of the pure functions: bytes in, result out.

use pan123_offline::{Callback, CallbackStatus, Envelope, Error, ErrorCode, Progress, Status};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::errors::check_error;
use super::json::{find, is_repeated, only, strip_bom};

/// Decodes a response body as a progress and as any JSON value.
pub fn envelope(body: &[u8]) -> bool {
    let progress = decode::<Progress>(body);
    assert_eq!(progress, progress_in(body), "the progress");
    let value = decode::<Value>(body);
    assert_eq!(value, data(body, &[]), "the value");
    progress.is_some()
}

/// Decodes the `data` of a response, by itself and in an envelope.
pub fn progress(data: &[u8]) -> bool {
    let expected = progress_at(data, &[]);
    let progress = serde_json::from_slice::<Progress>(data);
    assert_eq!(progress.as_ref().ok().copied(), expected);
    if let Ok(value) = serde_json::from_slice::<Value>(data)
        && let Some(expected) = expected
    {
        assert_eq!(
            serde_json::from_value::<Progress>(value).ok(),
            Some(expected),
            "decoded from a `Value`"
        );
    }
    if std::str::from_utf8(data).is_ok() && serde_json::from_slice::<IgnoredAny>(data).is_ok() {
        let in_envelope = |code| {
            [
                format!("{{\"code\":{code},\"data\":").as_bytes(),
                data,
                b"}",
            ]
            .concat()
        };
        let success =
            Envelope::<Progress>::from_slice(&in_envelope(0)).and_then(Envelope::into_result);
        assert_eq!(success.ok(), expected, "in the envelope of a success");
        let failure =
            Envelope::<Progress>::from_slice(&in_envelope(7)).and_then(Envelope::into_result);
        assert_eq!(failure.expect_err("code 7").code(), Some(ErrorCode(7)));
    }
    expected.is_some()
}

/// Decodes the body of a callback.
pub fn callback(body: &[u8]) -> bool {
    let expected = callback_in(body);
    match Callback::from_slice(body) {
        Ok(callback) => {
            let (url, status, fail_reason, file_id) = expected.clone().expect("no callback");
            assert_eq!((callback.url, callback.status), (url, status));
            assert_same_text(callback.fail_reason, fail_reason);
            assert_same_text(callback.file_id, file_id);
        }
        Err(error) => {
            assert_eq!(expected, None, "{error:?}");
            assert!(
                matches!(error, Error::Decode(_))
                    && !error.is_transient()
                    && !error.may_have_taken_effect()
            );
            check_error(&error, body, &[]);
        }
    }
    expected.is_some()
}

/// Compares texts, and numbers by their values: the library keeps the digits as they were sent, and
/// the expected number went through `serde_json`'s parser, which is not exact in the last digit.
fn assert_same_text(seen: Option<String>, expected: Option<String>) {
    const MAX_RELATIVE_ERROR: f64 = 1e-12;
    let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<f64>().ok());
    let is_same_number = match (number(&seen), number(&expected)) {
        (Some(a), Some(b)) => a == b || (a - b).abs() <= a.abs() * MAX_RELATIVE_ERROR,
        _ => false,
    };
    assert!(seen == expected || is_same_number, "{seen:?} {expected:?}");
}

fn decode<T: DeserializeOwned + Clone>(body: &[u8]) -> Option<T> {
    let envelope = match Envelope::<T>::from_slice(body) {
        Ok(envelope) => envelope,
        Err(error) => {
            assert!(
                matches!(error, Error::Decode(_)) && !error.is_transient(),
                "{error:?}"
            );
            assert!(
                matches!(code(body), None | Some(0)),
                "the code is lost: {error:?}"
            );
            check_error(&error, body, &[]);
            return None;
        }
    };
    assert_eq!(
        code(body),
        Some(envelope.code.as_i64()),
        "the code must be present, and not repeated"
    );
    assert!(
        envelope.data.is_none() || envelope.code.is_ok(),
        "an error has no data"
    );
    assert!(
        envelope.message.is_empty()
            || text(body, "message").as_deref().map(shorten) == Some(envelope.message.clone())
    );
    assert!(
        envelope.trace_id.is_none()
            || text(body, "x-traceID").as_deref().map(shorten) == envelope.trace_id
    );
    let (code, data) = (envelope.code, envelope.data.clone());
    match envelope.into_result() {
        Ok(_) => assert!(code.is_ok()),
        Err(error) => {
            assert_eq!(
                error.code(),
                Some(code).filter(|code| !code.is_ok()),
                "an error keeps its code"
            );
            check_error(&error, body, &[]);
        }
    }
    data
}

/// Returns the `code` of an envelope: an integer, or a string that contains one. The code of a
/// success is `0` or `"0"`. The code of an error is found even if the body is not UTF-8. An envelope
/// with a repeated field has none.
fn code(body: &[u8]) -> Option<i64> {
    let json = lossy(body);
    let mut fields = ["message", "data", "x-traceID"].into_iter();
    if fields.any(|field| is_repeated(&json, field)) {
        return None;
    }
    let value = only(&json, &["code"])?;
    let code = integer(&value).and_then(|code| i64::try_from(code).ok())?;
    let is_plain = value.as_i64().is_some() || value.is_string();
    (code != 0 || (is_plain && std::str::from_utf8(body).is_ok())).then_some(code)
}

/// Returns an integer from any of its forms: `2`, `2.0`, `"2"`.
pub fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => number.as_i128().or_else(|| {
            let number = number.as_f64()?;
            let is_whole = number.fract() == 0.0 && number != 0.0;
            (is_whole && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i128)
        }),
        Value::String(text) => {
            let digits = text.trim_matches([' ', '\t', '\r', '\n']);
            let number: i128 = digits.parse().ok()?;
            (number.to_string() == digits && (number != 0 || text == "0")).then_some(number)
        }
        _ => None,
    }
}

/// Returns the first 256 characters of a text.
fn shorten(text: &str) -> String {
    text.chars().take(256).collect()
}

fn text(body: &[u8], field: &str) -> Option<String> {
    Some(only(&lossy(body), &[field])?.as_str()?.to_owned())
}

fn lossy(body: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(strip_bom(body))
        .into_owned()
        .into_bytes()
}

/// Returns a field of the `data` of a success.
pub fn data(body: &[u8], path: &[&str]) -> Option<Value> {
    let data = only(strip_bom(body), &[&["data"], path].concat())?;
    (code(body) == Some(0) && !data.is_null()).then_some(data)
}

/// Returns the progress in the body of a success.
pub fn progress_in(body: &[u8]) -> Option<Progress> {
    data(body, &["status"])?;
    progress_at(strip_bom(body), &["data"])
}

/// Returns the progress at this path, with the percentage rounded down to 0–100.
fn progress_at(json: &[u8], path: &[&str]) -> Option<Progress> {
    let number = |field| only(json, &[path, &[field]].concat());
    let status = i64::try_from(integer(&number("status")?)?).ok()?;
    let process = number("process")?;
    let process = if process.is_string() {
        integer(&process)? as f64
    } else {
        process.as_f64()?
    };
    let percent = (0..=100)
        .rev()
        .find(|percent| f64::from(*percent) <= process)
        .unwrap_or(0);
    let status = match status {
        0 => Status::InProgress,
        1 => Status::Failed,
        2 => Status::Succeeded,
        3 => Status::Retrying,
        other => Status::Unknown(other),
    };
    Some(Progress::new(status, percent))
}

/// Returns the fields of a callback. A number counts as a text, and an empty text as none.
fn callback_in(body: &[u8]) -> Option<(String, CallbackStatus, Option<String>, Option<String>)> {
    let json = strip_bom(body);
    let text = |field| {
        let text = match find(json, &[field]) {
            _ if is_repeated(json, field) => return None,
            Ok(Some(Value::String(text))) => text,
            Ok(Some(Value::Number(number))) => number.to_string(),
            // Any other value, also one that is nested too deep for `Value`.
            _ => String::new(),
        };
        Some(Some(text).filter(|text| !text.is_empty()))
    };
    std::str::from_utf8(json).ok()?;
    let url = only(json, &["url"])?.as_str()?.to_owned();
    let status = match i64::try_from(integer(&only(json, &["status"])?)?).ok()? {
        0 => CallbackStatus::Succeeded,
        1 => CallbackStatus::Failed,
        other => CallbackStatus::Unknown(other),
    };
    let (fail_reason, file_reason, file_id) =
        (text("failReason")?, text("fileReason")?, text("fileID")?);
    Some((url, status, fail_reason.or(file_reason), file_id))
}
