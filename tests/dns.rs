//! Calls to a service by its host name: DNS lookups, and the timeout of each phase of a call.
//!
//! `cargo test --test dns -- --ignored`, as root on Linux, with iproute2 and util-linux. Each test
//! runs in its own namespaces, with a name server at 127.0.0.1 and the service at other loopback
//! addresses.
#![cfg(all(feature = "rustls", target_os = "linux"))]

#[path = "support/front.rs"]
mod front;
#[path = "support/name_server.rs"]
mod name_server;
#[path = "support/namespace.rs"]
mod namespace;
#[path = "support/proxy.rs"]
mod proxy;
mod support;
#[path = "support/tls.rs"]
mod tls;

use std::any::type_name;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use front::full_listener;
use name_server::NameServer;
use pan123_offline::testing::Service;
use pan123_offline::{Client, ClientBuilder, NewTask, TransportErrorKind, ureq};
use proxy::Proxy;
use support::{RUNNING, TASK, all_texts, service, transport_kind};
use tls::{Identity, TlsFront};

const HOST: &str = "open-api.test";
const BASE_URL: &str = "https://open-api.test";
const PROXY_HOST: &str = "proxy.test";
const URL: &str = "https://example.org/cat.png";

const FIRST: &str = "127.0.0.2";
const SECOND: &str = "127.0.0.3";

/// Queries of one lookup, for A and for AAAA.
const QUERIES: usize = 2;

/// The time for which the addresses of a lookup are used, and one second more.
const EXPIRY: Duration = Duration::from_secs(61);

/// The service: a stand-in, and the certificate of its name.
struct Site {
    service: Service,
    identity: Identity,
}

impl Site {
    fn new() -> Self {
        Self {
            service: service(),
            identity: Identity::new(HOST, |_| {}),
        }
    }

    /// Accepts connections at this address.
    fn listen(&self, address: &str) -> TlsFront {
        TlsFront::listen(
            https(address),
            self.service.address(),
            self.identity.clone(),
        )
    }

    fn builder(&self) -> ClientBuilder {
        self.builder_for(BASE_URL)
    }

    fn builder_for(&self, base_url: &str) -> ClientBuilder {
        let trust = self.identity.trust();
        support::builder(base_url).configure_agent(|agent| agent.tls_config(trust))
    }

    fn builder_through(&self, proxy: SocketAddr) -> ClientBuilder {
        let url = format!("http://{PROXY_HOST}:{}", proxy.port());
        let proxy = ureq::Proxy::new(&url).unwrap();
        let trust = self.identity.trust();
        support::builder(BASE_URL)
            .configure_agent(|agent| agent.tls_config(trust).proxy(Some(proxy)))
    }

    fn client(&self) -> Client {
        self.builder().build().unwrap()
    }
}

fn https(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), 443)
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Runs the body of the test that calls this in namespaces of its own, with a name server that has these addresses.
#[track_caller]
fn in_namespaces<F: FnOnce(NameServer, Site)>(texts: &[&str], test: F) {
    if namespace::is_inside(type_name::<F>()) {
        test(start_name_server(texts), Site::new());
    }
}

fn start_name_server(texts: &[&str]) -> NameServer {
    let name_server = NameServer::start(SocketAddr::from(([127, 0, 0, 1], 53))).unwrap();
    name_server.set_addresses(addresses(texts));
    name_server
}

#[track_caller]
fn assert_succeeds(client: &Client) {
    assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
}

// ---- Number of lookups

/// A task is always created over a new connection.
#[test]
#[ignore = "needs root and network namespaces; run by .ci/run"]
fn a_thousand_calls_and_new_connections_share_one_lookup() {
    in_namespaces(&[FIRST], |name_server, site| {
        let front = site.listen(FIRST);
        let client = site.client();
        for _ in 0..1000 {
            assert_succeeds(&client);
        }
        assert_eq!(front.connections(), 1);
        for _ in 0..10 {
            client.create_task(&NewTask::new(URL)).unwrap();
        }
        assert_eq!(front.connections(), 11);
        assert_eq!(name_server.queries(), [HOST; QUERIES]);
    });
}

