//! Lists of `migrate`: spellings, names, invalid lines, and what is no list.

use std::fs;

use serde_json::{Value, json};

use crate::migrate::{Case, FAST, bodies, creations, list, url};
use crate::tool::SUCCEEDED;

#[test]
fn spellings_of_one_url_are_created_once_and_invalid_lines_are_told_at_once() {
    let case = Case::new(
        "https://e.org/图.png\nHTTPS://e.org:443/%e5%9b%be.png#a\nhttps://e.org/a.png,cat.png\n\
         https://e.org/a.heic\nhttps://user:pass@e.org/b.png\nhttp://192.168.1.2/c.png\n\
         https://e.org/w_100,h_100/d.jpg\n",
    );
    let run = case.migrate("");
    run.ends(2)
        .has_message("line 3 of urls.txt: invalid: https://e.org/a.png,cat.png: a name comes af")
        .has_message("line 4 of urls.txt: invalid: ")
        .has_message("line 5 of urls.txt: invalid: ")
        .has_message("line 6 of urls.txt: warning: http://192.168.1.2/c.png: the service cannot r")
        .has_message("6 images: 3 new, 3 invalid; 1 duplicate line")
        .has_message("see `pan123-offline report urls.txt --invalid`");
    let sent = &bodies(&case.service)[0]["url"];
    assert_eq!(*sent, "https://e.org/%E5%9B%BE.png");
    assert_eq!(case.counts(), json!({"succeeded": 3, "invalid": 3}));
    let invalid = case.report("--invalid");
    assert_eq!(invalid[0]["line"], 3);
    assert_eq!(invalid[0]["reason"], "a name comes after a TAB");
}

#[test]
fn strict_does_nothing_if_a_line_is_invalid() {
    let case = Case::new("https://e.org/a.png\nno URL\n");
    case.migrate("--strict").ends(2).has_message("line 2 of ");
    assert_eq!(case.service.request_count(), 0);
    assert!(!case.tool.path("urls.txt.db").exists());
}

/// Row 4.
#[test]
fn a_corrected_line_counts_no_longer() {
    let case = Case::new("https://e.org/a.png\nttps://e.org/b.png\n");
    case.migrate("").ends(2);
    case.write("https://e.org/a.png\nhttps://e.org/b.png\n");
    case.migrate("").ends(0);
    assert_eq!(case.counts(), json!({"succeeded": 2}));
    case.write("https://e.org/b.png\n");
    case.migrate("")
        .ends(0)
        .has_message("no longer in the list: 1 succeeded");
    let counts = json!({"succeeded": 1, "no_longer_in_list": 1});
    assert_eq!(case.counts(), counts);
    assert_eq!(case.report("")[1]["line"], Value::Null);
}

/// Row 5.
#[test]
fn an_edit_during_the_run_changes_nothing() {
    let case = Case::new(&list(3));
    let path = case.tool.path("urls.txt");
    case.service.new_tasks(move |_, _| {
        fs::write(&path, "https://nobody.example/wrote.png\n").unwrap();
        vec![SUCCEEDED]
    });
    case.migrate("").ends(0);
    let expected = (0..3).map(|number| (url(number), 1));
    assert_eq!(creations(&case.service), expected.collect());
}

/// Row 7.
#[test]
fn a_name_that_is_added_later_creates_nothing_again() {
    let case = Case::migrated(&list(2));
    case.write(&format!("{}\tcat.png\n{}\n", url(0), url(1)));
    case.migrate("")
        .ends(0)
        .has_message("cat.png: its name comes too late: the task was created before");
    assert_eq!(bodies(&case.service).len(), 2);
    assert!(!case.migrate("").stderr.contains("too late"));
    case.write(&list(1));
    let run = case.migrate("");
    run.ends(0).has_message("; 1 image: 1 succeeded\n");
}

/// Row 24.
#[test]
fn what_is_no_list_makes_no_state() {
    let case = Case::new("# nothing\n\n");
    let database = "SQLite format 3\0\nCREATE";
    case.tool.write("folder/urls.txt.db", database);
    for (arguments, text) in [
        ("migrate folder/urls.txt.db", "is no text"),
        ("migrate folder", "is a folder"),
        ("migrate urls.txt", "is empty"),
        ("migrate none.txt", "none.txt: "),
        ("migrate -", "--state"),
        ("migrate - --state x.db", "is empty"),
        #[cfg(unix)]
        ("migrate /dev/null", "--state"),
    ] {
        case.tool.run(arguments).is_rejected(text);
    }
    assert_eq!(case.tool.names(""), ["folder", "urls.txt"]);
    let command = format!("migrate - --state x.db {FAST}");
    let run = case.tool.feed(&command, list(2));
    run.ends(0).has_message("state x.db (new)");
    case.tool.run("status - --state x.db").ends(0);
}

#[test]
fn sends_a_name_of_its_own_for_each_image() {
    let case = Case::new(
        "https://e.org/a/cat.png\nhttps://e.org/b/cat.png\nhttps://e.org/640?wx_fmt=jpeg\n\
         https://e.org/q.image\nhttps://e.org/c.png\tmy cat.png\n",
    );
    case.migrate("--directory 77").ends(0);
    let bodies = bodies(&case.service);
    let names = bodies.iter().map(|body| body["fileName"].as_str());
    let names: Vec<_> = names.map(|name| name.unwrap_or("-")).collect();
    let [first, second, third, "-", "my cat.png"] = names[..] else {
        panic!("{names:?}")
    };
    assert!(first.starts_with("cat-") && second.starts_with("cat-") && first != second);
    assert!(third.starts_with("640-") && third.ends_with(".jpeg"));
    assert!(bodies.iter().all(|body| body["businessDirID"] == "77"));
    assert_eq!(case.report("")[0]["file_name"], first);
}
