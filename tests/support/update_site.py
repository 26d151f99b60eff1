"""What machines in qemu find at 10.0.2.2: an update server and the etcd with the reboot lock.

Everything the server sends goes through a gate, which can hold a payload back in the middle.
"""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any, Self

from tests.support.procs import EtcdCluster, Failure, command, environment, eventually
from tests.support.proxy import Piece, Proxy
from tests.support.rollerd import COREOS, STABLE, Rollerd

HOST = "10.0.2.2"
INSTALLED = (3, 1, 0)  # the event before the reboot
FAILED, COMPLETE = 3, 4  # an instance's status
CUSTOM = 1 << 28  # in every error code that a server of one's own gets
LOCK = "/coreos.com/updateengine/rebootlock/semaphore"
UPDATE_S = 600.0
_SIGNATURE = 264  # bytes at the end of a payload


class Gate:
    """Lets everything through, or the first `limit` bytes."""

    def __init__(self) -> None:
        self.limit = 0
        self.requests: list[bytes] = []
        self._passed = 0
        self._reached = threading.Event()
        self._opened = threading.Event()

    def __call__(self, piece: Piece) -> None:
        if not piece.is_reply:
            self.requests.append(piece.data)
        elif self.limit:
            self._passed += len(piece.data)
            if self._passed > self.limit:
                self._reached.set()
                self._opened.wait()

    def close_after(self, limit: int) -> None:
        self.limit = limit

    def wait_reached(self) -> None:
        assert self._reached.wait(UPDATE_S)

    def open(self) -> None:
        self.limit = 0
        self._opened.set()


class Site:
    """The server, with a group that lets everybody update, and etcd."""

    def __init__(self, folder: Path, cluster: EtcdCluster) -> None:
        self.etcd = cluster.members[0]
        self._port = int(self.etcd.client_url.rpartition(":")[2])
        self.gate = Gate()
        self.machine_id = ""
        self.rollerd = Rollerd(folder, f"-etcd={self.etcd.client_url}")
        self.proxy = Proxy(self.rollerd.port, self.gate)
        self.rollerd.argv.append(f"-public-url=http://{HOST}:{self.proxy.port}")

    def __enter__(self) -> Self:
        self.rollerd.start()
        self.rollerd.wait_ready()
        self.rollerd.open_group()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.gate.open()
        self.proxy.__exit__()
        self.rollerd.close()

    @property
    def update_conf(self) -> str:
        """What a machine's /etc/coreos/update.conf says."""
        return (
            f"GROUP=stable\nSERVER=http://{HOST}:{self.proxy.port}/v1/update/\n"
            f"REBOOT_STRATEGY=etcd-lock\nLOCKSMITHD_ENDPOINT=http://{HOST}:{self._port}\n"
        )

    # -- the server

    @property
    def _path(self) -> str:
        return f"/api/apps/{COREOS}/groups/{STABLE}/instances/{self.machine_id}"

    def publish(self, version: str, payload: Path, *, flip: bool = False) -> None:
        """Offer it to everybody; with `flip` one bit of it gets lost on the server."""
        made = self.rollerd.publish(version, payload.read_bytes())
        if flip:
            path = self.rollerd.data_dir / "packages" / made["filename"]
            data = bytearray(path.read_bytes())
            data[-_SIGNATURE - 1] ^= 1
            path.write_bytes(data)

    @property
    def instance(self) -> dict[str, Any]:
        """What the server knows about `machine_id`."""
        found = self.rollerd.must("GET", self._path)
        assert isinstance(found, dict)
        return found

    @property
    def events(self) -> list[tuple[int, int, int]]:
        """Type, result and error code of what it has reported, the oldest first."""
        found = self.rollerd.must("GET", f"{self._path}/events?page=1&perpage=1000")
        return [(row["type"], row["result"], row["error_code"]) for row in reversed(found)]

    def wait_event(self, kind: int, result: int, code: int = 0, *, count: int = 1) -> None:
        """Until the machine has reported that, so often."""
        wanted = (kind, result, code)
        try:
            eventually(lambda: self.events.count(wanted) >= count, within_s=UPDATE_S, every_s=0.3)
        except (Failure, ValueError) as failure:
            raise Failure(f"no event {wanted}: {failure}\n{self.rollerd.log_tail()}") from None

    # -- the lock

    @property
    def holders(self) -> list[str]:
        """Who may reboot, as etcd has it."""
        return list(json.loads(self.etcd.value(LOCK) or '{"holders": []}')["holders"] or [])

    def locksmithctl(self, *words: str) -> str:
        done = subprocess.run(
            [*command("locksmithctl"), "-endpoint", self.etcd.client_url, *words],
            capture_output=True, text=True, check=True, env=environment(),
        )  # fmt: skip
        return done.stdout
