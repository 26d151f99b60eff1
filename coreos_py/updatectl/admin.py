"""`updatectl admin-user`, `database` and `upstream`.

Mirrors admin.go, database.go and upstream.go.
"""

from __future__ import annotations

import errno

from coreos_py.base.atomic import is_special, replacing, write_all
from coreos_py.http.client import TransportError
from coreos_py.omaha.coreupdate import (
    ADMIN_REQUEST,
    ADMIN_USER,
    ADMIN_USERS,
    UPSTREAM,
    UPSTREAM_LIST,
    UPSTREAM_SYNC,
)
from coreos_py.updatectl.session import (
    ERROR_API,
    ERROR_USAGE,
    OK,
    PLAIN_USER_AGENT,
    Fatal,
    Service,
    show,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from coreos_py.cli.program import Call
    from coreos_py.http.client import ReplyStream


def create_user(call: Call) -> int:
    """Prints the key."""
    if len(call.args) != 1:
        return ERROR_USAGE
    body = ADMIN_REQUEST.write(userName=call.args[0])
    print(Service(call).call("POST", "admin/user", ADMIN_USER, body=body)["token"])
    return OK


def delete_user(call: Call) -> int:
    """By name."""
    if len(call.args) != 1:
        return ERROR_USAGE
    user = Service(call).call("DELETE", "admin/user/{}", ADMIN_USER, call.args[0])
    print(f"User {user['user']} deleted")
    return OK


def list_users(call: Call) -> int:
    """One name per line."""
    users = Service(call).call("GET", "admin/user", ADMIN_USERS)["users"]
    show("".join(f"{user['user']}\n" for user in users))
    return OK


def create_upstream(call: Call) -> int:
    """Needs a URL."""
    flags = call.flags
    body = UPSTREAM.write(url=flags["url"], label=flags["label"])
    return _show_upstreams([Service(call).call("POST", "upstream", UPSTREAM, body=body)])


def update_upstream(call: Call) -> int:
    """The whole record is sent: a label left out is taken away."""
    flags = call.flags
    body = UPSTREAM.write(id=flags["id"], url=flags["url"], label=flags["label"])
    service = Service(call)
    return _show_upstreams([service.call("PUT", "upstream/{}", UPSTREAM, flags["id"], body=body)])


def delete_upstream(call: Call) -> int:
    """By ID."""
    service = Service(call)
    return _show_upstreams([service.call("DELETE", "upstream/{}", UPSTREAM, call.flags["id"])])


def list_upstreams(call: Call) -> int:
    """All of them."""
    return _show_upstreams(Service(call).call("GET", "upstream", UPSTREAM_LIST)["items"])


def sync_upstreams(call: Call) -> int:
    """What came of it, as far as the server waits for it."""
    done = Service(call).call("POST", "upstream/sync", UPSTREAM_SYNC)
    detail = f"Detail: {done['detail']}\n" if done["detail"] else ""
    show(f"Status: {done['status']}\n{detail}")
    return OK


def _show_upstreams(items: Iterable[dict[str, Any]]) -> int:
    rows = [f"{item['id']}\t{item['url']}\t{item['label']}\n" for item in items]
    show("Id\tUrl\tLabel\n" + "".join(rows))
    return OK


def init_database(call: Call) -> int:
    """Not signed; a server that makes its tables by itself may not know it."""
    service = Service(call)
    target = "/admin/v1/init"
    endpoint = service.endpoint("GET", target)
    try:
        reply = service.client.request(
            "GET",
            endpoint,
            endpoint.path + target,
            headers=[("User-Agent", PLAIN_USER_AGENT)],
        )
    except TransportError as err:
        raise service.failed("GET", target, err) from None
    text = reply.body.decode("utf-8", "surrogateescape")
    print(text)
    return OK if text == "ok" else ERROR_API


def backup_database(call: Call) -> int:
    """A copy of the whole database into a new file, readable to its owner only."""
    if len(call.args) != 1:
        return ERROR_USAGE
    stream = Service(call).open("/db/backup")
    try:
        if stream.status != 200:
            body = b"".join(stream.pieces())
            raise Fatal(body.decode("utf-8", "replace"))
        _save(stream, call.args[0])
    except TransportError as err:
        raise Fatal(str(err)) from None
    return OK


def _save(stream: ReplyStream, path: str) -> None:
    """All or nothing: a copy that breaks off leaves what was there."""
    try:
        if is_special(path):
            raise OSError(errno.EINVAL, "Not a regular file")
        with replacing(path) as fd:
            for piece in stream.pieces():
                write_all(fd, piece)
    except OSError as err:
        raise Fatal(f"open {path}: {(err.strerror or str(err)).lower()}") from None
