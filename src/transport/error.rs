//! Conversion of ureq's errors into [`TransportError`].

use std::io;
use std::sync::Arc;

use ureq::Timeout;

use super::resolver::LookupError;
use crate::error::{Delivery, Error, TransportError, TransportErrorKind as Kind};

/// Converts the error of a request that has no response. `body_taken` tells whether ureq began to send the body; a
/// request without a body has `None`, and the error's kind decides whether it may have been sent.
pub(super) fn transport_error(error: ureq::Error, host: &str, body_taken: Option<bool>) -> Error {
    let (kind, may_be_sent) = classify(&error);
    let message = message(kind, &error, host);
    // With an io::Error as the source a caller can ask for its kind.
    let source: Arc<dyn std::error::Error + Send + Sync> = match error {
        ureq::Error::Io(e) => Arc::new(e),
        other => Arc::new(other),
    };
    let delivery = if body_taken.unwrap_or(may_be_sent) {
        Delivery::MaybeSent
    } else {
        Delivery::NotSent
    };
    Error::Transport(TransportError::new(kind, message, delivery, Some(source)))
}

/// Returns whether the next connection needs a new DNS lookup: connecting or TLS failed, or a timeout elapsed.
pub(super) fn needs_new_lookup(error: &ureq::Error) -> bool {
    matches!(classify(error).0, Kind::Connect | Kind::Tls | Kind::Timeout)
}

/// The kind of an error, and whether a request without a body may have been sent before it.
fn classify(error: &ureq::Error) -> (Kind, bool) {
    use ureq::Error as E;

    match error {
        E::Timeout(Timeout::Connect) => (Kind::Timeout, false),
        E::Timeout(_) => (Kind::Timeout, true),
        E::HostNotFound => (Kind::Dns, false),
        E::ConnectionFailed => (Kind::Connect, false),
        E::ConnectProxyFailed(reason) if reason.contains("responded 407") => {
            (Kind::ProxyAuthentication, false)
        }
        E::ConnectProxyFailed(_) => (Kind::Proxy, false),
        E::Io(e) if lookup_error(error).is_some() => match e.kind() {
            io::ErrorKind::TimedOut => (Kind::Timeout, false),
            _ => (Kind::Dns, false),
        },
        E::Io(e) => classify_io(e),
        E::Tls(_) => (Kind::Tls, false),
        #[cfg(feature = "rustls")]
        E::Rustls(_) => (Kind::Tls, false),
        #[cfg(feature = "native-tls")]
        E::NativeTls(_) => (Kind::Tls, false),
        E::Protocol(_) | E::LargeResponseHeader(..) => (Kind::Protocol, true),
        _ => (Kind::Other, true),
    }
}

fn classify_io(error: &io::Error) -> (Kind, bool) {
    use io::ErrorKind as Io;

    match error.kind() {
        Io::TimedOut => (Kind::Timeout, true),
        Io::UnexpectedEof
        | Io::ConnectionReset
        | Io::ConnectionAborted
        | Io::BrokenPipe
        | Io::NotConnected => (Kind::Closed, true),
        // Errors of rustls.
        Io::InvalidData if is_permanent_tls(&error.to_string()) => (Kind::Tls, false),
        Io::InvalidData => (Kind::Closed, true),
        // Errors of native-tls after the handshake.
        Io::Other if cfg!(feature = "native-tls") => (Kind::Closed, true),
        Io::ConnectionRefused
        | Io::HostUnreachable
        | Io::NetworkUnreachable
        | Io::NetworkDown
        | Io::AddrNotAvailable
        | Io::PermissionDenied => (Kind::Connect, false),
        // Any other error of the operating system comes from creating or connecting a socket: no descriptor, no memory.
        _ if error.raw_os_error().is_some() => (Kind::Connect, false),
        _ => (Kind::Other, true),
    }
}

/// Returns whether an error of rustls is about the certificate or the protocol version. Any other means that the
/// connection is broken. ureq does not export the type, so its text decides.
fn is_permanent_tls(text: &str) -> bool {
    const CERTIFICATE_OR_VERSION: [&str; 6] = [
        "invalid peer certificate",
        "invalid certificate revocation list",
        "peer sent no certificates",
        "peer is incompatible",
        "received fatal alert: ProtocolVersion",
        "received fatal alert: CertificateRequired",
    ];
    CERTIFICATE_OR_VERSION
        .iter()
        .any(|start| text.starts_with(start))
}

/// Returns the error of the DNS lookup, if that failed.
pub(super) fn lookup_error(error: &ureq::Error) -> Option<&LookupError> {
    match error {
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

fn message(kind: Kind, error: &ureq::Error, host: &str) -> String {
    let text = match (kind, error) {
        (Kind::Timeout, error) if lookup_error(error).is_some() => {
            "timed out looking up HOST; check the name server, raise `timeout`, or try again later"
        }
        (Kind::Timeout, ureq::Error::Timeout(Timeout::Connect)) => {
            "timed out connecting to HOST; raise `connect_timeout` or `timeout`, or try again later"
        }
        (Kind::Timeout, _) => {
            "timed out waiting for the response of HOST; raise `timeout`, or try again later"
        }
        (Kind::Dns, _) => "cannot look up HOST; check its name and the network",
        (Kind::Connect, _) => "cannot connect to HOST; check the address and the network",
        (Kind::Proxy, _) => "the proxy did not connect to HOST; check its address and credentials",
        (Kind::ProxyAuthentication, _) => {
            "the proxy wants other credentials for HOST; set them in the proxy's URL"
        }
        (Kind::Tls, _) => {
            "no trusted TLS connection with HOST; check its certificate and the clock"
        }
        (Kind::Closed, ureq::Error::Io(e)) if e.kind() == io::ErrorKind::InvalidData => {
            "the TLS connection to HOST broke; try again, or check the base URL"
        }
        (Kind::Closed, _) => {
            "the connection to HOST ended before the response was complete; try again"
        }
        (Kind::Protocol, ureq::Error::LargeResponseHeader(..)) => {
            "the response header of HOST is longer than 8 KiB; check the base URL"
        }
        (Kind::Protocol, _) => "the response of HOST is not valid HTTP/1; check the base URL",
        (Kind::Other, _) => "the request to HOST failed",
    };
    text.replace("HOST", host)
}

/// Converts an error of reading a body. All but timeouts, I/O and protocol errors mean that the body ended too early.
pub(super) fn body_error(error: io::Error) -> ureq::Error {
    match ureq::Error::from(error) {
        known @ (ureq::Error::Timeout(_) | ureq::Error::Io(_) | ureq::Error::Protocol(_)) => known,
        other => ureq::Error::Io(io::Error::new(io::ErrorKind::UnexpectedEof, other)),
    }
}
