//! JSON lines: one object on each line, without control characters.

use serde::Serialize;

/// Returns a value as one line, with its end.
///
/// `serde_json` leaves DEL and U+0080 to U+009F as they are, and some terminals obey them. In JSON
/// they can occur in strings only, so escaping them afterwards is safe.
pub(crate) fn to_line(value: &impl Serialize) -> String {
    // Fails only for a map whose keys are no strings, or a `Serialize` that fails by itself.
    let mut text = serde_json::to_string(value).unwrap_or_else(|error| panic!("{error}"));
    // The first bytes of these characters in UTF-8: bytes are compared faster than decoded.
    if text.bytes().any(|byte| matches!(byte, 0x7f | 0xc2)) {
        let escape = |character: char| match character {
            control if control.is_control() => format!("\\u{:04x}", u32::from(control)),
            other => other.into(),
        };
        text = text.chars().map(escape).collect();
    }
    text.push('\n');
    text
}
