//! JSON as the service writes it: objects only, and numbers in more than one form.

use std::fmt;

use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

/// Parses one JSON object, with nothing after it. A byte-order mark before it is skipped.
pub(crate) fn from_slice<'a, T: Deserialize<'a>>(body: &'a [u8]) -> serde_json::Result<T> {
    // Checking all bytes once costs less than serde_json's check of each string.
    let text = std::str::from_utf8(strip_bom(body)).map_err(de::Error::custom)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let JsonObject(value) = JsonObject::deserialize(&mut deserializer)?;
    deserializer.end().map(|()| value)
}

/// Parses one field of a JSON object, and ignores all others. `None` if it is absent or of another type.
pub(crate) fn field<T: DeserializeOwned>(body: &[u8], name: &'static str) -> Option<T> {
    struct FieldVisitor<T>(&'static str, std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for FieldVisitor<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Option<T>, A::Error> {
            let mut value = None;
            while let Some(key) = map.next_key::<String>()? {
                if key != self.0 {
                    map.next_value::<de::IgnoredAny>()?;
                } else if value.replace(map.next_value()?).is_some() {
                    return Err(de::Error::duplicate_field(self.0));
                }
            }
            Ok(value)
        }
    }

    let text = String::from_utf8_lossy(strip_bom(body));
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let value = deserializer
        .deserialize_map(FieldVisitor(name, std::marker::PhantomData))
        .ok()?;
    deserializer.end().ok()?;
    value
}

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

fn strip_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// A derived struct that is read from a JSON object only. Serde alone would accept an array, too, field by field.
pub(crate) struct JsonObject<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for JsonObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(ObjectOnly(deserializer)).map(Self)
    }
}

struct ObjectOnly<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectOnly<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A number: as JSON has it, or as the digits in a string.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    /// A whole number, written without a fraction or an exponent.
    Integer(i128),
    /// Any other number.
    Float(f64),
}

impl Number {
    /// The value, if it is a whole number that fits.
    pub(crate) fn as_integer<T: TryFrom<i128>>(self) -> Option<T> {
        match self {
            Self::Integer(value) => T::try_from(value).ok(),
            // Above 2^53 a float no longer tells whole numbers apart.
            Self::Float(value)
                if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 =>
            {
                T::try_from(value as i128).ok()
            }
            Self::Float(_) => None,
        }
    }

    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = match Value::deserialize(deserializer)? {
            Value::Number(number) => number
                .as_i128()
                .map(Self::Integer)
                .or_else(|| number.as_f64().map(Self::Float)),
            // White space is accepted, but not around a zero, which would be a success.
            Value::String(text) => parse_integer(text.trim())
                .filter(|value| *value != 0 || text == "0")
                .map(Self::Integer),
            _ => None,
        };
        number.ok_or_else(|| de::Error::custom("expected a number, or a string of digits"))
    }
}

/// Parses a whole number in its only form: no plus sign, no leading zero, no `-0`.
fn parse_integer(text: &str) -> Option<i128> {
    let value: i128 = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

/// Deserializes a whole number in any of its forms: `2`, `2.0`, `"2"`.
pub(crate) fn integer<'de, D: Deserializer<'de>, T: TryFrom<i128>>(
    deserializer: D,
) -> Result<T, D::Error> {
    whole(Number::deserialize(deserializer)?)
}

fn whole<T: TryFrom<i128>, E: de::Error>(number: Number) -> Result<T, E> {
    number
        .as_integer()
        .ok_or_else(|| E::custom("expected a whole number in range"))
}

/// Deserializes a whole number in any of its forms; `null` is 0.
pub(crate) fn integer_or_zero<'de, D: Deserializer<'de>, T: TryFrom<i128> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    match Option::<Number>::deserialize(deserializer)? {
        Some(number) => whole(number),
        None => Ok(T::default()),
    }
}

/// Returns a string, or the digits of a number as they were sent; `None` for any other value.
pub(crate) fn as_text(value: &RawValue) -> Option<String> {
    match serde_json::from_str(value.get()).ok()? {
        Value::String(text) => Some(text),
        // `100.0` is the id 100. A number that does not fit any type keeps its digits.
        Value::Number(_) => {
            let digits = value.get();
            Some(digits.strip_suffix(".0").unwrap_or(digits).to_owned())
        }
        _ => None,
    }
}

/// Deserializes a string, or the digits of a number; `null` is empty.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Option::<Box<RawValue>>::deserialize(deserializer)? {
        Some(value) => {
            as_text(&value).ok_or_else(|| de::Error::custom("expected a string or a number"))
        }
        None => Ok(String::new()),
    }
}

/// Deserializes a string, or the digits of a number, that is not empty.
pub(crate) fn required_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<String, D::Error> {
    match text(deserializer)? {
        text if text.is_empty() => Err(de::Error::custom("expected a text that is not empty")),
        text => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_whole_numbers_in_each_form() {
        for (json, expected) in [
            ("2", Some(2)),
            ("-7", Some(-7)),
            ("2.0", Some(2)),
            ("4.03316e5", Some(403_316)),
            ("\"2\"", Some(2)),
            ("\"-7\"", Some(-7)),
            ("\" 403 \"", Some(403)),
            ("\"0\"", Some(0)),
            ("\" 0\"", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("1e300", None),
            ("2.5", None),
            ("\"2.0\"", None),
            ("\"00\"", None),
            ("\"+0\"", None),
            ("\"-0\"", None),
            ("\"\"", None),
            ("\"two\"", None),
            ("true", None),
            ("null", None),
            ("[2]", None),
        ] {
            let number: Option<Number> = serde_json::from_str(json).ok();
            let integer: Option<i64> = number.and_then(Number::as_integer);
            assert_eq!(integer, expected, "{json}");
        }
    }
}
