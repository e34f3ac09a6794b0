//! Scenarios: set up a fault, make a call, remove the fault, and make the same call again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use pan123_offline::Client;
use pan123_offline::testing::{Reply, Service};
use pan123_offline::ureq::tls::{Certificate, RootCerts, TlsConfig};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::call::{Call, notation};
use crate::front::{Fault, Front, empty, full_listener, pass, read_most, write};
use crate::support::{TASK, TOKEN, service};
use crate::tls::TlsFront;

/// One row of the table.
pub(crate) struct Row {
    pub(crate) place: &'static str,
    pub(crate) fault: &'static str,
    pub(crate) cell: Box<dyn Fn(Call) -> String + Send + Sync>,
}

impl Row {
    fn new(
        place: &'static str,
        fault: &'static str,
        cell: impl Fn(Call) -> String + Send + Sync + 'static,
    ) -> Self {
        Self {
            place,
            fault,
            cell: Box::new(cell),
        }
    }
}

/// The settings of a scenario.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
    /// Whether the fault affects one request only.
    pub(crate) once: bool,
    /// Whether the client has made a call before, and has a connection in its pool.
    pub(crate) pooled: bool,
    pub(crate) tls: bool,
    /// Number of additional bytes in the request, if the call allows them.
    pub(crate) padding: usize,
}

pub(crate) const DEFAULT: Settings = Settings {
    timeout: Duration::from_secs(20),
    retries: 0,
    once: false,
    pooled: false,
    tls: false,
    padding: 0,
};

/// Settings for faults that only the timeout ends. Not shorter, because sending gets only a part of
/// the timeout.
pub(crate) const SHORT_TIMEOUT: Settings = Settings {
    timeout: Duration::from_secs(6),
    ..DEFAULT
};

impl Settings {
    fn client(self, call: Call, base_url: &str, trust: Option<TlsConfig>) -> Client {
        let builder = call
            .builder(base_url)
            .timeout(self.timeout)
            .retries(self.retries);
        match trust {
            Some(trust) => builder
                .configure_agent(|agent| agent.tls_config(trust))
                .build()
                .unwrap(),
            None => builder.build().unwrap(),
        }
    }
}

/// A stand-in that accepts `TOKEN` and the tokens that it issues.
fn backend() -> Service {
    let service = service();
    service.require_token(TOKEN);
    service
}

fn free_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn request_count(service: &Service, call: Call) -> usize {
    service
        .requests()
        .iter()
        .filter(|request| call.is_sent_as(request))
        .count()
}

/// Makes the call with the fault, and again without it: the second call must succeed.
fn cell(
    call: Call,
    client: &Client,
    padding: usize,
    count: impl Fn() -> usize,
    lift: impl FnOnce(),
) -> String {
    let before = count();
    let result = call.make(client, padding);
    let requests = count() - before;
    lift();
    let next = call.make(client, 0);
    let note = if matches!(next, Ok(true)) {
        ""
    } else {
        ", and the next call fails"
    };
    notation(&result, requests) + note
}

/// Leaves a connection in the client's pool. A client without a token leaves one after a failed
/// call.
fn fill_pool(call: Call, client: &Client, service: &Service) {
    if call == Call::Token {
        service.reply_next(Reply::new(503));
    }
    assert_eq!(client.get_process(TASK).is_ok(), call != Call::Token);
}

fn address(front: &TlsFront) -> SocketAddr {
    front
        .base_url()
        .trim_start_matches("https://")
        .parse()
        .unwrap()
}