/// Also later than 60 s after the lookup. There is no name server for 40 s, and then a silent one.
#[test]
#[ignore = "needs root and network namespaces; run by .ci/run"]
fn open_connection_needs_no_name_server() {
    in_namespaces(&[FIRST], |name_server, site| {
        let front = site.listen(FIRST);
        let client = site.client();
        assert_succeeds(&client);
        drop(name_server);
        let mut silent = None;
        let started = Instant::now();
        for call in 1..=40 {
            thread::sleep(Duration::from_secs(2));
            if call == 20 {
                silent = Some(start_name_server(&[]));
                silent.as_ref().unwrap().set_silent(true);
            }
            assert_eq!(client.get_process(TASK).unwrap(), RUNNING, "call {call}");
        }
        assert!(started.elapsed() > EXPIRY);
        assert_eq!(silent.unwrap().query_count(), 0);
        assert_eq!(front.connections(), 1);
    });
}

#[test]
#[ignore = "needs root and network namespaces; run by .ci/run"]
fn proxy_name_alone_is_looked_up() {
    in_namespaces(&["127.0.0.1"], |name_server, site| {
        let front = site.listen(FIRST);
        let proxy = Proxy::to(&format!("{HOST}:443"), https(FIRST));
        let client = site.builder_through(proxy.address()).build().unwrap();
        for _ in 0..10 {
            assert_succeeds(&client);
        }
        assert_eq!(front.connections(), 1);
        client.create_task(&NewTask::new(URL)).unwrap();
        assert_eq!(front.connections(), 2);
        assert_eq!(name_server.queries(), [PROXY_HOST; QUERIES]);
    });
}

// ---- Changes of the service's addresses

#[test]
#[ignore = "needs root and network namespaces; run by .ci/run"]
fn finds_service_at_its_new_address() {
    in_namespaces(&[FIRST], |name_server, site| {
        let old = site.listen(FIRST);
        let with_retries = site.builder().retries(2).build().unwrap();
        let without_retries = site.client();
        assert_succeeds(&with_retries);
        assert_succeeds(&without_retries);

        let new = site.listen(SECOND);
        name_server.set_addresses(addresses(&[SECOND]));
        drop(old);
        assert_succeeds(&with_retries);
        assert_eq!(new.connections(), 1);

        // The addresses have not expired, so one attempt finds that the old one refuses.
        let error = without_retries.get_process(TASK).unwrap_err();
        assert_eq!(transport_kind(&error), TransportErrorKind::Connect);
        assert_succeeds(&without_retries);
        assert_eq!(new.connections(), 2);
        assert_eq!(name_server.query_count(), 4 * QUERIES);
    });
}

#[test]
#[ignore = "needs root and network namespaces; run by .ci/run"]
fn tries_each_address() {
    in_namespaces(&["::1", FIRST], |name_server, site| {
        let ipv4 = site.listen(FIRST);
        assert_succeeds(&site.client());
        assert_eq!(ipv4.connections(), 1, "::1 refuses");

        // The system may sort the IPv4 addresses, so each of them once is the one that accepts.
        name_server.set_addresses(addresses(&[SECOND, FIRST]));
        assert_succeeds(&site.client());
        drop(ipv4);
        let other = site.listen(SECOND);
        assert_succeeds(&site.client());
        assert_eq!(other.connections(), 1);

        drop(other);
        name_server.set_addresses(addresses(&["::1", FIRST]));
        let ipv6 = site.listen("::1");
        assert_succeeds(&site.client());
        assert_eq!(ipv6.connections(), 1);
    });
}

/// `::1` is the first address in the system's order.
#[test]
#[ignore = "needs root and network namespaces; run by .ci/run"]
fn tries_next_address_after_one_that_drops_packets() {
    in_namespaces(&["::1", FIRST], |_name_server, site| {
        let _full = full_listener(https("::1"));
        let front = site.listen(FIRST);
        let builder = site.builder().timeout(Duration::from_secs(6));
        let client = builder.build().unwrap();
        assert_succeeds(&client);
        assert_eq!(front.connections(), 1);
    });
}

