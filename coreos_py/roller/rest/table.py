"""The routes of the REST API as data: what there is, who may, what it does.

The reference in the manual, rollerd-api(7), is made from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

from coreos_py.roller.rest import (
    accounts,
    activity,
    apps,
    channels,
    charts,
    groups,
    instances,
    packages,
    session,
)
from coreos_py.roller.rest.gate import Needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coreos_py.http.message import Response
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.rest.ask import Ask

    Action: TypeAlias = Callable[[Tx, Ask], Response]

_APP = "/api/apps/:app"
_GROUP = f"{_APP}/groups/:group"
_CHANNEL = f"{_APP}/channels/:channel"
_PACKAGE = f"{_APP}/packages/:package"
_INSTANCE = f"{_GROUP}/instances/:instance"
_OPEN, _READ, _SIGN_IN, _ADMIN = Needs.NOTHING, Needs.READ, Needs.SIGN_IN, Needs.ADMIN


class Route(NamedTuple):
    """A method and a path, whose parts with a colon may be anything."""

    method: str
    path: str
    needs: Needs
    action: Action | None  # None: another family answers, it stands here for the reference
    does: str


SIGNING_IN = (
    Route("GET", "/api/config", _OPEN, session.config, "who asks, and what this server can do"),
    Route("POST", "/api/session", _OPEN, session.sign_in, "sign in"),
    Route("DELETE", "/api/session", _OPEN, session.sign_out, "sign out"),
    Route("PUT", "/api/password", _SIGN_IN, session.change_password, "change one's own password"),
    Route("GET", "/api/users", _ADMIN, accounts.users, "all users"),
    Route("POST", "/api/users", _ADMIN, accounts.add_user, "register a user"),
    Route("PUT", "/api/users/:user", _ADMIN, accounts.update_user, "change password or role"),
    Route("DELETE", "/api/users/:user", _ADMIN, accounts.delete_user, "remove a user"),
    Route("GET", "/api/tokens", _ADMIN, accounts.tokens, "all tokens, without their secrets"),
    Route("POST", "/api/tokens", _ADMIN, accounts.add_token, "make a token, shown only now"),
    Route("DELETE", "/api/tokens/:token", _ADMIN, accounts.delete_token, "remove a token"),
)
APPLICATIONS = (
    Route("GET", "/api/apps", _READ, apps.listing, "all applications, the newest first"),
    Route("POST", "/api/apps", _ADMIN, apps.add, "register an application"),
    Route("GET", _APP, _READ, apps.get, "one application"),
    Route("PUT", _APP, _ADMIN, apps.update, "change it"),
    Route("DELETE", _APP, _ADMIN, apps.delete, "remove it and all it has"),
    Route("GET", f"{_APP}/instances", _READ, instances.of_app, "its instances seen within a day"),
)
PACKAGES = (
    Route("GET", f"{_APP}/packages", _READ, packages.listing, "the newest version first"),
    Route("POST", f"{_APP}/packages", _ADMIN, packages.add, "register a package"),
    Route("GET", _PACKAGE, _READ, packages.get, "one package"),
    Route("PUT", _PACKAGE, _ADMIN, packages.update, "change it"),
    Route("DELETE", _PACKAGE, _ADMIN, packages.delete, "remove it; channels have none then"),
    Route("POST", f"{_PACKAGE}/payload", _ADMIN, None, "upload its file, which is the body"),
)
CHANNELS = (
    Route("GET", f"{_APP}/channels", _READ, channels.listing, "by name"),
    Route("POST", f"{_APP}/channels", _ADMIN, channels.add, "register a channel"),
    Route("GET", _CHANNEL, _READ, channels.get, "one channel"),
    Route("PUT", _CHANNEL, _ADMIN, channels.update, "change it, or the package it points to"),
    Route("DELETE", _CHANNEL, _ADMIN, channels.delete, "remove it; groups have none then"),
)
GROUPS = (
    Route("GET", f"{_APP}/groups", _READ, groups.listing, "the newest first"),
    Route("POST", f"{_APP}/groups", _ADMIN, groups.add, "register a group"),
    Route("GET", _GROUP, _READ, groups.get, "one group"),
    Route("PUT", _GROUP, _ADMIN, groups.update, "change it and its policy"),
    Route("DELETE", _GROUP, _ADMIN, groups.delete, "remove it; its instances have none then"),
    Route("POST", f"{_GROUP}/pause", _ADMIN, groups.pause, "stop granting updates"),
    Route("POST", f"{_GROUP}/resume", _ADMIN, groups.resume, "grant updates again"),
    Route("GET", f"{_GROUP}/rollout", _READ, charts.rollout, "how far its rollout is"),
    Route("GET", f"{_GROUP}/version_breakdown", _READ, charts.versions, "instances by version"),
    Route("GET", f"{_GROUP}/version_timeline", _READ, charts.versions_then, "the same over time"),
    Route("GET", f"{_GROUP}/instances_stats", _READ, charts.statuses, "instances by status"),
    Route("GET", f"{_GROUP}/status_timeline", _READ, charts.statuses_then, "the same over time"),
)
INSTANCES = (
    Route("GET", f"{_GROUP}/instances", _READ, instances.of_group, "those seen within a day"),
    Route("GET", _INSTANCE, _READ, instances.get, "one instance, whenever it was seen"),
    Route("GET", f"{_INSTANCE}/status_history", _READ, instances.history, "the newest first"),
    Route("GET", f"{_INSTANCE}/events", _READ, instances.events_of, "what it has reported"),
    Route("PUT", "/api/instances/:instance", _ADMIN, instances.rename, "name it for people"),
)
OTHERS = (
    Route("GET", "/api/activity", _READ, activity.listing, "what has happened, the newest first"),
    Route("GET", "/api/locks", _READ, None, "who holds which reboot lock"),
    Route("PUT", "/api/locks/:group", _ADMIN, None, "change how many may reboot at once"),
    Route("POST", "/api/locks/:group/unlock", _ADMIN, None, "release a holder"),
    Route("GET", "/api/stream", _READ, None, "server-sent events"),
)
ROUTES = (
    *SIGNING_IN,
    *APPLICATIONS,
    *PACKAGES,
    *CHANNELS,
    *GROUPS,
    *INSTANCES,
    *OTHERS,
)


class Found(NamedTuple):
    """The routes of a path by method, and what stands at the colons."""

    routes: dict[str, Route]
    params: dict[str, str]


def find(raw_path: str) -> Found | None:
    """The routes of a path that is still percent-encoded; None if there are none."""
    raw_parts = raw_path.encode("utf-8", "surrogateescape").split(b"/")
    parts = [unquote_to_bytes(part).decode("utf-8", "replace") for part in raw_parts]
    if any("\0" in part for part in parts):
        return None
    for shape, routes in _BY_LENGTH.get(len(parts), ()):
        params: dict[str, str] = {}
        if all(_fits(name, part, params) for name, part in zip(shape, parts, strict=True)):
            return Found(routes, params)
    return None


def _fits(name: str, part: str, params: dict[str, str]) -> bool:
    if not name.startswith(":"):
        return name == part
    params[name[1:]] = part
    return part != ""


def _by_length() -> dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]]:
    """What find() looks through: shapes of paths by their number of parts."""
    shapes: dict[tuple[str, ...], dict[str, Route]] = {}
    for route in _answered():
        shapes.setdefault(tuple(route.path.split("/")), {})[route.method] = route
    table: dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]] = {}
    for shape, routes in shapes.items():
        table.setdefault(len(shape), []).append((shape, routes))
    return table


def _answered() -> Iterator[Route]:
    return (route for route in ROUTES if route.action is not None)


_BY_LENGTH = _by_length()
