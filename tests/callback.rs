//! Decoding of callbacks, which the service POSTs when a task ends: [`Callback::from_slice`].

use pan123_offline::{Callback, CallbackStatus, Error, Status};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

/// The sample of the service's documentation.
const SAMPLE: &[u8] =
    br#"{"url": "https://example.org/cat.png", "status": 0, "failReason": "", "fileID": 100}"#;

/// Decodes a callback with added or replaced fields.
#[track_caller]
fn decode_with(change: &Value) -> Callback {
    let mut callback = json!({"url": "u", "status": 1});
    for (name, value) in change.as_object().unwrap() {
        callback[name] = value.clone();
    }
    Callback::from_slice(callback.to_string().as_bytes())
        .unwrap_or_else(|error| panic!("{change}: {error:?}"))
}

#[track_caller]
fn assert_rejected(body: &[u8]) -> Error {
    let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
    let error = Callback::from_slice(body).expect_err(&shown);
    let Error::Decode(decode) = &error else {
        panic!("{shown}: {error:?}")
    };
    assert!(decode.body.chars().count() <= 256);
    assert!(std::error::Error::source(&error).is_some(), "{shown}");
    error
}

#[test]
fn decodes_the_documented_sample() {
    let marked = [b"\xef\xbb\xbf \r\n\t", SAMPLE, b"\r\n "].concat();
    let value: Value = serde_json::from_slice(SAMPLE).unwrap();
    for callback in [
        Callback::from_slice(SAMPLE).unwrap(),
        Callback::from_slice(&marked).unwrap(),
        serde_json::from_slice(SAMPLE).unwrap(),
        serde_json::from_value(value).unwrap(),
    ] {
        assert_eq!(callback.url, "https://example.org/cat.png");
        assert_eq!(callback.status, CallbackStatus::Succeeded);
        assert_eq!(callback.fail_reason, None, "an empty reason counts as none");
        assert_eq!(callback.file_id.as_deref(), Some("100"));
    }
}

#[test]
fn reads_the_reason_in_either_spelling() {
    for (change, expected) in [
        (json!({"failReason": "not an image"}), Some("not an image")),
        (json!({"fileReason": "not an image"}), Some("not an image")),
        (json!({"failReason": "a", "fileReason": "b"}), Some("a")),
        (json!({"failReason": "", "fileReason": "b"}), Some("b")),
        (json!({"failReason": null, "fileReason": "b"}), Some("b")),
        (
            json!({"failReason": "图片下载失败 \u{0}\n\"x\""}),
            Some("图片下载失败 \u{0}\n\"x\""),
        ),
        (json!({"failReason": "", "fileReason": null}), None),
        (json!({"failreason": "a", "reason": "b"}), None),
    ] {
        let reason = decode_with(&change).fail_reason;
        assert_eq!(reason.as_deref(), expected, "{change}");
    }
}

/// An unusual id does not make the callback invalid.
#[test]
fn reads_the_file_id_in_every_type() {
    for (file_id, expected) in [
        (json!(0), Some("0")),
        (json!(-1), Some("-1")),
        (json!((1_u64 << 53) + 1), Some("9007199254740993")),
        (json!(u64::MAX), Some("18446744073709551615")),
        (json!("0100"), Some("0100")),
        (
            json!("yk6baz03t0l000d7w33fbyt8704m2boh"),
            Some("yk6baz03t0l000d7w33fbyt8704m2boh"),
        ),
        (json!(""), None),
        (json!(null), None),
        (json!([7]), None),
    ] {
        let callback = decode_with(&json!({"fileID": file_id}));
        assert_eq!(callback.file_id.as_deref(), expected, "{file_id}");
    }
    let other_names = decode_with(&json!({"fileId": 100, "file_id": 100}));
    assert_eq!((other_names.fail_reason, other_names.file_id), (None, None));
}

#[test]
fn callback_status_differs_from_task_status() {
    use CallbackStatus::{Failed, Succeeded, Unknown};

    for (number, callback, status, text) in [
        (0, Succeeded, Status::InProgress, "succeeded"),
        (1, Failed, Status::Failed, "failed"),
        (2, Unknown(2), Status::Succeeded, "unknown status 2"),
        (3, Unknown(3), Status::Retrying, "unknown status 3"),
        (-1, Unknown(-1), Status::Unknown(-1), "unknown status -1"),
        (
            i64::MAX,
            Unknown(i64::MAX),
            Status::Unknown(i64::MAX),
            "unknown status 9223372036854775807",
        ),
    ] {
        assert_eq!(decode_with(&json!({"status": number})).status, callback);
        assert_eq!(callback.as_i64(), number);
        assert_eq!(callback.to_string(), text);
        assert_eq!(Status::from(number), status);
    }
}

