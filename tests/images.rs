//! Images: decoding, one image, the pages of a folder, and the files of the stand-in.

mod support;

use std::time::Duration;

use pan123_offline::testing::{Reply, Request, Service};
use pan123_offline::{
    Callback, Client, Error, ErrorCode, Image, NewTask, Progress, Result, Status,
};
use serde_json::{Value, json};
use support::{builder, client, retry_at_once};

const LIST: &str = "/api/v1/oss/file/list";
const DONE: Progress = Progress::new(Status::Succeeded, 100);

/// The sample of the service's documentation, with a domain of the user's own.
fn sample() -> Value {
    json!({
        "fileId": "yk6==",
        "filename": "cat.png",
        "type": 0,
        "size": 187_512,
        "etag": "e9a6a4b3f8a2a4e8f1c9a9d8b7c6d5e4",
        "status": 2,
        "createAt": "2025-03-03 15:37:34",
        "updateAt": "2025-03-03 16:38:26",
        "downloadURL": "https://vip.123pan.cn/1/yk6==.png",
        "userSelfURL": "https://img.example.org/1/yk6==.png",
        "totalTraffic": 0,
        "parentFileId": "dir==",
        "parentFilename": "posts",
        "extension": "png",
    })
}

/// Returns the sample with another value of a field.
fn changed(name: &str, value: impl Into<Value>) -> Value {
    let mut image = sample();
    image[name] = value.into();
    image
}

fn success(data: &Value) -> Reply {
    Reply::json(json!({"code": 0, "message": "ok", "data": data}).to_string())
}

fn page(files: &[Value], last_file_id: impl Into<Value>) -> Reply {
    success(&json!({"fileList": files, "lastFileId": last_file_id.into()}))
}

/// Returns the image of a response.
fn decode(response: &Value) -> Result<Image> {
    let service = Service::start().unwrap();
    service.reply_next(success(response));
    client(&service).image("id")
}

/// Returns the items of a folder whose only page is this response.
fn list(response: &Value) -> Vec<Result<Image>> {
    let service = Service::start().unwrap();
    service.reply_next(success(response));
    let images = client(&service).images("dir").collect();
    assert_eq!(service.request_count(), 1, "{response}");
    images
}

// ---- Decoding. `responses.rs` has the forms of a number.

#[test]
fn decodes_each_field() {
    let image = decode(&sample()).unwrap();
    let expected = json!({
        "file_id": "yk6==", "name": "cat.png", "directory_id": "dir==",
        "etag": "e9a6a4b3f8a2a4e8f1c9a9d8b7c6d5e4",
        "created_at": "2025-03-03 15:37:34", "updated_at": "2025-03-03 16:38:26",
        "url": "https://vip.123pan.cn/1/yk6==.png",
        "custom_url": "https://img.example.org/1/yk6==.png",
        "size": 187_512, "is_directory": false, "status": 2,
    });
    assert_eq!(serde_json::to_value(&image).unwrap(), expected);
    // The service may leave out the other fields, or send `null`.
    let mut nulls = sample();
    for (name, value) in nulls.as_object_mut().unwrap() {
        if !["fileId", "filename"].contains(&name.as_str()) {
            *value = Value::Null;
        }
    }
    let expected = json!({
        "file_id": "yk6==", "name": "cat.png", "directory_id": "", "etag": "",
        "created_at": "", "updated_at": "", "url": "", "custom_url": null,
        "size": 0, "is_directory": false, "status": 0,
    });
    for data in [json!({"fileId": "yk6==", "filename": "cat.png"}), nulls] {
        let image = decode(&data).unwrap();
        assert_eq!(serde_json::to_value(&image).unwrap(), expected);
    }
}