// ---- Failed lookups

/// The open connection is idle for 61 s, which is too long to use it again.
#[test]
#[ignore = "needs root and network namespaces; run by .ci/run"]
fn new_connection_uses_last_known_addresses_without_name_server() {
    in_namespaces(&[FIRST], |name_server, site| {
        let front = site.listen(FIRST);
        let client = site.client();
        assert_succeeds(&client);
        drop(name_server);
        thread::sleep(EXPIRY);
        for _ in 0..3 {
            assert_succeeds(&client);
        }
        assert_eq!(front.connections(), 2);
    });
}

#[test]
#[ignore = "needs root and network namespaces; run by .ci/run"]
fn new_connection_uses_last_known_addresses_with_silent_name_server() {
    in_namespaces(&[FIRST], |name_server, site| {
        let front = site.listen(FIRST);
        let builder = site.builder().timeout(Duration::from_secs(2));
        let client = builder.build().unwrap();
        assert_succeeds(&client);
        drop(front);
        let error = client.get_process(TASK).unwrap_err();
        assert_eq!(transport_kind(&error), TransportErrorKind::Connect);

        name_server.set_silent(true);
        let front = site.listen(FIRST);
        assert_succeeds(&client);
        // The failed connection caused a lookup.
        assert_eq!(name_server.query_count(), 2 * QUERIES);
        assert_eq!(front.connections(), 1);
    });
}

#[test]
#[ignore = "needs root and network namespaces; run by .ci/run"]
fn a_failed_lookup_is_an_error_of_dns_and_is_not_cached() {
    in_namespaces(&[], |name_server, site| {
        let _front = site.listen(FIRST);
        let missing = site.builder_for("https://open-api.missing");
        let error = missing.build().unwrap().get_process(TASK).unwrap_err();
        assert_eq!(transport_kind(&error), TransportErrorKind::Dns);
        assert!(error.is_transient() && !error.may_have_taken_effect());
        let text = "cannot look up open-api.missing; check its name and the network";
        assert_eq!(error.to_string(), text);
        let texts = all_texts(&error);
        assert!(texts.contains("Name or service not known"), "{texts}");
        assert_eq!(name_server.queries(), ["open-api.missing"; QUERIES]);

        let client = site.client();
        for lookups in 2..=3 {
            let error = client.get_process(TASK).unwrap_err();
            assert_eq!(transport_kind(&error), TransportErrorKind::Dns);
            assert_eq!(name_server.query_count(), lookups * QUERIES);
        }
        name_server.set_addresses(addresses(&[FIRST]));
        assert_succeeds(&client);
    });
}

#[test]
#[ignore = "needs root and network namespaces; run by .ci/run"]
fn failed_lookup_of_the_proxy_names_the_proxy() {
    in_namespaces(&[FIRST], |name_server, _| {
        let proxy = ureq::Proxy::new("http://proxy.missing:3128").unwrap();
        let builder = support::builder(BASE_URL).timeout(TIMEOUT);
        let builder = builder.configure_agent(|agent| agent.proxy(Some(proxy)));
        let client = builder.build().unwrap();
        let error = client.get_process(TASK).unwrap_err();
        assert_eq!(transport_kind(&error), TransportErrorKind::Dns);
        let text = "cannot look up the proxy proxy.missing; check its name and the network";
        assert_eq!(error.to_string(), text);

        name_server.set_silent(true);
        let error = client.get_process(TASK).unwrap_err();
        assert_eq!(transport_kind(&error), TransportErrorKind::Timeout);
        let text = "timed out looking up the proxy proxy.missing; check the name server, raise `timeout`, or try again later";
        assert_eq!(error.to_string(), text);
    });
}

// ---- Threads

