//! Measures the cost of a call.

use pan123_offline::testing::Request;

use crate::by_name;
use crate::machine;
use crate::peer::{self, Peer, Sample};
use crate::results::Figures;
use crate::server::{Endpoint, Scheme, Server, stand_in};
use crate::tables::PEERS;

/// A count is the difference of a long and a short run, so that setup does not count.
const LONG_RUN: u32 = 1200;
const SHORT_RUN: u32 = 200;

/// For the number of connections, and of DNS queries.
pub const COUNTED_CALLS: u32 = 1000;

pub type Peers = [Peer; PEERS.len()];

/// Numbers of repetitions of the timed runs.
#[derive(Clone, Copy)]
pub struct Effort {
    pub rounds: usize,
    pub calls: u32,
    pub starts: usize,
    /// By host name: rounds, and calls of a client that looks the name up for each of them.
    pub rounds_by_name: usize,
    pub lookups: u32,
}

impl Effort {
    pub const FULL: Self = Self {
        rounds: 15,
        calls: 2000,
        starts: 51,
        rounds_by_name: 5,
        lookups: 100,
    };
    pub const QUICK: Self = Self {
        rounds: 3,
        calls: 500,
        starts: 5,
        rounds_by_name: 2,
        lookups: 20,
    };

    pub fn new(is_quick: bool) -> Self {
        if is_quick { Self::QUICK } else { Self::FULL }
    }
}

/// Measures all clients, and writes the results file.
pub fn measure(is_quick: bool) {
    let effort = Effort::new(is_quick);
    let about = machine::about(is_quick);
    peer::build_all();
    let peers = peer::all();
    assert_same_requests(&peers);
    machine::keep_to_one_core();
    let mut figures = Figures::default();

    eprintln!("TLS by host name");
    by_name::measure(&mut figures, is_quick);
    let mut server = Server::start();
    for peer in &peers {
        eprintln!("counts: {}", peer.name);
        count(&mut figures, peer, &server.endpoint(Scheme::Http));
        let connections = connections(peer, &mut server, Scheme::Http);
        figures.set("connections", peer.name, Some(connections));
    }
    for (scheme, prefix) in [(Scheme::Http, "http"), (Scheme::Https, "tls")] {
        eprintln!("times: {prefix}");
        let endpoint = server.endpoint(scheme);
        time(&mut figures, prefix, &peers, effort.rounds, |peer| {
            peer.time(&endpoint, effort.calls)
        });
        time_starts(&mut figures, prefix, &peers, effort.starts, &endpoint);
    }
    figures.write(&machine::results(), "calls", about);
}

/// Checks that all clients send the same request, except for headers that a client adds itself.
fn assert_same_requests(peers: &Peers) {
    let service = stand_in();
    let base = service.base_url();
    let endpoint = Endpoint {
        base: &base,
        certificate: None,
    };
    let request = |peer: &Peer| {
        peer.call(&endpoint, 1);
        service.requests().pop().unwrap()
    };
    let floor = request(peers.last().unwrap());
    for peer in peers {
        let request = request(peer);
        assert_eq!((&request.path, &request.query), (&floor.path, &floor.query));
        for (name, value) in &floor.headers {
            assert_eq!(request.header(name), Some(value.as_str()), "{name}");
        }
        let added = added_headers(&request, &floor);
        if !added.is_empty() {
            eprintln!("{} adds headers: {}", peer.name, added.join(", "));
        }
    }
}

fn added_headers<'a>(request: &'a Request, floor: &Request) -> Vec<&'a str> {
    let names = request.headers.iter().map(|(name, _)| name.as_str());
    names.filter(|name| floor.header(name).is_none()).collect()
}

fn count(figures: &mut Figures, peer: &Peer, endpoint: &Endpoint<'_>) {
    let instructions = per_call(peer, endpoint, instructions);
    figures.set("instructions", peer.name, instructions.map(|[it]| it));
    let allocated = per_call(peer, endpoint, allocations);
    figures.set("allocations", peer.name, allocated.map(|[count, _]| count));
    figures.set("allocated_bytes", peer.name, allocated.map(|[_, it]| it));
    let system_calls = per_call(peer, endpoint, system_calls);
    figures.set("system_calls", peer.name, system_calls.map(|[it]| it));
}

