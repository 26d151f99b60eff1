"""/v2/members: who is in the cluster, and changing that.

Mirrors membersHandler of etcd 2.3.8's etcdhttp/client.go.
"""

from __future__ import annotations

import json
import logging
from functools import partial
from time import time
from typing import TYPE_CHECKING

from coreos_py.base import gojson
from coreos_py.etcd import membership, replies, urls
from coreos_py.etcd.membership import Member, MembershipError
from coreos_py.http.exchange import Pending
from coreos_py.http.message import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from coreos_py.etcd.auth.gate import Gate
    from coreos_py.etcd.server import Server
    from coreos_py.store.event import Event

PREFIX = "/v2/members"
_WRITES = ("POST", "DELETE", "PUT")

log = logging.getLogger("etcdhttp")


class Refused(Exception):
    """A reply to give instead of going on."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def describe(member: Member) -> dict[str, Any]:
    """A member as clients see it: hex id, all four fields."""
    return {
        "id": f"{member.id:x}",
        "name": member.name,
        "peerURLs": list(member.peer_urls),
        "clientURLs": list(member.client_urls),
    }


class MembersAPI:
    """Answers requests at and below /v2/members."""

    def __init__(self, server: Server, gate: Gate) -> None:
        self._server = server
        self._gate = gate
        self._headers = b"X-Etcd-Cluster-Id: %x\r\n" % server.cluster.id

    def handle(self, request: Request, path: str, *, extra: bytes) -> Response | Pending:
        """The reply, or a Pending for a change."""
        if request.method in _WRITES and self._gate.is_on():
            again = partial(self.handle, request, path, extra=extra)
            refusal = self._gate.check_root(request, path, extra=extra, again=again)
            if refusal is not None:
                return refusal
        word = path.removeprefix(PREFIX).removeprefix("/")
        try:
            match request.method:
                case "GET":
                    return self._get(word)
                case "POST":
                    return self._add(request, extra)
                case "DELETE":
                    return self._remove(word, extra)
                case "PUT":
                    return self._update(request, word, extra)
        except Refused as refused:
            return refused.response
        return replies.not_allowed("GET", "POST", "DELETE", "PUT")

    def _get(self, word: str) -> Response:
        cluster = self._server.cluster
        if not word:
            members = [describe(member) for member in cluster.sorted()]
            return replies.json_reply({"members": members}, headers=self._headers)
        if word != "leader":
            return replies.message(404, "Not found", headers=self._headers)
        member = cluster.members.get(self._server.leader)
        if member is None:
            return replies.message(503, "During election", headers=self._headers)
        return replies.json_reply(describe(member), headers=self._headers)

    def _add(self, request: Request, extra: bytes) -> Pending:
        peer_urls = self._peer_urls(request)
        number = membership.member_id(peer_urls, "", now_s=int(time()))
        member = Member(number, peer_urls)
        reply = ChangeReply(
            self._headers + extra,
            success=lambda: replies.json_reply(
                describe(member), status=201, headers=self._headers + extra
            ),
            what=f"adding member {number:x}",
        )
        self._server.members.add(member, reply.done)
        return reply

    def _remove(self, word: str, extra: bytes) -> Pending:
        number = self._number(word)
        reply = ChangeReply(
            self._headers + extra,
            success=lambda: Response(204, self._headers + extra),
            what=f"removing member {number:x}",
            number=number,
        )
        self._server.members.remove(number, reply.done)
        return reply

    def _update(self, request: Request, word: str, extra: bytes) -> Pending:
        number = self._number(word)
        peer_urls = self._peer_urls(request)
        reply = ChangeReply(
            self._headers + extra,
            success=lambda: Response(204, self._headers + extra),
            what=f"updating member {number:x}",
            number=number,
        )
        self._server.members.update(Member(number, peer_urls), reply.done)
        return reply

    def _number(self, word: str) -> int:
        if not word:
            refusal = replies.not_allowed()
            assert isinstance(refusal.headers, bytes)
            refusal.headers += self._headers
            raise Refused(refusal)
        try:
            return membership.parse_id(word)
        except ValueError:
            text = f"No such member: {word}"
            raise Refused(replies.message(404, text, headers=self._headers)) from None

    def _peer_urls(self, request: Request) -> tuple[str, ...]:
        content_type = request.get("Content-Type")
        if content_type != "application/json":
            text = f"Bad Content-Type {content_type}, accept application/json"
            raise Refused(replies.message(415, text, headers=self._headers))
        try:
            return urls.parse_urls(_peer_urls(request.body))
        except ValueError as error:
            raise Refused(replies.message(400, str(error), headers=self._headers)) from None


class ChangeReply(Pending):
    """The reply to a membership change."""

    __slots__ = ("_headers", "_number", "_success", "_what")

    def __init__(
        self, headers: bytes, *, success: Callable[[], Response], what: str, number: int = 0
    ) -> None:
        super().__init__()
        self._headers = headers
        self._success = success
        self._what = what
        self._number = number

    def done(self, _event: Event | None, error: Exception | None) -> None:
        """The change was applied, refused or given up."""
        self.complete(self._success() if error is None else self._failure(error))

    def _failure(self, error: Exception) -> Response:
        text = str(error)
        if isinstance(error, MembershipError):
            if text == membership.ID_NOT_FOUND:
                gone = f"No such member: {self._number:x}"
                return replies.message(404, gone, headers=self._headers)
            if text == membership.ID_REMOVED and self._number:
                gone = f"Member permanently removed: {self._number:x}"
                return replies.message(410, gone, headers=self._headers)
            if text in (membership.PEER_URL_EXISTS, membership.ID_EXISTS):
                return replies.message(409, text, headers=self._headers)
        log.error("error %s (%s)", self._what, text)
        return replies.message(500, "Internal Server Error", headers=self._headers)


def _peer_urls(body: bytes) -> list[str]:
    """The list in `{"peerURLs": [...]}`; ValueError in the words of Go's decoder."""
    if not body.strip():
        raise ValueError("unexpected end of JSON input")
    try:
        found = json.loads(body)
    except json.JSONDecodeError as error:
        raise ValueError(gojson.syntax_error(error)) from None
    except (ValueError, RecursionError):
        raise ValueError("invalid character '[' exceeded max depth") from None
    if found is None:
        return []
    if not isinstance(found, dict):
        kind = _go_kind(found)
        wanted = 'struct { PeerURLs []string "json:\\"peerURLs\\"" }'
        raise ValueError(f"json: cannot unmarshal {kind} into Go value of type {wanted}")
    listed = next((found[key] for key in found if key.lower() == "peerurls"), None) or []
    if not isinstance(listed, list):
        kind = _go_kind(listed)
        raise ValueError(
            f"json: cannot unmarshal {kind} into Go struct field .peerURLs of type []string"
        )
    for item in listed:
        if not isinstance(item, str):
            kind = _go_kind(item)
            raise ValueError(
                f"json: cannot unmarshal {kind} into Go struct field .peerURLs of type string"
            )
    return listed


def _go_kind(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
