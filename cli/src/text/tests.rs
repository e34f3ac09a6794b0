use std::time::{Duration, Instant};

use super::*;

/// The addresses of images in a text, and of all links.
fn found(text: &[u8]) -> (Vec<String>, Vec<String>) {
    let links = find(text).links;
    let images = links.iter().filter(|link| link.is_image);
    let images = images.map(|link| link.url.sent.clone()).collect();
    (
        images,
        links.into_iter().map(|link| link.url.sent).collect(),
    )
}

/// The table of issue 26, and more rows of each kind: a text and its images.
#[rustfmt::skip]
const IMAGES: &[(&str, &[&str])] = &[
    (
        r#"![a](https://e.org/a.png "title")"#,
        &["https://e.org/a.png"],
    ),
    (
        "![b](<https://e.org/my cat.png>)",
        &["https://e.org/my%20cat.png"],
    ),
    (
        "![x](https://m.org/640?wx_fmt=png)",
        &["https://m.org/640?wx_fmt=png"],
    ),
    ("[2]: https://e.org/b.jpg", &["https://e.org/b.jpg"]),
    (
        "<img src='https://e.org/c.png?x=1&amp;y=2'>",
        &["https://e.org/c.png?x=1&y=2"],
    ),
    ("<img src=https://e.org/d.png>", &["https://e.org/d.png"]),
    (
        r#"srcset="https://e.org/s1.png 1x, https://e.org/s2.png 2x""#,
        &["https://e.org/s1.png", "https://e.org/s2.png"],
    ),
    ("cover: https://e.org/e.webp", &["https://e.org/e.webp"]),
    ("url(https://e.org/f.gif)", &["https://e.org/f.gif"]),
    (r#""https:\/\/e.org\/g.png""#, &["https://e.org/g.png"]),
    (
        "见https://e.org/h.png，以及 https://e.org/i.png。",
        &["https://e.org/h.png", "https://e.org/i.png"],
    ),
    ("https://e.org/图/j.png", &["https://e.org/%E5%9B%BE/j.png"]),
    (
        "https://e.org/%E5%9B%BE/j.png",
        &["https://e.org/%E5%9B%BE/j.png"],
    ),
    ("https://e.org/k_(1).png", &["https://e.org/k_(1).png"]),
    ("(https://e.org/l.png)", &["https://e.org/l.png"]),
    ("https://e.org/m.png.", &["https://e.org/m.png"]),
    ("https://e.org/n.png#pic_center", &["https://e.org/n.png"]),
    (
        "![A->C](https://e.org/A->C.png)",
        &["https://e.org/A-%3EC.png"],
    ),
    (
        "[![b](https://e.org/o.svg)](https://e.org/page)",
        &["https://e.org/o.svg"],
    ),
    (
        "![w](https://e.org/q~tplv-watermark.image)",
        &["https://e.org/q~tplv-watermark.image"],
    ),
    (r#"<script src="https://e.org/x.js">"#, &[]),
    (
        r#"<iframe src="https://e.org/?u=https://e.org/r.png">"#,
        &[],
    ),
    ("[a page](https://e.org/p.html)", &[]),
    ("http://image.jpg", &[]),
    // Targets of images without an ending.
    (
        "<IMG alt='a<b > c' data-src = \"https://e.org/1\"/>",
        &["https://e.org/1"],
    ),
    (
        "<video poster=\"https://e.org/1\" src=\"https://e.org/2\">",
        &["https://e.org/1"],
    ),
    (
        "<source srcset='https://e.org/w_1,h_1/1 1x,https://e.org/2,\n https://e.org/3'>",
        &[
            "https://e.org/w_1,h_1/1",
            "https://e.org/2",
            "https://e.org/3",
        ],
    ),
    (
        "<img\nsrc=\"https://e.org/my cat\"\n>",
        &["https://e.org/my%20cat"],
    ),
    (
        "![a][l]\n\n[L]: https://e.org/1\n[m]: https://e.org/2",
        &["https://e.org/1"],
    ),
    (
        "![l]\n\n  [l]: <https://e.org/my 1>",
        &["https://e.org/my%201"],
    ),
    (
        "![a [b] c](https://e.org/1 =9x9) ![d]( https://e.org/2 'e' )",
        &["https://e.org/1", "https://e.org/2"],
    ),
    (r"![a](https://e.org/a\_\(b)", &["https://e.org/a_(b"]),
    (
        r"\![a](https://e.org/1) !\[a](https://e.org/2) ![a\](https://e.org/3)",
        &[],
    ),
    // Texts within JSON.
    (
        r#""a\nhttps:\/\/e.org\/1.png\n<img src=\"https:\/\/e.org\/2\" \/>""#,
        &["https://e.org/1.png", "https://e.org/2"],
    ),
    (
        r#""![a](https://e.org/1 \"b\")\n![c](https://e.org/2)""#,
        &["https://e.org/1", "https://e.org/2"],
    ),
    (
        r#""https://e.org/\u56fe.png?x=1\u0026y=2""#,
        &["https://e.org/%E5%9B%BE.png?x=1&y=2"],
    ),
    (
        r"&lt;img src=&quot;https://e.org/1.png&quot;&gt;",
        &["https://e.org/1.png"],
    ),
    // Ends that a reader sees.
    (
        "**https://e.org/1.png** _https://e.org/2.png_, `https://e.org/3.png`",
        &[
            "https://e.org/1.png",
            "https://e.org/2.png",
            "https://e.org/3.png",
        ],
    ),
    (
        "https://e.org/1.png,https://e.org/2.png;https://e.org/3.png",
        &[
            "https://e.org/1.png",
            "https://e.org/2.png",
            "https://e.org/3.png",
        ],
    ),
    (
        "https://e.org/1.png, 'https://e.org/2.png;' https://e.org/3.png;<b> (https://e.org/4.png;)",
        &[
            "https://e.org/1.png",
            "https://e.org/2.png",
            "https://e.org/3.png",
            "https://e.org/4.png",
        ],
    ),
    (
        "[img]https://e.org/1.png[/img] <!-- https://e.org/2.png-->",
        &["https://e.org/1.png", "https://e.org/2.png"],
    ),
    (
        "https://e.org/w_1,h_1/1.png https://e.org/a.png,h_1/2.png",
        &[
            "https://e.org/w_1,h_1/1.png",
            "https://e.org/a.png,h_1/2.png",
        ],
    ),
    (
        "|https://e.org/1.png|[https://e.org/2.png](x)|",
        &["https://e.org/1.png", "https://e.org/2.png"],
    ),
    (
        "https://e.org/1.png?x=1以及https://e.org/2.png(图)",
        &["https://e.org/1.png?x=1", "https://e.org/2.png"],
    ),
    (
        "https://e.org/1.png[b](https://e.org/2.png)",
        &["https://e.org/1.png", "https://e.org/2.png"],
    ),
    (
        "“https://e.org/1.PNG”…https://e.org/2.jpeg\u{a0}x",
        &["https://e.org/1.PNG", "https://e.org/2.jpeg"],
    ),
    (
        "https://例子.org/1.png！",
        &["https://xn--fsqu00a.org/1.png"],
    ),
    (
        "<https://e.org/my 1.png> <HTTP://E.org:80/2.png>",
        &["https://e.org/my%201.png", "http://e.org/2.png"],
    ),
    (
        "src=https://e.org/1.png> cover:https://e.org/2.png",
        &["https://e.org/1.png", "https://e.org/2.png"],
    ),
    // Escaped twice, as HTML in a feed.
    (
        r"&lt;img src=&quot;https://e.org/a.png?a=1&amp;amp;b=2&quot;&gt;",
        &["https://e.org/a.png?a=1&b=2"],
    ),
    // By number, as WordPress writes it.
    (
        r#"srcset="https://e.org/a.png?a=1&#038;b=2 600w, https://e.org/b.png?a=1&#x26;b=2""#,
        &["https://e.org/a.png?a=1&b=2", "https://e.org/b.png?a=1&b=2"],
    ),
    (
        "&#60;img src=&#034;https://e.org/c.png&#034;> https://e.org/d.png?a&#;b",
        &["https://e.org/c.png", "https://e.org/d.png?a&"],
    ),
    // Longer addresses.
    (
        "https://e.org/a.png;jsessionid=1 https://e.org/a.png,100 https://e.org/a.png;b.png",
        &["https://e.org/a.png;b.png"],
    ),
    (
        "https://web.archive.org/web/2020/https://e.org/a.png",
        &["https://web.archive.org/web/2020/https://e.org/a.png"],
    ),
    (
        "https://e.org/a.png/b https://e.org/a.png.html git+https://e.org/a.png xhttps://e.org/a.png",
        &[],
    ),
    (
        "/p?url=https://e.org/a.png ?a=b&url=https://e.org/a.png &amp;u=https://e.org/a.png",
        &[],
    ),
    (r"\u0026u=https://e.org/a.png /p/https://e.org/a.png", &[]),
    (
        r#"<img src="p?u= https://e.org/a.png"> ![a](p,https://e.org/a.png)"#,
        &[],
    ),
    ("https:// https://)", &[]),
    // An address that spans lines.
    ("<img src='https://e.org/a\n.png'>", &[]),
    // No Markdown image: a blank, and no end.
    ("![a](https://e.org/my cat) ![b](https://e.org/1", &[]),
];

#[test]
fn images_are_found_as_texts_write_them() {
    for (text, images) in IMAGES {
        assert_eq!(found(text.as_bytes()).0, *images, "{text}");
    }
}

#[test]
fn other_links_are_found_and_are_no_images() {
    for (text, links) in [
        (r#"<script src="https://e.org/x.js">"#, "https://e.org/x.js"),
        (
            r#"<iframe src="https://e.org/?u=https://e.org/r.png">"#,
            "https://e.org/?u=https://e.org/r.png",
        ),
        ("[a page](https://e.org/p.html)", "https://e.org/p.html"),
        ("http://image.jpg", "http://image.jpg/"),
        ("见https://e.org/p。", "https://e.org/p"),
        ("https://e.org/p…", "https://e.org/p"),
        (
            "(see https://e.org/wiki/A_(b).)",
            "https://e.org/wiki/A_(b)",
        ),
    ] {
        assert_eq!(
            found(text.as_bytes()),
            (vec![], vec![links.to_owned()]),
            "{text}"
        );
    }
}

#[test]
fn any_encoding_is_read() {
    let image = "https://e.org/a.png";
    for (before, after) in [
        // GBK: 见 and 乗, whose second byte is a backslash; a comma and a letter.
        (&b"\xbc\xfb"[..], &b"\xa3\xac\xd2\xd4"[..]),
        (b"\x81\x5c", b"\xd2\xd4"),
        (b"\x81\x61", b"\xa1\xa3"),
        // Latin-1, a byte-order mark, and bytes that are no text.
        (b"\xe9", b"\xe9t\xe9"),
        (b"\xef\xbb\xbf", b"\xff"),
    ] {
        let text = [before, image.as_bytes(), after].concat();
        let links = find(&text).links;
        assert_eq!(links.len(), 1, "{text:?}");
        assert_eq!(text[links[0].range.clone()], *image.as_bytes());
    }
    // No address ends within a target that is not UTF-8.
    assert_eq!(found(b"![a](https://e.org/a.png?\xd2\xd4=1)").1, [""; 0]);
}

#[test]
fn addresses_that_cannot_be_migrated_are_counted() {
    let found = find(
        b"![a](data:image/png;base64,AA==) <img src='DATA:x'> <img srcset='data:a,b 1x, b.png 2x'>
        ![b](../b.png) <img src=//e.org/a.png> [c](c.html) <a href=d.html> ![](ftp://e.org/a.png) ![]()",
    );
    assert_eq!((found.data, found.relative, found.links.len()), (3, 3, 0));
}

#[test]
fn the_fragment_is_no_part_of_a_link() {
    for text in [
        "https://e.org/a.png#b",
        "![a](https://e.org/a.png#b)",
        "<img src='https://e.org/a.png#b#c'>",
        "<https://e.org/a.png#b c>",
    ] {
        let links = find(text.as_bytes()).links;
        assert_eq!(&text[links[0].range.clone()], "https://e.org/a.png");
    }
}

#[test]
fn links_of_the_image_host_are_marked() {
    for (host, is_of_host) in [
        ("vip.123pan.cn", true),
        ("A.b.123pan.com:8443", true),
        ("123pan.cn", false),
        ("vip.123pan.cn.e.org", false),
        ("x123pan.com", false),
    ] {
        let links = find(format!("https://{host}/1/a.png").as_bytes()).links;
        assert_eq!(links[0].is_of_host, is_of_host, "{host}");
    }
}

#[test]
fn a_new_link_takes_the_form_of_the_old_one() {
    let new = "https://n.cn/1?a&b";
    for (old, is_markup, written) in [
        ("https://e.org/a.png", false, new),
        ("https://e.org/a.png", true, "https://n.cn/1?a&amp;b"),
        ("https://e.org/a?x&amp;y", false, "https://n.cn/1?a&amp;b"),
        ("https://e.org/a?x&y", false, new),
        (r"https:\/\/e.org\/a", false, r"https:\/\/n.cn\/1?a&b"),
        (
            "https://e.org/a?x&amp;amp;y",
            true,
            "https://n.cn/1?a&amp;amp;b",
        ),
        (
            r"https:\/\/e.org\/a?x&amp;y",
            true,
            r"https:\/\/n.cn\/1?a&amp;b",
        ),
        (
            r"https://e.org/a?x\u0026y",
            false,
            r"https://n.cn/1?a\u0026b",
        ),
    ] {
        assert_eq!(in_form_of(old.as_bytes(), new, is_markup), written, "{old}");
    }
}

/// Each of these texts, repeated, takes time in proportion to its length: quadratic time would be minutes.
#[test]
fn no_text_takes_quadratic_time() {
    for part in [
        "[",
        "![",
        "](",
        "](<",
        "](x(",
        "<a ",
        "<a x=\"",
        "<a x=\" x=\"",
        "<a x='<a x=\"",
        "<a x=\\\"",
        "https://",
        "https://a.png,",
        "https://e.org/a.png,b/",
        "https://a?u=https://",
        "图https://图",
        "u=",
        "\\u0026u=https://",
        "[a]:",
        "![a][",
        "<img srcset='a, ",
    ] {
        ends_soon(&part.repeat(60_000 / part.len()));
    }
    ends_soon(&format!("https://e.org/a.png{}/", ",a.png".repeat(15_000)));
    ends_soon(&format!("https://e.org/a.png{}/", ",".repeat(60_000)));
}

#[track_caller]
fn ends_soon(text: &str) {
    let started = Instant::now();
    find(text.as_bytes());
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{}",
        text.get(..40).unwrap_or_default()
    );
}
