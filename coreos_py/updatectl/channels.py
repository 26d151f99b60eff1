"""`updatectl channel`. Mirrors channel.go."""

from __future__ import annotations

from coreos_py.omaha.coreupdate import CHANNEL, CHANNEL_LIST, CHANNEL_REQUEST
from coreos_py.updatectl.session import OK, Service, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from coreos_py.cli.program import Call


def list_all(call: Call) -> int:
    """The channels of an application."""
    found = Service(call).call("GET", "apps/{}/channels", CHANNEL_LIST, call.flags["app-id"])
    return _show(found["items"])


def create(call: Call) -> int:
    """One more."""
    flags = call.flags
    return _show([make(Service(call), flags["app-id"], flags["channel"], **_wanted(call))])


def make(service: Service, app: str, channel: str, **wanted: Any) -> dict[str, Any]:
    """Create a channel that offers a version; what the server answers."""
    body = CHANNEL_REQUEST.write(appId=app, label=channel, **wanted)
    # updateservicectl 2.1.0 has the channel where the application's ID belongs, so servers go by
    # the body.
    return service.call("POST", "apps/{}/channels", CHANNEL, channel, body=body)


def update(call: Call) -> int:
    """Point it to a package."""
    flags = call.flags
    return _show([point(Service(call), flags["app-id"], flags["channel"], **_wanted(call))])


def _wanted(call: Call) -> dict[str, Any]:
    return {"version": call.flags["version"], "publish": call.flags["publish"]}


def point(service: Service, app: str, channel: str, **wanted: Any) -> dict[str, Any]:
    """Have a channel offer a version; what the server answers."""
    body = CHANNEL_REQUEST.write(**wanted)
    return service.call("PATCH", "apps/{}/channels/{}", CHANNEL, app, channel, body=body)


def delete(call: Call) -> int:
    """One less."""
    flags = call.flags
    app, channel = flags["app-id"], flags["channel"]
    Service(call).call("DELETE", "apps/{}/channels/{}", CHANNEL_REQUEST, app, channel)
    show(f"deleted channel: {channel}, for application: {app}\n")
    return OK


def _show(channels: Iterable[dict[str, Any]]) -> int:
    rows = [
        f"{item['label']}\t{item['version']}\t{str(item['publish']).lower()}\t{item['upstream']}\n"
        for item in channels
    ]
    show("Label\tVersion\tPublish\tUpstream\n" + "".join(rows))
    return OK
