"""Omaha as updateservicectl 2.1.0 speaks it: the old go-omaha's requests, and what it reads.

Pure: ids, versions and answers come as arguments.
"""

from __future__ import annotations

from coreos_py.base.errors import WireError
from coreos_py.omaha import xml
from coreos_py.omaha.xml import Element

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ERROR_CODE = "2000"  # of every failure that is only pretended


class Check:
    """What a server said about updates."""

    __slots__ = ("status", "url", "version")

    def __init__(self, status: str, version: str = "", url: str = "") -> None:
        self.status = status
        self.version = version
        self.url = url  # of the first package


def request(app: dict[str, str], children: Iterable[Element], *, source: str = "") -> bytes:
    """One request about one application; empty attributes are left out."""
    system = Element("os", {"platform": "CoreOS", "version": "lsb"}, [])
    known = {name: value for name, value in app.items() if value}
    attributes = {"protocol": "3.0"}
    if source:
        attributes["installsource"] = source
    root = Element("request", attributes, [system, Element("app", known, list(children))])
    return xml.write(root, indent=" ").encode("utf-8", "replace")


def event(type_: str, result: str) -> Element:
    """One event."""
    attributes = {"eventtype": type_, "eventresult": result}
    if result == "0":
        attributes["errorcode"] = ERROR_CODE
    return Element("event", attributes, [])


def update_check() -> Element:
    """The question."""
    return Element("updatecheck", {}, [])


def ping() -> Element:
    """Alive."""
    return Element("ping", {"r": "1", "status": "1"}, [])


def read(data: bytes) -> Element:
    """An answer; WireError."""
    root = xml.parse(data)
    if root.name != "response":
        raise WireError(f"not an Omaha response: <{root.name}>")
    if root.first("app") is None:
        raise WireError("no app in the response")
    return root


def check_of(root: Element) -> Check:
    """What the answer says about updates; WireError if nothing, or half of it."""
    found = root.first("app", "updatecheck")
    if found is None:
        app = root.first("app")
        raise WireError(
            f'no updatecheck in the response (app status "{app and app.get("status")}")'
        )
    status = found.get("status")
    if status != "ok":
        return Check(status)
    manifest = found.first("manifest")
    if manifest is None:
        raise WireError("no manifest in the response")
    base, package = found.first("urls", "url"), manifest.first("packages", "package")
    url = ""
    if base is not None and package is not None:
        url = f"{base.get('codebase').rstrip('/')}/{package.get('name').lstrip('/')}"
    return Check(status, manifest.get("version"), url)
