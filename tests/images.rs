//! Images: decoding, one image, the pages of a folder, and the files of the stand-in.

mod support;

use std::iter::FusedIterator;
use std::time::{Duration, Instant};

use pan123_offline::testing::{Reply, Request, Service};
use pan123_offline::{Client, Error, Image, NewTask, Result};
use serde_json::{Value, json};
use support::{builder, client, retry_at_once};

const LIST: &str = "/api/v1/oss/file/list";

/// The sample of the service's documentation, with a domain of the user's own.
fn sample() -> Value {
    json!({
        "fileId": "yk6baz03t0l000d7w33fbyt8704m2bohDIYPAIDOBIY0DcxvDwFO==",
        "filename": "cat.png",
        "type": 0,
        "size": 187_512,
        "etag": "e9a6a4b3f8a2a4e8f1c9a9d8b7c6d5e4",
        "status": 2,
        "createAt": "2025-03-03 15:37:34",
        "updateAt": "2025-03-03 16:38:26",
        "downloadURL": "https://vip.123pan.cn/1815309870/yk6.png",
        "userSelfURL": "https://img.example.org/1815309870/yk6.png",
        "totalTraffic": 0,
        "parentFileId": "dir==",
        "parentFilename": "posts",
        "extension": "png",
    })
}

/// Returns the sample with other values of some fields.
fn changed(change: &Value) -> Value {
    let mut image = sample();
    for (name, value) in change.as_object().unwrap() {
        image[name] = value.clone();
    }
    image
}

fn success(data: &Value) -> Reply {
    Reply::json(json!({"code": 0, "message": "ok", "data": data}).to_string())
}

fn page(files: &[Value], last_file_id: &Value) -> Reply {
    success(&json!({"fileList": files, "lastFileId": last_file_id}))
}

/// Returns the body of each request for a page.
fn page_requests(service: &Service) -> Vec<Value> {
    let requests = service.requests();
    let pages = requests.iter().filter(|request| request.path == LIST);
    pages
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect()
}

fn image(data: &Value) -> Result<Image> {
    let service = Service::start().unwrap();
    service.reply_next(success(data));
    client(&service).image("id")
}

#[test]
fn decodes_each_documented_field() {
    let image = image(&sample()).unwrap();
    assert_eq!(
        serde_json::to_value(&image).unwrap(),
        json!({
            "file_id": "yk6baz03t0l000d7w33fbyt8704m2bohDIYPAIDOBIY0DcxvDwFO==",
            "name": "cat.png",
            "directory_id": "dir==",
            "etag": "e9a6a4b3f8a2a4e8f1c9a9d8b7c6d5e4",
            "created_at": "2025-03-03 15:37:34",
            "updated_at": "2025-03-03 16:38:26",
            "url": "https://vip.123pan.cn/1815309870/yk6.png",
            "custom_url": "https://img.example.org/1815309870/yk6.png",
            "size": 187_512,
            "is_directory": false,
            "status": 2,
        })
    );
}

#[test]
fn image_of_two_fields_is_empty_otherwise() {
    let absent = json!({"fileId": "1", "filename": "a.png"});
    let mut null = sample();
    for value in null.as_object_mut().unwrap().values_mut() {
        *value = Value::Null;
    }
    null["fileId"] = "1".into();
    null["filename"] = "a.png".into();
    let [absent, null] = [absent, null].map(|data| image(&data).unwrap());
    assert_eq!(absent, null);
    assert_eq!(
        serde_json::to_value(&absent).unwrap(),
        json!({
            "file_id": "1", "name": "a.png", "directory_id": "", "etag": "", "created_at": "", "updated_at": "",
            "url": "", "custom_url": null, "size": 0, "is_directory": false, "status": 0,
        })
    );
    assert_eq!(absent.link(), "");
}

