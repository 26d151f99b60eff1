"""The Omaha side of rollerd: a request in, every event of it kept, a reply out.

Two styles. The friendly one answers as update_engine expects it: whoever has to wait is told
`noupdate`. The other one is CoreRoller 1.0.6's, byte for byte, with its error-... statuses.
"""

from __future__ import annotations

from coreos_py.base.errors import WireError
from coreos_py.http.message import Request, Response
from coreos_py.omaha import request as wire
from coreos_py.omaha.request import AppRequest
from coreos_py.omaha.response import AppReply, Offer, write
from coreos_py.omaha.response import Package as WirePackage
from coreos_py.roller import semver, updates
from coreos_py.roller.call import Call, Handler
from coreos_py.roller.db import apps, groups, instances
from coreos_py.roller.db.driver import Tx
from coreos_py.roller.db.events import Origin
from coreos_py.roller.db.setup import COREOS_TRACKS
from coreos_py.roller.policy import Verdict
from coreos_py.roller.records import (
    COREOS_APP,
    App,
    Group,
    Instance,
    Package,
    PackageType,
    Style,
)
from coreos_py.roller.updates import Caller

PATHS = frozenset({"/v1/update", "/v1/update/", "/omaha", "/omaha/"})
BODY_MAX = 1 << 20
ID_MAX = 50  # CoreRoller's column
_TEXT_MAX = 255

_XML = (("Content-Type", "text/xml"),)
_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)

_SERVER = {Style.FRIENDLY: "rollerd", Style.COREROLLER: "coreroller"}
_NOT_REGISTERED = "error-instanceRegistrationFailed"
# What CoreRoller says instead of an update; everything else is `noupdate` there too.
_COREROLLER_STATUS = {
    Verdict.BUSY: "error-updateInProgressOnInstance",
    Verdict.NO_PACKAGE: "error-noPackageFound",
    Verdict.DISABLED: "error-updatesDisabled",
    Verdict.CLOSED: "error-updatesDisabled",
    Verdict.UNREADABLE: "error-couldNotCheckUpdatesStats",
    Verdict.PER_PERIOD: "error-maxUpdatesPerPeriodLimitReached",
    Verdict.CONCURRENT: "error-maxConcurrentUpdatesLimitReached",
    Verdict.TIMED_OUT: "error-maxTimedOutUpdatesLimitReached",
    Verdict.CANARIES: "error-maxConcurrentUpdatesLimitReached",
    Verdict.PERCENT: "error-maxUpdatesPerPeriodLimitReached",
}


def route(request: Request) -> Handler | Response | None:
    """rollerd's family of Omaha's paths."""
    if request.path not in PATHS:
        return None
    if request.method != "POST":
        return Response(404, _TEXT, b"404 page not found\n")
    if request.oversize or len(request.body) > BODY_MAX:
        return Response(413, _TEXT, b"an Omaha request has at most 1 MiB\n")
    return handle


def handle(tx: Tx, call: Call) -> Response:
    """Answer one request; all of it, or nothing, has happened when the answer leaves."""
    style = Style.COREROLLER if call.config.compat else Style.FRIENDLY
    try:
        parsed = wire.parse(call.request.body)
    except WireError as err:
        if style is Style.COREROLLER:
            return Response(200, _XML, b"")
        return Response(400, _TEXT, f"{err}\n".encode())
    replies = tuple(_app(tx, call, style, app) for app in parsed.apps)
    return Response(200, _XML, write(replies, server=_SERVER[style], compact=True))


def resolve(tx: Tx, style: Style, app_id: str, track: str) -> tuple[App | None, Group | None]:
    """Which application and group a client means; None for what there is not."""
    if style is Style.COREROLLER:
        app = apps.find(tx, apps.bare_id(app_id))
    else:
        app = apps.named(tx, app_id)
    if app is None:
        return None, None
    group = groups.by_track(tx, app.id, track) if style is Style.FRIENDLY else None
    if group is None:  # what an operator calls so comes first
        word = COREOS_TRACKS.get(track) if app.id == COREOS_APP else None
        group = groups.find(tx, word or apps.bare_id(track))
    if group is None or group.app_id != app.id:
        return app, None
    return app, group


