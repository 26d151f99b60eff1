"""A machine with two slots: what is good comes up and stays, what is not is left by itself."""

from __future__ import annotations

import threading

import pytest

from coreos_py.omaha.codes import ErrorCode
from tests.support import machines as support
from tests.support import slot_machines
from tests.support.machines import PATIENCE_S, within
from tests.support.slot_images import GOOD, NO_INIT, UNHEALTHY, kernel
from tests.support.slot_machines import REBOOTED, Boot, SlotBed
from tests.support.update_server import CUSTOM, UpdateServer

pytestmark = [pytest.mark.machine, pytest.mark.timeout(1800)]

RUN = "UPDATE_STATUS_"
ROLLED_BACK = (3, 0, CUSTOM | ErrorCode.ROLLBACK)


@pytest.fixture
def bed(tmp_path, archive):
    if reason := support.why_not() or slot_machines.why_not():
        pytest.skip(reason)
    bed = SlotBed(tmp_path / "m", archive=archive, count=1, version="1.0.0")
    yield bed
    bed.close()


@pytest.fixture
def machine(bed):
    return bed.machines[0]


@pytest.fixture
def server(bed):
    with UpdateServer(b"-", version="1.0.0", host=bed.gateway) as server:
        yield server


def status(machine) -> str:
    lines = machine.run("update_engine_client", "-status").splitlines()
    return dict(line.split("=") for line in lines)["CURRENT_OP"].removeprefix(RUN)


def check(machine) -> None:
    """Have it look for an update, as it does every 45 minutes."""
    machine.run("update_engine_client", "-check_for_update")


def offer(bed, server, version: str, kind: str = GOOD) -> None:
    server.offer(bed.images.payload(version, kind=kind))
    server.version = version


def reported(machine, server, event) -> None:
    """It tells the server so, and has nothing more to do."""

    def is_there() -> bool:
        check(machine)
        return event in server.previous or event in server.events

    within(PATIENCE_S, is_there)
    within(PATIENCE_S, lambda: status(machine) == "IDLE")


def test_updates(bed, machine, server):
    machine.write("/etc/coreos/update.conf", f"SERVER={server.url}\nREBOOT_STRATEGY=reboot\n")
    machine.power_on()
    machine.wait_for("a", boots=1)

    # A good one: it comes up in the other slot, is marked good and reports.
    offer(bed, server, "2.0.0")
    check(machine)
    machine.wait_for("b", boots=2)
    assert machine.boots[0] == Boot("a", REBOOTED)
    bits = machine.bits
    assert (bits["a"], bits["b"][:2]) == ((1, 0, 1), (2, 0))
    assert machine.run("rootdev", "-s", "/usr").strip() == f"{machine.disk}p4"
    assert server.events == [(13, 1, 0), (14, 1, 0), (3, 1, 0)]
    reported(machine, server, "1.0.0")
    within(PATIENCE_S, lambda: machine.bits == {"a": (1, 0, 1), "b": (2, 0, 1)})
    assert machine.run("cat", "/boot/coreos/vmlinuz-b").encode() == kernel("2.0.0")

    # One whose init cannot be run, and one that comes up but is ill: back, and reported.
    for kind, version, code in ((NO_INIT, "3.0.0", 1), (UNHEALTHY, "4.0.0", REBOOTED)):
        server.events.clear()
        offer(bed, server, version, kind)
        before = len(machine.boots)
        check(machine)
        machine.wait_for("b", boots=before + 2)
        assert machine.boots[before - 1 :] == [
            Boot("b", REBOOTED), Boot("a", code), Boot("b", None)
        ]  # fmt: skip
        assert machine.bits["a"][1:] == (0, 0)
        assert machine.bits["b"][1:] == (0, 1)
        server.version = "2.0.0"
        reported(machine, server, ROLLED_BACK)

    # The power goes in the middle of the download, and while the slot is written.
    offer(bed, server, "5.0.0")
    server.events.clear()
    server.gate = threading.Event()
    check(machine)
    within(PATIENCE_S, lambda: status(machine) == "DOWNLOADING")
    machine.cut_power()
    server.gate.set()
    before = len(machine.boots)
    machine.power_on()
    machine.wait_for("b", boots=before + 1)
    check(machine)
    within(PATIENCE_S, lambda: (14, 1, 0) in server.events)
    machine.cut_power()
    machine.power_on()
    machine.wait_for("ab", boots=before + 2)
    if machine.boots[-1].slot == "b":  # as it mostly is: the writing was not over
        check(machine)
        machine.wait_for("a", boots=before + 3)
    reported(machine, server, "2.0.0")
    within(PATIENCE_S, lambda: machine.bits["a"][1:] == (0, 1))
    assert "5.0.0" in machine.run("cat", "/usr/share/coreos/release")
    assert machine.run("cat", "/boot/coreos/vmlinuz-a").encode() == kernel("5.0.0")
