"""Protobuf codecs of etcd 2.3: raft messages, requests, WAL records, snapshot files.

Mirrors raft/raftpb, etcdserver/etcdserverpb, wal/walpb and snap/snappb of etcd 2.3.8. Emission is
byte for byte what its generated Go code writes: fields ascending, every scalar present even when 0,
optional bools only when set, optional bytes only when there are any. Decoding accepts any order,
omitted fields and unknown fields; whatever is malformed raises WireError and nothing else.
Strings are UTF-8 with surrogateescape, so any bytes survive. Pure: no I/O.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from coreos_py.etcd.pb_wire import (
    U64_MASK,
    check_newer,
    int32,
    int64,
    read_uvarint,
    scan,
    uvarint,
)
from coreos_py.raft.types import (
    ConfChange,
    Entry,
    HardState,
    Message,
    Snapshot,
    SnapshotMeta,
)


class Request(NamedTuple):
    """etcdserverpb.Request: one replicated operation; None means an optional bool is absent."""

    id: int = 0
    method: str = ""
    path: str = ""
    val: str = ""
    dir: bool = False
    prev_value: str = ""
    prev_index: int = 0
    prev_exist: bool | None = None
    expiration: int = 0
    wait: bool = False
    since: int = 0
    recursive: bool = False
    sorted: bool = False
    quorum: bool = False
    time: int = 0
    stream: bool = False
    refresh: bool | None = None


class Metadata(NamedTuple):
    """etcdserverpb.Metadata: who wrote a WAL."""

    node_id: int = 0
    cluster_id: int = 0


class Record(NamedTuple):
    """walpb.Record."""

    type: int = 0
    crc: int = 0
    data: bytes = b""


class Marker(NamedTuple):
    """walpb.Snapshot: a snapshot of this index and term exists or is about to."""

    index: int = 0  # type: ignore[assignment]  # hides tuple.index, as the wire name has it
    term: int = 0


class SnapFile(NamedTuple):
    """snappb.snapshot: the envelope of a .snap file."""

    crc: int = 0
    data: bytes = b""


# --- encoding -------------------------------------------------------------------------------------


# Everything after Val of a Request that sets nothing else: most PUTs.
_REQUEST_PLAIN = (False, "", 0, None, 0, False, 0, False, False, False, 0, False, None)
_REQUEST_TAIL = bytes.fromhex("2800 3200 3800 4800 5000 5800 6000 6800 7000 7800 800100")
_FALSE_TRUE = (b"\x00", b"\x01")


def _encode_method(method: str) -> bytes:
    data = method.encode("utf-8", "surrogateescape")
    return b"\x12%b%b" % (uvarint(len(data)), data)


_METHODS = {name: _encode_method(name) for name in ("PUT", "POST", "DELETE", "QGET", "SYNC")}


def encode_request(request: Request) -> bytes:
    """etcdserverpb.Request as etcd 2.3 writes it."""
    path = request[2].encode("utf-8", "surrogateescape")
    val = request[3].encode("utf-8", "surrogateescape")
    return b"".join(
        (
            b"\x08",
            uvarint(request[0]),
            _METHODS.get(request[1]) or _encode_method(request[1]),
            b"\x1a",
            uvarint(len(path)),
            path,
            b"\x22",
            uvarint(len(val)),
            val,
            _REQUEST_TAIL if request[4:] == _REQUEST_PLAIN else _request_rest(request),
        )
    )


def _request_rest(request: Request) -> bytes:
    prev_value = request.prev_value.encode("utf-8", "surrogateescape")
    flag = _FALSE_TRUE
    return b"".join(
        (
            b"\x28\x01\x32" if request.dir else b"\x28\x00\x32",
            uvarint(len(prev_value)),
            prev_value,
            b"\x38",
            uvarint(request.prev_index),
            b"" if request.prev_exist is None else b"\x40" + flag[request.prev_exist],
            b"\x48",
            uvarint(request.expiration & U64_MASK),
            b"\x50\x01\x58" if request.wait else b"\x50\x00\x58",
            uvarint(request.since),
            b"\x60\x01" if request.recursive else b"\x60\x00",
            b"\x68\x01" if request.sorted else b"\x68\x00",
            b"\x70\x01\x78" if request.quorum else b"\x70\x00\x78",
            uvarint(request.time & U64_MASK),
            b"\x80\x01\x01" if request.stream else b"\x80\x01\x00",
            b"" if request.refresh is None else b"\x88\x01" + flag[request.refresh],
        )
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


def encode_metadata(metadata: Metadata) -> bytes:
    """etcdserverpb.Metadata."""
    return b"\x08%b\x10%b" % (uvarint(metadata.node_id), uvarint(metadata.cluster_id))


def encode_record(record: Record) -> bytes:
    """walpb.Record, without the length in front of it."""
    head = b"\x08%b\x10%b" % (uvarint(record.type & U64_MASK), uvarint(record.crc))
    data = record.data
    return b"%b\x1a%b%b" % (head, uvarint(len(data)), data) if data else head


def encode_marker(marker: Marker) -> bytes:
    """walpb.Snapshot."""
    return b"\x08%b\x10%b" % (uvarint(marker.index), uvarint(marker.term))


def encode_snap_file(envelope: SnapFile) -> bytes:
    """snappb.snapshot."""
    head = b"\x08" + uvarint(envelope.crc)
    data = envelope.data
    return b"".join((head, b"\x12", uvarint(len(data)), data)) if data else head


# --- decoding -------------------------------------------------------------------------------------


_REQUEST_TAGS = frozenset(
    field << 3 | (2 if field in (2, 3, 4, 6) else 0) for field in range(1, 18)
)


def decode_request(data: bytes) -> Request:
    """etcdserverpb.Request."""
    if data.endswith(_REQUEST_TAIL):
        plain = _plain_request(data)
        if plain is not None:
            return plain
    numbers: list[int | None] = [0] * 18
    numbers[8] = numbers[17] = None
    blobs = [b""] * 18
    for tag, number, blob in scan(data):
        if tag in _REQUEST_TAGS:
            numbers[tag >> 3] = number
            blobs[tag >> 3] = blob
        else:
            check_newer(tag, 17, "Request")
    text = [blob.decode("utf-8", "surrogateescape") for blob in blobs]
    prev_exist, refresh = numbers[8], numbers[17]
    number_of = [number or 0 for number in numbers]
    return Request(
        number_of[1],
        text[2],
        text[3],
        text[4],
        number_of[5] != 0,
        text[6],
        number_of[7],
        None if prev_exist is None else prev_exist != 0,
        int64(number_of[9]),
        number_of[10] != 0,
        number_of[11],
        number_of[12] != 0,
        number_of[13] != 0,
        number_of[14] != 0,
        int64(number_of[15]),
        number_of[16] != 0,
        None if refresh is None else refresh != 0,
    )


def _plain_request(data: bytes) -> Request | None:
    """The request if it has exactly the form of a PUT that sets nothing but a value."""
    last = len(data) - len(_REQUEST_TAIL)
    try:
        if data[0] != 0x08:
            return None
        number, at = read_uvarint(data, 1)
        strings = []
        for tag in (0x12, 0x1A, 0x22):
            if data[at] != tag:
                return None
            size = data[at + 1]
            at += 2
            if size > 0x7F:
                size, at = read_uvarint(data, at - 1)
            strings.append(data[at : at + size].decode("utf-8", "surrogateescape"))
            at += size
    except IndexError:
        return None
    method, path, val = strings
    return Request(number, method, path, val) if at == last else None


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


def decode_metadata(data: bytes) -> Metadata:
    """etcdserverpb.Metadata."""
    node_id = cluster_id = 0
    for tag, number, _ in scan(data):
        if tag == 0x08:
            node_id = number
        elif tag == 0x10:
            cluster_id = number
        else:
            check_newer(tag, 2, "Metadata")
    return Metadata(node_id, cluster_id)


def decode_record(data: bytes) -> Record:
    """walpb.Record."""
    kind = crc = 0
    payload = b""
    for tag, number, blob in scan(data):
        if tag == 0x08:
            kind = int64(number)
        elif tag == 0x10:
            crc = number & 0xFFFFFFFF
        elif tag == 0x1A:
            payload = blob
        else:
            check_newer(tag, 3, "Record")
    return Record(kind, crc, payload)


def decode_marker(data: bytes) -> Marker:
    """walpb.Snapshot."""
    index = term = 0
    for tag, number, _ in scan(data):
        if tag == 0x08:
            index = number
        elif tag == 0x10:
            term = number
        else:
            check_newer(tag, 2, "Snapshot")
    return Marker(index, term)


def decode_snap_file(data: bytes) -> SnapFile:
    """snappb.snapshot."""
    crc = 0
    payload = b""
    for tag, number, blob in scan(data):
        if tag == 0x08:
            crc = number & 0xFFFFFFFF
        elif tag == 0x12:
            payload = blob
        else:
            check_newer(tag, 2, "snapshot")
    return SnapFile(crc, payload)
