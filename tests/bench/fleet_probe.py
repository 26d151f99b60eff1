"""Runs on a machine under measurement, with nothing but its Python: works fleet and takes the time.

fleet_probe.py start COUNT | many COUNT | destroy COUNT | moved ADDRESS COUNT
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

UNIT = "[Service]\nExecStart=/bin/sleep 1000000\n"
POLL_S = 0.1
LIMIT_S = 300.0


class Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect("/run/fleet.sock")


def read(what: str) -> list[dict[str, Any]]:
    """All pages of a listing."""
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        connection = Connection("fleet")
        connection.request(
            "GET", f"/fleet/v1/{what}" + (f"?nextPageToken={token}" if token else "")
        )
        page = json.loads(connection.getresponse().read())
        connection.close()
        found += page.get("states" if what == "state" else what, [])
        token = page.get("nextPageToken", "")
        if not token:
            return found


def fleetctl(*words: str) -> None:
    subprocess.run(["fleetctl", *words], check=True, capture_output=True)


def since(begun: float, done: Any) -> float:
    while not done():
        assert time.monotonic() - begun < LIMIT_S, "too late"
        time.sleep(POLL_S)
    return time.monotonic() - begun


def start(count: int) -> list[float]:
    """How long `fleetctl start` of one instance takes, again and again."""
    times = []
    for number in range(count):
        begun = time.monotonic()
        fleetctl("start", f"/root/one@{number}.service")
        times.append(time.monotonic() - begun)
    fleetctl("destroy", *(f"one@{number}.service" for number in range(count)))
    since(time.monotonic(), lambda: not any("one@" in row["name"] for row in read("state")))
    return times


def many(count: int) -> float:
    """From `fleetctl start` of many instances until all are active."""
    begun = time.monotonic()
    names = [f"/root/many@{number}.service" for number in range(count)]
    program = subprocess.Popen(["fleetctl", "start", *names], stdout=subprocess.DEVNULL)
    took = since(begun, lambda: active("many@") >= count)
    program.wait()
    return took


def active(prefix: str) -> int:
    return sum(
        row["systemdActiveState"] == "active" and row["name"].startswith(prefix)
        for row in read("state")
    )


def destroy(count: int) -> float:
    """From `fleetctl destroy` of many instances until no state is left."""
    begun = time.monotonic()
    fleetctl("destroy", *(f"many@{number}.service" for number in range(count)))
    return since(begun, lambda: not any("many@" in row["name"] for row in read("state")))


def moved(machine: str, count: int) -> float:
    """Until that many instances are active on other machines than this one, from now."""

    def done() -> bool:
        rows = [row for row in read("state") if row["systemdActiveState"] == "active"]
        placed = {unit["name"]: unit.get("machineID", "") for unit in read("units")}
        here = [row for row in rows if row["machineID"] == placed.get(row["name"])]
        return sum(row["machineID"] != machine for row in here) >= count

    return since(time.monotonic(), done)


def main() -> None:
    for name in ("one", "many"):
        Path(f"/root/{name}@.service").write_text(UNIT, encoding="ascii")
    action, *words = sys.argv[1:]
    if action == "moved":
        result: object = moved(words[0], int(words[1]))
    else:
        result = {"start": start, "many": many, "destroy": destroy}[action](int(words[0]))
    print(json.dumps(result))


main()
