"""fleet on three booted machines, beside fleet 1.0.0 as it was measured on the same bed.

Needs root, systemd-nspawn and dist/coreos.pyz. COREOS_BENCH_FLEET names a folder with the programs
fleetd and fleetctl of 1.0.0: then these are measured in the same run, over our etcd, and stand in
the place of the recorded figures.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.machines import Machines, within

TOP = Path(__file__).resolve().parents[2]
PROBE = Path(__file__).with_name("fleet_probe.py")
OTHER = os.environ.get("COREOS_BENCH_FLEET", "")
SHORT_TTL = "5s"
# The machines come before whatever else this host is busy with.
SHARES = "20000"
WAIT_S = 300
# States are published every two minutes: a shorter look would see all of the writes or none.
STEADY_S = 120


class Row:
    """One figure: its goal, what fleet 1.0.0 took, what was measured."""

    def __init__(self, name: str, unit: str, goal: float | None, recorded: float | None) -> None:
        self.name, self.unit, self.goal = name, unit, goal
        self.recorded = recorded
        self.values: dict[str, list[float]] = {"ours": [], "peer": []}

    def line(self) -> dict[str, object]:
        ours = statistics.median(self.values["ours"])
        peer = statistics.median(self.values["peer"]) if self.values["peer"] else self.recorded
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": round(ours, 3),
            "peer": None if peer is None else round(peer, 3),
            "ratio": round(ours / peer, 2) if peer else None,
            "better": "lower",
            "goal": self.goal,
            "runs": len(self.values["ours"]),
        }


class Rows:
    """The table, in order."""

    def __init__(self) -> None:
        self.all: dict[str, Row] = {}

    def add(
        self,
        subject: str,
        name: str,
        value: float,
        *,
        unit: str = "s",
        goal: float | None = None,
        recorded: float | None = None,
    ) -> None:
        row = self.all.setdefault(name, Row(name, unit, goal, recorded))
        row.values[subject].append(value)
        print(f"  {subject}: {name}: {value:.3g} {unit}", file=sys.stderr)


class Bed:
    """Three machines with one of the two fleets."""

    def __init__(self, machines: Machines, subject: str) -> None:
        self.machines = machines
        if subject == "peer":
            for number in (1, 2, 3):
                self._put_other(number)
            self.joined()

    def _put_other(self, number: int) -> None:
        root = Path(self.machines.environment["COREOS_MACHINES_DIR"]) / str(number) / "root"
        for program in ("fleetd", "fleetctl"):
            (root / "opt" / program).write_bytes((Path(OTHER) / program).read_bytes())
            (root / "opt" / program).chmod(0o755)
        service = root / "etc/systemd/system/fleet.service.d/90-other.conf"
        service.write_text(
            "[Service]\nType=simple\nExecStart=\nExecStart=/opt/fleetd\n"
            "Environment=FLEET_ETCD_SERVERS=http://127.0.0.1:2379\n"
        )
        self.sh(
            number,
            "systemctl stop fleet && ln -sf /opt/fleetctl /usr/bin/fleetctl"
            " && systemctl daemon-reload && systemctl start fleet.socket fleet",
        )

    def sh(self, number: int, script: str) -> str:
        return self.machines.run(number, "sh", "-c", script)

    def probe(self, *words: str | int, on: int = 1) -> str:
        root = Path(self.machines.environment["COREOS_MACHINES_DIR"]) / str(on) / "root"
        (root / "opt/probe.py").write_bytes(PROBE.read_bytes())
        return self.machines.script(
            "run.sh", str(on), "python3", "/opt/probe.py", *map(str, words), timeout_s=WAIT_S * 2
        )

    def joined(self, count: int = 3) -> None:
        ask = ("fleetctl", "list-machines", "--no-legend")
        within(WAIT_S, lambda: self.machines.run(1, *ask).count("\n") == count)

    def leader(self) -> int:
        """The machine whose engine leads."""
        key = "/_coreos.com/fleet/lease/engine-leader"
        machine_id = json.loads(self.machines.run(1, "etcdctl", "get", key))["MachineID"]
        return next(n for n in (1, 2, 3) if self.machine_id(n) == machine_id)

    def machine_id(self, number: int) -> str:
        return self.sh(number, "cat /etc/machine-id").strip()

    def pids(self) -> dict[str, str]:
        """Machine/unit -> main process."""
        found = {}
        for number in (1, 2, 3):
            text = self.sh(number, "systemctl show -p Id -p MainPID 'many@*.service'")
            for block in text.split("\n\n"):
                row = dict(line.partition("=")[::2] for line in block.splitlines())
                if row.get("MainPID", "0") != "0":
                    found[f"{number}/{row['Id']}"] = row["MainPID"]
        return found

    def set_ttl(self, ttl: str) -> None:
        for number in (1, 2, 3):
            path = "/etc/systemd/system/fleet.service.d/60-ttl.conf"
            self.sh(
                number,
                f"printf '[Service]\\nEnvironment=FLEET_AGENT_TTL={ttl}\\n' >{path}"
                " && systemctl daemon-reload && systemctl restart fleet",
            )
        self.joined()

    def usage(self, number: int) -> tuple[float, float]:
        """Processor seconds and MiB of the machine's fleetd."""
        pid = self.sh(number, "systemctl show -p MainPID --value fleet").strip()
        stat = self.sh(number, f"cat /proc/{pid}/stat").rpartition(")")[2].split()
        status = self.sh(number, f"grep VmRSS /proc/{pid}/status").split()
        ticks = int(stat[11]) + int(stat[12])
        return ticks / os.sysconf("SC_CLK_TCK"), int(status[1]) / 1024

    def etcd_index(self) -> int:
        head = self.sh(1, "curl -sSI http://127.0.0.1:2379/v2/keys/ 2>&1 || true")
        if "X-Etcd-Index" not in head:
            head = self.sh(1, "curl -sS -D - -o /dev/null http://127.0.0.1:2379/v2/keys/")
        line = next(line for line in head.splitlines() if line.lower().startswith("x-etcd-index"))
        return int(line.partition(":")[2])


