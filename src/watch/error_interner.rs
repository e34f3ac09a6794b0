//! The last errors of tasks, each distinct one stored once.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use crate::error::Error;

/// Position of an error, or [`NONE`].
pub(super) type ErrorSlot = u32;

pub(super) const NONE: ErrorSlot = ErrorSlot::MAX;

/// Errors with the number of tasks that have them. Many tasks fail for the same reason, so this stays small.
#[derive(Debug, Default)]
pub(super) struct ErrorInterner {
    entries: Vec<Entry>,
    free: Vec<ErrorSlot>,
    slots: HashMap<u64, ErrorSlot>,
}

#[derive(Debug)]
struct Entry {
    error: Option<Error>,
    fingerprint: u64,
    ref_count: u32,
}

impl ErrorInterner {
    /// Stores an error in place of the one in `slot`.
    pub(super) fn replace(&mut self, slot: &mut ErrorSlot, error: Error) {
        self.take(slot);
        let fingerprint = fingerprint(&error);
        *slot = match self.slots.get(&fingerprint) {
            Some(slot) => *slot,
            None => self.insert(error, fingerprint),
        };
        self.entries[*slot as usize].ref_count += 1;
    }

    /// Removes and returns the error in `slot`.
    pub(super) fn take(&mut self, slot: &mut ErrorSlot) -> Option<Error> {
        let taken = std::mem::replace(slot, NONE);
        let entry = self.entries.get_mut(taken as usize)?;
        entry.ref_count -= 1;
        if entry.ref_count > 0 {
            return entry.error.clone();
        }
        self.slots.remove(&entry.fingerprint);
        self.free.push(taken);
        entry.error.take()
    }

    fn insert(&mut self, error: Error, fingerprint: u64) -> ErrorSlot {
        let entry = Entry {
            error: Some(error),
            fingerprint,
            ref_count: 0,
        };
        if self.entries.is_empty() {
            // Most often all tasks fail for one reason; `push` would reserve four entries.
            self.entries.reserve_exact(1);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry {
                error: None,
                fingerprint: 0,
                ref_count: 0,
            });
            (self.entries.len() - 1) as ErrorSlot
        });
        self.entries[slot as usize] = entry;
        self.slots.insert(fingerprint, slot);
        slot
    }
}

/// Returns a hash of the error's `Debug` text: errors with the same text are stored once.
fn fingerprint(error: &Error) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(format!("{error:?}").as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(reason: &str) -> Error {
        Error::config("setting", reason)
    }

    #[test]
    fn stores_equal_errors_once() {
        let mut errors = ErrorInterner::default();
        let (mut first, mut second, mut third) = (NONE, NONE, NONE);
        errors.replace(&mut first, error("a"));
        errors.replace(&mut second, error("a"));
        errors.replace(&mut third, error("b"));
        assert_eq!(errors.entries.len(), 2);
        assert_eq!(
            errors.take(&mut first).unwrap().to_string(),
            error("a").to_string()
        );
        assert!(errors.take(&mut first).is_none());

        // The slot of an error that no task has any more is reused.
        errors.replace(&mut second, error("c"));
        errors.replace(&mut first, error("d"));
        assert_eq!(errors.entries.len(), 3);
        for (slot, text) in [(&mut first, "d"), (&mut second, "c"), (&mut third, "b")] {
            assert_eq!(
                errors.take(slot).unwrap().to_string(),
                error(text).to_string()
            );
        }
        assert!(errors.slots.is_empty() && errors.free.len() == 3);
    }
}
