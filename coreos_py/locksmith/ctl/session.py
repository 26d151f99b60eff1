"""What every locksmithctl command starts with: the client, the lock, this machine's ID."""

from __future__ import annotations

import os
import sys

from coreos_py.base.errors import CoreosError
from coreos_py.etcdclient.sync_client import Etcd
from coreos_py.locksmith.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import NoReturn

    from coreos_py.cli.program import Call
    from coreos_py.cli.settings import Values
    from coreos_py.etcdclient.calls import Call as ApiCall
    from coreos_py.http.url import Endpoint

MACHINE_ID_FILE = "/etc/machine-id"
_TIMEOUT_S = 30.0  # what 0.6.2 gives a connection, and we also the answer
_open: list[Etcd] = []


class Fatal(CoreosError):
    """The end of the command; the message is all of what stderr gets."""


def fail(what: str, err: object) -> NoReturn:
    """End with `<what> <err>`."""
    raise Fatal(f"{what} {err}") from None


def open_lock(call: Call) -> Lock:
    """The lock of the group that was asked for."""
    try:
        return Lock(_client(call.settings), group=call.settings["group"])
    except (CoreosError, ValueError) as err:
        fail("Error initializing etcd client:", err)


def close_clients() -> None:
    """Close the connections of this run."""
    while _open:
        _open.pop().close()


def machine_id(call: Call) -> str:
    """The first argument, else this machine's ID."""
    return call.args[0] if call.args else this_machine()


def this_machine() -> str:
    """This machine's ID."""
    try:
        with open(MACHINE_ID_FILE, encoding="utf-8", errors="surrogateescape") as file:
            found = file.read().strip()
    except OSError:
        found = ""
    if not found:
        raise Fatal("Cannot read machine-id")
    return found


def endpoints(values: tuple[str, ...]) -> list[str]:
    """The URLs of every --endpoint; ValueError in Go's words."""
    found = [item.strip() for value in values for item in value.split(",")]
    for item in found:
        before = item.partition(":")[0]
        if "://" not in item and ":" in item and not before[:1].isalpha() and "/" not in before:
            problem = "missing protocol scheme" if not before else _NO_COLON
            raise ValueError(f'parse "{item}": {problem}')
    return found


_NO_COLON = "first path segment in URL cannot contain colon"


def _client(settings: Values) -> Etcd:
    client = Etcd(
        endpoints(settings["endpoint"]),
        timeout_s=_TIMEOUT_S,
        username=settings["etcd-username"],
        password=settings["etcd-password"],
        tls=_tls(settings),
        trace=_trace if settings["debug"] else None,
    )
    _open.append(client)
    return client


def _tls(settings: Values) -> Callable[[], ssl.SSLContext] | None:
    """What makes the TLS context. One file given means that all three are needed, and read now."""
    cert, key = settings["etcd-certfile"], settings["etcd-keyfile"]
    ca = settings["etcd-cafile"]
    if not (ca or cert or key):
        return None
    for path in (cert, key, ca):
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as err:
            raise Fatal(f"open {path}: {(err.strerror or str(err)).lower()}") from None
    from coreos_py.base import tls

    context = tls.client_context(ca_file=ca, cert_file=cert, key_file=key)
    return lambda: context


def _trace(api_call: ApiCall, endpoint: Endpoint, target: str) -> None:
    url = endpoint.text.rstrip("/").removesuffix(endpoint.path) + target
    print(f"{api_call.method} {url}", file=sys.stderr, flush=True)
