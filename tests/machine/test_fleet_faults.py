"""Faults on real machines, one row each: afterwards what is wanted runs, and nothing is lost.

A row says what is done, and whether units may move for it. Where they may not, every process is the
same as before and no unit was started by anybody, not even for a moment. Where they may, every unit
runs once in the end, and only those of the machine in question were started again. The time each
row took to settle is printed (pytest -rP).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import machines as support
from tests.support.fleet_bed import TEXT, Bed
from tests.support.machines import PATIENCE_S, Machines, within

TOP = Path(__file__).resolve().parents[2]
MACHINES = 3
TTL_S = 15  # a daemon that is killed has to be back before
OUTAGE_S = TTL_S * 1.4
PROGRAMS = {"etcd2": "etcd2", "fleet": "fleetd"}  # of the units under test
UNITS = [f"w@{number}.service" for number in range(9)]

pytestmark = [pytest.mark.machine, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    if reason := support.why_not():
        pytest.skip(reason)
    archive = TOP / "dist" / "coreos.pyz"
    assert archive.exists(), "packaging/build.sh makes the archive"
    machines = Machines(
        tmp_path_factory.mktemp("machines") / "m",
        count=MACHINES,
        archive=archive,
        agent_ttl=f"{TTL_S}s",
    )
    try:
        bed = Bed(machines, MACHINES)
        let_clocks_jump(bed)
        bed.start("w@.service", UNITS)
        bed.settle(UNITS, within_s=PATIENCE_S)
        # An engine that has just started declares no machine lost for one TTL.
        time.sleep(TTL_S)
        yield bed
        bed.close()
    finally:
        machines.close()


# Machines share the clock of this host: fleetd and etcd are told another time, from a file.
SKEWED = """\
import runpy, sys, time

def skew():
    try:
        with open("/run/clock-skew") as file:
            return float(file.read() or 0)
    except OSError:
        return 0.0

now, now_ns = time.time, time.time_ns
time.time = lambda: now() + skew()
time.time_ns = lambda: now_ns() + int(skew() * 1e9)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def let_clocks_jump(bed: Bed) -> None:
    script = f"cat >/opt/skewed.py <<'EOF'\n{SKEWED}EOF\n"
    for unit, program in PROGRAMS.items():
        line = f"ExecStart=/usr/bin/python3 -IS /opt/skewed.py /usr/bin/{program}"
        path = f"/etc/systemd/system/{unit}.service.d/50-clock.conf"
        script += f"printf '[Service]\\nExecStart=\\n{line}\\n' >{path}\n"
    bed.everywhere(script + "systemctl daemon-reload && systemctl restart --no-block etcd2 fleet")
    pid = "$(systemctl show -P MainPID {})"
    both = " && ".join(f"grep -q skewed /proc/{pid.format(unit)}/cmdline" for unit in PROGRAMS)
    within(PATIENCE_S, lambda: bed.everywhere(f"{both} && systemctl is-active etcd2 fleet"))
    within(PATIENCE_S, lambda: lists_all(bed))


def lists_all(bed: Bed, *, asker: int = 1) -> bool:
    """This machine's fleetd knows every machine."""
    return bed.fleetctl("list-machines", "--no-legend", asker=asker).count("\n") == MACHINES


# -- what is done


def fleetd_is_killed(bed: Bed) -> None:
    for machine in range(1, MACHINES + 1):
        bed.await_beats()
        bed.sh(machine, "systemctl kill -s KILL --kill-whom=main fleet")
        begun = time.monotonic()
        within(PATIENCE_S, functools.partial(lists_all, bed, asker=machine))
        print(f"fleetd answers {time.monotonic() - begun:.1f} s after it was killed")


def etcd_leader_is_killed(bed: Bed) -> None:
    bed.await_beats()
    leader = within(PATIENCE_S, bed.etcd_leader)
    bed.sh(leader, "systemctl kill -s KILL --kill-whom=main etcd2")
    within(PATIENCE_S, bed.etcd_leader)


def etcd_is_gone(bed: Bed) -> None:
    bed.everywhere("systemctl stop etcd2")
    time.sleep(OUTAGE_S)
    bed.everywhere("systemctl start --no-block etcd2")


def majority_is_cut_off(bed: Bed) -> None:
    with bed.cut_off(2, 3):
        time.sleep(OUTAGE_S)
        assert len(bed.running()) == len(UNITS)


