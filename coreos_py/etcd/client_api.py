"""The client port: CORS, path cleaning, and which handler a path belongs to.

Mirrors NewClientHandler of etcd 2.3.8's etcdhttp/client.go, Go's ServeMux, and pkg/cors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.base.errors import StoreError
from coreos_py.etcd import keys_request, replies
from coreos_py.etcd.admin_api import AdminAPI
from coreos_py.etcd.auth.api import AuthAPI
from coreos_py.etcd.auth.gate import Gate
from coreos_py.etcd.auth.passwords import Passwords
from coreos_py.etcd.keys_api import KeysAPI
from coreos_py.etcd.members_api import MembersAPI
from coreos_py.etcd.snapshot_api import PATH as SNAPSHOT_PATH
from coreos_py.etcd.snapshot_api import SnapshotAPI
from coreos_py.http.exchange import Pending
from coreos_py.http.message import Request, Response, encode_headers
from coreos_py.http.url import escape_path

if TYPE_CHECKING:
    from coreos_py.etcd.server import Server

BODY_BYTES_MAX = 32 << 20


class ClientAPI:
    """The handler of the client port."""

    def __init__(self, server: Server, *, cors: tuple[str, ...]) -> None:
        self._origins = frozenset(cors)
        passwords = Passwords()
        cluster_header = b"X-Etcd-Cluster-Id: %x\r\n" % server.cluster.id
        gate = Gate(server.store, passwords, cluster_header=cluster_header)
        self._keys = KeysAPI(server, gate)
        self._members = MembersAPI(server, gate)
        self._auth = AuthAPI(server, gate, passwords)
        self._admin = AdminAPI(server)
        self._snapshots = SnapshotAPI(server, gate)

    def handle(self, request: Request) -> Response | Pending:
        """One request of a client."""
        if self._origins:
            return self._handle_cors(request)
        if request.method == "OPTIONS":
            return Response(200)
        return self._route(request, b"")

    def oversize(self, request: Request) -> Response:
        """A request whose body is beyond BODY_BYTES_MAX; forms have a lower limit of their own."""
        if request.path.startswith(keys_request.PREFIX) and _is_form(request):
            return self._keys.too_large()
        return replies.text_error(413, "413 Request Entity Too Large")

    def _handle_cors(self, request: Request) -> Response | Pending:
        origin = "*" if "*" in self._origins else request.get("Origin")
        extra = b""
        if origin in self._origins:
            extra = (
                "Access-Control-Allow-Methods: POST, GET, OPTIONS, PUT, DELETE\r\n"
                f"Access-Control-Allow-Origin: {origin}\r\n"
                "Access-Control-Allow-Headers: accept, content-type, authorization\r\n"
            ).encode("latin-1")
        if request.method == "OPTIONS":
            return Response(200, extra)
        result = self._route(request, extra)
        if extra and isinstance(result, Response):
            result.headers = encode_headers(result.headers) + extra
        return result

    def _route(self, request: Request, extra: bytes) -> Response | Pending:
        target = request.target
        raw, _, query = target.partition(b"?")
        if b"%" not in raw and b"//" not in raw and b"/." not in raw and target[:1] == b"/":
            path = raw.decode("utf-8", "surrogateescape")
        elif target == b"*":
            return Response(400, b"Connection: close\r\n")
        else:
            raw = request.path.encode("utf-8", "surrogateescape")
            query = request.query.encode("utf-8", "surrogateescape")
            path = keys_request.unescape_path(raw)
            if not keys_request.is_clean(path):
                location = escape_path(keys_request.clean_path(path))
                if query:
                    location += "?" + query.decode("utf-8", "surrogateescape")
                return replies.redirect(location, method=request.method)
        if path.startswith("/v2/keys/") or path == "/v2/keys":
            return self._keys.handle(request, path, query=query, extra=extra)
        if path.startswith("/v2/members/") or path == "/v2/members":
            return self._members.handle(request, path, extra=extra)
        if path.startswith("/v2/auth/"):
            return self._auth.handle(request, path, extra=extra)
        if path == SNAPSHOT_PATH:
            return self._snapshots.handle(request, query=query, extra=extra)
        return self._admin.handle(request, path, extra=extra)


def _is_form(request: Request) -> bool:
    try:
        return keys_request.is_form(request.headers.get(b"content-type", b""))
    except StoreError:
        return False  # the handler will say what is wrong with the header
