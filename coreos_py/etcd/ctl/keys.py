"""etcdctl's commands on keys and directories, except watches."""

from __future__ import annotations

import sys

from coreos_py.base.errors import CoreosError
from coreos_py.etcd.ctl.output import show
from coreos_py.etcd.ctl.session import (
    EXIT_BAD_ARGS,
    EXIT_SERVER_ERROR,
    Fatal,
    fail,
    limit,
    synced_client,
)
from coreos_py.etcdclient import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.program import Call
    from coreos_py.etcdclient.calls import Call as ApiCall
    from coreos_py.etcdclient.model import Node, Result
    from coreos_py.etcdclient.sync_client import Etcd


def get(call: Call) -> int:
    """Print the value of a key."""
    client = synced_client(call)
    key = required_key(call)
    request = calls.get(key, sort=call.flags["sort"], quorum=call.flags["quorum"])
    result = _ask(call, client, request)
    if result.node.dir:
        raise Fatal(EXIT_BAD_ARGS, f"{result.node.key}: is a directory\n")
    show(result, call.settings["output"])
    return 0


def ls(call: Call) -> int:
    """List a directory, one key per line."""
    client = synced_client(call)
    flags = call.flags
    request = calls.get(
        call.args[0] if call.args else "/",
        recursive=flags["recursive"],
        sort=flags["sort"],
        quorum=flags["quorum"],
    )
    node = _ask(call, client, request).node
    lines: list[str] = [] if node.dir else [node.key]
    _list(node.nodes, lines, slash="/" if flags["p"] else "")
    if lines:
        print("\n".join(lines))
    return 0


def set_(call: Call) -> int:
    """Write a key, possibly only over a given value or index."""
    client = synced_client(call)
    key, value = required_key(call), _value(call)
    request = calls.put(
        key,
        value,
        ttl_s=call.flags["ttl"],
        prev_value=call.flags["swap-with-value"],
        prev_index=_unsigned(call.flags["swap-with-index"]),
    )
    show(_ask(call, client, request), call.settings["output"])
    return 0


def mk(call: Call) -> int:
    """Write a key that must not exist, or a new in-order child."""
    client = synced_client(call)
    key, value = required_key(call), _value(call)
    ttl_s = call.flags["ttl"]
    if call.flags["in-order"]:
        request = calls.create_in_order(key, value, ttl_s=ttl_s)
    else:
        request = calls.put(key, value, prev_exist=False, ttl_s=ttl_s)
    show(_ask(call, client, request), call.settings["output"])
    return 0


def update(call: Call) -> int:
    """Write a key that must exist."""
    client = synced_client(call)
    key, value = required_key(call), _value(call)
    request = calls.put(key, value, prev_exist=True, ttl_s=call.flags["ttl"])
    show(_ask(call, client, request), call.settings["output"])
    return 0


def mkdir(call: Call) -> int:
    """Make a directory that must not exist."""
    return _put_dir(call, prev_exist=False)


def setdir(call: Call) -> int:
    """Make a directory."""
    return _put_dir(call, prev_exist=None)


def updatedir(call: Call) -> int:
    """Change the TTL of a directory that must exist."""
    return _put_dir(call, prev_exist=True)


def rm(call: Call) -> int:
    """Remove a key or directory."""
    client = synced_client(call)
    key, flags = required_key(call), call.flags
    request = calls.delete(
        key,
        prev_value=flags["with-value"],
        prev_index=_unsigned(flags["with-index"]),
        is_dir=flags["dir"],
        recursive=flags["recursive"],
    )
    return _removed(call, _ask(call, client, request))


def rmdir(call: Call) -> int:
    """Remove an empty directory (or a key)."""
    client = synced_client(call)
    return _removed(call, _ask(call, client, calls.delete(required_key(call), is_dir=True)))


def required_key(call: Call) -> str:
    """The key, which is the first argument of every command but ls."""
    if not call.args:
        fail(EXIT_BAD_ARGS, "key required")
    return call.args[0]


def _put_dir(call: Call, *, prev_exist: bool | None) -> int:
    client = synced_client(call)
    key = required_key(call)
    request = calls.put(key, is_dir=True, prev_exist=prev_exist, ttl_s=call.flags["ttl"])
    _ask(call, client, request)
    return 0


def _ask(call: Call, client: Etcd, request: ApiCall) -> Result:
    limit(call, client)
    try:
        return client.result(request)
    except CoreosError as err:
        fail(EXIT_SERVER_ERROR, err)


def _value(call: Call) -> str:
    """The second argument, or all of stdin as it is."""
    if len(call.args) > 1:
        return call.args[1]
    value = sys.stdin.read() if sys.stdin is not None else ""
    if not value:
        fail(EXIT_BAD_ARGS, "value required")
    return value


def _unsigned(value: int) -> int:
    """Go's conversion of an int to uint64, which etcdctl 2.3.8 does to indexes."""
    return value % (1 << 64)


def _removed(call: Call, result: Result) -> int:
    if not result.node.dir:
        show(result, call.settings["output"])
    return 0


def _list(nodes: tuple[Node, ...], lines: list[str], *, slash: str) -> None:
    for node in nodes:
        lines.append(node.key + slash if node.dir else node.key)
        _list(node.nodes, lines, slash=slash)
