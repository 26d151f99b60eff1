"""Every interval and deadline of fleetd, derived from agent_ttl and engine_reconcile_interval.

Also the two small state machines of an etcd outage: how long to wait before trying again, and
whether machines that are not listed may be declared lost yet. Numbers are those of fleet 1.0.0
unless said otherwise. Pure: seconds in, seconds out; the caller owns the clock.
"""

from __future__ import annotations

from typing import NamedTuple

AGENT_PASS_S = 5.0
STATE_POLL_S = 1.0
MACHINE_REFRESH_S = 60.0
BACKOFF_MAX_S = 60.0
_SHORT_TTL_S = 10.0
_STATE_TTLS = 5
_LEASE_INTERVALS = 5
_LEASE_MIN_S = 2.0
_GRACE_MAX_S = 30.0
_RENEWALS = 4


class Timings(NamedTuple):
    """The intervals of one fleetd."""

    agent_ttl_s: float
    engine_interval_s: float

    @property
    def is_short(self) -> bool:
        """Tell whether agent_ttl was chosen for a cluster that shall react fast."""
        return self.agent_ttl_s <= _SHORT_TTL_S

    @property
    def state_ttl_s(self) -> float:
        """How long a unit's state and heartbeat last unless published again.

        Much longer than with fleet 1.0.0, where it is agent_ttl: five hundred units then cost 63
        writes a second that tell nothing new. The engine removes what a lost machine has left.
        """
        return self.agent_ttl_s * _STATE_TTLS

    @property
    def publish_s(self) -> float:
        """Time between two publications of an unchanged unit state or heartbeat."""
        return self.state_ttl_s * 4 / 5

    @property
    def machine_beat_s(self) -> float:
        """Time between two writes of the machine object.

        Twice as often as fleet 1.0.0 where agent_ttl is short: the election of an etcd leader must
        not cost machines their keys.
        """
        return self.agent_ttl_s / (4 if self.is_short else 2)

    @property
    def beat_deadline_s(self) -> float:
        """How long one beat may be retried before etcd counts as lost."""
        return self.agent_ttl_s / 3

    @property
    def beat_retry_s(self) -> float:
        """Time between two tries of one beat."""
        return self.beat_deadline_s / 4

    @property
    def lease_ttl_s(self) -> float:
        """How long engine leadership lasts without renewal.

        Not longer than a machine is waited for, so that a short agent_ttl alone makes the cluster
        react fast to the loss of any machine, the leader's as well.
        """
        longest_s = max(self.agent_ttl_s, _LEASE_MIN_S)
        return min(self.engine_interval_s * _LEASE_INTERVALS, longest_s)

    @property
    def engine_pass_s(self) -> float:
        """Time between two passes of the engine without events."""
        return min(self.engine_interval_s, self.lease_ttl_s / _RENEWALS)

    @property
    def outage_s(self) -> float:
        """How long etcd must have been out of reach for other machines' keys to be in doubt.

        A machine key has at least half of agent_ttl to live when an outage begins, three quarters
        where it is short; what is left of that is the margin.
        """
        return self.agent_ttl_s / (2 if self.is_short else 4)


class Contact:
    """What one process knows about its link to etcd: feed it the outcome of every request."""

    __slots__ = ("_down_since_s", "_trusted_from_s", "timings")

    def __init__(self, timings: Timings, started_s: float) -> None:
        self.timings = timings
        self._down_since_s: float | None = None
        # A process that has just started knows nothing of an outage before it.
        self._trusted_from_s = started_s + timings.agent_ttl_s

    def failed(self, now_s: float) -> None:
        """Note that a request could not be served."""
        if self._down_since_s is None:
            self._down_since_s = now_s

    def succeeded(self, now_s: float) -> None:
        """Note an answer; after a long outage machines get one agent_ttl to report again.

        And as long as the outage was, up to a limit: not every machine's etcd is back at once.
        """
        if self._down_since_s is None:
            return
        outage_s = now_s - self._down_since_s
        if outage_s >= self.timings.outage_s:
            grace_s = self.timings.agent_ttl_s + min(outage_s, _GRACE_MAX_S)
            self._trusted_from_s = max(self._trusted_from_s, now_s + grace_s)
        self._down_since_s = None

    def doubt(self, now_s: float) -> None:
        """Note that this machine's own key was missing: others' may be for the same reason."""
        self._trusted_from_s = max(self._trusted_from_s, now_s + self.timings.agent_ttl_s)

    def absent_means_gone(self, now_s: float) -> bool:
        """Tell whether a machine without a key may be declared lost."""
        return self._down_since_s is None and now_s >= self._trusted_from_s


def next_backoff_s(previous_s: float) -> float:
    """Return the next wait of 1, 2, 4 … 60 seconds; 0 starts the series."""
    return min(max(previous_s * 2, 1.0), BACKOFF_MAX_S)
