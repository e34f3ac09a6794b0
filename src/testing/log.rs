//! The requests received: counted, and the latest ones kept.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::lock;
use super::request::{Request, RequestView};

/// Default number of requests that are kept.
const DEFAULT_MAX_KEPT: usize = 100_000;

pub(super) struct Log(Mutex<Entries>);

struct Entries {
    count: usize,
    max_kept: usize,
    kept: VecDeque<Request>,
}

impl Default for Log {
    fn default() -> Self {
        Self(Mutex::new(Entries {
            count: 0,
            max_kept: DEFAULT_MAX_KEPT,
            kept: VecDeque::new(),
        }))
    }
}

impl Log {
    pub(super) fn record(&self, request: &RequestView<'_>) {
        let mut entries = lock(&self.0);
        entries.count += 1;
        if entries.max_kept == 0 {
            return;
        }
        if entries.kept.len() == entries.max_kept {
            entries.kept.pop_front();
        }
        entries.kept.push_back(request.to_request());
    }

    pub(super) fn set_max_kept(&self, max: usize) {
        let mut entries = lock(&self.0);
        entries.max_kept = max;
        let excess = entries.kept.len().saturating_sub(max);
        entries.kept.drain(..excess);
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        lock(&self.0).kept.iter().cloned().collect()
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.0).count
    }
}
