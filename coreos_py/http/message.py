"""HTTP/1.x messages of the server edge: requests, responses and their wire form.

Pure: renders and checks bytes, touches no socket and no event loop; the clock enters only through
the Date line. Texts of the error replies follow Go's net/http server, which etcd 2.3.8 and fleet
1.0 are built on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from time import gmtime, time
from typing import Any, TypeAlias

from coreos_py.http.framing import ParseError

Headers: TypeAlias = Sequence[tuple[str, str]] | bytes

REASONS = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    206: "Partial Content",
    301: "Moved Permanently",
    302: "Found",
    304: "Not Modified",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Request Entity Too Large",
    414: "Request URI Too Long",
    415: "Unsupported Media Type",
    416: "Requested Range Not Satisfiable",
    417: "Expectation Failed",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    507: "Insufficient Storage",
}
_STATUS_LINES = {code: f"HTTP/1.1 {code} {text}\r\n".encode() for code, text in REASONS.items()}
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(rb"[\x00-\x20\x7f]")
_BODYLESS = frozenset({204, 304})
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Request:
    """One request.

    `path` and `query` are raw (still percent-encoded) text, undecodable bytes as surrogates.
    """

    __slots__ = (
        "_path",
        "_query",
        "body",
        "connection",
        "headers",
        "method",
        "minor",
        "oversize",
        "sink",
        "target",
    )

    def __init__(
        self, method: str, target: bytes, headers: Mapping[bytes, bytes], minor: int
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.minor = minor
        self.body = b""
        self.oversize = False
        self.sink: Any = None  # what took the body instead of `body`
        self.connection: Any = None
        self._path: str | None = None
        self._query = ""

    @property
    def path(self) -> str:
        """The path of the target, percent escapes kept."""
        if self._path is None:
            self._split()
        return self._path  # type: ignore[return-value]

    @property
    def query(self) -> str:
        """What follows the first `?` of the target, percent escapes kept."""
        if self._path is None:
            self._split()
        return self._query

    @property
    def version(self) -> str:
        """`1.1` or `1.0`."""
        return f"1.{self.minor}"

    def get(self, name: str, default: str = "") -> str:
        """The value of a header (any case) as text, repeated headers joined by a comma."""
        value = self.headers.get(name.lower().encode("latin-1"))
        return default if value is None else value.decode("latin-1")

    @property
    def peer(self) -> str:
        """`ip:port` of the other end, or the path of a unix socket (may be empty)."""
        return "" if self.connection is None else str(self.connection.peer())

    @property
    def tls(self) -> bool:
        """True when the request came over TLS."""
        return self.connection is not None and bool(self.connection.extra("ssl_object"))

    @property
    def peer_cert(self) -> Mapping[str, Any] | None:
        """The verified client certificate as ssl's dictionary, if one was presented."""
        return None if self.connection is None else self.connection.extra("peercert")

    def _split(self) -> None:
        target = self.target
        if target[:1] != b"/":
            target = strip_authority(target)
        text = target.decode("utf-8", "surrogateescape")
        self._path, _, self._query = text.partition("?")


