//! New links in the place of old ones: in a text, and in a file that is replaced as a whole.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::files::{BACKUP, TEMPORARY, with_ending};
use crate::text;

/// The new link of each image by its key, or the reason why it has none.
pub(crate) type NewLinks = HashMap<String, Result<String, String>>;

/// The reason for an image that is not in the list.
const NOT_IN_LIST: &str = "not in the list";

/// The replacements in a text, in order.
#[derive(Debug)]
pub(crate) struct Rewriting<'a> {
    text: &'a [u8],
    replacements: Vec<(Range<usize>, String)>,
}

impl<'a> Rewriting<'a> {
    /// Finds the old links in the text of a file. Adds those that remain, each with its reason.
    pub(crate) fn new(
        path: &Path,
        text: &'a [u8],
        new_links: &NewLinks,
        remaining: &mut BTreeMap<String, String>,
    ) -> Self {
        let is_markup = path.extension().is_some_and(|ending| {
            ["html", "htm", "xml"]
                .iter()
                .any(|markup| ending.eq_ignore_ascii_case(markup))
        });
        let mut replacements = Vec::new();
        for link in text::find(text).links {
            match new_links.get(&link.url.key) {
                Some(Ok(new)) => {
                    let new = text::in_form_of(&text[link.range.clone()], new, is_markup);
                    replacements.push((link.range, new));
                }
                Some(Err(reason)) => {
                    remaining.insert(link.url.sent, reason.clone());
                }
                None if link.is_image && !link.is_of_host => {
                    remaining.insert(link.url.sent, NOT_IN_LIST.to_owned());
                }
                None => {}
            }
        }
        Self { text, replacements }
    }

    /// Returns the number of links that are replaced.
    pub(crate) fn count(&self) -> usize {
        self.replacements.len()
    }

    /// Returns the new text.
    pub(crate) fn apply(&self) -> Vec<u8> {
        self.apply_to(0..self.text.len(), &self.replacements)
    }

    /// Returns a part of the text with all of the replacements in it.
    fn apply_to(&self, part: Range<usize>, replacements: &[(Range<usize>, String)]) -> Vec<u8> {
        let mut new = Vec::with_capacity(part.len());
        let mut at = part.start;
        for (range, link) in replacements {
            new.extend_from_slice(&self.text[at..range.start]);
            new.extend_from_slice(link.as_bytes());
            at = range.end;
        }
        new.extend_from_slice(&self.text[at..part.end]);
        new
    }

    /// Returns the lines that change, as a unified diff without context. Control characters are escaped.
    pub(crate) fn diff(&self, path: &Path) -> String {
        let name = printable(&path.display().to_string());
        let mut diff = format!("--- {name}\n+++ {name}\n");
        let mut rest = &self.replacements[..];
        // The number of the line in the old text, up to where that is counted, and the line in the new text.
        let (mut line, mut counted, mut new_line) = (1, 0, 1);
        while let Some((first, _)) = rest.first() {
            let start = self.line_start(first.start);
            let mut end = self.line_end(first.end);
            let in_lines = rest.iter().take_while(|(range, _)| {
                let is_in_lines = range.start < end;
                if is_in_lines {
                    end = self.line_end(range.end);
                }
                is_in_lines
            });
            let (now, later) = rest.split_at(in_lines.count());
            rest = later;
            let unchanged = newlines(&self.text[counted..start]);
            (line, new_line, counted) = (line + unchanged, new_line + unchanged, end);
            let new = self.apply_to(start..end, now);
            let parts = [&self.text[start..end], &new].map(lines);
            let [old_count, new_count] = [parts[0].len(), parts[1].len()];
            let _ = writeln!(diff, "@@ -{line},{old_count} +{new_line},{new_count} @@");
            (line, new_line) = (line + old_count, new_line + new_count);
            for (sign, lines) in ["-", "+"].into_iter().zip(parts) {
                for text in lines {
                    let text = printable(&String::from_utf8_lossy(text));
                    let _ = writeln!(diff, "{sign}{text}");
                }
            }
        }
        diff
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1)
    }

    /// Returns the end of a line, after its line feed.
    fn line_end(&self, at: usize) -> usize {
        let len = self.text[at..].iter().position(|byte| *byte == b'\n');
        len.map_or(self.text.len(), |len| at + len + 1)
    }
}

fn newlines(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.strip_suffix(b"\n")
        .unwrap_or(text)
        .split(|byte| *byte == b'\n')
        .collect()
}

/// Escapes control characters other than TAB, which could control a terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\t' => printable.push(char),
            _ if char.is_control() => printable.extend(char.escape_default()),
            _ => printable.push(char),
        }
    }
    printable
}

/// Replaces a file as a whole, with its mode and owner, unless it has changed since it was read. A symbolic link stays
/// one, and the file to which it leads is replaced. Killed at any moment, the process leaves the old file or the new one.
pub(crate) fn replace(path: &Path, old: &[u8], new: &[u8], has_backup: bool) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: not changed: {error}", path.display());
    let path = &fs::canonicalize(path).map_err(failed)?;
    let temporary = write_beside(path, new).map_err(failed)?;
    if fs::read(path).map_err(failed)? != old {
        return Err(format!(
            "{}: not changed: the file changed meanwhile; run the command again",
            path.display()
        ));
    }
    if has_backup {
        back_up(path, old).map_err(|error| {
            let hint = "`--no-backup` writes no backup";
            format!(
                "{}: not changed: the backup cannot be written: {error}; {hint}",
                path.display()
            )
        })?;
    }
    temporary
        .persist(path)
        .map_err(|error| failed(error.error))?;
    Ok(())
}

/// Writes a temporary file beside a file, with the mode and the owner of that.
fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let metadata = fs::metadata(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new()
        .prefix(".")
        .suffix(TEMPORARY)
        .tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};

        let own = temporary.as_file().metadata()?;
        if (own.uid(), own.gid()) != (metadata.uid(), metadata.gid()) {
            fchown(
                temporary.as_file(),
                Some(metadata.uid()),
                Some(metadata.gid()),
            )?;
        }
    }
    // After the owner: its change takes away the bits of setuid and setgid.
    temporary
        .as_file()
        .set_permissions(metadata.permissions())?;
    Ok(temporary)
}

/// Keeps a file as its backup, unless there is one: by a hard link, or by a copy where that is not possible.
fn back_up(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let backup = with_ending(path, BACKUP);
    if fs::symlink_metadata(&backup).is_ok() || fs::hard_link(path, &backup).is_ok() {
        return Ok(());
    }
    write_beside(path, bytes)?
        .persist(&backup)
        .map_err(|error| error.error)?;
    Ok(())
}
