"""The peer port: /raft and its streams, /members, /version. Mirrors etcdhttp/peer.go of 2.3.8."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.etcd import keys_request, replies
from coreos_py.etcd.admin_api import version_reply
from coreos_py.etcd.membership import member_json
from coreos_py.etcd.transport import PREFIX, Transport
from coreos_py.http.message import Request, Response
from coreos_py.http.url import escape_path

if TYPE_CHECKING:
    from coreos_py.etcd.server import Server
    from coreos_py.http.exchange import Pending

SNAPSHOT_BYTES_MAX = 1 << 30
STREAM_BACKLOG_BYTES_MAX = 256 << 20


class PeerAPI:
    """The handler of the peer port."""

    def __init__(self, server: Server, transport: Transport) -> None:
        self._server = server
        self._transport = transport
        self._headers = b"X-Etcd-Cluster-Id: %x\r\n" % server.cluster.id

    def handle(self, request: Request) -> Response | Pending:
        """One request of a peer."""
        path = keys_request.unescape_path(request.path.encode("utf-8", "surrogateescape"))
        if not keys_request.is_clean(path):
            location = escape_path(keys_request.clean_path(path))
            return replies.redirect(location, method=request.method)
        if path == PREFIX or path.startswith(PREFIX + "/"):
            return self._transport.handle(request, path)
        if path not in ("/members", "/version"):
            return replies.not_found()
        if request.method != "GET":
            return replies.not_allowed("GET")
        if path == "/version":
            return version_reply(self._server)
        members = ",".join(member_json(member) for member in self._server.cluster.sorted())
        return replies.json_reply(f"[{members}]", headers=self._headers)
