//! New links in the place of old ones: in a text, and in a file that is replaced as a whole.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::files::{BACKUP, TEMPORARY, with_ending};
use crate::list::printable;
use crate::text;

/// The new link for a URL of the list.
#[derive(Debug)]
pub(crate) enum NewLink {
    Known(String),
    /// There is none, for this reason.
    Missing(&'static str),
    /// The URL is a new link itself, and stays.
    Own,
}

/// The new links by the keys of the URLs.
pub(crate) type NewLinks = HashMap<String, NewLink>;

/// The reason for an image that is not in the list.
const NOT_IN_LIST: &str = "not in the list";

/// A text with new links, and their number.
pub(crate) type Rewritten = (Vec<u8>, usize);

/// Replaces the old links in the text of a file. Adds those that remain, each with its reason.
pub(crate) fn rewrite(
    path: &Path,
    text: &[u8],
    new_links: &NewLinks,
    remaining: &mut BTreeMap<String, &'static str>,
) -> Rewritten {
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    let is_markup = matches!(ending.to_str(), Some("html" | "htm" | "xml"));
    let mut new_text = Vec::with_capacity(text.len());
    let (mut at, mut count) = (0, 0);
    for link in text::find(text).links {
        match new_links.get(&link.url.key) {
            Some(NewLink::Known(new)) => {
                let new = text::in_form_of(&text[link.range.clone()], new, is_markup);
                new_text.extend_from_slice(&text[at..link.range.start]);
                new_text.extend_from_slice(new.as_bytes());
                at = link.range.end;
                count += 1;
            }
            Some(NewLink::Missing(reason)) => {
                remaining.insert(link.url.sent, reason);
            }
            None if link.is_image && !link.is_of_host => {
                remaining.insert(link.url.sent, NOT_IN_LIST);
            }
            Some(NewLink::Own) | None => {}
        }
    }
    new_text.extend_from_slice(&text[at..]);
    (new_text, count)
}

/// Returns the lines that change, as a unified diff without context. No link spans lines. Control characters are escaped.
pub(crate) fn diff(path: &Path, old: &[u8], new: &[u8]) -> String {
    let name = printable(&path.display().to_string());
    let mut diff = format!("--- {name}\n+++ {name}\n");
    let lines = |text| <[u8]>::split(text, |byte| *byte == b'\n');
    for (number, (old, new)) in (1..).zip(lines(old).zip(lines(new))) {
        if old != new {
            let [old, new] = [old, new].map(|line| {
                let line = String::from_utf8_lossy(line);
                let parts: Vec<_> = line.split('\t').map(printable).collect();
                parts.join("\t")
            });
            diff += &format!("@@ -{number} +{number} @@\n-{old}\n+{new}\n");
        }
    }
    diff
}

/// Replaces a file as a whole, with its mode and owner, unless it has changed since it was read. Killed at any moment,
/// the process leaves the old file or the new one. The error is the end of a sentence.
pub(crate) fn replace(path: &Path, old: &[u8], new: &[u8], has_backup: bool) -> Result<(), String> {
    let temporary = write_beside(path, new)?;
    if fs::read(path).map_err(|error| error.to_string())? != old {
        return Err("the file changed meanwhile; run the command again".to_owned());
    }
    if has_backup {
        back_up(path, old, |from, to| fs::hard_link(from, to)).map_err(|error| {
            format!("the backup cannot be written: {error}; `--no-backup` writes none")
        })?;
    }
    let put = temporary.persist(path).map(drop);
    put.map_err(|error| error.to_string())
}

/// Writes a temporary file beside a file, with the mode and the owner of that.
fn write_beside(path: &Path, bytes: &[u8]) -> Result<NamedTempFile, String> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    let temporary = builder.prefix(".").suffix(TEMPORARY).tempfile_in(folder);
    let mut temporary = temporary.map_err(|error| {
        let error = without_path(&error);
        format!("no file can be made in its folder: {error}; make that writable")
    })?;
    temporary.write_all(bytes).map_err(|error| {
        let error = without_path(&error);
        format!("the new file cannot be written: {error}; is there space on the disk?")
    })?;
    keep_owner(path, &temporary).map_err(|error| {
        format!("its owner and mode cannot be kept: {error}; run the command as its owner")
    })?;
    Ok(temporary)
}

/// Gives a new file the owner and the mode of a file.
fn keep_owner(path: &Path, new: &NamedTempFile) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};

        let (own, file) = (new.as_file().metadata()?, new.as_file());
        if (own.uid(), own.gid()) != (metadata.uid(), metadata.gid()) {
            fchown(file, Some(metadata.uid()), Some(metadata.gid()))?;
        }
    }
    // After the owner: its change takes away the bits of setuid and setgid.
    new.as_file().set_permissions(metadata.permissions())
}

