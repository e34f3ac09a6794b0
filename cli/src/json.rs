//! JSON lines: one object on each line, without characters that control a terminal.

use serde::Serialize;

/// Returns a value as one line, with its end.
///
/// `serde_json` leaves some characters as they are that terminals obey. In JSON they can occur in strings only, so
/// escaping them afterwards is safe.
pub(crate) fn to_line(value: &impl Serialize) -> String {
    // Fails only for a map whose keys are no strings, or a `Serialize` that fails by itself.
    let text = serde_json::to_string(value).unwrap_or_else(|error| panic!("{error}"));
    let escape = |character: char| match character {
        control if controls_terminal(control) => format!("\\u{:04x}", u32::from(control)),
        other => other.into(),
    };
    match text.contains(controls_terminal) {
        true => text.chars().map(escape).chain(["\n".to_owned()]).collect(),
        false => text + "\n",
    }
}

/// Reports whether a terminal obeys a character: a control character, or one that changes the direction of text.
pub(crate) fn controls_terminal(character: char) -> bool {
    let is_directional = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    character.is_control() || is_directional
}
