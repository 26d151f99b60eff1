"""The JSON of users and roles, as etcd 2.3.8 writes it into its store and over HTTP.

Pure. Reading follows Go's encoding/json: names match in any case, unknown ones are skipped, null
leaves a field as it is, a wrong type is an error. Both programs read what either has written.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from coreos_py.base import gojson
from coreos_py.etcd.auth.model import Patterns, Role, User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from coreos_py.etcd.auth.model import Names

_SPACE = " \t\r\n"
_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


def read_user(text: str | bytes, *, whole: bool = True) -> User:
    """A user; ValueError if it is not one. With `whole` false anything may follow it."""
    fields = _fields(_load(text, whole=whole), _USER)
    return User(**fields)


def read_role(text: str | bytes, *, whole: bool = True) -> Role:
    """A role; ValueError if it is not one. With `whole` false anything may follow it."""
    return Role(**_fields(_load(text, whole=whole), _ROLE))


def read_enabled(text: str) -> bool:
    """The value of the switch; ValueError if it is neither true nor false."""
    value = _load(text, whole=True)
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"not a truth value: {text!r}")
    return bool(value)


def write_user(user: User) -> str:
    """A user as it is stored, or without its password as it is shown."""
    parts = [f'"user":{gojson.quote(user.user)}']
    if user.password:
        parts.append(f'"password":{gojson.quote(user.password)}')
    parts.append(f'"roles":{_names(user.roles)}')
    if user.grant:
        parts.append(f'"grant":{_names(user.grant)}')
    if user.revoke:
        parts.append(f'"revoke":{_names(user.revoke)}')
    return f"{{{','.join(parts)}}}"


def write_role(role: Role) -> str:
    """A role, stored or shown."""
    parts = [f'"role":{gojson.quote(role.role)}', f'"permissions":{_permissions(role.kv)}']
    if role.grant is not None:
        parts.append(f'"grant":{_permissions(role.grant)}')
    if role.revoke is not None:
        parts.append(f'"revoke":{_permissions(role.revoke)}')
    return f"{{{','.join(parts)}}}"


def write_user_with_roles(user: User, roles: Iterable[Role]) -> str:
    """A user as it is shown with all that its roles allow."""
    shown = ",".join([write_role(role) for role in roles])
    tail = f',"roles":[{shown}]' if shown else ""
    return f'{{"user":{gojson.quote(user.user)}{tail}}}'


def _permissions(kv: Patterns) -> str:
    return f'{{"kv":{{"read":{_names(kv.read)},"write":{_names(kv.write)}}}}}'


def _names(names: Names) -> str:
    return gojson.dumps(names)


# --- reading --------------------------------------------------------------------------------------


class _Object(list[tuple[str, "Any"]]):
    """A JSON object as its members in order, so that the last of a name wins, whatever its case."""


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_Object, parse_constant=_refuse)


def _load(text: str | bytes, *, whole: bool) -> Any:
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    plain = raw.decode("utf-8", "replace").lstrip(_SPACE)
    try:
        value, end = _DECODER.raw_decode(plain)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if whole and plain[end:].strip(_SPACE):
        raise ValueError("more than one value")
    return value


def _fields(value: Any, table: Mapping[str, tuple[str, Callable[[Any], Any]]]) -> dict[str, Any]:
    """The members that the table knows, by attribute."""
    found: dict[str, Any] = {}
    if value is None:
        return found
    if not isinstance(value, _Object):
        raise ValueError("not an object")
    for name, item in value:
        known = table.get(name.lower())
        if known is not None:
            attribute, convert = known
            converted = convert(item)
            if item is not None or convert is not _text:
                found[attribute] = converted
    return found


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError("not a string")
    return value if value.isascii() else value.translate(_SURROGATES)


def _list(value: Any) -> Names:
    if value is None:
        return None
    if not isinstance(value, list) or isinstance(value, _Object):
        raise ValueError("not a list")
    return tuple(_text(item) for item in value)


def _kv(value: Any) -> Patterns:
    return Patterns(**_fields(value, _PATTERNS))


def _granted(value: Any) -> Patterns:
    kv: Patterns = _fields(value, _PERMISSIONS).get("kv", Patterns())
    return kv


def _change(value: Any) -> Patterns | None:
    return None if value is None else _granted(value)


_PATTERNS = {"read": ("read", _list), "write": ("write", _list)}
_PERMISSIONS = {"kv": ("kv", _kv)}
_ROLE = {
    "role": ("role", _text),
    "permissions": ("kv", _granted),
    "grant": ("grant", _change),
    "revoke": ("revoke", _change),
}
_USER = {
    "user": ("user", _text),
    "password": ("password", _text),
    "roles": ("roles", _list),
    "grant": ("grant", _list),
    "revoke": ("revoke", _list),
}
