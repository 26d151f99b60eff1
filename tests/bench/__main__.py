"""`python -m tests.bench [NAME...]`: measures ours beside Debian's etcd, in turn, in one run.

Each figure is one JSON line on stdout {"name", "unit", "ours", "peer", "ratio", "better", "runs"};
`--markdown` prints the README's table instead. Needs wrk and etcd-server; never part of the tests.
"fleet" boots machines and is measured only when named (see fleet.py).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import fleet, load, servers
from tests.bench.servers import Member

HIGHER, LOWER = "higher", "lower"


class Figure:
    """A pair of medians; the ratio is ours to the peer's."""

    def __init__(self, name: str, unit: str, better: str) -> None:
        self.name, self.unit, self.better = name, unit, better
        self.values: dict[str, list[float]] = {"ours": [], "peer": []}

    def line(self) -> dict[str, object]:
        ours, peer = (statistics.median(self.values[s]) for s in ("ours", "peer"))
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": round(ours, 3),
            "peer": round(peer, 3),
            "ratio": round(ours / peer, 2) if peer else None,
            "better": self.better,
            "runs": len(self.values["ours"]),
        }


def throughput(runs: int, seconds: float) -> list[Figure]:
    """PUT and GET at 1 and 64 connections: one member, then three through the leader."""
    figures: list[Figure] = []
    for count in (1, 3):
        pairs: dict[str, Callable[[Member, int], float]] = {
            "PUT": lambda m, c: load.puts(m, connections=c, seconds=seconds),
            "GET": lambda m, c: load.gets(m, connections=c, seconds=seconds),
            "quorum GET": lambda m, c: load.gets(
                m, connections=c, seconds=seconds, query="?quorum=true"
            ),
        }
        table = {
            (op, connections): Figure(
                f"{op} c{connections}, {count} member{'s' * (count > 1)}", "1/s", HIGHER
            )
            for op in pairs
            for connections in (1, 64)
        }
        for _ in range(runs):
            for subject in ("ours", "peer"):
                with servers.running(subject, count) as cluster:
                    leader = cluster.leader()
                    load.fill(leader, 1000)
                    for (op, connections), figure in table.items():
                        figure.values[subject].append(pairs[op](leader, connections))
        figures += table.values()
    return figures


def follower(runs: int, seconds: float) -> list[Figure]:
    """PUT at 64 connections through a follower of three."""
    figure = Figure("PUT c64 through a follower, 3 members", "1/s", HIGHER)
    for _ in range(runs):
        for subject in ("ours", "peer"):
            with servers.running(subject, 3) as cluster:
                rate = load.puts(cluster.follower(), connections=64, seconds=seconds)
                figure.values[subject].append(rate)
    return [figure]


def watch(runs: int, _seconds: float) -> list[Figure]:
    figure = Figure("1000 watchers, last one notified", "ms", LOWER)
    for subject in ("ours", "peer"):
        with servers.running(subject, 1) as cluster:
            for _ in range(max(runs, 3)):
                figure.values[subject].append(load.fan_out(cluster.members[0], 1000) * 1e3)
    return [figure]


def memory(_runs: int, _seconds: float) -> list[Figure]:
    """RSS with 100 000 keys of 256 bytes, and the time from kill -9 to the first quorum read."""
    rss = Figure("RSS with 100k keys of 256 B", "MiB", LOWER)
    restart = Figure("restart after kill -9 with 100k keys", "s", LOWER)
    for subject in ("ours", "peer"):
        with servers.running(subject, 1) as cluster:
            member = cluster.members[0]
            load.fill(member, 100_000)
            time.sleep(2)
            rss.values[subject].append(member.rss_kib() / 1024)
            member.kill()
            member.start(cluster.program, cluster.peers)
            took = servers.wait_for(lambda m=member: servers.get(m, "bench/k1"))
            restart.values[subject].append(took)
    return [rss, restart]


def failover(runs: int, _seconds: float) -> list[Figure]:
    figure = Figure("failover: kill -9 of the leader to the next write", "s", LOWER)
    for _ in range(max(runs, 3)):
        for subject in ("ours", "peer"):
            with servers.running(subject, 3) as cluster:
                leader = cluster.leader()
                other = next(m for m in cluster.members if m is not leader)
                leader.kill()
                figure.values[subject].append(
                    servers.wait_for(lambda m=other: servers.put(m, "after", "failover"))
                )
    return [figure]


def startup(runs: int, _seconds: float) -> list[Figure]:
    figure = Figure("etcdctl get, wall time", "ms", LOWER)
    with servers.running("ours", 1) as cluster:
        environment = os.environ | {
            "ETCDCTL_API": "2",
            "ETCDCTL_ENDPOINTS": cluster.members[0].url,
        }
        for _ in range(runs * 10):
            for subject, program in servers.CLIENTS.items():
                begin = time.perf_counter()
                subprocess.run(
                    [program, "get", "ready"], env=environment, check=True, capture_output=True
                )
                figure.values[subject].append((time.perf_counter() - begin) * 1e3)
    return [figure]


def archive(_runs: int, _seconds: float) -> list[Figure]:
    """The whole suite beside Debian's etcd and etcdctl programs alone."""
    figure = Figure("size: coreos.pyz beside etcd + etcdctl", "MB", LOWER)
    figure.values["ours"].append((servers.TOP / "dist" / "coreos.pyz").stat().st_size / 1e6)
    peer = sum(Path(path).stat().st_size for path in ("/usr/bin/etcd", "/usr/bin/etcdctl"))
    figure.values["peer"].append(peer / 1e6)
    return [figure]


BENCHES = {
    "throughput": throughput,
    "follower": follower,
    "watch": watch,
    "memory": memory,
    "failover": failover,
    "startup": startup,
    "archive": archive,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    known = [*BENCHES, "fleet"]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--runs", type=int, default=3, help="runs of each subject (default 3)")
    parser.add_argument("--seconds", type=float, default=5, help="length of a load (default 5)")
    parser.add_argument("--markdown", action="store_true", help="print the README's table")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"unknown bench {unknown[0]!r} (known: {', '.join(known)})")
    if "fleet" in options.names:
        rows = [row.line() for row in fleet.measure(options.runs, options.seconds)]
        print(fleet.markdown(rows) if options.markdown else "\n".join(map(json.dumps, rows)))
        options.names.remove("fleet")
        if not options.names:
            return 0
    lines = []
    for name in options.names or BENCHES:
        print(f"measuring {name} ...", file=sys.stderr)
        for figure in BENCHES[name](options.runs, options.seconds):
            lines.append(figure.line())
            if not options.markdown:
                print(json.dumps(lines[-1]), flush=True)
    if options.markdown:
        print("| figure | ours | Debian etcd 3.4 | ratio | better |\n|---|---|---|---|---|")
        for line in lines:
            values = " | ".join(f"{line[s]:,g} {line['unit']}" for s in ("ours", "peer"))
            print(f"| {line['name']} | {values} | {line['ratio']} | {line['better']} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