/// A row of faults in a response. Replies with the same result share the row.
pub(crate) fn response(
    place: &'static str,
    fault: &'static str,
    settings: Settings,
    replies: impl Fn(Call) -> Vec<Reply> + Send + Sync + 'static,
) -> Row {
    let cell = move |call: Call| {
        // Side by side, because many of them wait for a timeout.
        let mut cells: Vec<_> = thread::scope(|scope| {
            let run = |reply| scope.spawn(move || response_cell(call, settings, reply));
            let threads: Vec<_> = replies(call).into_iter().map(run).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        cells.dedup();
        cells.join(" OR ")
    };
    Row::new(place, fault, cell)
}

fn response_cell(call: Call, settings: Settings, reply: Reply) -> String {
    let service = backend();
    let front = settings
        .tls
        .then(|| TlsFront::start(service.address(), |_| {}));
    let client = match &front {
        Some(front) => settings.client(call, &front.base_url(), Some(front.trust())),
        None => settings.client(call, &service.base_url(), None),
    };
    if settings.pooled {
        fill_pool(call, &client, &service);
    }
    let armed = Arc::new(AtomicBool::new(true));
    let is_armed = Arc::clone(&armed);
    service.reply_with(move |request| {
        let applies = call.is_sent_as(request)
            && if settings.once {
                is_armed.swap(false, Ordering::SeqCst)
            } else {
                is_armed.load(Ordering::SeqCst)
            };
        applies.then(|| reply.clone())
    });
    let cell = cell(
        call,
        &client,
        settings.padding,
        || request_count(&service, call),
        || armed.store(false, Ordering::SeqCst),
    );
    assert!(
        front.is_none_or(|front| front.connections() > 0),
        "the call did not go over TLS"
    );
    cell
}

/// A row of faults of whole connections. Each connection counts as one request.
pub(crate) fn connection(
    place: &'static str,
    fault: &'static str,
    settings: Settings,
    fault_of: fn(Call, TcpStream) -> Option<TcpStream>,
) -> Row {
    let cell = move |call: Call| {
        let service = backend();
        let tls = settings
            .tls
            .then(|| TlsFront::start(service.address(), |_| {}));
        let backend = tls.as_ref().map_or(service.address(), address);
        let fault: Fault = Arc::new(move |stream| fault_of(call, stream));
        let front = Front::start(free_port(), backend, fault);
        let client = match &tls {
            Some(tls) => settings.client(
                call,
                &format!("https://{}", front.address()),
                Some(tls.trust()),
            ),
            None => settings.client(call, &format!("http://{}", front.address()), None),
        };
        cell(
            call,
            &client,
            settings.padding,
            || front.connections(),
            || front.lift(),
        )
    };
    Row::new(place, fault, cell)
}

/// A row in which no server listens during the call, and one listens after it.
pub(crate) fn nobody_listens(place: &'static str, fault: &'static str) -> Row {
    let cell = |call: Call| {
        let service = backend();
        // An address of its own for each call: other rows run at the same time, and bind free ports of 127.0.0.1.
        let unused = TcpListener::bind(format!("127.0.0.{}:0", 2 + call as u8)).unwrap();
        let address = unused.local_addr().unwrap();
        drop(unused);
        let client = DEFAULT.client(call, &format!("http://{address}"), None);
        let mut front = None;
        let lift = || {
            front = Some(passing(
                TcpListener::bind(address).unwrap(),
                service.address(),
            ))
        };
        cell(call, &client, 0, || 0, lift)
    };
    Row::new(place, fault, cell)
}

/// A row in which the backlog is full during the call, and emptied after it.
pub(crate) fn full_backlog(place: &'static str, fault: &'static str) -> Row {
    let cell = |call: Call| {
        let service = backend();
        let (listener, queued) = full_listener("127.0.0.1:0");
        let client = SHORT_TIMEOUT.client(
            call,
            &format!("http://{}", listener.local_addr().unwrap()),
            None,
        );
        let mut front = None;
        let lift = || {
            drop(queued);
            empty(&listener);
            front = Some(passing(listener, service.address()));
        };
        cell(call, &client, 0, || 0, lift)
    };
    Row::new(place, fault, cell)
}

fn passing(listener: TcpListener, backend: SocketAddr) -> Front {
    let front = Front::start(listener, backend, Arc::new(|_| None));
    front.lift();
    front
}

/// A row in which the certificate is untrusted during the call, and trusted after it.
pub(crate) fn untrusted(place: &'static str, fault: &'static str) -> Row {
    let cell = |call: Call| {
        let service = backend();
        let start = || TlsFront::start(service.address(), |_| {});
        let (untrusted, trusted) = (start(), start());
        let untrusted_address = address(&untrusted);
        let fault: Fault = Arc::new(move |stream| {
            let _ = pass(stream, untrusted_address);
            None
        });
        let front = Front::start(free_port(), address(&trusted), fault);
        let client = DEFAULT.client(
            call,
            &format!("https://{}", front.address()),
            Some(trusted.trust()),
        );
        cell(call, &client, 0, || front.connections(), || front.lift())
    };
    Row::new(place, fault, cell)
}

/// A row in which the response is a TLS record that cannot be decrypted.
pub(crate) fn garbled(place: &'static str, fault: &'static str) -> Row {
    let cell = |call: Call| {
        let service = backend();
        let right = TlsFront::start(service.address(), |_| {});
        let (config, certificate) = own_tls();
        let fault: Fault = Arc::new(move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = StreamOwned::new(connection, stream);
            assert_ne!(tls.read(&mut [0; 4096]).unwrap(), 0);
            write(
                &tls.sock,
                [b"\x17\x03\x03\0\x20".as_slice(), &[0; 32]].concat(),
            );
            Some(tls.sock)
        });
        let front = Front::start(free_port(), address(&right), fault);
        let client = DEFAULT.client(
            call,
            &format!("https://{}", front.address()),
            Some(both(&right.trust(), certificate)),
        );
        cell(call, &client, 0, || front.connections(), || front.lift())
    };
    Row::new(place, fault, cell)
}

/// A row of faults of an idle connection in the client's pool. `first` is the response to the call
/// that put it there, and `then` is run before the next call.
pub(crate) fn idle(
    place: &'static str,
    fault: &'static str,
    first: fn(Call) -> String,
    then: fn(Call, TcpStream) -> Option<TcpStream>,
) -> Row {
    let cell = move |call: Call| {
        let service = backend();
        let (go, wait_for_go) = mpsc::channel();
        let (done, wait_for_done) = mpsc::channel();
        let wait_for_go = Mutex::new(wait_for_go);
        let fault: Fault = Arc::new(move |mut stream| {
            read_most(&mut stream);
            write(&stream, first(call));
            wait_for_go.lock().unwrap().recv().unwrap();
            let kept = then(call, stream);
            done.send(()).unwrap();
            kept
        });
        let front = Front::start(free_port(), service.address(), fault);
        let client = DEFAULT.client(call, &format!("http://{}", front.address()), None);
        assert_eq!(client.get_process(TASK).is_ok(), call != Call::Token);
        front.lift();
        go.send(()).unwrap();
        wait_for_done.recv().unwrap();
        // Gives the written bytes time to arrive at the other socket.
        thread::sleep(Duration::from_millis(20));
        cell(call, &client, 0, || request_count(&service, call), || ())
    };
    Row::new(place, fault, cell)
}

/// A row like [`idle`] over TLS: two responses, each in its own TLS record, written at once.
pub(crate) fn idle_tls(
    place: &'static str,
    fault: &'static str,
    first: fn(Call) -> String,
    second: fn(Call) -> String,
) -> Row {
    let cell = move |call: Call| {
        let service = backend();
        let right = TlsFront::start(service.address(), |_| {});
        let (config, certificate) = own_tls();
        let fault: Fault = Arc::new(move |stream| {
            let mut tls =
                StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            assert_ne!(tls.read(&mut [0; 4096]).unwrap(), 0);
            for response in [first(call), second(call)] {
                tls.conn.writer().write_all(response.as_bytes()).unwrap();
            }
            let mut records = Vec::new();
            while tls.conn.wants_write() {
                tls.conn.write_tls(&mut records).unwrap();
            }
            write(&tls.sock, records);
            // A further request gets no response, and then the end of the connection.
            let _ = tls.sock.read(&mut [0; 4096]);
            None
        });
        let front = Front::start(free_port(), address(&right), fault);
        let client = DEFAULT.client(
            call,
            &format!("https://{}", front.address()),
            Some(both(&right.trust(), certificate)),
        );
        assert_eq!(client.get_process(TASK).is_ok(), call != Call::Token);
        front.lift();
        cell(call, &client, 0, || request_count(&service, call), || ())
    };
    Row::new(place, fault, cell)
}

/// Returns the configuration of a TLS server, and its certificate for the client's roots.
fn own_tls() -> (Arc<ServerConfig>, Certificate<'static>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap().der().clone();
    let trusted = Certificate::from_der(&certificate).to_owned();
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
    (Arc::new(config), trusted)
}

fn both(one: &TlsConfig, other: Certificate<'static>) -> TlsConfig {
    let RootCerts::Specific(roots) = one.root_certs() else {
        unreachable!("the front has a certificate of its own")
    };
    let roots: Vec<_> = roots.iter().cloned().chain([other]).collect();
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .build()
}
