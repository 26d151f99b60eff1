"""Hawk, the HTTP authentication with a shared key that CoreUpdate uses: headers and their MAC.

Pure: the time and the nonce come as arguments. Mirrors coreos/hawk-go, whose clients hash neither
the payload nor the escaped path: what is signed is the path as it reads unescaped. On the hot path
of updatectl.
"""

from __future__ import annotations

import binascii

from coreos_py.base.errors import WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

SCHEME = "Hawk"
HEADER_MAX = 4096


def _choose() -> Callable[[Any, Any, str], bytes]:
    """OpenSSL's own function: hmac itself takes 3 ms to import."""
    try:
        from _hashlib import hmac_digest
    except ImportError:
        from hmac import digest

        return digest
    return hmac_digest


_digest = _choose()


class Artifacts:
    """What one header says, and what the request adds to it."""

    __slots__ = ("app", "dlg", "ext", "hash", "id", "mac", "nonce", "ts")

    def __init__(
        self,
        *,
        id: str,
        ts: int,
        nonce: str,
        mac: str = "",
        ext: str = "",
        hash: str = "",
        app: str = "",
        dlg: str = "",
    ) -> None:
        self.id = id
        self.ts = ts  # seconds since the epoch
        self.nonce = nonce
        self.mac = mac  # base64
        self.ext = ext
        self.hash = hash  # base64, of the payload
        self.app = app
        self.dlg = dlg


def normalized(items: Artifacts, *, method: str, target: str, host: str, port: str) -> str:
    """The text that is signed; `target` is path and query."""
    lines = [
        "hawk.1.header",
        str(items.ts),
        items.nonce,
        method,
        target,
        host,
        port,
        items.hash,
        items.ext,
    ]
    if items.app:
        lines += [items.app, items.dlg]
    return "\n".join(lines) + "\n"


def mac(key: str, text: str) -> str:
    """The MAC of a normalized text, in base64."""
    digest = _digest(_bytes(key), _bytes(text), "sha256")
    return binascii.b2a_base64(digest, newline=False).decode()


def is_signed(
    key: str, items: Artifacts, *, method: str, target: str, host: str, port: str
) -> bool:
    """Whether whoever knows the key made this header for this request; takes constant time."""
    import hmac

    text = normalized(items, method=method, target=target, host=host, port=port)
    return hmac.compare_digest(mac(key, text).encode(), _bytes(items.mac))


def header(
    *,
    user: str,
    key: str,
    now_s: int,
    nonce: str,
    method: str,
    target: str,
    host: str,
    port: str,
) -> str:
    """The Authorization header of one request."""
    items = Artifacts(id=user, ts=now_s, nonce=nonce)
    signed = mac(key, normalized(items, method=method, target=target, host=host, port=port))
    return f'{SCHEME} id="{user}", mac="{signed}", ts="{now_s}", nonce="{nonce}"'


def parse(text: str) -> Artifacts:
    """Read an Authorization header; WireError with status 401 when it is no good one."""
    if text[:4].lower() != "hawk" or len(text) > HEADER_MAX:
        raise _refused("hawk: invalid scheme, must be Hawk")
    fields = dict(_fields(text[4:]))
    for name in ("id", "ts", "nonce", "mac"):
        if not fields.get(name):
            raise _refused(f"hawk: invalid {name}, missing or empty")
    ts = fields.pop("ts")
    if not (ts.isascii() and ts.isdigit() and len(ts) <= 15):
        raise _refused("hawk: invalid ts, not an integer")
    known = {name: fields[name] for name in Artifacts.__slots__ if name in fields}
    return Artifacts(ts=int(ts), **known)


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """`key="value"` pairs between blanks and commas."""
    at = 0
    while True:
        while at < len(text) and text[at] in " \t,":
            at += 1
        if at == len(text):
            return
        name, mark, _ = text[at:].partition('="')
        start = at + len(name) + len(mark)
        end = text.find('"', start)
        value = text[start:end]
        if not mark or end < 0 or not (name.isascii() and name.isalpha() and name.islower()):
            raise _refused("hawk: invalid header, cannot parse header field")
        if not all(" " <= char <= "~" and char != "\\" for char in value):
            raise _refused(f"hawk: invalid {name}, cannot parse value")
        yield name, value
        at = end + 1


def _refused(text: str) -> WireError:
    return WireError(text, status_hint=401)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
