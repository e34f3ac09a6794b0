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
        let reason = invalid.into_iter().next();
        return Err(usage(reason.unwrap_or_else(|| {
            "the list is empty: there is nothing to do".to_owned()
        })));
    }
    Ok((tasks, invalid))
}

/// Parses a line: an id, a line of a list of created tasks, or a JSON object. `None` is an image without a task.
fn parse(line: &str) -> Result<Option<Task>, String> {
    let object: Value = match line.starts_with('{') {
        true => serde_json::from_str(line).unwrap_or_default(),
        false => Value::Null,
    };
    match object.get("task_id") {
        Some(Value::Null) => return Ok(None),
        Some(id) if id.as_u64().is_some_and(|id| id > 0) => {
            let url = object.get("url").and_then(Value::as_str);
            return Ok(id.as_u64().map(|id| (id, url.map(str::to_owned))));
        }
        _ => {}
    }
    let mut columns = line.split('\t').map(str::trim);
    let first = columns.next().unwrap_or_default();
    let is_url = |text: &&str| key::parse(text).is_ok();
    if is_url(&first) {
        return Err(format!(
            "`{}` is a URL, not a task id; `create` and `migrate` take URLs",
            excerpt(first)
        ));
    }
    match first.parse() {
        Ok(id) if id > 0 && first.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Some((id, columns.find(is_url).map(str::to_owned))))
        }
        _ => Err(format!(
            "`{}` is not a task id (expected a number)",
            excerpt(first)
        )),
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
                "{\"task_id\":10,\"url\":\"http://e.org/1.png\"}",
                Ok(Some((10, url()))),
            ),
            ("{\"task_id\":null}", Ok(None)),
            ("{\"task_id\":0}", Err("is not a task id")),
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