def systemd_reloads_all_the_time(bed: Bed) -> None:
    """While it does, units come and go."""
    storm = "for _ in $(seq 60); do systemctl daemon-reload; done"
    bed.everywhere(f"systemd-run -q --unit=storm sh -c '{storm}'")
    names = [f"storm@{number}.service" for number in range(9)]
    bed.start("storm@.service", names)
    bed.settle([*UNITS, *names], within_s=PATIENCE_S)
    bed.order("destroy", *names)
    within(PATIENCE_S, lambda: not set(names) & set(bed.running()))
    bed.everywhere("systemctl stop storm || true")


def dbus_is_restarted(bed: Bed) -> None:
    bed.everywhere("systemctl restart dbus")
    # What comes now is told to systemd over the new bus.
    bed.start("bus@.service", ["bus@1.service"])
    bed.settle([*UNITS, "bus@1.service"], within_s=PATIENCE_S)
    bed.order("destroy", "bus@1.service")


def disk_is_full(bed: Bed) -> None:
    """No unit file can be written on machine 2, then one can."""
    bed.sh(2, "mount -o remount,size=2m /run && dd if=/dev/zero of=/run/full 2>/dev/null || true")
    try:
        for name, machine in (("solo-2.service", "core-02"), ("solo-1.service", "core-01")):
            where = f"[X-Fleet]\nMachineMetadata=name={machine}\n[X-Filler]\nX={'x' * 1500}\n"
            bed.sh(1, f"cat >/root/{name} <<'EOF'\n{TEXT}{where}EOF")
        bed.order("start", "--no-block", "/root/solo-2.service")
        log = ("journalctl", "-u", "fleet", "-o", "cat", "--no-pager")
        refused = "cannot write /run/fleet/units/solo-2.service: No space left on device"
        within(PATIENCE_S, lambda: refused in bed.machines.run(2, *log))
        # Others are not held up.
        bed.order("start", "/root/solo-1.service")
        within(PATIENCE_S, lambda: "solo-1.service" in bed.running())
        assert "solo-2.service" not in bed.running()
        assert bed.sh(2, "ls /run/fleet/units").count("solo") == 0
    finally:
        bed.sh(2, "rm -f /run/full; mount -o remount,size=200m /run")
    bed.settle([*UNITS, "solo-1.service", "solo-2.service"], within_s=PATIENCE_S)
    bed.order("destroy", "solo-1.service", "solo-2.service")


def all_clocks_jump(bed: Bed) -> None:
    """An hour forward: every key with a TTL is gone at once. Then back."""
    log = "journalctl -u fleet -o cat --no-pager"
    before = [text.count("went away") for text in bed.everywhere(log)]
    created = within(PATIENCE_S, bed.created)
    bed.everywhere("echo 3600 >/run/clock-skew")

    def are_new() -> bool:
        now = bed.created()
        assert len(now) == MACHINES, now
        return now.isdisjoint(created)

    within(PATIENCE_S, are_new)
    time.sleep(OUTAGE_S)
    bed.everywhere("echo 0 >/run/clock-skew")
    time.sleep(OUTAGE_S)
    assert [text.count("went away") for text in bed.everywhere(log)] == before


def machine_is_paused(bed: Bed) -> None:
    """For longer than its TTL: what it ran is started elsewhere, and stopped when it is back."""
    victim = 3
    lost = set(bed.running([victim])) & set(UNITS)
    with bed.paused(victim):
        within(PATIENCE_S, lambda: lost <= bed.running([1, 2]).keys())
    begun = time.monotonic()
    within(PATIENCE_S, lambda: not lost & bed.running([victim]).keys())
    print(f"units ran twice for {time.monotonic() - begun:.1f} s after the machine went on")


def machine_is_cut_off(bed: Bed) -> None:
    """It goes on with what it ran, as fleet 1.0.0 does, until it hears that others do so now."""
    victim = 1
    before = bed.running([victim])
    lost = set(before) & set(UNITS)
    with bed.cut_off(victim):
        within(PATIENCE_S, lambda: lost <= bed.running([2, 3]).keys())
        assert bed.running([victim]) == before
    begun = time.monotonic()
    within(PATIENCE_S, lambda: not lost & bed.running([victim]).keys())
    print(f"units ran twice for {time.monotonic() - begun:.1f} s after the wire was mended")


