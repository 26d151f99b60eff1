"""etcd 3's JSON gateway on the wire: requests as bodies, replies and watch lines as dicts, errors.

Pure and light. Bytes are base64, 64-bit numbers are strings, fields that are zero are left out;
everything is a POST. Shapes are those of gateway v1 (etcd 3.2 to 3.5) and v2 (3.6 and later).
"""

from __future__ import annotations

import json
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64

from coreos_py.base.errors import QUOTA_EXCEEDED, UNAUTHORIZED, CoreosError, StoreError
from coreos_py.etcdclient.errors import InvalidJSON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from coreos_py.http.reply import Reply

# The newest first; the first that a server knows is used.
PREFIXES = ("/v3", "/v3beta", "/v3alpha")
HEADERS = (("Content-Type", "application/json"),)
# Without it a watch on a member that lost its quorum stays open and silent.
WATCH_HEADERS = (*HEADERS, ("Grpc-Metadata-hasleader", "true"))

UNKNOWN = 2
PERMISSION_DENIED = 7
EXHAUSTED = 8
UNAVAILABLE = 14
_NEEDS_LOGIN = ("user name is empty", "invalid auth token", "revision of auth store is old")
_NO_LEASE = "requested lease not found"


class Rpc:
    """One call of the gateway. `repeatable` tells that a second one would do no harm."""

    __slots__ = ("body", "path", "repeatable")

    def __init__(self, path: str, body: dict[str, Any], *, repeatable: bool = True) -> None:
        self.path = path
        self.body = body
        self.repeatable = repeatable

    def encode(self) -> bytes:
        """The body to send."""
        return json.dumps(self.body, separators=(",", ":")).encode()

    def __repr__(self) -> str:
        return f"Rpc({self.path!r}, {self.body!r})"


class GatewayError(CoreosError):
    """The server refused; `code` is gRPC's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def elsewhere(self) -> bool:
        """True when another member may do better; a write may have happened all the same."""
        text = self.message
        return self.code == UNAVAILABLE or (self.code == UNKNOWN and "deadline exceeded" in text)

    @property
    def is_undone(self) -> bool:
        """True when the server surely did nothing."""
        return self.message.endswith(("no leader", "not supported for learner"))

    @property
    def needs_login(self) -> bool:
        """True when a token is missing or no longer good."""
        return any(text in self.message for text in _NEEDS_LOGIN)

    @property
    def is_lease_gone(self) -> bool:
        """True when the lease that was named has expired."""
        return _NO_LEASE in self.message

    def translated(self) -> CoreosError:
        """What the users of the v2 API know this as, else itself."""
        text = self.message
        if self.code == PERMISSION_DENIED or self.needs_login or "authentication failed" in text:
            return StoreError(UNAUTHORIZED, text)
        if self.code == EXHAUSTED and "space exceeded" in text:
            return StoreError(QUOTA_EXCEEDED, text)
        return self


class NoGateway(CoreosError):
    """The server has no JSON gateway, or not under this prefix."""

    def __init__(self) -> None:
        super().__init__("client: no JSON gateway of etcd 3 at this endpoint (404)")


def b64(text: str) -> str:
    """Text as the gateway takes bytes."""
    return b2a_base64(text.encode("utf-8", "surrogateescape"), newline=False).decode()


def unb64(text: object) -> str:
    """Bytes of the gateway as text; absent ones are empty."""
    if not text:
        return ""
    try:
        return a2b_base64(str(text)).decode("utf-8", "surrogateescape")
    except Base64Error:
        raise InvalidJSON from None


def number(value: object) -> int:
    """A number that may be missing or a string."""
    try:
        return int(value) if isinstance(value, str | int) and value else 0
    except ValueError:
        raise InvalidJSON from None


def read_reply(reply: Reply) -> dict[str, Any]:
    """The message of a unary reply; GatewayError, NoGateway, InvalidJSON."""
    try:
        data = json.loads(reply.body)
    except ValueError:
        if reply.status == 404:
            raise NoGateway from None
        raise InvalidJSON from None
    if not isinstance(data, dict):
        raise InvalidJSON
    if reply.status != 200 or "error" in data:
        error = _error(data)
        raise NoGateway if reply.status == 404 and error.message == "Not Found" else error
    return data


class Lines:
    """Messages of a stream, from its body as it arrives."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The messages that are now complete; GatewayError for the line that ends a stream."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [_message(line) for line in lines if line.strip()]

    def end(self) -> None:
        """The body ended: GatewayError with the reason if there was one, on a line unfinished."""
        line, self._buffer = self._buffer, b""
        if line.strip():
            _message(line)


def _message(line: bytes) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except ValueError:
        raise InvalidJSON from None
    if not isinstance(data, dict):
        raise InvalidJSON
    if "result" not in data:
        raise _error(data)
    found: dict[str, Any] = data["result"]
    return found


def _error(data: dict[str, Any]) -> GatewayError:
    inner = data.get("error")
    if isinstance(inner, dict):
        data = inner
    code = data.get("code", data.get("grpc_code", UNKNOWN))
    message = data.get("message") or inner or "no reason given"
    return GatewayError(number(code), str(message))
