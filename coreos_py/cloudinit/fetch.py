"""The HTTP client of data sources: GET with upstream's retries, and bounds on time and size.

Mirrors pkg/http_client.go of coreos-cloudinit 1.13.0. A command of this family is no hot path, so
the standard library's client does, with its proxies and redirects.
"""

from __future__ import annotations

import ipaddress
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING

from coreos_py.base import durations
from coreos_py.cloudinit import gotext
from coreos_py.cloudinit.gourl import is_request_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from coreos_py.cloudinit.log import Log

TIMEOUT_S = 10.0
BODY_BYTES_MAX = 16 << 20
TRIES_MAX = 15
_FIRST_PAUSE_MS = 50  # doubled before the first pause
_PAUSE_MAX_MS = 5000
_READ_BYTES = 1 << 16
_AGENT = "coreos-cloudinit"
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


class FetchError(Exception):
    """Nothing was fetched, and another try would not help."""


class NotFound(FetchError):
    """The server answered with a status of the 400s."""


class Unreachable(FetchError):
    """The network or the server failed; another try may help."""


class Client:
    """Fetches URLs; `pause` is how to wait between tries."""

    def __init__(
        self,
        log: Log,
        *,
        headers: Mapping[str, str] | None = None,
        pause: Callable[[float], None] = time.sleep,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._log = log
        self._headers = {"User-Agent": _AGENT, **(headers or {})}
        self._pause = pause
        self._timeout_s = timeout_s

    def get(self, url: str) -> bytes:
        """One request; FetchError."""
        deadline = time.monotonic() + self._timeout_s
        _check(url)
        url = urllib.parse.quote(url, safe=_PRINTABLE, errors="surrogateescape")
        try:
            request = urllib.request.Request(url, headers=self._headers)
            with _opener(url).open(request, timeout=self._timeout_s) as reply:
                return _body(reply, deadline)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code // 100 == 4:
                raise NotFound(f"Not found. HTTP status code: {error.code}") from None
            raise Unreachable(f"Server error. HTTP status code: {error.code}") from None
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise Unreachable(f"Unable to fetch data: Get {url}: {reason}") from None

    def get_retry(self, url: str) -> bytes:
        """The body, after as many tries as it takes; FetchError."""
        if not url:
            raise FetchError("URL is empty. Skipping.")
        try:
            scheme = urllib.parse.urlsplit(url).scheme
        except ValueError as error:
            raise FetchError(f'parse "{url}": {error}') from None
        if not scheme.startswith("http"):
            raise FetchError(f"URL {url} does not have a valid HTTP scheme. Skipping.")
        pause_ms = _FIRST_PAUSE_MS
        for number in range(1, TRIES_MAX + 1):
            self._log(f"Fetching data from {url}. Attempt #{number}")
            try:
                return self.get(url)
            except Unreachable as error:
                self._log(str(error))
            pause_ms = min(pause_ms * 2, _PAUSE_MAX_MS)
            self._log(f"Sleeping for {durations.format(pause_ms * durations.MILLISECOND)}...")
            self._pause(pause_ms / 1000)
        raise FetchError(f"Unable to fetch data. Maximum retries reached: {TRIES_MAX}")


def _check(url: str) -> None:
    """What Go's parser refuses is not even tried; FetchError."""
    is_printable = not any(char < " " or char == "\x7f" for char in url)
    if not is_printable or not is_request_uri(url.partition("#")[0]):
        what = "URL" if is_printable else "control character in URL"
        raise FetchError(f"parse {gotext.quote(url)}: net/url: invalid {what}")


class _AnyOther(urllib.request.BaseHandler):
    """Schemes that are not HTTP, also in redirects: no files, no FTP."""

    def unknown_open(self, request: urllib.request.Request) -> None:
        raise urllib.error.URLError(f'unsupported protocol scheme "{request.type}"')


def _opener(url: str) -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    handlers = (
        urllib.request.ProxyHandler({} if _is_local(url) else _proxies()),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        _AnyOther(),
    )
    for handler in handlers:
        opener.add_handler(handler)
    return opener


def _proxies() -> dict[str, str]:
    return {
        scheme: proxy
        for scheme, proxy in urllib.request.getproxies_environment().items()
        if scheme in ("http", "https", "no") and not (scheme == "http" and _is_cgi())
    }


def _is_cgi() -> bool:
    return "REQUEST_METHOD" in os.environ


def _is_local(url: str) -> bool:
    """Go never asks a proxy for this machine."""
    try:
        host = urllib.parse.urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _body(reply: object, deadline: float) -> bytes:
    """The whole body, unless it is too large or comes too slowly."""
    pieces: list[bytes] = []
    length = 0
    while True:
        piece: bytes = reply.read1(_READ_BYTES)  # type: ignore[attr-defined]
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        length += len(piece)
        if length > BODY_BYTES_MAX:
            raise FetchError(f"more than {BODY_BYTES_MAX >> 20} MiB")
        if time.monotonic() > deadline:
            raise TimeoutError("Client.Timeout exceeded while reading body")
