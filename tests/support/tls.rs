//! TLS in front of a stand-in: a pump between two sockets.
//!
//! Where the stand-in closes without notice, so does this: without TLS's own farewell, as a killed server would.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pan123_offline::ureq::tls::{Certificate, RootCerts, TlsConfig};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub(crate) struct TlsFront {
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    connections: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl TlsFront {
    /// With a certificate for 127.0.0.1 that is good by itself; `change` may spoil it.
    pub(crate) fn start(backend: SocketAddr, change: impl FnOnce(&mut rcgen::CertificateParams)) -> Self {
        let mut parameters = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        change(&mut parameters);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap().der().clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stop, config) = (Arc::clone(&connections), Arc::clone(&over), Arc::new(config));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let (config, stop) = (Arc::clone(&config), Arc::clone(&stop));
                // A connection that breaks is the client's affair.
                std::thread::spawn(move || drop(pump(stream, backend, config, &stop)));
            }
        });
        Self { address, certificate, connections, over }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// What makes a client trust the certificate.
    pub(crate) fn trust(&self) -> TlsConfig {
        let root = Certificate::from_der(&self.certificate).to_owned();
        TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[root])).build()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn pump(stream: TcpStream, backend: SocketAddr, config: Arc<ServerConfig>, over: &AtomicBool) -> std::io::Result<()> {
    let wait = Some(Duration::from_millis(1));
    stream.set_nodelay(true)?;
    let mut tls = StreamOwned::new(ServerConnection::new(config).map_err(std::io::Error::other)?, stream);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    let mut plain = TcpStream::connect(backend)?;
    plain.set_read_timeout(wait)?;
    tls.sock.set_read_timeout(wait)?;
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
        Ok(read) => to.write_all(&buffer[..read]).and_then(|()| to.flush()).map(|()| true),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(true),
        Err(e) => Err(e),
    }
}
