//! Tests that need no connection.

use std::io::{self, ErrorKind as Io};

use ureq::Timeout;

use super::*;
use crate::error::TransportErrorKind as Kind;

/// All of ureq's errors, also those that no test can cause without leaving the machine.
#[test]
fn converts_errors_of_ureq() {
    use ureq::Error as E;

    const SENT: bool = true;
    const NOT_SENT: bool = false;
    let io = |kind: Io| E::Io(kind.into());
    let system = |code| E::Io(io::Error::from_raw_os_error(code));
    let proxy = |status: u16| E::ConnectProxyFailed(format!("proxy server responded {status}"));
    let rustls = |text: &str| E::Io(io::Error::new(Io::InvalidData, text));
    let header = E::LargeResponseHeader(2, 1);
    let certificate = rustls("invalid peer certificate: UnknownIssuer");
    let no_version = rustls("peer is incompatible: ServerDoesNotSupportTls12Or13");
    let version = rustls("received fatal alert: ProtocolVersion");
    let alert = rustls("received fatal alert: HandshakeFailure");
    let garbled = rustls("cannot decrypt peer's message");
    let waiting = "timed out waiting for the response of host; raise `timeout`, or try again later";
    let connecting =
        "timed out connecting to host; raise `connect_timeout` or `timeout`, or try again later";
    let dns = "cannot look up host; check its name and the network";
    let connect = "cannot connect to host; check the address and the network";
    let refused = "the proxy did not connect to host; check its address and credentials";
    let login = "the proxy wants other credentials for host; set them in the proxy's URL";
    let tls = "no trusted TLS connection with host; check its certificate and the clock";
    let broken = "the TLS connection to host broke; try again, or check the base URL";
    let closed = "the connection to host ended before the response was complete; try again";
    let long = "the response header of host is longer than 8 KiB; check the base URL";
    let other = "the request to host failed";
    for (error, kind, sent, text) in [
        (
            E::Timeout(Timeout::Connect),
            Kind::Timeout,
            NOT_SENT,
            connecting,
        ),
        (E::Timeout(Timeout::Global), Kind::Timeout, SENT, waiting),
        (E::Timeout(Timeout::RecvBody), Kind::Timeout, SENT, waiting),
        (io(Io::TimedOut), Kind::Timeout, SENT, waiting),
        (E::HostNotFound, Kind::Dns, NOT_SENT, dns),
        (E::ConnectionFailed, Kind::Connect, NOT_SENT, connect),
        (io(Io::ConnectionRefused), Kind::Connect, NOT_SENT, connect),
        (io(Io::NetworkUnreachable), Kind::Connect, NOT_SENT, connect),
        // EMFILE: no file descriptor is free.
        (system(24), Kind::Connect, NOT_SENT, connect),
        (proxy(403), Kind::Proxy, NOT_SENT, refused),
        (proxy(407), Kind::ProxyAuthentication, NOT_SENT, login),
        (E::Tls("no certificate"), Kind::Tls, NOT_SENT, tls),
        (certificate, Kind::Tls, NOT_SENT, tls),
        (no_version, Kind::Tls, NOT_SENT, tls),
        (version, Kind::Tls, NOT_SENT, tls),
        (alert, Kind::Closed, SENT, broken),
        (garbled, Kind::Closed, SENT, broken),
        (io(Io::ConnectionReset), Kind::Closed, SENT, closed),
        (io(Io::BrokenPipe), Kind::Closed, SENT, closed),
        (header, Kind::Protocol, SENT, long),
        // With native-tls, it is the end of a TLS connection.
        #[cfg(not(feature = "native-tls"))]
        (io(Io::Other), Kind::Other, SENT, other),
        (E::RequireHttpsOnly("http".into()), Kind::Other, SENT, other),
    ] {
        let cause = error.to_string();
        let error = transport_error(error, "host", None);
        let Error::Transport(transport) = &error else {
            panic!("{error:?}")
        };
        let is_sent = error.may_have_taken_effect();
        assert_eq!((transport.kind, is_sent), (kind, sent), "{cause}");
        assert_eq!(error.to_string(), text, "{cause}");
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.is::<io::Error>(), cause.starts_with("io: "));
        let text = cause.trim_start_matches("io: ");
        assert!(
            source.to_string().contains(text),
            "{source} instead of {cause}"
        );
    }
}

#[test]
fn body_decides_whether_request_may_have_taken_effect() {
    for taken in [false, true] {
        for error in [
            ureq::Error::HostNotFound,
            ureq::Error::Timeout(Timeout::Global),
        ] {
            let error = transport_error(error, "host", Some(taken));
            assert_eq!(error.may_have_taken_effect(), taken);
        }
    }
}

#[test]
fn reads_retry_after_in_seconds() {
    for (value, expected) in [
        ("0", Some(0)),
        ("7", Some(7)),
        (" 7 ", Some(7)),
        ("007", Some(7)),
        ("31536000", Some(365 * 24 * 60 * 60)),
        // More than a year: the time of day in place of a delay.
        ("31536001", None),
        ("1764302400", None),
        ("99999999999999999999999", None),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", None),
    ] {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
        let expected = expected.map(Duration::from_secs);
        assert_eq!(retry_after(&headers), expected, "{value}");
    }
    assert_eq!(retry_after(&HeaderMap::new()), None);
}
