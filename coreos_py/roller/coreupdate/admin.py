"""CoreUpdate's users and upstream servers."""

from __future__ import annotations

import base64
import re
import secrets
from typing import TYPE_CHECKING

from coreos_py.omaha import coreupdate as shapes
from coreos_py.roller.db import coreupdate
from coreos_py.roller.db.coreupdate import HawkUser, Upstream

if TYPE_CHECKING:
    from typing import Any

    from coreos_py.http.message import Response
    from coreos_py.roller.coreupdate.ask import Ask
    from coreos_py.roller.db.driver import Tx

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._+-]{0,63}")
_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_TEXT_MAX = 256
KEY_BYTES = 30


def list_users(tx: Tx, ask: Ask) -> Response:
    """All users; nobody's key."""
    items = [{"user": user.name} for user in coreupdate.users(tx)]
    return ask.ok(shapes.ADMIN_USERS.write(users=items))


def get_user(tx: Tx, ask: Ask) -> Response:
    """One user."""
    return ask.ok(shapes.ADMIN_USER.write(user=_user(tx, ask).name))


def add_user(tx: Tx, ask: Ask) -> Response:
    """Register a user; the answer has the key, and no later one does."""
    name = ask.body(shapes.ADMIN_REQUEST).get("userName", "")
    if not _NAME.fullmatch(name):
        ask.refuse(400, "a user's name has up to 64 letters, digits and any of @._+-")
    user = HawkUser(name, _new_key(), ask.call.now_us)
    with ask.rules():
        coreupdate.add_user(tx, user)
    ask.changed("user")
    return ask.ok(shapes.ADMIN_USER.write(user=user.name, token=user.key))


def new_key(tx: Tx, ask: Ask) -> Response:
    """Another key for a user."""
    user, key = _user(tx, ask), _new_key()
    coreupdate.set_key(tx, user.name, key)
    return ask.ok(shapes.ADMIN_USER.write(user=user.name, token=key))


def delete_user(tx: Tx, ask: Ask) -> Response:
    """Remove a user."""
    user = _user(tx, ask)
    coreupdate.delete_user(tx, user.name)
    ask.changed("user")
    return ask.ok(shapes.ADMIN_USER.write(user=user.name))


def _user(tx: Tx, ask: Ask) -> HawkUser:
    return coreupdate.user(tx, ask.names["user"]) or ask.refuse(404, "no such user")


def _new_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


# -- upstreams


def list_upstreams(tx: Tx, ask: Ask) -> Response:
    """All of them."""
    items = [_view(item) for item in coreupdate.upstreams(tx)]
    return ask.ok(shapes.UPSTREAM_LIST.write(items=items))


def add_upstream(tx: Tx, ask: Ask) -> Response:
    """Register one."""
    url, label = _fields(ask)
    item = Upstream(ask.call.new_id(), url, label, ask.call.now_us)
    coreupdate.add_upstream(tx, item)
    return ask.ok(shapes.UPSTREAM.write(**_view(item)))


def update_upstream(tx: Tx, ask: Ask) -> Response:
    """URL and label."""
    url, label = _fields(ask)
    item = _upstream(tx, ask)._replace(url=url, label=label)
    coreupdate.update_upstream(tx, item)
    return ask.ok(shapes.UPSTREAM.write(**_view(item)))


def delete_upstream(tx: Tx, ask: Ask) -> Response:
    """Remove one; what was taken over stays."""
    item = _upstream(tx, ask)
    coreupdate.delete_upstream(tx, item.id)
    return ask.ok(shapes.UPSTREAM.write(**_view(item)))


def _upstream(tx: Tx, ask: Ask) -> Upstream:
    return coreupdate.upstream(tx, ask.names["upstream"]) or ask.refuse(404, "no such upstream")


def _fields(ask: Ask) -> tuple[str, str]:
    body = ask.body(shapes.UPSTREAM)
    url, label = body.get("url", "").rstrip("/"), body.get("label", "")
    if not _URL.fullmatch(url) or len(url) > _TEXT_MAX:
        ask.refuse(400, f"url must be like https://updates.example.com, not {url[:60]!r}")
    if len(label) > _TEXT_MAX:
        ask.refuse(400, f"label must have at most {_TEXT_MAX} characters")
    return url, label


def _view(item: Upstream) -> dict[str, Any]:
    return {"id": item.id, "label": item.label, "url": item.url}
