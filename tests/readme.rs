//! The figures in the READMEs are those of the results files in `benches/results/`.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- tables` writes them there.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "these files are parts of the bench"
)]

#[path = "../benches/peers/src/figure.rs"]
mod figure;
#[path = "../benches/peers/src/limits.rs"]
mod limits;
#[path = "../benches/peers/src/quotes.rs"]
mod quotes;
#[path = "../benches/peers/src/readme.rs"]
mod readme;
#[path = "../benches/peers/src/results.rs"]
mod results;
#[path = "../benches/peers/src/tables.rs"]
mod tables;

use std::fs;
use std::path::Path;

use results::Results;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn results() -> Results {
    Results::read(&root().join("benches/results"))
}

/// The READMEs with their texts.
fn readmes() -> [(&'static str, String); 3] {
    readme::FILES.map(|file| (file, fs::read_to_string(root().join(file)).unwrap()))
}

#[test]
fn figures_are_those_of_the_results() {
    for (file, text) in readmes() {
        let updated = readme::update(file, &text, &results()).unwrap_or_else(|e| panic!("{e}"));
        let changed = text
            .lines()
            .zip(updated.lines())
            .find(|(is, should)| is != should);
        if let Some((is, should)) = changed {
            panic!("{file} has\n{is}\nand the results files have\n{should}");
        }
        assert_eq!(text, updated, "{file}");
    }
}

#[test]
fn every_figure_with_a_unit_is_in_the_results() {
    let results = results();
    let unmeasured: Vec<_> = readmes()
        .iter()
        .flat_map(|(file, text)| readme::unmeasured(file, text, &results))
        .collect();
    assert!(
        unmeasured.is_empty(),
        "add them to QUOTES or NOT_MEASURED in benches/peers/src/quotes.rs:\n{}",
        unmeasured.join("\n")
    );
}

/// Each picture of a README exists.
#[test]
fn plots_exist() {
    for (file, text) in readmes() {
        let folder = root().join(file);
        for (at, _) in text.match_indices(".svg)") {
            let link = text[..at + 4].rsplit('(').next().unwrap();
            let path = folder.parent().unwrap().join(link);
            assert!(path.exists(), "{file}: {link}");
        }
    }
}

// ---- The comparison itself.

#[test]
fn finds_a_wrong_figure_in_a_sentence() {
    let results = results();
    let quote = "takes {instructions|ureq|0} instructions, {instructions|curl|ureq|2} as many";
    let template = figure::Template::new(quote);
    let text = "A call takes 12,345\ninstructions, 9.99 as many.";
    let found = template.find(text, &results).unwrap();
    let places: Vec<_> = found
        .iter()
        .map(|(range, _)| &text[range.clone()])
        .collect();
    assert_eq!(places, ["12,345", "9.99"]);
    let expected = results.get("instructions", "ureq").unwrap();
    assert_eq!(found[0].1, figure::number(expected, 0));
    assert!(template.find("takes 1 instruction", &results).is_none());
}

#[test]
fn formats_numbers() {
    for (value, decimals, text) in [
        (0.0, 0, "0"),
        (999.5, 0, "1,000"),
        (1_234_567.0, 0, "1,234,567"),
        (12_345.678, 1, "12,345.7"),
        (0.74, 3, "0.740"),
    ] {
        assert_eq!(figure::number(value, decimals), text);
    }
}
