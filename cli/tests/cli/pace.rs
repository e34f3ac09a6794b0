//! The pace of `migrate` and `create`, and errors that pause or end them: 429, outages, a ban, the
//! quota, the token.

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pan123_offline::testing::{Reply, Request, Service};

use crate::migrate::{Case, FAST, creations, list};
use crate::support::{RUNNING, TOKEN};
use crate::tool::{CLIENT_ID, Running, SECRET, TOOL, Tool, until};

/// The maximum number of requests in any window of a second.
#[track_caller]
fn assert_rate(mut times: Vec<Instant>, max: usize) {
    times.sort();
    // A little less than a second: a request may be read late, and the next one on time.
    let window = Duration::from_millis(950);
    for (first, at) in times.iter().enumerate() {
        let count = times[first..]
            .iter()
            .take_while(|time| **time - *at < window)
            .count();
        assert!(count <= max, "{count} in a second, {max} allowed");
    }
}

fn times(service: &Service, method: Option<&str>) -> Vec<Instant> {
    let requests = service.requests().into_iter();
    requests
        .filter(|request| method.is_none_or(|method| request.method == method))
        .map(|request| request.at)
        .collect()
}

#[test]
fn no_second_has_more_requests_than_the_rates_allow() {
    let case = Case::new(&list(12));
    case.tool
        .run("migrate urls.txt --rate 10 --create-rate 4")
        .ends(0);
    assert_rate(times(&case.service, None), 10);
    assert_rate(times(&case.service, Some("POST")), 4);
    assert_eq!(case.service.request_count(), 24);

    let case = Case::new("");
    case.tool.feed("create - --rate 5", list(10)).ends(0);
    assert_rate(times(&case.service, None), 5);
}

/// A 429 pauses the whole queue; then the request for the same URL is repeated.
#[test]
fn a_rate_limit_pauses_all_requests() {
    for command in ["migrate urls.txt", "create -"] {
        let case = Case::new(&list(3));
        case.service.reply_next(
            Reply::code(429, "slow down")
                .status(429)
                .header("Retry-After", "2"),
        );
        let options = if command.starts_with("migrate") {
            FAST
        } else {
            "--rate inf"
        };
        let run = case.tool.feed(&format!("{command} {options}"), list(3));
        run.ends(0).has_message("rate limited; next request in 2s");
        let posts: Vec<_> = case
            .service
            .requests()
            .into_iter()
            .filter(|request| request.method == "POST")
            .collect();
        assert_eq!(posts.len(), 4);
        assert!(posts[1].at - posts[0].at >= Duration::from_millis(1900));
        assert_eq!(posts[0].body, posts[1].body);
    }
}

#[test]
fn a_ban_in_the_middle_ends_everything() {
    for command in ["migrate urls.txt", "create - --journal urls.txt.journal"] {
        let case = Case::new(&list(50));
        let service = &case.service;
        service.new_tasks(|_, _| vec![RUNNING]);
        let count = AtomicUsize::new(0);
        service.reply_with(move |request| {
            let is_creation = request.method == "POST";
            let number = count.fetch_add(usize::from(is_creation), Ordering::Relaxed);
            (is_creation && number >= 10)
                .then(|| Reply::json(&br#"{"code":"403","message":"forbidden client ip"}"#[..]))
        });
        let options = if command.starts_with("migrate") {
            FAST
        } else {
            "--rate inf"
        };
        let run = case.tool.feed(&format!("{command} {options}"), list(50));
        run.ends(3)
            .has_message("Send no further request")
            .has_message("no further task is created");
        assert!(run.stderr.lines().count() < 12, "{run:#?}");
        let posts = times(&case.service, Some("POST")).len();
        assert_eq!(posts, 11);
        let counts = case.counts();
        assert_eq!(
            (&counts["open"], &counts["new"], &counts["unknown"]),
            (&10.into(), &40.into(), &0.into())
        );
    }
}

/// A used-up quota affects all URLs, and so ends the creations.
#[test]
fn a_used_up_quota_stops_creating() {
    for command in ["migrate urls.txt", "create -"] {
        let case = Case::new(&list(20));
        let full = |request: &Request| {
            let is_creation = request.method == "POST"
                && !request.body.windows(9).any(|part| part == b"00000.png");
            is_creation.then(|| Reply::code(5113, "traffic quota used up"))
        };
        case.service.reply_with(full);
        let options = if command.starts_with("migrate") {
            FAST
        } else {
            "--rate inf"
        };
        let run = case.tool.feed(&format!("{command} {options}"), list(20));
        run.ends(5)
            .has_message("traffic quota used up")
            .has_message("no further task is created");
        assert_eq!(times(&case.service, Some("POST")).len(), 2);
        if command.starts_with("migrate") {
            let counts = case.counts();
            assert_eq!(
                (&counts["succeeded"], &counts["new"]),
                (&1.into(), &19.into())
            );
        }
    }
}

/// Without credentials an expired token ends the run; with them a new token is requested.
#[test]
fn an_expired_token_is_replaced_or_ends_the_run() {
    let case = Case::new(&list(6));
    let service = &case.service;
    service.reply_with(|request| {
        let is_late = request.body.windows(9).any(|part| part == b"00003.png");
        is_late.then(|| Reply::code(401, "token is expired"))
    });
    let run = case.migrate("");
    run.ends(3)
        .has_message("token is expired")
        .has_message("no further task is created");
    assert_eq!(creations(service).len(), 4);
    assert_eq!(
        (&case.counts()["unknown"], &case.counts()["new"]),
        (&0.into(), &3.into())
    );

    let case = Case::new(&list(6));
    case.service.credentials(CLIENT_ID, SECRET);
    let list = case.tool.path("urls.txt");
    let tool = Tool::at(&case.service).with_credentials();
    let list = list.to_str().unwrap();
    let arguments = ["migrate", list, "--rate", "inf", "--create-rate", "10"];
    let running = Running::start(tool.command(TOOL, &arguments), "");
    assert!(until(|| creations(&case.service).len() >= 2));
    case.service.revoke_tokens();
    running.end().ends(0).has_message("6 of 6 finished");
    assert_eq!(case.service.tokens_issued(), 2);
    // A request with a refused token creates nothing, so the same URL is sent again.
    assert!(creations(&case.service).values().all(|times| *times <= 2));
}

/// Refused connections pause the queue; then the request for the same URL is repeated.
#[test]
fn an_outage_pauses_the_queue() {
    let case = Case::new(&list(3));
    let address = case.service.address();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = proxy.local_addr().unwrap();
    drop(proxy);
    let tool = case.tool.path("urls.txt");
    let tool = Tool::new()
        .with("PAN123_ACCESS_TOKEN", TOKEN)
        .with("PAN123_BASE_URL", format!("http://{port}"))
        .with("LIST", tool);
    let running = Running::start(
        tool.command(
            "sh",
            &["-c", &format!("exec {} migrate \"$LIST\" {FAST}", TOOL)],
        ),
        "",
    );
    thread::sleep(Duration::from_millis(1500));
    // The service comes back.
    let proxy = TcpListener::bind(port).unwrap();
    thread::spawn(move || {
        while let Ok((client, _)) = proxy.accept() {
            let server = TcpStream::connect(address).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (server, client);
            thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
    running
        .end()
        .ends(0)
        .has_message("next attempt in 1s")
        .has_message("3 of 3 finished");
    assert!(creations(&case.service).values().all(|times| *times == 1));
}
