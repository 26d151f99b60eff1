"""An etcd inside the service, for a site that has none: one member, no peers, no TCP port.

It serves the client API on a unix socket in the data directory, which only our user may enter; the
service uses it like any other etcd.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from coreos_py.base.errors import CoreosError
from coreos_py.etcd import config as settings
from coreos_py.etcd.client_api import BODY_BYTES_MAX, ClientAPI
from coreos_py.etcd.member import start_member
from coreos_py.http.listen import bind_unix, listen
from coreos_py.http.server import HTTPServer, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.etcd.server import Server
    from coreos_py.http.listen import Listener

SOCKET_NAME = "client.sock"
_DRAIN_S = 0.2


class Embedded:
    """The running member."""

    def __init__(self, server: Server, http: HTTPServer, listener: Listener, *, path: str) -> None:
        self._server = server
        self._http = http
        self._listener = listener
        self._path = path

    @property
    def url(self) -> str:
        """Where the member is reached."""
        return f"unix://{self._path}"

    async def stop(self) -> None:
        """End the member; what it has acknowledged is on disk."""
        self._listener.close()
        self._server.stop()
        await self._http.drain(_DRAIN_S)
        os.unlink(self._path)


async def start(data_dir: str, *, exit_with: Callable[[int], None]) -> Embedded:
    """Start the member whose data are in `data_dir`; CoreosError if it cannot."""
    directory = _make_private(data_dir)
    config = settings.parse(["--name", "discovery", "--data-dir", directory], {})
    running = await start_member(config, exit_with=exit_with)
    path = os.path.join(directory, SOCKET_NAME)
    limits = Limits(body_max=BODY_BYTES_MAX, idle_timeout_s=None, body_timeout_s=None)
    http = HTTPServer(ClientAPI(running.server, cors=()).handle, limits=limits)
    try:
        sock = bind_unix(path, mode=0o600)
    except CoreosError:
        running.server.stop()
        raise
    return Embedded(running.server, http, listen(http, [sock])[0], path=path)


def _make_private(data_dir: str) -> str:
    try:
        os.makedirs(data_dir, mode=0o700, exist_ok=True)
    except OSError as error:
        raise CoreosError(f"--data-dir {data_dir}: {error.strerror}") from None
    return os.path.abspath(data_dir)
