"""Who leads, since when, and what that says about a request that was never answered."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING

from coreos_py.raft.types import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.etcd.config import Config
    from coreos_py.etcd.membership import Cluster
    from coreos_py.raft.node import RawNode
    from coreos_py.raft.types import SoftState

TIMED_OUT = "etcdserver: request timed out"
LEADER_FAILED = "etcdserver: request timed out, possibly due to previous leader failure"
CONNECTION_LOST = "etcdserver: request timed out, possibly due to connection lost"

log = logging.getLogger("raft")


class Leadership:
    """Hears of every change of role and leader."""

    def __init__(
        self,
        config: Config,
        number: int,
        node: RawNode,
        *,
        cluster: Cluster,
        connected_since: Callable[[int, float], bool],
    ) -> None:
        """`number` is our own id; `connected_since` asks about another and a time."""
        self._lost_s = 2 * config.election_ticks * config.heartbeat_ms / 1000
        self._node = node
        self._cluster = cluster
        self._connected_since = connected_since
        self._id = number
        self._since_s = 0.0
        self._leader = 0
        self._role = Role.FOLLOWER

    def changed(self, state: SoftState) -> None:
        """Raft's view of who leads is now this."""
        if state.leader and state.leader != self._leader:
            self._since_s = monotonic()
        self._leader = state.leader
        term = self._node.term
        if state.role != self._role:
            self._role = state.role
            log.info("%x became %s at term %d", self._id, state.role.name.lower(), term)
        if state.leader:
            log.info("raft.node: %x elected leader %x at term %d", self._id, state.leader, term)
        else:
            log.info("raft.node: %x lost leader at term %d", self._id, term)

    def timeout_cause(self, start_s: float) -> str:
        """Why a request that came at `start_s` may have got no answer until now."""
        if self._since_s - self._lost_s < start_s < self._since_s:
            return LEADER_FAILED
        leader = self._node.leader
        if leader == self._id:
            if not self._has_quorum_since(start_s):
                return CONNECTION_LOST
        elif leader and not self._connected_since(leader, start_s):
            return CONNECTION_LOST
        return TIMED_OUT

    def _has_quorum_since(self, start_s: float) -> bool:
        members = self._cluster.members
        others = [number for number in members if number != self._id]
        connected = sum(self._connected_since(number, start_s) for number in others)
        return connected + 1 >= len(members) // 2 + 1
