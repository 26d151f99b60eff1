"""Who signed a request: Hawk, checked against the keys of CoreUpdate's users.

Mirrors coreos/hawk-go's server side: a clock that is more than a minute off and a nonce seen before
are refused. What was signed before this process began is refused too, because its nonces are not
remembered.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from coreos_py.base.errors import WireError
from coreos_py.http import hawk
from coreos_py.roller.auth import ADMIN, Principal
from coreos_py.roller.db import coreupdate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coreos_py.http.hawk import Artifacts
    from coreos_py.http.message import Request
    from coreos_py.roller.call import Call
    from coreos_py.roller.db.driver import Tx

HAWK = "hawk"
SKEW_S = 60
_NO_KEY = "-"  # compared with where there is no such user, so that it takes as long
_BAD_MAC = "hawk: invalid MAC"


class Keys:
    """Believes signatures or not; one for both threads of the database."""

    def __init__(self, started_s: int) -> None:
        self._started_s = started_s
        self._lock = threading.Lock()  # readers and the writer share it
        self._seen: dict[tuple[str, str], int] = {}  # to the second in which it is forgotten

    def is_hawk(self, request: Request) -> bool:
        """Whether the request is signed at all."""
        return request.get("Authorization")[:4].lower() == "hawk"

    def principal(self, tx: Tx, call: Call) -> Principal:
        """Who signed it; WireError with status 401."""
        items = hawk.parse(call.request.get("Authorization"))
        user = coreupdate.user(tx, items.id)
        key = user.key if user is not None else _NO_KEY
        tries = [
            hawk.is_signed(
                key, items, method=call.request.method, target=target, host=host, port=port
            )
            for target in _targets(call)
            for host, port in _hosts(call)
        ]
        if user is None or not any(tries):
            raise _refused(_BAD_MAC)
        self._check_time(items, call.now_us // 1_000_000)
        if items.hash and not hmac.compare_digest(items.hash, payload_hash(call.request)):
            raise _refused("hawk: the body is not the one that was signed")
        return Principal(user.name, ADMIN, HAWK)

    def _check_time(self, items: Artifacts, now_s: int) -> None:
        if abs(now_s - items.ts) > SKEW_S:
            raise _refused("hawk: timestamp skew too high")
        if items.ts < self._started_s:
            raise _refused("hawk: signed before this server was started")
        if not self._is_new((items.id, items.nonce), now_s):
            raise _refused("hawk: request nonce is being replayed")

    def _is_new(self, mark: tuple[str, str], now_s: int) -> bool:
        with self._lock:
            while self._seen:
                oldest = next(iter(self._seen))
                if self._seen[oldest] > now_s:
                    break
                del self._seen[oldest]
            if mark in self._seen:
                return False
            self._seen[mark] = now_s + 2 * SKEW_S + 1
            return True


def payload_hash(request: Request) -> str:
    """What a client that signs its body puts into `hash`."""
    kind = request.get("Content-Type").partition(";")[0].strip().lower()
    text = b"hawk.1.payload\n" + kind.encode("latin-1", "replace") + b"\n" + request.body + b"\n"
    return b64encode(hashlib.sha256(text).digest()).decode()


def _targets(call: Call) -> Iterator[str]:
    """The target as it came and unescaped, with and without the prefix of the public URL."""
    path, mark, query = call.request.target.decode("utf-8", "surrogateescape").partition("?")
    prefix = urlsplit(call.base_url).path.rstrip("/")
    for start in dict.fromkeys(("", prefix)):
        for shown in dict.fromkeys((path, unquote(path))):
            yield f"{start}{shown}{mark}{query}"


def _hosts(call: Call) -> Iterator[tuple[str, str]]:
    """Host and port that the client may have meant."""
    public = urlsplit(call.base_url).netloc
    for authority in dict.fromkeys((call.request.get("Host"), public)):
        if authority.startswith("["):
            host, _, tail = authority[1:].partition("]")
            port = tail[1:]
        else:
            host, _, port = authority.partition(":")
        for given in (port,) if port else ("80", "443"):
            yield host, given


def _refused(text: str) -> WireError:
    return WireError(text, status_hint=401)
