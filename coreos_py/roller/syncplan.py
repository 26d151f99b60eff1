"""What the syncer asks an upstream server, and what it makes of an answer. Pure.

It pretends to be one machine per channel, which runs what the channel points to, so that it is
offered only what is newer; and it tells the whole story of an update, so that an upstream with a
rate limit does not wait for it for ever. Mirrors CoreRoller 1.0.6's syncer.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from coreos_py.base.errors import WireError
from coreos_py.omaha import request, response, xml
from coreos_py.omaha.codes import EventResult, EventType
from coreos_py.omaha.request import Client, Event
from coreos_py.omaha.response import Update
from coreos_py.roller import semver
from coreos_py.roller.records import COREOS_APP, Action, Package, PackageType

FIRST_VERSION = "0.0.0"  # of a channel without a package
PATH = "/v1/update/"
_PATHS = ("/v1/update", "/omaha")
_ARCHITECTURE = "x86_64"
_DONE = (
    Event(EventType.UPDATE_DOWNLOAD_STARTED, EventResult.SUCCESS),
    Event(EventType.UPDATE_DOWNLOAD_FINISHED, EventResult.SUCCESS),
    Event(EventType.UPDATE_COMPLETE, EventResult.SUCCESS),
)


class Followed(NamedTuple):
    """A channel that follows an upstream server's."""

    channel_id: str
    app_id: str  # ours
    wire_id: str  # what clients call the application
    track: str
    version: str  # that the channel points to
    machine_id: str  # the pretended machine's


class Offer(NamedTuple):
    """A version that an upstream server has."""

    version: str
    url: str
    size: int
    sha1: str  # base64, "" where the answer has none
    sha256: str


class Refused(NamedTuple):
    """Why an upstream server has no answer about a channel; `is_unknown`: it is not its own."""

    reason: str
    is_unknown: bool


def endpoint(url: str) -> str:
    """Where an upstream server is asked: its root, unless the URL is that place already."""
    bare = url.rstrip("/")
    path = urlsplit(bare).path
    return f"{bare}/" if path.endswith(_PATHS) else bare + PATH


def question(item: Followed) -> bytes:
    """Is there something newer?"""
    return request.check(_client(item), previous_version="", on_demand=False)


def story(item: Followed, version: str) -> tuple[bytes, ...]:
    """What to tell once a version was taken over: the update's steps, and that it runs."""
    client = _client(item)
    steps = [request.report(client, event, on_demand=False) for event in _DONE]
    after = _client(item)._replace(version=version)
    done = request.check(after, previous_version=item.version, on_demand=False)
    return (*steps, done)


def failure(item: Followed, code: int) -> bytes:
    """What to tell when it cannot be taken over."""
    event = Event(EventType.UPDATE_COMPLETE, EventResult.ERROR, code)
    return request.report(_client(item), event, on_demand=False)


def _client(item: Followed) -> Client:
    return Client(
        app_id=f"{{{item.wire_id}}}",
        version=item.version,
        track=item.track,
        boot_id=f"{{{item.machine_id}}}",
        oem="",
        oem_version="",
        aleph_version="",
        machine_id=item.machine_id.replace("-", ""),
        board="",
        architecture=_ARCHITECTURE,
    )


def read(data: bytes, item: Followed) -> Offer | Refused | None:
    """What an answer offers; None when there is nothing newer. WireError if it is nonsense."""
    refused = _refusal(data)
    if refused is not None:
        return refused
    try:
        update = response.parse(data).update
    except response.ResponseError as err:
        raise WireError(str(err)) from None
    if update is None:
        return None
    if not semver.is_valid(update.version):
        raise WireError(f"version {update.version!r} is not like 1.2.3")
    if not semver.is_older(item.version, update.version):
        return None
    if not update.digest():
        raise WireError(f"sha256 {update.sha256[:60]!r} is none")
    return Offer(update.version, update.urls[0], update.size, _sha1(data, update), update.sha256)


def _refusal(data: bytes) -> Refused | None:
    """A server without an opinion says so in the application's status."""
    app = xml.parse(data).first("app")
    status = app.get("status") if app is not None else ""
    if status in ("", "ok") or (app is not None and app.first("updatecheck") is not None):
        return None
    lowered = status.lower()
    return Refused(status, "unknown" in lowered or "registration" in lowered)


def _sha1(data: bytes, update: Update) -> str:
    where = ("app", "updatecheck", "manifest", "packages", "package")
    for found in xml.parse(data).all(*where):
        if update.urls[0].endswith(found.get("name")):
            return found.get("hash")
    return ""


def package(
    offer: Offer, item: Followed, *, package_id: str, action_id: str, now_us: int
) -> Package:
    """The offer as a package of ours, whose payload stays where it is."""
    base, slash, name = offer.url.rpartition("/")
    return Package(
        package_id,
        item.app_id,
        PackageType.COREOS,
        offer.version,
        base + slash,
        name,
        None,
        str(offer.size),
        offer.sha1 or None,
        now_us,
        Action(action_id, offer.sha256, now_us),
    )


def hosted_name(offer: Offer, item: Followed) -> str:
    """What a payload is called that is hosted here."""
    if item.app_id == COREOS_APP:
        return f"coreos-amd64-{offer.version}.gz"
    return f"{item.app_id}-{offer.version}.gz"
