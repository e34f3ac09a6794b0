//! The server, in a process of its own: the stand-in without its records, and the same response
//! over TLS.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pan123_offline::testing::Service;
use pan123_offline::{Progress, Status};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The one task that all clients request.
const TASK: u64 = 403_316;

/// The server's host name, where there is a name server that knows it.
const HOST: &str = "open-api.test";

#[derive(Clone, Copy)]
pub enum Scheme {
    Http,
    Https,
    /// TLS by host name.
    HttpsByName,
}

/// This program, run again as `serve`.
pub struct Server {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    bases: [String; 3],
    certificate: PathBuf,
}

/// The URL that a client calls.
pub struct Endpoint<'a> {
    pub base: &'a str,
    /// The certificate to trust over TLS.
    pub certificate: Option<&'a Path>,
}

impl Server {
    pub fn start() -> Self {
        let certificate = std::env::temp_dir().join(format!("peers-{}.pem", std::process::id()));
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("serve")
            .arg(&certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let (http, https) = (read_line(&mut output), read_line(&mut output));
        let by_name = https.replace(&Ipv4Addr::LOCALHOST.to_string(), HOST);
        Self {
            input: process.stdin.take(),
            process,
            output,
            bases: [http, https, by_name],
            certificate,
        }
    }

    pub fn endpoint(&self, scheme: Scheme) -> Endpoint<'_> {
        let certificate = match scheme {
            Scheme::Http => None,
            Scheme::Https | Scheme::HttpsByName => Some(self.certificate.as_path()),
        };
        Endpoint {
            base: &self.bases[scheme as usize],
            certificate,
        }
    }

    /// Returns the number of connections so far.
    pub fn connections(&mut self, scheme: Scheme) -> u64 {
        self.input
            .as_mut()
            .unwrap()
            .write_all(b"connections?\n")
            .unwrap();
        let counts = read_line(&mut self.output);
        let (http, https) = counts.split_once(' ').unwrap();
        let count = match scheme {
            Scheme::Http => http,
            Scheme::Https | Scheme::HttpsByName => https,
        };
        count.parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process ends at the end of its standard input.
        drop(self.input.take());
        self.process.wait().unwrap();
        fs::remove_file(&self.certificate).unwrap();
    }
}

fn read_line(output: &mut impl BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// Serves until standard input ends. Prints both base URLs, then the number of connections for each
/// line that it reads.
pub fn serve(certificate: &str) {
    let service = stand_in();
    service.keep_requests(0);
    let tls = Tls::start(certificate, response_of(&service));
    // Without the connection that `response_of` made.
    let own = service.connection_count();
    println!("{}\nhttps://{}", service.base_url(), tls.address);
    for _ in std::io::stdin().lines() {
        println!(
            "{} {}",
            service.connection_count() - own,
            tls.connections.load(Ordering::SeqCst)
        );
    }
}

/// Starts the service with that task.
pub fn stand_in() -> Service {
    let service = Service::start().unwrap();
    service.task(TASK, [Progress::new(Status::Succeeded, 100)]);
    service
}

/// Returns the bytes of the stand-in's response.
fn response_of(service: &Service) -> Vec<u8> {
    let mut stream = TcpStream::connect(service.address()).unwrap();
    write!(
        stream,
        "GET /api/v1/oss/offline/download/process?taskID={TASK} HTTP/1.1\r\nHost: {}\r\n\
         Authorization: Bearer t\r\nPlatform: open_platform\r\n\r\n",
        service.address()
    )
    .unwrap();
    let (mut response, mut stream) = (Vec::new(), BufReader::new(stream));
    while !response.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_until(b'\n', &mut response).unwrap(), 0);
    }
    let header = String::from_utf8(response.clone()).unwrap();
    let length = header
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .unwrap();
    stream
        .take(length.parse().unwrap())
        .read_to_end(&mut response)
        .unwrap();
    response
}

/// Sends the same response to every request over TLS.
struct Tls {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Tls {
    /// Writes the certificate to trust into a file.
    fn start(certificate: &str, response: Vec<u8>) -> Self {
        let (config, pem) = tls_config();
        fs::write(certificate, pem).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, response) = (Arc::clone(&connections), Arc::new(response));
        thread::spawn(move || {
            for socket in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let (config, response) = (Arc::clone(&config), Arc::clone(&response));
                // The client reports a broken connection itself.
                thread::spawn(move || {
                    drop(socket.and_then(|socket| respond_to_all(socket, config, &response)))
                });
            }
        });
        Self {
            address,
            connections,
        }
    }
}

/// Returns a server's settings with a certificate for its address and its name, and the certificate.
fn tls_config() -> (Arc<ServerConfig>, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = [Ipv4Addr::LOCALHOST.to_string(), HOST.to_owned()];
    let parameters = rcgen::CertificateParams::new(names).unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    let chain: Vec<CertificateDer<'_>> = vec![certificate.der().clone()];
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    (Arc::new(config), certificate.pem())
}

/// Responds to requests without a body, until the client closes.
fn respond_to_all(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    response: &[u8],
) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, socket);
    let (mut request, mut filled) = ([0; 4096], 0);
    loop {
        match stream.read(&mut request[filled..])? {
            0 => return Ok(()),
            read => filled += read,
        }
        if request[..filled].ends_with(b"\r\n\r\n") {
            stream.write_all(response)?;
            stream.flush()?;
            filled = 0;
        }
    }
}
