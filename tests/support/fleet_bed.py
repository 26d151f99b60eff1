"""A fleet on real machines under test: what should run, what systemd runs, and what was started.

Every unit started from TEXT leaves a line behind, so that a unit that ran twice is found out later.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.support.machines import PATIENCE_S, Machines, within

STARTS = "/var/tmp/starts"
TEXT = f"[Service]\nExecStart=/bin/sh -c 'echo %n >>{STARTS}; exec sleep 1000000'\n"


class Bed:
    """Machines 1 to `count`, and a group of units that shall be active, each on one of them."""

    def __init__(self, machines: Machines, count: int) -> None:
        self.machines = machines
        self.numbers = range(1, count + 1)
        self._pool = ThreadPoolExecutor(count)

    def sh(self, number: int, script: str) -> str:
        """What a script prints on a machine; it must succeed."""
        return self.machines.run(number, "sh", "-c", script)

    def everywhere(self, script: str) -> list[str]:
        """What a script prints on each machine."""
        return list(self._pool.map(lambda number: self.sh(number, script), self.numbers))

    def on(self, numbers: Iterable[int], work: Callable[[int], object]) -> None:
        """Do something to several machines at the same time."""
        list(self._pool.map(work, numbers))

    def fleetctl(self, *words: str, asker: int = 1) -> str:
        return self.machines.run(asker, "fleetctl", *words)

    def order(self, *words: str) -> None:
        """Have fleetctl do something, whatever an election may cost."""
        self.machines.insist(1, "fleetctl", *words)

    def start(self, template: str, names: Iterable[str], *, text: str = TEXT) -> None:
        """Start units from a template, whose name they bear."""
        self.sh(1, f"cat >/root/{template} <<'EOF'\n{text}EOF")
        self.order("start", *(f"/root/{name}" for name in names))

    def running(self, numbers: Iterable[int] | None = None) -> dict[str, dict[int, str]]:
        """Unit -> machine -> main process, for what systemd holds active."""
        asked = list(self.numbers if numbers is None else numbers)
        show = "systemctl show -p Id -p ActiveState -p MainPID '*@*.service' 'solo*.service'"
        found: dict[str, dict[int, str]] = {}
        texts = self._pool.map(lambda n: self.sh(n, show), asked)
        for number, text in zip(asked, texts, strict=True):
            for block in text.split("\n\n"):
                row = dict(line.partition("=")[::2] for line in block.splitlines())
                if row.get("ActiveState") == "active" and row.get("MainPID", "0") != "0":
                    found.setdefault(row["Id"], {})[number] = row["MainPID"]
        return found

    def targets(self, *, asker: int = 1) -> dict[str, tuple[str, str, str]]:
        """Unit -> desired state, current state, machine address, as fleet says."""
        fields = "--fields=unit,dstate,state,target"
        text = self.fleetctl("list-unit-files", "--no-legend", "--full", fields, asker=asker)
        rows = (line.split() for line in text.splitlines())
        return {
            name: (wanted, state, target.rpartition("/")[2])
            for name, wanted, state, target in rows
            if "@." not in name
        }

    def settled(self, names: Iterable[str], *, asker: int = 1) -> dict[str, dict[int, str]] | None:
        """What runs, if it is just what should: each unit active, once, where fleet has put it."""
        machines = self.fleetctl("list-machines", "--no-legend", asker=asker)
        assert machines.count("\n") == len(self.numbers), machines
        running = {name: here for name, here in self.running().items() if name in set(names)}
        targets = self.targets(asker=asker)
        for name in names:
            assert targets.get(name, ())[:2] == ("launched", "launched"), (name, targets.get(name))
            place = self.machines.number_at(targets[name][2])
            assert list(running.get(name, ())) == [place], (name, running.get(name), place)
        states = self.fleetctl(
            "list-units", "--no-legend", "--full", "--fields=unit,active,machine", asker=asker
        )
        rows = (line.split() for line in states.splitlines())
        told = Counter(name for name, active, _ in rows if active == "active")
        for name in names:
            assert told[name] == 1, (name, states)
        return running

    def settle(
        self, names: Iterable[str], *, within_s: float
    ) -> tuple[dict[str, dict[int, str]], float]:
        """Wait until what runs is what should; what runs, and how long that took."""
        wanted, begun = list(names), time.monotonic()
        running = within(within_s, lambda: self.settled(wanted))
        return running, time.monotonic() - begun

    def starts(self) -> Counter[str]:
        """How often each unit has been started so far, anywhere."""
        return Counter("".join(self.everywhere(f"cat {STARTS} 2>/dev/null || true")).split())

    def created(self) -> set[int]:
        """When, by etcd's index, the keys of the machines were made; a renewed one is the same."""
        url = "http://127.0.0.1:2379/v2/keys/_coreos.com/fleet/machines?recursive=true"
        found = json.loads(self.sh(1, f"curl -sSf '{url}'"))["node"].get("nodes", [])
        objects = (node for machine in found for node in machine.get("nodes", []))
        return {node["createdIndex"] for node in objects if node["key"].endswith("/object")}

    def await_beats(self) -> None:
        """Until each machine has told anew that it lives: its key has all of its time before it."""
        url = "http://127.0.0.1:2379/v2/keys/_coreos.com/fleet/machines?recursive=true"

        def beats() -> dict[str, int]:
            found = json.loads(self.sh(1, f"curl -sSf '{url}'"))["node"]["nodes"]
            nodes = (node for machine in found for node in machine["nodes"])
            return {n["key"]: n["modifiedIndex"] for n in nodes if n["key"].endswith("/object")}

        before = within(PATIENCE_S, beats)

        def are_new() -> bool:
            now = beats()
            assert len(now) == len(self.numbers), now
            return all(index != before.get(key) for key, index in now.items())

        within(PATIENCE_S, are_new)

    def etcd_leader(self) -> int:
        """The machine whose etcd leads."""
        for line in self.sh(1, "etcdctl member list").splitlines():
            if "isLeader=true" in line:
                return int(line.partition("name=core-")[2].split()[0])
        raise AssertionError("etcd has no leader")

    @contextmanager
    def paused(self, number: int) -> Iterator[None]:
        """Everything on the machine stands still."""
        self.machines.script("power.sh", "pause", str(number))
        try:
            yield
        finally:
            self.machines.script("power.sh", "resume", str(number))

    @contextmanager
    def cut_off(self, *numbers: int) -> Iterator[None]:
        """The machines reach nobody and are reached by nobody."""
        self.on(numbers, lambda n: self.machines.script("wire.sh", "cut", str(n)))
        try:
            yield
        finally:
            self.on(numbers, lambda n: self.machines.script("wire.sh", "join", str(n)))

    def close(self) -> None:
        self._pool.shutdown()
