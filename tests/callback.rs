//! Decoding of callbacks, which the service POSTs when a task ends: [`Callback::from_slice`].

use pan123_offline::{Callback, CallbackStatus, Error, Status};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The sample of the service's documentation.
const SAMPLE: &[u8] =
    br#"{"url": "https://example.org/cat.png", "status": 0, "failReason": "", "fileID": 100}"#;

#[track_caller]
fn decode(json: &Value) -> Callback {
    Callback::from_slice(json.to_string().as_bytes())
        .unwrap_or_else(|error| panic!("{json}: {error:?}"))
}

/// Decodes a callback with added or replaced fields.
#[track_caller]
fn decode_with(change: &Value) -> Callback {
    let mut callback = json!({"url": "u", "status": 1});
    for (name, value) in change.as_object().unwrap() {
        callback[name] = value.clone();
    }
    decode(&callback)
}

#[track_caller]
fn assert_rejected(body: &[u8]) -> Error {
    let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
    let error = Callback::from_slice(body).expect_err(&shown);
    let Error::Decode(decode) = &error else {
        panic!("{shown}: {error:?}")
    };
    assert_eq!(
        decode.reason.as_str(),
        "it must be an object with `url` and `status`",
        "{shown}"
    );
    assert!(decode.body.chars().count() <= 256);
    assert!(std::error::Error::source(&error).is_some(), "{shown}");
    error
}

#[test]
fn decodes_the_documented_sample() {
    let callback = Callback::from_slice(SAMPLE).unwrap();
    assert_eq!(callback.url, "https://example.org/cat.png");
    assert_eq!(callback.status, CallbackStatus::Succeeded);
    assert_eq!(callback.fail_reason, None, "an empty reason counts as none");
    assert_eq!(callback.file_id.as_deref(), Some("100"));
}

#[test]
fn deserializes_as_from_slice_decodes() {
    let expected = Callback::from_slice(SAMPLE).unwrap();
    let value: Value = serde_json::from_slice(SAMPLE).unwrap();
    assert_eq!(
        serde_json::from_slice::<Callback>(SAMPLE).unwrap(),
        expected
    );
    assert_eq!(serde_json::from_value::<Callback>(value).unwrap(), expected);
    for body in ["[]", r#"["u",0,"",null,1]"#, r#"{"url":"u"}"#] {
        assert!(serde_json::from_str::<Callback>(body).is_err(), "{body}");
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
        (json!({"failReason": "a", "fileReason": ""}), Some("a")),
        (json!({"failReason": "a", "fileReason": null}), Some("a")),
        (
            json!({"failReason": "图片下载失败 \u{0}\n\"x\""}),
            Some("图片下载失败 \u{0}\n\"x\""),
        ),
        (json!({"failReason": "", "fileReason": ""}), None),
        (json!({"failReason": null, "fileReason": null}), None),
        (json!({"failreason": "a", "reason": "b"}), None),
        (json!({}), None),
    ] {
        assert_eq!(
            decode_with(&change).fail_reason.as_deref(),
            expected,
            "{change}"
        );
    }
}

#[test]
fn reads_the_file_id_in_every_type() {
    for (file_id, expected) in [
        (json!(100), Some("100")),
        (json!(0), Some("0")),
        (json!(-1), Some("-1")),
        (json!(i64::MAX), Some("9223372036854775807")),
        (json!((1_u64 << 53) + 1), Some("9007199254740993")),
        (json!("100"), Some("100")),
        (json!("0100"), Some("0100")),
        (json!("18446744073709551616"), Some("18446744073709551616")),
        (
            json!("yk6baz03t0l000d7w33fbyt8704m2boh"),
            Some("yk6baz03t0l000d7w33fbyt8704m2boh"),
        ),
        (json!(" "), Some(" ")),
        (json!("猫"), Some("猫")),
        (json!(""), None),
        (json!(null), None),
    ] {
        let callback = decode_with(&json!({"fileID": file_id}));
        assert_eq!(callback.file_id.as_deref(), expected, "{file_id}");
    }
    assert_eq!(decode_with(&json!({})).file_id, None);
    assert_eq!(
        decode_with(&json!({"fileId": 100, "file_id": 100})).file_id,
        None,
        "fields with other names are ignored"
    );
}

