//! The whole way: the images of a folder of posts are listed, migrated and found, and their links replaced.

use std::collections::HashMap;
use std::fs;

use crate::migrate::Case;

const POSTS: usize = 40;
const IMAGES_PER_POST: usize = 30;

/// One image in a hundred fails.
fn old(number: usize) -> String {
    let name = if number % 100 == 7 { "fail" } else { "图" };
    format!("https://images.example/{name}/{number}.png?w=1&h=2")
}

fn name(post: usize) -> String {
    let endings = ["md", "html", "xml", "json", "txt", "md"];
    format!("posts/{}/{post}.{}", post % 7, endings[post % 6])
}

/// Returns a post of one of six kinds with these links.
fn post(post: usize, link: impl Fn(usize) -> String) -> Vec<u8> {
    let mut bytes = match post % 6 {
        2 => b"<?xml version=\"1.0\"?><rss><item><content:encoded><![CDATA[".to_vec(),
        3 => b"[".to_vec(),
        5 => b"\xef\xbb\xbf# CRLF\r\n".to_vec(),
        _ => Vec::new(),
    };
    for number in post * IMAGES_PER_POST..(post + 1) * IMAGES_PER_POST {
        let link = link(number);
        let entities = link.replace('&', "&amp;");
        let escaped = link.replace('/', "\\/");
        match post % 6 {
            0 => bytes.extend(format!("![图 {number}]({link} \"t\") 中文，\n\n").bytes()),
            1 => bytes.extend(format!("<p><IMG alt=\"a > b\"\nsrc=\"{entities}\"/></p>").bytes()),
            2 => bytes.extend(format!("<a href=\"{entities}\"><img src='{entities}'></a>").bytes()),
            3 => bytes.extend(format!("\"<img src=\\\"{escaped}\\\">\\n\",").bytes()),
            4 => bytes.extend([b"\xbc\xfb ", link.as_bytes(), b" \xa3\xac\xd2\xd4\n"].concat()),
            _ => bytes.extend(format!("[{number}]: <{link}>\r\n").bytes()),
        }
    }
    bytes
}

#[test]
fn a_migration_replaces_the_links_of_a_folder_and_nothing_else() {
    let case = Case::new("");
    let tool = &case.tool;
    for number in 0..POSTS {
        tool.write(&name(number), post(number, old));
    }
    let run = tool.run("extract posts");
    run.ends(0).has_message("1200 images in 40 files");
    case.write(&run.stdout);
    case.migrate("-q").ends(1);

    let requests = case.service.request_count();
    let run = tool.run("links urls.txt --rate inf");
    let sent = case.service.request_count() - requests;
    assert!(sent <= 14, "{sent} requests");
    run.ends(0)
        .has_message("1188 links; not arrived: 12 failed\n");
    let lines = run.stdout.lines();
    let links: HashMap<_, _> = lines.filter_map(|line| line.split_once('\t')).collect();
    let new = |number| match number % 100 {
        7 => old(number),
        _ => links[&*old(number).replace('图', "%E5%9B%BE")].to_owned(),
    };
    let assert_posts_have = |link: &dyn Fn(usize) -> String| {
        for number in 0..POSTS {
            let found = fs::read(tool.path(&name(number))).unwrap();
            let text = String::from_utf8_lossy(&found);
            assert!(found == post(number, link), "post {number}: {text}");
        }
    };

    let run = tool.run("rewrite urls.txt posts");
    run.ends(0)
        .has_message("in 40 files; 12 old links remain: 12 failed\n");
    assert_posts_have(&new);
    let failed = tool.run("extract posts -q").stdout;
    let counts = (failed.lines().count(), failed.matches("/fail/").count());
    assert_eq!(counts, (12, 12));
    tool.run("rewrite urls.txt posts -q").ends(0).prints("");

    let run = tool.run("rewrite urls.txt posts --undo");
    run.ends(0).has_message("40 files restored");
    assert_posts_have(&old);
}
