use std::time::{Duration, Instant};

use super::*;

/// The table of issue 26, and more rows of each kind: a text and the images in it. `$` stands for `https://e.org/`,
/// `⏎` for a line feed.
const IMAGES: &str = r##"
![a]($a.png "title") → $a.png
![b](<$my cat.png>) → $my%20cat.png
![x](https://m.org/640?wx_fmt=png) → https://m.org/640?wx_fmt=png
[2]: $b.jpg → $b.jpg
<img src='$c.png?x=1&amp;y=2'> → $c.png?x=1&y=2
<img src=$d.png> → $d.png
srcset="$s1.png 1x, $s2.png 2x" → $s1.png $s2.png
cover: $e.webp → $e.webp
url($f.gif) → $f.gif
"https:\/\/e.org\/g.png" → $g.png
见$h.png，以及 $i.png。 → $h.png $i.png
$图/j.png → $%E5%9B%BE/j.png
$%E5%9B%BE/j.png → $%E5%9B%BE/j.png
$k_(1).png → $k_(1).png
($l.png) → $l.png
$m.png. → $m.png
$n.png#pic_center → $n.png
![A->C]($A->C.png) → $A-%3EC.png
[![b]($o.svg)]($page) → $o.svg
![w]($q~tplv-watermark.image) → $q~tplv-watermark.image
<script src="$x.js"> →
<iframe src="$?u=$r.png"> →
[a page]($p.html) →
http://image.jpg →

Targets of images without an ending.
<IMG alt='a<b > c' data-src = "$1"/> → $1
<video poster="$1" src="$2"> → $1
<source srcset='$w_1,h_1/1 1x,$2,⏎ $3'> → $w_1,h_1/1 $2 $3
<img⏎src="$my cat"⏎> → $my%20cat
![a][l]⏎⏎[L]: $1⏎[m]: $2⏎![m]($3) → $1 $3
![l]⏎⏎  [l]: <$my 1> → $my%201
![a [b] c]($1 =9x9) ![d]( $2 'e' ) → $1 $2
![a]($a\_\(b) → $a_(b
![a]($a}.png) ![b]($b]c.png) ![c]($c[1]) → $a%7D.png $b]c.png $c[1]
![a [b] c][l]⏎\![d][m]⏎⏎[l]: $1⏎[m]: $2 → $1
\![a]($1) !\[a]($2) ![a\]($3) →

Texts within JSON.
"a\nhttps:\/\/e.org\/1.png\n<img src=\"https:\/\/e.org\/2\" \/>" → $1.png $2
"![a]($1 \"b\")\n![c]($2)" → $1 $2
"$\u56fe.png?x=1\u0026y=2" → $%E5%9B%BE.png?x=1&y=2
"https:\u002F\u002Fe.org\u002fj.png" {"a":"\u002Fp\u002Fhttps:\u002F\u002Fe.org\u002fk.png"} → $j.png
&lt;img src=&quot;$1.png&quot;&gt; → $1.png

Ends that a reader sees.
**$1.png** _$2.png_, `$3.png` → $1.png $2.png $3.png
$1.png,$2.png;$3.png → $1.png $2.png $3.png
$1.png, '$2.png;' $3.png;<b> ($4.png;) → $1.png $2.png $3.png $4.png
[img]$1.png[/img] <!-- $2.png--> → $1.png $2.png
$w_1,h_1/1.png $a.png,h_1/2.png → $w_1,h_1/1.png $a.png,h_1/2.png
|$1.png|[$2.png](x)| → $1.png $2.png
$1.png?x=1以及$2.png(图) → $1.png?x=1 $2.png
$1.png[b]($2.png) → $1.png $2.png
“$1.PNG”…$2.jpeg&nbsp;x → $1.PNG $2.jpeg
https://例子.org/1.png！ → https://xn--fsqu00a.org/1.png
<$my 1.png> <HTTP://E.org:80/2.png> → $my%201.png http://e.org/2.png
src=$1.png> cover:$2.png → $1.png $2.png

Escaped twice, as HTML in a feed, and by number, as WordPress writes it.
&lt;img src=&quot;$a.png?a=1&amp;amp;b=2&quot;&gt; → $a.png?a=1&b=2
&lt;img src=&quot;$a.png?a=1&amp;#038;b=2&amp;quot; → $a.png?a=1&b=2
srcset="$a.png?a=1&#038;b=2 600w, $b.png?a=1&#x26;b=2" → $a.png?a=1&b=2 $b.png?a=1&b=2
&#60;img src=&#034;$c.png&#034;> $d.png?a&#;b → $c.png $d.png?a&

Longer addresses.
$a.png;jsessionid=1 $a.png,100 $a.png;b.png → $a.png;b.png
https://web.archive.org/web/2020/$a.png → https://web.archive.org/web/2020/$a.png
$a.png/b $a.png.html $a.pngx git+$a.png xhttps://e.org/a.png →
$a.png?x=1 $a.png.webp $a.png\u003fx → $a.png?x=1 $a.png.webp $a.png?x
/p?url=$a.png ?a=b&url=$a.png &amp;u=$a.png →
\u0026u=$a.png /p/$a.png →
<img src="p?u= $a.png"> ![a](p,$a.png) →
https:// https://) →

