"""Histories of a key-value store as clients saw them, and two judges of linearizability.

`linearizable` searches for an order of one key's operations that explains every answer: the
algorithm of Wing and Gong with Lowe's memory of visited states ("Testing for linearizability",
2017). `index_violations` needs no search, since every etcd answer carries the index of the write
it saw.

An operation whose outcome the client never learned has `ret` None: it may have happened at any
later moment, or not at all.
"""

from __future__ import annotations

import bisect
import math
import time
from typing import NamedTuple

ABSENT = None  # the value of a key that is not there
UNSEEN = "\0unseen"  # the answer did not show the value


class Op(NamedTuple):
    client: int
    key: str
    op: str  # get, set, cas, delete
    arg: str | None  # the value written
    prev: str | None  # cas: the value it must replace
    call: float
    ret: float | None
    ok: bool  # False: refused for certain (key not found, compare failed)
    value: str | None  # what the answer showed: the value read, replaced, deleted, compared with
    modified: int | None  # modifiedIndex of the write, or of what was read


def step(state: str | None, op: Op) -> tuple[bool, str | None]:
    """(whether the store in `state` may have answered like this, the state after it)."""
    legal = op.ret is None or op.value in (UNSEEN, state)
    match op.op:
        case "get":
            return legal, state
        case "set":
            return legal, op.arg
        case "cas":
            hit = state is not ABSENT and state == op.prev
            return legal and (op.ret is None or hit == op.ok), op.arg if hit else state
        case "delete":
            return legal and (op.ret is None or (state is not ABSENT) == op.ok), ABSENT
    raise AssertionError(f"unknown operation {op.op}")


class _Event:
    __slots__ = ("before", "match", "next", "number", "op")

    def __init__(self, op: Op, number: int) -> None:
        self.op = op
        self.number = number
        self.match: _Event | None = None  # a call's return; None on returns
        self.before: _Event | None = None
        self.next: _Event | None = None


def linearizable(ops: list[Op], *, limit_s: float = 120.0) -> bool:
    """Whether one order explains all operations on one key; TimeoutError when that takes long."""
    head = _linked(ops)
    deadline = time.monotonic() + limit_s
    state: str | None = ABSENT
    done = 0
    seen: set[tuple[int, str | None]] = set()
    undo: list[tuple[_Event, str | None]] = []
    event = head.next
    steps = 0
    while head.next is not None:
        steps += 1
        if steps % 4096 == 0 and time.monotonic() > deadline:
            raise TimeoutError(f"no verdict on {len(ops)} operations within {limit_s:g} s")
        if event is not None and event.match is not None:
            legal, after = step(state, event.op)
            mark = (done | 1 << event.number, after)
            if legal and mark not in seen:
                seen.add(mark)
                undo.append((event, state))
                done, state = mark
                _lift(event)
                event = head.next
            else:
                event = event.next
            continue
        if not undo:
            return False
        event, state = undo.pop()
        done &= ~(1 << event.number)
        _put_back(event)
        event = event.next
    return True


def _linked(ops: list[Op]) -> _Event:
    timed: list[tuple[float, int, _Event]] = []
    for index, op in enumerate(ops):
        call, back = _Event(op, index), _Event(op, index)
        call.match = back
        timed.append((op.call, 0, call))
        timed.append((math.inf if op.ret is None else op.ret, 1, back))
    timed.sort(key=lambda item: item[:2])
    head = last = _Event(Op(0, "", "", None, None, 0, None, False, None, None), -1)
    for _, _, event in timed:
        last.next, event.before, last = event, last, event
    return head


def _unlink(event: _Event) -> None:
    assert event.before is not None
    event.before.next = event.next
    if event.next is not None:
        event.next.before = event.before


def _link(event: _Event) -> None:
    assert event.before is not None
    event.before.next = event
    if event.next is not None:
        event.next.before = event


def _lift(call: _Event) -> None:
    assert call.match is not None
    _unlink(call)
    _unlink(call.match)


def _put_back(call: _Event) -> None:
    assert call.match is not None
    _link(call.match)
    _link(call)


def resolve(ops: list[Op]) -> list[Op]:
    """The history without lost operations that nobody can have noticed.

    Lost reads say nothing. A lost write whose (unique) value no answer ever showed, neither as what
    was read nor as what was replaced, did not happen before any later operation.
    """
    noticed = {op.value for op in ops if op.ret is not None}
    return [
        op
        for op in ops
        if op.ret is not None or op.op == "delete" or (op.op != "get" and op.arg in noticed)
    ]


def index_violations(ops: list[Op]) -> list[str]:
    """What contradicts the order of indexes: duplicates, time going backwards, stale reads."""
    found = []
    writes = sorted(
        (op for op in ops if op.op != "get" and op.ok and op.ret is not None and op.modified),
        key=lambda op: op.modified or 0,
    )
    latest_call = -math.inf
    for op, after in zip(writes, [*writes[1:], None], strict=True):
        if after is not None and after.modified == op.modified:
            found.append(f"one index, two writes: {op} {after}")
        assert op.ret is not None
        if op.ret < latest_call:
            found.append(f"acknowledged before a write of a lower index began: {op}")
        latest_call = max(latest_call, op.call)
    for key in sorted({op.key for op in ops}):
        found += _read_violations([op for op in ops if op.key == key])
    return found


def _read_violations(ops: list[Op]) -> list[str]:
    found = []
    by_index = {op.modified: op for op in ops if op.op in ("set", "cas") and op.ok and op.modified}
    acknowledged = sorted(
        (op.ret, op.modified or 0)
        for op in ops
        if op.op != "get" and op.ok and op.ret is not None and op.modified
    )
    times = [moment for moment, _ in acknowledged]
    highest: list[int] = []
    for _, index in acknowledged:
        highest.append(max(index, highest[-1] if highest else 0))
    for op in ops:
        if op.op != "get" or not op.ok or op.ret is None:
            continue
        position = bisect.bisect_left(times, op.call)
        if position and highest[position - 1] > (op.modified or 0):
            found.append(f"stale: index {highest[position - 1]} was acknowledged before {op}")
        write = by_index.get(op.modified or 0)
        if write is not None and write.arg != op.value:
            found.append(f"read something else than was written: {op} {write}")
        if write is not None and write.call > op.ret:
            found.append(f"read before it was written: {op} {write}")
    return found
