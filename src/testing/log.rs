//! What the stand-in saw: the requests, counted and kept.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::lock;
use super::request::{Request, RequestView};

/// How many requests are kept unless the user says otherwise.
const KEPT_BY_DEFAULT: usize = 100_000;

pub(super) struct Log(Mutex<Entries>);

struct Entries {
    count: usize,
    most: usize,
    kept: VecDeque<Request>,
}

impl Default for Log {
    fn default() -> Self {
        Self(Mutex::new(Entries { count: 0, most: KEPT_BY_DEFAULT, kept: VecDeque::new() }))
    }
}

impl Log {
    pub(super) fn note(&self, request: &RequestView<'_>) {
        let mut entries = lock(&self.0);
        entries.count += 1;
        if entries.most == 0 {
            return;
        }
        if entries.kept.len() == entries.most {
            entries.kept.pop_front();
        }
        entries.kept.push_back(request.to_request());
    }

    pub(super) fn keep(&self, most: usize) {
        let mut entries = lock(&self.0);
        entries.most = most;
        let too_many = entries.kept.len().saturating_sub(most);
        entries.kept.drain(..too_many);
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        lock(&self.0).kept.iter().cloned().collect()
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.0).count
    }
}
