"""`updatectl instance list-updates` and `list-app-versions`. Mirrors instance.go."""

from __future__ import annotations

from coreos_py.omaha.coreupdate import APP_VERSIONS, CLIENT_UPDATES
from coreos_py.updatectl.session import OK, Service, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.program import Call


def list_updates(call: Call) -> int:
    """What every instance runs; upstream asks for an application only together with a group."""
    flags = call.flags
    query = [("dateStart", str(flags["start"])), ("dateEnd", str(flags["end"]))]
    if flags.given("group-id"):
        query += [("groupId", flags["group-id"]), ("appId", flags["app-id"])]
    elif flags.given("app-id"):
        query.append(("appId", flags["app-id"]))
    found = Service(call).call("GET", "clientupdates", CLIENT_UPDATES, query=query)
    names = ("appId", "clientId", "version", "lastSeen", "groupId", "oem")
    rows = ["\t".join(item[name] for name in names) + "\n" for item in found["items"]]
    show("AppID\tClientID\tVersion\tLastSeen\tGroup\tOEM\n" + "".join(rows))
    return OK


def list_app_versions(call: Call) -> int:
    """How many instances run what."""
    flags = call.flags
    query = [
        (name, flags[flag])
        for flag, name in (("group-id", "groupId"), ("app-id", "appId"))
        if flags.given(flag)
    ]
    query += [
        (name, str(flags[flag]))
        for flag, name in (("start", "dateStart"), ("end", "dateEnd"))
        if flags[flag]
    ]
    found = Service(call).call("GET", "appversions", APP_VERSIONS, query=query)
    rows = [
        f"{item['appId']}\t{item['groupId']}\t{item['version']}\t{item['count']}\n"
        for item in found["items"]
    ]
    show("AppID\tGroupID\tVersion\tClients\n" + "".join(rows))
    return OK
