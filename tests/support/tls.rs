//! A TLS server in front of a stand-in that forwards bytes between two sockets.
//!
//! It closes without `close_notify`, as a killed server does.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use pan123_offline::ureq::tls::{Certificate, RootCerts, TlsConfig};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

/// A certificate and its key.
#[derive(Clone)]
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
    pub(crate) config: Arc<ServerConfig>,
}

impl Identity {
    /// Creates a certificate for this name or address. `change` may make it invalid.
    pub(crate) fn new(name: &str, change: impl FnOnce(&mut rcgen::CertificateParams)) -> Self {
        let mut parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut parameters);
        let key = rcgen::KeyPair::generate().unwrap();
        let signed = parameters.self_signed(&key).unwrap();
        let certificate = signed.der().clone();
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
            certificate_pem: signed.pem(),
            key_pem: key.serialize_pem(),
            config: Arc::new(config),
        }
    }

    /// Returns the settings of a client that trusts the certificate.
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
    resumed: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl TlsFront {
    /// Starts a server with a self-signed certificate for 127.0.0.1. `change` may make it invalid.
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
        let connections = Arc::<AtomicUsize>::default();
        let resumed = Arc::<AtomicUsize>::default();
        let stopped = Arc::<AtomicBool>::default();
        let (count, resumed_count) = (Arc::clone(&connections), Arc::clone(&resumed));
        let (stop, config) = (Arc::clone(&stopped), Arc::clone(&identity.config));
        let acceptor = std::thread::spawn(move || {
            let mut pumps = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let (config, stop) = (Arc::clone(&config), Arc::clone(&stop));
                let resumed = Arc::clone(&resumed_count);
                // The client reports a broken connection.
                pumps.push(std::thread::spawn(move || {
                    drop(pump(stream, backend, config, &resumed, &stop))
                }));
            }
            pumps.into_iter().for_each(|pump| drop(pump.join()));
        });
        Self {
            address,
            identity,
            connections,
            resumed,
            stopped,
            acceptor: Some(acceptor),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn base_url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Number of connections that resumed the TLS session of an earlier one.
    pub(crate) fn resumed(&self) -> usize {
        self.resumed.load(Ordering::SeqCst)
    }

    /// Returns the settings of a client that trusts the certificate.
    pub(crate) fn trust(&self) -> TlsConfig {
        self.identity.trust()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        // After that the listener and all connections are closed.
        drop(self.acceptor.take().map(JoinHandle::join));
    }
}

fn pump(
    stream: TcpStream,
    backend: SocketAddr,
    config: Arc<ServerConfig>,
    resumed: &AtomicUsize,
    stopped: &AtomicBool,
) -> std::io::Result<()> {
    let wait = Some(Duration::from_millis(1));
    stream.set_nodelay(true)?;
    stream.set_read_timeout(wait)?;
    let mut tls = StreamOwned::new(
        ServerConnection::new(config).map_err(std::io::Error::other)?,
        stream,
    );
    while tls.conn.is_handshaking() && !stopped.load(Ordering::SeqCst) {
        match tls.conn.complete_io(&mut tls.sock) {
            Err(e) if !is_timeout(&e) => return Err(e),
            _ => {}
        }
    }
    if tls.conn.handshake_kind() == Some(HandshakeKind::Resumed) {
        resumed.fetch_add(1, Ordering::SeqCst);
    }
    let mut plain = TcpStream::connect(backend)?;
    plain.set_read_timeout(wait)?;
    while !stopped.load(Ordering::SeqCst) {
        if !forward(&mut tls, &mut plain)? || !forward(&mut plain, &mut tls)? {
            break;
        }
    }
    Ok(())
}

/// Forwards the bytes that have arrived. Returns false at the end of the stream.
fn forward(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<bool> {
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
