//! Fields of a task, which are validated before anything is sent, a token request included.

use super::*;

/// Checks that a client without a token rejects the task and sends nothing.
#[track_caller]
fn rejects(task: &NewTask, text: &str) {
    let service = service();
    let client = with_credentials(&service).build().unwrap();
    let result = client.create_task(task);
    let Err(error) = result else {
        panic!("{task:?} was created")
    };
    assert!(matches!(error, Error::Config(_)), "{task:?}: {error:?}");
    assert_eq!(error.to_string(), text, "{task:?}");
    assert!(
        !error.may_have_taken_effect() && !error.is_transient(),
        "{task:?}"
    );
    assert_eq!(service.connection_count(), 0, "{task:?}");
}

#[test]
fn rejects_urls_that_are_not_http() {
    for address in [
        "",
        "http",
        "http:",
        "http:/",
        "http://",
        "https://",
        "http:///cat.png",
        "https://?cat.png",
        "https://#cat.png",
        "http:/example.org/cat.png",
        "http:example.org/cat.png",
        "http//example.org/cat.png",
        "//example.org/cat.png",
        "example.org/cat.png",
        "/home/me/cat.png",
        "ftp://example.org/cat.png",
        "file:///home/me/cat.png",
        "httpx://example.org/cat.png",
        "shttp://example.org/cat.png",
        "data:image/png;base64,AAAA",
        "\u{feff}https://example.org/cat.png",
        "http\u{ff1a}//example.org/cat.png",
        "http:\\\\example.org\\cat.png",
        // The scheme's end is within a letter of two bytes.
        "https:/é",
        "http:/é",
    ] {
        for (setting, task) in [
            ("url", NewTask::new(address)),
            ("callback_url", task().callback_url(address)),
        ] {
            rejects(
                &task,
                &format!("setting `{setting}`: it is not an http or https URL"),
            );
        }
    }
}

#[test]
fn rejects_urls_that_cannot_be_sent_as_they_are() {
    let space = "it contains a space; write %20, or trim it";
    let control = "it contains a control character; remove it";
    let login = "it contains a user name or a password; remove them";
    for (address, reason) in [
        ("https://example.org/a cat.png", space),
        (" https://example.org/cat.png", space),
        ("https://example.org/cat.png ", space),
        ("https://exa mple.org/cat.png", space),
        ("https://example.org/cat.png\n", control),
        ("https://example.org/\tcat.png", control),
        ("https://example.org/cat.png?\0", control),
        ("https://example.org/\u{7f}", control),
        ("https://example.org/\u{85}", control),
        ("https://user:hunter2@example.org/cat.png", login),
        ("https://user@example.org", login),
        ("https://@example.org", login),
        ("https://user:a@b@example.org?x", login),
        ("http://example.org\\@example.com/", login),
    ] {
        for (setting, task) in [
            ("url", NewTask::new(address)),
            ("callback_url", task().callback_url(address)),
        ] {
            rejects(&task, &format!("setting `{setting}`: {reason}"));
        }
    }
}

#[test]
fn accepts_http_urls() {
    let service = service();
    service.reply_with(|_| Some(created(1)));
    let client = client(&service);
    for address in [
        "http://example.org",
        "HTTP://EXAMPLE.ORG/CAT.PNG",
        "hTTpS://example.org/cat.png",
        "https://example.org:8443/cat.png?size=1@2#top@",
        "https://example.org/@user/cat.png",
        "https://example.org?@",
        "http://[2001:db8::1]/cat.png",
        "http://192.0.2.1/cat",
        "https://例.org/猫.png?名=ß#é",
        "https://example.org/\u{1f408}\u{3000}.png",
    ] {
        let task = NewTask::new(address).callback_url(address);
        let result = client.create_task(&task);
        assert!(matches!(result, Ok(1)), "{address}: {result:?}");
    }
}

#[test]
fn rejects_file_names_without_an_image_ending() {
    let text = "setting `file_name`: it must be a name that ends in one of .png, .gif, .jpeg, .jpg, .tif, .tiff, .webp, .svg, .bmp";
    let ascii = [
        "", ".", "cat", "png", "cat.", "cat.exe", "cat.pn", "cat.pngx", ".png", "jpg.zip",
    ];
    let spaces_and_dots = ["cat.png.exe", "cat.png ", "cat.png.", "cat.heic", "cat,png"];
    let wide = ["cat\u{ff0e}png", "cat.ｐｎｇ"];
    for name in ascii.iter().chain(&spaces_and_dots).chain(&wide) {
        rejects(&task().file_name(*name), text);
    }
}

#[test]
fn rejects_an_empty_directory() {
    rejects(&task().directory(""), "setting `directory`: it is empty");
}

#[test]
fn accepts_every_documented_ending_in_either_case() {
    let service = service();
    let client = client(&service);
    for ending in [
        "png", "gif", "jpeg", "jpg", "tif", "tiff", "webp", "svg", "bmp",
    ] {
        let mixed = format!("{}{}", ending[..1].to_uppercase(), &ending[1..]);
        for ending in [ending.to_owned(), ending.to_uppercase(), mixed] {
            let task = task().file_name(format!("ｃat.x.{ending}"));
            client.create_task(&task).unwrap();
        }
    }
    // Without a name the URL's own ending does not count, since many URLs of images have none.
    let task = NewTask::new("https://example.org/image?id=7");
    client.create_task(&task).unwrap();
}
