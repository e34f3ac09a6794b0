//! `links`: where the images are. Which file is which image is a table of the unit tests.

use pan123_offline::testing::{Reply, Request};
use serde_json::{Value, json};

use crate::migrate::{Case, bodies, list, url};
use crate::tool::{Run, until};

fn success(data: &Value) -> Reply {
    Reply::json(json!({"code": 0, "message": "ok", "data": data}).to_string())
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

impl Case {
    #[track_caller]
    fn links(&self, options: &str) -> Run {
        self.tool.run(&format!("links urls.txt {options}"))
    }

    /// Changes the files of each page before it is sent.
    fn change_files(&self, change: impl Fn(&mut Value)) {
        let files = bodies(&self.service).into_iter().map(|task| {
            let (name, url) = (&task["fileName"], &task["url"]);
            let mut file = json!({"fileId": name, "filename": name, "downloadURL": url});
            change(&mut file);
            file
        });
        let page = json!({"fileList": files.collect::<Vec<_>>(), "lastFileId": "-1"});
        self.service.reply_with(move |request| {
            let is_page = body(request)["parentFileId"] == "offline-downloads==";
            is_page.then(|| success(&page))
        });
    }
}

#[test]
fn prints_old_and_new_links_in_the_order_of_the_list_and_asks_once() {
    let case = Case::migrated(
        "HTTPS://images.example:443/b.png#x\nhttps://images.example/fail.png\n\
         https://images.example/a.jpg\thouse.jpg\n",
    );
    let run = case.links("");
    run.ends(0).has_message("2 links; not arrived: 1 failed\n");
    let [first, second] = run.stdout.lines().collect::<Vec<_>>()[..] else {
        panic!("{run:#?}")
    };
    assert!(first.starts_with("HTTPS://images.example:443/b.png#x\thttps://vip.123pan.cn/1/"));
    assert!(second.starts_with("https://images.example/a.jpg\thttps://vip.123pan.cn/1/"));
    assert!(first.ends_with(".png"), "{run:#?}");
    assert!(second.ends_with(".jpg"), "{run:#?}");

    let requests = case.service.request_count();
    case.links("-q").ends(0).is_quiet().prints(&run.stdout);
    let objects = case.links("--json").ends(0).json();
    assert_eq!(case.service.request_count(), requests, "nothing is sent");
    assert_eq!(objects.len(), 2);
    let object = &objects[1];
    let columns = format!("{}\t{}", object["url"], object["link"]).replace('"', "");
    assert_eq!(columns, second);
    assert_eq!(object["file_name"], "house.jpg");
    assert_eq!(object["moderation"], 0);
    assert!(object["file_id"].is_string() && object["size"].is_u64());

    case.links("--refresh").ends(0).prints(&run.stdout);
    assert_eq!(case.service.request_count(), requests + 2);
    // Offline, and without an account.
    let tool = case.tool.without("PAN123_ACCESS_TOKEN");
    tool.run("links urls.txt").ends(0).prints(&run.stdout);
    tool.run("links urls.txt --refresh").ends(2);
}

#[test]
fn a_folder_is_listed_once_and_the_default_one_is_found_by_its_name() {
    let case = Case::new(&list(2));
    case.migrate("--directory 77== -q").ends(0);
    case.write(&list(4));
    case.migrate("-q").ends(0);
    let requests = case.service.request_count();
    case.links("").ends(0).has_message("4 links\n");
    let sent = &case.service.requests()[requests..];
    let is_list = |request: &Request| request.path.ends_with("/file/list");
    assert!(sent.iter().all(is_list));
    let folders = sent
        .iter()
        .map(|request| body(request)["parentFileId"].take());
    let folders: Vec<_> = folders.collect();
    assert_eq!(folders, ["", "offline-downloads==", "77=="]);
}

#[test]
fn a_file_with_the_name_of_the_default_folder_is_not_it() {
    let case = Case::migrated(&list(1));
    let file = json!({"fileId": "x", "filename": "来自:离线下载", "type": 0});
    let page = json!({"fileList": [file], "lastFileId": "-1"});
    case.service.reply_next(success(&page));
    let run = case.links("");
    run.ends(1).prints("");
    run.has_message("/00000.png: there is no folder 来自:离线下载\n");
    case.links("").ends(0);
}

#[test]
fn of_two_urls_with_equal_bytes_one_has_the_link_and_the_other_is_told() {
    let case = Case::migrated(&list(2));
    let known = case.links("").stdout;
    case.service.same_image(&url(2), &url(0));
    case.write(&list(3));
    case.migrate("-q").ends(0);
    // The file has the name of the later one by now, and stays with the first.
    case.links("")
        .ends(1)
        .prints(&known)
        .has_message(&format!("{}: no file 00002-", url(2)))
        .has_message("an image with the same bytes may have taken its place")
        .has_message("2 links; 1 image without one\n");
    let run = case.links("--refresh");
    run.ends(1)
        .has_message(&format!("{}: no file 00000-", url(0)))
        .has_message("2 links; 1 image without one\n");
    let link = known.lines().next().unwrap().replace(&url(0), &url(2));
    assert!(run.stdout.contains(&link), "{run:#?}");
}

#[test]
fn an_image_that_was_sent_without_a_name_is_told_and_not_looked_for() {
    let case = Case::migrated("https://images.example/q~tplv-watermark.image\n");
    let requests = case.service.request_count();
    let run = case.links("");
    run.ends(1).prints("");
    run.has_message(".image: it was sent without a name");
    assert_eq!(case.service.request_count(), requests);
}

#[test]
fn what_the_service_sends_is_not_trusted() {
    let case = Case::migrated(&list(5));
    case.change_files(|file| match &file["filename"].as_str().unwrap()[..5] {
        "00000" => file["downloadURL"] = "https://e.org/a\"><b>(1)\\.png".into(),
        "00001" => file["downloadURL"] = "https://user:sesame@e.org/a.png".into(),
        "00002" => file["userSelfURL"] = "javascript:alert(1)".into(),
        "00003" => file["status"] = 101.into(),
        _ => file["filename"] = "\u{1b}[2J.png".into(),
    });
    let run = case.links("");
    let link = "https://e.org/a%22%3E%3Cb%3E%281%29%5C.png";
    run.ends(1).prints(&format!("{}\t{link}\n", url(0)));
    for (number, reason) in [
        (1, "its link is no http"),
        (2, "its link is no http"),
        (3, "the service's moderation has rejected it"),
        (4, "no file 00004-"),
    ] {
        run.has_message(&format!("{}: {reason}", url(number)));
    }
    assert!(!run.stderr.contains("sesame"), "{run:#?}");
    case.tool.write("post.md", url(3));
    let run = case.tool.run("rewrite urls.txt post.md");
    run.has_message("1 old link remains: 1 rejected by the service's moderation\n");
    // Later it is accepted.
    case.service.reply_with(|_| None);
    case.links("").ends(0).has_message("5 links\n");
}

#[test]
fn known_links_are_printed_although_a_request_fails() {
    let case = Case::migrated(&list(1));
    let known = case.links("").stdout;
    case.write(&list(2));
    case.migrate("-q").ends(0);
    for (code, message, exit_code, text) in [
        (401, "token is expired", 3, "token is expired"),
        (5066, "file not found", 5, "the folder 来自:离线下载: "),
    ] {
        case.service.reply_next(Reply::code(code, message));
        let run = case.links("");
        run.ends(exit_code).prints(&known).has_message(text);
        run.has_message("1 link; 1 image without one\n");
    }
    // A request that is repeated.
    case.service.reply_next(Reply::new(503));
    case.links("").ends(0).has_message("2 links\n");
}

#[test]
fn a_state_of_this_service_is_needed() {
    let case = Case::migrated(&list(1));
    let requests = case.service.request_count();
    // `$` stands for the list.
    for command in ["links $", "status $", "report $", "rewrite $ ."] {
        let run = case.tool.run(&command.replace('$', "other.txt"));
        run.is_rejected("there is no state other.txt.db");
        let run = case.tool.run(&command.replace('$', "-"));
        run.is_rejected("--state");
    }
    let run = case.links("--base-url http://127.0.0.1:9");
    run.is_rejected("belongs to the service");
    assert_eq!(case.service.request_count(), requests);
}

#[test]
fn links_are_found_while_a_migration_runs() {
    let case = Case::new(&list(2));
    let command = "migrate urls.txt --rate inf --create-rate 0.01";
    let running = case.tool.start(command, "");
    assert!(until(|| case.service.request_count() >= 2));
    assert!(until(|| case.links("-q").stdout.lines().count() == 1));
    drop(running);
    case.migrate("").ends(0);
    case.links("").ends(0).has_message("2 links\n");
}
