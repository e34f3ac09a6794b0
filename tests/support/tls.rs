//! TLS in front of a stand-in: a pump between two sockets.
//!
//! Where the stand-in closes without notice, so does this: without TLS's own farewell, as a killed server would.
#![allow(dead_code, reason = "no test file needs all of it")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use pan123_offline::ureq::tls::{Certificate, RootCerts, TlsConfig};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A certificate, its key, and a client's trust in it.
#[derive(Clone)]
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    config: Arc<ServerConfig>,
}

impl Identity {
    /// Valid for this name or address, unless `change` spoils it.
    pub(crate) fn new(name: &str, change: impl FnOnce(&mut rcgen::CertificateParams)) -> Self {
        let mut parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut parameters);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap().der().clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        Self {
            certificate,
            config: Arc::new(config),
        }
    }

    /// What makes a client trust the certificate.
    pub(crate) fn trust(&self) -> TlsConfig {
        let root = Certificate::from_der(&self.certificate).to_owned();
        TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[root]))
            .build()
    }
}

pub(crate) struct TlsFront {
    address: SocketAddr,
    identity: Identity,
    connections: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl TlsFront {
    /// With a certificate for 127.0.0.1 that is good by itself; `change` may spoil it.
    pub(crate) fn start(
        backend: SocketAddr,
        change: impl FnOnce(&mut rcgen::CertificateParams),
    ) -> Self {
        Self::listen(
            ("127.0.0.1", 0),
            backend,
            Identity::new("127.0.0.1", change),
        )
    }

    pub(crate) fn listen(
        address: impl ToSocketAddrs,
        backend: SocketAddr,
        identity: Identity,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, over) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (count, stop, config) = (
            Arc::clone(&connections),
            Arc::clone(&over),
            Arc::clone(&identity.config),
        );
        let acceptor = std::thread::spawn(move || {
            let mut pumps = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let (config, stop) = (Arc::clone(&config), Arc::clone(&stop));
                // A connection that breaks is the client's affair.
                pumps.push(std::thread::spawn(move || {
                    drop(pump(stream, backend, config, &stop))
                }));
            }
            pumps.into_iter().for_each(|pump| drop(pump.join()));
        });
        Self {
            address,
            identity,
            connections,
            over,
            acceptor: Some(acceptor),
        }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// What makes a client trust the certificate.
    pub(crate) fn trust(&self) -> TlsConfig {
        self.identity.trust()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        // Then the listener and all connections are closed.
        drop(self.acceptor.take().map(JoinHandle::join));
    }
}

fn pump(
    stream: TcpStream,
    backend: SocketAddr,
    config: Arc<ServerConfig>,
    over: &AtomicBool,
) -> std::io::Result<()> {
    let wait = Some(Duration::from_millis(1));
    stream.set_nodelay(true)?;
    stream.set_read_timeout(wait)?;
    let mut tls = StreamOwned::new(
        ServerConnection::new(config).map_err(std::io::Error::other)?,
        stream,
    );
    while tls.conn.is_handshaking() && !over.load(Ordering::SeqCst) {
        match tls.conn.complete_io(&mut tls.sock) {
            Err(e) if !is_timeout(&e) => return Err(e),
            _ => {}
        }
    }
    let mut plain = TcpStream::connect(backend)?;
    plain.set_read_timeout(wait)?;
    while !over.load(Ordering::SeqCst) {
        if !pass(&mut tls, &mut plain)? || !pass(&mut plain, &mut tls)? {
            break;
        }
    }
    Ok(())
}

/// Passes on what is there; false at the end.
fn pass(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<bool> {
    let mut buffer = [0; 4096];
    match from.read(&mut buffer) {
        Ok(0) => Ok(false),
        Ok(read) => to
            .write_all(&buffer[..read])
            .and_then(|()| to.flush())
            .map(|()| true),
        Err(e) if is_timeout(&e) => Ok(true),
        Err(e) => Err(e),
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
