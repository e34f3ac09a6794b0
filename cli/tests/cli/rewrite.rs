//! `rewrite`: files with new links, their backups, and kills. The forms of links are a table of the unit tests.

use std::fs;
use std::path::MAIN_SEPARATOR_STR;
use std::time::Instant;

use rusqlite::Connection;

use crate::migrate::Case;
#[cfg(target_os = "linux")]
use crate::tool::TOOL;
use crate::tool::Tool;

const LIST: &str = "https://e.org/a.png\nhttps://e.org/fail.png\nhttps://e.org/n.png\n";
const LINK: (&str, &str) = ("https://e.org/a.png", "https://v.123pan.cn/1/a.png");
const OLD: &[u8] =
    b"\xbc\xfb ![a](https://e.org/a.png)\r\n\r\nhttps://e.org/a.png#x https://e.org/fail.png\r\nend";
const NEW: &[u8] =
    b"\xbc\xfb ![a](https://v.123pan.cn/1/a.png)\r\n\r\nhttps://v.123pan.cn/1/a.png#x https://e.org/fail.png\r\nend";

const HTML: &str = "<img src=https://e.org/a.png> https://e.org/other.gif\n";

/// A folder of posts, and a migration of its images, of which one failed and one has no link yet.
fn posts() -> Tool {
    let tool = Case::migrated(LIST).tool;
    set_links(&tool, [LINK]);
    tool.write("posts/a.md", OLD);
    tool.write("posts/b/c.html", HTML);
    tool.write("posts/d.md", "https://e.org/n.png https://e.org/p.html");
    tool.write("posts/e.bin", "https://e.org/a.png\0");
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
}

/// The names in `posts` before a rewriting, and after an undone one.
const NAMES: [&str; 4] = ["a.md", "b", "d.md", "e.bin"];

#[test]
fn replaces_the_links_of_a_folder_and_a_second_run_changes_nothing() {
    let tool = posts();
    let run = tool.run("rewrite urls.txt posts");
    run.ends(0)
        .prints(&"posts/a.md\t2\nposts/b/c.html\t1\n".replace('/', MAIN_SEPARATOR_STR))
        .has_message("replaced 3 links in 2 files; left out: 1 file with a NUL byte; 3 old links r")
        .has_message(" remain: 1 failed, 1 no new link yet, 1 not in the list\n")
        .has_message("https://e.org/other.gif: not in the list");
    let has_new_links = || {
        tool.has("posts/a.md", NEW);
        tool.has("posts/a.md.bak", OLD);
        tool.has("posts/b/c.html", HTML.replace(LINK.0, LINK.1));
        tool.has("posts/e.bin", "https://e.org/a.png\0");
        assert_eq!(tool.names("posts").len(), NAMES.len() + 1);
    };
    has_new_links();
    let run = tool.run("rewrite urls.txt posts -q");
    run.ends(0).prints("").is_quiet();
    has_new_links();
}

#[test]
fn undo_gives_the_bytes_back_and_leaves_a_file_that_was_edited_since() {
    let tool = posts();
    tool.run("rewrite urls.txt posts").ends(0);
    let edited = [NEW, b" and more"].concat();
    tool.write("posts/a.md", &edited);
    let run = tool.run("rewrite urls.txt posts --undo");
    run.ends(5)
        .has_message("a.md: not restored: it differs from what `rewrite` makes of ")
        .has_message("1 file restored");
    tool.has("posts/a.md", &edited);
    tool.has("posts/b/c.html", HTML);
    tool.write("posts/a.md", NEW);
    let run = tool.run("rewrite urls.txt posts --undo");
    run.ends(0).has_message("1 file restored");
    assert_eq!(run.stdout.lines().count(), 1, "{run:#?}");
    tool.has("posts/a.md", OLD);
    assert_eq!(tool.names("posts"), NAMES);
    assert_eq!(tool.names("posts/b"), ["c.html"]);
    tool.run("rewrite urls.txt posts --undo").ends(0).prints("");
}

