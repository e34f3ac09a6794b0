//! Texts with figures from the results files.

use std::ops::Range;

use super::results::Results;

/// A cell or a sentence with placeholders, `{figure|program|decimals}` for a value and
/// `{figure|program|other program|decimals}` for a quotient. Decimals of `1/1024` are one decimal
/// of the value divided by 1024.
pub struct Template<'a>(Vec<Part<'a>>);

enum Part<'a> {
    Literal(&'a str),
    Placeholder(&'a str),
}

/// Cell of a figure that was not measured.
const MISSING: &str = "not measured";

impl<'a> Template<'a> {
    pub fn new(text: &'a str) -> Self {
        let mut parts = Vec::new();
        for (at, piece) in text.split('{').enumerate() {
            let (placeholder, literal) = match piece.split_once('}') {
                Some((placeholder, literal)) if at > 0 => (Some(placeholder), literal),
                _ => (None, piece),
            };
            parts.extend(placeholder.map(Part::Placeholder));
            parts.push(Part::Literal(literal));
        }
        Self(parts)
    }

    /// Returns the text with all figures.
    pub fn fill(&self, results: &Results) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Literal(text) => (*text).to_owned(),
            Part::Placeholder(text) => placeholder(text, results),
        });
        parts.collect()
    }

    /// Finds the sentence in a text, whatever figures it has there. Returns the places of the figures
    /// with the correct values.
    pub fn find(&self, text: &str, results: &Results) -> Option<Vec<(Range<usize>, String)>> {
        let mut starts = text.char_indices().map(|(at, _)| at);
        starts.find_map(|start| self.find_at(start, text, results))
    }

    fn find_at(
        &self,
        start: usize,
        text: &str,
        results: &Results,
    ) -> Option<Vec<(Range<usize>, String)>> {
        let (mut at, mut figures) = (start, Vec::new());
        for part in &self.0 {
            let len = match part {
                Part::Literal(literal) => literal_len(literal, &text[at..])?,
                Part::Placeholder(_) => number_len(&text[at..])?,
            };
            if let Part::Placeholder(name) = part {
                figures.push((at..at + len, placeholder(name, results)));
            }
            at += len;
        }
        Some(figures)
    }
}

fn placeholder(text: &str, results: &Results) -> String {
    let fields: Vec<_> = text.split('|').collect();
    let (value, decimals) = match fields[..] {
        [figure, program, decimals] => (results.get(figure, program), decimals),
        [figure, program, other, decimals] => (results.ratio(figure, program, other), decimals),
        _ => panic!("not a placeholder: {text}"),
    };
    let Some(value) = value else {
        return MISSING.to_owned();
    };
    match decimals.strip_suffix("/1024") {
        Some(decimals) => number(value / 1024.0, decimals.parse().unwrap()),
        None => number(value, decimals.parse().unwrap()),
    }
}

/// Returns the length of a literal at the start of a text. A line break matches a space.
fn literal_len(literal: &str, text: &str) -> Option<usize> {
    let mut rest = text;
    for (at, word) in literal.split(' ').enumerate() {
        if at > 0 {
            let trimmed = rest.trim_start_matches([' ', '\n']);
            if trimmed.len() == rest.len() {
                return None;
            }
            rest = trimmed;
        }
        rest = rest.strip_prefix(word)?;
    }
    Some(text.len() - rest.len())
}

/// Returns the length of the number at the start of a text.
pub fn number_len(text: &str) -> Option<usize> {
    let is_part = |c: char| c.is_ascii_digit() || c == ',' || c == '.';
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let number = text[..end].trim_end_matches([',', '.']);
    number
        .starts_with(|c: char| c.is_ascii_digit())
        .then_some(number.len())
}

/// Formats a number with separated thousands.
pub fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}
