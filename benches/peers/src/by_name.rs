//! Measures calls over TLS by host name, in namespaces with a name server of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::calls::{self, COUNTED_CALLS, Effort};
use crate::name_server::NameServer;
use crate::namespace;
use crate::peer;
use crate::results::Figures;
use crate::server::{Scheme, Server};
use crate::tables::{DELAYS, PEERS};

/// Maximum duration of a run.
const MAX_SECONDS: u32 = 1200;

/// Runs this program as `by-name` inside the namespaces, and adds its figures. Without
/// permission for namespaces there are no such figures.
pub fn measure(figures: &mut Figures, is_quick: bool) {
    let mut command = namespace::command(MAX_SECONDS, &std::env::current_exe().unwrap());
    command.arg("by-name").args(is_quick.then_some("--quick"));
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    if let Some(json) = stdout.strip_prefix(STARTED) {
        assert!(output.status.success(), "calls by host name: {stderr}");
        figures.add_json(json).unwrap();
        return;
    }
    eprintln!("cannot create namespaces, so calls by host name are not measured: {stderr}");
}

/// Printed inside the namespaces before anything else.
const STARTED: &str = "inside\n";

/// Measures inside the namespaces, and prints the figures as JSON.
pub fn measure_inside(is_quick: bool) {
    print!("{STARTED}");
    let effort = Effort::new(is_quick);
    let (peers, mut figures) = (peer::all(), Figures::default());
    let name_server = NameServer::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 53))).unwrap();
    name_server.set_addresses(vec![IpAddr::from(Ipv4Addr::LOCALHOST)]);
    let mut server = Server::start();

    let mut calls = [0; PEERS.len()];
    for (peer, calls) in peers.iter().zip(&mut calls) {
        let before = name_server.query_count();
        let connections = calls::connections(peer, &mut server, Scheme::HttpsByName);
        let queries = name_server.query_count() - before;
        figures.set("by_name_connections", peer.name, Some(connections));
        figures.set("by_name_queries", peer.name, Some(queries as f64));
        // With a slow name server, a lookup for each call takes minutes.
        let has_lookups = queries >= COUNTED_CALLS as usize;
        *calls = if has_lookups {
            effort.lookups
        } else {
            effort.calls
        };
    }
    let endpoint = server.endpoint(Scheme::HttpsByName);
    for delay in DELAYS {
        name_server.set_delay(Duration::from_millis(delay));
        let prefix = format!("by_name_{delay}ms");
        calls::time(
            &mut figures,
            &prefix,
            &peers,
            effort.rounds_by_name,
            |peer| {
                let at = PEERS.iter().position(|&name| name == peer.name).unwrap();
                peer.time(&endpoint, calls[at])
            },
        );
    }
    println!("{}", figures.to_json());
}