@contextmanager
def booted(subject: str, ttl: str) -> Iterator[Bed]:
    with tempfile.TemporaryDirectory(prefix="coreos-bench-") as folder:
        archive = TOP / "dist" / "coreos.pyz"
        os.environ.setdefault("COREOS_MACHINES_SHARES", SHARES)
        machines = Machines(Path(folder) / "m", count=3, archive=archive, agent_ttl=ttl)
        try:
            yield Bed(machines, subject)
        finally:
            machines.close()


# -- the measurements


def speed(bed: Bed, rows: Rows, subject: str, runs: int) -> None:
    for took in json.loads(bed.probe("start", 10)):
        rows.add(subject, "`fleetctl start` of one instance returns", took, goal=1, recorded=4.0)
    for _ in range(runs):
        took = json.loads(bed.probe("many", 100))
        rows.add(subject, "100 instances, all active", took, goal=2.5, recorded=4.3)
        took = json.loads(bed.probe("destroy", 100))
        rows.add(subject, "destroy 100 until no state is left", took, goal=5, recorded=142)
    for number in range(runs):
        took = json.loads(bed.probe("many", 500))
        rows.add(subject, "500 instances, all active", took, goal=5, recorded=7.4)
        if number < runs - 1:
            bed.probe("destroy", 500)


def steady(bed: Bed, rows: Rows, subject: str, seconds: float) -> None:
    time.sleep(10)
    leader = bed.leader()
    (before_s, _), index, begun = bed.usage(leader), bed.etcd_index(), time.monotonic()
    time.sleep(seconds)
    (after_s, rss), spent = bed.usage(leader), time.monotonic() - begun
    cpu = 100 * (after_s - before_s) / spent
    rows.add(subject, "500 units steady: leader's processor", cpu, unit="%", goal=8, recorded=8.3)
    rows.add(subject, "500 units steady: leader's RSS", rss, unit="MiB", goal=60, recorded=22)
    writes = (bed.etcd_index() - index) / spent
    rows.add(subject, "500 units steady: etcd writes", writes, unit="1/s", goal=15, recorded=63)


def kill(bed: Bed, rows: Rows, subject: str) -> None:
    before = bed.pids()
    bed.sh(2, "systemctl kill -s KILL --kill-whom=main fleet")
    begun = time.monotonic()
    ask = "curl -sf --unix-socket /run/fleet.sock http://fleet/fleet/v1/machines || true"
    within(WAIT_S, lambda: "primaryIP" in bed.sh(2, ask))
    took = time.monotonic() - begun
    rows.add(subject, "fleetd killed: back in the cluster", took, goal=5, recorded=41)
    time.sleep(10)
    after = bed.pids()
    touched = len(before.items() ^ after.items())
    rows.add(subject, "fleetd killed: units started again or twice", touched, unit="", goal=0)


