//! Creation over TLS: whether a task may exist after a broken response or a failed handshake.

use std::io::{Read, Write};

use super::*;
use crate::tls::TlsFront;

fn trusting(front: &TlsFront, base_url: String) -> ClientBuilder {
    let trust = front.trust();
    builder(base_url).configure_agent(|agent| agent.tls_config(trust))
}

#[test]
fn creates_tasks() {
    let service = service();
    let front = TlsFront::start(service.address(), |_| {});
    let client = trusting(&front, front.base_url()).build().unwrap();
    for number in 1..=3 {
        client.get_process(TASK).unwrap();
        assert_eq!(client.create_task(&task()).unwrap(), TASK + number);
    }
    assert_eq!((creations(&service), front.connections()), (3, 4));
}

#[test]
fn task_may_exist_after_a_response_cut_short() {
    let whole = created(1);
    for (name, fault) in [
        ("no response", Reply::nothing()),
        ("cut in the header", whole.clone().cut_at(20)),
        ("cut in the body", whole.clone().cut_at(whole.len() - 1)),
    ] {
        let service = service();
        let front = TlsFront::start(service.address(), |_| {});
        let client = retrying(trusting(&front, front.base_url()));
        client.get_process(TASK).unwrap();
        service.reply_next(fault);
        error_of(&client, name, "Closed", true);
        let counts = (creations(&service), front.connections());
        assert_eq!(counts, (1, 2), "{name}");
    }
}

/// A relay damages the response, so TLS fails after the service received the task.
#[test]
fn task_may_exist_after_a_damaged_response() {
    let service = Arc::new(service());
    let front = TlsFront::start(service.address(), |_| {});
    let target = front.base_url().trim_start_matches("https://").to_owned();
    let seen = Arc::clone(&service);
    let (relay, connections) = listener(move |mut client| {
        let mut server = TcpStream::connect(&target).unwrap();
        let (mut up_from, mut up_to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut up_from, &mut up_to));
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = server.read(&mut buffer) {
            if seen.request_count() > 0 {
                buffer[..read].fill(b'x');
            }
            if client.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
    });
    let client = retrying(trusting(&front, format!("https://{relay}")));
    let error = client.create_task(&task()).unwrap_err();
    let connections = connections.load(Ordering::SeqCst);
    assert_eq!((creations(&service), connections), (1, 1));
    assert!(matches!(error, Error::Transport(_)), "{error:?}");
    assert!(error.may_have_taken_effect(), "{error:?}");
}

/// A server that does not complete the handshake. Only a broken connection is retried in time.
#[test]
fn no_task_exists_after_a_failed_handshake() {
    const NOTHING: &[u8] = b"";
    const CUT_GREETING: &[u8] = b"\x16\x03\x03\x00\x7a\x02\x00";
    const ALERT: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28";
    const HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    let cases = [
        ("closed at once", false, NOTHING, "Closed", 2),
        ("closed after a greeting", true, NOTHING, "Closed", 2),
        ("closed in its greeting", true, CUT_GREETING, "Closed", 2),
        ("silent", false, NOTHING, "Timeout", 1),
        ("silent in its greeting", false, CUT_GREETING, "Timeout", 1),
        ("a TLS alert", true, ALERT, "Closed", 2),
        ("plain HTTP", true, HTTP, "Closed", 2),
    ];
    side_by_side(cases, |(name, reads, sent, expected, connections)| {
        let is_silent = expected == "Timeout";
        let held = Mutex::new(Vec::new());
        let (address, count) = listener(move |mut stream| {
            if reads {
                assert_ne!(stream.read(&mut [0; 4096]).unwrap(), 0);
            }
            stream.write_all(sent).unwrap();
            if is_silent {
                held.lock().unwrap().push(stream);
            }
        });
        let timeout = Duration::from_secs(if is_silent { 1 } else { 20 });
        let builder = builder(format!("https://{address}")).timeout(timeout);
        let client = builder.retries(1).build().unwrap();
        let error = error_of(&client, name, expected, false);
        assert!(error.is_transient(), "{name}: {error:?}");
        assert_eq!(count.load(Ordering::SeqCst), connections, "{name}");
    });
}
