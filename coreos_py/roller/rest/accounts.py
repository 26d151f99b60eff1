"""Users and tokens, for admins: /api/users, /api/tokens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from coreos_py.roller import auth
from coreos_py.roller.db import people
from coreos_py.roller.records import Token, User
from coreos_py.roller.rest import fields, shapes

if TYPE_CHECKING:
    from coreos_py.http.message import Response
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.rest.ask import Ask

_USER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_TOKEN_NAME_MAX = 100


def tokens(tx: Tx, ask: Ask) -> Response:
    """All tokens, without their secrets."""
    uses = ask.gate.uses()
    rows = [shapes.token(item, uses.get(item.id, item.last_used_us)) for item in people.tokens(tx)]
    return ask.rows(rows, len(rows))


def add_token(tx: Tx, ask: Ask) -> Response:
    """Make a token, which is told now and never again."""
    values = ask.body(fields.TOKEN)
    name, call = values.get("name", "").strip(), ask.call
    if not 0 < len(name) <= _TOKEN_NAME_MAX:
        ask.refuse(400, f"a token's name has 1 to {_TOKEN_NAME_MAX} characters")
    secret = auth.new_token(ask.gate.random(auth.SECRET_BYTES))
    role = _role(ask, values.get("role", ""))
    item = Token(call.new_id(), name, role, auth.digest(secret), ask.who.name, call.now_us, None)
    people.add_token(tx, item)
    return ask.ok({**shapes.token(item, None), "token": secret})


def delete_token(tx: Tx, ask: Ask) -> Response:
    """Make a token worthless."""
    if not people.delete_token(tx, ask.id("token")):
        ask.refuse(404, "there is no such token")
    return ask.done()


def users(tx: Tx, ask: Ask) -> Response:
    """All users."""
    rows = [shapes.user(item) for item in people.users(tx)]
    return ask.rows(rows, len(rows))


def add_user(tx: Tx, ask: Ask) -> Response:
    """Register a user."""
    values = ask.body(fields.USER)
    name = values.get("name", "")
    if not _USER_NAME.fullmatch(name):
        ask.refuse(400, "a user's name has 1 to 64 letters, digits or ._@+-")
    role = _role(ask, values.get("role", ""))
    item = User(name, _secret(ask, values.get("password", "")), role, ask.call.now_us)
    with ask.rules():
        people.add_user(tx, item)
    return ask.ok(shapes.user(item))


def update_user(tx: Tx, ask: Ask) -> Response:
    """Change a user's password or role; a new password ends the sessions."""
    before = ask.found("user", people.user(tx, ask.params["user"]))
    values = ask.body(fields.USER)
    if values.get("name", before.name) != before.name:
        ask.refuse(400, "a user's name cannot be changed")
    after = before
    if "role" in values:
        after = after._replace(role=_role(ask, values["role"]))
    if "password" in values:
        after = after._replace(secret=_secret(ask, values["password"]))
    if before.role == auth.ADMIN != after.role:
        _keep_an_admin(tx, ask, before.name)
    people.update_user(tx, after)
    if after.secret != before.secret:
        people.delete_sessions(tx, after.name)
    return ask.ok(shapes.user(after))


def delete_user(tx: Tx, ask: Ask) -> Response:
    """Remove a user with all sessions and tokens."""
    found = ask.found("user", people.user(tx, ask.params["user"]))
    if found.role == auth.ADMIN:
        _keep_an_admin(tx, ask, found.name)
    people.delete_user(tx, found.name)
    return ask.done()


def _role(ask: Ask, role: str) -> str:
    if role not in auth.ROLES:
        ask.refuse(400, f"a role is one of {', '.join(auth.ROLES)}, not {role!r}")
    return role


def _secret(ask: Ask, password: str) -> str:
    trouble = auth.password_trouble(password, any_length=ask.call.config.compat)
    if trouble:
        ask.refuse(400, trouble)
    return auth.hash_password(password, ask.gate.random(auth.SALT_BYTES))


def _keep_an_admin(tx: Tx, ask: Ask, leaving: str) -> None:
    if not any(item.role == auth.ADMIN and item.name != leaving for item in people.users(tx)):
        ask.refuse(400, f"{leaving} is the last admin")
