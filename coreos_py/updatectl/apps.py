"""`updatectl app`. Mirrors app.go."""

from __future__ import annotations

from coreos_py.omaha.coreupdate import APP, APP_LIST
from coreos_py.updatectl.session import OK, Service, new_uuid, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from coreos_py.cli.program import Call


def list_all(call: Call) -> int:
    """All applications."""
    found = Service(call).call("GET", "apps", APP_LIST)
    return _show(found["items"])


def create(call: Call) -> int:
    """One more."""
    flags = call.flags
    body = APP.write(
        id=flags["app-id"] if flags.given("app-id") else new_uuid(),
        label=flags["label"],
        description=flags["description"],
    )
    return _show([Service(call).call("POST", "apps", APP, body=body)])


def update(call: Call) -> int:
    """Name and description; both."""
    flags = call.flags
    body = APP.write(label=flags["label"], description=flags["description"])
    return _show([Service(call).call("PATCH", "apps/{}", APP, flags["app-id"], body=body)])


def delete(call: Call) -> int:
    """One less."""
    return _show([Service(call).call("DELETE", "apps/{}", APP, call.flags["app-id"])])


def _show(apps: Iterable[dict[str, Any]]) -> int:
    rows = [f"{app['id']}\t{app['label']}\t{app['description']}\n" for app in apps]
    show("Id\tLabel\tDescription\n" + "".join(rows))
    return OK
