"""Reads ordered without the log: a leader proves with one round of heartbeats that it still leads.

All reads asked for since the last round share one; an answer to a round also answers the rounds
before it. The round number travels in Message.context, a field etcd 2.3 members skip and do not
echo, so a server may use this only when every member is of this program. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from coreos_py.raft.types import ReadState


class Round(NamedTuple):
    """Reads that may be served at `commit` once a quorum has answered `number`."""

    number: int
    commit: int
    contexts: list[bytes]


class ReadRounds:
    """The reads of one leadership."""

    __slots__ = ("_answered", "_number", "_rounds", "waiting")

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self._rounds: deque[Round] = deque()
        self._answered: dict[int, int] = {}
        self._number = 0

    def ask(self, context: bytes) -> None:
        """One more read for the next round."""
        self.waiting.append(context)

    def start(self, commit: int) -> None:
        """Put the waiting reads on a new round at this commit index."""
        self._number += 1
        self._rounds.append(Round(self._number, commit, self.waiting))
        self.waiting = []

    def token(self) -> bytes:
        """What heartbeats carry now: the newest unanswered round, or nothing."""
        return self._number.to_bytes(8, "big") if self._rounds else b""

    def answer(self, node: int, token: bytes) -> None:
        """A follower has answered the round named by `token`."""
        number = int.from_bytes(token, "big")
        if number <= self._number and number > self._answered.get(node, 0):
            self._answered[node] = number

    def settle(self, *, voters: Iterable[int], leader: int, quorum: int) -> list[ReadState]:
        """Take out the reads whose round a quorum of voters has answered."""
        answered = self._answered
        numbers = sorted(
            self._number if node == leader else answered.get(node, 0) for node in voters
        )
        confirmed = numbers[-quorum] if len(numbers) >= quorum else 0
        states: list[ReadState] = []
        rounds = self._rounds
        while rounds and rounds[0].number <= confirmed:
            done = rounds.popleft()
            states.extend(ReadState(done.commit, context) for context in done.contexts)
        return states
