"""Which request is what: the paths, methods and parameters of the discovery service.

Pure. Mirrors http/http.go and handlers/new.go of coreos/discovery.etcd.io.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_plus

from coreos_py.base.errors import CoreosError
from coreos_py.base.gostring import quote
from coreos_py.etcd import keys_request

NEW = "new"
TOKEN = "token"
MEMBER = "member"
SIZE = "size"
HEALTH = "health"
ROBOTS = "robots"
HOME = "home"
METRICS = "metrics"
REDIRECT = "redirect"
NOT_ALLOWED = "not allowed"
NOT_FOUND = "not found"

DEFAULT_SIZE = 3
_FIXED = {
    "/": HOME,
    "/new": NEW,
    "/health": HEALTH,
    "/robots.txt": ROBOTS,
    "/metrics": METRICS,
}
_TOKEN_PATH = re.compile(r"/([a-f0-9]{32})(?:/|(/_config/size)|/([^/]+))?")
_METHODS = {
    TOKEN: ("GET", "PUT"),
    MEMBER: ("GET", "PUT", "DELETE"),
    SIZE: ("GET",),
}
_FORM_METHODS = ("POST", "PUT", "PATCH")
_INT64 = 1 << 63
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Route(NamedTuple):
    """What is asked for; `key` is the path below the registry, `location` where to look instead."""

    what: str
    token: str = ""
    member: str = ""
    location: str = ""

    @property
    def key(self) -> str:
        """The key in the registry, without the registry's own path."""
        if self.what == SIZE:
            return f"/{self.token}/_config/size"
        return f"/{self.token}/{self.member}" if self.member else f"/{self.token}"


class BadSize(CoreosError):
    """The size of a new cluster is none."""


def route(method: str, raw_path: str) -> Route:
    """The route of a request whose path is still percent-encoded."""
    path = keys_request.unescape_path(raw_path.encode("utf-8", "surrogateescape"))
    if not keys_request.is_clean(path):
        return Route(REDIRECT, location=keys_request.clean_path(path))
    if path in _FIXED:
        return Route(_FIXED[path])
    found = _TOKEN_PATH.fullmatch(path)
    if found is None:
        return Route(NOT_FOUND)
    token, size, member = found.groups()
    what = SIZE if size else MEMBER if member else TOKEN
    if method not in _METHODS[what]:
        return Route(NOT_ALLOWED)
    return Route(what, token, member or "")


def requested_size(
    method: str, query: str, *, content_type: str, body: bytes, size_max: int = 0
) -> int:
    """The number of members a new cluster shall have; BadSize if that is no such number.

    A form in the body decides before the query. `size_max` 0: no limit.
    """
    text = None
    is_form = content_type.partition(";")[0].strip().lower() == keys_request.FORM_TYPE
    if method in _FORM_METHODS and is_form:
        text = _first_size(body.decode("utf-8", "surrogateescape"))
    if text is None:
        text = _first_size(query)
    size = _atoi(text) if text else DEFAULT_SIZE
    if size < 1:
        raise BadSize(f"size must be at least 1, not {size}")
    if size_max and size > size_max:
        raise BadSize(f"size must be at most {size_max}, not {size}")
    return size


def _first_size(form: str) -> str | None:
    """As Go's ParseForm finds it, which passes over what it cannot read."""
    for pair in form.split("&"):
        name, _, value = pair.partition("=")
        if ";" not in pair and not _BAD_ESCAPE.search(pair) and unquote_plus(name) == "size":
            return unquote_plus(value)
    return None


def _atoi(text: str) -> int:
    """Go's strconv.Atoi."""
    digits = text[1:] if text[0] in "+-" else text
    if not (digits.isascii() and digits.isdigit()):
        raise BadSize(f"strconv.Atoi: parsing {quote(text)}: invalid syntax")
    if len(digits) > 20 or not -_INT64 <= int(text) < _INT64:
        raise BadSize(f"strconv.Atoi: parsing {quote(text)}: value out of range")
    return int(text)
