"""Protobuf codecs of walpb and snappb: the records of a log, the envelope of a snapshot file.

Mirrors wal/walpb and snap/snappb of etcd 2.3.8; see pb for what is common to all. Pure: no I/O.
"""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.base.protobuf import U64_MASK, int64, scan
from coreos_py.etcd.pb_wire import check_newer, uvarint


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
