//! New links in the place of old ones: in a text, and in a file that is replaced as a whole.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::files::{BACKUP, TEMPORARY, with_ending};
use crate::json::controls_terminal;
use crate::list::printable;
use crate::text;

/// The new link of each image by its key, or the reason why it has none.
pub(crate) type NewLinks = HashMap<String, Result<String, String>>;

/// The reason for an image that is not in the list.
const NOT_IN_LIST: &str = "not in the list";

/// A text with new links, and their number.
#[derive(Debug)]
pub(crate) struct Rewritten {
    pub(crate) text: Vec<u8>,
    pub(crate) links: usize,
}

/// Replaces the old links in the text of a file. Adds those that remain, each with its reason.
pub(crate) fn rewrite(
    path: &Path,
    text: &[u8],
    new_links: &NewLinks,
    remaining: &mut BTreeMap<String, String>,
) -> Rewritten {
    let is_markup = path.extension().is_some_and(|ending| {
        ["html", "htm", "xml"]
            .iter()
            .any(|markup| ending.eq_ignore_ascii_case(markup))
    });
    let mut new_text = Vec::with_capacity(text.len());
    let (mut at, mut links) = (0, 0);
    for link in text::find(text).links {
        match new_links.get(&link.url.key) {
            Some(Ok(new)) => {
                let new = text::in_form_of(&text[link.range.clone()], new, is_markup);
                new_text.extend_from_slice(&text[at..link.range.start]);
                new_text.extend_from_slice(new.as_bytes());
                at = link.range.end;
                links += 1;
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
    new_text.extend_from_slice(&text[at..]);
    Rewritten {
        text: new_text,
        links,
    }
}

/// Returns the lines that change, as a unified diff without context. No link spans lines. Control characters are escaped.
pub(crate) fn diff(path: &Path, old: &[u8], new: &[u8]) -> String {
    let name = printable(&path.display().to_string());
    let mut diff = format!("--- {name}\n+++ {name}\n");
    let lines = |text| <[u8]>::split(text, |byte| *byte == b'\n');
    for (number, (old, new)) in (1..).zip(lines(old).zip(lines(new))) {
        if old != new {
            let [old, new] = [old, new].map(printable_line);
            let _ = write!(diff, "@@ -{number} +{number} @@\n-{old}\n+{new}\n");
        }
    }
    diff
}

/// Returns a line of a diff with its TABs, and with other control characters escaped.
fn printable_line(line: &[u8]) -> String {
    let mut printable = String::with_capacity(line.len());
    for char in String::from_utf8_lossy(line).chars() {
        match char {
            '\t' => printable.push(char),
            _ if controls_terminal(char) => printable.extend(char.escape_default()),
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
        back_up(path, old, |from, to| fs::hard_link(from, to)).map_err(|error| {
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
fn back_up(
    path: &Path,
    bytes: &[u8],
    hard_link: fn(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let backup = with_ending(path, BACKUP);
    if fs::symlink_metadata(&backup).is_ok() || hard_link(path, &backup).is_ok() {
        return Ok(());
    }
    let copy = write_beside(path, bytes)?;
    copy.persist(&backup).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "https://v.123pan.cn/1/n.png?k=1&l=2";

    /// The new links of the tables.
    fn new_links() -> NewLinks {
        let old = [
            "https://e.org/a.png",
            "https://e.org/my%20cat.png",
            "https://e.org/%E5%9B%BE.png",
            "https://e.org/c.png?x=1&y=2",
            "https://m.org/640?wx_fmt=png",
        ];
        old.map(|old| (old.to_owned(), Ok(NEW.to_owned()))).into()
    }

    fn rewritten(name: &str, text: &[u8], remaining: &mut BTreeMap<String, String>) -> Vec<u8> {
        rewrite(Path::new(name), text, &new_links(), remaining).text
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
                let first = rewritten(name, text.as_bytes(), &mut BTreeMap::new());
                assert_eq!(String::from_utf8_lossy(&first), *expected, "{name}: {text}");
                let second = rewritten(name, &first, &mut BTreeMap::new());
                assert_eq!(second, first, "{name}: {text}");
            }
        }
    }

    #[test]
    fn only_whole_links_are_replaced() {
        for text in [
            "https://e.org/a.png?x=1",
            "https://e.org/a.png.webp",
            "https://e.org/a.png/b",
            "https://e.org/a.pngx",
            "https://web.archive.org/web/2020/https://e.org/a.png",
            "?url=https://e.org/a.png",
            "<img src='/p?url=https://e.org/a.png'>",
            "![a](https://e.org/a.png?x=(1)",
            "https://e.org/a.png\\u003fx",
            "http://e.org/a.png https://e.org/A.png https://www.e.org/a.png",
        ] {
            let new = rewritten("a.md", text.as_bytes(), &mut BTreeMap::new());
            assert_eq!(String::from_utf8_lossy(&new), text);
        }
    }

    #[test]
    fn bytes_of_any_encoding_stay() {
        for (before, after) in [
            // GBK: 见 before, a full-width comma after; Latin-1; a lone continuation byte and a line end of old Macs.
            (&b"\xbc\xfb"[..], &b"\xa3\xac\xd2\xd4"[..]),
            (b"caf\xe9 ", b" \xe9t\xe9"),
            (b"\x80\r", b"\r\xff"),
        ] {
            let text = [before, b"https://e.org/a.png", after].concat();
            let new = rewritten("a.md", &text, &mut BTreeMap::new());
            assert_eq!(new, [before, NEW.as_bytes(), after].concat());
        }
    }

    #[test]
    fn links_that_remain_are_told_with_their_reason() {
        let mut links = new_links();
        links.insert("https://e.org/f.png".to_owned(), Err("failed".to_owned()));
        let text =
            b"https://e.org/a.png ![](https://e.org/f.png) https://e.org/x.gif https://e.org/p.html
            https://v.123pan.cn/1/a.png";
        let mut remaining = BTreeMap::new();
        rewrite(Path::new("a.md"), text, &links, &mut remaining);
        let expected = [
            ("https://e.org/f.png", "failed"),
            ("https://e.org/x.gif", NOT_IN_LIST),
        ];
        assert_eq!(
            remaining,
            expected
                .map(|(url, reason)| (url.to_owned(), reason.to_owned()))
                .into()
        );
    }

    #[test]
    fn the_diff_has_each_line_that_changes_once() {
        let text =
            b"1\n2\thttps://e.org/a.png https://e.org/a.png\x1b[0m\r\n3\nhttps://e.org/a.png";
        let new = rewritten("a.md", text, &mut BTreeMap::new());
        let expected = r"--- a\n.md
+++ a\n.md
@@ -2 +2 @@
-2	https://e.org/a.png https://e.org/a.png\u{1b}[0m\r
+2	NEW NEW\u{1b}[0m\r
@@ -4 +4 @@
-https://e.org/a.png
+NEW
";
        assert_eq!(
            diff(Path::new("a\n.md"), text, &new).replace(NEW, "NEW"),
            expected
        );
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.md");
        fs::write(&file, "newer").unwrap();
        let error = replace(&file, b"old", b"new", true).unwrap_err();
        assert!(error.contains("changed meanwhile"), "{error}");
        let names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(
            (fs::read(&file).unwrap(), names),
            (b"newer".to_vec(), vec!["a.md".into()])
        );
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
