//! Properties of the decoder: no body makes it panic, and only the envelope of a success is a
//! success.

// A test whose setup fails should panic.
#![allow(clippy::unwrap_used)]

use pan123_offline::{Envelope, Error, ErrorCode, Progress};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

const SAMPLE: &str = r#"{"code":0,"message":"ok","data":{"process":100,"status":2},"x-traceID":"1895c15e-dc5b-4f75-a01b-b7113bd176ca_kong-db-5898fdd8c6-t5pvc"}"#;

/// The configuration of a property with this number of cases. No file is written if one fails:
/// proptest prints the smallest body that fails, which becomes a row in `responses.rs`.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn decode(body: &[u8]) -> pan123_offline::Result<Progress> {
    Envelope::<Progress>::from_slice(body)?.into_result()
}

/// Returns whether this is the envelope of a success. Independent of the library and slower: it
/// applies the documentation to a `Value`. (A `Value` keeps the last of repeated fields, and a
/// success has none. Bytes that are not UTF-8 are replaced first, because they are allowed in
/// fields that are not decoded.)
fn is_success(body: &[u8]) -> bool {
    let json = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let Ok(Value::Object(fields)) = serde_json::from_str(&String::from_utf8_lossy(json)) else {
        return false;
    };
    let code_is_zero = match fields.get("code") {
        Some(Value::Number(code)) => code.as_i64() == Some(0),
        Some(Value::String(code)) => code.parse() == Ok(0_i64),
        _ => false,
    };
    let is_integer = |value: &Value| match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| number.fract() == 0.0),
        Value::String(text) => text.trim().parse::<i128>().is_ok(),
        _ => false,
    };
    let data_is_progress = fields.get("data").is_some_and(|data| {
        let process = &data["process"];
        is_integer(&data["status"]) && (process.is_number() || is_integer(process))
    });
    code_is_zero && data_is_progress
}

/// Checks the properties of any body, and that decoding it does not panic.
fn check(body: &[u8]) -> Result<(), TestCaseError> {
    match decode(body) {
        Ok(progress) => {
            prop_assert!(
                is_success(body),
                "{:?} became {progress:?}",
                String::from_utf8_lossy(body)
            );
            prop_assert!(progress.percent <= 100);
        }
        // The text of an error must not panic either, and must be bounded.
        Err(error) => {
            prop_assert!(
                matches!(error, Error::Api(_) | Error::Decode(_)),
                "{error:?}"
            );
            prop_assert_ne!(error.code(), Some(ErrorCode::OK));
            prop_assert!(error.to_string().len() < 8 * 1024);
        }
    }
    Ok(())
}

/// Any JSON value. Small, because larger values find no further defects.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(vec![
            json!(0),
            json!("0"),
            json!(-1),
            json!(0.0),
            json!("403"),
            json!("x"),
            json!(""),
            json!(1e300)
        ]),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((field_name().prop_map(str::to_owned), inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn field_name() -> impl Strategy<Value = &'static str> {
    select(vec![
        "code",
        "message",
        "data",
        "x-traceID",
        "status",
        "process",
        "Code",
        "traceID",
        "",
    ])
}

/// An object as text, in which fields can be missing, repeated, renamed, and have another type.
fn any_object() -> impl Strategy<Value = String> {
    let data = r#"{"process":100,"status":2}"#;
    let value = prop_oneof![
        2 => select(vec!["0", "\"0\"", "\"ok\"", data]).prop_map(str::to_owned),
        1 => any_json().prop_map(|value| value.to_string()),
    ];
    vec((field_name(), value), 0..8).prop_map(|fields| {
        let fields = fields
            .iter()
            .map(|(name, value)| format!("{name:?}:{value}"));
        format!("{{{}}}", Vec::from_iter(fields).join(","))
    })
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn any_bytes_are_decoded_or_rejected(body in vec(any::<u8>(), 0..300)) {
        check(&body)?;
    }

    #[test]
    fn any_object_is_decoded_or_rejected(body in any_object(), data in any_object()) {
        check(body.as_bytes())?;
        check(format!(r#"{{"code":0,"data":{data}}}"#).as_bytes())?;
    }

    #[test]
    fn a_damaged_sample_is_decoded_or_rejected(
        cut: Index,
        flips in vec((any::<Index>(), any::<u8>()), 0..4),
        tail in vec(any::<u8>(), 0..4),
    ) {
        let mut body = SAMPLE.as_bytes().to_vec();
        for (at, byte) in &flips {
            let at = at.index(body.len());
            body[at] = *byte;
        }
        check(&body)?;
        let mut longer = body.clone();
        longer.extend_from_slice(&tail);
        check(&longer)?;
        body.truncate(cut.index(body.len()));
        check(&body)?;
        prop_assert!(decode(&body).is_err(), "a body that breaks off is never a success");
    }

    /// The code of an error is kept for any value of the other fields.
    #[test]
    fn an_error_keeps_its_code(
        code in any::<i64>().prop_filter("0 is no error", |code| *code != 0),
        as_text: bool,
        message in proptest::option::of(any_json()),
        data in proptest::option::of(any_json()),
        trace_id in proptest::option::of(any_json()),
    ) {
        let number = if as_text { json!(code.to_string()) } else { json!(code) };
        let mut envelope = json!({"code": number});
        for (name, value) in [("message", &message), ("data", &data), ("x-traceID", &trace_id)] {
            if let Some(value) = value {
                envelope[name] = value.clone();
            }
        }
        let error = decode(envelope.to_string().as_bytes()).unwrap_err();
        let Error::Api(api) = &error else { panic!("{envelope} became {error:?}") };
        prop_assert_eq!(api.code, ErrorCode(code));
        // A text is kept, and any other value counts as none.
        let text = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(str::to_owned);
        prop_assert_eq!(&api.message, &text(&message).unwrap_or_default());
        let trace_id = text(&trace_id);
        prop_assert_eq!(&api.trace_id, &trace_id);
        prop_assert_eq!((api.http_status, api.retry_after), (None, None));
    }

    /// A valid success is decoded; a decoder that rejects everything fails here.
    #[test]
    fn a_valid_success_is_decoded(
        status: i64,
        process in prop_oneof![any::<f64>(), -10.0..110.0, (0..=100_i32).prop_map(f64::from)],
        as_text: bool,
        trace_id in proptest::option::of(any::<String>()),
    ) {
        prop_assume!(process.is_finite());
        let code = if as_text { json!("0") } else { json!(0) };
        let body = json!({"code": code, "data": {"status": status, "process": process}, "x-traceID": trace_id});
        let envelope = Envelope::<Progress>::from_slice(body.to_string().as_bytes()).unwrap();
        prop_assert_eq!(&envelope.trace_id, &trace_id);
        let progress = envelope.into_result().unwrap();
        prop_assert_eq!(progress.status.as_i64(), status);
        // The expected percentage is rounded down.
        let expected = (0..=100).rev().find(|percent| f64::from(*percent) <= process).unwrap_or(0);
        prop_assert_eq!(i32::from(progress.percent), expected);
    }
}