/// An unusual id must not make the callback invalid.
#[test]
fn accepts_a_file_id_beyond_63_bits() {
    assert_eq!(
        decode_with(&json!({"fileID": u64::MAX})).file_id.as_deref(),
        Some("18446744073709551615")
    );
}

#[test]
fn callback_status_differs_from_task_status() {
    for (number, callback, status) in [
        (0, CallbackStatus::Succeeded, Status::InProgress),
        (1, CallbackStatus::Failed, Status::Failed),
        (2, CallbackStatus::Unknown(2), Status::Succeeded),
        (3, CallbackStatus::Unknown(3), Status::Retrying),
        (7, CallbackStatus::Unknown(7), Status::Unknown(7)),
        (-1, CallbackStatus::Unknown(-1), Status::Unknown(-1)),
        (
            i64::MAX,
            CallbackStatus::Unknown(i64::MAX),
            Status::Unknown(i64::MAX),
        ),
        (
            i64::MIN,
            CallbackStatus::Unknown(i64::MIN),
            Status::Unknown(i64::MIN),
        ),
    ] {
        assert_eq!(decode_with(&json!({"status": number})).status, callback);
        assert_eq!(CallbackStatus::from(number), callback);
        assert_eq!(callback.as_i64(), number);
        assert_eq!(Status::from(number), status);
    }
    let texts = [0, 1, 7].map(|number| CallbackStatus::from(number).to_string());
    assert_eq!(texts, ["succeeded", "failed", "unknown status 7"]);
    assert_ne!(
        std::any::TypeId::of::<CallbackStatus>(),
        std::any::TypeId::of::<Status>()
    );
}

