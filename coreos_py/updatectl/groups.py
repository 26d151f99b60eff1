"""`updatectl group`. Mirrors group.go; `status` is ours."""

from __future__ import annotations

from coreos_py.base.gojson import format_float
from coreos_py.omaha.coreupdate import GROUP, GROUP_LIST, GROUP_PERCENT, GROUP_STATUS, REQUESTS
from coreos_py.updatectl.session import ERROR_USAGE, OK, Service, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from coreos_py.cli.program import Call

_PATH = "apps/{}/groups/{}"


def _names(call: Call) -> tuple[str, str]:
    return call.flags["app-id"], call.flags["group-id"]


def list_all(call: Call) -> int:
    """The groups of an application."""
    found = Service(call).call("GET", "apps/{}/groups", GROUP_LIST, call.flags["app-id"])
    return _show(found["items"])


def create(call: Call) -> int:
    """One more."""
    flags, names = call.flags, _names(call)
    body = GROUP.write(channelId=flags["channel"], id=names[1], label=flags["label"])
    return _show([Service(call).call("POST", "apps/{}/groups", GROUP, names[0], body=body)])


def delete(call: Call) -> int:
    """One less."""
    names = _names(call)
    return _show([Service(call).call("DELETE", _PATH, GROUP, *names)])


def update(call: Call) -> int:
    """What is named changes, the rest is sent back as it was."""
    flags = call.flags
    fields = (("label", "label"), ("channel", "channelId"), ("oem-blacklist", "oemBlacklist"))
    return _change(call, {field: flags[flag] for flag, field in fields if flags.given(flag)})


def pause(call: Call) -> int:
    """Give out no updates."""
    return _change(call, {"updatesPaused": True})


def unpause(call: Call) -> int:
    """Give out updates again."""
    return _change(call, {"updatesPaused": False})


def _change(call: Call, changes: dict[str, Any]) -> int:
    names = _names(call)
    service = Service(call)
    group = service.call("GET", _PATH, GROUP, *names) | changes
    body = GROUP.write(**group)
    return _show([service.call("PATCH", _PATH, GROUP, *names, body=body)])


def percent(call: Call) -> int:
    """Say what part of the instances may update."""
    names, wanted = _names(call), call.flags["update-percent"]
    if wanted == -1:
        return ERROR_USAGE
    body = GROUP_PERCENT.write(appId=names[0], id=names[1], updatePercent=wanted)
    answer = Service(call).call("POST", _PATH, GROUP_PERCENT, *names, body=body)
    show(f"update percent set to {answer['updatePercent']:.6f}\n")  # noqa: S608 - no SQL
    return OK


def events(call: Call) -> int:
    """Events by version, type, result and time."""
    found = _rollup(call, "events")
    rows = [
        f"{item['version']}\t{item['type']}\t{item['result']}\t"
        f"{value['timestamp']}\t{value['count']}\n"
        for item in found
        for value in item["values"]
    ]
    show("Version\tType\tResult\tTimestamp\tCount\n" + "".join(rows))
    return OK


def versions(call: Call) -> int:
    """Versions by time."""
    found = _rollup(call, "versions")
    rows = [
        f"{item['version']}\t{value['timestamp']}\t{value['count']}\n"
        for item in found
        for value in item["values"]
    ]
    show("Version\tTimestamp\tCount\n" + "".join(rows))
    return OK


def _rollup(call: Call, what: str) -> list[dict[str, Any]]:
    flags, names = call.flags, _names(call)
    found = Service(call).call(
        "GET",
        f"{_PATH}/requests/{what}/{{}}/{{}}",
        REQUESTS,
        *names,
        str(flags["start"]),
        str(flags["end"]),
        query=[("resolution", str(flags["resolution"]))],
    )
    items: list[dict[str, Any]] = found["items"]
    return items


def status(call: Call) -> int:
    """How far it is."""
    names = _names(call)
    found = Service(call).call("GET", f"{_PATH}/status", GROUP_STATUS, *names)
    lines = [f"Group:\t{found['label']} ({found['id']})\n", f"Channel:\t{found['channelId']}\n"]
    lines.append(f"Version:\t{found['version'] or 'none'}\n")
    if found["updatesPaused"]:
        lines.append(f"Paused:\t{found['pauseReason'] or 'yes'}\n")
    rows = (
        ("Instances", "total"),
        ("Up to date", "done"),
        ("Updating", "inProgress"),
        ("Waiting", "waiting"),
        ("On hold", "onHold"),
        ("Failed", "failed"),
    )
    lines += [f"{title}:\t{found[field]}\n" for title, field in rows]
    show("".join(lines))
    return OK


def _show(groups: Iterable[dict[str, Any]]) -> int:
    rows = [
        "\t".join(
            (
                group["label"],
                group["appId"],
                group["channelId"],
                group["id"],
                str(group["updatesPaused"]).lower(),
                _percent(group["updatePercent"]),
                str(group["rolloutActive"]).lower(),
            )
        )
        + "\n"
        for group in groups
    ]
    show("Label\tApp\tChannel\tId\tUpdates Paused\tPercent\tRollout Active\n" + "".join(rows))
    return OK


def _percent(value: float) -> str:
    """A number as Go's %v prints it: with an exponent when it is very small or large."""
    mantissa, _, exponent = next(
        text for digits in range(17) if float(text := f"{value:.{digits}e}") == value
    ).partition("e")
    if -4 <= int(exponent) < 6:
        return format_float(float(value))
    return f"{mantissa}e{exponent}"
