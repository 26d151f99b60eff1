"""A real rollerd, its API as an administrator uses it, and machines that ask it for updates."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from coreos_py.omaha import request
from coreos_py.omaha.request import Client, Event
from tests.support.procs import Process, Reply, command, free_ports, http_request

PASSWORD = "a long enough password"
COREOS = "e96281a6-d1af-4bde-9a0a-97b76e56dc57"
STABLE = "9a2deb70-37be-4026-853f-bfdd6b347bbe"
STABLE_CHANNEL = "e06064ad-4414-4904-9a6e-fd465593d1b2"
JSON = "application/json"

# A policy that lets everybody update at once.
OPEN: dict[str, Any] = {
    "policy_updates_enabled": True,
    "policy_safe_mode": False,
    "policy_office_hours": False,
    "policy_max_updates_per_period": 1_000_000,
    "policy_period_interval": "1 minutes",
    "policy_update_timeout": "60 minutes",
}


class Rollerd(Process):
    """The server, on a port of its own."""

    def __init__(
        self, directory: Path, *flags: str, name: str = "rollerd", host: str = "127.0.0.1"
    ) -> None:
        (port,) = free_ports(1)
        self.port = port
        self.data_dir = directory / f"{name}.data"
        self.url = f"http://{host}:{port}"
        words = [*command("rollerd"), f"-bind={host}:{port}", f"-data-dir={self.data_dir}"]
        super().__init__(
            name,
            [*words, *flags],
            log_path=directory / f"{name}.log",
            env={"ROLLERD_ADMIN_PASSWORD": PASSWORD},
            cwd=directory,
        )

    @property
    def update_url(self) -> str:
        """What update.conf has as SERVER."""
        return f"{self.url}/v1/update/"

    @property
    def database(self) -> Path:
        return self.data_dir / "rollerd.db"

    def wait_ready(self) -> None:
        """Until it serves."""
        self.wait_log("rollerd serves on")

    def ask(
        self,
        method: str,
        path: str,
        data: object = None,
        *,
        user: str | None = "admin",
        password: str = PASSWORD,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """A request to the API in JSON; `user` None: without signing in."""
        sent = {"Accept": JSON, **(headers or {})}
        if user is not None:
            sent["Authorization"] = basic(user, password)
        body = data if isinstance(data, bytes) or data is None else json.dumps(data).encode()
        if body is not None:
            sent.setdefault("Content-Type", JSON)
        return http_request(method, self.url + path, body=body, headers=sent, timeout_s=120)

    def must(self, method: str, path: str, data: object = None) -> Any:
        """What a request that has to succeed answers."""
        reply = self.ask(method, path, data)
        assert reply.status in (200, 204), reply
        return reply.json() if reply.body else None

    def open_group(self, group: str = STABLE, **changes: object) -> None:
        """Let everybody in the group update at once."""
        path = f"/api/apps/{COREOS}/groups/{group}"
        self.must("PUT", path, {**OPEN, **changes})

    def add_package(self, version: str, *, channel: str = STABLE_CHANNEL, **more: object) -> str:
        """A package that the channel points to; its id."""
        data: dict[str, object] = {
            "type": 1,
            "version": version,
            "url": f"{self.url}/packages/",
            "filename": "update.gz",
            "size": "1000",
            "hash": "2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
            "coreos_action": {"sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
            **more,
        }
        package = str(self.must("POST", f"/api/apps/{COREOS}/packages", data)["id"])
        self.point(channel, package)
        return package

    def point(self, channel: str, package: str) -> None:
        """Let the channel offer this package."""
        path = f"/api/apps/{COREOS}/channels/{channel}"
        now = self.must("GET", path)
        kept = {name: now[name] for name in ("name", "color")}
        self.must("PUT", path, {**kept, "package_id": package})

    def publish(self, version: str, payload: bytes, *, channel: str = STABLE_CHANNEL) -> Any:
        """Make a package, upload its payload, and point the channel at it."""
        package = self.add_package(version, channel=channel)
        return self.must("POST", f"/api/apps/{COREOS}/packages/{package}/payload", payload)

    def omaha(self, body: bytes) -> Reply:
        """What a machine gets."""
        return http_request("POST", self.update_url, body=body, timeout_s=120)


@contextlib.contextmanager
def serving() -> Iterator[Callable[[Rollerd], Rollerd]]:
    """A function that starts servers and awaits them; they end with the block."""
    servers: list[Rollerd] = []

    def start(server: Rollerd) -> Rollerd:
        servers.append(server)
        server.start()
        server.wait_ready()
        return server

    try:
        yield start
    finally:
        for server in servers:
            server.close()


class Machine:
    """A machine as rollerd sees it: what it says in the course of an update."""

    def __init__(self, number: int, *, version: str = "1.0.0", track: str = "stable") -> None:
        self.client = Client(
            app_id=request.APP_ID,
            version=version,
            track=track,
            boot_id=f"{{boot-{number}}}",
            oem="",
            oem_version="",
            aleph_version=version,
            machine_id=f"{number:032x}",
            board="amd64-usr",
            architecture="x86_64",
        )
        self.previous = request.NEVER_UPDATED

    def check(self) -> bytes:
        """Ask for an update."""
        return request.check(self.client, previous_version=self.previous, on_demand=False)

    def report(self, kind: int, result: int, error_code: int = 0) -> bytes:
        """Tell what happened."""
        event = Event(kind, result, error_code)
        return request.report(self.client, event, on_demand=False)

    def reboot(self, version: str) -> None:
        """Come back with this version; the next check tells so."""
        self.previous = self.client.version
        self.client = self.client._replace(version=version)

    def cycle(self, version: str) -> Iterable[bytes]:
        """The bodies of a whole update: check, downloads, installed, the check after the reboot."""
        yield self.check()
        yield self.report(13, 1)
        yield self.report(14, 1)
        yield self.report(3, 1)
        self.reboot(version)
        yield self.check()


def basic(user: str, password: str) -> str:
    """The header by which a user shows who it is."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