def _app(tx: Tx, call: Call, style: Style, asked: AppRequest) -> AppReply:
    reply = AppReply(
        asked.app_id,
        version=asked.version,
        track=asked.track,
        has_ping=asked.has_ping,
        events=len(asked.events),
    )
    app, group = resolve(tx, style, asked.app_id, asked.track)
    problem = _problem(style, asked, is_known=group is not None)
    if app is not None and group is None and style is Style.FRIENDLY:
        group = _group_before(tx, call, app, asked)
    if app is not None and group is not None and _is_id(asked.machine_id):
        machine = _machine(asked, call)
        caller = Caller(style, app, group, machine, asked.version, call.now_us, call.changed)
        for event in asked.events:
            updates.report(tx, caller, event)
        if not problem:
            return _register(tx, call, caller, asked, reply)
    return reply._replace(status=problem) if asked.has_update_check else reply


def _group_before(tx: Tx, call: Call, app: App, asked: AppRequest) -> Group | None:
    """The group of a machine whose track is none any more; its events are about that one."""
    if not asked.events or not _is_id(asked.machine_id):
        return None
    standing = instances.standing(tx, asked.machine_id, app.id)
    group = groups.find(tx, standing.group_id or "") if standing is not None else None
    if group is None:
        origin = Origin(asked.machine_id, app.id, None, asked.version)
        for event in asked.events:
            updates.keep(tx, origin, event, call.now_us)
    return group


def _register(tx: Tx, call: Call, caller: Caller, asked: AppRequest, reply: AppReply) -> AppReply:
    """Events are judged before this: what ran before is what they are about."""
    if asked.has_update_check:
        return _check(tx, call, caller, reply)
    if asked.has_ping:
        updates.register(tx, caller)
    return reply


def _problem(style: Style, asked: AppRequest, *, is_known: bool) -> str:
    """Why this instance cannot be registered, as the status of its application."""
    is_version = semver.is_valid(asked.version)
    if is_known and is_version and _is_id(asked.machine_id):
        return ""
    if style is Style.COREROLLER:
        return _NOT_REGISTERED
    if not is_known:
        return "error-unknownApplicationOrGroup"
    return _NOT_REGISTERED if is_version else "error-invalidVersion"


def _is_id(text: str) -> bool:
    return 0 < len(text) <= ID_MAX and text.isprintable()


def _machine(asked: AppRequest, call: Call) -> Instance:
    more = asked.attributes
    texts = (
        more.get("machinealias", ""),
        asked.oem,
        more.get("oemversion", ""),
        more.get("alephversion", ""),
        asked.board,
        asked.boot_id,
    )
    return Instance(asked.machine_id, call.peer, call.now_us, *(text[:_TEXT_MAX] for text in texts))


def _check(tx: Tx, call: Call, caller: Caller, reply: AppReply) -> AppReply:
    decision, package = updates.ask(tx, caller)
    if package is not None:
        return _offer(call, caller.style, reply, package)
    if caller.style is Style.COREROLLER and decision.verdict in _COREROLLER_STATUS:
        return reply._replace(status=_COREROLLER_STATUS[decision.verdict])
    return reply._replace(update_status="noupdate")


def _offer(call: Call, style: Style, reply: AppReply, package: Package) -> AppReply:
    if package.type == PackageType.COREOS and package.action is None:
        return reply._replace(update_status="err-internal")
    name = package.filename or ""
    item = WirePackage(name, package.hash or "", package.size or "")
    codebase = package.url
    if style is Style.FRIENDLY:
        codebase = _codebase(call, package)
    offer = Offer(package.version, (codebase,), (item,), _action(style, package))
    return reply._replace(update_status="ok", offer=offer)


def _codebase(call: Call, package: Package) -> str:
    """Clients put the file's name right behind it; the slash between is easily forgotten."""
    url = package.url
    if url.startswith("/"):
        url = call.base_url + url
    return url if url.endswith("/") or "?" in url else url + "/"


def _action(style: Style, package: Package) -> dict[str, str] | None:
    """The attributes of the postinstall action, in Go's order; CoreRoller leaves empty ones out."""
    action = package.action
    if action is None or package.type != PackageType.COREOS:
        return None
    attributes = {
        "ChromeOSVersion": action.chromeos_version,
        "sha256": action.sha256,
        "needsadmin": _go(action.needs_admin),
        "IsDelta": _go(action.is_delta),
    }
    if style is Style.FRIENDLY and action.is_delta:
        attributes["IsDeltaPayload"] = "true"  # the name that update_engine reads
    more = {
        "DisablePayloadBackoff": _go(action.disable_payload_backoff),
        "MetadataSignatureRsa": action.metadata_signature_rsa,
        "MetadataSize": action.metadata_size,
        "deadline": action.deadline,
    }
    return attributes | {name: text for name, text in more.items() if text not in ("", "false")}


def _go(flag: object) -> str:
    return "true" if flag else "false"
