"""Replies that several endpoints share, in the shapes of Go's net/http and etcd 2.3.8.

Pure. Header blocks are encoded once, ready for the wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.base import gojson
from coreos_py.base.errors import StoreError
from coreos_py.http.message import Response

if TYPE_CHECKING:
    from typing import Any

JSON_TYPE = b"Content-Type: application/json\r\n"
TEXT_TYPE = b"Content-Type: text/plain; charset=utf-8\r\n"
_ERROR_TYPE = TEXT_TYPE + b"X-Content-Type-Options: nosniff\r\n"


def text_error(status: int, text: str, *, headers: bytes = b"") -> Response:
    """Go's http.Error: the text and a newline."""
    return Response(status, _ERROR_TYPE + headers, f"{text}\n".encode())


def not_found() -> Response:
    """No such path."""
    return text_error(404, "404 page not found")


def not_allowed(*methods: str) -> Response:
    """405 with the methods that are allowed (none: no Allow header, as some paths have it)."""
    allow = f"Allow: {','.join(methods)}\r\n".encode() if methods else b""
    return text_error(405, "Method Not Allowed", headers=allow)


def json_reply(
    body: Any, *, status: int = 200, headers: bytes = b"", newline: bool = True
) -> Response:
    """A JSON document."""
    text = body if isinstance(body, str) else gojson.dumps(body)
    data = (text + "\n" if newline else text).encode("utf-8", "surrogateescape")
    return Response(status, JSON_TYPE + headers, data)


def message(status: int, text: str, *, headers: bytes = b"") -> Response:
    """`{"message":"..."}` without a newline, the error shape of everything but keys."""
    return json_reply({"message": text}, status=status, headers=headers, newline=False)


def store_error(error: StoreError, *, headers: bytes = b"") -> Response:
    """The error shape of keys: numbered, with the store's index in a header too."""
    cause = error.cause.removeprefix("/1")
    body: dict[str, Any] = {"errorCode": error.code, "message": error.text}
    if cause:
        body["cause"] = cause
    body["index"] = error.index
    block = b"%bX-Etcd-Index: %d\r\n%b" % (JSON_TYPE, error.index, headers)
    return Response(error.status, block, gojson.dumps(body).encode() + b"\n")


def redirect(location: str, *, method: str) -> Response:
    """301, as Go's mux answers an unclean path; only GET gets a body."""
    raw = location.encode("utf-8", "surrogateescape")
    ascii_only = "".join(chr(byte) if byte < 0x80 else f"%{byte:02x}" for byte in raw)
    headers = f"Location: {ascii_only}\r\n".encode()
    if method not in ("GET", "HEAD"):
        return Response(301, headers)
    headers = b"Content-Type: text/html; charset=utf-8\r\n" + headers
    if method == "HEAD":
        return Response(301, headers)
    shown = location.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = shown.replace('"', "&#34;").replace("'", "&#39;")
    body = f'<a href="{shown}">Moved Permanently</a>.\n\n'
    return Response(301, headers, body.encode("utf-8", "surrogateescape"))
