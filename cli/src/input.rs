//! Lists of URLs and of task ids: on the command line, in a file, or on standard input.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::slice;

use pan123_offline::NewTask;
use serde_json::Value;

use crate::failure::{Failure, usage};
use crate::lines::{Line, LineReader};

/// The maximum length of a line of a list, in bytes.
const MAX_LINE_LEN: usize = 64 * 1024;
/// The maximum length of a line's excerpt in an error.
const MAX_EXCERPT_CHARS: usize = 200;

/// An image to migrate: its URL, and the file name that it is to have. Both together identify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// The line of the list: the URL, and a file name after a TAB.
    line: Box<str>,
}

impl Item {
    pub(crate) fn new(url: &str, file_name: Option<&str>) -> Self {
        let line = match file_name {
            Some(name) => format!("{url}\t{name}"),
            None => url.to_owned(),
        };
        Self { line: line.into() }
    }

    pub(crate) fn url(&self) -> &str {
        self.line
            .split_once('\t')
            .map_or(&self.line, |(url, _)| url)
    }

    pub(crate) fn file_name(&self) -> Option<&str> {
        self.line.split_once('\t').map(|(_, name)| name)
    }
}

/// A task to follow, and the URL beside its id if the list has one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) id: u64,
    pub(crate) url: Option<String>,
}

/// One entry of a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry<T> {
    Valid(T),
    Invalid(InvalidLine),
}

/// An invalid line. The lines after it are read nevertheless.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidLine {
    /// The line as it was given.
    pub(crate) text: String,
    /// The error with the line's place.
    pub(crate) message: String,
}

/// The reason why a line is no entry.
#[derive(Debug, PartialEq, Eq)]
enum LineError {
    Invalid(String),
    /// The line belongs to the other kind of list: as a list's first entry it ends the command.
    WrongList(String),
}

/// A parser for one line without blanks around it; `Ok(None)` skips the line.
type Parse<T> = fn(&str) -> Result<Option<T>, LineError>;

/// A value, or the place, text and error of a line that is none.
type ParsedLine<T> = Result<T, (String, String, LineError)>;

/// Iterates over a list while it is being read. Skips blank lines and those that begin with `#`.
pub(crate) struct Entries<'a, T> {
    arguments: slice::Iter<'a, String>,
    lines: Option<Lines>,
    parse: Parse<T>,
    has_valid: bool,
    has_any: bool,
    is_done: bool,
}

/// The lines that are being read, and where they come from.
struct Lines {
    reader: LineReader<Box<dyn BufRead>>,
    source: String,
}

impl Lines {
    fn new(reader: Box<dyn BufRead>, source: impl Into<String>) -> Self {
        Self {
            reader: LineReader::new(reader, MAX_LINE_LEN),
            source: source.into(),
        }
    }

    /// Returns the next value, or a line that is none with its place and text.
    fn next<T>(&mut self, parse: Parse<T>) -> Result<Option<ParsedLine<T>>, Failure> {
        let source = &self.source;
        let place = |number| format!("line {number} of {source}: ");
        loop {
            let number = self.reader.number() + 1;
            let line = self.reader.next_line();
            let line = line.map_err(|error| usage(format!("{}{error}", place(number))))?;
            let Some(line) = line else { return Ok(None) };
            match parse_line(&line, parse) {
                Ok(Some(value)) => return Ok(Some(Ok(value))),
                Ok(None) => {}
                Err(error) => {
                    let text = String::from_utf8_lossy(line.bytes).trim().to_owned();
                    return Ok(Some(Err((place(number), text, error))));
                }
            }
        }
    }
}

/// Returns the URLs of the arguments; `-` stands for standard input.
pub(crate) fn urls(arguments: &[String]) -> Entries<'_, Item> {
    Entries::new(arguments, None, parse_url)
}

/// Returns the task ids of the arguments; `-` stands for standard input.
pub(crate) fn task_ids(arguments: &[String]) -> Entries<'_, Task> {
    Entries::new(arguments, None, parse_task_id)
}

/// Returns the number of lines of a list that are not skipped.
pub(crate) fn count_lines(reader: impl BufRead) -> io::Result<usize> {
    let mut reader = LineReader::new(reader, MAX_LINE_LEN);
    let mut count = 0;
    while let Some(line) = reader.next_line()? {
        let text = line.bytes.trim_ascii();
        count += usize::from(!text.is_empty() && !text.starts_with(b"#"));
    }
    Ok(count)
}

