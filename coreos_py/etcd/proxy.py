"""Proxy mode: whom to pass requests on to, which headers travel, what is remembered on disk.

Pure: proxy_forward.py moves the bytes, proxy_daemon.py runs it. Mirrors the director and the header
rules of etcd 2.3.8's proxy package, and the cluster file of its etcdmain.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base import gojson, gostring
from coreos_py.http.url import Endpoint, parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

REFRESH_DEFAULT_MS = 30_000
REFRESH_EMPTY_MS = 1000
REFRESH_MIN_MS = 100

# Headers that concern one connection only. What Connection names is added to them.
SINGLE_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailers",
        b"transfer-encoding",
        b"upgrade",
    )
)
# Framing is made anew on either side, and so is the Date of a reply.
_REQUEST_OWN = frozenset((b"host", b"content-length", b"expect", b"x-forwarded-for"))
_REPLY_OWN = frozenset((b"content-length", b"date"))

Pairs = list[tuple[str, str]]


class Upstream:
    """A member's client URL; skipped while it is not `available`."""

    __slots__ = ("available", "endpoint", "url")

    def __init__(self, url: str, endpoint: Endpoint) -> None:
        self.url = url
        self.endpoint = endpoint
        self.available = True


class Director:
    """The members that requests may go to, in the order of trying."""

    def __init__(self) -> None:
        self._upstreams: list[Upstream] = []

    def replace(
        self, urls: Iterable[str], *, shuffle: Callable[[list[Upstream]], None]
    ) -> list[str]:
        """Use these from now on, all of them available; what is wrong with those that are not."""
        found: list[Upstream] = []
        problems: list[str] = []
        for url in urls:
            try:
                endpoint = parse_endpoint(url)
            except ValueError as error:
                problems.append(str(error))
                continue
            if endpoint.scheme not in ("http", "https"):
                problems.append(f'parse "{url}": unsupported protocol scheme "{endpoint.scheme}"')
                continue
            found.append(Upstream(url, endpoint))
        shuffle(found)
        self._upstreams = found
        return problems

    def available(self) -> list[Upstream]:
        """Those that did not fail lately."""
        return [upstream for upstream in self._upstreams if upstream.available]


class Forwarding(NamedTuple):
    """What goes to the upstream besides method, target and body."""

    host: str
    headers: Pairs


def request_headers(fields: Mapping[bytes, bytes], *, peer: str) -> Forwarding:
    """A request's headers as its upstream gets them; `peer` is the client as ip:port."""
    dropped = SINGLE_HOP | _REQUEST_OWN | _named_in_connection(fields)
    headers = [pair(name, value) for name, value in fields.items() if name not in dropped]
    address = peer.rpartition(":")[0].removeprefix("[").removesuffix("]")
    prior = _text(fields.get(b"x-forwarded-for", b""))
    trail = ", ".join(part for part in (prior, address) if part)
    if trail:
        headers.append(("X-Forwarded-For", trail))
    return Forwarding(_text(fields.get(b"host", b"")), headers)


def reply_headers(fields: Mapping[bytes, bytes]) -> Pairs:
    """An upstream's headers as the client gets them."""
    dropped = SINGLE_HOP | _REPLY_OWN | _named_in_connection(fields)
    return [pair(name, value) for name, value in fields.items() if name not in dropped]


def pair(name: bytes, value: bytes) -> tuple[str, str]:
    """A header as Go writes it: X-Etcd-Index."""
    words = name.decode("latin-1").split("-")
    return "-".join([word[:1].upper() + word[1:] for word in words]), _text(value)


def may_end_here(last: bytes) -> bool:
    """Whether a body whose upstream vanished can end like a whole one after these bytes.

    A watch that has brought nothing yet, or whole events, can: its client asks again elsewhere,
    as with etcd 2.3.8. Anything else has to look broken.
    """
    return not last or last.endswith(b"\n")


def refresh_delay_ms(interval_ms: int, *, found: bool) -> int:
    """How long until the members are asked for again."""
    if interval_ms >= REFRESH_DEFAULT_MS and not found:
        return REFRESH_EMPTY_MS
    return max(interval_ms, REFRESH_MIN_MS)


def format_cluster_file(peer_urls: Iterable[str]) -> bytes:
    """The cluster file: where the members can be asked for the members."""
    return gojson.dumps({"PeerURLs": list(peer_urls)}).encode("utf-8", "surrogateescape")


def parse_cluster_file(data: bytes) -> tuple[str, ...]:
    """The peer URLs in a cluster file; ValueError if it is none."""
    try:
        found = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    peer_urls = found.get("PeerURLs") if isinstance(found, dict) else None
    if not isinstance(peer_urls, list) or not all(isinstance(url, str) for url in peer_urls):
        raise ValueError('want {"PeerURLs": ["http://..."]}')
    return tuple(peer_urls)


def go_list(items: Iterable[str]) -> str:
    """Strings as Go's %v prints them."""
    return f"[{' '.join(items)}]"


def go_quoted_list(items: Iterable[str]) -> str:
    """Strings as Go's %q prints them."""
    return f"[{' '.join(gostring.quote(item) for item in items)}]"


def _named_in_connection(fields: Mapping[bytes, bytes]) -> frozenset[bytes]:
    words = fields.get(b"connection", b"").lower().split(b",")
    return frozenset(word.strip() for word in words)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
