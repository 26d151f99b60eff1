"""Signing in and out, one's own password, and what a dashboard must know before it starts."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from coreos_py import __version__
from coreos_py.http.message import Response
from coreos_py.roller import auth, zones
from coreos_py.roller.db import people
from coreos_py.roller.records import SECOND_US, Session
from coreos_py.roller.rest import fields, shapes
from coreos_py.roller.rest.gate import OF_TOKEN

if TYPE_CHECKING:
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.rest.ask import Ask


def config(tx: Tx, ask: Ask) -> Response:
    """Who asks and what this server can do; for everybody."""
    call = ask.call
    who = ask.gate.principal(tx, call)
    return ask.ok(
        {
            "title": call.config.title,
            "version": __version__,
            "user": who.name if who else None,
            "role": who.role if who else auth.VIEWER if call.config.anonymous_read else None,
            "anonymous_read": call.config.anonymous_read,
            "locks": call.config.locks,
            "payloads": call.config.payloads,
            "now": shapes.moment(call.now_us),
            "timezones": _timezones(),
        }
    )


def look(tx: Tx, ask: Ask) -> Response:
    """Check the password before sign_in() does it again at once."""
    _who(tx, ask)
    return Response(200)


def sign_in(tx: Tx, ask: Ask) -> Response:
    """Begin a session with a user's password or a token."""
    call = ask.call
    name, role = _who(tx, ask)
    secret = auth.new_secret(ask.gate.random(auth.SECRET_BYTES))
    ends_us = call.now_us + auth.SESSION_S * SECOND_US
    people.add_session(tx, Session(auth.digest(secret), name, role, call.now_us, ends_us))
    return ask.done(("Set-Cookie", auth.set_cookie(secret, tls=call.config.tls)))


def sign_out(tx: Tx, ask: Ask) -> Response:
    """End the session."""
    request = ask.call.request
    claim = auth.claim(request.get("Authorization"), request.get("Cookie"))
    if claim.how == auth.SESSION:
        people.delete_session(tx, auth.digest(claim.secret))
    return ask.done(("Set-Cookie", auth.clear_cookie(tls=ask.call.config.tls)))


def change_password(tx: Tx, ask: Ask) -> Response:
    """Change one's own password, which ends one's other sessions."""
    user = people.user(tx, ask.who.name) if ask.who.how != auth.TOKEN else None
    if user is None:
        ask.refuse(403, "only a user who signed in with a password may change it")
    password = ask.body(fields.PASSWORD).get("password", "")
    trouble = auth.password_trouble(password, any_length=ask.call.config.compat)
    if trouble:
        ask.refuse(400, trouble)
    secret = auth.hash_password(password, ask.gate.random(auth.SALT_BYTES))
    people.update_user(tx, user._replace(secret=secret))
    _end_other_sessions(tx, ask, user.name)
    return ask.done()


def _who(tx: Tx, ask: Ask) -> tuple[str, str]:
    """The name and the role of a session; an Undo if password or token are wrong."""
    values = ask.body(fields.SIGN_IN)
    if "token" in values:
        token = ask.gate.check_token(tx, ask.call, values["token"])
        return OF_TOKEN + token.id, token.role
    name, password = values.get("user", ""), values.get("password", "")
    user = ask.gate.check_password(tx, ask.call, name, password)
    return user.name, user.role


def _end_other_sessions(tx: Tx, ask: Ask, name: str) -> None:
    request = ask.call.request
    claim = auth.claim(request.get("Authorization"), request.get("Cookie"))
    mine = people.session(tx, auth.digest(claim.secret), ask.call.now_us)
    people.delete_sessions(tx, name)
    if claim.how == auth.SESSION and mine is not None:
        people.add_session(tx, mine)


@cache
def _timezones() -> list[str]:
    return zones.names()
