#!/usr/bin/env python3
"""Compares the cost of a call, and of depending on this crate, with other clients.

    benches/compare.py [--quick] [--check] [PART...]

Measures the parts and writes benches/results/PART.json. Then, also without a part, draws
benches/plots/*.svg and writes the tables of benches/README.md from all results.
"""

import argparse
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

BENCHES = Path(__file__).resolve().parent
PEERS_FOLDER = BENCHES / "peers"
README = BENCHES / "README.md"
MARKS = ["<!-- The rest, up to the next mark, is written by compare.py. -->\n", "<!-- End. -->\n"]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", PEERS_FOLDER / "target")).absolute()

OWN, FLOOR = "pan123-offline", "floor"
OTHERS = ["ureq", "reqwest", "curl", "attohttpc", "minreq"]
PEERS = [OWN, *OTHERS, FLOOR]
# A count is the difference of a long and a short run, so that it contains no start.
LONG_RUN, SHORT_RUN = 1200, 200
# Milliseconds that the name server takes to respond.
DELAYS = [0, 5, 20]
# Programs that are built: name, client, features (None: the default ones).
BUILDS = [
    ("pan123-offline, rustls", OWN, None),
    ("pan123-offline, native-tls", OWN, "native-tls"),
    ("pan123-offline, platform-verifier", OWN, "platform-verifier"),
    ("pan123-offline, no TLS", OWN, ""),
    ("ureq, rustls", "ureq", None),
    ("reqwest, rustls (aws-lc-rs)", "reqwest", None),
    ("reqwest, rustls with ring", "reqwest", "ring"),
    ("reqwest, default features", "reqwest", "defaults"),
    ("curl, static libcurl, OpenSSL", "curl", None),
    ("attohttpc, rustls (aws-lc-rs)", "attohttpc", None),
    ("minreq, rustls (aws-lc-rs)", "minreq", "webpki-roots"),
    ("floor, rustls", FLOOR, None),
]

# Variables that change a call or a build, and differ between machines.
UNSET = re.compile(r"(?i).*_proxy$|SSL_CERT_|RES_OPTIONS|CARGO_(PROFILE|BUILD|TARGET)_|RUSTFLAGS")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not UNSET.match(name)}
STRACE = ["strace", "-f", "-qq", "-e", "signal=none"]
CALLGRIND = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
MEMCHECK = ["valgrind", "--tool=memcheck", "--undef-value-errors=no"]
NAMESPACES = "unshare --net --mount --pid --fork --kill-child --mount-proc".split()
# Inside the namespaces: brings loopback up, and makes 127.0.0.1 the name server.
SETUP = """
    set -e
    ip link set lo up
    folder=$(mktemp -d)
    echo 'nameserver 127.0.0.1' >$folder/resolv.conf
    echo 'hosts: files dns' >$folder/nsswitch.conf
    for file in resolv.conf nsswitch.conf; do mount --bind $folder/$file /etc/$file; done
    exec "$@"
"""


def log(text):
    print(text, file=sys.stderr, flush=True)


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def cargo(command, *options):
    return ["cargo", command, "--quiet", "--locked",
            "--manifest-path", str(PEERS_FOLDER / "Cargo.toml"), *options]


def add(figures, program, **values):
    for name, value in values.items():
        figures.setdefault(name, {})[program] = round(value, 3)


