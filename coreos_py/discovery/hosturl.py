"""URLs that are a scheme and a host only, and what is said about others.

Pure. Mirrors mustHostOnlyURL of coreos/discovery.etcd.io's discovery.go.
"""

from __future__ import annotations

from coreos_py.base.errors import CoreosError
from coreos_py.http.url import parse_endpoint


class BadURL(CoreosError):
    """Not a scheme and a host."""


def host_only(text: str) -> str:
    """SCHEME://HOST[:PORT] of a URL that has nothing else; BadURL if it has."""
    rest, mark, fragment = text.strip().partition("#")
    rest, _, query = rest.partition("?")
    scheme, sep, tail = rest.partition("://")
    authority, slash, path = tail.partition("/") if sep else ("", "", rest)
    path = slash + path
    if path not in ("", "/"):
        raise BadURL(f"Expected url without path ({path})")
    if query:
        raise BadURL(f"Expected url without query (?{query})")
    if mark and fragment:
        raise BadURL(f"Expected url without fragment ({fragment})")
    if not authority:
        raise BadURL("Expected hostname (none given)")
    url = f"{scheme}://{authority}"
    try:
        parse_endpoint(url)
    except ValueError as error:
        raise BadURL(f"Invalid url given: {error}") from None
    return url
