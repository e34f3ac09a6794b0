//! A certificate authority of this process, and certificates that it issues.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use pan123_offline::ureq::tls::{Certificate, RootCerts, TlsConfig};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

static AUTHORITY: LazyLock<CertifiedIssuer<'static, KeyPair>> = LazyLock::new(|| {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters
        .distinguished_name
        .push(DnType::CommonName, "test authority");
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
});

/// A certificate and its key in PEM, the format that nginx reads.
pub(crate) struct Identity {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// The certificate of the authority in DER.
pub(crate) fn root() -> &'static [u8] {
    AUTHORITY.der()
}

/// Returns the settings of a client that trusts this root certificate only.
pub(crate) fn trust(root: &[u8]) -> TlsConfig {
    let root = Certificate::from_der(root).to_owned();
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[root]))
        .build()
}

/// Issues a certificate for this name or address. `change` may make it invalid.
pub(crate) fn issued(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let (mut parameters, key) = (parameters(name), KeyPair::generate().unwrap());
    change(&mut parameters);
    identity(&parameters.signed_by(&key, &AUTHORITY).unwrap(), &key)
}

/// Creates a certificate that no authority has signed.
pub(crate) fn self_signed(name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    identity(&parameters(name).self_signed(&key).unwrap(), &key)
}

fn parameters(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

fn identity(certificate: &rcgen::Certificate, key: &KeyPair) -> Identity {
    Identity {
        certificate: pem("x509", certificate.der()),
        key: pem("pkey", &key.serialize_der()),
    }
}

/// Converts DER to PEM by openssl; `kind` is its subcommand.
fn pem(kind: &str, der: &[u8]) -> Vec<u8> {
    let mut openssl = Command::new("openssl")
        .args([kind, "-inform", "DER"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    openssl.stdin.take().unwrap().write_all(der).unwrap();
    let output = openssl.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {kind}: {}", output.status);
    output.stdout
}
