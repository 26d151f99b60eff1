"""The v2 API as requests to send and replies to read; both clients are built on it.

Pure and light. Parameter placement is etcd 2.3's client's: conditions in the query, value and ttl
in the form, names sorted.
"""

from __future__ import annotations

from coreos_py.base.errors import StoreError
from coreos_py.base.jsonload import loads
from coreos_py.etcdclient.errors import EmptyBody, InvalidJSON, MembersError, UnexpectedStatus
from coreos_py.etcdclient.model import Member, Node, Result
from coreos_py.http.url import encode_query, escape_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from coreos_py.http.reply import Reply

KEYS = "/v2/keys"
PROGRESS = "progress"
PROGRESS_S = 30
"""How often our watches want to hear of progress."""
MEMBERS = "/v2/members"
_FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
_JSON = (("Content-Type", "application/json"),)


class Call:
    """One request, without the endpoint. `wait` marks a long poll, which has no header timeout."""

    __slots__ = ("body", "headers", "method", "target", "wait")

    def __init__(
        self,
        method: str,
        target: str,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes | None = None,
        wait: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.wait = wait


def key_path(key: str) -> str:
    """The cleaned, escaped path of a key; a trailing slash stays.

    `..` never leads out of the keys, as it does in etcd 2.3's client.
    """
    parts: list[str] = []
    for part in key.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    path = KEYS + "".join([f"/{part}" for part in parts])
    return escape_path(path + "/" if key.endswith("/") else path)


def get(key: str, *, recursive: bool = False, sort: bool = False, quorum: bool = False) -> Call:
    """Read a key or list a directory."""
    flags = f"quorum={_bool(quorum)}&recursive={_bool(recursive)}&sorted={_bool(sort)}"
    return Call("GET", f"{key_path(key)}?{flags}")


def wait(key: str, *, wait_index: int = 0, recursive: bool = False, progress_s: int = 0) -> Call:
    """Wait for the next event, or the first at or after `wait_index`.

    With `progress_s` our server answers after so long at the latest, and before its history moves
    on, though there was nothing: with the action PROGRESS, and the index to go on behind.
    """
    query = f"recursive={_bool(recursive)}&wait=true&waitIndex={wait_index}"
    if progress_s:
        query = f"progress={progress_s}&{query}"
    return Call("GET", f"{key_path(key)}?{query}", wait=True)


def stream(key: str, *, recursive: bool = False) -> Call:
    """Every event from now on, one JSON object a line."""
    query = f"recursive={_bool(recursive)}&stream=true&wait=true"
    return Call("GET", f"{key_path(key)}?{query}", wait=True)


def put(
    key: str,
    value: str = "",
    *,
    prev_exist: bool | None = None,
    prev_value: str = "",
    prev_index: int = 0,
    ttl_s: int = 0,
    clear_ttl: bool = False,
    refresh: bool = False,
    is_dir: bool = False,
) -> Call:
    """Every kind of PUT. `prev_value` "" and `prev_index` 0 mean "not compared"."""
    query, form = [], []
    if is_dir:
        query.append(("dir", "true"))
    else:
        if prev_value:
            query.append(("prevValue", prev_value))
        form.append(("value", value))
    if prev_index:
        query.append(("prevIndex", str(prev_index)))
    if prev_exist is not None:
        query.append(("prevExist", _bool(prev_exist)))
    if ttl_s > 0:
        form.append(("ttl", str(ttl_s)))
    elif clear_ttl:
        form.append(("ttl", ""))
    if refresh:
        form.append(("refresh", "true"))
    return Call("PUT", _with_query(key_path(key), query), headers=_FORM, body=_form(form))


def create_in_order(key: str, value: str = "", *, ttl_s: int = 0) -> Call:
    """Create a child of `key` named after the store index."""
    form = [("value", value)]
    if ttl_s > 0:
        form.append(("ttl", str(ttl_s)))
    return Call("POST", key_path(key), headers=_FORM, body=_form(form))


def delete(
    key: str,
    *,
    prev_value: str = "",
    prev_index: int = 0,
    is_dir: bool = False,
    recursive: bool = False,
) -> Call:
    """Delete a key or directory, possibly only if it is as expected."""
    query = []
    if prev_value:
        query.append(("prevValue", prev_value))
    if prev_index:
        query.append(("prevIndex", str(prev_index)))
    if is_dir:
        query.append(("dir", "true"))
    if recursive:
        query.append(("recursive", "true"))
    return Call("DELETE", _with_query(key_path(key), query), headers=_FORM)


def members() -> Call:
    """List the members."""
    return Call("GET", MEMBERS)


def leader() -> Call:
    """Ask who leads."""
    return Call("GET", f"{MEMBERS}/leader")


def add_member(peer_urls: Sequence[str]) -> Call:
    """Add a member that will be reached at `peer_urls`."""
    return Call("POST", MEMBERS, headers=_JSON, body=_peer_urls(peer_urls))


def update_member(member_id: str, peer_urls: Sequence[str]) -> Call:
    """Change where a member is reached."""
    target = f"{MEMBERS}/{escape_path(member_id)}"
    return Call("PUT", target, headers=_JSON, body=_peer_urls(peer_urls))


def remove_member(member_id: str) -> Call:
    """Remove a member for good."""
    return Call("DELETE", f"{MEMBERS}/{escape_path(member_id)}")


def read_event(line: bytes) -> Result:
    """The event of one line of a stream."""
    data = _object(line)
    return Result(data.get("action", ""), Node(data.get("node") or {}), None)


def read_result(reply: Reply) -> Result:
    """The Result of a keys reply.

    StoreError when etcd refused, EmptyBody when a watch just ended.
    """
    if reply.status not in (200, 201):
        raise _store_error(reply.body)
    if not reply.body:
        raise EmptyBody
    data = _object(reply.body)
    prev = data.get("prevNode")
    return Result(
        data.get("action", ""),
        Node(data.get("node") or {}),
        Node(prev) if prev else None,
        etcd_index=_number(reply.get("x-etcd-index")),
        raft_index=_number(reply.get("x-raft-index")),
        raft_term=_number(reply.get("x-raft-term")),
    )


def read_members(reply: Reply) -> list[Member]:
    """The members of a members reply."""
    _expect(reply, 200)
    return [Member(item) for item in _object(reply.body).get("members") or ()]


def read_member(reply: Reply, *, status: int) -> Member:
    """The one member of a leader or add reply.

    MembersError with the server's text on a conflict.
    """
    if status == 201 and reply.status == 409:
        raise _members_error(reply.body)
    _expect(reply, status)
    return Member(_object(reply.body))


def check_updated(reply: Reply) -> None:
    """Raise unless the member was updated."""
    if reply.status in (404, 409):
        raise _members_error(reply.body)
    _expect(reply, 204)


def check_removed(reply: Reply) -> None:
    """Raise unless the member is gone; one removed before counts as success."""
    _expect(reply, 204, 410)


def basic_auth(username: str, password: str) -> tuple[str, str]:
    """The Authorization header."""
    import binascii

    raw = f"{username}:{password}".encode("utf-8", "surrogateescape")
    return ("Authorization", f"Basic {binascii.b2a_base64(raw, newline=False).decode()}")


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _with_query(path: str, query: list[tuple[str, str]]) -> str:
    return f"{path}?{encode_query(query)}" if query else path


def _form(pairs: list[tuple[str, str]]) -> bytes:
    return encode_query(pairs).encode()


def _peer_urls(urls: Sequence[str]) -> bytes:
    import json

    return json.dumps({"peerURLs": list(urls)}, separators=(",", ":")).encode()


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = loads(body)
    except ValueError:
        raise InvalidJSON from None
    if not isinstance(data, dict):
        raise InvalidJSON
    return data


def _store_error(body: bytes) -> StoreError:
    data = _object(body)
    code, cause, index = data.get("errorCode"), data.get("cause"), data.get("index")
    error = StoreError(
        code if isinstance(code, int) else 0,
        cause if isinstance(cause, str) else "",
        index if isinstance(index, int) else 0,
    )
    text = data.get("message")
    if isinstance(text, str) and text != error.text:
        error.text = text
        error.message = f"{error.code}: {text} ({error.cause}) [{error.index}]"
    return error


def _members_error(body: bytes) -> MembersError:
    return MembersError(str(_object(body).get("message", "")))


def _expect(reply: Reply, *statuses: int) -> None:
    if reply.status not in statuses:
        raise UnexpectedStatus(reply.status)