def restart(bed: Bed, rows: Rows, subject: str) -> None:
    before, begun = bed.pids(), time.monotonic()
    bed.machines.run(1, "fleetctl", "restart", "many@1.service")
    took = time.monotonic() - begun
    name = next(name for name in before if "many@1." in name)
    is_new = bed.pids().get(name) != before[name]
    assert is_new or subject == "peer", "fleetctl restart did nothing"
    if is_new:  # fleet 1.0.0 does nothing
        rows.add(subject, "`fleetctl restart` of one instance", took)


def outage(bed: Bed, rows: Rows, subject: str, seconds: float) -> None:
    before = bed.pids()
    for number in (1, 2, 3):
        bed.sh(number, "systemctl stop etcd2")
    time.sleep(seconds)
    for number in (1, 2, 3):
        bed.sh(number, "systemctl start --no-block etcd2")
    bed.joined()
    time.sleep(45)
    moved = sum(bed.pids().get(name) != pid for name, pid in before.items())
    name = f"etcd gone for {seconds:g} s: units moved"
    rows.add(subject, name, moved, unit="", goal=0, recorded=3)


def death(bed: Bed, rows: Rows, subject: str, *, ttl: str, goal: float, recorded: float) -> None:
    for who in ("another machine", "the leader's machine"):
        time.sleep(float(ttl.rstrip("s")) + 2)  # an engine that has just started trusts nobody
        leader = bed.leader()
        victim = leader if who.startswith("the") else next(n for n in (3, 2) if n != leader)
        machine_id = bed.machine_id(victim)
        count = len({name.partition("/")[2] for name in bed.pids()})
        asker = next(n for n in (1, 2, 3) if n != victim)
        bed.machines.cut_power(victim)
        took = json.loads(bed.probe("moved", machine_id, count, on=asker))
        name = f"death of {who}, agent_ttl {ttl}: active elsewhere"
        rows.add(subject, name, took, goal=goal, recorded=recorded)
        bed.machines.power_on(victim)
        bed.joined()


def engine(rows: Rows) -> None:
    """10 000 units on 1 000 machines: processor time of the plan."""
    from coreos_py.base.unitfile import parse
    from coreos_py.fleet import requirements, scheduler
    from coreos_py.fleet.job import LAUNCHED, Machine, Unit

    file = parse("[Service]\nExecStart=/bin/true\n[X-Fleet]\nConflicts=app@%i-*.service\n")
    machines = [Machine(f"{n:032x}", metadata={"zone": f"z{n % 3}"}) for n in range(1000)]
    names = [f"app@{n}.service" for n in range(10_000)]
    units = [Unit(n, file, requirements.parse(n, file.options), LAUNCHED) for n in names]
    for _ in range(3):
        begun = time.process_time()
        plan = scheduler.plan(units, machines)
        took = time.process_time() - begun
        rows.add("ours", "10 000 units, 1 000 machines: from scratch", took, goal=1)
        places = {decision.unit: decision.machine_id for decision in plan.decisions}
        placed = [unit._replace(machine_id=places[unit.name]) for unit in units]
        begun = time.process_time()
        scheduler.plan(placed, machines)
        took = time.process_time() - begun
        rows.add("ours", "10 000 units, 1 000 machines: unchanged", took, goal=0.1)


def measure(runs: int, seconds: float) -> list[Row]:
    """The whole table."""
    rows = Rows()
    for subject in ("ours", "peer") if OTHER else ("ours",):
        with booted(subject, "30s") as bed:
            speed(bed, rows, subject, runs)
            steady(bed, rows, subject, max(seconds, STEADY_S))
        # New machines: to destroy five hundred units would take fleet 1.0.0 ten minutes.
        with booted(subject, "30s") as bed:
            bed.probe("many", 11)
            restart(bed, rows, subject)
            kill(bed, rows, subject)
            outage(bed, rows, subject, 60)
            death(bed, rows, subject, ttl="30s", goal=31.8, recorded=24.2)
            if subject == "ours":
                bed.set_ttl(SHORT_TTL)
                bed.probe("destroy", 11)
                bed.probe("many", 11)
                death(bed, rows, subject, ttl=SHORT_TTL, goal=6, recorded=24.2)
    engine(rows)
    return list(rows.all.values())


def markdown(lines: list[dict[str, object]]) -> str:
    """The README's table."""
    text = "| what | ours | fleet 1.0 | goal |\n|---|---|---|---|"
    for line in lines:
        cells = (
            "-" if line[name] is None else f"{line[name]:,g} {line['unit']}".strip()
            for name in ("ours", "peer", "goal")
        )
        text += f"\n| {line['name']} | {' | '.join(cells)} |"
    return text