#[test]
fn rejects_other_bodies() {
    let statuses = r#""" "one" "01" null true 0.5 [0] {} 9223372036854775808"#;
    for status in statuses.split(' ') {
        assert_rejected(format!(r#"{{"url":"u","status":{status}}}"#).as_bytes());
    }
    for body in [
        "",
        "\u{feff}",
        "null",
        "\"callback\"",
        "{}",
        r#"["u",0,"","",100]"#,
        r#"[{"url":"u","status":0}]"#,
        r#"{"url":"u"}"#,
        r#"{"status":0}"#,
        r#"{"url":null,"status":0}"#,
        r#"{"url":7,"status":0}"#,
        // A repeated status is ambiguous.
        r#"{"url":"u","status":1,"status":0}"#,
        "url=u&status=0",
        r#"{"url":"u","status":0"#,
        r#"{"url":"u","status":0}x"#,
        r#"{"url":"u","status":0}{"url":"u","status":0}"#,
        r#"{"url":"u","status":0,}"#,
        // In the envelope of responses, which callbacks do not have.
        r#"{"code":0,"message":"ok","data":{"url":"u","status":0}}"#,
    ] {
        assert_rejected(body.as_bytes());
        assert!(serde_json::from_str::<Callback>(body).is_err(), "{body}");
    }
    assert_rejected(b"{\"url\":\"\xff\",\"status\":0}");
    assert_rejected(&[b"\xef\xbb\xbf\xef\xbb\xbf", SAMPLE].concat());

    let error = assert_rejected(b"<html>\x1b[31m");
    assert_eq!(
        error.to_string(),
        "the callback is not the documented one: it must be an object with `url` and `status`; \
         received: <html>\\u{1b}[31m"
    );
    assert!(!error.is_transient());
    assert!(!error.may_have_taken_effect(), "decoding sends no request");
}

#[test]
fn decodes_or_rejects_very_large_bodies() {
    let reason = "x".repeat(8 << 20);
    let callback = decode_with(&json!({"failReason": &reason}));
    assert_eq!(callback.fail_reason.as_deref(), Some(reason.as_str()));
    assert_rejected(reason.as_bytes());
    // Nested so deep that a recursive decoder without a limit overflows the stack.
    let deep = 1 << 20;
    assert_rejected("[".repeat(deep).as_bytes());
    let (open, close) = ("[".repeat(deep), "]".repeat(deep));
    let nested = format!(r#"{{"url":"u","status":0,"fileID":{open}{close}}}"#);
    let callback = Callback::from_slice(nested.as_bytes()).unwrap();
    assert_eq!(callback.file_id, None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_sample_is_a_success_only_with_status_0(
        (at, cut) in any::<(Index, Index)>(),
        byte: u8,
        tail in vec(any::<u8>(), 0..3),
    ) {
        let mut body = SAMPLE.to_vec();
        let (at, cut) = (at.index(body.len()), cut.index(body.len() + 1));
        body[at] = byte;
        body.truncate(cut);
        body.extend(tail);
        if let Ok(callback) = Callback::from_slice(&body) {
            let value: Value = serde_json::from_slice(&body).unwrap();
            prop_assert_eq!(callback.status == CallbackStatus::Succeeded, value["status"] == 0);
        }
    }

    /// For any values and repetitions of the fields, only a single status 0 is a success.
    #[test]
    fn only_a_single_status_0_is_a_success(
        fields in vec((select(vec!["url", "status", "failReason", "fileReason", "fileID", "x"]), any_value()), 0..8),
    ) {
        let inner: Vec<_> = fields.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        if let Ok(callback) = Callback::from_slice(format!("{{{}}}", inner.join(",")).as_bytes()) {
            let statuses: Vec<_> = fields.iter().filter(|(name, _)| *name == "status").collect();
            prop_assert_eq!(statuses.len(), 1);
            let is_zero = ["0", "0.0"].contains(&statuses[0].1.as_str());
            prop_assert_eq!(callback.status == CallbackStatus::Succeeded, is_zero);
        }
    }
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        (-2..3_i64).prop_map(|number| number.to_string()),
        select(vec![
            "null",
            "true",
            "\"0 \"",
            "\"u\"",
            "0.0",
            "[0]",
            r#"{"status":0}"#
        ])
        .prop_map(String::from),
    ]
}
