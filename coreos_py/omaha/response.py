"""What an Omaha server answers: read as update_engine reads it, written as servers write it.

Reading mirrors update_engine 0.4.10's omaha_request_action.cc: only /response/app/updatecheck
counts, `app@status` is passed over, and everything that cannot be used is one of three codes.
Writing serves go-omaha's shape (tabs, an XML header) and CoreRoller's (one line, none).
"""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple

from coreos_py.base.errors import CoreosError, WireError
from coreos_py.omaha import xml
from coreos_py.omaha.codes import ErrorCode
from coreos_py.omaha.xml import Element

BYTES_MAX = 1 << 20
URLS_MAX = 100
FAILURES_PER_URL_MAX = 10  # where the response does not say
SHA256_SIZE = 32


class ResponseError(CoreosError):
    """The answer cannot be used; `code` is what the client reports."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Update(NamedTuple):
    """An update on offer."""

    version: str
    urls: tuple[str, ...]
    size: int
    sha256: str  # base64, as it was sent
    is_delta: bool = False
    failures_per_url_max: int = FAILURES_PER_URL_MAX
    disable_backoff: bool = False
    needs_admin: bool = False
    prompt: bool = False
    deadline: str = ""
    more_info: str = ""

    def digest(self) -> bytes:
        """The payload's SHA-256; b"" when the server sent something that is none."""
        try:
            digest = binascii.a2b_base64(self.sha256, strict_mode=True)
        except (binascii.Error, ValueError):
            return b""
        return digest if len(digest) == SHA256_SIZE else b""


class Answer(NamedTuple):
    """What a check found."""

    update: Update | None  # None: there is nothing newer
    poll_interval_s: int = 0  # 0: the server does not say


def parse(data: bytes) -> Answer:
    """Read the answer to a check; ResponseError with code 30, 31 or 34."""
    if not data:
        raise ResponseError(ErrorCode.OMAHA_REQUEST_EMPTY_RESPONSE, "the response is empty")
    try:
        root = xml.parse(data, bytes_max=BYTES_MAX)
    except WireError as err:
        raise ResponseError(ErrorCode.OMAHA_REQUEST_XML_PARSE, str(err)) from None
    where = ("app", "updatecheck")
    check = root.first(*where) if root.name == "response" else None
    if check is None:
        raise _invalid(_refusal(root))
    poll_interval_s = _int32(check.get("PollInterval"))
    status = check.get("status")
    if status == "noupdate":
        return Answer(None, poll_interval_s)
    if status != "ok":
        raise _invalid(f'unknown updatecheck status "{status}"')
    return Answer(_update(root), poll_interval_s)


def _refusal(root: Element) -> str:
    app = root.first("app")
    status = app.get("status") if app is not None else ""
    because = f' (app status "{status}")' if status not in ("", "ok") else ""
    return f"no updatecheck in the response{because}"


def _invalid(message: str) -> ResponseError:
    return ResponseError(ErrorCode.OMAHA_RESPONSE_INVALID, message)


def _update(root: Element) -> Update:
    where = ("app", "updatecheck")
    manifest = root.first(*where, "manifest")
    if manifest is None:
        raise _invalid("no manifest in the response")
    codebases = [url.get("codebase") for url in root.all(*where, "urls", "url")]
    if not codebases or not all(codebases):
        raise _invalid("no url in the response, or an empty one")
    package = root.first(*where, "manifest", "packages", "package")
    name = package.get("name") if package is not None else ""
    if package is None or not name:
        raise _invalid("no package in the response, or one without a name")
    size = _size(package.get("size"))
    actions = root.all(*where, "manifest", "actions", "action")
    action = next((item for item in actions if item.get("event") == "postinstall"), None)
    if action is None:
        raise _invalid("no postinstall action in the response")
    sha256 = action.get("sha256")
    if not sha256:
        raise _invalid("no sha256 in the postinstall action")
    return Update(
        version=manifest.get("version"),
        urls=tuple(codebase + name for codebase in codebases[:URLS_MAX]),
        size=size,
        sha256=sha256,
        is_delta=action.get("IsDeltaPayload") == "true",
        failures_per_url_max=_uint32(action.get("MaxFailureCountPerUrl")),
        disable_backoff=action.get("DisablePayloadBackoff") == "true",
        needs_admin=action.get("needsadmin") == "true",
        prompt=action.get("Prompt") == "true",
        deadline=action.get("deadline"),
        more_info=action.get("MoreInfo"),
    )


