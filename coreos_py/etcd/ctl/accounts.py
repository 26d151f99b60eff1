"""What user, role and auth have in common: the client they use and the way they fail."""

from __future__ import annotations

import sys

from coreos_py.base.errors import CoreosError
from coreos_py.etcd.ctl.session import EXIT_BAD_ARGS, Fatal, limit, synced_client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, TypeVar

    from coreos_py.cli.program import Call
    from coreos_py.etcdclient.calls import Call as ApiCall
    from coreos_py.etcdclient.sync_client import Etcd
    from coreos_py.http.reply import Reply

    T = TypeVar("T")


def client_for(call: Call) -> Etcd:
    """A client whose time runs from now."""
    client = synced_client(call)
    if call.settings["debug"]:  # once more, as etcdctl 2.3.8 does for these commands
        endpoints = ", ".join(client.endpoints)
        print(f"Cluster-Endpoints: {endpoints}", file=sys.stderr, flush=True)
    limit(call, client)
    return client


def ask(client: Etcd, api_call: ApiCall, read: Callable[[Reply], T]) -> T:
    """Send a call and read its reply; the end of the command if that fails."""
    try:
        return read(client.send(api_call))
    except CoreosError as err:
        bad(err)


def no_arguments(call: Call) -> None:
    """Refuse arguments."""
    if call.args:
        bad("No arguments accepted")


def bad(err: object) -> NoReturn:
    """End with a bare message, as these commands do."""
    raise Fatal(EXIT_BAD_ARGS, f"{err}\n")
