//! A JSON reader that is independent of the library's, and slower.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Returns the value at this path of a JSON object, if there is one. Fails if the bytes are not an
/// object, or if a field of the path is repeated: a `Value` would keep the last one. Other fields
/// are skipped at any depth.
pub fn find(json: &[u8], path: &[&str]) -> serde_json::Result<Option<Value>> {
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(Error::custom("no object"));
    }
    let mut found = None;
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    Field {
        path,
        found: &mut found,
    }
    .deserialize(&mut deserializer)?;
    deserializer.end().map(|()| found)
}

/// Returns the value at this path; an error counts as none.
pub fn only(json: &[u8], path: &[&str]) -> Option<Value> {
    find(json, path).ok().flatten()
}

/// Returns whether an object has this field more than once.
pub fn is_repeated(json: &[u8], name: &str) -> bool {
    struct Keys<'a>(&'a str);

    impl<'de> Visitor<'de> for Keys<'_> {
        type Value = usize;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
            let mut count = 0;
            while let Some(key) = map.next_key::<String>()? {
                map.next_value::<IgnoredAny>()?;
                count += usize::from(key == self.0);
            }
            Ok(count)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_slice(json);
    Deserializer::deserialize_map(&mut deserializer, Keys(name)).is_ok_and(|count| count > 1)
}

/// Returns the bytes without a leading byte-order mark.
pub fn strip_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

struct Field<'a> {
    path: &'a [&'a str],
    found: &'a mut Option<Value>,
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = false;
        while let Some(name) = map.next_key::<String>()? {
            if self.path.first().is_none_or(|field| *field != name) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if std::mem::replace(&mut seen, true) {
                return Err(Error::custom("a field is repeated"));
            }
            match &self.path[1..] {
                [] => *self.found = Some(map.next_value()?),
                path => map.next_value_seed(Field {
                    path,
                    found: self.found,
                })?,
            }
        }
        Ok(())
    }

    // Anything but an object has no fields.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}