#[test]
fn decodes_other_types_of_fields() {
    for (change, field, expected) in [
        (json!({"fileId": 100}), "file_id", json!("100")),
        (json!({"fileId": 100.0}), "file_id", json!("100")),
        (
            json!({"fileId": u64::MAX}),
            "file_id",
            json!("18446744073709551615"),
        ),
        (json!({"parentFileId": 0}), "directory_id", json!("0")),
        (json!({"filename": 7}), "name", json!("7")),
        (json!({"size": "187512"}), "size", json!(187_512)),
        (json!({"size": 5.0}), "size", json!(5)),
        (json!({"size": u64::MAX}), "size", json!(u64::MAX)),
        (json!({"type": 1}), "is_directory", json!(true)),
        (json!({"type": "1"}), "is_directory", json!(true)),
        (json!({"type": 2}), "is_directory", json!(false)),
        (json!({"status": "101"}), "status", json!(101)),
        (json!({"status": -1}), "status", json!(-1)),
        (
            json!({"createAt": 1_740_987_454}),
            "created_at",
            json!("1740987454"),
        ),
        (json!({"userSelfURL": ""}), "custom_url", Value::Null),
    ] {
        let image = image(&changed(&change)).unwrap_or_else(|e| panic!("{change}: {e:?}"));
        assert_eq!(
            serde_json::to_value(&image).unwrap()[field],
            expected,
            "{change}"
        );
    }
}

#[test]
fn rejects_image_without_id_or_name_and_fields_of_wrong_type() {
    let without = |name: &str| {
        let mut image = sample();
        image.as_object_mut().unwrap().remove(name);
        image
    };
    let cases = [
        without("fileId"),
        without("filename"),
        changed(&json!({"fileId": null})),
        changed(&json!({"fileId": ""})),
        changed(&json!({"fileId": true})),
        changed(&json!({"filename": null})),
        changed(&json!({"filename": ""})),
        changed(&json!({"downloadURL": ["https://vip.123pan.cn/a.png"]})),
        changed(&json!({"size": -1})),
        changed(&json!({"size": "big"})),
        changed(&json!({"status": 1.5})),
        json!([]),
        Value::Null,
    ];
    for data in cases {
        let error = image(&data).expect_err(&data.to_string());
        assert!(matches!(error, Error::Decode(_)), "{data}: {error:?}");
        // In a page, too: no image is left out.
        let service = Service::start().unwrap();
        service.reply_next(page(&[sample(), data.clone()], &"-1".into()));
        let images: Vec<_> = client(&service).images("dir").collect();
        assert!(
            matches!(images[..], [Err(Error::Decode(_))]),
            "{data}: {images:?}"
        );
    }
}

#[test]
fn link_is_the_users_own_where_there_is_one() {
    for (own, expected) in [
        ("", "https://vip.123pan.cn/1815309870/yk6.png"),
        (
            "https://img.example.org/a.png",
            "https://img.example.org/a.png",
        ),
    ] {
        let image = image(&changed(&json!({"userSelfURL": own}))).unwrap();
        assert_eq!(image.link(), expected);
    }
}

#[test]
fn image_is_rejected_above_status_100() {
    for (status, expected) in [
        (i64::MIN, false),
        (0, false),
        (100, false),
        (101, true),
        (i64::MAX, true),
    ] {
        let image = image(&changed(&json!({"status": status}))).unwrap();
        assert_eq!(image.is_rejected(), expected, "{status}");
    }
}

#[test]
fn requests_one_image_by_its_encoded_id() {
    let service = Service::start().unwrap();
    service.reply_next(retry_at_once(Reply::new(503)));
    service.reply_next(success(&sample()));
    let client = builder(service.base_url()).retries(1).build().unwrap();
    client.image("a/b?c=图==").unwrap();
    let [_, request] = <[Request; 2]>::try_from(service.requests()).unwrap();
    assert_eq!(
        (
            &*request.method,
            &*request.path,
            request.query.as_deref(),
            &*request.body
        ),
        (
            "GET",
            "/api/v1/oss/file/detail",
            Some("fileID=a%2Fb%3Fc%3D%E5%9B%BE%3D%3D"),
            &b""[..]
        )
    );

    // Nothing is sent for an id that cannot be one.
    assert!(matches!(client.image(""), Err(Error::Config(_))));
    assert_eq!(service.request_count(), 2);
    let error = client.image("unknown").unwrap_err();
    assert_eq!(error.code().unwrap().as_i64(), 5066, "{error:?}");
}

