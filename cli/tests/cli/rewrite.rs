//! `rewrite`: files with new links, their backups, and kills. The forms of links are a table of the unit tests.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use crate::migrate::Case;
use crate::tool::Tool;

const LIST: &str = "https://e.org/a.png\nhttps://e.org/fail.png\nhttps://e.org/n.png\n";
const LINK: (&str, &str) = ("https://e.org/a.png", "https://v.123pan.cn/1/a.png");
const OLD: &[u8] =
    b"\xbc\xfb ![a](https://e.org/a.png)\r\n\r\nhttps://e.org/a.png#x https://e.org/fail.png\r\nend";
const NEW: &[u8] =
    b"\xbc\xfb ![a](https://v.123pan.cn/1/a.png)\r\n\r\nhttps://v.123pan.cn/1/a.png#x https://e.org/fail.png\r\nend";

/// A folder of posts, and a migration of its images, of which one failed and one has no link yet.
fn posts() -> Tool {
    let case = Case::new(LIST);
    case.migrate("-q").ends(1);
    let tool = case.tool;
    set_links(&tool, [LINK]);
    tool.write("posts/a.md", 0o640, OLD);
    tool.write(
        "posts/b/c.html",
        0o644,
        "<img src=https://e.org/a.png> https://e.org/other.gif\n",
    );
    tool.write(
        "posts/d.md",
        0o644,
        "https://e.org/n.png https://e.org/p.html",
    );
    tool.write("posts/e.bin", 0o644, "https://e.org/a.png\0");
    tool
}

/// Writes new links into the state, as `links` does.
pub(crate) fn set_links<'a>(tool: &Tool, links: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let mut connection = Connection::open(tool.path("urls.txt.db")).unwrap();
    let transaction = connection.transaction().unwrap();
    for (key, link) in links {
        let sql = "UPDATE image SET link = ?2 WHERE url = ?1";
        assert_eq!(transaction.execute(sql, [key, link]).unwrap(), 1, "{key}");
    }
    transaction.commit().unwrap();
}

impl Tool {
    #[track_caller]
    fn has(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let found = fs::read(self.path(name)).unwrap();
        let [found, expected] = [&found[..], bytes.as_ref()].map(String::from_utf8_lossy);
        assert_eq!(found, expected, "{name}");
    }

    /// The names in a folder, in order.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn a_md() -> String {
    Path::new("posts").join("a.md").display().to_string()
}

#[test]
fn replaces_the_links_of_a_folder_and_a_second_run_changes_nothing() {
    let tool = posts();
    let run = tool.run("rewrite urls.txt posts");
    let c_html = Path::new("posts").join("b").join("c.html");
    run.ends(0)
        .prints(&format!("{}\t2\n{}\t1\n", a_md(), c_html.display()))
        .has_message(
            "replaced 3 links in 2 files; left out: 1 file with a NUL byte; 3 old links remain: ",
        )
        .has_message("1 failed, 1 no new link yet, 1 not in the list\n")
        .has_message("https://e.org/other.gif: not in the list");
    let has_new_links = || {
        tool.has("posts/a.md", NEW);
        tool.has(
            "posts/b/c.html",
            "<img src=https://v.123pan.cn/1/a.png> https://e.org/other.gif\n",
        );
        tool.has("posts/e.bin", "https://e.org/a.png\0");
        assert_eq!(
            tool.names("posts"),
            ["a.md", "a.md.bak", "b", "d.md", "e.bin"]
        );
    };
    has_new_links();
    tool.has("posts/a.md.bak", OLD);
    tool.run("rewrite urls.txt posts -q")
        .ends(0)
        .prints("")
        .is_quiet();
    has_new_links();
}

#[test]
fn undo_gives_the_bytes_back() {
    let tool = posts();
    tool.run("rewrite urls.txt posts").ends(0);
    let run = tool.run("rewrite urls.txt posts --undo");
    run.ends(0).has_message("2 files restored");
    assert_eq!(run.stdout.lines().count(), 2, "{run:#?}");
    tool.has("posts/a.md", OLD);
    assert_eq!(tool.names("posts"), ["a.md", "b", "d.md", "e.bin"]);
    assert_eq!(tool.names("posts/b"), ["c.html"]);
    tool.run("rewrite urls.txt posts --undo").ends(0).prints("");
}

