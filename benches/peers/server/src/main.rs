//! The server that the clients call, over HTTP and over TLS, and a name server for its name.
//!
//! `server CERTIFICATE [by-name]` writes the certificate to trust into a file, and prints both base
//! URLs. With `by-name` it is also the name server at 127.0.0.1:53. It ends with its standard input,
//! from which it reads commands:
//!
//! * `counts` prints the number of connections and that of DNS queries;
//! * `delay MILLISECONDS` makes the name server wait before it responds.

#[path = "../../../../tests/support/name_server.rs"]
mod name_server;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, thread};

use name_server::NameServer;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The server's host name, which its own name server knows.
const HOST: &str = "open-api.test";

const BODY: &str = r#"{"code":0,"message":"ok","data":{"process":100,"status":2},"x-traceID":"t"}"#;

static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (config, certificate) = tls_config();
    fs::write(arguments.next().expect("a file"), certificate).unwrap();
    let name_server = arguments.next().map(|_| {
        let server = NameServer::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 53))).unwrap();
        server.set_addresses(vec![Ipv4Addr::LOCALHOST.into()]);
        server
    });

    let http = listen(respond_to_all);
    let https = listen(move |socket| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        respond_to_all(StreamOwned::new(connection, socket))
    });
    let host = name_server
        .as_ref()
        .map_or(https.ip().to_string(), |_| HOST.to_owned());
    println!("http://{http}\nhttps://{host}:{}", https.port());
    for line in io::stdin().lines() {
        match line.unwrap().as_str() {
            "counts" => {
                let queries = name_server.as_ref().map_or(0, NameServer::query_count);
                println!("{} {queries}", CONNECTIONS.load(Ordering::SeqCst));
            }
            command => {
                let milliseconds = command.strip_prefix("delay ").unwrap().parse().unwrap();
                name_server
                    .as_ref()
                    .unwrap()
                    .set_delay(Duration::from_millis(milliseconds));
            }
        }
    }
}

/// Runs `serve` for each connection, in a thread of its own. Returns the address.
fn listen(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (socket, serve) = (socket.unwrap(), Arc::clone(&serve));
            CONNECTIONS.fetch_add(1, Ordering::SeqCst);
            socket.set_nodelay(true).unwrap();
            // The client reports a broken connection itself.
            thread::spawn(move || drop(serve(socket)));
        }
    });
    address
}

/// Responds to requests without a body, until the client closes.
fn respond_to_all(mut stream: impl Read + Write) -> io::Result<()> {
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let (mut request, mut filled) = ([0; 4096], 0);
    loop {
        match stream.read(&mut request[filled..])? {
            0 => return Ok(()),
            read => filled += read,
        }
        if !request[..filled].ends_with(b"\r\n\r\n") {
            continue;
        }
        stream.write_all(response.as_bytes())?;
        stream.flush()?;
        filled = 0;
    }
}

/// Returns the settings for TLS, and a certificate for the server's address and its name.
fn tls_config() -> (Arc<ServerConfig>, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = [Ipv4Addr::LOCALHOST.to_string(), HOST.to_owned()];
    let certificate = rcgen::CertificateParams::new(names)
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    (Arc::new(config), certificate.pem())
}
