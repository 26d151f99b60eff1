"""`updatectl rollout`: percentages that grow with time. Mirrors rollout.go."""

from __future__ import annotations

from coreos_py.omaha.coreupdate import ROLLOUT, ROLLOUT_ACTIVE
from coreos_py.updatectl.session import ERROR_USAGE, OK, Fatal, Service, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from coreos_py.cli.program import Call

_PATH = "apps/{}/groups/{}/rollout"
_FRAMES_MAX = 100_000


def _names(call: Call) -> tuple[str, str]:
    return call.flags["app-id"], call.flags["group-id"]


def show_frames(call: Call) -> int:
    """The rollout that is set."""
    names = _names(call)
    rollout = Service(call).call("GET", _PATH, ROLLOUT, *names)
    lines = ["rollout:\n"]
    for at, frame in enumerate(rollout["rollout"]):
        lines.append(f"Frame {at}:\tPercent:\t{frame['percent']:.6f}\n")
        lines.append(f"\tDuration:\t{frame['duration']}\n")
    show("".join(lines))
    return OK


def activate(call: Call) -> int:
    """Begin."""
    return _set_active(call, {"active": True})


def deactivate(call: Call) -> int:
    """Stop."""
    return _set_active(call, {"active": False})


def _set_active(call: Call, wanted: dict[str, Any]) -> int:
    names = _names(call)
    body = ROLLOUT_ACTIVE.write(**wanted)
    answer = Service(call).call("POST", f"{_PATH}/active", ROLLOUT_ACTIVE, *names, body=body)
    show("rollout activated\n" if answer["active"] else "rollout deactivated\n")
    return OK


def create_linear(call: Call) -> int:
    """Equal steps from nobody to everybody."""
    flags, names = call.flags, _names(call)
    frame_s, duration_s = flags["frame-size"], flags["duration"]
    if frame_s == 0 or duration_s == 0:
        return ERROR_USAGE
    if frame_s < 0 or duration_s / frame_s > _FRAMES_MAX:
        raise Fatal(f"--duration={duration_s} by --frame-size={frame_s} is no number of steps")
    frames = linear(frame_s, duration_s)
    body = ROLLOUT.write(appId=names[0], groupId=names[1], rollout=frames)
    Service(call).call("POST", _PATH, ROLLOUT, *names, body=body)
    show("rollout set\n")
    return OK


def linear(frame_s: int, duration_s: int) -> list[dict[str, Any]]:
    """Steps of `frame_s` seconds, the last one shorter, and everybody at the end."""
    steps = -(-duration_s // frame_s)
    percent, left_s, frames = 0.0, duration_s, []
    while left_s > 0:
        size_s = min(frame_s, left_s)
        percent += 100 / steps
        frames.append({"duration": size_s, "percent": percent})
        left_s -= size_s
    return [*frames, {"duration": 0, "percent": 100}]
