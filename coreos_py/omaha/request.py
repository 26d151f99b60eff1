"""What update_engine asks an Omaha server, byte for byte, and how a server reads any client's.

Mirrors update_engine 0.4.10's omaha_request_action.cc: the order of the attributes, the blank
before the end of `<app ... >`, and `errorcode` only where something did not go well.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from coreos_py.base.errors import WireError
from coreos_py.omaha import xml
from coreos_py.omaha.codes import EventResult, EventType

UPDATER = "update_engine-0.4.10"
STUB = "CoreOSUpdateEngine-0.1.0.0"
APP_ID = "{e96281a6-d1af-4bde-9a0a-97b76e56dc57}"
ON_DEMAND = "ondemandupdate"
SCHEDULED = "scheduler"
NEVER_UPDATED = "0.0.0.0"  # of machines that never updated


class Client(NamedTuple):
    """Who asks."""

    app_id: str
    version: str
    track: str
    boot_id: str
    oem: str
    oem_version: str
    aleph_version: str
    machine_id: str
    board: str
    architecture: str
    alias: str = ""  # flatcar's MACHINE_ALIAS; not sent when empty


class Event(NamedTuple):
    """One event, as it was reported."""

    type: int
    result: int
    error_code: int = 0
    previous_version: str | None = None  # None: the attribute is not there


def check(client: Client, *, previous_version: str, on_demand: bool) -> bytes:
    """Ask for an update; tells also which version ran before."""
    event = (
        f'<event eventtype="{EventType.UPDATE_COMPLETE:d}"'
        f' eventresult="{EventResult.SUCCESS_REBOOT:d}"'
        f' previousversion="{_encode(previous_version)}"></event>'
    )
    lines = ('<ping active="1"></ping>', "<updatecheck></updatecheck>", event)
    return _document(client, lines, on_demand=on_demand)


def rollback_check(client: Client, *, previous_version: str, code: int, on_demand: bool) -> bytes:
    """Ask for an update, and tell that the one installed last did not come up (flatcar's)."""
    event = (
        f'<event eventtype="{EventType.UPDATE_COMPLETE:d}" eventresult="{EventResult.ERROR:d}"'
        f' errorcode="{code}" previousversion="{_encode(previous_version)}"></event>'
    )
    lines = ('<ping active="1"></ping>', "<updatecheck></updatecheck>", event)
    return _document(client, lines, on_demand=on_demand)


def ping(client: Client, *, on_demand: bool) -> bytes:
    """Only say that this machine lives."""
    return _document(client, ('<ping active="1"></ping>',), on_demand=on_demand)


def report(client: Client, event: Event, *, on_demand: bool) -> bytes:
    """Report one event."""
    code = f' errorcode="{event.error_code}"' if event.result != EventResult.SUCCESS else ""
    line = f'<event eventtype="{event.type:d}" eventresult="{event.result:d}"{code}></event>'
    return _document(client, (line,), on_demand=on_demand)


def check_in(client: Client) -> bytes:
    """What a machine without slots says: only that it is up (update_engine_stub's shell script)."""
    pairs = (
        ("appid", client.app_id),
        ("oem", client.oem),
        ("version", client.version),
        ("track", client.track),
        ("bootid", client.boot_id),
        ("machineid", client.machine_id),
        ("lang", "en-US"),
        ("hardware_class", ""),
        ("delta_okay", "false"),
    )
    app = "".join(f'{name}="{_encode(text)}" ' for name, text in pairs)
    event = '<event eventtype="3" eventresult="2" previousversion=""></event>'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<request protocol="3.0" version="{STUB}" updaterversion="{STUB}"'
        ' installsource="scheduler" ismachine="1">\n'
        f'<os version="Chateau" platform="CoreOS" sp="{_encode(client.version)}"></os>\n'
        f"<app {app} >\n{event}\n</app>\n</request>"
    ).encode("utf-8", "replace")


def _document(client: Client, lines: tuple[str, ...], *, on_demand: bool) -> bytes:
    source = ON_DEMAND if on_demand else SCHEDULED
    pairs = [
        ("appid", client.app_id),
        ("version", client.version),
        ("track", client.track),
        ("bootid", client.boot_id),
        ("oem", client.oem),
        ("oemversion", client.oem_version),
        ("alephversion", client.aleph_version),
        ("machineid", client.machine_id),
        *((("machinealias", client.alias),) if client.alias else ()),
        ("lang", "en-US"),
        ("board", client.board),
        ("hardware_class", ""),
        ("delta_okay", "false"),
    ]
    app = " ".join(f'{name}="{_encode(text)}"' for name, text in pairs)
    system = _encode(f"{client.version}_{client.architecture}")
    body = "".join(f"        {line}\n" for line in lines)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<request protocol="3.0" version="{UPDATER}" updaterversion="{UPDATER}"'
        f' installsource="{source}" ismachine="1">\n'
        f'    <os version="Chateau" platform="CoreOS" sp="{system}"></os>\n'
        f"    <app {app} >\n"
        f"{body}"
        "    </app>\n"
        "</request>\n"
    ).encode("utf-8", "replace")


_NO_ASCII = re.compile("[^\0-\x7f]")
_LIBXML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"})


def _encode(text: str) -> str:
    """libxml2's xmlEncodeEntitiesReentrant, but for quotes, which it forgets; what XML cannot hold
    is left out.
    """
    kept = xml.NO_CHAR.sub("", text).translate(_LIBXML)
    return _NO_ASCII.sub(lambda match: f"&#x{ord(match[0]):X};", kept)


class AppRequest(NamedTuple):
    """One `<app>` of a request, for a server."""

    app_id: str
    version: str
    track: str
    machine_id: str
    boot_id: str
    oem: str
    board: str
    attributes: dict[str, str]  # everything, also what has a field above
    has_ping: bool
    has_update_check: bool
    events: tuple[Event, ...]


class Request(NamedTuple):
    """One request, for a server."""

    protocol: str
    version: str
    install_source: str
    apps: tuple[AppRequest, ...]


def parse(data: bytes) -> Request:
    """Read a client's request; WireError. The protocol's version is the caller's to judge."""
    root = xml.parse(data)
    if root.name != "request":
        raise WireError(f"not an Omaha request: <{root.name}>")
    return Request(
        protocol=root.get("protocol"),
        version=root.get("version"),
        install_source=root.get("installsource"),
        apps=tuple(_app(item) for item in root.all("app")),
    )


def _app(item: xml.Element) -> AppRequest:
    return AppRequest(
        app_id=item.get("appid"),
        version=item.get("version"),
        track=item.get("track"),
        machine_id=item.get("machineid"),
        boot_id=item.get("bootid"),
        oem=item.get("oem"),
        board=item.get("board"),
        attributes=item.attributes,
        has_ping=item.first("ping") is not None,
        has_update_check=item.first("updatecheck") is not None,
        events=tuple(_event(event) for event in item.all("event")),
    )


def _event(item: xml.Element) -> Event:
    return Event(
        type=_number(item, "eventtype"),
        result=_number(item, "eventresult"),
        error_code=_number(item, "errorcode"),
        previous_version=item.attributes.get("previousversion"),
    )


def _number(item: xml.Element, name: str) -> int:
    """A number that fits 63 bits; an absent one is 0."""
    text = item.get(name, "0")
    digits = text[1:] if text[:1] in "+-" else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise WireError(f'{name}="{text[:40]}" is not a number')
    return int(text)
