//! The list of URLs: read whole before anything is sent, and checked line by line.

mod check;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use self::check::check;
use crate::failure::{Failure, usage};
use crate::json::controls_terminal;
use crate::key::ImageUrl;
use crate::names;

/// The maximum size of a list, in bytes.
const MAX_LIST_LEN: u64 = 1024 * 1024 * 1024;
/// The maximum length of a line, in bytes.
const MAX_LINE_LEN: usize = 64 * 1024;
/// The maximum length of a line's excerpt in an error.
const MAX_EXCERPT_CHARS: usize = 200;

/// The text of a list.
#[derive(Debug)]
pub(crate) struct List {
    name: String,
    text: String,
}

/// A line of a list.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// Number of the line, from 1.
    pub(crate) line: u32,
    pub(crate) text: &'a str,
    /// The URL and the name, or the reason why the line is invalid.
    pub(crate) parsed: Result<Parsed<'a>, String>,
}

#[derive(Debug)]
pub(crate) struct Parsed<'a> {
    pub(crate) given: &'a str,
    pub(crate) url: ImageUrl,
    pub(crate) name: Option<&'a str>,
    /// The reason why the service will probably not reach the URL.
    pub(crate) warning: Option<&'static str>,
}

impl<'a> Entry<'a> {
    /// Returns the URL as the list has it; of an invalid line, its text.
    pub(crate) fn given(&self) -> &'a str {
        self.parsed
            .as_ref()
            .map_or(self.text, |parsed| parsed.given)
    }
}

impl List {
    /// Reads a list; `-` is standard input. Without a state file named by the user it must be a file, beside which the
    /// state is kept.
    pub(crate) fn read(path: &Path, has_state: bool) -> Result<Self, Failure> {
        if path.as_os_str() == OsStr::new("-") {
            return Self::from_reader(io::stdin().lock(), "standard input".to_owned());
        }
        let name = path.display().to_string();
        let failed = |error: io::Error| usage(format!("the list {name}: {error}"));
        // Windows opens no folder.
        if path.is_dir() {
            return Err(usage(format!(
                "the list {name} is a folder; name a file with a URL on each line"
            )));
        }
        let file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() && !has_state {
            return Err(usage(format!(
                "the list {name} is no file, beside which the state could be kept: name a file \
                 for it with --state"
            )));
        }
        Self::from_reader(file, name)
    }

    /// Makes a list of the URLs of a command line.
    pub(crate) fn of_arguments(urls: &[String]) -> Self {
        Self {
            name: "the command line".to_owned(),
            text: urls.join("\n"),
        }
    }

    fn from_reader(reader: impl Read, name: String) -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        reader
            .take(MAX_LIST_LEN + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| usage(format!("the list {name}: {error}")))?;
        if bytes.len() as u64 > MAX_LIST_LEN {
            return Err(usage(format!("the list {name} is longer than 1 GiB")));
        }
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(usage(format!(
                "the list {name} is UTF-16; save it as UTF-8"
            )));
        }
        if bytes.contains(&0) {
            return Err(usage(format!(
                "the list {name} is no text: it has NUL bytes"
            )));
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        let list = Self { name, text };
        if list.lines().next().is_none() {
            return Err(usage(format!(
                "the list {} is empty: there is nothing to do",
                list.name
            )));
        }
        Ok(list)
    }

    /// Returns where the list comes from.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the lines that are not skipped: blank ones, and those that begin with `#`.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (u32, &str)> {
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(&self.text);
        let numbered = (1..).zip(text.lines());
        let trimmed = numbered.map(|(number, line)| (number, line.trim()));
        trimmed.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    }

    /// Returns the lines in their order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut parser = Parser::default();
        self.lines()
            .map(move |(line, text)| parser.entry(line, text))
    }
}

/// Parses lines, and remembers their names.
#[derive(Default)]
pub(crate) struct Parser<'a> {
    /// The key of each name.
    names: HashMap<&'a str, String>,
}

