"""fleetd processes on loopback: machines of their own, embedded unit manager, one etcd for all."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.procs import (
    PATIENCE_S,
    Process,
    command,
    environment,
    eventually,
    free_ports,
    http_request,
)


class FleetMachine(Process):
    """One machine: a fleetd and the processes of its units."""

    def __init__(
        self,
        name: str,
        directory: Path,
        *,
        etcd_url: str,
        agent_ttl: str = "60s",
        metadata: str = "",
        listen: str = "",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.home = directory / name
        self.home.mkdir(parents=True, exist_ok=True)
        self.machine_id = f"{name:0<32}"
        (self.home / "machine-id").write_text(f"{self.machine_id}\n")
        self.config = self.home / "fleet.conf"
        self.config.write_text(f"metadata={metadata}\n")
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        settings = {
            "FLEET_ETCD_SERVERS": etcd_url,
            "FLEET_ETCD_REQUEST_TIMEOUT": "20",
            "FLEET_PUBLIC_IP": "127.0.0.1",
            "FLEET_AGENT_TTL": agent_ttl,
            "FLEET_UNIT_MANAGER": "embedded",
            "FLEET_UNITS_DIRECTORY": str(self.home / "units"),
            "FLEET_MACHINE_ID_FILE": str(self.home / "machine-id"),
            "FLEET_API_LISTEN": f"{self.url},{listen}",
            "FLEET_ENGINE_RECONCILE_INTERVAL": "0.5",
        }
        argv = [*command("fleetd"), f"--config={self.config}"]
        log_path = self.home / "fleetd.log"
        super().__init__(name, argv, log_path=log_path, env={**settings, **(env or {})})

    def get(self, path: str) -> Any:
        """A page of the API, all of its fields."""
        reply = http_request("GET", f"{self.url}/fleet/v1/{path}")
        assert reply.status == 200, reply
        return reply.json()

    def machines(self) -> set[str]:
        """The names of the machines in the cluster."""
        return {machine["id"].rstrip("0") for machine in self.get("machines").get("machines", ())}

    def wait_joined(self, *, within_s: float = PATIENCE_S) -> None:
        """Until it serves and sees itself."""
        eventually(lambda: self.name in self.machines(), within_s=within_s, logs=[self])

    def placements(self) -> dict[str, str]:
        """Unit -> name of the machine it runs on, for what is active."""
        return {
            state["name"]: state["machineID"].rstrip("0")
            for state in self.get("state").get("states", ())
            if state["systemdActiveState"] == "active"
        }

    def unit_pids(self) -> set[int]:
        """The processes below this fleetd."""
        found, queue = set(), [self.pid]
        while queue:
            for child in _children(queue.pop()):
                found.add(child)
                queue.append(child)
        return found

    def die(self) -> None:
        """The machine's power fails: fleetd and everything it ran are gone at once."""
        self.pause()
        pids = self.unit_pids()
        self.kill9()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def fleetctl(
        self,
        *words: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 120.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run fleetctl against this machine."""
        return subprocess.run(
            [*command("fleetctl"), "--endpoint", self.url, *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd or self.home,
            env=environment(env),
            timeout=timeout_s,
        )


def left_over(machine: FleetMachine) -> list[int]:
    """Processes of a machine whose fleetd is gone, by what they were started in."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if str(machine.home).encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
    return found


def _children(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(word) for word in (task / "children").read_text().split()]
    return found
