//! Unusual responses and faults of the system: each is an error that names its cause and loses no
//! task.

mod support;

use std::process::Command;
use std::time::Duration;

use pan123_offline::testing::{Reply, Service};
use pan123_offline::{
    Callback, Client, Credentials, Envelope, ErrorCode, NewTask, Progress, Status, ureq,
};
use support::{RUNNING, TASK, all_texts, builder, client, service};

const DONE: Progress = Progress::new(Status::Succeeded, 100);
const URL: &str = "https://example.org/cat.png";

#[test]
fn numbers_count_in_each_form() {
    for (code, expected) in [
        ("0", Some(0)),
        (r#""0""#, Some(0)),
        ("403.0", Some(403)),
        (r#""403 ""#, Some(403)),
        (r#""403""#, Some(403)),
        (r#""00""#, None),
        (r#""+0""#, None),
        (r#""-0""#, None),
        ("-0", None),
        ("0.0", None),
    ] {
        let body =
            format!(r#"{{"code":{code},"message":"m","data":{{"status":2,"process":100}}}}"#);
        let envelope = Envelope::<Progress>::from_slice(body.as_bytes());
        assert_eq!(
            envelope.ok().map(|envelope| envelope.code),
            expected.map(ErrorCode),
            "{code}"
        );
    }
    let service = service();
    let client = client(&service);
    for data in [
        r#"{"status":2.0,"process":100}"#,
        r#"{"status":"2","process":"100"}"#,
    ] {
        service.reply_next(Reply::json(format!(r#"{{"code":0,"data":{data}}}"#)));
        assert_eq!(client.get_process(TASK).unwrap(), DONE, "{data}");
    }
    for id in ["403316.0", "4.03316e5", r#""403316""#, "403316"] {
        service.reply_next(Reply::json(format!(
            r#"{{"code":0,"data":{{"taskID":{id}}}}}"#
        )));
        assert_eq!(
            client.create_task(&NewTask::new(URL)).unwrap(),
            403_316,
            "{id}"
        );
    }
    for (id, expected) in [
        ("18446744073709551616", "18446744073709551616"),
        ("100.0", "100"),
        ("100", "100"),
        (r#""abc""#, "abc"),
    ] {
        let body = format!(r#"{{"url":"u","status":0,"fileID":{id}}}"#);
        let callback = Callback::from_slice(body.as_bytes()).unwrap();
        assert_eq!(callback.file_id.as_deref(), Some(expected));
    }
}

#[test]
fn progress_serializes_as_the_service_writes_it() {
    let text = serde_json::to_string(&RUNNING).unwrap();
    assert_eq!(text, r#"{"status":0,"process":37}"#);
    assert_eq!(serde_json::from_str::<Progress>(&text).unwrap(), RUNNING);
    assert_eq!(serde_json::to_string(&RUNNING.status).unwrap(), "0");
    for json in ["2", "2.0", "\"2\""] {
        let status: Status = serde_json::from_str(json).unwrap();
        assert_eq!(status, Status::Succeeded, "{json}");
    }
    assert!(serde_json::from_str::<Status>("2.5").is_err());
}

#[test]
fn not_modified_is_no_redirect() {
    let service = service();
    service.reply_next(Reply::new(304));
    let error = client(&service).get_process(TASK).unwrap_err();
    assert_eq!(error.http_status(), Some(304));
    assert!(!error.to_string().contains("redirect"), "{error}");
}

#[test]
fn refusal_of_a_token_request_shows_no_new_token() {
    let service = Service::start().unwrap();
    service.reply_next(Reply::code(1, "your token is eyJhbGciOiJIUzI1NiJ9.e30"));
    let credentials = Credentials::new("id", "a-client-secret");
    let client = Client::builder()
        .credentials(credentials)
        .base_url(service.base_url())
        .build()
        .unwrap();
    let texts = all_texts(&client.get_process(TASK).unwrap_err());
    assert!(!texts.contains("eyJhbGci"), "{texts}");
}

/// The cache can be read but not written: after a name of 250 bytes the name of the temporary file
/// is too long.
#[test]
fn refused_token_of_an_unwritable_cache_is_sent_once() {
    let service = Service::start().unwrap();
    service.task(TASK, [RUNNING]);
    service.credentials("id", "client-secret");
    let folder = std::env::temp_dir().join(format!("pan123-unwritable-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let client = |path: &std::path::Path| {
        let credentials = Credentials::new("id", "client-secret").cache_file(path);
        let builder = Client::builder().credentials(credentials).retries(0);
        builder.base_url(service.base_url()).build().unwrap()
    };
    let unwritable = folder.join("t".repeat(250));
    client(&folder.join("token")).get_process(TASK).unwrap();
    std::fs::rename(folder.join("token"), &unwritable).unwrap();
    service.revoke_tokens();

    let client = client(&unwritable);
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    assert!(client.token_cache_error().is_some());
    // The token after it is refused, too, and none may be requested so soon.
    service.revoke_tokens();
    assert!(client.get_process(TASK).unwrap_err().is_unauthorized());
    assert_eq!(service.tokens_issued(), 2);
    let authorizations: Vec<_> = service
        .requests()
        .iter()
        .filter_map(|request| request.header("Authorization").map(str::to_owned))
        .collect();
    let stale = authorizations.first().unwrap();
    let times_sent = authorizations.iter().filter(|sent| *sent == stale).count();
    // By the client that requested it, and by the one that found it in the cache.
    assert_eq!(times_sent, 2, "{authorizations:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn texts_of_the_service_are_shortened() {
    let service = service();
    let long = "x".repeat(30_000);
    let client = client(&service);
    service.reply_next(Reply::json(format!(
        r#"{{"code":7,"message":"{long}","x-traceID":"{long}"}}"#
    )));
    let error = client.get_process(TASK).unwrap_err();
    assert_eq!(error.trace_id().map(str::len), Some(256));
    assert!(format!("{error:?}").len() < 2000);
    service.reply_next(Reply::json(format!(r#"{{"code":"{long}"}}"#)));
    assert!(all_texts(&client.get_process(TASK).unwrap_err()).len() < 4000);
    let body = format!(r#"{{"code":7,"message":"{long}"}}"#);
    assert_eq!(
        Envelope::<Progress>::from_slice(body.as_bytes())
            .unwrap()
            .message
            .len(),
        256
    );
}

#[test]
fn panic_of_a_middleware_loses_no_task() {
    let service = Service::start().unwrap();
    for task_id in 0..3 {
        service.task(task_id, [DONE]);
    }
    let count = std::sync::atomic::AtomicUsize::new(0);
    let panics_once = move |request: ureq::http::Request<ureq::SendBody<'_>>,
                            next: ureq::middleware::MiddlewareNext<'_>| {
        assert_ne!(
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst),
            1,
            "on purpose"
        );
        next.handle(request)
    };
    let builder =
        builder(service.base_url()).configure_agent(|agent| agent.middleware(panics_once));
    let mut watch = builder
        .build()
        .unwrap()
        .watch(0..3)
        .timeout(Duration::from_secs(20));
    let (mut ended, mut panics) = (Vec::new(), 0);
    loop {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| watch.next())) {
            Ok(Some(update)) => ended.push(update.task_id),
            Ok(None) => break,
            Err(_) => panics += 1,
        }
    }
    ended.sort_unstable();
    assert_eq!((ended, panics), (vec![0, 1, 2], 1));
}

#[test]
fn last_poll_finds_what_ended_during_the_callers_loop() {
    let service = service();
    service.task(TASK, [RUNNING, DONE]);
    let mut wait = client(&service)
        .wait(TASK)
        .timeout(Duration::from_millis(300))
        .into_iter();
    assert_eq!(wait.next().unwrap().unwrap(), RUNNING);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(wait.next().unwrap().unwrap(), DONE);
}

/// Runs a test of this file in a process of its own.
fn run_child(name: &str, command: &mut Command, base_url: &str) {
    let output = command
        .env("HARDENING_BASE_URL", base_url)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{name}: {stdout}\n{stderr}"
    );
}

fn child_base_url() -> String {
    std::env::var("HARDENING_BASE_URL").expect("set by the parent")
}

/// Unix only: Windows has no limit of open files that a process can set for a child.
#[cfg(unix)]
#[test]
fn no_free_descriptor_is_transient() {
    let service = service();
    let script =
        r#"ulimit -n 64; exec "$0" --exact child_without_descriptors --ignored --nocapture"#;
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(script)
        .arg(std::env::current_exe().unwrap());
    run_child("descriptors", &mut command, &service.base_url());
}

#[cfg(unix)]
#[test]
#[ignore = "run by no_free_descriptor_is_transient in a process of its own"]
fn child_without_descriptors() {
    use pan123_offline::TransportErrorKind;

    let base_url = child_base_url();
    let by_name = base_url.replace("127.0.0.1", "localhost");
    let by_address = builder(&base_url).build().unwrap();
    let by_name = builder(by_name).build().unwrap();
    let mut files = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        files.push(file);
    }
    for (client, kinds) in [
        (&by_address, &[TransportErrorKind::Connect][..]),
        (
            &by_name,
            &[TransportErrorKind::Dns, TransportErrorKind::Connect][..],
        ),
    ] {
        let error = client.get_process(TASK).unwrap_err();
        let pan123_offline::Error::Transport(transport) = &error else {
            panic!("{error:?}")
        };
        assert!(kinds.contains(&transport.kind), "{error:?}");
        assert!(
            error.is_transient() && !error.may_have_taken_effect(),
            "{error:?}"
        );
    }
    drop(files);
    assert_eq!(by_address.get_process(TASK).unwrap(), RUNNING);
}

/// A proxy that the code sets overrides the environment.
#[test]
fn proxy_of_the_code_overrides_the_environment() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "child_with_socks_proxy",
        "--ignored",
        "--nocapture",
    ]);
    command.env("ALL_PROXY", "socks5://127.0.0.1:1080");
    run_child("proxy", &mut command, "https://open-api.example");
}

#[test]
#[ignore = "run by proxy_of_the_code_overrides_the_environment in a process of its own"]
fn child_with_socks_proxy() {
    if !cfg!(feature = "rustls") {
        return;
    }
    let error = builder(child_base_url()).build().unwrap_err();
    // Windows finds a variable by its name in any case, and the lower case is tried first.
    let name = if cfg!(windows) {
        "all_proxy"
    } else {
        "ALL_PROXY"
    };
    assert!(
        error
            .to_string()
            .contains(&format!("`{name}`: only http and https proxies")),
        "{error}"
    );
    builder(child_base_url())
        .configure_agent(|agent| agent.proxy(None))
        .build()
        .unwrap();
    let proxy = ureq::Proxy::new("http://127.0.0.1:1").unwrap();
    builder(child_base_url())
        .configure_agent(|agent| agent.proxy(Some(proxy)))
        .build()
        .unwrap();
}