An address that spans lines. No Markdown image: a blank, and no end.
<img src='$a⏎.png'> →
![a]($my cat) ![b]($1 →
"##;

/// Links that are no images.
const OTHER: &str = r#"
<script src="$x.js"> → $x.js
<iframe src="$?u=$r.png"> → $?u=$r.png
[a page]($p.html) → $p.html
http://image.jpg → http://image.jpg/
见$p。 → $p
$p… → $p
(see $wiki/A_(b).) → $wiki/A_(b)
"#;

/// The texts of a table, and the links of each.
fn rows(table: &str) -> impl Iterator<Item = (String, Vec<String>)> {
    let rows = table.lines().filter_map(|row| row.split_once(" →"));
    let whole = |part: &str| part.replace('$', "https://e.org/").replace('⏎', "\n");
    rows.map(move |(text, links)| (whole(text), links.split_whitespace().map(whole).collect()))
}

/// The addresses in a text, of images or of other links.
fn found(text: &[u8], is_image: bool) -> Vec<String> {
    let links = find(text).links.into_iter();
    let links = links.filter(|link| link.is_image == is_image);
    links.map(|link| link.url.sent).collect()
}

#[test]
fn images_are_found_as_texts_write_them() {
    for (text, images) in rows(IMAGES) {
        assert_eq!(found(text.as_bytes(), true), images, "{text}");
    }
}

#[test]
fn other_links_are_found_and_are_no_images() {
    for (text, links) in rows(OTHER) {
        assert_eq!(found(text.as_bytes(), false), links, "{text}");
        assert_eq!(found(text.as_bytes(), true), [""; 0], "{text}");
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
    assert!(
        find(b"![a](https://e.org/a.png?\xd2\xd4=1)")
            .links
            .is_empty()
    );
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
    for text in ["$#b", "![a]($#b)", "<img src='$#b#c'>", "<$#b c>"] {
        let text = text.replace('$', "https://e.org/a.png");
        let links = find(text.as_bytes()).links;
        assert_eq!(&text[links[0].range.clone()], "https://e.org/a.png");
    }
}

#[test]
fn links_of_the_image_host_are_marked() {
    let is_of_host = |host| find(format!("https://{host}/a.png").as_bytes()).links[0].is_of_host;
    assert!(is_of_host("vip.123pan.cn") && is_of_host("A.b.123pan.com:8443"));
    for host in ["123pan.cn", "vip.123pan.cn.e.org", "x123pan.com"] {
        assert!(!is_of_host(host), "{host}");
    }
}

/// A part of an old link, and that of the new link which follows it, in a text and in markup.
#[test]
fn a_new_link_takes_the_form_of_the_old_one() {
    for (old, new, markup) in [
        ("/a.png", "/1?a&b", "/1?a&amp;b"),
        ("/a?x&y", "/1?a&b", "/1?a&amp;b"),
        ("/a?x&amp;y", "/1?a&amp;b", "/1?a&amp;b"),
        ("/a?x&#038;y", "/1?a&#038;b", "/1?a&#038;b"),
        ("/a?x&amp;amp;y", "/1?a&amp;amp;b", "/1?a&amp;amp;b"),
        (r"\/a", r"\/1?a&b", r"\/1?a&amp;b"),
        (r"\/a?x&amp;y", r"\/1?a&amp;b", r"\/1?a&amp;b"),
        (
            r"\u002Fa?x\u0026y",
            r"\u002F1?a\u0026b",
            r"\u002F1?a\u0026b",
        ),
    ] {
        let in_form = |is_markup| in_form_of(old.as_bytes(), "/1?a&b", is_markup);
        assert_eq!((&*in_form(false), &*in_form(true)), (new, markup), "{old}");
    }
}

/// Each of these texts, repeated, takes time in proportion to its length: quadratic time would be minutes.
#[test]
#[rustfmt::skip]
fn no_text_takes_quadratic_time() {
    let parts = [
        "[", "![", "](", "](<", "](x(", "](x[](", "[a]:", "![a][", "![a]", "<a ", "<a x=\"", "<a x=\" x=\"",
        "<a x='<a x=\"", "<a x=\\\"", "<img srcset='a, ", "https://", "https://a.png,", "https://e.org/a.png,b/",
        "https://a?u=https://", "图https://图", "图", "u=", "u=https://", "\\u0026u=https://", "&amp;",
    ];
    let mut texts: Vec<_> = parts.iter().map(|part| part.repeat(30_000 / part.len())).collect();
    texts.extend([",a.png", ",", "图", "&amp;"].map(|part| format!("https://e.org/a.png{}/", part.repeat(15_000))));
    for text in texts {
        let started = Instant::now();
        find(text.as_bytes());
        let start = text.chars().take(40).collect::<String>();
        assert!(started.elapsed() < Duration::from_secs(20), "{start}");
    }
}
