//! Measures the cost of depending on a client: packages, clean builds, size.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Instant;

use crate::calls::median;
use crate::machine;
use crate::peer;
use crate::results::Figures;

/// A program that makes one call, with the features of its build.
struct Program {
    name: &'static str,
    peer: &'static str,
    /// `None`: the package's default features.
    features: Option<&'static str>,
}

const fn program(
    name: &'static str,
    peer: &'static str,
    features: Option<&'static str>,
) -> Program {
    Program {
        name,
        peer,
        features,
    }
}

const PROGRAMS: [Program; 12] = [
    program("pan123-offline, rustls", "pan123-offline", None),
    program(
        "pan123-offline, native-tls",
        "pan123-offline",
        Some("native-tls"),
    ),
    program(
        "pan123-offline, platform-verifier",
        "pan123-offline",
        Some("platform-verifier"),
    ),
    program("pan123-offline, no TLS", "pan123-offline", Some("")),
    program("ureq, rustls", "ureq", None),
    program("reqwest, rustls (aws-lc-rs)", "reqwest", None),
    program("reqwest, rustls with ring", "reqwest", Some("ring")),
    program("reqwest, default features", "reqwest", Some("defaults")),
    program("curl, static libcurl, OpenSSL", "curl", None),
    program("attohttpc, rustls (aws-lc-rs)", "attohttpc", None),
    program("minreq, rustls (aws-lc-rs)", "minreq", Some("webpki-roots")),
    program("floor, rustls", "floor", None),
];

/// Costs of one clean build.
struct Build {
    /// Seconds of all processes, in user and in kernel mode.
    cpu: f64,
    /// Seconds.
    wall: f64,
    /// KiB.
    size: f64,
}

/// Builds all programs, or those whose names begin with one of `names`. The results file is written
/// if all were built.
pub fn measure(rounds: usize, names: &[&str]) {
    let about = machine::about(false);
    let fetched = peer::cargo("fetch").status().unwrap();
    assert!(fetched.success(), "cannot fetch the packages");
    let is_chosen = |program: &&Program| {
        names.is_empty() || names.iter().any(|name| program.name.starts_with(name))
    };
    let mut figures = Figures::default();
    for program in PROGRAMS.iter().filter(is_chosen) {
        eprintln!("{}", program.name);
        let builds = |profile: &str, options: &[&str]| -> Vec<Build> {
            (0..rounds)
                .map(|_| program.build(profile, options))
                .collect()
        };
        let dev = builds("debug", &[]);
        let strip = ["--release", "--config", "profile.release.strip=true"];
        let release = builds("release", &strip);
        let mut set = |figure: &str, value: f64| figures.set(figure, program.name, Some(value));
        set("packages", program.packages() as f64);
        set("dev_cpu_s", median(dev.iter().map(|build| build.cpu)));
        set("dev_wall_s", median(dev.iter().map(|build| build.wall)));
        set(
            "release_cpu_s",
            median(release.iter().map(|build| build.cpu)),
        );
        set(
            "release_wall_s",
            median(release.iter().map(|build| build.wall)),
        );
        set("stripped_kib", release[0].size);
    }
    if names.is_empty() {
        figures.write(&machine::results(), "cost", about);
    } else {
        println!("{}", figures.to_json());
    }
}

impl Program {
    fn features(&self, command: &mut Command) {
        if let Some(features) = self.features {
            command.args(["--no-default-features", "--features", features]);
        }
    }

    /// Counts the packages in its tree besides itself, its measuring code and the peer.
    fn packages(&self) -> usize {
        let package = peer::package(self.peer);
        let mut command = peer::cargo("tree");
        command.args([
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--package",
            &package,
        ]);
        self.features(&mut command);
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let tree = String::from_utf8(output.stdout).unwrap();
        let packages: BTreeSet<_> = tree
            .lines()
            .map(|line| line.trim_end_matches(" (*)"))
            .collect();
        let known = [package.as_str(), "call", self.peer];
        packages
            .iter()
            .filter(|line| !known.contains(&line.split(' ').next().unwrap()))
            .count()
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
        let settings = std::env::vars_os().map(|(name, _)| name);
        for name in settings.filter(|name| changes_builds(&name.to_string_lossy())) {
            command.env_remove(name);
        }

        let (started, cpu) = (Instant::now(), cpu_of_children());
        assert!(
            command.status().unwrap().success(),
            "cannot build {}",
            self.name
        );
        let (wall, cpu) = (started.elapsed().as_secs_f64(), cpu_of_children() - cpu);
        eprintln!("    {wall:.1} s, {cpu:.1} s of CPU time");
        let size = fs::metadata(target.join(profile).join(package))
            .unwrap()
            .len() as f64
            / 1024.0;
        fs::remove_dir_all(&target).unwrap();
        Build { cpu, wall, size }
    }
}

/// Whether a variable of the environment changes how cargo builds.
fn changes_builds(name: &str) -> bool {
    name.starts_with("CARGO_PROFILE_") || name.starts_with("CARGO_BUILD_") || name == "RUSTFLAGS"
}

/// Returns the seconds of all processes that this one, or one of them, has waited for.
fn cpu_of_children() -> f64 {
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The fields after the program's name, which may contain anything. By proc(5) `cutime` is the
    // 16th field and `cstime` the 17th.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields
        .split_whitespace()
        .skip(13)
        .take(2)
        .map(|ticks| ticks.parse::<f64>().unwrap());
    ticks.sum::<f64>() / TICKS_A_SECOND
}