/// Names of 100 characters make pages of more than 64 KiB.
fn numbered(numbers: std::ops::Range<usize>) -> Vec<Value> {
    let number = |number| {
        let name = format!("{number}{}.png", "图".repeat(100));
        changed(&json!({"fileId": format!("id{number}"), "filename": name, "type": number % 2}))
    };
    numbers.map(number).collect()
}

#[test]
fn yields_files_and_folders_of_all_pages_in_order() {
    let service = Service::start().unwrap();
    service
        .reply_next(page(&numbered(0..100), &"id99".into()))
        .reply_next(page(&[], &"empty".into()))
        .reply_next(page(&numbered(100..150), &1234.into()))
        .reply_next(page(&numbered(150..151), &"-1".into()));
    let mut images = client(&service).images("dir==");
    assert_eq!(
        format!("{images:?}"),
        r#"Images { directory_id: "dir==", .. }"#
    );
    assert_eq!(
        service.request_count(),
        0,
        "nothing is sent before the first step"
    );

    let first = images.next().unwrap().unwrap();
    assert_eq!((&*first.file_id, first.is_directory), ("id0", false));
    assert_eq!(images.by_ref().take(99).count(), 99);
    assert_eq!(
        service.request_count(),
        1,
        "a page is requested when it is needed"
    );
    let rest: Vec<_> = images.by_ref().map(Result::unwrap).collect();
    assert_eq!(rest.len(), 51);
    assert!(rest.iter().zip(100..).all(|(image, number)| {
        image.file_id == format!("id{number}") && image.is_directory == (number % 2 == 1)
    }));
    assert!(images.next().is_none() && images.next().is_none());

    let first = json!({"parentFileId": "dir==", "limit": 100, "type": 1});
    let expected = ["id99", "empty", "1234"].map(|last| {
        let mut request = first.clone();
        request["lastFileId"] = last.into();
        request
    });
    let requests = page_requests(&service);
    assert_eq!(requests[0], first);
    assert_eq!(requests[1..], expected);
    assert_eq!(service.connection_count(), 1);
}

#[test]
fn ends_at_minus_one_in_each_type() {
    for last in [json!("-1"), json!(-1), json!(-1.0)] {
        for (files, expected) in [(json!([sample()]), 1), (json!([]), 0), (Value::Null, 0)] {
            let service = Service::start().unwrap();
            service.reply_next(success(&json!({"fileList": files, "lastFileId": last})));
            let images: Result<Vec<_>> = client(&service).images("").collect();
            assert_eq!(images.unwrap().len(), expected, "{files} {last}");
            assert_eq!(service.request_count(), 1);
        }
    }
}

#[test]
fn page_without_its_end_is_an_error() {
    for data in [
        json!({"fileList": [sample()]}),
        json!({"fileList": [sample()], "lastFileId": null}),
        json!({"fileList": [sample()], "lastFileId": ""}),
        json!({"fileList": [sample()], "lastFileId": true}),
        json!({"fileList": {}, "lastFileId": "-1"}),
        json!({"lastFileId": "-1"}),
        json!([]),
    ] {
        let service = Service::start().unwrap();
        service.reply_next(success(&data));
        let images: Vec<_> = client(&service).images("dir").collect();
        assert!(
            matches!(images[..], [Err(Error::Decode(_))]),
            "{data}: {images:?}"
        );
        assert_eq!(service.request_count(), 1);
    }
}

#[test]
fn circle_of_pages_is_an_error() {
    for (circle, requests) in [
        (&["a"][..], 2),
        (&["a", "b", "c"], 4),
        (&["1", "2", "2"], 3),
    ] {
        let service = Service::start().unwrap();
        // Numbers and strings are the same id.
        for last in circle.iter().chain(circle) {
            let last = last.parse::<u8>().map_or(json!(last), Into::into);
            service.reply_next(page(&[sample()], &last));
        }
        let mut images = client(&service).images("dir");
        let items: Vec<_> = images.by_ref().collect();
        let Some((Err(error), whole)) = items.split_last() else {
            panic!("{items:?}")
        };
        assert!(matches!(error, Error::Decode(_)), "{error:?}");
        assert!(error.to_string().contains("`lastFileId`"), "{error}");
        assert_eq!(whole.len(), requests - 1);
        assert!(whole.iter().all(Result::is_ok), "{circle:?}");
        assert!(images.next().is_none());
        assert_eq!(service.request_count(), requests, "{circle:?}");
    }
}

