"""CoreUpdate's admin API as data: methods, paths, what they do, and the gate before them.

Requests are signed (Hawk), or carry a token or a password as the REST API's do. Mirrors
update-api.json of updateservicectl 2.1.0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from urllib.parse import unquote

from coreos_py.base.errors import WireError
from coreos_py.http.message import Response
from coreos_py.omaha import coreupdate as shapes
from coreos_py.omaha.coreupdate import BASE_PATH
from coreos_py.roller.auth import ADMIN
from coreos_py.roller.call import Undo
from coreos_py.roller.coreupdate import admin, apps, groups, instances, packages
from coreos_py.roller.coreupdate.ask import Ask, refusal
from coreos_py.roller.coreupdate.keys import Keys
from coreos_py.roller.rest.ask import ANONYMOUS
from coreos_py.roller.rest.gate import Needs

if TYPE_CHECKING:
    from coreos_py.http.message import Request
    from coreos_py.roller.auth import Principal
    from coreos_py.roller.call import Call, Handler
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.rest.gate import Gate

    Action: TypeAlias = Callable[[Tx, Ask], Response]

_CHALLENGE = ("WWW-Authenticate", "Hawk")
_REASONS = {
    401: "the request is not signed, or user, key or token are wrong",
    403: "who signed it may only look",
    429: "too many wrong passwords",
}
_APP = "apps/:app"
_GROUP = f"{_APP}/groups/:group"
_ROLLOUT = f"{_GROUP}/rollout"
_READ, _ADMIN, _NOTHING = Needs.READ, Needs.ADMIN, Needs.NOTHING


class Route(NamedTuple):
    """A method and a path below BASE_PATH, whose parts with a colon are anything."""

    method: str
    path: str
    action: Action
    needs: Needs


def _uuid(_tx: Tx, ask: Ask) -> Response:
    return ask.ok(shapes.UUID.write(uuid=ask.call.new_id()))


ROUTES = (
    Route("GET", "admin/user", admin.list_users, _ADMIN),
    Route("POST", "admin/user", admin.add_user, _ADMIN),
    Route("GET", "admin/user/:user", admin.get_user, _ADMIN),
    Route("DELETE", "admin/user/:user", admin.delete_user, _ADMIN),
    Route("PUT", "admin/user/:user/token/new", admin.new_key, _ADMIN),
    Route("GET", "apps", apps.list_apps, _READ),
    Route("POST", "apps", apps.add_app, _ADMIN),
    Route("GET", _APP, apps.get_app, _READ),
    Route("PATCH", _APP, apps.update_app, _ADMIN),
    Route("DELETE", _APP, apps.delete_app, _ADMIN),
    Route("GET", f"{_APP}/channels", apps.list_channels, _READ),
    Route("POST", f"{_APP}/channels", apps.add_channel, _ADMIN),
    Route("PATCH", f"{_APP}/channels/:channel", apps.update_channel, _ADMIN),
    Route("DELETE", f"{_APP}/channels/:channel", apps.delete_channel, _ADMIN),
    Route("GET", f"{_APP}/groups", groups.list_groups, _READ),
    Route("POST", f"{_APP}/groups", groups.add_group, _ADMIN),
    Route("GET", _GROUP, groups.get_group, _READ),
    Route("PATCH", _GROUP, groups.update_group, _ADMIN),
    Route("DELETE", _GROUP, groups.delete_group, _ADMIN),
    Route("POST", _GROUP, groups.set_percent, _ADMIN),
    Route("GET", f"{_GROUP}/status", groups.status, _READ),
    Route("GET", f"{_GROUP}/requests/events/:start/:end", groups.event_rollup, _READ),
    Route("GET", f"{_GROUP}/requests/versions/:start/:end", groups.version_rollup, _READ),
    Route("GET", _ROLLOUT, groups.get_rollout, _READ),
    Route("POST", _ROLLOUT, groups.set_rollout, _ADMIN),
    Route("GET", f"{_ROLLOUT}/active", groups.get_active, _READ),
    Route("POST", f"{_ROLLOUT}/active", groups.set_active, _ADMIN),
    Route("GET", f"{_APP}/packages", packages.list_packages, _READ),
    Route("POST", f"{_APP}/packages/:version", packages.add_package, _ADMIN),
    Route("DELETE", f"{_APP}/packages/:version", packages.delete_package, _ADMIN),
    Route("GET", "appversions", instances.list_versions, _READ),
    Route("GET", "clientupdates", instances.list_updates, _READ),
    Route("GET", "clientupdatecount", instances.count_updates, _READ),
    Route("GET", "client/history", instances.history, _READ),
    Route("GET", "public/channels", apps.public_channels, _NOTHING),
    Route("GET", "public/packages", packages.public_packages, _NOTHING),
    Route("GET", "upstream", admin.list_upstreams, _READ),
    Route("POST", "upstream", admin.add_upstream, _ADMIN),
    Route("PUT", "upstream/:upstream", admin.update_upstream, _ADMIN),
    Route("DELETE", "upstream/:upstream", admin.delete_upstream, _ADMIN),
    Route("GET", "util/uuid", _uuid, _NOTHING),
)


class Door:
    """Who may come in: by signature, or by whatever the REST API's gate believes."""

    def __init__(self, gate: Gate, keys: Keys) -> None:
        self._gate = gate
        self._keys = keys

    def admit(self, tx: Tx, call: Call, needs: Needs) -> Principal:
        """Who it is; an Undo with the answer if they may not."""
        if needs is Needs.NOTHING and call.request.method == "GET":
            return ANONYMOUS
        if not self._keys.is_hawk(call.request):
            return self._by_gate(tx, call, needs)
        try:
            return self._keys.principal(tx, call)
        except WireError as err:
            raise Undo(refusal(err.status_hint, str(err), _CHALLENGE)) from None

    def _by_gate(self, tx: Tx, call: Call, needs: Needs) -> Principal:
        try:
            who = self._gate.admit(tx, call, needs)
        except Undo as undo:
            status = undo.response.status
            headers = (_CHALLENGE,) if status == 401 else ()
            raise Undo(refusal(status, _REASONS.get(status, ""), *headers)) from None
        assert who.role == ADMIN or needs is not Needs.ADMIN
        return who


class Api:
    """The family of routes."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def route(self, request: Request) -> Handler | Response | None:
        """What a request means; None for other paths."""
        path = request.path
        if not path.startswith(BASE_PATH):
            return None
        if request.oversize:
            return refusal(413, "the body is too large")
        parts = path[len(BASE_PATH) :].split("/")
        fitting = [(item, names) for item in ROUTES if (names := _names(item, parts)) is not None]
        for item, names in fitting:
            if item.method == request.method:
                return self._handler(item, names)
        if fitting:
            allowed = ", ".join(sorted({item.method for item, _ in fitting}))
            return refusal(405, "", ("Allow", allowed))
        return refusal(404, "no such method")

    def _handler(self, route: Route, names: dict[str, str]) -> Handler:
        def handle(tx: Tx, call: Call) -> Response:
            who = self._door.admit(tx, call, route.needs)
            return route.action(tx, Ask(call, names, who))

        return handle


def _names(route: Route, parts: list[str]) -> dict[str, str] | None:
    """What stands where the path has names; None if it is another path."""
    wanted = route.path.split("/")
    if len(wanted) != len(parts):
        return None
    names = {}
    for name, part in zip(wanted, parts, strict=True):
        if name.startswith(":"):
            names[name[1:]] = unquote(part, errors="replace")
        elif name != part:
            return None
    return names if all(text and "\0" not in text for text in names.values()) else None
