"""Which texts Go's url.ParseRequestURI takes. Pure."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_USER = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
_PORT = re.compile(r":[0-9]*")
_HOST_SAFE = re.compile(r"[A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"\x80-\U0010ffff]*")


def is_request_uri(text: str) -> bool:
    """True for an absolute URI, an absolute path, or `*`."""
    if not text or any(char < " " or char == "\x7f" for char in text):
        return False
    if text == "*":
        return True
    found = _SCHEME.match(text)
    rest = text[found.end() :] if found else text
    if found is None and text.startswith(":"):
        return False
    rest = rest.partition("?")[0]
    if not rest.startswith("/"):
        return found is not None
    if found is not None and rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        return _is_authority(authority) and _escapes_are_good(slash + path)
    return _escapes_are_good(rest)


def _is_authority(text: str) -> bool:
    user, at, host = text.rpartition("@")
    if at and not (_USER.fullmatch(user) and _escapes_are_good(user)):
        return False
    if host.startswith("["):
        end = host.rfind("]")
        if end < 0 or not _is_port(host[end + 1 :]):
            return False
        address, zone_mark, zone = host[:end].partition("%25")
        return _is_host(address) and (not zone_mark or _escapes_are_good(zone))
    colon = host.rfind(":")
    return (colon < 0 or _is_port(host[colon:])) and _is_host(host)


def _is_port(text: str) -> bool:
    return not text or _PORT.fullmatch(text) is not None


def _is_host(text: str) -> bool:
    """Escapes in a host may only stand for bytes beyond ASCII, and for a percent sign."""
    without = re.sub(r"%(?:25|[89A-Fa-f][0-9A-Fa-f])", "", text)
    return _HOST_SAFE.fullmatch(without) is not None


def _escapes_are_good(text: str) -> bool:
    return "%" not in re.sub(r"%[0-9A-Fa-f]{2}", "", text)