#[test]
fn error_is_the_last_item() {
    fn fused(_: &impl FusedIterator) {}

    let service = Service::start().unwrap();
    service
        .reply_next(page(&[sample()], &"a".into()))
        .reply_next(Reply::code(1, "no such folder"));
    let mut images = client(&service).images("dir");
    fused(&images);
    assert!(images.next().unwrap().is_ok());
    assert!(matches!(images.next(), Some(Err(Error::Api(_)))));
    assert!(images.next().is_none() && images.next().is_none());
    assert_eq!(service.request_count(), 2);
}

#[test]
fn page_is_retried_and_replayed() {
    let service = Service::start().unwrap();
    let client = builder(service.base_url()).retries(1).build().unwrap();
    service
        .reply_next(page(&[sample()], &"a".into()))
        // Retried: a creation would not be.
        .reply_next(retry_at_once(Reply::new(502)))
        // Replayed: not one of the retries.
        .reply_next(page(&[sample()], &"b".into()).close_after())
        .reply_next(page(&[sample()], &"c".into()))
        .reply_next(Reply::nothing())
        .reply_next(page(&[sample()], &"-1".into()));
    let images: Result<Vec<_>> = client.images("dir").collect();
    assert_eq!(images.unwrap().len(), 4);
    let last = |request: &Value| {
        request["lastFileId"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let requested: Vec<_> = page_requests(&service).iter().map(last).collect();
    assert_eq!(requested, ["", "a", "a", "b", "c", "c"]);
}

#[test]
fn pages_wait_for_the_pace_and_count_for_it() {
    const GAP: Duration = Duration::from_millis(300);
    let service = Service::start().unwrap();
    for last in ["a", "b", "-1"] {
        service.reply_next(page(&[sample()], &last.into()));
    }
    let client = builder(service.base_url())
        .min_request_gap(GAP)
        .build()
        .unwrap();
    assert_eq!(client.images("dir").filter(Result::is_ok).count(), 3);
    service.task(
        1,
        [pan123_offline::Progress::new(
            pan123_offline::Status::Succeeded,
            100,
        )],
    );
    client.wait(1).run().unwrap();
    let times: Vec<Instant> = service
        .requests()
        .iter()
        .map(|request| request.at)
        .collect();
    // The client measures from before a request is sent, the stand-in when it has arrived.
    assert!(times[3] - times[0] >= GAP * 3 - GAP / 2, "{times:?}");
}

#[test]
fn page_may_have_1_mib() {
    for (len, fits) in [(1024 * 1024, true), (1024 * 1024 + 1, false)] {
        let service = Service::start().unwrap();
        let mut body =
            json!({"code": 0, "data": {"fileList": [sample()], "lastFileId": "-1"}}).to_string();
        body += &" ".repeat(len - body.len());
        service.reply_next(Reply::json(body));
        let images: Vec<_> = client(&service).images("dir").collect();
        match &images[..] {
            [Ok(_)] => assert!(fits),
            [Err(error)] => {
                assert!(!fits && error.to_string().contains("1024 KiB"), "{error}");
            }
            _ => panic!("{images:?}"),
        }
    }
}

/// Creates a task, follows it to its end, and returns the id of its file.
fn migrate(client: &Client, service: &Service, task: &NewTask) -> String {
    let task_id = client.create_task(task).unwrap();
    assert_eq!(service.callback(task_id), None);
    client.wait(task_id).run().unwrap();
    let callback = pan123_offline::Callback::from_slice(&service.callback(task_id).unwrap());
    callback.unwrap().file_id.unwrap()
}

#[test]
fn succeeded_task_makes_a_file_in_its_folder() {
    let service = Service::start().unwrap();
    let client = client(&service);
    assert_eq!(client.images("").count(), 0);
    let plain = NewTask::new("https://e.org/a/cat.png?x=/y.gif");
    let named = NewTask::new("https://e.org/dog")
        .file_name("狗.webp")
        .directory("posts");
    let unnamed = NewTask::new("https://e.org/dog").directory("posts");
    for (task, name, folder) in [
        (plain, "cat.png", "来自:离线下载"),
        (named, "狗.webp", "posts"),
        // The same bytes in the same folder.
        (unnamed, "dog.png", "posts"),
    ] {
        let file_id = migrate(&client, &service, &task);
        let image = client.image(&file_id).unwrap();
        assert_eq!((&*image.name, image.is_directory), (name, false));
        assert!(image.size > 0 && image.etag.len() == 32 && image.file_id.ends_with("=="));
        assert!(
            image.link().starts_with("https://vip.123pan.cn/"),
            "{image:?}"
        );
        let folders: Vec<_> = client.images("").map(Result::unwrap).collect();
        let found = folders.iter().find(|found| found.name == folder).unwrap();
        assert!(found.is_directory);
        assert_eq!(client.image(&found.file_id).unwrap(), *found);
        let images: Result<Vec<_>> = client.images(&found.file_id).collect();
        assert_eq!(images.unwrap(), [image]);
    }
    let error = client.images("unknown").next().unwrap().unwrap_err();
    assert_eq!(error.code().unwrap().as_i64(), 5066, "{error:?}");
}

#[test]
fn failed_task_makes_no_file() {
    let service = Service::start().unwrap();
    service.new_tasks(|_, _| {
        vec![pan123_offline::Progress::new(
            pan123_offline::Status::Failed,
            50,
        )]
    });
    let client = client(&service);
    let task_id = client
        .create_task(&NewTask::new("https://e.org/a.png"))
        .unwrap();
    client.wait(task_id).run().unwrap_err();
    assert_eq!(service.callback(task_id), None);
    assert_eq!(client.images("").count(), 0);
}

#[test]
fn equal_bytes_overwrite_within_a_folder() {
    let service = Service::start().unwrap();
    service.same_image("https://e.org/b.png", "https://e.org/a.png");
    let client = client(&service);
    let tasks = ["a", "b", "c"]
        .map(|name| NewTask::new(format!("https://e.org/{name}.png")).directory("dir"));
    let [a, b, c] = tasks
        .each_ref()
        .map(|task| migrate(&client, &service, task));
    assert!(a == b && b != c);
    let images: Vec<_> = client.images("dir").map(Result::unwrap).collect();
    let names: Vec<_> = images.iter().map(|image| &*image.name).collect();
    assert_eq!(names, ["b.png", "c.png"]);
    assert!(images[0].created_at < images[0].updated_at);
    assert_eq!(images[1].created_at, images[1].updated_at);
    assert_ne!(images[0].etag, images[1].etag);

    let elsewhere = migrate(&client, &service, &tasks[0].clone().directory("other"));
    assert_ne!(elsewhere, a);
    assert_eq!(client.image(&elsewhere).unwrap().etag, images[0].etag);
}

#[test]
fn pages_of_the_stand_in_hold_a_hundred() {
    for (count, requests) in [(99, 1), (100, 1), (101, 2), (250, 3)] {
        let service = Service::start().unwrap();
        let done = pan123_offline::Progress::new(pan123_offline::Status::Succeeded, 100);
        service.new_tasks(move |_, _| vec![done]);
        let client = client(&service);
        for number in 0..count {
            let task = NewTask::new(format!("https://e.org/{number}.png")).directory("dir");
            let task_id = client.create_task(&task).unwrap();
            client.get_process(task_id).unwrap();
        }
        let names = client.images("dir").map(|image| image.unwrap().name);
        assert!(names.eq((0..count).map(|number| format!("{number}.png"))));
        assert_eq!(page_requests(&service).len(), requests, "{count}");
    }
}