/// Returns the URLs of a reader, whose errors name `source`.
pub(crate) fn urls_of(reader: Box<dyn BufRead>, source: &str) -> Entries<'static, Item> {
    Entries::new(&[], Some(Lines::new(reader, source)), parse_url)
}

/// Reports whether standard input is a file, which can be read again.
pub(crate) fn is_stdin_file() -> bool {
    stdin_file().is_some()
}

/// Returns the number of lines of standard input that are not skipped, if it is a file. They can
/// be read afterwards.
pub(crate) fn count_stdin_lines() -> Option<usize> {
    let mut file = stdin_file()?;
    let start = file.stream_position().ok()?;
    let count = count_lines(BufReader::new(&file));
    file.seek(SeekFrom::Start(start)).ok()?;
    count.ok()
}

fn stdin_file() -> Option<File> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;

        let file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
        file.metadata().ok()?.is_file().then_some(file)
    }
    #[cfg(not(unix))]
    None
}

impl<'a, T> Entries<'a, T> {
    fn new(arguments: &'a [String], lines: Option<Lines>, parse: Parse<T>) -> Self {
        Self {
            arguments: arguments.iter(),
            lines,
            parse,
            has_valid: false,
            has_any: false,
            is_done: false,
        }
    }

    /// Returns the next entry, from standard input if the next argument is `-`.
    fn next_entry(&mut self) -> Result<Option<Entry<T>>, Failure> {
        loop {
            if let Some(lines) = &mut self.lines {
                match lines.next(self.parse)? {
                    Some(Ok(value)) => return Ok(Some(self.valid(value))),
                    Some(Err((place, text, error))) => {
                        return self.invalid(&place, text, error).map(Some);
                    }
                    None => self.lines = None,
                }
            }
            match self.arguments.next() {
                Some(argument) if argument == "-" => {
                    let stdin = Box::new(io::stdin().lock());
                    self.lines = Some(Lines::new(stdin, "standard input"));
                }
                Some(argument) => {
                    return match (self.parse)(argument.trim()) {
                        Ok(None) => continue,
                        Ok(Some(value)) => Ok(Some(self.valid(value))),
                        Err(error) => self.invalid("", argument.clone(), error).map(Some),
                    };
                }
                None if self.has_any => return Ok(None),
                None => return Err(usage("the list is empty: there is nothing to do")),
            }
        }
    }

    fn valid(&mut self, value: T) -> Entry<T> {
        self.has_any = true;
        self.has_valid = true;
        Entry::Valid(value)
    }

    fn invalid(
        &mut self,
        place: &str,
        text: String,
        error: LineError,
    ) -> Result<Entry<T>, Failure> {
        self.has_any = true;
        match error {
            LineError::WrongList(error) if !self.has_valid => Err(usage(format!("{place}{error}"))),
            LineError::WrongList(error) | LineError::Invalid(error) => {
                let message = format!("{place}{error}");
                Ok(Entry::Invalid(InvalidLine { text, message }))
            }
        }
    }
}

impl<T> Iterator for Entries<'_, T> {
    /// An error ends the list.
    type Item = Result<Entry<T>, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let next = self.next_entry().transpose();
        self.is_done = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Parses a line of any form; `Ok(None)` if it holds nothing.
fn parse_line<T>(line: &Line<'_>, parse: Parse<T>) -> Result<Option<T>, LineError> {
    let invalid = |error: &str| Err(LineError::Invalid(error.to_owned()));
    if line.is_too_long {
        return invalid("longer than 64 KiB");
    }
    // The output of `>` in PowerShell 5 begins with such a byte-order mark.
    if line.number == 1
        && (line.bytes.starts_with(b"\xff\xfe") || line.bytes.starts_with(b"\xfe\xff"))
    {
        let error = "the list is UTF-16; save it as UTF-8 (in PowerShell: `| Out-File -Encoding utf8 urls.txt`)";
        return Err(LineError::WrongList(error.to_owned()));
    }
    let Ok(text) = std::str::from_utf8(line.bytes) else {
        return invalid("not UTF-8");
    };
    let text = match line.number {
        // An editor may have written a byte-order mark before the first line.
        1 => text.trim_start_matches('\u{feff}').trim(),
        _ => text.trim(),
    };
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    parse(text)
}

