"""Member URLs and the `name=url,name=url` map of --initial-cluster.

Pure. Mirrors etcd 2.3.8's pkg/types urls.go and urlsmap.go, including the wording of refusals.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base.gostring import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}")
_BAD_HOST = re.compile(r"[ \"<>\\^`{|}]")

URLsMap = dict[str, tuple[str, ...]]


class BadURL(ValueError):
    """A URL that no member may listen on or advertise; the message is upstream's."""


class Address(NamedTuple):
    """Where a URL points: scheme, bare host (no brackets) and port text."""

    scheme: str
    host: str
    port: str


def parse_url(text: str) -> str:
    """One member URL in its canonical spelling; BadURL otherwise."""
    text = text.strip()
    if _CONTROL.search(text):
        raise BadURL(f"parse {quote(text)}: net/url: invalid control character in URL")
    found = _SCHEME.match(text)
    if text.startswith(":"):
        raise BadURL(f"parse {quote(text)}: missing protocol scheme")
    if found is None and ":" in text.partition("/")[0]:
        raise BadURL(f"parse {quote(text)}: first path segment in URL cannot contain colon")
    scheme = found.group()[:-1].lower() if found else ""
    escape = _BAD_ESCAPE.search(text.partition("?")[0])
    if escape is not None:
        raise BadURL(f"parse {quote(text)}: invalid URL escape {quote(escape.group())}")
    rest = text[len(scheme) + 1 :] if scheme else text
    if scheme not in ("http", "https"):
        raise BadURL(f"URL scheme must be http or https: {text}")
    host, path, tail = _split_rest(rest)
    _check_port(host, text)
    if _split_host_port(host) is None:
        raise BadURL(f'URL address does not have the form "host:port": {text}')
    if path:
        raise BadURL(f"URL must not contain a path: {text}")
    return f"{scheme}://{host}{tail}"


def parse_urls(texts: Iterable[str]) -> tuple[str, ...]:
    """Several URLs, sorted; BadURL if one is bad or none is given."""
    urls = tuple(sorted(parse_url(text) for text in texts))
    if not urls:
        raise BadURL("no valid URLs given")
    return urls


def parse_urls_map(text: str) -> URLsMap:
    """`a=http://h:1,b=http://i:2` as {name: sorted urls}; a name may come several times."""
    found: dict[str, list[str]] = {}
    for item in text.split(","):
        if item:
            name, _, value = item.partition("=")
            found.setdefault(name, []).append(value)
    return {name: parse_urls(values) for name, values in found.items()}


def format_urls_map(urls_map: Mapping[str, Iterable[str]]) -> str:
    """The map in the order upstream prints it: sorted by name=url."""
    return ",".join(sorted(f"{name}={url}" for name, urls in urls_map.items() for url in urls))


def has_duplicate_url(urls_map: Mapping[str, Iterable[str]]) -> bool:
    """True if one URL is claimed twice."""
    flat = [url for urls in urls_map.values() for url in urls]
    return len(set(flat)) != len(flat)


def address(url: str) -> Address:
    """Scheme, host and port of a URL that parse_url accepted."""
    scheme, _, rest = url.partition("://")
    host = _split_rest("//" + rest)[0].rpartition("@")[2]
    pair = _split_host_port(host)
    assert pair is not None, url
    return Address(scheme, *pair)


def _split_rest(rest: str) -> tuple[str, str, str]:
    """`//host:1/p?q` as host, path and the query/fragment tail."""
    if not rest.startswith("//"):
        return "", rest, ""
    end = re.search(r"[/?#]", rest[2:])
    cut = 2 + end.start() if end else len(rest)
    host, after = rest[2:cut], rest[cut:]
    end = re.search(r"[?#]", after)
    cut = end.start() if end else len(after)
    return host, after[:cut], after[cut:]


def _check_port(host: str, text: str) -> None:
    bare = host.rpartition("@")[2]
    if _BAD_HOST.search(bare):
        bad = _BAD_HOST.search(bare)
        assert bad is not None
        raise BadURL(f"parse {quote(text)}: invalid character {quote(bad.group())} in host name")
    start = bare.rfind("]") if bare.startswith("[") else -1
    if bare.startswith("[") and start < 0:
        raise BadURL(f"parse {quote(text)}: missing ']' in host")
    after = bare[start + 1 :]
    colon = after.rfind(":") if start < 0 else 0
    port = after[colon:] if colon >= 0 else ""
    if port and (port[0] != ":" or not (port == ":" or _digits(port[1:]))):
        raise BadURL(f"parse {quote(text)}: invalid port {quote(port)} after host")


def _split_host_port(host: str) -> tuple[str, str] | None:
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        return (name, port[1:]) if bracket and port.startswith(":") else None
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and ":" not in name else None


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