#[test]
fn decodes_other_types_of_fields() {
    for (name, value, field, expected) in [
        ("fileId", json!(100.0), "file_id", json!("100")),
        ("parentFileId", json!(0), "directory_id", json!("0")),
        ("filename", json!(7), "name", json!("7")),
        ("size", json!("5"), "size", json!(5)),
        ("size", json!(u64::MAX), "size", json!(u64::MAX)),
        ("type", json!("1"), "is_directory", json!(true)),
        ("type", json!(2), "is_directory", json!(false)),
        ("status", json!("-1"), "status", json!(-1)),
        ("createAt", json!(1740), "created_at", json!("1740")),
    ] {
        let image = decode(&changed(name, value)).unwrap();
        let image = serde_json::to_value(&image).unwrap();
        assert_eq!(image[field], expected, "{name}");
    }
    for data in [
        json!({"filename": "cat.png"}),
        json!({"fileId": "yk6=="}),
        changed("fileId", Value::Null),
        changed("fileId", ""),
        changed("fileId", true),
        changed("filename", ""),
        changed("downloadURL", json!(["https://vip.123pan.cn/a.png"])),
        changed("size", -1),
        changed("status", 1.5),
        json!([]),
    ] {
        let image = decode(&data);
        assert!(matches!(image, Err(Error::Decode(_))), "{data}: {image:?}");
        // In a page, too: none is left out.
        let images = list(&json!({"fileList": [sample(), data], "lastFileId": "-1"}));
        assert!(matches!(images[..], [Err(Error::Decode(_))]), "{images:?}");
    }
}

#[test]
fn link_is_the_users_own_and_a_status_above_100_is_a_rejection() {
    let image = decode(&changed("userSelfURL", "")).unwrap();
    assert_eq!(image.link(), "https://vip.123pan.cn/1/yk6==.png");
    for (status, is_rejected) in [(100, false), (101, true), (i64::MAX, true)] {
        let image = decode(&changed("status", status)).unwrap();
        assert_eq!(image.link(), "https://img.example.org/1/yk6==.png");
        assert_eq!(image.is_rejected(), is_rejected, "{status}");
    }
}

// ---- Requests.

#[test]
fn requests_one_image_by_its_encoded_id() {
    let service = Service::start().unwrap();
    service.reply_next(retry_at_once(Reply::new(503)));
    service.reply_next(success(&sample()));
    let client = builder(service.base_url()).retries(1).build().unwrap();
    client.image("图 a/b?c&d+e%f#g.-_~==").unwrap();
    let [_, request] = <[Request; 2]>::try_from(service.requests()).unwrap();
    assert_eq!((&*request.method, request.body.len()), ("GET", 0));
    assert_eq!(request.path, "/api/v1/oss/file/detail");
    let query = "fileID=%E5%9B%BE%20a%2Fb%3Fc%26d%2Be%25f%23g.-_~%3D%3D";
    assert_eq!(request.query.as_deref(), Some(query));

    // Nothing is sent for an id that cannot be one.
    for file_id in ["", &"x".repeat(257)] {
        assert!(matches!(client.image(file_id), Err(Error::Config(_))));
    }
    assert_eq!(service.request_count(), 2);
    for error in [
        client.image(&"图".repeat(85)).unwrap_err(),
        client.images("unknown").next().unwrap().unwrap_err(),
    ] {
        assert_eq!(error.code(), Some(ErrorCode::FILE_NOT_FOUND), "{error:?}");
    }
}

/// Returns the body of each request for a page.
fn page_requests(service: &Service) -> Vec<Value> {
    let mut requests = service.requests();
    requests.retain(|request| request.path == LIST);
    let body = |request: &Request| serde_json::from_slice(&request.body).unwrap();
    requests.iter().map(body).collect()
}

fn numbered(numbers: std::ops::Range<usize>) -> Vec<Value> {
    let image = |number| changed("fileId", format!("id{number}"));
    numbers.map(image).collect()
}

