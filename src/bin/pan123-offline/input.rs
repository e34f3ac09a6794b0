//! What to work on, from the command line or from standard input.

use std::collections::HashSet;
use std::io::{self, BufRead};

use crate::failure::{Failure, usage};

/// A task id or URL, and where it was given.
pub(crate) struct Item {
    pub(crate) text: String,
    /// The line of standard input; `None` for the command line.
    line: Option<usize>,
}

impl Item {
    pub(crate) fn place(&self) -> String {
        self.line.map_or_else(String::new, |line| {
            format!("line {line} of standard input: ")
        })
    }
}

/// The arguments, with what standard input holds in the place of `-`. Of a line counts what stands before the first
/// blank, so that this command's own output can be read again; a line without anything does not.
pub(crate) fn items(arguments: &[String]) -> Result<Vec<Item>, Failure> {
    let mut items = Vec::with_capacity(arguments.len());
    for argument in arguments {
        if argument != "-" {
            items.push(Item {
                text: argument.clone(),
                line: None,
            });
            continue;
        }
        for (number, line) in (1..).zip(io::stdin().lock().lines()) {
            let line =
                line.map_err(|error| usage(format!("line {number} of standard input: {error}")))?;
            // An editor may have put a byte-order mark before the first.
            if let Some(text) = line
                .trim_start_matches('\u{feff}')
                .split_whitespace()
                .next()
            {
                items.push(Item {
                    text: text.to_owned(),
                    line: Some(number),
                });
            }
        }
    }
    if items.is_empty() {
        return Err(usage("standard input is empty: there is nothing to do"));
    }
    Ok(items)
}

/// Each task once, in the order given.
pub(crate) fn task_ids(arguments: &[String]) -> Result<Vec<u64>, Failure> {
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for item in items(arguments)? {
        let id = item.text.parse().map_err(|_| {
            usage(format!(
                "{}`{}` is no task id, which is a number",
                item.place(),
                item.text.escape_debug()
            ))
        })?;
        if seen.insert(id) {
            ids.push(id);
        }
    }
    Ok(ids)
}