#[test]
fn a_dry_run_prints_a_diff_and_changes_nothing() {
    let tool = posts();
    let text = "1\n2\t\x1b[2J https://e.org/a.png https://e.org/a.png\r\n3\nhttps://e.org/a.png";
    tool.write("posts/a.md", text);
    let diff = r"--- posts/a.md
+++ posts/a.md
@@ -2 +2 @@
-2	\u{1b}[2J https://e.org/a.png https://e.org/a.png\r
+2	\u{1b}[2J https://v.123pan.cn/1/a.png https://v.123pan.cn/1/a.png\r
@@ -4 +4 @@
-https://e.org/a.png
+https://v.123pan.cn/1/a.png
";
    let run = tool.run("rewrite urls.txt --dry-run posts/a.md");
    run.ends(0).prints(diff);
    run.has_message("would replace 3 links in 1 file");
    tool.has("posts/a.md", text);
    assert_eq!(tool.names("posts"), NAMES);
    let run = tool.run("rewrite urls.txt posts/a.md --json");
    let object = serde_json::json!({"file": "posts/a.md", "links": 3});
    assert_eq!(run.ends(0).json(), [object]);
}

#[test]
fn an_older_backup_is_kept_and_none_is_written_on_demand() {
    let tool = posts();
    tool.write("posts/a.md.bak", "older");
    let run = tool.run("rewrite urls.txt posts/a.md");
    run.ends(0)
        .has_message("posts/a.md: posts/a.md.bak is not its original, which was not kept");
    tool.has("posts/a.md.bak", "older");
    tool.has("posts/a.md", NEW);
    tool.run("rewrite urls.txt posts --no-backup").ends(0);
    assert_eq!(tool.names("posts/b"), ["c.html"]);
    // Where a backup is unreadable, nobody needs to read it.
    tool.write("d.md", "https://e.org/a.png");
    std::fs::create_dir(tool.path("d.md.bak")).unwrap();
    tool.run("rewrite urls.txt d.md --no-backup").ends(0);
}

#[test]
fn list_state_backups_and_temporary_files_are_left_out_even_if_named() {
    let tool = posts();
    let names = ["urls.txt", "x.bak", ".y.pan123-tmp", "urls.txt.db.lock"];
    for name in names {
        tool.write(name, "https://e.org/a.png\n");
    }
    // While it is open, `-wal` and `-shm` stand beside the state.
    let state = Connection::open(tool.path("urls.txt.db")).unwrap();
    state.execute("UPDATE image SET percent = 1", []).unwrap();
    let beside = "urls.txt.db urls.txt.db-wal urls.txt.db-shm";
    let run = tool.run(&format!("rewrite urls.txt {beside} {}", names.join(" ")));
    run.ends(0).prints("");
    run.has_message(": replaced 0 links in 0 files\n");
    let run = tool.run("rewrite urls.txt .");
    run.ends(0)
        .has_message(": replaced 3 links in 2 files; left out: 1 file ");
    for name in names {
        tool.has(name, "https://e.org/a.png\n");
    }
}

#[test]
fn a_file_that_cannot_be_changed_is_told_and_the_others_are_changed() {
    let tool = posts();
    let run = tool.run("rewrite urls.txt missing posts/a.md");
    run.ends(5).prints("posts/a.md\t2\n").has_message("missing");
    tool.run("rewrite urls.txt").is_rejected("PATH");
}

/// The limit of the shell stands for a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_written_whole_stays_and_the_reason_is_told() {
    let tool = posts();
    let text = "https://e.org/a.png ".repeat(10_000);
    tool.write("posts/large.md", &text);
    let script = format!("ulimit -f 200; exec {TOOL} rewrite urls.txt posts/large.md posts/a.md");
    let run = tool.shell(&script);
    run.ends(5).prints("posts/a.md\t2\n").has_message(
        "posts/large.md: not changed: the new file cannot be written: File too large (os error 27); is there space",
    );
    tool.has("posts/large.md", &text);
    assert!(!tool.names("posts").iter().any(|name| name.ends_with("tmp")));
}

/// Anybody can change the state, and a list can hold links of an earlier migration.
#[test]
fn only_safe_links_are_written_and_a_new_link_is_never_an_old_one() {
    let urls = [1, 2, 3].map(|number| format!("https://e.org/{number}.png"));
    let own = "https://my.org/F1.png";
    let tool = Case::migrated(&format!("{}\n{own}\n", urls.join("\n"))).tool;
    let links = [own, "javascript:alert(1)", "https://my.org/F 2\">.png"];
    set_links(&tool, urls.iter().map(String::as_str).zip(links));
    set_links(&tool, [(own, "https://my.org/F4.png")]);
    tool.write("a.md", urls.join(" "));
    tool.run("rewrite urls.txt a.md").ends(0);
    let new = format!("{own} {} https://my.org/F%202%22%3E.png", urls[1]);
    tool.has("a.md", &new);
    let run = tool.run("rewrite urls.txt a.md");
    run.ends(0).prints("");
    run.has_message("; 1 old link remains: 1 its new link is no http or https URL\n");
    tool.has("a.md", &new);
    tool.run("rewrite urls.txt a.md --undo").ends(0);
    tool.has("a.md", urls.join(" "));
}

#[cfg(unix)]
#[test]
fn mode_and_owner_stay_and_a_symbolic_link_stays_one() {
    use crate::platform::set_mode;
    use std::os::unix::fs::{MetadataExt, chown, symlink};

    let tool = posts();
    let file = tool.path("posts/a.md");
    set_mode(&file, 0o640);
    // Only root can give a file away.
    let _ = chown(&file, Some(1234), Some(1235));
    set_mode(&tool.path("posts/b/c.html"), 0o444);
    let of = |path: &str| fs::metadata(tool.path(path)).unwrap();
    let old = of("posts/a.md");
    symlink("posts/a.md", tool.path("link.md")).unwrap();
    let run = tool.run("rewrite urls.txt link.md posts/b");
    run.ends(0).has_message("replaced 3 links in 2 files");
    tool.has("posts/a.md", NEW);
    assert!(tool.path("link.md").is_symlink());
    let new = of("posts/a.md");
    let expected = (old.mode(), old.uid(), old.gid());
    assert_eq!((new.mode(), new.uid(), new.gid()), expected);
    assert_eq!(of("posts/b/c.html").mode() & 0o777, 0o444);
    // The backup is the old file itself, beside the new one.
    assert_eq!(of("posts/a.md.bak").ino(), old.ino());
    tool.run("rewrite urls.txt --undo link.md").ends(0);
    tool.has("posts/a.md", OLD);
    assert!(tool.path("link.md").is_symlink());
    assert_eq!(of("posts/a.md").ino(), old.ino());
}

/// Killed at any moment, each file is the old or the new one, and the next run changes the rest.
#[cfg(target_os = "linux")]
#[test]
fn killed_at_any_moment_each_file_is_whole() {
    let tool = posts();
    let filler = b"text ".repeat(4_000);
    let old = [b"https://e.org/a.png\n", &filler[..]].concat();
    let new = [b"https://v.123pan.cn/1/a.png\n", &filler[..]].concat();
    let names: Vec<_> = (0..20).map(|number| format!("kills/{number}.md")).collect();
    for round in 0..10 {
        for name in &names {
            tool.write(name, &old);
        }
        let running = tool.start("rewrite urls.txt kills", "");
        std::thread::sleep(std::time::Duration::from_millis(round * 7));
        running.signal("KILL");
        running.end();
        let texts = names.iter().map(|name| fs::read(tool.path(name)).unwrap());
        let (changed, others): (Vec<_>, Vec<_>) = texts.partition(|text| *text == new);
        assert!(others.iter().all(|text| *text == old), "round {round}");
        println!("{} of {} files were changed", changed.len(), names.len());
        let rest = tool.run("rewrite urls.txt kills");
        let count = rest.ends(0).stdout.lines().count();
        assert_eq!(count, others.len(), "{rest:#?}");
        for name in &names {
            tool.has(name, &new);
            tool.has(&format!("{name}.bak"), &old);
        }
        tool.run("rewrite urls.txt kills --undo").ends(0);
    }
}

/// A weekly's archive: 18,000 links in 420 files of 9 MB together. `--release -- --ignored --nocapture`.
#[test]
#[ignore = "prints times of the release build"]
fn times_of_an_archive() {
    let tool = Case::migrated("https://e.org/1.png\n").tool;
    let mut connection = Connection::open(tool.path("urls.txt.db")).unwrap();
    let transaction = connection.transaction().unwrap();
    let filler = "这里是一段文字，[链接](https://e.org/p)。".repeat(9);
    for file in 0..420 {
        let mut text = String::new();
        for number in 0..43 {
            let url = format!("https://cdn.e.org/image/{file}/bg20260{number}.jpg");
            let link = format!("https://v.123pan.cn/1/{file}-{number}.jpg");
            let sql = "INSERT INTO image (url, line, given, state, link) VALUES (?1, 2, ?1, 'succeeded', ?2)";
            transaction.execute(sql, [&url, &link]).unwrap();
            text += &format!("![]({url})\n\n{filler}\n\n");
        }
        tool.write(&format!("posts/{file}.md"), text);
    }
    transaction.commit().unwrap();
    for command in ["extract posts", "rewrite urls.txt posts"] {
        let started = Instant::now();
        let run = tool.run(command);
        println!("{:?} {command}: {}", started.elapsed(), run.stderr);
    }
}