class Server:
    """The server of all clients, in a process of its own."""

    def __init__(self, *arguments):
        # A client and a server on two cores wake up an idle core for each message, which takes
        # longer than the call.
        self.cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(self.cores)})
        self.folder = tempfile.TemporaryDirectory()
        self.certificate = f"{self.folder.name}/certificate.pem"
        self.process = subprocess.Popen(
            [TARGET / "release/server", self.certificate, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.http, self.https = self.read(), self.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.folder.cleanup()
        os.sched_setaffinity(0, self.cores)

    def read(self):
        return self.process.stdout.readline().strip()

    def send(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def counts(self):
        """Returns the numbers of connections and of DNS queries so far."""
        self.send("counts")
        return [int(count) for count in self.read().split()]

    def command(self, peer, calls, base, tool=()):
        command = [*tool, TARGET / f"release/call-{peer}", str(calls), base]
        return command + ([self.certificate] if base == self.https else [])

    def environment(self):
        # The variable is for minreq, which takes no certificate from its user.
        return ENVIRONMENT | {"SSL_CERT_FILE": self.certificate}

    def run(self, *command):
        """Runs a client, and returns its errors."""
        done = subprocess.run(self.command(*command), env=self.environment(),
                              stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"{command[0]} failed: {done.stderr}")
        return done.stderr

    def time(self, peer, calls):
        """Returns wall time and CPU time of a call in µs."""
        long, short = (timed(self.command(peer, number, self.https), self.environment())
                       for number in (calls + calls // 10, calls // 10))
        return [(a - b) / calls * 1e6 for a, b in zip(long, short)]


def timed(command, environment):
    """Runs a command. Returns wall time and CPU time in seconds."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment)
    _, code, usage = os.wait4(process.pid, 0)
    if code != 0:
        sys.exit(f"failed: {command}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


# ---- Measurements. Each returns figures: {name of the figure: {program: value}}.


def counts(quick):
    """Instructions, allocations, system calls and connections of a call by address."""
    figures = {}
    with Server() as server:
        for peer in PEERS:
            log(f"counts: {peer}")

            def per_call(tool, counts_of):
                long, short = (counts_of(server.run(peer, calls, server.http, tool))
                               for calls in (LONG_RUN, SHORT_RUN))
                return [(a - b) / (LONG_RUN - SHORT_RUN) for a, b in zip(long, short)]

            def numbers(pattern):
                return lambda text: [int(it.replace(",", ""))
                                     for it in re.search(pattern, text).groups()]

            [instructions] = per_call(CALLGRIND, numbers(r"Collected : (\d+)"))
            usage = numbers(r"total heap usage: (\S+) allocs, \S+ frees, (\S+) bytes")
            allocations, size = per_call(MEMCHECK, usage)
            system_calls, _ = per_call(STRACE, strace_counts)
            before, _ = server.counts()
            server.run(peer, 1000, server.http)
            add(figures, peer, instructions=instructions, allocations=allocations,
                allocated_bytes=size, system_calls=system_calls,
                connections=server.counts()[0] - before)
    return figures


def strace_counts(text):
    """Returns the numbers of system calls and of new threads in the output of strace."""
    # A system call during which another thread makes one has a second line.
    lines = [line for line in text.splitlines() if " resumed>" not in line]
    return len(lines), len([line for line in lines if re.search(r"\bclone3?\(.*THREAD", line)])


def by_name(quick):
    """Calls over TLS by host name, in namespaces with a name server of their own."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    inside = [sys.executable, __file__, "inside", *(["--quick"] if quick else [])]
    return json.loads(output(*NAMESPACES, *user, "sh", "-c", SETUP, "sh", *inside))


def by_name_inside(quick):
    rounds, calls, lookups = (2, 500, 20) if quick else (5, 2000, 100)
    figures, timed_calls = {}, {}
    with Server("by-name") as server:
        for peer in PEERS:
            log(f"by name: {peer}")
            before = server.counts()
            errors = server.run(peer, 1000, server.https, STRACE)
            connections, queries = (now - then for now, then in zip(server.counts(), before))
            add(figures, peer, by_name_connections=connections, by_name_queries=queries,
                by_name_threads=strace_counts(errors)[1])
            # With a slow name server, a lookup for each call takes minutes.
            timed_calls[peer] = lookups if queries >= 1000 else calls
        for delay in DELAYS:
            log(f"by name: a name server {delay} ms away")
            server.send(f"delay {delay}")
            # All clients in turns, so that a busy moment of the machine affects all.
            reports = [[server.time(peer, timed_calls[peer]) for peer in PEERS]
                       for _ in range(rounds)]
            for peer, samples in zip(PEERS, zip(*reports)):
                wall, cpu = map(median, zip(*samples))
                add(figures, peer, **{f"by_name_{delay}ms_wall_us": wall,
                                      f"by_name_{delay}ms_cpu_us": cpu})
    return figures


def builds(quick):
    """Clean builds of a program that makes one call."""
    figures = {}
    subprocess.run(cargo("fetch"), check=True)
    for name, peer, features in BUILDS:
        log(f"builds: {name}")
        options = ["--package", f"call-{peer}"]
        if features is not None:
            options += ["--no-default-features", "--features", features]
        tree = output(*cargo("tree", *options, "--edges", "normal", "--prefix", "none"))
        packages = {line.removesuffix(" (*)") for line in tree.splitlines()}
        below = [it for it in packages if it.split()[0] not in ("call", f"call-{peer}", peer)]
        add(figures, name, packages=len(below))
        folder = TARGET / "clean"
        command = cargo("build", *options, "--offline", "--target-dir", str(folder),
                        "--config", "profile.release.strip=true")
        for profile, extra in [("dev", []), ("release", ["--release"])]:
            runs = []
            for _ in range(1 if quick else 3):
                shutil.rmtree(folder, ignore_errors=True)
                runs.append(timed([*command, *extra], ENVIRONMENT))
            wall, cpu = map(median, zip(*runs))
            add(figures, name, **{f"{profile}_cpu_s": cpu, f"{profile}_wall_s": wall})
        add(figures, name, stripped_kib=(folder / f"release/call-{peer}").stat().st_size / 1024)
    return figures


PARTS = {"counts": counts, "by-name": by_name, "builds": builds}


def measure(part, quick):
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    about = {
        "date": f"{datetime.date.today()}{', a quick run' if quick else ''}",
        "cpu": f"{cpu.group(1) if cpu else 'unknown'}, {os.cpu_count()} cores",
        "linux": os.uname().release,
        "rustc": output("rustc", "--version").strip(),
        "figures": PARTS[part](quick),
    }
    path = BENCHES / f"results/{part}.json"
    path.write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")


# ---- The results: tables, limits, plots.


class Results:
    def __init__(self):
        self.runs = {part: json.loads((BENCHES / f"results/{part}.json").read_text())
                     for part in PARTS}
        self.figures = {figure: values for run in self.runs.values()
                        for figure, values in run["figures"].items()}

    def get(self, figure, program, other=None):
        """Returns a figure, or its share of another program's; None if it was not measured."""
        values = self.figures.get(figure, {})
        if other is None or values.get(program) is None:
            return values.get(program)
        return values[program] / values[other] if values.get(other) else None

    def limits(self):
        """Returns the limits: name, figure, maximum."""
        below = 0.999
        return [
            ("instructions of a call, share of plain ureq's",
             self.get("instructions", OWN, "ureq"), 0.85),
            *((f"instructions of a call, share of {peer}'s",
               self.get("instructions", OWN, peer), below) for peer in OTHERS[1:]),
            ("allocations of a call", self.get("allocations", OWN), 32),
            ("DNS queries for 1,000 calls by name", self.get("by_name_queries", OWN), 2),
            ("threads started for 1,000 calls by name: one for the lookup",
             self.get("by_name_threads", OWN), 1),
            *((f"wall time by name, name server 20 ms away, share of {peer}'s",
               self.get("by_name_20ms_wall_us", OWN, peer), below) for peer in ("reqwest", "curl")),
            ("packages below it", self.get("packages", "pan123-offline, rustls"), 32),
            ("CPU time of a clean build, share of plain ureq's",
             self.get("dev_cpu_s", "pan123-offline, rustls", "ureq, rustls"), 1.1),
        ]

    def table(self, title, programs, *columns):
        """Each column has a heading, a figure and its decimals; for a share another program."""
        rows = [[it, *(number(self.get(figure, it, *other), decimals)
                       for _, figure, decimals, *other in columns)] for it in programs]
        return table([title, *(heading for heading, *_ in columns)], rows)


def number(value, decimals=0):
    return "not measured" if value is None else f"{value:,.{decimals}f}"


def table(heading, rows):
    # The first column is text, the others are figures.
    lines = [heading, ["---"] + ["--:"] * (len(heading) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def is_kept(value, most):
    return value is not None and value <= most


def tables(results):
    dev_cpu = results.figures["dev_cpu_s"]
    programs = sorted(dev_cpu, key=dev_cpu.get)
    return "".join([
        "\n## Limits\n\n",
        table(["checked by `--check`", "measured", "at most", ""],
              [[name, number(value, 3), number(most, 3), "yes" if is_kept(value, most) else "NO"]
               for name, value, most in results.limits()]),
        "## A call by host name, over TLS\n\n",
        results.table("µs; name server:", PEERS, *(
            (f"{delay} ms, {kind}", f"by_name_{delay}ms_{kind}_us", 1)
            for kind in ("wall", "cpu") for delay in DELAYS)),
        results.table("1,000 calls", PEERS, ("DNS queries", "by_name_queries", 0),
                      ("connections", "by_name_connections", 0),
                      ("threads started", "by_name_threads", 0)),
        "## A call by address\n\n",
        results.table("counted", PEERS, ("instructions", "instructions", 0),
                      ("share of ureq's", "instructions", 2, "ureq"),
                      ("allocations", "allocations", 1), ("bytes", "allocated_bytes", 0),
                      ("system calls", "system_calls", 1),
                      ("connections, 1,000 calls", "connections", 0)),
        "## A program that depends on it\n\n",
        results.table("clean build", programs, ("dev, CPU s", "dev_cpu_s", 1),
                      ("share of ureq's", "dev_cpu_s", 2, "ureq, rustls"),
                      ("wall s", "dev_wall_s", 1), ("release, CPU s", "release_cpu_s", 1),
                      ("wall s", "release_wall_s", 1), ("stripped KiB", "stripped_kib", 0),
                      ("packages below it", "packages", 0)),
        "## Runs\n\n",
        table(["benches/results/", "date", "CPU", "Linux", "Rust"],
              [[part, *(run[key] for key in ("date", "cpu", "linux", "rustc"))]
               for part, run in results.runs.items()]),
        "Versions: those of `peers/Cargo.lock`.\n\n",
    ])


# The page is white or dark, and shows through.
TEXT, BAR, LINE = "#768390", "#9aa4af", "#e0524c"
OWN_BAR = "#3081f7"


def draw(results):
    programs = [name for name, *_ in BUILDS]
    for file, title, figure, names, decimals in [
        ("by-name", "Time of a call by host name over TLS, name server 5 ms away, µs (logarithmic)",
         "by_name_5ms_wall_us", PEERS, 1),
        ("instructions", "Instructions of a call by address", "instructions", PEERS, 0),
        ("build", "CPU time of a clean dev build, s", "dev_cpu_s", programs, 1),
    ]:
        plot(file, title, {name: results.get(figure, name) for name in names}, decimals)


def plot(file, title, values, decimals):
    import matplotlib
    from matplotlib import pyplot
    matplotlib.rcParams.update({
        "svg.fonttype": "none", "svg.hashsalt": file, "text.color": TEXT, "ytick.color": TEXT,
        "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"]})
    figure, axes = pyplot.subplots(layout="constrained", figsize=(7.6, 0.6 + 0.3 * len(values)))
    axes.set_title(f"{title}; line: a bare socket", fontweight="bold", loc="left", fontsize=10)
    [floor] = [values.pop(name) for name in list(values) if name.startswith(FLOOR)]
    names = sorted(values, key=values.get, reverse=True)
    bars = axes.barh(names, [values[name] for name in names], height=0.75,
                     color=[OWN_BAR if name.startswith(OWN) else BAR for name in names])
    axes.bar_label(bars, [number(values[name], decimals) for name in names], padding=4)
    is_logarithmic = "logarithmic" in title
    axes.set_xscale("log" if is_logarithmic else "linear")
    most = max(values.values())
    axes.set_xlim(*((10, 3 * most) if is_logarithmic else (0, 1.15 * most)))
    axes.axvline(floor, color=LINE, linewidth=1.5)
    axes.xaxis.set_visible(False)
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    figure.savefig(BENCHES / f"plots/{file}.svg", transparent=True, metadata={"Date": None})
    pyplot.close(figure)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}, or all")
    parser.add_argument("--quick", action="store_true", help="repeat less, to see that it works")
    parser.add_argument("--check", action="store_true", help="fail if a limit does not hold")
    options = parser.parse_args()
    if options.parts == ["inside"]:
        print(json.dumps(by_name_inside(options.quick)))
        return
    parts = list(PARTS) if options.parts == ["all"] else options.parts
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(unknown)}")
    if set(parts) - {"builds"}:
        # One by one, since cargo unifies the features of packages that are built together.
        for package in ["server", *(f"call-{peer}" for peer in PEERS)]:
            subprocess.run(cargo("build", "--release", "--package", package,
                                 "--target-dir", str(TARGET)), check=True)
    for part in parts:
        measure(part, options.quick)
    results = Results()
    draw(results)
    before, rest = README.read_text().split(MARKS[0])
    _, after = rest.split(MARKS[1])
    README.write_text(before + MARKS[0] + tables(results) + MARKS[1] + after)
    broken = [it for it in results.limits() if not is_kept(*it[1:])]
    for name, value, most in broken:
        log(f"limit: {name}: {number(value, 3)}, at most {number(most, 3)}")
    if options.check and broken:
        sys.exit(1)


if __name__ == "__main__":
    main()
