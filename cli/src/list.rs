//! The list of URLs: read whole before anything is sent, and checked line by line.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use pan123_offline::{Error, NewTask};
use url::{Host, Url};

use crate::failure::{Failure, usage};
use crate::json::controls_terminal;
use crate::key::{self, IMAGE_ENDINGS, ImageUrl, ending_of_path};
use crate::names;

/// The maximum size of a list, in bytes.
const MAX_LIST_LEN: u64 = 1024 * 1024 * 1024;
/// The maximum length of a line, in bytes.
const MAX_LINE_LEN: usize = 64 * 1024;
/// The maximum length of a line's excerpt in an error.
const MAX_EXCERPT_CHARS: usize = 200;
/// Endings of files that the service does not take.
const REFUSED_ENDINGS: [&str; 5] = ["heic", "heif", "avif", "pdf", "html"];

/// The text of a list.
#[derive(Debug)]
pub(crate) struct List {
    /// The place where the list comes from.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A valid line.
#[derive(Debug)]
pub(crate) struct Parsed<'a> {
    pub(crate) given: &'a str,
    pub(crate) url: ImageUrl,
    pub(crate) name: Option<&'a str>,
    /// The reason why the service will probably not reach the URL.
    pub(crate) warning: Option<&'static str>,
}

/// A line that is invalid, or that has an effect which its author may not expect.
#[derive(Debug)]
pub(crate) struct Remark<'a> {
    pub(crate) line: u32,
    pub(crate) text: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) is_invalid: bool,
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
        let metadata = fs::metadata(path).map_err(failed)?;
        if metadata.is_dir() {
            return Err(usage(format!(
                "the list {name} is a folder; name a file with a URL on each line"
            )));
        }
        if !metadata.is_file() && !has_state {
            return Err(usage(format!(
                "the list {name} is no file, beside which the state could be kept: name a file \
                 for it with --state"
            )));
        }
        Self::from_reader(File::open(path).map_err(failed)?, name)
    }

    /// Makes a list of the URLs of a command line.
    pub(crate) fn of_arguments(urls: &[String]) -> Self {
        Self {
            name: "the command line".to_owned(),
            text: urls.join("\n"),
        }
    }

    fn from_reader(reader: impl Read, name: String) -> Result<Self, Failure> {
        let refuse = |what: &str| Err(usage(format!("the list {name}{what}")));
        let mut bytes = Vec::new();
        if let Err(error) = reader.take(MAX_LIST_LEN + 1).read_to_end(&mut bytes) {
            return refuse(&format!(": {error}"));
        }
        if bytes.len() as u64 > MAX_LIST_LEN {
            return refuse(" is longer than 1 GiB");
        }
        if bytes.contains(&0) {
            return refuse(" is no text in UTF-8: it has NUL bytes");
        }
        let text = String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        if lines(&text).next().is_none() {
            return refuse(" is empty: there is nothing to do");
        }
        Ok(Self { name, text })
    }

    /// Returns the lines with their numbers, as [`lines`] does.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (u32, &str)> {
        lines(&self.text)
    }
}

/// Returns the lines with their numbers, from 1. Skips blank ones, and those that begin with `#`.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let trimmed = (1..).zip(text.lines().map(str::trim));
    trimmed.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// Parses a line. The error is the reason why it is invalid.
pub(crate) fn parse(line: &str) -> Result<Parsed<'_>, String> {
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
    let url = key::parse(given)?;
    let warning = check(&url)?;
    if let Some(name) = name {
        names::check_name(name)?;
    }
    Ok(Parsed {
        given,
        url: ImageUrl::of(url),
        name,
        warning,
    })
}

