"""Protobuf codecs of raftpb: entries, states, changes of members, snapshots, messages.

Mirrors raft/raftpb of etcd 2.3.8; see pb for what is common to all. Pure: no I/O.
"""

from __future__ import annotations

import re
from functools import lru_cache

from coreos_py.base.protobuf import (
    U64_MASK,
    int32,
    read_uvarint,
    scan,
)
from coreos_py.etcd.pb_wire import check_newer, uvarint
from coreos_py.raft.types import (
    ConfChange,
    Entry,
    HardState,
    Message,
    Snapshot,
    SnapshotMeta,
)


def encode_entry(entry: Entry) -> bytes:
    """raftpb.Entry."""
    term, index, kind, data = entry
    head = _ENTRY_HEADS.get((kind, term)) or _entry_head(kind, term)
    if data:
        return b"%b%b\x22%b%b" % (head, uvarint(index), uvarint(len(data)), data)
    return head + uvarint(index)


# Type and term of an entry, which rarely change from one to the next.
_ENTRY_HEADS: dict[tuple[int, int], bytes] = {}
_ENTRY_HEADS_MAX = 64


def _entry_head(kind: int, term: int) -> bytes:
    if len(_ENTRY_HEADS) >= _ENTRY_HEADS_MAX:
        _ENTRY_HEADS.clear()
    head = b"\x08%b\x10%b\x18" % (uvarint(kind & U64_MASK), uvarint(term))
    _ENTRY_HEADS[kind, term] = head
    return head


def encode_hard_state(state: HardState) -> bytes:
    """raftpb.HardState."""
    return b"\x08%b\x10%b\x18%b" % (
        uvarint(state.term),
        uvarint(state.vote),
        uvarint(state.commit),
    )


def encode_conf_change(change: ConfChange) -> bytes:
    """raftpb.ConfChange."""
    head = b"\x08%b\x10%b\x18%b" % (
        uvarint(change.id),
        uvarint(change.type & U64_MASK),
        uvarint(change.node_id),
    )
    context = change.context
    return b"%b\x22%b%b" % (head, uvarint(len(context)), context) if context else head


def encode_conf_state(nodes: tuple[int, ...]) -> bytes:
    """raftpb.ConfState: the voters, unpacked."""
    return b"".join([b"\x08" + uvarint(node) for node in nodes])


def encode_snapshot_meta(meta: SnapshotMeta) -> bytes:
    """raftpb.SnapshotMetadata."""
    nodes = encode_conf_state(meta.nodes)
    return b"\x0a%b%b\x10%b\x18%b" % (
        uvarint(len(nodes)),
        nodes,
        uvarint(meta.index),
        uvarint(meta.term),
    )


def _snapshot_parts(snapshot: Snapshot) -> list[bytes]:
    data = snapshot.data
    meta = encode_snapshot_meta(snapshot.meta)
    tail = b"\x12%b%b" % (uvarint(len(meta)), meta)
    return [b"\x0a", uvarint(len(data)), data, tail] if data else [tail]


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """raftpb.Snapshot."""
    return b"".join(_snapshot_parts(snapshot))


_NO_SNAPSHOT = encode_snapshot(Snapshot())


def encode_message(message: Message) -> bytes:
    """raftpb.Message; field 12 (context) is ours and only there when it is not empty."""
    return b"".join(message_parts(message))


def message_parts(message: Message) -> list[bytes]:
    """The pieces of encode_message(), so that snapshot data is not copied twice."""
    kind, to, from_, term, log_term, index, entries, commit, snapshot = message[:9]
    parts = [
        b"\x08%b\x10%b\x18%b\x20%b\x28%b\x30%b"
        % (
            uvarint(kind & U64_MASK),
            uvarint(to),
            uvarint(from_),
            uvarint(term),
            uvarint(log_term),
            uvarint(index),
        )
    ]
    for entry in entries:
        data = encode_entry(entry)
        parts += (b"\x3a", uvarint(len(data)), data)
    inner = [_NO_SNAPSHOT] if snapshot is None else _snapshot_parts(snapshot)
    parts += (b"\x40", uvarint(commit), b"\x4a", uvarint(sum(map(len, inner))))
    parts += inner
    parts += (b"\x50\x01\x58" if message.reject else b"\x50\x00\x58", uvarint(message.reject_hint))
    if message.context:
        parts += (b"\x62", uvarint(len(message.context)), message.context)
    return parts


def decode_entry(data: bytes) -> Entry:
    """raftpb.Entry."""
    plain = _plain_entry(data)
    if plain is not None:
        return plain
    kind = term = index = 0
    payload = b""
    for tag, number, blob in scan(data):
        if tag == 0x08:
            kind = int32(number)
        elif tag == 0x10:
            term = number
        elif tag == 0x18:
            index = number
        elif tag == 0x22:
            payload = blob
        else:
            check_newer(tag, 4, "Entry")
    return Entry(term, index, kind, payload)


