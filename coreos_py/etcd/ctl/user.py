"""etcdctl user add, get, list, remove, grant, revoke, passwd."""

from __future__ import annotations

from coreos_py.base.errors import CoreosError
from coreos_py.etcd.ctl.accounts import ask, bad, client_for, no_arguments
from coreos_py.etcd.ctl.prompt import ask_password
from coreos_py.etcd.ctl.session import limit
from coreos_py.etcdclient import auth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.program import Call


def list_(call: Call) -> int:
    """One name per line."""
    no_arguments(call)
    for name in ask(client_for(call), auth.users(), auth.read_users):
        print(name)
    return 0


def add(call: Call) -> int:
    """Add a user; its password follows the name after a colon, or is asked for."""
    name, colon, password = _name(call).partition(":")
    client = client_for(call)
    try:
        auth.read_user(client.send(auth.user(name)))
    except CoreosError:
        pass  # whatever is wrong, adding the user will say it
    else:
        bad(f"User {name} already exists")
    if not colon:
        password = _new_password()
        limit(call, client)  # the time it took to type does not count
    ask(client, auth.put_user(name, password=password), auth.check)
    print(f"User {name} created")
    return 0


def get(call: Call) -> int:
    """Show a user's roles."""
    name = _name(call)
    user = ask(client_for(call), auth.user(name), auth.read_user)
    print(f"User: {user.name}")
    # etcdctl 2.3.8 has an empty name before them for each: half-read role objects.
    print(f"Roles: {' ' * len(user.roles)}{' '.join(user.roles)}")
    return 0


def remove(call: Call) -> int:
    """Remove a user."""
    name = _name(call)
    ask(client_for(call), auth.remove_user(name), auth.check)
    print(f"User {name} removed")
    return 0


def passwd(call: Call) -> int:
    """Change a user's password."""
    name = _name(call)
    client = client_for(call)
    ask(client, auth.user(name), auth.read_user)
    password = _new_password()
    limit(call, client)  # the time it took to type does not count
    ask(client, auth.put_user(name, password=password), auth.read_user)
    print("Password updated")
    return 0


def grant(call: Call) -> int:
    """Give roles to a user."""
    roles = _roles(call)
    name = _name(call)
    client = client_for(call)
    ask(client, auth.user(name), auth.read_user)
    ask(client, auth.put_user(name, grant=roles), auth.read_user)
    print(f"User {name} updated")
    return 0


def revoke(call: Call) -> int:
    """Take roles from a user."""
    roles = _roles(call)
    name = _name(call)
    client = client_for(call)
    ask(client, auth.user(name), auth.read_user)
    ask(client, auth.put_user(name, revoke=roles), auth.read_user)
    print(f"User {name} updated")
    return 0


def _name(call: Call) -> str:
    if len(call.args) != 1:
        bad("Please provide a username")
    return call.args[0]


def _roles(call: Call) -> tuple[str, ...]:
    roles: tuple[str, ...] = call.flags["roles"]
    if not roles:
        bad("No roles specified; please use `-roles`")
    return roles


def _new_password() -> str:
    try:
        return ask_password("New password: ")
    except CoreosError as err:
        bad(f"Error reading password: {err}")