class Response:
    """A complete reply.

    `headers` is pairs, or an already encoded block of `Name: value\\r\\n` lines (the hot path).
    """

    __slots__ = ("body", "content_length", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: Headers = (),
        body: bytes = b"",
        *,
        content_length: int | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.content_length = content_length


def strip_authority(target: bytes) -> bytes:
    """`http://host/path` as sent to proxies reduced to `/path`; `*` stays."""
    head, sep, rest = target.partition(b"://")
    if not sep or b"/" in head:
        return target
    slash = rest.find(b"/")
    return rest[slash:] if slash >= 0 else b"/"


def check_target(target: bytes) -> None:
    """Refuse targets Go's server refuses:

    control bytes, no leading slash, broken percent escapes in the path.
    """
    if target[:1] != b"/" and target != b"*" and strip_authority(target)[:1] != b"/":
        raise ParseError(400)
    if _CONTROL.search(target) or _BAD_ESCAPE.search(target.partition(b"?")[0]):
        raise ParseError(400)


def encode_headers(headers: Headers) -> bytes:
    """Header pairs as wire bytes.

    Line breaks in values become spaces, so a value cannot forge a header.
    """
    if isinstance(headers, bytes):
        return headers
    out = []
    for name, value in headers:
        if "\r" in value or "\n" in value:
            value = value.replace("\r", " ").replace("\n", " ")
        out.append(f"{name}: {value}\r\n")
    return "".join(out).encode("utf-8", "surrogateescape")


class _DateLine:
    """The Date header line, rendered once per second."""

    __slots__ = ("line", "second")

    def __init__(self) -> None:
        self.second = -1
        self.line = b""

    def current(self) -> bytes:
        second = int(time())
        if second != self.second:
            t = gmtime(second)
            day, month = _DAYS[t.tm_wday], _MONTHS[t.tm_mon - 1]
            clock = f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}"
            self.line = f"Date: {day}, {t.tm_mday:02} {month} {t.tm_year} {clock} GMT\r\n".encode()
            self.second = second
        return self.line


_date_line = _DateLine().current


def status_line(status: int, minor: int) -> bytes:
    """`HTTP/1.x 200 OK` with its line end."""
    line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} status code {status}\r\n".encode()
    return line if minor else line.replace(b"HTTP/1.1", b"HTTP/1.0", 1)


def connection_line(*, keep: bool, minor: int) -> bytes:
    """The `Connection:` line, empty where the version's default already says it."""
    if keep:
        return b"" if minor else b"Connection: keep-alive\r\n"
    return b"Connection: close\r\n" if minor else b""


def encode_response(response: Response, request: Request, *, keep: bool) -> bytes:
    """The whole reply as one byte string, ready for one write."""
    status, body = response.status, response.body
    headers = response.headers
    if type(headers) is not bytes:
        headers = encode_headers(headers)
    minor = request.minor
    if (
        keep
        and minor
        and status == 200
        and request.method != "HEAD"
        and response.content_length is None
    ):
        return b"HTTP/1.1 200 OK\r\n%b%bContent-Length: %d\r\n\r\n%b" % (
            headers,
            _date_line(),
            len(body),
            body,
        )
    length = len(body) if response.content_length is None else response.content_length
    length_line = b"" if status in _BODYLESS else b"Content-Length: %d\r\n" % length
    if request.method == "HEAD" or status in _BODYLESS:
        body = b""
    return b"".join(
        (
            status_line(status, minor),
            headers,
            _date_line(),
            connection_line(keep=keep, minor=minor),
            length_line,
            b"\r\n",
            body,
        )
    )


def encode_stream_head(
    status: int,
    headers: Headers,
    request: Request,
    *,
    keep: bool,
    content_length: int | None = None,
) -> bytes:
    """The head of a reply sent in pieces; chunked for HTTP/1.1 unless its length is known."""
    minor = request.minor
    if content_length is not None:
        framing = b"Content-Length: %d\r\n" % content_length
    else:
        framing = b"Transfer-Encoding: chunked\r\n" if minor else b""
    return b"".join(
        (
            status_line(status, minor),
            encode_headers(headers),
            _date_line(),
            connection_line(keep=keep, minor=minor),
            framing,
            b"\r\n",
        )
    )


def error_body(status: int, text: str = "") -> bytes:
    """The text of an error reply in the wording of Go's server."""
    line = f"{status} {REASONS[status]}"
    return (f"{line}: {text}" if text else line).encode()


def error_reply(status: int, text: str = "") -> bytes:
    """A whole reply to something that could not be understood; the connection closes after it."""
    body = error_body(status, text)
    framing = f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    return status_line(status, 1) + b"Connection: close\r\n" + framing.encode() + body
