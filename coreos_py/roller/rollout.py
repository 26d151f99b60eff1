"""Who is within the percentage of a group that may update, and how that grows with time. Pure.

Mirrors CoreUpdate's linear rollouts: frames of so many seconds at such a percentage, the last one
without an end.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

from coreos_py.roller.records import SECOND_US, Invalid, Policy

FRAMES_MAX = 10_000
_STEPS = 10_000  # of a hundredth percent


class Frame(NamedTuple):
    """A percentage and how long it holds; the last frame holds for ever."""

    duration_s: int
    percent: float


def place(machine_id: str) -> float:
    """Where a machine stands between 0 and 100: for ever the same, and evenly spread."""
    digest = hashlib.sha256(machine_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % _STEPS * 100 / _STEPS


def is_within(machine_id: str, percent: float) -> bool:
    """Whether a machine belongs to the first so many percent."""
    return place(machine_id) < percent


def percent_at(policy: Policy, now_us: int) -> float:
    """What part of a group may update now."""
    if not policy.rollout_active or policy.rollout_started_us is None:
        return policy.update_percent
    frames = parse(policy.rollout)
    if not frames:
        return policy.update_percent
    left_us = now_us - policy.rollout_started_us
    for frame in frames[:-1]:
        left_us -= frame.duration_s * SECOND_US
        if left_us < 0:
            return frame.percent
    return frames[-1].percent


def parse(text: str) -> tuple[Frame, ...]:
    """The frames as CoreUpdate's JSON has them, none in an empty text; Invalid."""
    if not text:
        return ()
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid("the rollout's frames are not JSON") from None
    if not isinstance(items, list) or len(items) > FRAMES_MAX:
        raise Invalid(f"a rollout is a list of up to {FRAMES_MAX} frames")
    return tuple(_frame(item) for item in items)


def dump(frames: tuple[Frame, ...]) -> str:
    """The same as JSON: durations as texts, and none where it is 0."""
    items = [
        {"duration": str(frame.duration_s), "percent": _short(frame.percent)}
        if frame.duration_s
        else {"percent": _short(frame.percent)}
        for frame in frames
    ]
    return json.dumps(items, separators=(",", ":"))


def _short(percent: float) -> float | int:
    return int(percent) if percent == int(percent) else percent


def _frame(item: object) -> Frame:
    if not isinstance(item, dict):
        raise Invalid("a frame of a rollout is an object")
    duration, percent = item.get("duration", 0), item.get("percent", 0)
    if isinstance(duration, str) and duration.isascii() and duration.isdigit():
        duration = int(duration[:18])
    if not isinstance(duration, int) or isinstance(duration, bool) or not 0 <= duration < 1 << 32:
        raise Invalid(f"a frame's duration is a number of seconds, not {duration!r}")
    if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
        raise Invalid(f"a frame's percent is between 0 and 100, not {percent!r}")
    return Frame(duration, float(percent))
