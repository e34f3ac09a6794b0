//! Connections over TLS, and validation of certificates.
#![cfg(feature = "rustls")]

mod support;
#[path = "support/tls.rs"]
mod tls;

use std::time::Duration;

use pan123_offline::testing::Reply;
use pan123_offline::{Client, NewTask, TransportErrorKind};
use support::{Fault, RUNNING, TASK, all_texts, builder, service, transport_kind};
use tls::TlsFront;

fn trusting(front: &TlsFront) -> Client {
    let trust = front.trust();
    builder(front.base_url())
        .configure_agent(|agent| agent.tls_config(trust))
        .build()
        .unwrap()
}

/// ureq prepares TLS once, for a request with the agent's own configuration.
#[test]
fn calls_share_one_connection_and_a_creation_resumes_its_tls_session() {
    let service = service();
    let front = TlsFront::start(service.address(), |_| {});
    let client = trusting(&front);
    for _ in 0..100 {
        assert_eq!(client.get_process(TASK).unwrap(), RUNNING);
    }
    let task = NewTask::new("https://example.org/cat.png");
    client.create_task(&task).unwrap();
    assert_eq!((front.connections(), front.resumed()), (2, 1));
}

/// Every third response is the last of its connection, without `Connection: close`.
#[test]
fn no_call_fails_if_a_tls_server_closes_without_notice() {
    let service = service();
    let front = TlsFront::start(service.address(), |_| {});
    let client = trusting(&front);
    for call in 0..300 {
        if call % 3 == 2 {
            service.reply_next(Reply::progress(RUNNING).close_after());
        }
        assert_eq!(client.get_process(TASK).unwrap(), RUNNING, "call {call}");
        // Some connections are closed before the next call takes one from the pool, some during
        // that call.
        match call % 3 {
            0 => {}
            1 => std::thread::sleep(Duration::from_millis(3)),
            _ => std::thread::sleep(Duration::from_micros(800)),
        }
    }
    // A replay has a connection of its own.
    let connections = front.connections();
    assert!((100..=200).contains(&connections), "{connections}");
}

#[test]
fn rejects_invalid_certificates() {
    let service = service();
    let other_name = rcgen::SanType::DnsName("example.org".try_into().unwrap());
    let self_signed = TlsFront::start(service.address(), |_| {});
    let other_name = TlsFront::start(service.address(), |it| {
        it.subject_alt_names = vec![other_name]
    });
    let expired = TlsFront::start(service.address(), |it| {
        it.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let distrusting = builder(self_signed.base_url()).build().unwrap();
    for (client, cause) in [
        (distrusting, "UnknownIssuer"),
        (trusting(&other_name), "not valid for name"),
        (trusting(&expired), "certificate expired"),
    ] {
        let error = client.get_process(TASK).unwrap_err();
        assert_eq!(transport_kind(&error), TransportErrorKind::Tls);
        assert!(!error.is_transient() && !error.may_have_taken_effect());
        let texts = all_texts(&error);
        for text in [cause, "check its certificate and the clock"] {
            assert!(texts.contains(text), "{texts}");
        }
    }
    assert_eq!(service.request_count(), 0, "no request was sent");
}

/// With rustls this is in the fault table.
#[cfg(feature = "native-tls")]
#[test]
fn garbled_record_breaks_a_connection_of_native_tls() {
    use std::io::{Read, Write};

    use pan123_offline::ureq::tls::{TlsConfig, TlsProvider};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let identity = tls::Identity::new("127.0.0.1", |_| {});
    let config = TlsConfig::builder()
        .provider(TlsProvider::NativeTls)
        .root_certs(identity.trust().root_certs().clone())
        .build();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(identity.config.clone()).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream.unwrap());
            assert_ne!(tls.read(&mut [0; 4096]).unwrap(), 0);
            let record = [b"\x17\x03\x03\0\x20".as_slice(), &[0; 32]].concat();
            tls.sock.write_all(&record).unwrap();
        }
    });
    let client = builder(format!("https://{address}"))
        .configure_agent(|agent| agent.tls_config(config))
        .build()
        .unwrap();
    let error = client.get_process(TASK).unwrap_err();
    assert_eq!(transport_kind(&error), TransportErrorKind::Closed);
    assert!(error.is_transient() && error.may_have_taken_effect());
}
