//! The first table: what a call costs.

use pan123_offline::testing::Request;

use crate::machine;
use crate::peer::{NAMES, Peer, Sample};
use crate::server::{Place, Scheme, Server, stand_in};
use crate::table::{Table, median, number};

/// Counts are differences of a long and a short run, so that what happens once does not count.
const LONG: u32 = 1200;
const SHORT: u32 = 200;

type Peers = [Peer; NAMES.len()];
/// A value for each peer; none where the tool that measures it is not installed.
type Values = [Option<f64>; NAMES.len()];

/// How often what is timed is repeated.
pub struct Effort {
    rounds: usize,
    calls: u32,
    starts: usize,
}

impl Effort {
    pub const FULL: Self = Self { rounds: 15, calls: 2000, starts: 51 };
    pub const QUICK: Self = Self { rounds: 3, calls: 500, starts: 5 };
}

pub fn report(effort: Effort) {
    let peers = NAMES.map(Peer::build);
    let one_core = machine::keep_to_one_core();
    let mut server = Server::start();
    let mut table = Table::new([""].into_iter().chain(NAMES).chain(["how"]));

    table.row(requests(&peers));
    counts(&mut table, &peers, &server.place(Scheme::Http));
    let connected = peers.each_ref().map(|peer| Some(connections(peer, &mut server, Scheme::Http, 1000)));
    row(&mut table, "connections for 1,000 calls", connected, 0, "counted by the server");
    for (scheme, over) in [(Scheme::Http, "HTTP"), (Scheme::Https, "TLS")] {
        times(&mut table, &peers, &server.place(scheme), over, &effort);
    }

    machine::print();
    table.print();
    let own = &peers[0];
    let [http, tls] = [Scheme::Http, Scheme::Https].map(|scheme| connections(own, &mut server, scheme, 10_000));
    println!("\nClients and server share one core: {}.", if one_core { "yes" } else { "no, taskset is missing" });
    println!("Connections for 10,000 calls of {}: {http} over HTTP, {tls} over TLS.", own.name);
}

fn row(table: &mut Table, name: &str, values: Values, decimals: usize, how: &str) {
    let cells = values.map(|value| value.map_or("tool missing".to_owned(), |value| number(value, decimals)));
    table.row([name.to_owned()].into_iter().chain(cells).chain([how.to_owned()]));
}

/// All must send the same; returns a row that says what each adds of its own.
fn requests(peers: &Peers) -> Vec<String> {
    let service = stand_in();
    let base = service.base_url();
    let place = Place { base: &base, certificate: None };
    let requests = peers.each_ref().map(|peer| {
        peer.first_answer(&place);
        service.requests().pop().unwrap()
    });
    let added = requests.each_ref().map(|request| added(request, &requests[NAMES.len() - 1]));
    let name = "headers of its own".to_owned();
    [name].into_iter().chain(added).chain(["seen by the server".to_owned()]).collect()
}

fn added(request: &Request, floor: &Request) -> String {
    assert_eq!((&request.path, &request.query), (&floor.path, &floor.query));
    for (name, value) in &floor.headers {
        assert_eq!(request.header(name), Some(value.as_str()), "{name}");
    }
    let added = request.headers.iter().filter(|(name, _)| floor.header(name).is_none());
    let added: Vec<_> = added.map(|(name, _)| name.to_lowercase()).collect();
    if added.is_empty() { "none".to_owned() } else { added.join(", ") }
}

fn counts(table: &mut Table, peers: &Peers, place: &Place<'_>) {
    let counted = peers.each_ref().map(|peer| a_call(peer, place, instructions));
    row(table, "instructions", counted.map(first), 0, "callgrind, 1,200 calls less 200");
    let share = counted.map(|count| Some(first(counted[0])? / first(count)?));
    row(table, "this crate's share of them", share, 3, "this crate's divided by the peer's");
    let counted = peers.each_ref().map(|peer| a_call(peer, place, allocations));
    row(table, "allocations", counted.map(first), 1, "memcheck, all threads, Rust and C; 1,200 calls less 200");
    row(table, "bytes allocated", counted.map(|count| Some(count?[1])), 0, "the same");
    let counted = peers.each_ref().map(|peer| a_call(peer, place, system_calls));
    row(table, "system calls", counted.map(first), 1, "strace, all threads; 1,200 calls less 200");
}