/// Returns the count of `measure` for one call; `None` if its tool is missing.
fn per_call<const N: usize>(
    peer: &Peer,
    endpoint: &Endpoint<'_>,
    measure: fn(&Peer, &Endpoint<'_>, u32) -> Option<[f64; N]>,
) -> Option<[f64; N]> {
    let long = measure(peer, endpoint, LONG_RUN)?;
    let short = measure(peer, endpoint, SHORT_RUN)?;
    let calls = f64::from(LONG_RUN - SHORT_RUN);
    Some(std::array::from_fn(|i| (long[i] - short[i]) / calls))
}

fn instructions(peer: &Peer, endpoint: &Endpoint<'_>, calls: u32) -> Option<[f64; 1]> {
    let callgrind = [
        "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
    ];
    let stderr = peer.run_under(&callgrind, endpoint, calls)?;
    let count = after(&stderr, "Collected :");
    Some([count.trim().parse().unwrap()])
}

/// Counts allocations and their bytes. A `realloc` counts as one of its whole size.
fn allocations(peer: &Peer, endpoint: &Endpoint<'_>, calls: u32) -> Option<[f64; 2]> {
    let memcheck = ["valgrind", "--tool=memcheck", "--undef-value-errors=no"];
    let stderr = peer.run_under(&memcheck, endpoint, calls)?;
    // total heap usage: 1,234 allocs, 1,200 frees, 56,789 bytes allocated
    let words: Vec<_> = after(&stderr, "total heap usage:")
        .split_whitespace()
        .collect();
    Some([words[0], words[4]].map(|word| word.replace(',', "").parse().unwrap()))
}

fn system_calls(peer: &Peer, endpoint: &Endpoint<'_>, calls: u32) -> Option<[f64; 1]> {
    let strace = ["strace", "-f", "-qq", "-e", "signal=none"];
    let stderr = peer.run_under(&strace, endpoint, calls)?;
    // A system call during which another thread makes one has a second line.
    let lines = stderr.lines().filter(|line| !line.contains(" resumed>"));
    Some([lines.count() as f64])
}

/// Returns the rest of the line after a text.
fn after<'a>(output: &'a str, text: &str) -> &'a str {
    output
        .lines()
        .find_map(|line| line.split(text).nth(1))
        .unwrap()
}

/// Returns the number of connections that a client makes for [`COUNTED_CALLS`].
pub fn connections(peer: &Peer, server: &mut Server, scheme: Scheme) -> f64 {
    let before = server.connections(scheme);
    peer.call(&server.endpoint(scheme), COUNTED_CALLS);
    (server.connections(scheme) - before) as f64
}

/// Times all clients alternately, so that a busy moment of the machine affects all. Figures are the
/// medians of the rounds.
pub fn time(
    figures: &mut Figures,
    prefix: &str,
    peers: &Peers,
    rounds: usize,
    run: impl Fn(&Peer) -> Sample,
) {
    let mut samples = PEERS.map(|_| Vec::new());
    for _ in 0..rounds {
        for (peer, samples) in peers.iter().zip(&mut samples) {
            samples.push(run(peer));
        }
    }
    for (peer, samples) in peers.iter().zip(&samples) {
        let median = |value: fn(&Sample) -> f64| Some(median(samples.iter().map(value)));
        figures.set(
            &format!("{prefix}_wall_us"),
            peer.name,
            median(|it| it.wall),
        );
        figures.set(&format!("{prefix}_cpu_us"), peer.name, median(|it| it.cpu));
        figures.set(
            &format!("{prefix}_peak_kib"),
            peer.name,
            median(|it| it.peak),
        );
    }
}

fn time_starts(
    figures: &mut Figures,
    prefix: &str,
    peers: &Peers,
    starts: usize,
    endpoint: &Endpoint<'_>,
) {
    let mut times = PEERS.map(|_| Vec::new());
    for _ in 0..starts {
        for (peer, times) in peers.iter().zip(&mut times) {
            times.push(peer.time_to_first_response(endpoint));
        }
    }
    for (peer, times) in peers.iter().zip(times) {
        let figure = format!("{prefix}_start_ms");
        figures.set(&figure, peer.name, Some(median(times)));
    }
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