#[test]
fn yields_the_files_of_all_pages_in_order() {
    let service = Service::start().unwrap();
    service
        .reply_next(page(&numbered(0..100), "id99"))
        .reply_next(page(&[], "empty"))
        .reply_next(page(&numbered(100..150), 1234))
        .reply_next(page(&numbered(150..151), "-1"));
    let mut images = client(&service).images("dir==");
    let text = format!("{images:?}");
    assert_eq!(text, r#"Images { directory_id: "dir==", .. }"#);

    // A page is requested when it is needed.
    assert_eq!(service.request_count(), 0);
    let mut items: Vec<_> = images.by_ref().take(100).map(Result::unwrap).collect();
    assert_eq!(service.request_count(), 1);
    items.extend(images.by_ref().map(Result::unwrap));
    assert_eq!(items.len(), 151);
    for (number, item) in items.iter().enumerate() {
        assert_eq!(item.file_id, format!("id{number}"));
    }
    assert!(images.next().is_none() && images.next().is_none());

    let first = json!({"parentFileId": "dir==", "limit": 100, "type": 1});
    let mut expected = vec![first; 4];
    for (request, last) in expected[1..].iter_mut().zip(["id99", "empty", "1234"]) {
        request["lastFileId"] = last.into();
    }
    assert_eq!(page_requests(&service), expected);
    assert_eq!(service.connection_count(), 1);
}

#[test]
fn the_last_page_is_minus_one_and_a_page_without_its_end_is_an_error() {
    for last in [json!("-1"), json!(-1), json!(-1.0)] {
        for (files, expected) in [(json!([sample()]), 1), (json!([]), 0), (Value::Null, 0)] {
            let images = list(&json!({"fileList": files, "lastFileId": last}));
            assert_eq!(images.len(), expected, "{files} {last}");
            assert!(images.iter().all(Result::is_ok), "{images:?}");
        }
    }
    for data in [
        json!({"fileList": [sample()]}),
        json!({"fileList": [sample()], "lastFileId": null}),
        json!({"fileList": [sample()], "lastFileId": ""}),
        json!({"fileList": {}, "lastFileId": "-1"}),
        json!({"lastFileId": "-1"}),
        json!([]),
    ] {
        let images = list(&data);
        assert!(matches!(images[..], [Err(Error::Decode(_))]), "{data}");
    }
}

#[test]
fn circle_of_pages_is_an_error() {
    for circle in [
        &[json!("a"), json!("a")][..],
        &[json!("1"), json!(2), json!("2")],
        &[json!("a"), json!("b"), json!("c"), json!("a")],
    ] {
        let service = Service::start().unwrap();
        for last in circle.iter().chain(circle) {
            service.reply_next(page(&[sample()], last.clone()));
        }
        let mut images = client(&service).images("dir");
        for _ in 1..circle.len() {
            assert!(images.next().unwrap().is_ok());
        }
        let error = images.next().unwrap().unwrap_err();
        assert!(matches!(error, Error::Decode(_)), "{error:?}");
        assert!(error.to_string().contains("`lastFileId`"), "{error}");
        assert!(images.next().is_none());
        assert_eq!(service.request_count(), circle.len(), "{circle:?}");
    }
}

#[test]
fn page_is_retried_and_replayed_and_an_error_is_the_last_item() {
    let service = Service::start().unwrap();
    let client = builder(service.base_url()).retries(1).build().unwrap();
    service
        .reply_next(page(&[sample()], "a"))
        // Retried: a creation would not be.
        .reply_next(retry_at_once(Reply::new(502)))
        .reply_next(page(&[sample()], "b"))
        // Replayed, and then retried.
        .reply_next(Reply::nothing())
        .reply_next(retry_at_once(Reply::new(502)))
        .reply_next(page(&[sample()], "c"))
        .reply_next(Reply::code(1, "no such folder"));
    let mut images = client.images("dir");
    assert_eq!(images.by_ref().take(3).filter(Result::is_ok).count(), 3);
    assert!(matches!(images.next(), Some(Err(Error::Api(_)))));
    assert!(images.next().is_none() && images.next().is_none());
    let requests = page_requests(&service);
    let last_ids = requests.iter().map(|body| body["lastFileId"].as_str());
    let last_ids: Vec<_> = last_ids.map(Option::unwrap_or_default).collect();
    assert_eq!(last_ids, ["", "a", "a", "b", "b", "b", "c"]);
}

#[test]
fn pages_wait_for_the_pace_and_for_pauses_and_count_for_the_pace() {
    const GAP: Duration = Duration::from_millis(300);
    let service = Service::start().unwrap();
    // A 429 without `Retry-After` pauses for 1 s.
    service.reply_next(Reply::code(429, "slow down"));
    service.reply_next(page(&[sample()], "a"));
    service.reply_next(page(&[sample()], "-1"));
    service.task(1, [DONE]);
    let paced = builder(service.base_url()).min_request_gap(GAP);
    let client = paced.build().unwrap();
    client.get_process(1).unwrap_err();
    assert_eq!(client.images("dir").filter(Result::is_ok).count(), 2);
    client.wait(1).run().unwrap();
    let requests = service.requests();
    // The client measures from before a request is sent, the stand-in when it has arrived.
    let elapsed = requests[3].at - requests[0].at;
    let expected = Duration::from_secs(1) + GAP * 2 - GAP / 2;
    assert!(elapsed >= expected, "{elapsed:?}");

    service.reply_next(Reply::code(429, "slow down").header("Retry-After", "3600"));
    client.get_process(1).unwrap_err();
    let error = client.images("dir").next().unwrap().unwrap_err();
    assert!(error.is_rate_limited());
    assert_eq!(service.request_count(), 5);
}

#[test]
fn page_may_have_1_mib() {
    for (len, fits) in [(1024 * 1024, true), (1024 * 1024 + 1, false)] {
        let service = Service::start().unwrap();
        let data = json!({"fileList": [sample()], "lastFileId": "-1"});
        let mut body = json!({"code": 0, "data": data}).to_string();
        body += &" ".repeat(len - body.len());
        service.reply_next(Reply::json(body));
        match client(&service).images("dir").next().unwrap() {
            Ok(_) => assert!(fits),
            Err(error) => {
                assert!(!fits && error.to_string().contains("1024 KiB"), "{error}");
            }
        }
    }
}

// ---- The files of the stand-in.

/// Creates a task, follows it to its end, and returns its file.
fn migrate(client: &Client, service: &Service, task: NewTask) -> Image {
    let task_id = client.create_task(&task).unwrap();
    assert_eq!(service.callback(task_id), None);
    client.wait(task_id).run().unwrap();
    let callback = service.callback(task_id).unwrap();
    let file_id = Callback::from_slice(&callback).unwrap().file_id.unwrap();
    client.image(&file_id).unwrap()
}

fn new_task(name: &str) -> NewTask {
    NewTask::new(format!("https://e.org/{name}"))
}

#[test]
fn succeeded_task_makes_a_file_in_its_folder() {
    let service = Service::start().unwrap();
    service.new_tasks(|_, _| vec![DONE]);
    let client = client(&service);
    assert_eq!(client.images("").count(), 0);
    let named = new_task("dog").file_name("狗.webp").directory("posts");
    for (task, name, folder) in [
        (new_task("a/cat.png?x=/y.gif"), "cat.png", "来自:离线下载"),
        (named, "狗.webp", "posts"),
        // The same bytes in the same folder.
        (new_task("dog").directory("posts"), "dog.png", "posts"),
    ] {
        let image = migrate(&client, &service, task);
        assert_eq!((&*image.name, image.is_directory), (name, false));
        assert!(image.size > 0 && image.etag.len() == 32 && image.file_id.ends_with("=="));
        assert!(image.link().starts_with("https://vip.123pan.cn/"));
        let mut root = client.images("").map(Result::unwrap);
        let folder = root.find(|found| found.name == folder).unwrap();
        assert!(folder.is_directory);
        assert_eq!(client.image(&folder.file_id).unwrap(), folder);
        let images: Result<Vec<_>> = client.images(&folder.file_id).collect();
        assert_eq!(images.unwrap(), [image]);
    }
    // A task that fails makes a file only if it succeeds later.
    service.new_tasks(|_, _| vec![Progress::new(Status::Failed, 50)]);
    let task_id = client.create_task(&new_task("a.png")).unwrap();
    client.wait(task_id).run().unwrap_err();
    assert_eq!(service.callback(task_id), None);
    service.task(task_id, [DONE]);
    client.get_process(task_id).unwrap();
    assert!(service.callback(task_id).is_some());
}

#[test]
fn equal_bytes_overwrite_within_a_folder() {
    let service = Service::start().unwrap();
    service.new_tasks(|_, _| vec![DONE]);
    service.same_image("https://e.org/b.png", "https://e.org/a.png");
    let client = client(&service);
    let migrate = |name, folder| migrate(&client, &service, new_task(name).directory(folder));
    let [a, b, c] = ["a.png", "b.png", "c.png"].map(|name| migrate(name, "dir"));
    assert_eq!((&a.file_id, &a.etag), (&b.file_id, &b.etag));
    assert_ne!((&a.file_id, &a.etag), (&c.file_id, &c.etag));
    assert!(a.created_at == b.created_at && a.updated_at < b.updated_at);
    let images: Result<Vec<_>> = client.images("dir").collect();
    assert_eq!(images.unwrap(), [b, c]);
    let elsewhere = migrate("a.png", "other");
    assert_eq!(elsewhere.etag, a.etag);
    assert_ne!(elsewhere.file_id, a.file_id);
}
