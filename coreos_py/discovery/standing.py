"""How a token stands: who has registered for it, and whether somebody may do so again.

Pure. The rules of who is in are the clients': the first SIZE members by created index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from coreos_py.etcdclient.model import Node


class Member(NamedTuple):
    """One registration: the member's id, and NAME=PEER-URL[,...] as it wrote it."""

    id: str
    value: str
    created_index: int


class Standing(NamedTuple):
    """A token: how many members it waits for, and those there are, first come first."""

    size: int
    members: tuple[Member, ...]

    @property
    def full(self) -> bool:
        """As many have registered as shall."""
        return len(self.members) >= self.size

    @property
    def chosen(self) -> tuple[Member, ...]:
        """Those who make up the cluster."""
        return self.members[: self.size]

    def place(self, member: str) -> int:
        """The member's place in the order of registration, from 0; -1 if it has not registered."""
        for at, found in enumerate(self.members):
            if found.id == member:
                return at
        return -1

    def may_register_again(self, member: str, value: str) -> bool:
        """Whether a registration that is there already can be taken for the one asked for.

        While members are missing nobody has founded anything, and a member that was killed while
        it waited, or did not hear the answer, is welcome back. Afterwards a member that registers
        again has lost its data, and must not vote a second time under its old identity.
        """
        at = self.place(member)
        return not self.full and at >= 0 and self.members[at].value == value


def read(size: Node, listing: Node) -> Standing:
    """The standing that these two nodes of the registry tell; ValueError if the size is none."""
    found = [
        Member(node.key.rpartition("/")[2], node.value, node.created_index)
        for node in listing.nodes
        if not node.dir
    ]
    found.sort(key=lambda member: member.created_index)
    return Standing(int(size.value), tuple(found))