#[test]
fn undo_leaves_a_file_that_was_edited_since() {
    let tool = posts();
    tool.run("rewrite urls.txt posts").ends(0);
    let edited = [NEW, b" and more"].concat();
    tool.write("posts/a.md", 0o644, &edited);
    let run = tool.run("rewrite urls.txt posts --undo");
    run.ends(5)
        .has_message("a.md: not restored")
        .has_message("1 file restored");
    tool.has("posts/a.md", &edited);
    tool.has("posts/a.md.bak", OLD);
    tool.has(
        "posts/b/c.html",
        "<img src=https://e.org/a.png> https://e.org/other.gif\n",
    );
}

#[test]
fn a_dry_run_prints_a_diff_and_changes_nothing() {
    let tool = posts();
    tool.write("posts/a.md", 0o644, "1\n\x1b[2J https://e.org/a.png\n3\n");
    let run = tool.run("rewrite urls.txt --dry-run posts/a.md");
    run.ends(0)
        .has_message("would replace 1 link in 1 file")
        .prints(
            "--- posts/a.md\n+++ posts/a.md\n@@ -2 +2 @@\n-\\u{1b}[2J https://e.org/a.png\n\
         +\\u{1b}[2J https://v.123pan.cn/1/a.png\n",
        );
    tool.has("posts/a.md", "1\n\x1b[2J https://e.org/a.png\n3\n");
    assert_eq!(tool.names("posts"), ["a.md", "b", "d.md", "e.bin"]);
}

#[test]
fn an_older_backup_is_kept_and_none_is_written_on_demand() {
    let tool = posts();
    tool.write("posts/a.md.bak", 0o644, "older");
    tool.run("rewrite urls.txt posts/a.md")
        .ends(0)
        .has_message("posts/a.md: posts/a.md.bak is not its original, which was not kept");
    tool.has("posts/a.md.bak", "older");
    tool.has("posts/a.md", NEW);
    tool.run("rewrite urls.txt posts --no-backup").ends(0);
    assert_eq!(tool.names("posts/b"), ["c.html"]);
}

#[test]
fn list_backups_and_temporary_files_are_left_out_even_if_named() {
    let tool = posts();
    let names = ["urls.txt", "x.bak", ".y.pan123-tmp"];
    for name in names {
        tool.write(name, 0o644, "https://e.org/a.png\n");
    }
    for paths in [names.join(" "), ".".to_owned(), "urls.txt.db".to_owned()] {
        tool.run(&format!("rewrite urls.txt {paths}")).ends(0);
        for name in names {
            tool.has(name, "https://e.org/a.png\n");
        }
    }
    assert!(!tool.path("urls.txt.db.bak").exists());
}

