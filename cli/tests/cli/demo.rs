//! `demo`: the whole way on the built-in stand-in.

use crate::tool::Tool;

/// A tool whose temporary files lie in a folder of its own, `tmp`.
fn tool() -> Tool {
    let tool = Tool::new();
    let folder = tool.path("tmp");
    std::fs::create_dir(&folder).unwrap();
    let names = ["TMPDIR", "TMP", "TEMP"].into_iter();
    names.fold(tool, |tool, name| tool.with(name, &folder))
}

#[test]
fn shows_the_whole_way_and_leaves_nothing_behind() {
    let tool = tool();
    let run = tool.run("demo");
    run.ends(0)
        .has_message("$ pan123-offline extract posts > urls.txt\npan123-offline: 8 images in 3 f")
        .has_message(": 7 succeeded, 1 failed\n")
        .has_message("7 links; not arrived: 1 failed\n")
        .has_message("replaced 7 links in 3 files; 1 old link remains: 1 failed");
    let diff_start = "--- posts/cats.md\n+++ posts/cats.md\n";
    let (rest, diff) = run.stdout.split_once(diff_start).unwrap();
    let links = rest.matches("\thttps://vip.123pan.cn/1/").count();
    assert_eq!(links, 7, "{run:#?}");
    let old = "-![Tom](https://images.example/cats/tom.png \"asleep\")\n";
    assert!(diff.contains(old), "{run:#?}");
    assert_eq!(diff.matches("\n+![").count(), 2, "{run:#?}");
    assert_eq!(tool.names("tmp"), [""; 0]);
    assert_eq!(tool.names(""), ["tmp"]);
}

/// Also the command that it runs ends.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_it_and_leaves_nothing_behind() {
    let tool = tool();
    let running = tool.start("demo", "");
    let has_state = || {
        let demo = tool.names("tmp").pop();
        demo.is_some_and(|demo| tool.path(&format!("tmp/{demo}/urls.txt.db")).exists())
    };
    assert!(crate::tool::until(has_state));
    running.signal("TERM");
    running.end().ends(143);
    assert_eq!(tool.names("tmp"), [""; 0]);
}