def machine_loses_its_power(bed: Bed) -> None:
    victim = 2
    lost = set(bed.running([victim])) & set(UNITS)
    bed.machines.cut_power(victim)
    begun = time.monotonic()
    within(PATIENCE_S, lambda: lost <= bed.running([1, 3]).keys())
    print(f"all active elsewhere {time.monotonic() - begun:.1f} s after the power went")
    bed.machines.power_on(victim)


def fleetd_leaves(bed: Bed) -> None:
    """A graceful stop unloads every unit and gives its place up at once."""
    victim = 3
    lost = set(bed.running([victim])) & set(UNITS)
    begun = time.monotonic()
    bed.sh(victim, "systemctl stop fleet.socket fleet")
    assert bed.sh(victim, "ls /run/fleet/units") == ""
    within(PATIENCE_S, lambda: not lost & bed.running([victim]).keys())
    listing = ("list-machines", "--no-legend")
    within(PATIENCE_S, lambda: bed.fleetctl(*listing).count("\n") == MACHINES - 1)
    within(PATIENCE_S, lambda: lost <= bed.running([1, 2]).keys())
    print(f"all active elsewhere {time.monotonic() - begun:.1f} s after the stop was asked for")
    assert bed.sh(1, "systemctl show -p Result --value fleet").strip() == "success"
    bed.sh(victim, "systemctl start fleet.socket fleet")


# -- the table


class Fault(NamedTuple):
    what: Callable[[Bed], None]
    moves: bool = False


STAYING = [
    Fault(fleetd_is_killed),
    Fault(etcd_leader_is_killed),
    Fault(etcd_is_gone),
    Fault(majority_is_cut_off),
    Fault(systemd_reloads_all_the_time),
    Fault(dbus_is_restarted),
    Fault(disk_is_full),
    Fault(all_clocks_jump),
]
MOVING = [
    Fault(machine_is_paused, moves=True),
    Fault(machine_is_cut_off, moves=True),
    Fault(machine_loses_its_power, moves=True),
    Fault(fleetd_leaves, moves=True),
]


@pytest.mark.parametrize("fault", [*STAYING, *MOVING], ids=lambda fault: fault.what.__name__)
def test_units_survive(bed: Bed, fault: Fault) -> None:
    before, _ = bed.settle(UNITS, within_s=PATIENCE_S)
    started = bed.starts()
    fault.what(bed)
    after, took_s = bed.settle(UNITS, within_s=PATIENCE_S)
    print(f"{fault.what.__name__}: settled {took_s:.1f} s after it was over")
    again = bed.starts() - started
    if fault.moves:
        moved = {name for name in UNITS if before[name] != after[name]}
        assert moved <= again.keys()
        assert {name for name in UNITS if name in again} == moved
    else:
        assert after == before
        assert not {name: again[name] for name in UNITS if again[name]}


def test_five_hundred_loaded_units_survive_the_death_of_everything(bed: Bed) -> None:
    names = [f"many@{number}.service" for number in range(500)]
    bed.sh(1, f"cat >/root/many@.service <<'EOF'\n{TEXT}EOF")
    begun = time.monotonic()
    bed.order("load", *(f"/root/{name}" for name in names))
    print(f"500 units are loaded after {time.monotonic() - begun:.1f} s")
    files = "ls /run/fleet/units | grep -c ^many || true"

    def placed() -> bool:
        counts = [int(text) for text in bed.everywhere(files)]
        assert sum(counts) == len(names), counts
        assert max(counts) - min(counts) <= len(UNITS), counts
        return True

    within(PATIENCE_S, placed)
    before, targets = bed.everywhere("ls /run/fleet/units"), within(PATIENCE_S, bed.targets)
    bed.everywhere("systemctl kill -s KILL --kill-whom=main etcd2 fleet")
    begun = time.monotonic()
    bed.settle(UNITS, within_s=PATIENCE_S)

    def unchanged() -> bool:
        assert bed.targets() == targets
        return True

    within(PATIENCE_S, unchanged)
    print(f"settled {time.monotonic() - begun:.1f} s after fleetd and etcd were killed everywhere")
    assert bed.everywhere("ls /run/fleet/units") == before
    begun = time.monotonic()
    bed.order("destroy", *names)
    within(
        PATIENCE_S,
        lambda: not any("many" in text for text in bed.everywhere("ls /run/fleet/units")),
    )
    print(f"500 units are gone after {time.monotonic() - begun:.1f} s")
    bed.settle(UNITS, within_s=PATIENCE_S)
