//! `extract`: the list of images in files and folders. The forms of links are a table of the finder's own tests.

use crate::migrate::Case;
use crate::rewrite::set_links;
use crate::tool::Tool;

/// The images in `posts`, in their order.
const IMAGES: [&str; 5] = [
    "https://e.org/1.png\n",
    "https://e.org/2.png\n",
    "https://e.org/3.png\n",
    "https://e.org/4.png\n",
    "https://img.me/5.png\n",
];

/// A folder with files of each kind. `$` stands for `https://e.org/`.
fn posts() -> Tool {
    let tool = Tool::new();
    for (name, text) in [
        ("B.md", "![1]($1.png) ![2](../2.png) ![](data:a,b)"),
        ("a.md", "$2.png $1.png [p]($p.html)"),
        ("c/host.md", "https://a.123pan.com/x.png"),
        ("d.json", r#"["$4.png","https:\/\/img.me\/5.png"]"#),
        ("e.bin", "$no.png\0"),
        (".hidden.md", "$no.png"),
        (".git/config", "$no.png"),
        (".gitignore", "public\n*.tmp.md"),
        ("public/index.html", "$no.png"),
        ("c/a.tmp.md", "$no.png"),
        ("a.md.bak", "$no.png"),
        (".x.pan123-tmp", "$no.png"),
        ("y.pan123-tmp", "$no.png"),
        ("../other/z.md", "$6.png"),
    ] {
        let text = text.replace('$', "https://e.org/");
        tool.write(&format!("posts/{name}"), text);
    }
    let gbk = b"\xbc\xfbhttps://e.org/3.png\xa3\xac\xd2\xd4";
    tool.write("posts/c/gbk.txt", gbk);
    tool
}

#[test]
fn prints_the_images_of_a_folder_once_in_the_order_of_their_places() {
    let tool = posts();
    let images = IMAGES.concat();
    let run = tool.run("extract posts");
    run.ends(0).prints(&images).has_message(
        "5 images in 5 files; left out: 1 data: address, 1 relative address, 1 file that is not text\n",
    );
    let [one, two, rest @ ..] = IMAGES;
    let rest = rest.concat();
    let all = format!("{two}{one}https://e.org/p.html\n");
    for (arguments, urls) in [
        ("posts posts/a.md posts", &*images),
        ("posts/a.md posts", &format!("{two}{one}{rest}")),
        ("--all posts/a.md", &all),
        // A file that is named is read even if a walk leaves it out.
        ("posts/.hidden.md", "https://e.org/no.png\n"),
        ("posts/public/index.html", "https://e.org/no.png\n"),
        ("posts/c/a.tmp.md", "https://e.org/no.png\n"),
        ("posts/a.md.bak", "https://e.org/no.png\n"),
        ("posts/y.pan123-tmp", ""),
    ] {
        let run = tool.run(&format!("extract -q {arguments}"));
        run.ends(0).prints(urls).is_quiet();
    }
    let objects = tool.run("extract -q --json posts/B.md").json();
    assert_eq!(objects, [serde_json::json!({"url": "https://e.org/1.png"})]);
}

#[test]
fn new_links_of_the_state_are_left_out() {
    let posts = posts();
    let case = Case::migrated("https://old.org/5.png\n");
    let link = ("https://old.org/5.png", "https://IMG.me:443/5.png");
    set_links(&case.tool, [link]);
    let state = case.tool.path("urls.txt.db");
    let run = posts.run(&format!("extract -q posts --state {}", state.display()));
    run.ends(0).prints(&IMAGES[..4].concat());
    let run = posts.run("extract --state missing posts");
    run.is_rejected("missing");
}

#[test]
fn a_file_that_cannot_be_read_is_told_and_the_others_are_printed() {
    let tool = posts();
    tool.write("none.md", "no image");
    let images = IMAGES.concat();
    for (arguments, code, urls, text) in [
        ("missing posts", 5, &*images, "pan123-offline: missing: "),
        ("other/z.md missing", 5, "https://e.org/6.png\n", "missing"),
        ("-", 5, "", "name files and folders"),
        ("none.md", 0, "", "0 images in 1 file\n"),
        ("", 2, "", "PATH"),
    ] {
        let run = tool.run(&format!("extract {arguments}"));
        run.ends(code).prints(urls).has_message(text);
    }
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_is_followed_only_if_it_is_named_and_a_pipe_is_no_file() {
    use std::os::unix::fs::symlink;

    let tool = posts();
    symlink(tool.path("other"), tool.path("posts/to-folder")).unwrap();
    symlink(tool.path("other/z.md"), tool.path("posts/to-file.md")).unwrap();
    symlink("nowhere", tool.path("posts/broken")).unwrap();
    tool.shell("mkfifo posts/pipe").ends(0);
    for (path, code, urls, text) in [
        ("posts", 0, &*IMAGES.concat(), ""),
        ("posts/to-folder", 0, "https://e.org/6.png\n", ""),
        ("posts/to-file.md", 0, "https://e.org/6.png\n", ""),
        ("posts/broken", 5, "", "posts/broken"),
        ("posts/pipe", 5, "", "neither a file nor a folder"),
    ] {
        let run = tool.run(&format!("extract -q {path}"));
        run.ends(code).prints(urls).has_message(text);
        assert_eq!(run.stderr.is_empty(), code == 0, "{run:#?}");
    }
}