def _size(text: str) -> int:
    """sscanf's reading of a number: the digits in front."""
    match = re.match(r"\s*\+?([0-9]{1,18})", text)
    size = int(match[1]) if match else 0
    if size <= 0:
        raise _invalid(f'invalid payload size "{text[:40]}"')
    return size


def _int32(text: str) -> int:
    match = re.fullmatch(r"\+?[0-9]{1,10}", text)
    return int(text) if match and int(text) < 1 << 31 else 0


def _uint32(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) >= 1 << 32:
        return FAILURES_PER_URL_MAX
    return int(text)


# -- writing, for servers


class Package(NamedTuple):
    """One package of a manifest; `hash_sha256` is go-omaha's and left out when empty."""

    name: str
    hash: str
    size: int | str  # CoreRoller's is a text, perhaps empty
    required: bool = True
    hash_sha256: str = ""


class Offer(NamedTuple):
    """An update that a server offers; `action` holds the postinstall action's attributes."""

    version: str
    codebases: tuple[str, ...]
    packages: tuple[Package, ...]
    action: dict[str, str] | None = None  # without `event`; None: no action


class AppReply(NamedTuple):
    """One `<app>` of a response."""

    app_id: str
    status: str = "ok"
    version: str = ""  # CoreRoller echoes version and track
    track: str = ""
    has_ping: bool = False
    update_status: str = ""  # "ok", "noupdate", "error-..."; "": no updatecheck
    offer: Offer | None = None
    poll_interval_s: int = 0
    events: int = 0  # how many are acknowledged


def write(
    apps: tuple[AppReply, ...], *, server: str, compact: bool = False, elapsed_s: int = 0
) -> bytes:
    """The document; `compact` as CoreRoller writes it, else as go-omaha does."""
    day = Element("daystart", {"elapsed_seconds": str(elapsed_s)}, [])
    children = [day, *(_app_reply(app, compact=compact) for app in apps)]
    root = Element("response", {"protocol": "3.0", "server": server}, children)
    if compact:
        return xml.write(root).encode()
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + xml.write(root, indent="\t")).encode()


def _app_reply(app: AppReply, *, compact: bool) -> Element:
    attributes = {} if compact and not app.app_id else {"appid": app.app_id}
    if compact and app.version:
        attributes["version"] = app.version
    attributes["status"] = app.status
    if compact and app.track:
        attributes["track"] = app.track
    children = [Element("ping", {"status": "ok"}, [])] if app.has_ping else []
    if app.update_status:
        children.append(_update_reply(app, compact=compact))
    children += [Element("event", {"status": "ok"}, []) for _ in range(app.events)]
    return Element("app", attributes, children)


def _update_reply(app: AppReply, *, compact: bool) -> Element:
    attributes = {"status": app.update_status}
    if app.poll_interval_s:
        attributes["PollInterval"] = str(app.poll_interval_s)
    offer = app.offer
    if offer is None:
        return Element("updatecheck", attributes, [])
    urls = [Element("url", {"codebase": codebase}, []) for codebase in offer.codebases]
    packages = [_package(item, compact=compact) for item in offer.packages]
    actions = []
    if offer.action is not None:
        actions.append(Element("action", {"event": "postinstall", **offer.action}, []))
    manifest = Element(
        "manifest",
        {"version": offer.version},
        [Element("packages", {}, packages), Element("actions", {}, actions)],
    )
    return Element("updatecheck", attributes, [Element("urls", {}, urls), manifest])


def _package(item: Package, *, compact: bool) -> Element:
    required = "true" if item.required else "false"
    if compact:
        attributes = {"hash": item.hash, "name": item.name}
    else:
        attributes = {"name": item.name, "hash": item.hash}
        if item.hash_sha256:
            attributes["hash_sha256"] = item.hash_sha256
    return Element("package", {**attributes, "size": str(item.size), "required": required}, [])
