//! `demo`: the whole way on the built-in stand-in.

use std::fs;
use std::path::Path;

use crate::tool::Tool;

/// A tool whose temporary files lie in a folder of its own.
fn tool() -> (Tool, std::path::PathBuf) {
    let tool = Tool::new();
    let folder = tool.path("tmp");
    fs::create_dir(&folder).unwrap();
    let tool = tool.with("TMPDIR", &folder).with("TMP", &folder);
    (tool.with("TEMP", &folder), folder)
}

#[track_caller]
fn is_empty(folder: &Path) {
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
}

#[test]
fn shows_the_whole_way_and_leaves_nothing_behind() {
    let (tool, folder) = tool();
    let run = tool.run("demo");
    run.ends(0)
        .has_message(
            "$ pan123-offline extract posts > urls.txt\npan123-offline: 8 images in 3 files",
        )
        .has_message(": 7 succeeded, 1 failed\n")
        .has_message("7 links; not arrived: 1 failed\n")
        .has_message("replaced 7 links in 3 files; 1 old link remains: 1 failed");
    let (rest, diff) = run
        .stdout
        .split_once("--- posts/cats.md\n+++ posts/cats.md\n")
        .unwrap();
    assert_eq!(
        rest.matches("\thttps://vip.123pan.cn/1/").count(),
        7,
        "{run:#?}"
    );
    let old = "-![Tom](https://images.example/cats/tom.png \"asleep\")\n";
    assert!(diff.contains(old), "{run:#?}");
    assert_eq!(diff.matches("\n+![").count(), 2, "{run:#?}");
    is_empty(&folder);
    assert_eq!(fs::read_dir(tool.path("")).unwrap().count(), 1, "only tmp");
}

/// Also the command that it runs ends.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_it_and_leaves_nothing_behind() {
    let (tool, folder) = tool();
    let running = tool.start("demo", "");
    let state = || {
        let demo = fs::read_dir(&folder).unwrap().next();
        demo.map(|demo| demo.unwrap().path().join("urls.txt.db"))
    };
    assert!(crate::tool::until(
        || state().is_some_and(|state| state.exists())
    ));
    running.signal("TERM");
    running.end().ends(143);
    is_empty(&folder);
}
