//! Lists of task ids: on the command line, or on standard input.

use std::io::{self, Read};

use serde_json::Value;

use crate::failure::{Failure, usage};
use crate::list::excerpt;

/// The maximum size of standard input, in bytes.
const MAX_INPUT_LEN: u64 = 256 * 1024 * 1024;

/// Tasks to follow, with their URLs where the list has them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TaskIds {
    pub(crate) tasks: Vec<(u64, Option<String>)>,
    /// The reasons why lines are invalid.
    pub(crate) invalid: Vec<String>,
}

/// Returns the tasks of the arguments; `-` stands for standard input, which is read to its end.
pub(crate) fn read(arguments: &[String]) -> Result<TaskIds, Failure> {
    let mut ids = TaskIds::default();
    for argument in arguments {
        if argument != "-" {
            match parse(argument) {
                Ok(Some(task)) => ids.tasks.push(task),
                Ok(None) => {}
                Err(reason) => return Err(usage(reason)),
            }
            continue;
        }
        let mut text = Vec::new();
        let input = io::stdin()
            .lock()
            .take(MAX_INPUT_LEN)
            .read_to_end(&mut text);
        input.map_err(|error| usage(format!("standard input: {error}")))?;
        ids.add_lines(&String::from_utf8_lossy(&text));
    }
    if ids.tasks.is_empty() {
        return Err(usage(match ids.invalid.first() {
            Some(reason) => reason.clone(),
            None => "the list is empty: there is nothing to do".to_owned(),
        }));
    }
    Ok(ids)
}

impl TaskIds {
    fn add_lines(&mut self, text: &str) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match parse(line) {
                Ok(task) => self.tasks.extend(task),
                Err(reason) => {
                    let reason = format!("line {number} of standard input: {reason}");
                    self.invalid.push(reason);
                }
            }
        }
    }
}

/// Parses a line; `None` is the JSON object of an image without a task.
fn parse(line: &str) -> Result<Option<(u64, Option<String>)>, String> {
    if let Some(task) = parse_json(line) {
        return Ok(task);
    }
    let (first, rest) = line.split_once('\t').unwrap_or((line, ""));
    let first = first.trim();
    if is_http_url(first) {
        let shown = excerpt(first);
        return Err(format!(
            "`{shown}` is a URL, not a task id; `create` and `migrate` take URLs"
        ));
    }
    let is_number = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
    match first.parse() {
        Ok(id) if is_number && id > 0 => {
            let url = rest.split('\t').map(str::trim);
            let url = url.into_iter().find(|column| is_http_url(column));
            Ok(Some((id, url.map(str::to_owned))))
        }
        _ => {
            let shown = excerpt(first);
            Err(format!("`{shown}` is not a task id (expected a number)"))
        }
    }
}

/// Returns the task of a JSON object that has the field `task_id`; `Some(None)` if that is null.
fn parse_json(line: &str) -> Option<Option<(u64, Option<String>)>> {
    if !line.starts_with('{') {
        return None;
    }
    let object: Value = serde_json::from_str(line).ok()?;
    let id = match object.get("task_id")? {
        Value::Null => return Some(None),
        id => id.as_u64()?,
    };
    let url = object.get("url").and_then(Value::as_str).map(str::to_owned);
    Some(Some((id, url)))
}

fn is_http_url(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        text.split_at_checked(scheme.len())
            .is_some_and(|(start, _)| start.eq_ignore_ascii_case(scheme))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines_of_each_form() {
        let mut ids = TaskIds::default();
        ids.add_lines(
            "\u{feff}7\r\n\n# a comment\n  8\thttp://e.org/1.png\n9\tanything\n{\"task_id\":10}\n\
             {\"task_id\":null}\nhttp://e.org/2.png\nx\n0\n99999999999999999999\n",
        );
        let url = Some("http://e.org/1.png".to_owned());
        assert_eq!(ids.tasks, [(7, None), (8, url), (9, None), (10, None)]);
        let lines: Vec<_> = ids.invalid.iter().map(|reason| &reason[..7]).collect();
        assert_eq!(lines, ["line 8 ", "line 9 ", "line 10", "line 11"]);
        assert!(ids.invalid[0].contains("is a URL"), "{:?}", ids.invalid);
    }
}
