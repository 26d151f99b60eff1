"""`python -m tests.bench [NAME...]`: measures ours beside Debian's etcd, in turn, in one run.

Each figure is one JSON line on stdout {"name", "unit", "ours", "peer", "ratio", "better", "runs"};
`--markdown` prints the README's table instead. Needs wrk and etcd-server; never part of the tests.
"fleet" boots machines and is measured only when named (see fleet.py).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.bench import fleet, load, servers

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


class Load(NamedTuple):
    """Requests from so many connections at once; `log` as opposed to a member's own memory."""

    what: str
    connections: int
    is_through_follower: bool = False

    def name(self, members: int, *, by: str = "") -> str:
        where = f"{members} member{'s' * (members > 1)}"
        through = " through a follower" if self.is_through_follower else ""
        return f"{self.what} c{self.connections}{by}{through}, {where}"

    def rate(self, cluster: servers.Cluster, seconds: int) -> float:
        """Requests a second."""
        member = cluster.follower() if self.is_through_follower else cluster.leader()
        if self.what == "PUT":
            return load.puts(member, connections=self.connections, seconds=seconds)
        query = "?quorum=true" if self.what == QUORUM_GET else ""
        return load.gets(member, connections=self.connections, seconds=seconds, query=query)


QUORUM_GET = "quorum GET"
LOADS = [Load(what, c) for what in ("PUT", "GET", QUORUM_GET) for c in (1, 64)]
FOLLOWER_LOADS = [Load("PUT", 1, True), Load("PUT", 64, True), Load(QUORUM_GET, 64, True)]
BY_INDEX = " by index"


def throughput(runs: int, seconds: int) -> list[Figure]:
    """PUT and GET at 1 and 64 connections: one member, then three through leader and follower.

    Quorum reads by index are ours alone, and stand beside the peer's through the log.
    """
    figures: list[Figure] = []
    for count in (1, 3):
        loads = LOADS + (FOLLOWER_LOADS if count > 1 else [])
        table = {one: Figure(one.name(count), "1/s", HIGHER) for one in loads}
        index = {
            one: Figure(one.name(count, by=BY_INDEX), "1/s", HIGHER)
            for one in LOADS
            if one.what == QUORUM_GET
        }
        for subject in turns(runs):
            with servers.running(subject, count) as cluster:
                load.fill(cluster.leader(), 1000)
                for one, figure in table.items():
                    figure.values[subject].append(one.rate(cluster, seconds))
        for _ in range(runs):
            with servers.running("ours", count, "--quorum-read=index") as cluster:
                load.fill(cluster.leader(), 1000)
                for one, figure in index.items():
                    figure.values["ours"].append(one.rate(cluster, seconds))
        for one, figure in index.items():
            figure.values["peer"] = table[one].values["peer"]
        figures += [*table.values(), *index.values()]
    return figures


def turns(runs: int) -> Iterator[str]:
    """The subjects in turn, each as often before the other as behind it."""
    for run in range(runs):
        yield from ("ours", "peer") if run % 2 == 0 else ("peer", "ours")


def auth(runs: int, seconds: int) -> list[Figure]:
    """What is left of the rate when every request names a user and his password.

    Over some seconds: an etcd that hashes the password for every request answers a few in each.
    """
    reads = Figure("GET c8 with auth on, of the rate without", "%", HIGHER)
    writes = Figure("PUT c8 with auth on, of the rate without", "%", HIGHER)
    for subject in turns(min(runs, 2)):
        with servers.running(subject, 1) as cluster:
            member = cluster.members[0]
            load.fill(member, 1000)
            bare = [run(member, connections=8, seconds=seconds) for run in (load.gets, load.puts)]
            servers.enable_auth(member)
            for figure, run, rate in zip(
                (reads, writes), (load.gets, load.puts), bare, strict=True
            ):
                kept = run(member, connections=8, seconds=5 * seconds, user=servers.ROOT)
                figure.values[subject].append(100 * kept / rate)
    return [reads, writes]


