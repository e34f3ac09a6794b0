//! JSON as the service writes it: objects only, and values of more than one type.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_json::{Number, Value};

/// Describes why a body is not the expected JSON. The details are in `serde_json`'s error.
pub(crate) fn describe(error: &serde_json::Error, body: &[u8]) -> &'static str {
    match error.classify() {
        _ if strip_bom(body).is_empty() => "it is empty",
        _ if std::str::from_utf8(body).is_err() => "it is not UTF-8",
        Category::Eof => "it is incomplete",
        Category::Data => "a field is missing, duplicate or of another type",
        Category::Syntax | Category::Io => "it is not JSON",
    }
}

/// Removes a byte-order mark.
pub(crate) fn strip_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// A derived struct that is read from a JSON object only. Serde alone would accept an array, too, field by field.
pub(crate) struct JsonObject<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for JsonObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = JsonObject<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<JsonObject<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(JsonObject)
    }
}

/// Deserializes a number: as JSON has it, or as the digits of a whole number in a string.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
    let number = match Value::deserialize(deserializer)? {
        Value::Number(number) => Some(number),
        // White space is accepted, but not around a zero.
        Value::String(text) => serde_json::from_str(&text)
            .ok()
            .filter(|value| *value != 0 || text == "0")
            .and_then(Number::from_i128),
        _ => None,
    };
    number.ok_or_else(|| de::Error::custom("expected a number, or a string of digits"))
}

/// A whole number in any of its forms: `2`, `2.0`, `"2"`.
#[derive(Debug, Default)]
pub(crate) struct Integer<T>(pub(crate) T);

impl<'de, T: TryFrom<i128>> Deserialize<'de> for Integer<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Above 2^53 a float no longer tells whole numbers apart.
        let is_whole = |float: &f64| float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0;
        let number = number(deserializer)?;
        let float = || Some(number.as_f64().filter(is_whole)? as i128);
        let value = number.as_i128().or_else(float);
        value
            .and_then(|value| T::try_from(value).ok().map(Self))
            .ok_or_else(|| de::Error::custom("expected a whole number in range"))
    }
}

/// A text: a string, or the digits of a number as they were sent.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Box<RawValue>")]
pub(crate) struct Text(pub(crate) String);

impl TryFrom<Box<RawValue>> for Text {
    type Error = &'static str;

    fn try_from(value: Box<RawValue>) -> Result<Self, &'static str> {
        let json = value.get();
        match serde_json::from_str(json) {
            Ok(Value::String(text)) => Ok(Self(text)),
            // `100.0` is the id 100. A number that does not fit any type keeps its digits.
            Ok(Value::Number(_)) => Ok(Self(json.strip_suffix(".0").unwrap_or(json).to_owned())),
            _ => Err("expected a string or a number"),
        }
    }
}

/// Deserializes a text that is not empty.
pub(crate) fn required_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<String, D::Error> {
    let Text(text) = Text::deserialize(deserializer)?;
    if text.is_empty() {
        return Err(de::Error::custom("expected a text that is not empty"));
    }
    Ok(text)
}
