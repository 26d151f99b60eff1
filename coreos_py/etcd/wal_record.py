"""The records of etcd 2.3's write-ahead log: framing, the running CRC, and strict reading.

A record is an 8-byte little-endian length and a walpb.Record, nothing between records. The CRC-32C
runs over the data of all records of all files and does not cover the record's type or the length,
so reading accepts only the one encoding that etcd 2.x writes: whatever else is there is damage.
Mirrors wal/encoder.go and wal/decoder.go of etcd 2.3.8. Pure: bytes in, bytes out.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import NamedTuple

from coreos_py.base.crc import crc32c
from coreos_py.base.errors import WireError
from coreos_py.base.protobuf import read_uvarint
from coreos_py.etcd import pb
from coreos_py.etcd.pb_wire import uvarint
from coreos_py.raft.types import Entry, EntryType, HardState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

METADATA = 1
ENTRY = 2
STATE = 3
CRC = 4
MARKER = 5

RECORD_BYTES_MAX = 256 << 20
HEADER_BYTES_MAX = 2 + 1 + 5 + 1 + 5

_LENGTH = Struct("<Q")

# What most of a log consists of, by the place of its varints (all of them in the shortest form):
# entries that set something, and hard states. The first eight bytes are the length.
_POSITIVE = rb"(?:[\x80-\xff]{0,8}[\x01-\x7f]|[\x80-\xff]{9}\x01)"
_NUMBER = rb"(\x00|" + _POSITIVE + rb")"
_PLAIN_ENTRY = re.compile(
    rb"[\s\S]{8}\x08\x02\x10%b\x1a%b()\x08\x00\x10%b\x18%b\x22%b" % ((_NUMBER,) * 5)
)
_PLAIN_STATE = re.compile(
    rb"[\s\S]{8}\x08\x03\x10%b\x1a([\x01-\x7f])()\x08%b\x10%b\x18%b()"
    % (_NUMBER, _POSITIVE, _NUMBER, _NUMBER)
)

# The texts that etcd 2.3.8 prints.
CRC_MISMATCH = "walpb: crc mismatch"
CRC_BREAK = "wal: crc mismatch"
UNEXPECTED_EOF = "unexpected EOF"
PADDED = "its records are padded, as etcd 3 writes them and etcd 2 cannot read them"
_LENGTH_3X = (1 << 56) - 1  # etcd 3 keeps the number of padding bytes above the length


class BadRecord(Exception):
    """A record that is damaged, or (torn) cut off by the end of the bytes."""

    def __init__(self, offset: int, detail: str, *, torn: bool = False) -> None:
        super().__init__(detail)
        self.offset = offset
        self.detail = detail
        self.torn = torn


class Found(NamedTuple):
    """A record that was read, and where it starts."""

    offset: int
    kind: int
    data: bytes


def frame(kind: int, data: bytes, crc: int) -> bytes:
    """One record with its length; crc is the running value with data already in it."""
    size = len(data)
    head = b"\x08%c\x10%b" % (kind, uvarint(crc))
    if data:
        head = b"%b\x1a%b" % (head, uvarint(size))
    return b"%b%b%b" % (_LENGTH.pack(len(head) + size), head, data)


def append_record(parts: list[bytes], crc: int, *, kind: int, data: bytes) -> int:
    """Add one framed record to parts and return the running CRC behind it."""
    _check_size(data)
    crc = crc32c(data, crc)
    parts.append(frame(kind, data, crc))
    return crc


def append_entries(parts: list[bytes], crc: int, *, entries: Iterable[Entry]) -> int:
    """Add entry records to parts and return the running CRC behind them."""
    pack = _LENGTH.pack
    for entry in entries:
        data = pb.encode_entry(entry)
        crc = crc32c(data, crc)
        size = len(data)
        if size > 65536:
            _check_size(data)
        head = b"\x08\x02\x10%b\x1a%b" % (uvarint(crc), uvarint(size))
        parts += (pack(len(head) + size), head, data)
    return crc


def _check_size(data: bytes) -> None:
    if len(data) > RECORD_BYTES_MAX - HEADER_BYTES_MAX:
        raise ValueError(f"a WAL record of {len(data)} bytes is too long")


class RecordReader:
    """Reads the records of one file; `crc` is the running value, `end` the end of the last one."""

    def __init__(self, data: bytes, crc: int | None) -> None:
        self.data = data
        self.crc = crc
        self.end = 0

    def __iter__(self) -> Iterator[Found]:
        """Whole, verified records in order; BadRecord at the first that is not."""
        data = self.data
        size = len(data)
        while self.end < size:
            at = self.end
            if size - at < 8:
                raise BadRecord(at, UNEXPECTED_EOF, torn=True)
            (length,) = _LENGTH.unpack_from(data, at)
            if length > RECORD_BYTES_MAX:
                raise BadRecord(at, _bad_length(length))
            kind, crc, start = _read_header(data, at, length)
            end = at + 8 + length
            if end > size:
                raise BadRecord(at, UNEXPECTED_EOF, torn=True)
            payload = data[start:end]
            self._advance(at, kind, crc, payload)
            self.end = end
            yield Found(at, kind, payload)

    def run(self, before: Entry) -> tuple[list[Entry], bytes]:
        """Passes over the entries that follow `before` in its term, and hard states among them.

        The entries, and the last hard state's record data. Only a shorter way: it stops where a
        record is not exactly what it expects, and leaves that one to the iteration.
        """
        data, crc, at = self.data, self.crc, self.end
        assert crc is not None
        unpack, make, size = _LENGTH.unpack_from, Entry._make, len(data)
        term, index = before.term, before.index
        term_bytes = uvarint(term)
        entries: list[Entry] = []
        state = b""
        while (found := _PLAIN_ENTRY.match(data, at) or _PLAIN_STATE.match(data, at)) is not None:
            (length,) = unpack(data, at)
            end, start, inner = at + 8 + length, found.start(3), found.end()
            if not inner <= end <= size or length > RECORD_BYTES_MAX:
                break
            payload = data[start:end]
            crc_now = crc32c(payload, crc)
            if found.re is _PLAIN_ENTRY:
                index += 1
                if found.group(1, 2, 4, 5, 6) != (
                    uvarint(crc_now),
                    uvarint(end - start),
                    term_bytes,
                    uvarint(index),
                    uvarint(end - inner),
                ):
                    break
                entries.append(make((term, index, 0, data[inner:end])))
            elif found.group(1, 2) == (uvarint(crc_now), uvarint(end - start)) and inner == end:
                state = payload
            else:
                break
            crc, at = crc_now, end
        self.crc, self.end = crc, at
        return entries, state

    def _advance(self, at: int, kind: int, crc: int, payload: bytes) -> None:
        if kind == CRC:
            if self.crc is not None and crc != self.crc:
                raise BadRecord(at, CRC_BREAK)
            self.crc = crc
            return
        if self.crc is None:
            raise BadRecord(at, "the file does not start with a crc record")
        self.crc = crc32c(payload, self.crc)
        if crc != self.crc:
            raise BadRecord(at, CRC_MISMATCH)


def _bad_length(length: int) -> str:
    if length >> 63 and length & _LENGTH_3X <= RECORD_BYTES_MAX:
        return PADDED
    return f"record length {length} is out of bounds"


def _read_header(data: bytes, at: int, length: int) -> tuple[int, int, int]:
    """Type, CRC and the start of the data of the record at an offset.

    The record may be cut off by the end of data. As far as it can be seen its own lengths must
    agree, or a damaged length in the middle of a log would pass for a torn tail and drop the rest.
    """
    begin = at + 8
    seen = data[begin : begin + min(length, HEADER_BYTES_MAX)]
    try:
        if seen[0] != 0x08:
            raise BadRecord(at, "malformed record")
        kind = seen[1]
        if not METADATA <= kind <= MARKER:
            raise BadRecord(at, f"unexpected block type {kind}")
        if seen[2] != 0x10:
            raise BadRecord(at, "malformed record")
        crc, here = read_uvarint(seen, 3)
        if crc > 0xFFFFFFFF or uvarint(crc) != seen[3:here]:
            raise BadRecord(at, "malformed crc")
        if kind == CRC:
            if here != length:
                raise BadRecord(at, "crc record with data")
            return kind, crc, begin + here
        if seen[here] != 0x1A:
            raise BadRecord(at, "malformed record")
        size, start = read_uvarint(seen, here + 1)
        if uvarint(size) != seen[here + 1 : start] or start + size != length or not size:
            raise BadRecord(at, "record length does not match its data")
    except IndexError:
        torn = begin + length > len(data)
        detail = UNEXPECTED_EOF if torn else "malformed record"
        raise BadRecord(at, detail, torn=torn) from None
    except WireError:
        raise BadRecord(at, "malformed record") from None
    return kind, crc, begin + start


def read_entry(found: Found) -> Entry:
    """The entry in a record."""
    data = found.data
    try:
        entry = pb.decode_entry(data)
    except WireError as error:
        raise BadRecord(found.offset, str(error)) from None
    if pb.encode_entry(entry) != data and not (not entry.data and data.endswith(b"\x22\x00")):
        raise BadRecord(found.offset, "not an entry")
    term, index, kind, payload = entry
    if kind == EntryType.NORMAL or (kind == EntryType.CONF_CHANGE and payload):
        if term and index:
            return entry
        raise BadRecord(found.offset, f"entry with term {term} and index {index}")
    raise BadRecord(found.offset, f"entry of type {kind} with {len(payload)} bytes")


def read_state(found: Found) -> HardState:
    """The hard state in a record."""
    try:
        state = pb.decode_hard_state(found.data)
    except WireError as error:
        raise BadRecord(found.offset, str(error)) from None
    if pb.encode_hard_state(state) != found.data or not state.term:
        raise BadRecord(found.offset, "not a hard state")
    return state


def read_marker(found: Found) -> pb.Marker:
    """The snapshot marker in a record."""
    try:
        marker = pb.decode_marker(found.data)
    except WireError as error:
        raise BadRecord(found.offset, str(error)) from None
    if pb.encode_marker(marker) != found.data:
        raise BadRecord(found.offset, "not a snapshot marker")
    return marker