/// Id of a new thread. In a separate process namespace, threads have consecutive ids.
fn new_thread_id() -> u32 {
    let read_id = || fs::read_link("/proc/thread-self").unwrap();
    let path = thread::spawn(read_id).join().unwrap();
    path.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// Number of threads that `call` starts.
fn count_started_threads(call: impl FnOnce()) -> u32 {
    let before = new_thread_id();
    call();
    new_thread_id() - before - 1
}

#[test]
#[ignore = "needs root and network namespaces; run by .ci/run"]
fn only_a_lookup_starts_a_thread() {
    in_namespaces(&[], |_, _| {
        let port = start_single_threaded_service();
        let by_name = support::builder(format!("http://localhost:{port}"));
        let by_name = by_name.build().unwrap();
        let started = count_started_threads(|| assert_succeeds(&by_name));
        assert_eq!(started, 1, "the first call by name");
        let calls = || (0..100).for_each(|_| assert_succeeds(&by_name));
        let started = count_started_threads(calls);
        assert_eq!(started, 0, "calls over the open connection");
        drop(by_name);

        let by_address = |_| {
            let builder = support::builder(format!("http://127.0.0.1:{port}"));
            assert_succeeds(&builder.build().unwrap());
        };
        let started = count_started_threads(|| (0..10).for_each(by_address));
        assert_eq!(started, 0, "calls by address");
    });
}

/// A service that serves one connection after the other, without a thread for each.
fn start_single_threaded_service() -> u16 {
    const BODY: &str =
        r#"{"code":0,"message":"ok","data":{"process":37,"status":0},"x-traceID":"1"}"#;

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let response = front::http("200 OK", "", BODY);
    thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            // A request has no body, so that an empty line ends it.
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            lines
                .filter(String::is_empty)
                .for_each(|_| front::write(&stream, &response));
        }
    });
    port
}

// ---- Timeout of each phase

const TIMEOUT: Duration = Duration::from_secs(1);
/// `TIMEOUT` and a margin for a slow machine.
const MAX_ELAPSED: Duration = Duration::from_secs(4);

/// Runs a call that hangs in this phase, and checks that the timeout ends the call.
#[track_caller]
fn assert_bounded(phase: &str, builder: ClientBuilder) -> Client {
    let client = builder.timeout(TIMEOUT).retries(2).build().unwrap();
    let started = Instant::now();
    let error = client.get_process(TASK).unwrap_err();
    let elapsed = started.elapsed();
    println!("{phase}: {elapsed:?}: {error}");
    assert!(elapsed < MAX_ELAPSED, "{phase}: {elapsed:?}");
    assert_eq!(transport_kind(&error), TransportErrorKind::Timeout);
    let is_unsent = error.is_transient() && !error.may_have_taken_effect();
    assert!(is_unsent, "{phase}: {error:?}");
    client
}

#[test]
#[ignore = "needs root and network namespaces; run by .ci/run"]
fn timeout_bounds_lookup() {
    in_namespaces(&[FIRST], |name_server, site| {
        let _front = site.listen(FIRST);
        name_server.set_silent(true);
        let client = thread::scope(|scope| {
            let calls = [(); 4].map(|()| scope.spawn(|| assert_bounded("lookup", site.builder())));
            calls.map(|call| call.join().unwrap())[0].clone()
        });
        name_server.set_silent(false);
        name_server.set_delay(Duration::from_millis(1500));
        assert_bounded("slow lookup", site.builder());
        assert_eq!(site.service.request_count(), 0);
        name_server.set_delay(Duration::ZERO);
        let deadline = Instant::now() + Duration::from_secs(60);
        while client.get_process(TASK).is_err() {
            assert!(Instant::now() < deadline, "no call succeeds afterwards");
        }
    });
}

/// A response that a proxy sends byte by byte is not bounded: ureq allows the whole time for each read of it.
#[test]
#[ignore = "needs root and network namespaces; run by .ci/run"]
fn timeout_bounds_wait_for_proxy() {
    in_namespaces(&[FIRST], |_name_server, site| {
        let silent = TcpListener::bind((FIRST, 0)).unwrap();
        let proxy = silent.local_addr().unwrap();
        assert_bounded("silent proxy", site.builder_through(proxy));
    });
}
