//! Replays the seeds of the fuzz targets through the same checks (see `fuzz/README.md`).
//!
//! If a check panics, the last file in the test's output is the seed that failed.

#[allow(unreachable_pub, reason = "the fuzz targets use the checks")]
#[path = "../fuzz/src/lib.rs"]
mod checks;

use std::fs;
use std::path::Path;

#[test]
fn envelope_seeds_have_the_expected_properties() {
    replay("envelope", checks::envelope);
}

#[test]
fn progress_seeds_have_the_expected_properties() {
    replay("progress", checks::progress);
}

#[test]
fn callback_seeds_have_the_expected_properties() {
    replay("callback", checks::callback);
}

#[test]
fn token_cache_seeds_have_the_expected_properties() {
    let token_cache = checks::TokenCacheCheck::new();
    replay("token_cache", |file| token_cache.check(file));
}

#[test]
fn response_seeds_have_the_expected_properties() {
    let response = checks::ResponseCheck::new();
    replay("response", |bytes| response.check(bytes));
}

/// Replays every seed of a target. A seed named `good-…` must be a success, and one named `bad-…`
/// must not. An input that a fuzzer found has any other name, and may be either.
fn replay(target: &str, check: impl Fn(&[u8]) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let entries = fs::read_dir(folder.join(target)).unwrap();
    let mut seeds: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    let (mut good, mut bad) = (0, 0);
    for seed in seeds {
        let name = seed.file_name().unwrap().to_str().unwrap();
        println!("{name}");
        let success = check(&fs::read(&seed).unwrap());
        let other_name = if success { "bad-" } else { "good-" };
        assert!(!name.starts_with(other_name), "{name}: {success}");
        good += usize::from(success);
        bad += usize::from(!success);
    }
    assert!(good > 0 && bad > 0, "seeds: {good} good, {bad} bad");
}