/// Checks the URL of an image. Returns a warning if the service will probably not reach it.
fn check(url: &Url) -> Result<Option<&'static str>, String> {
    if let Err(Error::Config(error)) = NewTask::new(url.as_str()).validate() {
        return Err(error.reason);
    }
    let last = url.path().rsplit('/').next().unwrap_or_default();
    let ending = last.rsplit_once('.').map_or("", |(_, ending)| ending);
    if REFUSED_ENDINGS.contains(&&*ending.to_ascii_lowercase()) {
        let endings = IMAGE_ENDINGS.join(", ");
        return Err(format!(
            "the service takes no {ending} file; it takes {endings}"
        ));
    }
    let mut separators = last.match_indices([',', ';']);
    if separators.any(|(place, _)| ending_of_path(&last[..place]).is_some()) {
        return Err("a name comes after a TAB".to_owned());
    }
    let is_unreachable = match url.host() {
        Some(Host::Domain(name)) => {
            !name.trim_end_matches('.').contains('.') || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(ip)) => {
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()
        }
        Some(Host::Ipv6(ip)) => {
            ip.is_unique_local()
                || ip.is_loopback()
                || ip.is_unicast_link_local()
                || ip.is_unspecified()
        }
        None => true,
    };
    Ok(is_unreachable.then_some("the service cannot reach this address, which is not public"))
}

/// Returns the start of a line, as [`printable`] text.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(MAX_EXCERPT_CHARS) {
        Some((end, _)) => printable(&text[..end]) + "…",
        None => printable(text),
    }
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

    /// An expected text is part of the reason or of the warning; that of a valid line is empty.
    #[test]
    fn checks_lines() {
        let long = format!("https://e.org/{}.png", "a".repeat(MAX_LINE_LEN));
        for (line, expected) in [
            ("https://e.org/a.png", ""),
            ("https://e.org/a.png \t cat.png", ""),
            ("https://e.org/a", ""),
            ("https://e.org/a.php?id=1", ""),
            ("https://e.org/q~tplv-watermark.image", ""),
            ("https://e.org/w_100,h_100/a.jpg", ""),
            ("https://e.org/a.jpg,b/c.jpg", ""),
            ("https://e.org/a,b.jpg", ""),
            ("https://e.org/a.png?x=1,2", ""),
            ("https://e.org/a.png,cat.png", "a name comes after a TAB"),
            ("https://e.org/a.PNG;cat.png", "a name comes after a TAB"),
            ("https://e.org/a.png,", "a name comes after a TAB"),
            ("https://e.org/a.heic", "takes no heic file"),
            ("https://e.org/a.HEIF", "takes no HEIF file"),
            ("https://e.org/a.avif?x=1", "takes no avif file"),
            ("https://e.org/a.pdf", "takes no pdf file"),
            ("https://e.org/a.html", "takes no html file"),
            ("https://e.org/a.html/b", ""),
            ("https://user:pass@e.org/a.png", "a password"),
            ("ftp://e.org/a.png", "neither http nor https"),
            ("403316", "does not begin with http"),
            ("https://e.org/a.png\tx.exe", "must end in one of"),
            ("https://e.org/\u{fffd}.png", "not UTF-8"),
            (&long, "longer than 64 KiB"),
            ("http://localhost/a.png", "cannot reach"),
            ("http://192.168.1.2:8080/a.png", "cannot reach"),
            ("http://10.0.0.1/a.png", "cannot reach"),
            ("http://[::1]:80/a.png", "cannot reach"),
            ("http://[fe80::1]/a.png", "cannot reach"),
            ("http://nas/a.png", "cannot reach"),
            ("http://8.8.8.8/a.png", ""),
        ] {
            let text = match parse(line) {
                Ok(parsed) => parsed.warning.unwrap_or_default().to_owned(),
                Err(reason) => reason,
            };
            let is_as_expected = text.contains(expected) && text.is_empty() == expected.is_empty();
            assert!(is_as_expected, "{line}: {text:?}");
        }
    }

    #[test]
    fn lines_keep_their_numbers() {
        let text = b"\xef\xbb\xbf# images\r\n\r\n https://e.org/a.png \r\nb\t\xe9\r\n";
        let list = List::from_reader(&text[..], "urls.txt".to_owned()).unwrap();
        let lines: Vec<_> = list.lines().collect();
        assert_eq!(lines, [(3, "https://e.org/a.png"), (4, "b\t\u{fffd}")]);
    }

    #[test]
    fn excerpts_are_short_and_control_no_terminal() {
        assert_eq!(excerpt("a\u{1b}b"), "a\\u{1b}b");
        assert_eq!(excerpt(&"a".repeat(999)).chars().count(), 201);
    }
}
