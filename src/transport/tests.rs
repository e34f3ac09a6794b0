//! Tests that need no connection.

use std::io;

use ureq::Timeout;

use super::*;
use crate::error::TransportErrorKind as Kind;

/// All of ureq's errors, also those that no test can cause without leaving the machine.
#[test]
fn converts_errors_of_ureq() {
    use ureq::Error as E;

    let io = |kind: io::ErrorKind| E::Io(kind.into());
    let rustls = |text: &str| E::Io(io::Error::new(io::ErrorKind::InvalidData, text));
    let broken = "the TLS connection to host broke; try again, or check the base URL";
    let waiting = "timed out waiting for the response of host; raise `timeout`, or try again later";
    let closed = "the connection to host ended before the response was complete; try again";
    let connect = "cannot connect to host; check the address and the network";
    let tls = "no trusted TLS connection with host; check its certificate and the clock";
    let dns = "cannot look up host; check its name and the network";
    let connecting =
        "timed out connecting to host; raise `connect_timeout` or `timeout`, or try again later";
    let proxy = "the proxy did not connect to host; check its address and credentials";
    let long = "the response header of host is longer than 8 KiB; check the base URL";
    let other = "the request to host failed";
    for (error, kind, sent, text) in [
        (
            E::Timeout(Timeout::Connect),
            Kind::Timeout,
            false,
            connecting,
        ),
        (E::Timeout(Timeout::Global), Kind::Timeout, true, waiting),
        (E::Timeout(Timeout::RecvBody), Kind::Timeout, true, waiting),
        (io(io::ErrorKind::TimedOut), Kind::Timeout, true, waiting),
        (E::HostNotFound, Kind::Dns, false, dns),
        (E::ConnectionFailed, Kind::Connect, false, connect),
        (
            io(io::ErrorKind::ConnectionRefused),
            Kind::Connect,
            false,
            connect,
        ),
        (
            io(io::ErrorKind::NetworkUnreachable),
            Kind::Connect,
            false,
            connect,
        ),
        // EMFILE: no file descriptor is free.
        (
            E::Io(io::Error::from_raw_os_error(24)),
            Kind::Connect,
            false,
            connect,
        ),
        (
            E::ConnectProxyFailed("proxy server responded 403/403".into()),
            Kind::Proxy,
            false,
            proxy,
        ),
        (
            E::ConnectProxyFailed("proxy server responded 407/407".into()),
            Kind::ProxyAuthentication,
            false,
            "the proxy wants other credentials for host; set them in the proxy's URL",
        ),
        (E::Tls("no certificate"), Kind::Tls, false, tls),
        (
            rustls("invalid peer certificate: UnknownIssuer"),
            Kind::Tls,
            false,
            tls,
        ),
        (
            rustls("peer is incompatible: ServerDoesNotSupportTls12Or13"),
            Kind::Tls,
            false,
            tls,
        ),
        (
            rustls("received fatal alert: ProtocolVersion"),
            Kind::Tls,
            false,
            tls,
        ),
        (
            rustls("received fatal alert: HandshakeFailure"),
            Kind::Closed,
            true,
            broken,
        ),
        (
            rustls("cannot decrypt peer's message"),
            Kind::Closed,
            true,
            broken,
        ),
        (
            io(io::ErrorKind::ConnectionReset),
            Kind::Closed,
            true,
            closed,
        ),
        (io(io::ErrorKind::BrokenPipe), Kind::Closed, true, closed),
        (E::LargeResponseHeader(2, 1), Kind::Protocol, true, long),
        (io(io::ErrorKind::Other), Kind::Other, true, other),
        (E::RequireHttpsOnly("http".into()), Kind::Other, true, other),
    ] {
        let cause = error.to_string();
        let error = transport_error(error, "host", None);
        let Error::Transport(transport) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(
            (
                transport.kind,
                error.may_have_taken_effect(),
                &*error.to_string()
            ),
            (kind, sent, text),
            "{cause}"
        );
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.is::<io::Error>(), cause.starts_with("io: "));
        assert!(
            source
                .to_string()
                .contains(cause.trim_start_matches("io: ")),
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
            assert_eq!(
                transport_error(error, "host", Some(taken)).may_have_taken_effect(),
                taken
            );
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
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        assert_eq!(
            retry_after(&headers),
            expected.map(Duration::from_secs),
            "{value}"
        );
    }
    assert_eq!(retry_after(&HeaderMap::new()), None);
}