/// Returns the error of the system without the name of the temporary file.
fn without_path(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" at path ")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Keeps a file as its backup, unless there is one: by a hard link, or by a copy where that is not possible.
fn back_up(
    path: &Path,
    bytes: &[u8],
    hard_link: fn(&Path, &Path) -> io::Result<()>,
) -> Result<(), String> {
    let backup = with_ending(path, BACKUP);
    if fs::symlink_metadata(&backup).is_ok() || hard_link(path, &backup).is_ok() {
        return Ok(());
    }
    let copy = write_beside(path, bytes)?.persist(backup).map(drop);
    copy.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "https://v.123pan.cn/1/n.png?k=1&l=2";

    fn rewritten(name: &str, text: &str) -> String {
        let old = [
            "https://e.org/a.png",
            "https://e.org/my%20cat.png",
            "https://e.org/%E5%9B%BE.png",
            "https://e.org/c.png?x=1&y=2",
            "https://m.org/640?wx_fmt=png",
        ];
        let new_links = old.map(|old| (old.to_owned(), NewLink::Known(NEW.to_owned())));
        let remaining = &mut BTreeMap::new();
        let (text, _) = rewrite(
            Path::new(name),
            text.as_bytes(),
            &new_links.into(),
            remaining,
        );
        String::from_utf8(text).unwrap()
    }

    /// Rows of an old text and its new one, where `@` stands for the new link, `AMP` for the one with `&amp;`, and `ESC`
    /// for the one with `\/`. In markup each `&` is an entity.
    #[test]
    #[rustfmt::skip]
    fn links_are_replaced_in_the_form_of_their_place() {
        for (text, new) in [
            ("![a](https://e.org/a.png \"t\")", "![a](@ \"t\")"),
            ("![a](<https://e.org/my cat.png>)", "![a](<@>)"),
            ("https://e.org/my%20c%61t.png", "@"),
            ("见https://e.org/图.png，https://e.org/%e5%9b%be.png。", "见@，@。"),
            ("<img src='https://e.org/c.png?x=1&amp;y=2'>", "<img src='AMP'>"),
            ("<img src='https://e.org/c.png?x=1&y=2'>", "<img src='@'>"),
            (r#"{"a":"https:\/\/e.org\/a.png"}"#, r#"{"a":"ESC"}"#),
            ("HTTPS://E.org:443/a.png#pic_center", "@#pic_center"),
            ("<img src=https://e.org/a.png>", "<img src=@>"),
            ("src=https://e.org/a.png>", "src=@>"),
            ("<img srcset='https://e.org/a.png, https://m.org/640?wx_fmt=png 2x'>", "<img srcset='@, @ 2x'>"),
            ("[![b](https://e.org/a.png)](https://e.org/a.png)", "[![b](@)](@)"),
            ("\u{feff}[2]: https://e.org/a.png\r\n\r\n\rx", "\u{feff}[2]: @\r\n\r\n\rx"),
            ("(https://e.org/a.png), https://e.org/a.png.", "(@), @."),
            ("url('https://e.org/a.png') \"https://e.org/a.png\"", "url('@') \"@\""),
        ] {
            let entity = NEW.replace('&', "&amp;");
            let plain = new.replace("AMP", &entity).replace("ESC", &NEW.replace('/', r"\/")).replace('@', NEW);
            let markup = new.replace("ESC", &entity.replace('/', r"\/")).replace("AMP", &entity).replace('@', &entity);
            for (name, expected) in [("a.md", &plain), ("a", &plain), ("a.html", &markup), ("a.HTM", &markup), ("a.xml", &markup)] {
                let first = rewritten(name, text);
                assert_eq!(first, *expected, "{name}: {text}");
                assert_eq!(rewritten(name, &first), first, "{name}: {text}");
            }
        }
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.md");
        fs::write(&file, "newer").unwrap();
        let error = replace(&file, b"old", b"new", true).unwrap_err();
        assert!(error.contains("changed meanwhile"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), b"newer");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_backup_is_a_copy_where_no_hard_link_is_possible() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.md");
        fs::write(&file, "old").unwrap();
        back_up(&file, b"old", |_, _| Err(io::ErrorKind::Unsupported.into())).unwrap();
        fs::write(&file, "new").unwrap();
        assert_eq!(fs::read(folder.path().join("a.md.bak")).unwrap(), b"old");
    }
}
