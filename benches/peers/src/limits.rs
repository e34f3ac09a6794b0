//! Limits for the cost of a call, checked after each measurement.

use super::results::Results;
use super::tables::{OWN, PEERS};

/// A ratio that must be below 1.
const BELOW_ONE: f64 = 0.999;

/// A limit with its measured figure.
pub struct Checked {
    pub name: &'static str,
    pub measured: Option<f64>,
    pub at_most: f64,
}

impl Checked {
    /// Returns whether the figure was measured and is within the limit.
    pub fn holds(&self) -> bool {
        self.measured
            .is_some_and(|measured| measured <= self.at_most)
    }
}

pub fn check(results: &Results) -> Vec<Checked> {
    let own = |figure| results.get(figure, OWN);
    let share = |figure, peer| results.ratio(figure, OWN, peer);
    let limits = [
        // A lookup of a name makes two queries, for A and for AAAA.
        (
            "DNS queries for 1,000 calls by name: two lookups",
            own("by_name_queries"),
            4.0,
        ),
        (
            "wall time by name, name server 20 ms away, share of reqwest's",
            share("by_name_20ms_wall_us", "reqwest"),
            BELOW_ONE,
        ),
        (
            "CPU time by name, name server 20 ms away, share of the least of the others",
            greatest_share("by_name_20ms_cpu_us", results),
            BELOW_ONE,
        ),
        (
            "instructions by address, share of ureq's",
            share("instructions", "ureq"),
            0.74,
        ),
        ("allocations by address", own("allocations"), 25.0),
        ("system calls by address", own("system_calls"), 10.0),
    ];
    limits
        .into_iter()
        .map(|(name, measured, at_most)| Checked {
            name,
            measured,
            at_most,
        })
        .collect()
}

/// Returns this crate's share of the best other client's figure. The floor is not a client.
fn greatest_share(figure: &str, results: &Results) -> Option<f64> {
    let others = &PEERS[1..PEERS.len() - 1];
    let shares: Option<Vec<_>> = others
        .iter()
        .map(|peer| results.ratio(figure, OWN, peer))
        .collect();
    shares?.into_iter().reduce(f64::max)
}
