"""/v2/auth as requests to send and replies to read, beside calls.py.

Pure and light. Bodies and targets are those of etcd 2.3's client.
"""

from __future__ import annotations

import json

from coreos_py.base.errors import CoreosError
from coreos_py.base.gojson import dumps
from coreos_py.etcdclient.calls import Call
from coreos_py.etcdclient.errors import InvalidJSON, UnexpectedStatus
from coreos_py.http.url import escape_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from coreos_py.http.reply import Reply

AUTH = "/v2/auth"
_JSON = (("Content-Type", "application/json"),)
_SPACE = " \t\r\n"


class AuthError(CoreosError):
    """The server refused; the text is the server's."""


class Role:
    """A role; `read` and `write` are its key patterns, None where the server sent null."""

    __slots__ = ("name", "read", "write")

    def __init__(self, data: dict[str, Any]) -> None:
        kv = (data.get("permissions") or {}).get("kv") or {}
        self.name: str = data.get("role") or ""
        self.read: list[str] | None = kv.get("read")
        self.write: list[str] | None = kv.get("write")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Role):
            return NotImplemented
        return (self.name, self.read, self.write) == (other.name, other.read, other.write)

    __hash__ = None  # type: ignore[assignment] # it holds lists


class User:
    """A user and the names of its roles."""

    __slots__ = ("name", "roles")

    def __init__(self, data: dict[str, Any]) -> None:
        self.name: str = data.get("user") or ""
        # Asked for one user the server sends whole roles, after a change only their names.
        self.roles: list[str] = [
            item if isinstance(item, str) else Role(item).name for item in data.get("roles") or ()
        ]


def enable() -> Call:
    """Turn auth on."""
    return Call("PUT", f"{AUTH}/enable")


def disable() -> Call:
    """Turn auth off."""
    return Call("DELETE", f"{AUTH}/enable")


def users() -> Call:
    """List the users."""
    return Call("GET", f"{AUTH}/users", headers=_JSON)


def user(name: str) -> Call:
    """Ask about a user."""
    return Call("GET", _target("users", name))


def put_user(
    name: str, *, password: str = "", grant: Sequence[str] = (), revoke: Sequence[str] = ()
) -> Call:
    """Add a user, or change its password or roles."""
    body: dict[str, object] = {"user": name}
    if password:
        body["password"] = password
    body["roles"] = None
    if grant:
        body["grant"] = list(grant)
    if revoke:
        body["revoke"] = list(revoke)
    return Call("PUT", _target("users", name), headers=_JSON, body=dumps(body).encode())


def remove_user(name: str) -> Call:
    """Remove a user."""
    return Call("DELETE", _target("users", name))


def roles() -> Call:
    """List the roles."""
    return Call("GET", f"{AUTH}/roles", headers=_JSON)


def role(name: str) -> Call:
    """Ask about a role."""
    return Call("GET", _target("roles", name))


def add_role(name: str) -> Call:
    """Add a role that allows nothing."""
    return _put_role(name, {})


def grant_role(name: str, *, read: Sequence[str] = (), write: Sequence[str] = ()) -> Call:
    """Let a role read and write more keys."""
    return _put_role(name, {"grant": _patterns(read, write)})


def revoke_role(name: str, *, read: Sequence[str] = (), write: Sequence[str] = ()) -> Call:
    """Let a role read and write fewer keys."""
    return _put_role(name, {"revoke": _patterns(read, write)})


def remove_role(name: str) -> Call:
    """Remove a role."""
    return Call("DELETE", _target("roles", name))


def check(reply: Reply) -> None:
    """Raise AuthError unless it was done."""
    if reply.status not in (200, 201):
        raise _error(reply.body)


def read_user(reply: Reply) -> User:
    """The user of a reply about one; AuthError if there is none."""
    if reply.status != 200:
        raise _error(reply.body)
    return User(_object(reply.body))


def read_role(reply: Reply) -> Role:
    """The role of a reply about one; AuthError if there is none."""
    if reply.status != 200:
        raise _error(reply.body)
    return Role(_object(reply.body))


def read_users(reply: Reply) -> list[str]:
    """The names of all users."""
    if reply.status != 200:
        raise _error(reply.body)
    return [User(item).name for item in _object(reply.body).get("users") or ()]


def read_roles(reply: Reply) -> list[str]:
    """The names of all roles; etcd 2.3's client has no text for a refusal here."""
    if reply.status != 200:
        raise UnexpectedStatus(reply.status)
    return [Role(item).name for item in _object(reply.body).get("roles") or ()]


def _put_role(name: str, change: dict[str, object]) -> Call:
    body = {"role": name, "permissions": _patterns((), ()), **change}
    return Call("PUT", _target("roles", name), headers=_JSON, body=dumps(body).encode())


def _patterns(read: Sequence[str], write: Sequence[str]) -> dict[str, object]:
    return {"kv": {"read": list(read) or None, "write": list(write) or None}}


def _target(kind: str, name: str) -> str:
    parts: list[str] = []
    for part in f"{AUTH}/{kind}/{name}".split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return escape_path("/" + "/".join(parts))


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        raise InvalidJSON from None
    if not isinstance(data, dict):
        raise InvalidJSON
    return data


def _error(body: bytes) -> CoreosError:
    """The server's text; for what is no JSON, Go's complaint, which etcdctl 2.3 shows instead."""
    text = body.decode("utf-8", "replace").lstrip(_SPACE)
    try:
        data, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        if not text:
            return AuthError("unexpected end of JSON input")
        return AuthError(f"invalid character '{text[0]}' looking for beginning of value")
    rest = text[end:].lstrip(_SPACE)
    if rest:
        return AuthError(f"invalid character '{rest[0]}' after top-level value")
    return AuthError(str(data.get("message", "")) if isinstance(data, dict) else "")