#[test]
fn rejects_a_status_that_is_not_an_integer() {
    for status in [
        "\"\"",
        "\"one\"",
        "\"01\"",
        "null",
        "true",
        "false",
        "0.5",
        "[0]",
        "{}",
        "9223372036854775808",
    ] {
        assert_rejected(format!(r#"{{"url":"u","status":{status}}}"#).as_bytes());
    }
}

#[test]
fn requires_url_and_status_only() {
    assert_rejected(br#"{"url":"u"}"#);
    assert_rejected(br#"{"status":0}"#);
    assert_rejected(br#"{"url":null,"status":0}"#);
    assert_rejected(br#"{"url":7,"status":0}"#);
    assert_rejected(b"{}");
    // A repeated status is ambiguous.
    assert_rejected(br#"{"url":"u","status":1,"status":0}"#);
    // Other fields are optional, and unknown ones are ignored.
    let callback =
        Callback::from_slice(br#"{"more":[{"status":7}],"status":0,"x":null,"url":""}"#).unwrap();
    assert_eq!(
        (callback.url.as_str(), callback.status),
        ("", CallbackStatus::Succeeded)
    );
    assert_eq!((callback.fail_reason, callback.file_id), (None, None));
}

#[test]
fn rejects_other_bodies() {
    for body in [
        "",
        " ",
        "\u{feff}",
        "null",
        "0",
        "\"callback\"",
        "[]",
        r#"["u",0,"","",100]"#,
        r#"[{"url":"u","status":0}]"#,
        "<html><body>hello</body></html>",
        "url=u&status=0",
        r#"{"url":"u","status":0"#,
        r#"{"url":"u","status":0}x"#,
        r#"{"url":"u","status":0}{"url":"u","status":0}"#,
        r#"{"url":"u","status":0,}"#,
        r#"{'url':'u','status':0}"#,
        // In the envelope of responses, which callbacks do not have.
        r#"{"code":0,"message":"ok","data":{"url":"u","status":0}}"#,
    ] {
        assert_rejected(body.as_bytes());
    }
    for body in [
        &b"\xff\xfe{\0}\0"[..],
        b"{\"url\":\"\xff\",\"status\":0}",
        &SAMPLE[1..],
        b"\0",
    ] {
        assert_rejected(body);
    }
}

#[test]
fn error_quotes_the_beginning_of_the_body() {
    let error = assert_rejected(b"<html>\x1b[31m");
    assert_eq!(
        error.to_string(),
        "the callback is not the documented one: it must be an object with `url` and `status`; \
         received: <html>\\u{1b}[31m"
    );
    assert!(!error.is_transient());
}

/// Decoding a callback sends no request.
#[test]
fn error_reports_that_nothing_was_sent() {
    assert!(!assert_rejected(b"<html>").may_have_taken_effect());
}

#[test]
fn skips_a_byte_order_mark() {
    let marked = [b"\xef\xbb\xbf", SAMPLE].concat();
    assert_eq!(
        Callback::from_slice(&marked).unwrap(),
        Callback::from_slice(SAMPLE).unwrap()
    );
    assert_rejected(&[b"\xef\xbb\xbf\xef\xbb\xbf", SAMPLE].concat());
    assert_rejected(&[b"\xef\xbb", SAMPLE].concat());
}

#[test]
fn skips_white_space_around_the_object() {
    let blanks = [b" \r\n\t", SAMPLE, b"\r\n "].concat();
    assert_eq!(
        Callback::from_slice(&blanks).unwrap(),
        Callback::from_slice(SAMPLE).unwrap()
    );
}

#[test]
fn decodes_or_rejects_very_large_bodies() {
    let reason = "x".repeat(8 << 20);
    let callback = decode_with(&json!({"failReason": &reason}));
    assert_eq!(callback.fail_reason.as_deref(), Some(reason.as_str()));
    assert_rejected(reason.as_bytes());
    assert_rejected(&vec![0xff; 8 << 20]);
    // Nested so deep that a recursive decoder without a limit overflows the stack.
    let deep = 1 << 20;
    assert_rejected("[".repeat(deep).as_bytes());
    assert_rejected(format!(r#"{{"url":"u","status":0,"fileID":{}"#, "[".repeat(deep)).as_bytes());
    let nested = format!(
        r#"{{"url":"u","status":0,"fileID":{}{}}}"#,
        "[".repeat(deep),
        "]".repeat(deep)
    );
    assert_eq!(
        Callback::from_slice(nested.as_bytes()).unwrap().file_id,
        None
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-2..3_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![Just("0".to_owned()), any::<String>()].prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(any_name(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(vec!["url", "status", "failReason", "fileReason", "fileID"]).prop_map(String::from),
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_do_not_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(Callback::from_slice(&body));
    }

    #[test]
    fn a_damaged_sample_is_a_success_only_with_status_0(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let mut body = SAMPLE.to_vec();
        let (at, cut) = (at.index(body.len()), cut.index(body.len() + 1));
        body[at] = byte;
        body.truncate(cut);
        if let Ok(callback) = Callback::from_slice(&body) {
            let value: Value = serde_json::from_slice(&body).unwrap();
            prop_assert_eq!(callback.status == CallbackStatus::Succeeded, value["status"] == 0);
        }
    }

    /// For any values and repetitions of the fields, only a single status 0 is a success.
    #[test]
    fn only_a_single_status_0_is_a_success(fields in proptest::collection::vec((any_name(), any_json()), 0..8)) {
        let inner: Vec<_> =
            fields.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str()))).collect();
        let body = format!("{{{}}}", inner.join(","));
        if let Ok(callback) = Callback::from_slice(body.as_bytes()) {
            let statuses: Vec<_> = fields.iter().filter(|(name, _)| name == "status").map(|(_, value)| value).collect();
            prop_assert_eq!(statuses.len(), 1);
            prop_assert_eq!(callback.status, CallbackStatus::from(statuses[0].as_i64().unwrap()));
            prop_assert_eq!(callback.status == CallbackStatus::Succeeded, *statuses[0] == json!(0));
        }
    }

    #[test]
    fn other_statuses_are_not_a_success(
        status in any::<i64>().prop_filter("0 is success", |status| *status != 0),
        url: String,
        reason in proptest::option::of(any::<String>()),
        file_id in proptest::option::of(prop_oneof![any::<i64>().prop_map(Value::from), any::<String>().prop_map(Value::from)]),
    ) {
        let callback = decode(&json!({"url": url, "status": status, "fileReason": reason, "fileID": file_id}));
        prop_assert_ne!(callback.status, CallbackStatus::Succeeded);
        prop_assert_eq!(callback.status, if status == 1 { CallbackStatus::Failed } else { CallbackStatus::Unknown(status) });
        prop_assert_eq!(callback.url, url);
        prop_assert_eq!(callback.fail_reason, reason.filter(|text| !text.is_empty()));
        let file_id = file_id.map(|id| id.as_str().map_or(id.to_string(), str::to_owned));
        prop_assert_eq!(callback.file_id, file_id.filter(|text| !text.is_empty()));
    }
}