/// Parses a URL, and a file name after the first TAB.
fn parse_url(line: &str) -> Result<Option<Item>, LineError> {
    let (url, file_name) = match line.split_once('\t') {
        Some((url, name)) => (url.trim(), Some(name.trim())),
        None => (line, None),
    };
    let shown = || excerpt(url);
    if is_task_id(url) || task_of_json(line).is_some() {
        return Err(LineError::WrongList(format!(
            "`{}` holds a task id, not a URL; `wait` and `process` take task ids",
            shown()
        )));
    }
    let invalid = |error: String| Err(LineError::Invalid(error));
    if !is_http_url(url) {
        return invalid(format!("`{}` is not an http or https URL", shown()));
    }
    if url.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return invalid(format!(
            "`{}` contains a blank; write %20 in a URL, and a TAB before a file name",
            shown()
        ));
    }
    if let Some(name) = file_name
        && name.contains(char::is_control)
    {
        return invalid(format!(
            "the file name `{}` contains a control character",
            excerpt(name)
        ));
    }
    let mut task = NewTask::new(url);
    if let Some(name) = file_name {
        task = task.file_name(name);
    }
    match task.validate() {
        Ok(()) => Ok(Some(Item::new(url, file_name))),
        Err(error) => invalid(format!("`{}`: {error}", excerpt(line))),
    }
}

/// Parses a task id: alone, before the first TAB, or in a JSON object of this command's output.
/// Skips the JSON object of a task that was not created.
fn parse_task_id(line: &str) -> Result<Option<Task>, LineError> {
    if let Some(task) = task_of_json(line) {
        return Ok(task);
    }
    let (first, rest) = line.split_once('\t').unwrap_or((line, ""));
    let first = first.trim();
    let shown = || excerpt(first);
    if is_http_url(first) {
        return Err(LineError::WrongList(format!(
            "`{}` is a URL, not a task id; `create` and `migrate` take URLs",
            shown()
        )));
    }
    let Some(id) = is_task_id(first).then(|| first.parse().ok()).flatten() else {
        let error = format!("`{}` is not a task id (expected a number)", shown());
        return Err(LineError::Invalid(error));
    };
    let url = rest
        .split('\t')
        .map(str::trim)
        .find(|column| is_http_url(column));
    Ok(Some(Task {
        id,
        url: url.map(str::to_owned),
    }))
}

/// Returns the task of a JSON object that has the field `task_id`; `Some(None)` if that is null.
fn task_of_json(line: &str) -> Option<Option<Task>> {
    if !line.starts_with('{') {
        return None;
    }
    let object: Value = serde_json::from_str(line).ok()?;
    let id = match object.get("task_id")? {
        Value::Null => return Some(None),
        id => id.as_u64()?,
    };
    let url = object.get("url").and_then(Value::as_str).map(str::to_owned);
    Some(Some(Task { id, url }))
}

/// Returns the start of a text, escaped, for an error.
fn excerpt(text: &str) -> String {
    let start: String = text.chars().take(MAX_EXCERPT_CHARS).collect();
    start.escape_debug().to_string()
}

fn is_task_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_http_url(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        text.split_at_checked(scheme.len())
            .is_some_and(|(start, _)| start.eq_ignore_ascii_case(scheme))
    })
}

/// A 96-bit hash of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key([u32; 3]);

impl Key {
    /// Returns a part of the key, of 24 bits.
    pub(crate) fn fragment(self) -> u32 {
        self.0[2] >> 8
    }
}

/// A key is random already: a map needs no other hash of it.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [first, second, _] = self.0.map(u64::from);
        state.write_u64(first << 32 | second);
    }
}

/// Returns the `u64` of a [`Key`] as its hash.
#[derive(Debug, Default)]
pub(crate) struct KeyPrefix(u64);

