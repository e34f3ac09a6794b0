//! The memory, descriptors and threads of this process.

use std::fs;

/// Memory, descriptors and threads of this process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) kib: u64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
}

impl Usage {
    /// Reads the usage; `None` without /proc.
    pub(crate) fn now() -> Option<Self> {
        // VmRSS is the sum of counters per CPU, and may be wrong by some hundred KiB on older kernels.
        let kib = field("/proc/self/smaps_rollup", "Rss:")
            .or_else(|| field("/proc/self/status", "VmRSS:"))?;
        let count = |path| fs::read_dir(path).ok().map(Iterator::count);
        // One descriptor belongs to the listing.
        Some(Self {
            kib,
            descriptors: count("/proc/self/fd")? - 1,
            threads: count("/proc/self/task")?,
        })
    }

    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            kib: self.kib.max(other.kib),
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
        }
    }
}

fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(name))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}
