//! The second table: what a program pays that depends on it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Instant;

use crate::machine;
use crate::peer;
use crate::table::{Table, median, number};

/// A program that makes one call, and how it is built.
struct Program {
    name: &'static str,
    peer: &'static str,
    features: Option<&'static str>,
}

const fn program(name: &'static str, peer: &'static str, features: Option<&'static str>) -> Program {
    Program { name, peer, features }
}

const PROGRAMS: [Program; 12] = [
    program("pan123-offline, rustls", "pan123-offline", None),
    program("pan123-offline, native-tls", "pan123-offline", Some("native-tls")),
    program("pan123-offline, platform-verifier", "pan123-offline", Some("platform-verifier")),
    program("pan123-offline, no TLS", "pan123-offline", Some("")),
    program("ureq, rustls", "ureq", None),
    program("reqwest, rustls as it comes (aws-lc-rs)", "reqwest", None),
    program("reqwest, rustls with ring", "reqwest", Some("ring")),
    program("reqwest, its default features", "reqwest", Some("defaults")),
    program("curl, libcurl built in, OpenSSL of the system", "curl", None),
    program("attohttpc, rustls (aws-lc-rs)", "attohttpc", None),
    program("minreq, rustls (aws-lc-rs)", "minreq", Some("webpki-roots")),
    program("floor, rustls", "floor", None),
];

/// What the others are compared with: what their users write who follow the READMEs.
const UREQ: &str = "ureq, rustls";
const REQWEST: &str = "reqwest, its default features";

/// What one clean build took.
struct Build {
    /// Seconds of all processes, in user and in kernel mode.
    cpu: f64,
    /// Seconds.
    wall: f64,
    /// KiB.
    size: f64,
}

/// Builds the programs whose names begin with one of these, or all if there are none.
pub fn report(rounds: usize, names: &[&str]) {
    let fetched = peer::cargo("fetch").status().unwrap();
    assert!(fetched.success(), "the packages could not be fetched");
    let chosen = |program: &&Program| names.is_empty() || names.iter().any(|name| program.name.starts_with(name));
    let programs: Vec<_> = PROGRAMS.iter().filter(chosen).collect();
    let builds: Vec<_> = programs.iter().map(|_| (Vec::new(), Vec::new())).collect();
    let builds = (0..rounds).fold(builds, |mut builds, _| {
        for (program, (dev, release)) in programs.iter().zip(&mut builds) {
            eprintln!("{}", program.name);
            dev.push(program.build("debug", &[]));
            release.push(program.build("release", &["--release", "--config", "profile.release.strip=true"]));
        }
        builds
    });
    let dev = |value: fn(&Build) -> f64| medians(builds.iter().map(|(dev, _)| dev), value);
    let release = |value: fn(&Build) -> f64| medians(builds.iter().map(|(_, release)| release), value);
    let columns = [
        ("packages below it", false, programs.iter().map(|program| program.packages() as f64).collect()),
        ("dev: CPU s", true, dev(|build| build.cpu)),
        ("dev: wall s", false, dev(|build| build.wall)),
        ("release: CPU s", true, release(|build| build.cpu)),
        ("release: wall s", false, release(|build| build.wall)),
        ("stripped, KiB", true, release(|build| build.size)),
    ];
    machine::print();
    print(&programs, &columns);
    println!("\nMedians of {rounds} clean build(s) of each program in each profile, in turns.");
}

fn medians<'a>(builds: impl Iterator<Item = &'a Vec<Build>>, value: fn(&Build) -> f64) -> Vec<f64> {
    builds.map(|builds| median(builds.iter().map(value).collect())).collect()
}

/// Columns with a heading, and with or without the shares of what two of the peers take.
fn print(programs: &[&Program], columns: &[(&str, bool, Vec<f64>)]) {
    let mut heading = vec![""];
    for (name, shares, _) in columns {
        heading.push(name);
        heading.extend(["of ureq", "of reqwest"].iter().filter(|_| *shares));
    }
    let mut table = Table::new(heading);
    let place = |name: &str| programs.iter().position(|program| program.name == name);
    for (i, program) in programs.iter().enumerate() {
        let mut cells = vec![program.name.to_owned()];
        for (_, shares, values) in columns {
            cells.push(number(values[i], usize::from(values[i].fract() != 0.0)));
            let share = |peer: Option<usize>| peer.map_or(String::new(), |peer| number(values[i] / values[peer], 2));
            cells.extend([UREQ, REQWEST].iter().filter(|_| *shares).map(|peer| share(place(peer))));
        }
        table.row(cells);
    }
    table.print();
}

impl Program {
    fn features(&self, command: &mut Command) {
        if let Some(features) = self.features {
            command.args(["--no-default-features", "--features", features]);
        }
    }

    /// What is in its tree besides itself, what it measures with, and the crate that is measured.
    fn packages(&self) -> usize {
        let package = peer::package(self.peer);
        let mut command = peer::cargo("tree");
        command.args(["--edges", "normal", "--prefix", "none", "--package", &package]);
        self.features(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let tree = String::from_utf8(output.stdout).unwrap();
        let packages: BTreeSet<_> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
        let known = [package.as_str(), "call", self.peer];
        packages.iter().filter(|line| !known.contains(&line.split(' ').next().unwrap())).count()
    }

    fn build(&self, profile: &str, options: &[&str]) -> Build {
        let target = peer::target().join("cost");
        if target.exists() {
            fs::remove_dir_all(&target).unwrap();
        }
        let package = peer::package(self.peer);
        let mut command = peer::cargo_build(&package, &target);
        command.arg("--offline").args(options);
        self.features(&mut command);

        let (started, cpu) = (Instant::now(), cpu_of_children());
        assert!(command.status().unwrap().success(), "{} could not be built", self.name);
        let (wall, cpu) = (started.elapsed().as_secs_f64(), cpu_of_children() - cpu);
        eprintln!("    {wall:.1} s, {cpu:.1} s of CPU time");
        let size = fs::metadata(target.join(profile).join(package)).unwrap().len() as f64 / 1024.0;
        fs::remove_dir_all(&target).unwrap();
        Build { cpu, wall, size }
    }
}

/// Seconds of all processes that this one, or one of them, has waited for.
fn cpu_of_children() -> f64 {
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The fields after the program's name, which may hold anything; by proc(5) `cutime` is the 16th, `cstime` the 17th.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(13).take(2).map(|ticks| ticks.parse::<f64>().unwrap());
    ticks.sum::<f64>() / TICKS_A_SECOND
}