def _plain_entry(data: bytes) -> Entry | None:
    """The entry if its fields come in the order in which etcd writes them."""
    try:
        kind = data[1]
        if data[0] != 0x08 or kind > 0x7F or data[2] != 0x10:
            return None
        term, at = data[3], 4
        if term > 0x7F:
            term, at = read_uvarint(data, 3)
        index = data[at + 1]
        if data[at] != 0x18:
            return None
        at += 2
        if index > 0x7F:
            index, at = read_uvarint(data, at - 1)
        if at == len(data):
            return Entry(term, index, kind)
        if data[at] != 0x22:
            return None
        size = data[at + 1]
        at += 2
        if size > 0x7F:
            size, at = read_uvarint(data, at - 1)
    except IndexError:
        return None
    return Entry(term, index, kind, data[at:]) if at + size == len(data) else None


def decode_hard_state(data: bytes) -> HardState:
    """raftpb.HardState."""
    term = vote = commit = 0
    for tag, number, _ in scan(data):
        if tag == 0x08:
            term = number
        elif tag == 0x10:
            vote = number
        elif tag == 0x18:
            commit = number
        else:
            check_newer(tag, 3, "HardState")
    return HardState(term, vote, commit)


def decode_conf_change(data: bytes) -> ConfChange:
    """raftpb.ConfChange."""
    ident = kind = node_id = 0
    context = b""
    for tag, number, blob in scan(data):
        if tag == 0x08:
            ident = number
        elif tag == 0x10:
            kind = int32(number)
        elif tag == 0x18:
            node_id = number
        elif tag == 0x22:
            context = blob
        else:
            check_newer(tag, 4, "ConfChange")
    return ConfChange(ident, kind, node_id, context)


def decode_conf_state(data: bytes) -> tuple[int, ...]:
    """raftpb.ConfState."""
    nodes = []
    for tag, number, _ in scan(data):
        if tag == 0x08:
            nodes.append(number)
        else:
            check_newer(tag, 1, "ConfState")
    return tuple(nodes)


def decode_snapshot_meta(data: bytes) -> SnapshotMeta:
    """raftpb.SnapshotMetadata."""
    index = term = 0
    nodes = b""
    for tag, number, blob in scan(data):
        if tag == 0x0A:
            nodes += blob  # protobuf merges repeated embedded messages
        elif tag == 0x10:
            index = number
        elif tag == 0x18:
            term = number
        else:
            check_newer(tag, 3, "SnapshotMetadata")
    return SnapshotMeta(index, term, decode_conf_state(nodes))


def decode_snapshot(data: bytes) -> Snapshot:
    """raftpb.Snapshot."""
    payload = meta = b""
    for tag, _, blob in scan(data):
        if tag == 0x0A:
            payload = blob
        elif tag == 0x12:
            meta += blob
        else:
            check_newer(tag, 2, "Snapshot")
    return Snapshot(payload, decode_snapshot_meta(meta))


def decode_message(data: bytes) -> Message:
    """raftpb.Message; the empty snapshot that etcd 2.3 writes into every message reads as None."""
    plain = _PLAIN_MESSAGE.fullmatch(data)
    if plain is not None:
        kind, to, from_, term, log_term, index, commit, reject, hint = map(_varint, plain.groups())
        return Message(kind, to, from_, term, log_term, index, (), commit, None, reject != 0, hint)
    numbers = [0] * 12
    entries = []
    snapshot = context = b""
    for tag, number, blob in scan(data):
        if tag in _MESSAGE_NUMBERS:
            numbers[tag >> 3] = number
        elif tag == 0x3A:
            entries.append(decode_entry(blob))
        elif tag == 0x4A:
            snapshot += blob
        elif tag == 0x62:
            context = blob
        else:
            check_newer(tag, 12, "Message")
    found = Snapshot() if snapshot in (b"", _NO_SNAPSHOT) else decode_snapshot(snapshot)
    return Message(
        int32(numbers[1]),
        numbers[2],
        numbers[3],
        numbers[4],
        numbers[5],
        numbers[6],
        tuple(entries),
        numbers[8],
        None if found == Snapshot() else found,
        numbers[10] != 0,
        numbers[11],
        context,
    )


# A message without entries, snapshot and context, whose fields come in the order in which etcd
# writes them.
_VARINT = rb"([\x80-\xff]{0,8}[\x00-\x7f])"
_ID = rb"([\x80-\xff]{0,9}[\x00-\x7f])"
_PLAIN_MESSAGE = re.compile(
    rb"\x08([\x00-\x7f])\x10%b\x18%b\x20%b\x28%b\x30%b\x40%b\x4a%b\x50([\x00\x01])\x58%b"
    % (
        *(_ID, _ID, _VARINT, _VARINT, _VARINT, _VARINT),
        re.escape(uvarint(len(_NO_SNAPSHOT)) + _NO_SNAPSHOT),
        _VARINT,
    )
)


@lru_cache(maxsize=256)  # most of them are ids, terms and zeros
def _varint(data: bytes) -> int:
    return read_uvarint(data, 0)[0]


_MESSAGE_NUMBERS = frozenset(field << 3 for field in (1, 2, 3, 4, 5, 6, 8, 10, 11))
