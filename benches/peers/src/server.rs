//! The server, in a process of its own: the stand-in in its leanest form, and the same answer over TLS.

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

/// The one task that all clients ask for.
const TASK: u64 = 403_316;

#[derive(Clone, Copy)]
pub enum Scheme {
    Http,
    Https,
}

/// This program, run again as `serve`.
pub struct Server {
    process: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    bases: [String; 2],
    certificate: PathBuf,
}

/// Where a client is sent.
pub struct Place<'a> {
    pub base: &'a str,
    /// What to trust over TLS.
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
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let bases = [line(&mut answers), line(&mut answers)];
        Self { questions: process.stdin.take(), process, answers, bases, certificate }
    }

    pub fn place(&self, scheme: Scheme) -> Place<'_> {
        let certificate = match scheme {
            Scheme::Http => None,
            Scheme::Https => Some(self.certificate.as_path()),
        };
        Place { base: &self.bases[scheme as usize], certificate }
    }

    /// How many connections there have been so far.
    pub fn connections(&mut self, scheme: Scheme) -> u64 {
        self.questions.as_mut().unwrap().write_all(b"connections?\n").unwrap();
        let counts = line(&mut self.answers);
        counts.split(' ').nth(scheme as usize).unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its standard input ends it.
        drop(self.questions.take());
        self.process.wait().unwrap();
        fs::remove_file(&self.certificate).unwrap();
    }
}

fn line(answers: &mut impl BufRead) -> String {
    let mut line = String::new();
    answers.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// The server itself, until standard input ends. Says both base URLs, then the connections so far for each line it reads.
pub fn serve(certificate: &str) {
    let service = stand_in();
    service.keep_requests(0);
    let tls = Tls::start(certificate, answer_of(&service));
    // The connection that `answer_of` made is none of a client's.
    let own = service.connection_count();
    println!("{}\nhttps://{}", service.base_url(), tls.address);
    for _ in std::io::stdin().lines() {
        println!("{} {}", service.connection_count() - own, tls.connections.load(Ordering::SeqCst));
    }
}

/// The service with that task.
pub fn stand_in() -> Service {
    let service = Service::start().unwrap();
    service.task(TASK, [Progress::new(Status::Succeeded, 100)]);
    service
}

/// What the stand-in answers, to its last byte.
fn answer_of(service: &Service) -> Vec<u8> {
    let mut stream = TcpStream::connect(service.address()).unwrap();
    write!(
        stream,
        "GET /api/v1/oss/offline/download/process?taskID={TASK} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer t\r\n\
         Platform: open_platform\r\n\r\n",
        service.address()
    )
    .unwrap();
    let (mut answer, mut stream) = (Vec::new(), BufReader::new(stream));
    while !answer.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_until(b'\n', &mut answer).unwrap(), 0);
    }
    let head = String::from_utf8(answer.clone()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    stream.take(length.parse().unwrap()).read_to_end(&mut answer).unwrap();
    answer
}

/// Gives one answer to every request over TLS.
struct Tls {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Tls {
    /// Writes the certificate to trust into a file.
    fn start(certificate: &str, answer: Vec<u8>) -> Self {
        let (config, pem) = tls_config();
        fs::write(certificate, pem).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (count, answer) = (Arc::clone(&connections), Arc::new(answer));
        thread::spawn(move || {
            for socket in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let (config, answer) = (Arc::clone(&config), Arc::clone(&answer));
                // A connection that breaks is the client's affair.
                thread::spawn(move || drop(socket.and_then(|socket| answer_all(socket, config, &answer))));
            }
        });
        Self { address, connections }
    }
}

/// A server's settings with a certificate for 127.0.0.1, and that certificate.
fn tls_config() -> (Arc<ServerConfig>, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    let chain: Vec<CertificateDer<'_>> = vec![certificate.der().clone()];
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    (Arc::new(config), certificate.pem())
}

/// Answers requests without a body, until the client closes.
fn answer_all(socket: TcpStream, config: Arc<ServerConfig>, answer: &[u8]) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut stream = StreamOwned::new(ServerConnection::new(config).map_err(std::io::Error::other)?, socket);
    let (mut request, mut filled) = ([0; 4096], 0);
    loop {
        match stream.read(&mut request[filled..])? {
            0 => return Ok(()),
            read => filled += read,
        }
        if request[..filled].ends_with(b"\r\n\r\n") {
            stream.write_all(answer)?;
            stream.flush()?;
            filled = 0;
        }
    }
}
