//! The floor: one write, one read, nothing allocated.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use call::{Envelope, TASK, Target};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

fn main() {
    call::run(|target| {
        let (_, address) = target.base.split_once("://").unwrap();
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut stream: Box<dyn Stream> = match target.pem() {
            Some(pem) => Box::new(secured(socket, address, &pem)),
            None => Box::new(socket),
        };
        let headers = headers(&target);
        let (mut request, mut response) = (Vec::with_capacity(2048), [0; 4096]);
        move || {
            request.clear();
            write!(
                request,
                "GET /api/v1/oss/offline/download/process?taskID={TASK} HTTP/1.1\r\n{headers}"
            )
            .unwrap();
            stream.write_all(&request).unwrap();
            stream.flush().unwrap();
            let body = receive(&mut stream, &mut response);
            serde_json::from_slice::<Envelope<&str>>(body)
                .unwrap()
                .percent()
        }
    });
}

fn headers(target: &Target) -> String {
    let (_, host) = target.base.split_once("://").unwrap();
    let lines = call::headers().map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("Host: {host}\r\n{}\r\n", lines.concat())
}

/// Reads until the body is complete.
fn receive<'a>(stream: &mut impl Read, response: &'a mut [u8]) -> &'a [u8] {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut response[filled..]).unwrap();
        assert_ne!(read, 0, "the connection ended");
        filled += read;
        if let Some((start, end)) = body(&response[..filled]) {
            return &response[start..end];
        }
    }
}

/// Returns the range of the body, once it is complete.
fn body(response: &[u8]) -> Option<(usize, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(start) = head.parse(response).unwrap() else {
        return None;
    };
    assert_eq!(head.code, Some(200));
    let length = head
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("Content-Length"))
        .unwrap();
    let end = start
        + std::str::from_utf8(length.value)
            .unwrap()
            .parse::<usize>()
            .unwrap();
    (response.len() >= end).then_some((start, end))
}

fn secured(
    socket: TcpStream,
    address: &str,
    pem: &[u8],
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pem).unwrap())
        .unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (host, _) = address.rsplit_once(':').unwrap();
    let name = ServerName::try_from(host).unwrap().to_owned();
    StreamOwned::new(
        ClientConnection::new(Arc::new(config), name).unwrap(),
        socket,
    )
}
