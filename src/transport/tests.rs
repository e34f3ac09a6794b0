//! The parts that need no connection.

use super::*;

#[test]
fn the_phases_of_a_request_add_up_to_its_time() {
    let ms = Duration::from_millis;
    for (time, connect_timeout, [connect, send, head, body]) in [
        (30_000, 10_000, [7_500, 1_500, 15_000, 6_000]),
        (30_000, 1_000, [1_000, 1_500, 21_500, 6_000]),
        (60_000, 10_000, [10_000, 3_000, 35_000, 12_000]),
        (1_000, 10_000, [250, 50, 500, 200]),
        (200, 10_000, [50, 40, 70, 40]),
        (20, 10_000, [5, 4, 7, 4]),
        (0, 10_000, [0, 0, 0, 0]),
    ] {
        let phases = Phases::split(ms(time), ms(connect_timeout));
        let expected = Phases { connect: ms(connect), send: ms(send), head: ms(head), body: ms(body) };
        assert_eq!(phases, expected, "{time} ms");
        assert_eq!(connect + send + head + body, time);
    }
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let Phases { connect, send, head, body } = Phases::split(year, year);
    assert_eq!(connect + send + head + body, year);
}

/// What ureq can say, also what no test can bring about without leaving the machine.
#[test]
fn what_ureq_says_and_what_is_made_of_it() {
    use ureq::Error as E;

    let io = |kind: std::io::ErrorKind| E::Io(kind.into());
    let lookup = E::Io(std::io::Error::other("failed to lookup address information: Name or service not known"));
    let waiting = "timed out waiting for the answer of host; raise `timeout`, or ask again later";
    let closed = "the connection to host ended before the answer was complete; ask again";
    let connect = "cannot connect to host; check the address and the network";
    let tls = "no trusted TLS connection with host; check its certificate and the clock";
    let dns = "cannot look up host; check its name and the network";
    let connecting = "timed out connecting to host; raise `timeout`, or ask again later";
    let sending = "timed out sending the request to host; raise `timeout`, or ask again later";
    for (error, kind, sent, text) in [
        (E::Timeout(Timeout::Resolve), Kind::Timeout, false, connecting),
        (E::Timeout(Timeout::Connect), Kind::Timeout, false, connecting),
        (E::Timeout(Timeout::SendRequest), Kind::Timeout, true, sending),
        (E::Timeout(Timeout::RecvResponse), Kind::Timeout, true, waiting),
        (
            E::Timeout(Timeout::RecvBody),
            Kind::Timeout,
            true,
            "timed out reading the answer of host; raise `timeout`, or ask again later",
        ),
        (
            E::Timeout(Timeout::Global),
            Kind::Timeout,
            true,
            "timed out asking host; raise `timeout`, or ask again later",
        ),
        (io(std::io::ErrorKind::TimedOut), Kind::Timeout, true, "timed out on the way to host; ask again later"),
        (E::HostNotFound, Kind::Dns, false, dns),
        (lookup, Kind::Dns, false, dns),
        (E::ConnectionFailed, Kind::Connect, false, connect),
        (io(std::io::ErrorKind::ConnectionRefused), Kind::Connect, false, connect),
        (io(std::io::ErrorKind::NetworkUnreachable), Kind::Connect, false, connect),
        (
            E::ConnectProxyFailed("407".into()),
            Kind::Proxy,
            false,
            "the proxy did not connect to host; check its address and credentials",
        ),
        (E::Tls("no certificate"), Kind::Tls, false, tls),
        (io(std::io::ErrorKind::InvalidData), Kind::Tls, false, tls),
        (io(std::io::ErrorKind::ConnectionReset), Kind::Closed, true, closed),
        (io(std::io::ErrorKind::BrokenPipe), Kind::Closed, true, closed),
        (
            E::LargeResponseHeader(2, 1),
            Kind::Protocol,
            true,
            "the head of the answer of host is longer than 8 KiB; check the base URL",
        ),
        (io(std::io::ErrorKind::OutOfMemory), Kind::Other, true, "the request to host failed"),
        (E::RequireHttpsOnly("http".into()), Kind::Other, true, "the request to host failed"),
    ] {
        let cause = error.to_string();
        let failure = failure(error, "host", None);
        let Error::Transport(transport) = &failure else { panic!("{failure:?}") };
        assert_eq!(
            (transport.kind(), failure.may_have_been_sent(), &*failure.to_string()),
            (kind, sent, text),
            "{cause}"
        );
        let source = std::error::Error::source(&failure).unwrap();
        assert!(source.to_string().contains(cause.trim_start_matches("io: ")), "{source} instead of {cause}");
    }
}

#[test]
fn what_is_known_of_a_body_goes_before_what_the_error_suggests() {
    for taken in [false, true] {
        let never = failure(ureq::Error::HostNotFound, "host", Some(taken));
        assert_eq!(never.may_have_been_sent(), taken);
        let timeout = failure(ureq::Error::Timeout(Timeout::RecvResponse), "host", Some(taken));
        assert_eq!(timeout.may_have_been_sent(), taken);
    }
}

#[test]
fn the_host_as_a_header_and_the_base_url_as_a_text() {
    for (url, host, text) in [
        ("https://example.com", "example.com", "https://example.com"),
        ("https://example.com/", "example.com", "https://example.com"),
        ("https://example.com:443/a/b/", "example.com", "https://example.com:443/a/b"),
        ("https://example.com:80", "example.com:80", "https://example.com:80"),
        ("https://example.com:8443", "example.com:8443", "https://example.com:8443"),
        ("http://127.0.0.1:80", "127.0.0.1", "http://127.0.0.1:80"),
        ("http://127.0.0.1:443", "127.0.0.1:443", "http://127.0.0.1:443"),
        ("http://[::1]:8080/x", "[::1]:8080", "http://[::1]:8080/x"),
    ] {
        let base = BaseUrl::parse(url).unwrap();
        assert_eq!((base.host_header(), &*base.to_string()), (host, text), "{url}");
    }
    let longest = format!("https://example.com/{}", "x".repeat(LONGEST_URL - 20));
    assert!(BaseUrl::parse(&longest).is_ok());
    assert!(BaseUrl::parse(&format!("{longest}x")).is_err());
}

#[test]
fn a_retry_after_in_seconds() {
    for (value, expected) in [
        ("0", Some(0)),
        ("7", Some(7)),
        (" 7 ", Some(7)),
        ("007", Some(7)),
        ("99999999999999999999999", Some(u64::MAX)),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", None),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        let answer = Answer { status: 429, headers: &headers, body: b"" };
        assert_eq!(answer.retry_after(), expected.map(Duration::from_secs), "{value}");
    }
    assert_eq!(Answer { status: 429, headers: &HeaderMap::new(), body: b"" }.retry_after(), None);
}

#[test]
fn the_longest_header_fits_into_the_buffer() {
    for (lengths, expected) in
        [([0, 0, 0], 2048), ([1024, 0, 0], 2048), ([1025, 9, 9], 2049), ([9, 4096, 9], 5120), ([9, 9, 8192], 9216)]
    {
        assert_eq!(output_buffer(lengths), expected);
    }
}
