"""Debian's etcd 3.4 as it comes: the v3 API and its JSON gateway, no v2."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from tests.support.procs import EtcdProcess, eventually, free_ports

ETCD = shutil.which("etcd")


class _Member(EtcdProcess):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name = "initial-advertise-peer-urls"
        self.argv = [
            word.replace("https:", "http:")
            if word.startswith(("--listen-peer", f"--{name}"))
            else word
            for word in self.argv
        ]


class Etcd3Cluster:
    """Members with a static bootstrap; use as a context manager."""

    def __init__(
        self,
        directory: Path,
        size: int = 1,
        *,
        flags: Iterable[str] = (),
        scheme: str = "http",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """With scheme https, `flags` name the certificates; peers speak http all the same."""
        assert ETCD is not None
        ports = free_ports(2 * size)
        initial = ",".join(f"d{i}=http://127.0.0.1:{ports[2 * i + 1]}" for i in range(size))
        self.members = [
            _Member(
                f"d{i}",
                directory,
                client_port=ports[2 * i],
                peer_port=ports[2 * i + 1],
                initial_cluster=initial,
                flags=flags,
                argv=[ETCD],
                scheme=scheme,
                tls=tls,
            )
            for i in range(size)
        ]

    @property
    def urls(self) -> list[str]:
        """The endpoints of all members."""
        return [member.client_url for member in self.members]

    def __enter__(self) -> Self:
        try:
            for member in self.members:
                member.start()
            for member in self.members:
                eventually(functools.partial(healthy, member), within_s=60, logs=self.members)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        for member in self.members:
            member.close()

    def leader(self) -> EtcdProcess:
        """The member that leads."""

        def find() -> EtcdProcess | None:
            for member in self.members:
                with contextlib.suppress(OSError):
                    if member.running:
                        status = call(member, "/maintenance/status")
                        if status.get("leader") == status["header"]["member_id"]:
                            return member
            return None

        found = eventually(find, logs=self.members)
        assert found is not None
        return found


def call(member: EtcdProcess, path: str, body: object = None, **kwargs: Any) -> Any:
    """One call of the gateway, straight from the sheet."""
    reply = member.request("POST", f"/v3{path}", body=json.dumps(body or {}), **kwargs)
    assert reply.status == 200, (reply.status, reply.body)
    return reply.json()


def healthy(member: EtcdProcess) -> bool:
    reply = member.request("GET", "/health")
    return reply.status == 200 and reply.json()["health"] == "true"
