"""What /v2/stats/self and /v2/stats/leader tell. Mirrors etcdserver/stats of etcd 2.3.8.

Pure: time comes in as unix nanoseconds.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from coreos_py.base import durations, gojson, gotime

if TYPE_CHECKING:
    from typing import Any

WINDOW = 200
IDLE_NS = 1_000_000_000
NO_MINIMUM_MS = float(1 << 63)

LEADER = "StateLeader"
FOLLOWER = "StateFollower"
CANDIDATE = "StateCandidate"


class RateWindow:
    """Packages and bytes per second over the last 200 samples; forgotten after an idle second."""

    __slots__ = ("_bytes", "_samples")

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int]] = deque()
        self._bytes = 0

    def add(self, now_ns: int, size: int) -> None:
        """One package of `size` bytes."""
        if len(self._samples) == WINDOW:
            self._bytes -= self._samples.popleft()[1]
        self._samples.append((now_ns, size))
        self._bytes += size

    def rates(self, now_ns: int) -> tuple[float, float]:
        """(packages, bytes) per second; zeros when there is nothing recent to tell."""
        samples = self._samples
        if samples and now_ns - samples[-1][0] > IDLE_NS:
            samples.clear()
            self._bytes = 0
        span_ns = samples[-1][0] - samples[0][0] if samples else 0
        if span_ns <= 0:
            return 0.0, 0.0
        return len(samples) / span_ns * 1e9, self._bytes / span_ns * 1e9


class ServerStats:
    """This member: its role, its leader, and the append traffic it sends and receives."""

    def __init__(self, name: str, number: int, *, now_ns: int) -> None:
        self._name = name
        self._id = f"{number:x}"
        self._start_ns = now_ns
        self._leader = ""
        self._leader_since_ns = now_ns
        self.state = FOLLOWER
        self._sent = RateWindow()
        self._received = RateWindow()
        self._sent_count = 0
        self._received_count = 0

    def role_changed(self, state: str, *, now_ns: int) -> None:
        """Raft says this member is now leader, follower or candidate."""
        if state == LEADER and self.state != LEADER:
            self._leader = self._id
            self._leader_since_ns = now_ns
        self.state = state

    def received(self, leader: int, size: int, *, now_ns: int) -> None:
        """An append arrived."""
        name = f"{leader:x}"
        self.state = FOLLOWER
        if name != self._leader:
            self._leader = name
            self._leader_since_ns = now_ns
        self._received.add(now_ns, size)
        self._received_count += 1

    def sent(self, size: int, *, now_ns: int) -> None:
        """An append left."""
        self._sent.add(now_ns, size)
        self._sent_count += 1

    def to_json(self, *, now_ns: int) -> str:
        """The body of /v2/stats/self."""
        body: dict[str, Any] = {
            "name": self._name,
            "id": self._id,
            "state": self.state,
            "startTime": gotime.format_ns(self._start_ns),
            "leaderInfo": {
                "leader": self._leader,
                "uptime": durations.format(now_ns - self._leader_since_ns),
                "startTime": gotime.format_ns(self._leader_since_ns),
            },
            "recvAppendRequestCnt": self._received_count,
        }
        _put_rates(body, "recv", self._received.rates(now_ns))
        body["sendAppendRequestCnt"] = self._sent_count
        _put_rates(body, "send", self._sent.rates(now_ns))
        return gojson.dumps(body)


def _put_rates(body: dict[str, Any], prefix: str, rates: tuple[float, float]) -> None:
    for name, rate in zip(("PkgRate", "BandwidthRate"), rates, strict=True):
        if rate:
            body[prefix + name] = rate


class FollowerStats:
    """How appends to one follower went, in milliseconds."""

    __slots__ = ("_average", "_average_square", "_current", "_fail", "_maximum", "_minimum", "_ok")

    def __init__(self) -> None:
        self._ok = 0
        self._fail = 0
        self._current = 0.0
        self._average = 0.0
        self._average_square = 0.0
        self._minimum = NO_MINIMUM_MS
        self._maximum = 0.0

    def succeeded(self, took_ns: int) -> None:
        """One append was taken."""
        current = took_ns / 1e6
        self._ok += 1
        self._current = current
        self._maximum = max(self._maximum, current)
        self._minimum = min(self._minimum, current)
        self._average += (current - self._average) / self._ok
        self._average_square += (current * current - self._average_square) / self._ok

    def failed(self) -> None:
        """One append was lost."""
        self._fail += 1

    def to_dict(self) -> dict[str, Any]:
        """The follower's object in /v2/stats/leader."""
        variance = max(self._average_square - self._average * self._average, 0.0)
        return {
            "latency": {
                "current": self._current,
                "average": self._average,
                "standardDeviation": math.sqrt(variance),
                "minimum": self._minimum,
                "maximum": self._maximum,
            },
            "counts": {"fail": self._fail, "success": self._ok},
        }


class LeaderStats:
    """Every follower this member has sent appends to."""

    def __init__(self, number: int) -> None:
        self._id = f"{number:x}"
        self._followers: dict[int, FollowerStats] = {}

    def follower(self, number: int) -> FollowerStats:
        """The counters of one follower, new ones if there are none."""
        return self._followers.setdefault(number, FollowerStats())

    def forget(self, number: int) -> None:
        """The follower is no longer a peer."""
        self._followers.pop(number, None)

    def to_json(self) -> str:
        """The body of /v2/stats/leader."""
        followers = {f"{number:x}": stats.to_dict() for number, stats in self._followers.items()}
        ordered = {name: followers[name] for name in sorted(followers)}
        return gojson.dumps({"leader": self._id, "followers": ordered})
