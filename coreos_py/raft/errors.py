"""What a raft node can refuse. Pure; the server turns these into HTTP statuses and exits."""

from __future__ import annotations


class RaftError(Exception):
    """Base of everything the core raises on purpose."""


class ProposalDropped(RaftError):
    """There is no leader to take the proposal, or this leader has left the cluster."""


class NotLeader(RaftError):
    """Only a leader that is a member can order reads."""


class Compacted(RaftError):
    """The asked-for entries are only in a snapshot by now."""


class CorruptLog(RaftError):
    """The log contradicts what the cluster knows was stored here; the process must stop."""
