//! A DNS server over UDP. Each name that ends in `.test` has the given addresses; no other name
//! exists.
#![allow(
    dead_code,
    reason = "no program that includes this file uses all of it"
)]

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

const HEADER_LEN: usize = 12;
/// Maximum length of a message over UDP without EDNS.
const MAX_MESSAGE_LEN: usize = 512;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
/// Response, authoritative, recursion desired and available.
const RESPONSE_FLAGS: u16 = 0x8580;
const NXDOMAIN: u16 = 3;
const TTL_SECONDS: u32 = 60;

/// A running name server. Dropping it closes its port.
#[derive(Debug)]
pub(crate) struct NameServer {
    address: SocketAddr,
    socket: Arc<UdpSocket>,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    delay: Duration,
    addresses: Vec<IpAddr>,
    silent: bool,
    stopped: bool,
    /// The name of each query.
    queries: Vec<String>,
}

/// The first question of a message.
struct Question<'a> {
    name: String,
    kind: u16,
    /// Name, type and class as they were sent.
    bytes: &'a [u8],
}

impl NameServer {
    /// Starts a server that responds at once, and has no addresses before
    /// [`set_addresses`](Self::set_addresses).
    pub(crate) fn start(address: SocketAddr) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind(address)?);
        let address = socket.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let (own_socket, own_state) = (Arc::clone(&socket), Arc::clone(&state));
        let thread = std::thread::spawn(move || serve(&own_socket, &own_state));
        Ok(Self {
            address,
            socket,
            state,
            thread: Some(thread),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Time between a query and its response. Queries do not wait for each other.
    pub(crate) fn set_delay(&self, delay: Duration) {
        lock(&self.state).delay = delay;
    }

    /// Addresses of every name that ends in `.test`.
    pub(crate) fn set_addresses(&self, addresses: Vec<IpAddr>) {
        lock(&self.state).addresses = addresses;
    }

    /// Reads and counts queries without a response to any.
    pub(crate) fn set_silent(&self, silent: bool) {
        lock(&self.state).silent = silent;
    }

    /// Number of queries; a lookup of a host name makes two, for A and for AAAA.
    pub(crate) fn query_count(&self) -> usize {
        lock(&self.state).queries.len()
    }

    /// Name of each query, in order.
    pub(crate) fn queries(&self) -> Vec<String> {
        lock(&self.state).queries.clone()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        lock(&self.state).stopped = true;
        // An empty datagram wakes the thread.
        drop(self.socket.send_to(&[], self.address));
        drop(self.thread.take().map(JoinHandle::join));
        // A delayed response may be on its way at this moment.
        while Arc::strong_count(&self.socket) > 1 {
            std::thread::yield_now();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(socket: &Arc<UdpSocket>, state: &Mutex<State>) {
    let mut buffer = [0; MAX_MESSAGE_LEN];
    loop {
        let received = socket.recv_from(&mut buffer);
        let mut state = lock(state);
        if state.stopped {
            return;
        }
        // An ICMP error of an earlier response is reported here.
        let Ok((len, client)) = received else {
            continue;
        };
        let Some(question) = parse(&buffer[..len]) else {
            continue;
        };
        let response = respond(&buffer[..2], &question, &state.addresses);
        state.queries.push(question.name);
        if !state.silent {
            send_after(state.delay, socket, response, client);
        }
    }
}

/// A delayed response does not keep the port open.
fn send_after(delay: Duration, socket: &Arc<UdpSocket>, response: Vec<u8>, client: SocketAddr) {
    if delay.is_zero() {
        drop(socket.send_to(&response, client));
        return;
    }
    let socket = Arc::downgrade(socket);
    std::thread::spawn(move || {
        std::thread::sleep(delay);
        Weak::upgrade(&socket).map(|socket| socket.send_to(&response, client))
    });
}

/// `None` for anything but a query.
fn parse(message: &[u8]) -> Option<Question<'_>> {
    let (header, mut rest) = message.split_at_checked(HEADER_LEN)?;
    if header[2] & 0x80 != 0 || header[4..6] != [0, 1] {
        return None;
    }
    let mut labels = Vec::new();
    loop {
        let (&len, after) = rest.split_first()?;
        if len == 0 {
            rest = after;
            break;
        }
        let (label, after) = after.split_at_checked(usize::from(len))?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        rest = after;
    }
    let (kind_and_class, rest) = rest.split_first_chunk::<4>()?;
    let bytes = &message[HEADER_LEN..message.len() - rest.len()];
    let kind = u16::from_be_bytes([kind_and_class[0], kind_and_class[1]]);
    Some(Question {
        name: labels.join("."),
        kind,
        bytes,
    })
}

fn respond(id: &[u8], question: &Question<'_>, addresses: &[IpAddr]) -> Vec<u8> {
    let exists = question.name.ends_with(".test");
    let records: Vec<_> = addresses
        .iter()
        .filter(|_| exists)
        .filter_map(|&it| record(question.kind, it))
        .collect();
    let flags = RESPONSE_FLAGS | if exists { 0 } else { NXDOMAIN };
    let record_count = u16::try_from(records.len()).expect("a message of 512 bytes");

    let mut message = id.to_vec();
    for number in [flags, 1, record_count, 0, 0] {
        message.extend(number.to_be_bytes());
    }
    message.extend(question.bytes);
    message.extend(records.concat());
    message
}

/// `None` for an address of the other family.
fn record(kind: u16, address: IpAddr) -> Option<Vec<u8>> {
    let data = match address {
        IpAddr::V4(address) if kind == TYPE_A => address.octets().to_vec(),
        IpAddr::V6(address) if kind == TYPE_AAAA => address.octets().to_vec(),
        _ => return None,
    };
    // A pointer to the name of the question.
    let mut record = vec![0xc0, 12];
    record.extend(kind.to_be_bytes());
    record.extend([0, 1]);
    record.extend(TTL_SECONDS.to_be_bytes());
    record.extend([0, u8::try_from(data.len()).expect("4 or 16 bytes")]);
    record.extend(data);
    Some(record)
}
