//! Conversion of ureq's errors into [`TransportError`].

use std::io;
use std::sync::Arc;

use ureq::Timeout;

use super::resolver::LookupError;
use crate::error::{Delivery, TransportError, TransportErrorKind as Kind};

/// The kind of an error, whether a request without a body may have been sent before it, and its text.
type Class = (Kind, bool, &'static str);

const NOT_SENT: bool = false;
const MAYBE_SENT: bool = true;

const LOOKUP: &str = "cannot look up HOST; check its name and the network";
const SLOW_LOOKUP: &str =
    "timed out looking up HOST; check the name server, raise `timeout`, or try again later";
const CONNECT: &str = "cannot connect to HOST; check the address and the network";
const SLOW_CONNECT: &str =
    "timed out connecting to HOST; raise `connect_timeout` or `timeout`, or try again later";
const SLOW: &str =
    "timed out waiting for the response of HOST; raise `timeout`, or try again later";
const PROXY: &str = "the proxy did not connect to HOST; check its address and credentials";
const PROXY_LOGIN: &str = "the proxy wants other credentials for HOST; set them in the proxy's URL";
const TLS: &str = "no trusted TLS connection with HOST; check its certificate and the clock";
const BROKEN_TLS: &str = "the TLS connection to HOST broke; try again, or check the base URL";
const CLOSED: &str = "the connection to HOST ended before the response was complete; try again";
const NOT_HTTP: &str = "the response of HOST is not valid HTTP/1; check the base URL";
const LONG_HEADER: &str = "the response header of HOST is longer than 8 KiB; check the base URL";
const OTHER: &str = "the request to HOST failed";

/// Converts the error of a request that has no response. `body_taken` tells whether ureq began to send the body; a
/// request without a body has `None`, and the error's kind decides whether it may have been sent.
pub(super) fn transport_error(
    error: ureq::Error,
    host: &str,
    body_taken: Option<bool>,
) -> TransportError {
    let (kind, may_be_sent, text) = classify(&error);
    // With an io::Error as the source a caller can ask for its kind.
    let source: Arc<dyn std::error::Error + Send + Sync> = match error {
        ureq::Error::Io(e) => Arc::new(e),
        other => Arc::new(other),
    };
    let delivery = match body_taken.unwrap_or(may_be_sent) {
        true => Delivery::MaybeSent,
        false => Delivery::NotSent,
    };
    let message = text.replace("HOST", host);
    TransportError::new(kind, message, delivery, Some(source))
}

/// Returns the error of the DNS lookup, if that failed.
pub(super) fn lookup_error(error: &ureq::Error) -> Option<&LookupError> {
    match error {
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

fn classify(error: &ureq::Error) -> Class {
    use ureq::Error as E;

    match error {
        E::Timeout(Timeout::Connect) => (Kind::Timeout, NOT_SENT, SLOW_CONNECT),
        E::Timeout(_) => (Kind::Timeout, MAYBE_SENT, SLOW),
        E::HostNotFound => (Kind::Dns, NOT_SENT, LOOKUP),
        E::ConnectionFailed => (Kind::Connect, NOT_SENT, CONNECT),
        E::ConnectProxyFailed(reason) if reason.contains("responded 407") => {
            (Kind::ProxyAuthentication, NOT_SENT, PROXY_LOGIN)
        }
        E::ConnectProxyFailed(_) => (Kind::Proxy, NOT_SENT, PROXY),
        E::Io(e) if lookup_error(error).is_some() => match e.kind() {
            io::ErrorKind::TimedOut => (Kind::Timeout, NOT_SENT, SLOW_LOOKUP),
            _ => (Kind::Dns, NOT_SENT, LOOKUP),
        },
        E::Io(e) => classify_io(e),
        E::Tls(_) => (Kind::Tls, NOT_SENT, TLS),
        #[cfg(feature = "rustls")]
        E::Rustls(_) => (Kind::Tls, NOT_SENT, TLS),
        #[cfg(feature = "native-tls")]
        E::NativeTls(_) => (Kind::Tls, NOT_SENT, TLS),
        E::Protocol(_) => (Kind::Protocol, MAYBE_SENT, NOT_HTTP),
        E::LargeResponseHeader(..) => (Kind::Protocol, MAYBE_SENT, LONG_HEADER),
        _ => (Kind::Other, MAYBE_SENT, OTHER),
    }
}

fn classify_io(error: &io::Error) -> Class {
    use io::ErrorKind as Io;

    match error.kind() {
        Io::TimedOut => (Kind::Timeout, MAYBE_SENT, SLOW),
        Io::UnexpectedEof
        | Io::ConnectionReset
        | Io::ConnectionAborted
        | Io::BrokenPipe
        | Io::NotConnected => (Kind::Closed, MAYBE_SENT, CLOSED),
        // Errors of rustls.
        Io::InvalidData if is_permanent_tls(&error.to_string()) => (Kind::Tls, NOT_SENT, TLS),
        Io::InvalidData => (Kind::Closed, MAYBE_SENT, BROKEN_TLS),
        // Errors of native-tls after the handshake.
        Io::Other if cfg!(feature = "native-tls") => (Kind::Closed, MAYBE_SENT, CLOSED),
        // Any other error of the operating system comes from creating or connecting a socket.
        _ if error.raw_os_error().is_some() => (Kind::Connect, NOT_SENT, CONNECT),
        _ => (Kind::Other, MAYBE_SENT, OTHER),
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

/// Converts an error of reading a body. All but timeouts, I/O and protocol errors mean that the body ended too early.
pub(super) fn body_error(error: io::Error) -> ureq::Error {
    match ureq::Error::from(error) {
        known @ (ureq::Error::Timeout(_) | ureq::Error::Io(_) | ureq::Error::Protocol(_)) => known,
        other => ureq::Error::Io(io::Error::new(io::ErrorKind::UnexpectedEof, other)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind as Io;

    use super::*;

    /// The fault table has the others.
    #[test]
    fn converts_errors_of_ureq() {
        use ureq::Error as E;

        let io = |kind: Io| E::Io(kind.into());
        let rustls = |text: &str| E::Io(io::Error::new(Io::InvalidData, text));
        let proxy = |status: u16| E::ConnectProxyFailed(format!("proxy server responded {status}"));
        let no_version = rustls("peer is incompatible: ServerDoesNotSupportTls12Or13");
        let version = rustls("received fatal alert: ProtocolVersion");
        let garbled = rustls("cannot decrypt peer's message");
        let connect_timeout = E::Timeout(Timeout::Connect);
        // EMFILE: no file descriptor is free.
        let no_descriptor = E::Io(io::Error::from_raw_os_error(24));
        let long_header = E::LargeResponseHeader(2, 1);
        let https_only = E::RequireHttpsOnly("http".into());
        for (error, expected) in [
            (connect_timeout, (Kind::Timeout, NOT_SENT, SLOW_CONNECT)),
            (io(Io::TimedOut), (Kind::Timeout, MAYBE_SENT, SLOW)),
            (E::HostNotFound, (Kind::Dns, NOT_SENT, LOOKUP)),
            (E::ConnectionFailed, (Kind::Connect, NOT_SENT, CONNECT)),
            (no_descriptor, (Kind::Connect, NOT_SENT, CONNECT)),
            (proxy(403), (Kind::Proxy, NOT_SENT, PROXY)),
            (
                proxy(407),
                (Kind::ProxyAuthentication, NOT_SENT, PROXY_LOGIN),
            ),
            (E::Tls("no certificate"), (Kind::Tls, NOT_SENT, TLS)),
            (no_version, (Kind::Tls, NOT_SENT, TLS)),
            (version, (Kind::Tls, NOT_SENT, TLS)),
            (garbled, (Kind::Closed, MAYBE_SENT, BROKEN_TLS)),
            (io(Io::BrokenPipe), (Kind::Closed, MAYBE_SENT, CLOSED)),
            (long_header, (Kind::Protocol, MAYBE_SENT, LONG_HEADER)),
            (https_only, (Kind::Other, MAYBE_SENT, OTHER)),
        ] {
            assert_eq!(classify(&error), expected, "{error}");
        }
    }

    #[test]
    fn body_decides_whether_request_may_have_taken_effect() {
        for (body_taken, may_be_sent) in [(None, true), (Some(false), false), (Some(true), true)] {
            let error = ureq::Error::Io(Io::ConnectionReset.into());
            let error = transport_error(error, "a.example", body_taken);
            let error = crate::error::Error::Transport(error);
            assert_eq!(error.may_have_taken_effect(), may_be_sent);
            assert_eq!(error.to_string(), CLOSED.replace("HOST", "a.example"));
            let source = std::error::Error::source(&error).unwrap();
            assert!(source.is::<io::Error>());
        }
    }
}