fn first<const N: usize>(counted: Option<[f64; N]>) -> Option<f64> {
    counted.map(|counted| counted[0])
}

/// What `measure` counts for one call.
fn a_call<const N: usize>(
    peer: &Peer,
    place: &Place<'_>,
    measure: fn(&Peer, &Place<'_>, u32) -> Option<[f64; N]>,
) -> Option<[f64; N]> {
    let (long, short) = (measure(peer, place, LONG)?, measure(peer, place, SHORT)?);
    Some(std::array::from_fn(|i| (long[i] - short[i]) / f64::from(LONG - SHORT)))
}

fn instructions(peer: &Peer, place: &Place<'_>, calls: u32) -> Option<[f64; 1]> {
    let said = peer.under(&["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"], place, calls)?;
    let line = said.lines().find_map(|line| line.split("Collected :").nth(1)).unwrap();
    Some([line.trim().parse().unwrap()])
}

/// Their number, and their bytes. A `realloc` counts as one of its whole size.
fn allocations(peer: &Peer, place: &Place<'_>, calls: u32) -> Option<[f64; 2]> {
    let said = peer.under(&["valgrind", "--tool=memcheck", "--undef-value-errors=no"], place, calls)?;
    // total heap usage: 1,234 allocs, 1,200 frees, 56,789 bytes allocated
    let line = said.lines().find_map(|line| line.split("total heap usage:").nth(1)).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    Some([words[0], words[4]].map(|word| word.replace(',', "").parse().unwrap()))
}

fn system_calls(peer: &Peer, place: &Place<'_>, calls: u32) -> Option<[f64; 1]> {
    let said = peer.under(&["strace", "-f", "-qq", "-e", "signal=none"], place, calls)?;
    // A line a call, and a second one for a call during which another thread made one.
    Some([said.lines().filter(|line| !line.contains(" resumed>")).count() as f64])
}

fn connections(peer: &Peer, server: &mut Server, scheme: Scheme, calls: u32) -> f64 {
    let before = server.connections(scheme);
    peer.run(&server.place(scheme), calls);
    (server.connections(scheme) - before) as f64
}

/// What is timed: all peers take turns, so that a busy moment hits all alike.
fn times(table: &mut Table, peers: &Peers, place: &Place<'_>, over: &str, effort: &Effort) {
    let mut samples = NAMES.map(|_| Vec::new());
    for _ in 0..effort.rounds {
        for (peer, samples) in peers.iter().zip(&mut samples) {
            samples.push(peer.run(place, effort.calls));
        }
    }
    let how = format!("median of {} runs of {} calls, all peers in turns", effort.rounds, effort.calls);
    let share = "this crate's share, median of the turns' ratios";
    let wall = |sample: &Sample| sample.wall;
    row(table, &format!("{over}: wall time, µs"), medians(&samples, wall), 1, &how);
    row(table, "this crate's share of it", shares(&samples, wall), 3, share);
    let cpu = |sample: &Sample| sample.cpu;
    row(
        table,
        &format!("{over}: CPU time, µs"),
        medians(&samples, cpu),
        1,
        "the same runs, user and kernel, all threads",
    );
    row(table, "this crate's share of it", shares(&samples, cpu), 3, share);
    row(
        table,
        &format!("{over}: peak memory, KiB"),
        medians(&samples, |sample| sample.peak),
        0,
        "the same runs, VmHWM",
    );

    let mut starts = NAMES.map(|_| Vec::new());
    for _ in 0..effort.starts {
        for (peer, starts) in peers.iter().zip(&mut starts) {
            starts.push(peer.first_answer(place));
        }
    }
    let how = format!("median of {} starts, all peers in turns", effort.starts);
    row(table, &format!("{over}: start to first answer, ms"), starts.map(|starts| Some(median(starts))), 1, &how);
}

fn medians(samples: &[Vec<Sample>; NAMES.len()], value: fn(&Sample) -> f64) -> Values {
    samples.each_ref().map(|samples| Some(median(samples.iter().map(value).collect())))
}

/// This crate's share, turn by turn: what slows down a turn slows down both.
fn shares(samples: &[Vec<Sample>; NAMES.len()], value: fn(&Sample) -> f64) -> Values {
    let share = |(own, other): (&Sample, &Sample)| value(own) / value(other);
    samples.each_ref().map(|others| Some(median(samples[0].iter().zip(others).map(share).collect())))
}
