"""The supervisor's control socket: a unix socket in the cluster's directory, a JSON line each way.

The path of a unix socket may have 107 bytes (unix(7)); a longer directory is reached through
/proc/self/fd.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from coreos_py.base.errors import CoreosError, Unavailable

NAME = "control.sock"

Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(directory: str, client: Client) -> AsyncIterator[None]:
    """Serves `client` on the directory's socket; an abandoned socket file is replaced."""
    with _short(directory) as path, contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    ear = socket.socket(socket.AF_UNIX)
    with _short(directory) as path:
        ear.bind(path)
    server = await asyncio.start_unix_server(client, sock=ear)
    try:
        yield
    finally:
        server.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(directory, NAME))


def ask(
    directory: str, verb: str, *, number: int = 0, timeout_s: float = 60.0
) -> dict[str, object]:
    """One request to the supervisor; CoreosError with its words when it refuses."""
    with socket.socket(socket.AF_UNIX) as talk:
        talk.settimeout(timeout_s)
        try:
            with _short(directory) as path:
                talk.connect(path)
            talk.sendall(json.dumps({"verb": verb, "number": number}).encode() + b"\n")
            line = talk.makefile("rb").readline()
        except OSError as error:
            raise Unavailable(
                f"no cluster is running in {directory}", hint="coreos cluster up starts it"
            ) from error
    if not line:
        raise Unavailable(f"the supervisor of {directory} ended while it worked on {verb}")
    answer: dict[str, object] = json.loads(line)
    if "error" in answer:
        raise CoreosError(str(answer["error"]))
    return answer


@contextlib.contextmanager
def _short(directory: str) -> Iterator[str]:
    path = os.path.join(directory, NAME)
    if len(os.fsencode(path)) < 100:
        yield path
        return
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{NAME}"
    finally:
        os.close(folder)
