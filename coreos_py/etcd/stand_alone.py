"""--force-new-cluster: what one member's log becomes when it goes on without the others.

etcd 2.3.8 drops what its member did not know to be committed. But a follower learns of that only
with the next heartbeat, and nobody waits for the disk to have it: so the last writes that clients
were told of may be dropped. Here the member keeps its whole log, as it would if the others had
elected it; what nobody was told of may then take effect too, like every write whose outcome is
unknown. Pure. Mirrors restartAsStandaloneNode of etcd 2.3.8's etcdserver/raft.go.
"""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.etcd import membership, pb
from coreos_py.etcd.membership import Member
from coreos_py.raft.types import ConfChange, ConfChangeType, Entry, EntryType, HardState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Alone(NamedTuple):
    """The log of a member that has no others: what stays of it, and what is to be written."""

    hard_state: HardState
    kept: list[Entry]
    appended: list[Entry]


def committed(hard_state: HardState, entries: Sequence[Entry]) -> HardState:
    """The state in which everything in the log is committed."""
    if not entries:
        return hard_state
    last = entries[-1]
    state = hard_state._replace(commit=max(hard_state.commit, last.index))
    # A save that was cut off may have left entries of a term and not the term.
    return state._replace(term=last.term, vote=0) if last.term > state.term else state


def stand_alone(
    number: int, voters: Iterable[int], *, hard_state: HardState, entries: Sequence[Entry]
) -> Alone:
    """Make `number` the only member; `voters` are those of the snapshot before `entries`."""
    kept, appended = _without_pending_changes(entries, hard_state.commit)
    state = committed(hard_state, entries)
    index = state.commit
    for change in _changes(_known_ids(voters, kept), number):
        index += 1
        data = pb.encode_conf_change(change)
        appended.append(Entry(state.term, index, EntryType.CONF_CHANGE, data))
    return Alone(state._replace(commit=index), kept, appended)


def _without_pending_changes(
    entries: Sequence[Entry], commit: int
) -> tuple[list[Entry], list[Entry]]:
    """The log up to the first change of members that is not committed, and from there on anew.

    Such changes become empty entries: who is a member is decided here, and one who was removed
    could never come back.
    """
    for position, entry in enumerate(entries):
        if entry.type == EntryType.CONF_CHANGE and entry.index > commit:
            rest = [
                Entry(later.term, later.index) if later.type == EntryType.CONF_CHANGE else later
                for later in entries[position:]
            ]
            return list(entries[:position]), rest
    return list(entries), []


def _changes(known: list[int], number: int) -> list[ConfChange]:
    changes = [
        ConfChange(0, ConfChangeType.REMOVE_NODE, other) for other in known if other != number
    ]
    if number not in known:
        # etcd 2.3.8's choice; `member update` sets the real ones afterwards.
        local = Member(number, ("http://localhost:7001", "http://localhost:2380"))
        context = membership.member_json(local).encode()
        changes.append(ConfChange(0, ConfChangeType.ADD_NODE, number, context))
    return changes


def _known_ids(voters: Iterable[int], entries: list[Entry]) -> list[int]:
    known = set(voters)
    for entry in entries:
        if entry.type == EntryType.CONF_CHANGE:
            change = pb.decode_conf_change(entry.data)
            if change.type == ConfChangeType.ADD_NODE:
                known.add(change.node_id)
            elif change.type == ConfChangeType.REMOVE_NODE:
                known.discard(change.node_id)
    return sorted(known)
