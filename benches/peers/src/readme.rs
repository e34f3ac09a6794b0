//! Brings the figures in the READMEs up to date, and finds figures that nothing measured.

use std::ops::Range;

use super::figure::{Template, number_len};
use super::quotes::{NOT_MEASURED, QUOTES, UNITS};
use super::results::Results;
use super::tables;

/// The files with measured figures, from the root of the repository.
pub const FILES: [&str; 3] = [TABLES, "README.md", "README.zh-CN.md"];

/// The file with the tables.
const TABLES: &str = "benches/README.md";

/// Returns the text of a file with all its figures as the results files have them. Fails if a table
/// or a sentence is not there.
pub fn update(file: &str, text: &str, results: &Results) -> Result<String, String> {
    let mut text = text.to_owned();
    if file == TABLES {
        for table in tables::all(results) {
            text = table
                .replace_in(&text)
                .ok_or_else(|| format!("{file} has no table\n{}", table.to_markdown()))?;
        }
    }
    for quote in quotes(file) {
        let figures = Template::new(quote)
            .find(&text, results)
            .ok_or_else(|| format!("{file} has no text as QUOTES has it:\n{quote}"))?;
        // From the end, so that the places before a change stay.
        for (range, figure) in figures.into_iter().rev() {
            text.replace_range(range, &figure);
        }
    }
    Ok(text)
}

/// Returns each figure with a unit that is in no table, no quote and not [`NOT_MEASURED`], with its
/// line.
pub fn unmeasured(file: &str, text: &str, results: &Results) -> Vec<String> {
    let mut known: Vec<Range<usize>> = Vec::new();
    if file == TABLES {
        known.extend(
            tables::all(results)
                .iter()
                .filter_map(|it| it.find_in(text)),
        );
    }
    for quote in quotes(file) {
        let figures = Template::new(quote).find(text, results);
        known.extend(figures.into_iter().flatten().map(|(range, _)| range));
    }
    for fragment in NOT_MEASURED {
        let places = text.match_indices(fragment);
        known.extend(places.map(|(at, found)| at..at + found.len()));
    }
    let is_known = |at: &usize| known.iter().any(|range| range.contains(at));
    figures_with_unit(text)
        .into_iter()
        .filter(|at| !is_known(at))
        .map(|at| {
            let line = text[..at].matches('\n').count() + 1;
            let end = text[at..].find('\n').map_or(text.len(), |len| at + len);
            format!("{file}:{line}: {}", &text[at..end])
        })
        .collect()
}

fn quotes(file: &str) -> impl Iterator<Item = &'static str> {
    let of_file = QUOTES.iter().filter(move |(name, _)| *name == file);
    of_file.map(|&(_, quote)| quote)
}

/// Returns the places of numbers that have a unit.
fn figures_with_unit(text: &str) -> Vec<usize> {
    let (mut at, mut found) = (0, Vec::new());
    while let Some(start) = text[at..].find(|c: char| c.is_ascii_digit()) {
        let start = at + start;
        let end = start + number_len(&text[start..]).expect("a digit");
        let after = text[end..].trim_start_matches([' ', '\n', '\u{a0}']);
        if UNITS.iter().any(|unit| starts_with_word(after, unit)) {
            found.push(start);
        }
        at = end;
    }
    found
}

fn starts_with_word(text: &str, word: &str) -> bool {
    let rest = text.strip_prefix(word);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}
