//! `extract`: the list of images in files and folders. The forms of links are a table of the finder's own tests.

use crate::migrate::Case;
use crate::rewrite::set_links;
use crate::tool::Tool;

/// A folder with files of each kind, and the images in it.
fn posts() -> (Tool, &'static str) {
    let tool = Tool::new();
    for (name, text) in [
        (
            "posts/B.md",
            &b"![1](https://e.org/1.png) ![2](../2.png) ![](data:image/png,AA)"[..],
        ),
        (
            "posts/a.md",
            b"https://e.org/2.png https://e.org/1.png [p](https://e.org/p.html)",
        ),
        (
            "posts/c/gbk.txt",
            b"\xbc\xfbhttps://e.org/3.png\xa3\xac\xd2\xd4\xbc\xb0",
        ),
        (
            "posts/c/host.md",
            b"https://vip.123pan.cn/1/x.png https://a.123pan.com/x.png",
        ),
        (
            "posts/d.json",
            br#"["https:\/\/e.org\/4.png","https://img.me/5.png"]"#,
        ),
        ("posts/e.bin", b"https://e.org/no.png\0"),
        ("posts/.hidden.md", b"https://e.org/no.png"),
        ("posts/.git/config", b"https://e.org/no.png"),
        ("posts/.gitignore", b"public\n*.tmp.md"),
        ("posts/public/index.html", b"https://e.org/no.png"),
        ("posts/c/a.tmp.md", b"https://e.org/no.png"),
        ("posts/a.md.bak", b"https://e.org/no.png"),
        ("posts/.x.pan123-tmp", b"https://e.org/no.png"),
        ("posts/y.pan123-tmp", b"https://e.org/no.png"),
        ("other/z.md", b"https://e.org/6.png"),
    ] {
        tool.write(name, 0o644, text);
    }
    let images = "https://e.org/1.png\nhttps://e.org/2.png\nhttps://e.org/3.png\nhttps://e.org/4.png\n\
                  https://img.me/5.png\n";
    (tool, images)
}

#[test]
fn prints_the_images_of_a_folder_once_in_the_order_of_their_places() {
    let (tool, images) = posts();
    let run = tool.run("extract posts");
    run.ends(0).prints(images).has_message(
        "5 images in 5 files; left out: 1 data: address, 1 relative address, 1 file that is not text\n",
    );
    tool.run("extract posts posts/a.md posts -q")
        .ends(0)
        .prints(images)
        .is_quiet();
    tool.run("extract posts/a.md posts -q").ends(0).prints(
        "https://e.org/2.png\nhttps://e.org/1.png\nhttps://e.org/3.png\nhttps://e.org/4.png\nhttps://img.me/5.png\n",
    );
}

#[test]
fn a_file_that_is_named_is_read_even_if_a_walk_leaves_it_out() {
    let (tool, _) = posts();
    for name in [
        "posts/.hidden.md",
        "posts/public/index.html",
        "posts/c/a.tmp.md",
        "posts/a.md.bak",
    ] {
        tool.run(&format!("extract -q {name}"))
            .ends(0)
            .prints("https://e.org/no.png\n");
    }
    tool.run("extract -q posts/y.pan123-tmp").ends(0).prints("");
}

#[test]
fn all_prints_links_that_are_no_images_too() {
    let (tool, _) = posts();
    tool.run("extract --all -q posts/B.md posts/a.md")
        .ends(0)
        .prints("https://e.org/1.png\nhttps://e.org/2.png\nhttps://e.org/p.html\n");
}

#[test]
fn new_links_of_the_state_are_left_out() {
    let (posts, images) = posts();
    let case = Case::new("https://old.org/5.png\n");
    case.migrate("-q").ends(0);
    set_links(
        &case.tool,
        [("https://old.org/5.png", "https://IMG.me:443/5.png")],
    );
    let state = case.tool.path("urls.txt.db");
    let run = posts.run(&format!("extract -q posts --state {}", state.display()));
    run.ends(0)
        .prints(images.strip_suffix("https://img.me/5.png\n").unwrap());
    posts
        .run("extract --state missing posts")
        .ends(2)
        .has_message("missing");
}

#[test]
fn json_has_an_object_for_each_image() {
    let (tool, images) = posts();
    let urls: Vec<_> = tool.run("extract -q --json posts").json();
    let urls: String = urls
        .iter()
        .map(|url| format!("{}\n", url["url"].as_str().unwrap()))
        .collect();
    assert_eq!(urls, images);
}

#[test]
fn a_file_that_cannot_be_read_is_told_and_the_others_are_printed() {
    let (tool, images) = posts();
    tool.run("extract missing posts")
        .ends(5)
        .prints(images)
        .has_message("pan123-offline: missing: ");
    tool.run("extract -")
        .ends(5)
        .has_message("name files and folders");
    tool.run("extract other/z.md missing -q")
        .ends(5)
        .prints("https://e.org/6.png\n");
    tool.write("none.md", 0o644, "no image");
    tool.run("extract none.md")
        .ends(0)
        .prints("")
        .has_message("0 images in 1 file\n");
    tool.run("extract").ends(2).prints("");
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_is_followed_only_if_it_is_named() {
    use std::os::unix::fs::symlink;

    let (tool, images) = posts();
    symlink(tool.path("other"), tool.path("posts/to-folder")).unwrap();
    symlink(tool.path("other/z.md"), tool.path("posts/to-file.md")).unwrap();
    symlink("nowhere", tool.path("posts/broken")).unwrap();
    tool.run("extract -q posts")
        .ends(0)
        .prints(images)
        .is_quiet();
    for name in ["posts/to-folder", "posts/to-file.md"] {
        tool.run(&format!("extract -q {name}"))
            .ends(0)
            .prints("https://e.org/6.png\n");
    }
    tool.run("extract -q posts/broken")
        .ends(5)
        .has_message("posts/broken");
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_left_out_in_a_folder_and_is_no_file() {
    let (tool, images) = posts();
    tool.shell("mkfifo posts/pipe", "").ends(0);
    tool.run("extract -q posts")
        .ends(0)
        .prints(images)
        .is_quiet();
    tool.run("extract -q posts/pipe")
        .ends(5)
        .has_message("neither a file nor a folder");
}
