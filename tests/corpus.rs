//! Replays the seeds of the fuzz targets, through the same checks: see `fuzz/README.md`.
//!
//! Where one fails, the last file that the test's output names is the one.

// The checks have a public face for the fuzz targets.
#[allow(unreachable_pub)]
#[path = "../fuzz/src/lib.rs"]
mod checks;

use std::fs;
use std::path::Path;

#[test]
fn envelope() {
    replay("envelope", checks::envelope);
}

#[test]
fn progress() {
    replay("progress", checks::progress);
}

#[test]
fn callback() {
    replay("callback", checks::callback);
}

#[test]
fn token_cache() {
    let token_cache = checks::TokenCache::new();
    replay("token_cache", |file| token_cache.check(file));
}

#[test]
fn answer() {
    let answer = checks::Answer::new();
    replay("answer", |bytes| answer.check(bytes));
}

/// Every seed of a target. By its name one is `good-…`, which is a success, or `bad-…`, which is none; what a fuzzer
/// found has any other name, and may be either.
fn replay(target: &str, check: impl Fn(&[u8]) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut seeds: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    seeds.sort();
    let (mut good, mut bad) = (0, 0);
    for seed in seeds {
        let name = seed.file_name().unwrap().to_str().unwrap();
        println!("{name}");
        let success = check(&fs::read(&seed).unwrap());
        assert!(success || !name.starts_with("good-"), "{name} is a success");
        assert!(
            !success || !name.starts_with("bad-"),
            "{name} is no success"
        );
        good += usize::from(success);
        bad += usize::from(!success);
    }
    assert!(
        good > 0 && bad > 0,
        "seeds of both kinds: {good} good, {bad} bad"
    );
}
