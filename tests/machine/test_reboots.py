"""Three machines need a reboot at the same time: under the lock they go one after the other."""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path

import pytest

from tests.support import machines as support
from tests.support.machines import PATIENCE_S, Machines, within

TOP = Path(__file__).resolve().parents[2]
COUNT = 3
KEY = "/coreos.com/updateengine/rebootlock/semaphore"

pytestmark = pytest.mark.machine

# Plays update_engine: an update is there as long as a file in a tmpfs says so.
UPDATE_ENGINE = """\
import os, sys
sys.path.insert(0, "/opt/coreos.pyz/site-packages")
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection
from jeepney.low_level import MessageType
from jeepney.wrappers import new_method_return
bus = open_dbus_connection("SYSTEM")
bus.send_and_get_reply(message_bus.RequestName("com.coreos.update1"))
while True:
    message = bus.receive()
    if message.header.message_type is MessageType.method_call:
        operation = "UPDATED_NEED_REBOOT" if os.path.exists("/run/updated") else "IDLE"
        status = (0, 0.0, "UPDATE_STATUS_" + operation, "0.0.0", 0)
        bus.send(new_method_return(message, "xdssx", status))
"""
POLICY = """\
<busconfig><policy user="root">
  <allow own="com.coreos.update1"/><allow send_destination="com.coreos.update1"/>
  <allow send_interface="com.coreos.update1.Manager"/>
</policy></busconfig>
"""
FILES = {
    "/usr/local/lib/update_engine.py": UPDATE_ENGINE,
    "/etc/dbus-1/system.d/com.coreos.update1.conf": POLICY,
    "/etc/systemd/system/update-engine.service": """\
[Service]
Type=dbus
BusName=com.coreos.update1
ExecStart=/usr/bin/python3 /usr/local/lib/update_engine.py
[Install]
WantedBy=multi-user.target
""",
    "/etc/coreos/update.conf": "REBOOT_STRATEGY=etcd-lock\n",
    # These machines are containers, and their terminals are nobody's.
    "/etc/systemd/system/locksmithd.service.d/10-test.conf": """\
[Unit]
ConditionVirtualization=
[Service]
RestartSec=1
""",
}


@pytest.fixture
def machines(tmp_path: Path):
    if reason := support.why_not():
        pytest.skip(reason)
    archive = TOP / "dist" / "coreos.pyz"
    assert archive.exists(), "packaging/build.sh makes the archive"
    group = Machines(tmp_path / "m", count=COUNT, archive=archive, agent_ttl="30s")
    yield group
    group.close()


def prepare(machines: Machines, number: int) -> None:
    for path, text in FILES.items():
        write = f"mkdir -p {Path(path).parent} && cat >{path} <<'EOF'\n{text}EOF"
        machines.run(number, "sh", "-c", write)
    machines.run(number, "systemctl", "reload", "dbus")
    machines.run(number, "systemctl", "daemon-reload")
    for unit in ("update-engine.service", "locksmithd.service"):
        machines.run(number, "systemctl", "-q", "enable", "--now", unit)


def log_of(machines: Machines, number: int) -> str:
    words = ("journalctl", "-u", "locksmithd", "-o", "cat", "--no-pager")
    return machines.run(number, *words)


def wait_log(machines: Machines, number: int, text: str) -> None:
    within(PATIENCE_S, lambda: text in log_of(machines, number))


def semaphore(machines: Machines, number: int) -> dict[str, object]:
    words = ("etcdctl", "--timeout", "20s", "--total-timeout", "60s", "get", "--quorum", KEY)
    found: dict[str, object] = json.loads(machines.run(number, *words))
    return found


@pytest.mark.timeout(2400)
def test_never_two_at_once(machines: Machines):
    numbers = range(1, COUNT + 1)
    for number in numbers:
        prepare(machines, number)
    for number in numbers:  # all run before the first goes down
        wait_log(machines, number, 'strategy="etcd-lock"')
    ids = {n: machines.run(n, "cat", "/etc/machine-id").strip() for n in numbers}
    for number in numbers:
        machines.run(number, "touch", "/run/updated")
        # It may be on its way down before this would have ended.
        machines.run(number, "sh", "-c", "setsid locksmithctl send-need-reboot >/dev/null 2>&1 &")

    order: list[int] = []
    deadline = time.monotonic() + 1800
    while len(order) < COUNT:
        down = [number for number in numbers if not machines.is_on(number)]
        assert len(down) <= 1, f"machines {down} are down at once"
        for number in down:
            assert number not in order, f"machine {number} went down twice"
            order.append(number)
            # It went with the lock, and nobody else has it while it is away.
            other = next(n for n in numbers if n != number)
            held = within(PATIENCE_S, functools.partial(semaphore, machines, other))
            assert held == {"semaphore": 0, "max": 1, "holders": [ids[number]]}
            assert all(machines.is_on(n) for n in numbers if n != number)
            machines.power_on(number)
        assert time.monotonic() < deadline, f"only {order} have rebooted"
        time.sleep(0.2)

    assert sorted(order) == list(numbers)
    within(PATIENCE_S, lambda: semaphore(machines, 1)["holders"] == [])
    for number in numbers:
        assert machines.is_on(number)
        wait_log(machines, number, "Unlocked existing lock for this machine")
    status = ("locksmithctl", "status", "--long")
    within(PATIENCE_S, lambda: machines.run(order[0], *status) == "Available: 1\nMax: 1\n")