#[test]
fn json_has_an_object_for_each_changed_file() {
    let run = posts().run("rewrite urls.txt posts/a.md --json");
    run.ends(0);
    assert_eq!(
        run.json(),
        [serde_json::json!({"file": "posts/a.md", "links": 2})]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_told_and_the_others_are_changed() {
    let tool = posts();
    tool.run("rewrite urls.txt missing posts/a.md")
        .ends(5)
        .prints("posts/a.md\t2\n")
        .has_message("missing");
    tool.run("rewrite other.txt posts")
        .ends(2)
        .has_message("there is no state other.txt.db");
    tool.run("rewrite - posts").ends(2).has_message("--state");
    tool.run("rewrite urls.txt").ends(2);
}

#[cfg(unix)]
#[test]
fn mode_and_owner_stay_and_a_symbolic_link_stays_one() {
    use std::os::unix::fs::{MetadataExt, chown, symlink};

    let tool = posts();
    let file = tool.path("posts/a.md");
    // Only root can give a file away.
    let _ = chown(&file, Some(1234), Some(1235));
    tool.write("posts/b/c.html", 0o444, "https://e.org/a.png");
    let old = fs::metadata(&file).unwrap();
    symlink("posts/a.md", tool.path("link.md")).unwrap();
    symlink("posts/b/c.html", tool.path("b.md")).unwrap();
    tool.run("rewrite urls.txt link.md posts/b")
        .ends(0)
        .has_message("replaced 3 links in 2 files");
    tool.has("posts/a.md", NEW);
    assert!(tool.path("link.md").is_symlink());
    let new = fs::metadata(&file).unwrap();
    assert_eq!(
        (new.mode(), new.uid(), new.gid()),
        (old.mode(), old.uid(), old.gid())
    );
    assert_eq!(
        fs::metadata(tool.path("b.md")).unwrap().mode() & 0o777,
        0o444
    );
    // The backup is the old file itself, beside the new one.
    assert_eq!(
        fs::metadata(tool.path("posts/a.md.bak")).unwrap().ino(),
        old.ino()
    );
    tool.run("rewrite urls.txt --undo link.md").ends(0);
    tool.has("posts/a.md", OLD);
    assert!(tool.path("link.md").is_symlink());
    assert_eq!(fs::metadata(&file).unwrap().ino(), old.ino());
}

/// Killed at any moment, each file is the old or the new one, and the next run changes the rest.
#[cfg(target_os = "linux")]
#[test]
fn killed_at_any_moment_each_file_is_whole() {
    use std::time::Duration;

    let tool = posts();
    let filler = b"text ".repeat(10_000);
    let old = [b"https://e.org/a.png\n", &filler[..]].concat();
    let new = [b"https://v.123pan.cn/1/a.png\n", &filler[..]].concat();
    let names: Vec<_> = (0..20).map(|number| format!("kills/{number}.md")).collect();
    let mut kills_between = 0;
    for round in 0..10 {
        for name in &names {
            tool.write(name, 0o644, &old);
        }
        let running = tool.start("rewrite urls.txt kills", "");
        std::thread::sleep(Duration::from_millis(round * 7));
        running.signal("KILL");
        running.end();
        let mut changed = 0;
        for name in &names {
            let bytes = fs::read(tool.path(name)).unwrap();
            assert!(
                bytes == old || bytes == new,
                "{name} has {} bytes",
                bytes.len()
            );
            changed += usize::from(bytes == new);
        }
        kills_between += usize::from((1..20).contains(&changed));
        let run = tool.run("rewrite urls.txt kills");
        run.ends(0);
        if changed < 19 {
            run.has_message(&format!("in {} files", 20 - changed));
        }
        for name in &names {
            tool.has(name, &new);
            tool.has(&format!("{name}.bak"), &old);
        }
        tool.run("rewrite urls.txt kills --undo").ends(0);
    }
    println!("{kills_between} of 10 kills came between two files");
}

/// A weekly's archive: 18,000 links in 420 files of 9 MB together. `--release -- --ignored --nocapture`.
#[test]
#[ignore = "prints times of the release build"]
fn times_of_an_archive() {
    use std::fmt::Write as _;
    use std::time::Instant;

    let case = Case::new("https://e.org/1.png\n");
    case.migrate("-q").ends(0);
    let tool = case.tool;
    let mut connection = Connection::open(tool.path("urls.txt.db")).unwrap();
    let transaction = connection.transaction().unwrap();
    for file in 0..420 {
        let mut text = String::new();
        for number in 0..43 {
            let url = format!("https://cdn.e.org/image/{file}/bg20260{number}.jpg");
            let link = format!("https://v.123pan.cn/1/{file}-{number}.jpg");
            let sql = "INSERT INTO image (url, line, given, state, link) VALUES (?1, 2, ?1, 'succeeded', ?2)";
            transaction.execute(sql, [&url, &link]).unwrap();
            let filler = "这里是一段文字，[链接](https://e.org/p)。".repeat(9);
            let _ = writeln!(text, "![]({url})\n\n{filler}\n");
        }
        tool.write(&format!("posts/{file}.md"), 0o644, text);
    }
    transaction.commit().unwrap();
    for command in [
        "extract posts",
        "rewrite --dry-run urls.txt posts",
        "rewrite urls.txt posts",
    ] {
        let started = Instant::now();
        let run = tool.run(command);
        println!("{:?} {command}: {}", started.elapsed(), run.stderr);
    }
}