impl Hasher for KeyPrefix {
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a key hashes one u64");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The hasher for maps and sets by [`Key`].
pub(crate) type BuildKeyPrefix = BuildHasherDefault<KeyPrefix>;

/// Hashes items to 96 bits, so that a set of a million needs no strings.
///
/// Among 1,000,000 items, two different ones have the same key with a probability of 2^-57. The
/// hash is keyed at random for each process: no list can be made to collide.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(RandomState);

impl KeyHasher {
    pub(crate) fn key(&self, url: &str, file_name: Option<&str>) -> Key {
        let mut hasher = self.0.build_hasher();
        (url, file_name).hash(&mut hasher);
        let first = hasher.finish();
        // The SipHash of another input: no item ends in this byte.
        hasher.write_u8(1);
        let second = hasher.finish();
        Key([(first >> 32) as u32, first as u32, (second >> 32) as u32])
    }
}

/// The items that a list has had so far.
#[derive(Debug, Default)]
pub(crate) struct SeenItems {
    hasher: KeyHasher,
    keys: HashSet<Key, BuildKeyPrefix>,
}

impl SeenItems {
    /// Adds an item. Returns whether it is new.
    pub(crate) fn insert(&mut self, item: &Item) -> bool {
        self.keys
            .insert(self.hasher.key(item.url(), item.file_name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the entries of a list: values, or messages.
    fn entries<T: std::fmt::Debug>(parse: Parse<T>, text: &[u8]) -> Vec<Result<T, String>> {
        let reader = Box::new(io::Cursor::new(text.to_vec()));
        let entries = Entries::new(&[], Some(Lines::new(reader, "list")), parse);
        let row = |entry: Result<Entry<T>, Failure>| match entry {
            Ok(Entry::Valid(value)) => Ok(value),
            Ok(Entry::Invalid(line)) => Err(line.message),
            Err(failure) => Err(format!("fatal: {}", failure.text().unwrap())),
        };
        entries.map(row).collect()
    }

    fn item(url: &str, file_name: Option<&str>) -> Result<Item, String> {
        Ok(Item::new(url, file_name))
    }

    fn task(id: u64, url: Option<&str>) -> Result<Task, String> {
        Ok(Task {
            id,
            url: url.map(str::to_owned),
        })
    }

    #[test]
    fn reads_urls_with_file_names_from_lines_of_any_form() {
        let expected = [
            item("http://a.example/1.png", None),
            item("HTTPS://b.example/2.png", Some("my cat.png")),
        ];
        for text in [
            "http://a.example/1.png\nHTTPS://b.example/2.png\tmy cat.png\n",
            "http://a.example/1.png\r\nHTTPS://b.example/2.png\tmy cat.png\r\n",
            "\u{feff}http://a.example/1.png\nHTTPS://b.example/2.png\tmy cat.png",
            "\u{feff}# a comment\n http://a.example/1.png \n\n#\n \t \nHTTPS://b.example/2.png \t my cat.png \n",
        ] {
            assert_eq!(entries(parse_url, text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn an_item_returns_its_url_and_file_name() {
        let items = [
            ("http://a.example/", None),
            ("http://a.example/", Some("a b.png")),
        ];
        for (url, file_name) in items {
            let item = Item::new(url, file_name);
            assert_eq!((item.url(), item.file_name()), (url, file_name));
        }
    }

    #[test]
    fn an_invalid_url_line_is_reported_with_its_number_and_does_not_stop_the_rest() {
        let cases: [(&[u8], &str); 8] = [
            (
                b"https://e.org/my cat.png",
                "`https://e.org/my cat.png` contains a blank; write %20 in a URL, and a TAB before a file name",
            ),
            (
                b"https://e.org/a\x0bb",
                r"`https://e.org/a\u{b}b` contains a blank",
            ),
            (
                b"https://e.org/\x1b[2J",
                r"`https://e.org/\u{1b}[2J` contains a blank",
            ),
            (
                b"ftp://e.org/a.png",
                "`ftp://e.org/a.png` is not an http or https URL",
            ),
            (b"\tname.png", "`name.png` is not an http or https URL"),
            (
                b"https://e.org/a\tone.png\ttwo.png",
                r"the file name `one.png\ttwo.png` contains a control character",
            ),
            (b"https://e.org/\xff", "not UTF-8"),
            (&[b'x'; MAX_LINE_LEN + 1], "longer than 64 KiB"),
        ];
        for (line, message) in cases {
            let text = [b"# first\n", line, b"\nhttp://a.example/1.png\n"].concat();
            let [Err(error), Ok(_)] = &entries(parse_url, &text)[..] else {
                panic!("{message}")
            };
            assert!(
                error.starts_with(&format!("line 2 of list: {message}")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_list_in_utf16_is_one_error() {
        let text: Vec<u16> = "\u{feff}http://a.example/1.png\r\nhttp://a.example/2.png\r\n"
            .encode_utf16()
            .collect();
        for to_bytes in [u16::to_le_bytes, u16::to_be_bytes] {
            let bytes: Vec<u8> = text.iter().flat_map(|unit| to_bytes(*unit)).collect();
            let [Err(error)] = &entries(parse_url, &bytes)[..] else {
                panic!("one error")
            };
            let start = "fatal: line 1 of list: the list is UTF-16; save it as UTF-8";
            assert!(error.starts_with(start), "{error}");
        }
    }

    #[test]
    fn reads_task_ids_with_the_url_beside_them() {
        let text = "7\n  8\thttp://a.example/1.png\n\
                    9\tfailed\t40 %\n\
                    10\t-\thttps://a.example/2.png\n\
                    # 11\n\
                    {\"url\":\"http://a.example/3.png\",\"task_id\":12,\"error\":null}\n\
                    {\"url\":\"http://a.example/4.png\",\"task_id\":null,\"error\":{}}\n\
                    {\"task_id\":18446744073709551615}\n";
        let expected = [
            task(7, None),
            task(8, Some("http://a.example/1.png")),
            task(9, None),
            task(10, Some("https://a.example/2.png")),
            task(12, Some("http://a.example/3.png")),
            task(u64::MAX, None),
        ];
        assert_eq!(entries(parse_task_id, text.as_bytes()), expected);
    }

    #[test]
    fn an_invalid_task_id_is_reported_with_its_number() {
        for line in [
            "three",
            "-5",
            "+5",
            "1 2",
            "1,2",
            "18446744073709551616",
            "{\"id\":1}",
            "{\"task_id\":\"1\"}",
        ] {
            let text = format!("1\n{line}\n2\n");
            let [Ok(_), Err(error), Ok(_)] = &entries(parse_task_id, text.as_bytes())[..] else {
                panic!("{line}")
            };
            let shown = line.escape_debug();
            let expected =
                format!("line 2 of list: `{shown}` is not a task id (expected a number)");
            assert_eq!(*error, expected);
        }
    }

    #[test]
    fn a_list_of_the_wrong_kind_ends_at_its_first_entry() {
        for line in [
            "403316",
            "403316\thttp://a.example/1.png",
            "{\"task_id\":7}",
        ] {
            let text = format!("\n{line}\nhttp://a.example/1.png\n");
            let [Err(error)] = &entries(parse_url, text.as_bytes())[..] else {
                panic!("{line}")
            };
            assert!(error.starts_with("fatal: line 2 of list: `"), "{error}");
            assert!(
                error.ends_with("`wait` and `process` take task ids"),
                "{error}"
            );
        }
        let text = b"http://a.example/1.png\n7\n";
        let expected = "fatal: line 1 of list: `http://a.example/1.png` is a URL, not a task id; \
                        `create` and `migrate` take URLs";
        assert_eq!(entries(parse_task_id, text), [Err(expected.to_owned())]);
    }

    #[test]
    fn a_line_of_the_wrong_kind_within_a_list_is_only_reported() {
        let rows = entries(
            parse_url,
            b"http://a.example/1.png\n7\nhttp://a.example/2.png\n",
        );
        assert!(matches!(&rows[..], [Ok(_), Err(error), Ok(_)] if error.starts_with("line 2")));
        let rows = entries(parse_task_id, b"7\nhttp://a.example/1.png\n8\n");
        assert!(matches!(&rows[..], [Ok(_), Err(error), Ok(_)] if error.starts_with("line 2")));
    }

    #[test]
    fn an_empty_list_is_an_error() {
        for text in ["", "\n", "# nothing\n"] {
            let expected = "fatal: the list is empty: there is nothing to do";
            assert_eq!(
                entries(parse_url, text.as_bytes()),
                [Err(expected.to_owned())]
            );
        }
    }

    /// The writer sends the second line only after the first entry was yielded.
    #[test]
    fn yields_an_entry_before_the_next_line_is_there() {
        let (reader, mut writer) = io::pipe().unwrap();
        let lines = Lines::new(Box::new(io::BufReader::new(reader)), "pipe");
        let mut entries = Entries::new(&[], Some(lines), parse_task_id);
        for id in 1..=3_u64 {
            io::Write::write_all(&mut writer, format!("{id}\n").as_bytes()).unwrap();
            let Some(Ok(Entry::Valid(task))) = entries.next() else {
                panic!("no entry")
            };
            assert_eq!(task.id, id);
        }
        drop(writer);
        assert!(entries.next().is_none());
    }

    #[test]
    fn tells_items_apart_by_url_and_file_name() {
        let mut seen = SeenItems::default();
        let items = [
            Item::new("http://a.example/1", None),
            Item::new("http://a.example/2", None),
            Item::new("http://a.example/1", Some("a.png")),
            Item::new("http://a.example/1", Some("b.png")),
        ];
        assert!(items.iter().all(|item| seen.insert(item)));
        assert!(!items.iter().any(|item| seen.insert(item)));
    }
}
