//! Lists of task ids: on the command line, or on standard input.

use std::io::{self, Read};

use serde_json::Value;

use crate::failure::{Failure, usage};
use crate::key;
use crate::list::{excerpt, lines};

/// The maximum size of standard input, in bytes.
const MAX_INPUT_LEN: u64 = 256 * 1024 * 1024;

/// The id of a task, and the URL where the list has it.
pub(crate) type Task = (u64, Option<String>);

/// Returns the tasks of the arguments, and why lines are invalid. `-` stands for standard input, which is read to its end.
pub(crate) fn read(arguments: &[String]) -> Result<(Vec<Task>, Vec<String>), Failure> {
    let (mut tasks, mut invalid) = (Vec::new(), Vec::new());
    for argument in arguments {
        if argument != "-" {
            tasks.extend(parse(argument).map_err(usage)?);
            continue;
        }
        let mut text = Vec::new();
        let mut input = io::stdin().lock().take(MAX_INPUT_LEN);
        if let Err(error) = input.read_to_end(&mut text) {
            return Err(usage(format!("standard input: {error}")));
        }
        for (number, line) in lines(&String::from_utf8_lossy(&text)) {
            match parse(line) {
                Ok(task) => tasks.extend(task),
                Err(reason) => {
                    invalid.push(format!("line {number} of standard input: {reason}"));
                }
            }
        }
    }
    if tasks.is_empty() {
        let reason = invalid.first().map(String::as_str);
        let reason = reason.unwrap_or("the list is empty: there is nothing to do");
        return Err(usage(reason));
    }
    Ok((tasks, invalid))
}

/// Parses a line: an id, a line of a list of created tasks, or a JSON object. `None` is an image without a task.
fn parse(line: &str) -> Result<Option<Task>, String> {
    let object: Value = serde_json::from_str(line).unwrap_or_default();
    let id = object.get("task_id").map(Value::to_string);
    if id.as_deref() == Some("null") {
        return Ok(None);
    }
    let is_url = |text: &&str| key::parse(text).is_ok();
    let mut columns = line.split('\t').map(str::trim);
    let first = columns.next().unwrap_or_default();
    let first = id.as_deref().unwrap_or(first);
    let url = object.get("url").and_then(Value::as_str);
    let url = url.or_else(|| columns.find(is_url)).map(str::to_owned);
    let shown = excerpt(first);
    match first.parse() {
        Ok(id) if id > 0 && first.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Some((id, url))),
        _ if is_url(&first) => Err(format!(
            "`{shown}` is a URL, not a task id; `create` and `migrate` take URLs"
        )),
        _ => Err(format!("`{shown}` is not a task id (expected a number)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_lines_of_each_form() {
        let url = || Some("http://e.org/1.png".to_owned());
        for (line, task) in [
            ("7", Ok(Some((7, None)))),
            ("8\tx\thttp://e.org/1.png", Ok(Some((8, url())))),
            ("9\tanything", Ok(Some((9, None)))),
            (
                r#"{"task_id":10,"url":"http://e.org/1.png"}"#,
                Ok(Some((10, url()))),
            ),
            (r#"{"task_id":null}"#, Ok(None)),
            (r#"{"task_id":0}"#, Err("is not a task id")),
            ("{}", Err("is not a task id")),
            ("http://e.org/2.png", Err("is a URL")),
            ("x", Err("is not a task id")),
            ("0", Err("is not a task id")),
            ("+1", Err("is not a task id")),
            ("99999999999999999999", Err("is not a task id")),
        ] {
            match (parse(line), task) {
                (Err(reason), Err(expected)) => assert!(reason.contains(expected), "{reason}"),
                (parsed, expected) => assert_eq!(parsed, expected.map_err(str::to_owned), "{line}"),
            }
        }
    }
}