impl<'a> Parser<'a> {
    pub(crate) fn entry(&mut self, line: u32, text: &'a str) -> Entry<'a> {
        let parsed = parse(text).and_then(|parsed| {
            if let Some(name) = parsed.name {
                let key = &parsed.url.key;
                let first = self.names.entry(name).or_insert_with(|| key.clone());
                if first != key {
                    return Err("its name is given to another URL, too".to_owned());
                }
            }
            Ok(parsed)
        });
        Entry { line, text, parsed }
    }
}

fn parse(line: &str) -> Result<Parsed<'_>, String> {
    if line.len() > MAX_LINE_LEN {
        return Err("it is longer than 64 KiB".to_owned());
    }
    if line.contains(char::REPLACEMENT_CHARACTER) {
        return Err("it is not UTF-8".to_owned());
    }
    let (given, name) = match line.split_once('\t') {
        Some((given, name)) => (given.trim_end(), Some(name.trim())),
        None => (line, None),
    };
    let url = ImageUrl::parse(given)?;
    let warning = check(&url.sent)?;
    if let Some(name) = name {
        names::check_name(name)?;
    }
    Ok(Parsed {
        given,
        url,
        name,
        warning,
    })
}

/// Returns the start of a line, without characters that control a terminal.
pub(crate) fn excerpt(text: &str) -> String {
    let mut characters = text.chars();
    let start: String = characters.by_ref().take(MAX_EXCERPT_CHARS).collect();
    let end = if characters.next().is_some() {
        "…"
    } else {
        ""
    };
    format!("{}{end}", printable(&start))
}

/// Escapes the characters that control a terminal.
pub(crate) fn printable(text: &str) -> String {
    let escape = |character: char| match controls_terminal(character) {
        true => character.escape_debug().to_string(),
        false => character.to_string(),
    };
    match text.contains(controls_terminal) {
        true => text.chars().map(escape).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &[u8]) -> List {
        List::from_reader(text, "urls.txt".to_owned()).unwrap()
    }

    /// Number, and key with name or the error of each line.
    fn entries(text: &str) -> Vec<(u32, String)> {
        let list = list(text.as_bytes());
        let entries = list.entries().map(|entry| {
            let text = match entry.parsed {
                Ok(parsed) => match parsed.name {
                    Some(name) => format!("{} {name}", parsed.url.key),
                    None => parsed.url.key,
                },
                Err(reason) => format!("error: {reason}"),
            };
            (entry.line, text)
        });
        entries.collect()
    }

    #[test]
    fn reads_urls_and_names_with_their_line_numbers() {
        assert_eq!(
            entries(
                "\u{feff}# images\r\n\r\n https://e.org/a.png \r\nhttps://e.org/b.png\t b.png\r\n"
            ),
            [
                (3, "https://e.org/a.png".to_owned()),
                (4, "https://e.org/b.png b.png".to_owned())
            ]
        );
    }

    #[test]
    fn a_name_is_given_once() {
        let rows = entries(
            "https://e.org/a.png\tx.png\nhttps://e.org/a.png\tx.png\nhttps://e.org/b.png\tx.png",
        );
        assert_eq!(rows[0].1, rows[1].1);
        assert_eq!(
            rows[2],
            (3, "error: its name is given to another URL, too".to_owned())
        );
    }

    #[test]
    fn invalid_lines_do_not_end_the_list() {
        let long = format!("https://e.org/{}.png", "a".repeat(MAX_LINE_LEN));
        let text = format!("403316\n{long}\nhttps://e.org/a.png\tx.exe\nhttps://e.org/a.png\n");
        let rows = entries(&text);
        let invalid = rows.iter().filter(|(_, text)| text.starts_with("error: "));
        assert_eq!(
            invalid.map(|(line, _)| *line).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        assert_eq!(rows.len(), 4);
        let list = list(b"https://e.org/\xe9.png\nhttps://e.org/a.png");
        let is_valid: Vec<_> = list.entries().map(|entry| entry.parsed.is_ok()).collect();
        assert_eq!(is_valid, [false, true]);
    }

    #[test]
    fn empty_and_utf_16_lists_are_errors() {
        for text in [&b""[..], b"\n# nothing\n", b"\xff\xfeh\0"] {
            assert!(List::from_reader(text, "urls.txt".to_owned()).is_err());
        }
    }

    #[test]
    fn excerpts_are_short_and_control_no_terminal() {
        assert_eq!(excerpt("a\u{1b}b"), "a\\u{1b}b");
        assert_eq!(excerpt(&"a".repeat(999)).chars().count(), 201);
    }
}