def watch(runs: int, _seconds: int) -> list[Figure]:
    figure = Figure("1000 watchers, last one notified", "ms", LOWER)
    for subject in ("ours", "peer"):
        with servers.running(subject, 1) as cluster:
            for _ in range(max(runs, 3)):
                figure.values[subject].append(load.fan_out(cluster.members[0], 1000) * 1e3)
    return [figure]


def memory(_runs: int, _seconds: int) -> list[Figure]:
    """RSS with 100 000 keys of 256 bytes, and the time from kill -9 to the first quorum read."""
    rss = Figure("RSS with 100k keys of 256 B", "MiB", LOWER)
    kept = Figure("restart after kill -9 with 100k keys", "s", LOWER)
    for subject in ("ours", "peer"):
        with servers.running(subject, 1) as cluster:
            load.fill(cluster.members[0], 100_000)
            time.sleep(2)
            rss.values[subject].append(cluster.members[0].rss_kib() / 1024)
            kept.values[subject] = _restarts(cluster)
    return [rss, kept]


def restart(_runs: int, _seconds: int) -> list[Figure]:
    """The same with a log of 100 000 entries and no snapshot."""
    figure = Figure("restart after kill -9 with a log of 100k entries", "s", LOWER)
    for subject in ("ours", "peer"):
        with servers.running(subject, 1, "--snapshot-count=1000000") as cluster:
            load.fill(cluster.members[0], 100_000)
            figure.values[subject] = _restarts(cluster)
    return [figure]


def _restarts(cluster: servers.Cluster) -> list[float]:
    member = cluster.members[0]
    times = []
    for _ in range(3):
        member.kill()
        member.start(cluster.program, cluster.peers)
        times.append(servers.wait_for(lambda: servers.get(member, "bench/k1")))
    return times


def failover(runs: int, _seconds: int) -> list[Figure]:
    figure = Figure("failover: kill -9 of the leader to the next write", "s", LOWER)
    for subject in turns(max(runs, 3)):
        with servers.running(subject, 3) as cluster:
            leader = cluster.leader()
            other = next(m for m in cluster.members if m is not leader)
            leader.kill()
            figure.values[subject].append(
                servers.wait_for(lambda m=other: servers.put(m, "after", "failover"))
            )
    return [figure]


def startup(runs: int, _seconds: int) -> list[Figure]:
    figure = Figure("etcdctl get, wall time", "ms", LOWER)
    with servers.running("ours", 1) as cluster:
        environment = os.environ | {
            "ETCDCTL_API": "2",
            "ETCDCTL_ENDPOINTS": cluster.members[0].url,
        }
        for _ in range(runs * 20):
            for subject, program in servers.CLIENTS.items():
                begin = time.perf_counter()
                subprocess.run(
                    [program, "get", "ready"], env=environment, check=True, capture_output=True
                )
                figure.values[subject].append((time.perf_counter() - begin) * 1e3)
    return [figure]


def archive(_runs: int, _seconds: int) -> list[Figure]:
    """The whole suite beside Debian's etcd and etcdctl programs alone."""
    figure = Figure("size: coreos.pyz beside etcd + etcdctl", "MB", LOWER)
    figure.values["ours"].append((servers.TOP / "dist" / "coreos.pyz").stat().st_size / 1e6)
    peer = sum(Path(path).stat().st_size for path in ("/usr/bin/etcd", "/usr/bin/etcdctl"))
    figure.values["peer"].append(peer / 1e6)
    return [figure]


BENCHES = {
    "throughput": throughput,
    "auth": auth,
    "watch": watch,
    "memory": memory,
    "restart": restart,
    "failover": failover,
    "startup": startup,
    "archive": archive,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    known = [*BENCHES, "fleet"]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--runs", type=int, default=3, help="runs of each subject (default 3)")
    parser.add_argument("--seconds", type=int, default=1, help="of each load (default 1)")
    parser.add_argument("--peer", help="another etcd to stand beside, with its flags")
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
    if options.peer:
        servers.SUBJECTS["peer"] = shlex.split(options.peer)
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
            values = " | ".join(f"{line[s]:,g} {line['unit']}".strip() for s in ("ours", "peer"))
            print(f"| {line['name']} | {values} | {line['ratio']} | {line['better']} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
