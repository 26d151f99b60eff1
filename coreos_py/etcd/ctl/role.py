"""etcdctl role add, get, list, remove, grant, revoke."""

from __future__ import annotations

from coreos_py.base import gopath
from coreos_py.base.errors import CoreosError
from coreos_py.etcd.ctl.accounts import ask, bad, client_for, no_arguments
from coreos_py.etcdclient import auth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.program import Call


def list_(call: Call) -> int:
    """One name per line."""
    no_arguments(call)
    for name in ask(client_for(call), auth.roles(), auth.read_roles):
        print(name)
    return 0


def add(call: Call) -> int:
    """Add a role that allows nothing yet."""
    name = _name(call)
    client = client_for(call)
    try:
        auth.read_role(client.send(auth.role(name)))
    except CoreosError:
        pass  # whatever is wrong, adding the role will say it
    else:
        bad(f"Role {name} already exists")
    ask(client, auth.add_role(name), auth.check)
    print(f"Role {name} created")
    return 0


def get(call: Call) -> int:
    """Show what a role allows."""
    name = _name(call)
    role = ask(client_for(call), auth.role(name), auth.read_role)
    print(f"Role: {role.name}")
    print("KV Read:")
    for pattern in role.read or ():
        print(f"\t{pattern}")
    print("KV Write:")
    for pattern in role.write or ():
        print(f"\t{pattern}")
    return 0


def remove(call: Call) -> int:
    """Remove a role."""
    name = _name(call)
    ask(client_for(call), auth.remove_role(name), auth.check)
    print(f"Role {name} removed")
    return 0


def grant(call: Call) -> int:
    """Let a role read or write the keys of a pattern."""
    read, write = _permissions(call)
    name = _name(call)
    client = client_for(call)
    before = ask(client, auth.role(name), auth.read_role)
    after = ask(client, auth.grant_role(name, read=read, write=write), auth.read_role)
    if after == before:
        print("Role unchanged; already granted", end="")
    print(f"Role {name} updated")
    return 0


def revoke(call: Call) -> int:
    """Take the keys of a pattern from a role."""
    read, write = _permissions(call)
    name = _name(call)
    client = client_for(call)
    before = ask(client, auth.role(name), auth.read_role)
    after = ask(client, auth.revoke_role(name, read=read, write=write), auth.read_role)
    if after == before:
        print("Role unchanged; already revoked", end="")
    print(f"Role {name} updated")
    return 0


def _name(call: Call) -> str:
    if len(call.args) != 1:
        bad("Please provide a role name")
    return call.args[0]


def _permissions(call: Call) -> tuple[list[str], list[str]]:
    """The patterns to read and to write that the flags ask for."""
    flags = call.flags
    path = flags["path"]
    if not path:
        bad("No path specified; please use `-path`")
    canonical = gopath.canonical(path)
    if canonical != path:
        bad(f"Not canonical path; please use `-path={canonical}`")
    if flags["read"] + flags["write"] + flags["readwrite"] != 1:
        bad("Please specify exactly one of -read, -write or -readwrite")
    return [] if flags["write"] else [path], [] if flags["read"] else [path]
