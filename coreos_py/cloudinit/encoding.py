"""The encodings of write_files, and compressed user-data. Pure.

Mirrors config/decode.go of coreos-cloudinit 1.13.0, with a bound on what a small file may become.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from coreos_py.cloudinit import gotext

BASE64 = ("b64", "base64")
GZIP = ("gz", "gzip")
GZIP_BASE64 = ("gz+base64", "gzip+base64", "gz+b64", "gzip+b64")
GZIP_MAGIC = b"\x1f\x8b"
UNPACKED_BYTES_MAX = 64 << 20

_FHCRC, _FEXTRA, _FNAME, _FCOMMENT = 2, 4, 8, 16
_HEADER_BYTES = 10
_TRAILER_BYTES = 8
_STEP_BYTES = 4096


class EncodingError(Exception):
    """The content cannot be decoded; the message is upstream's."""


class Unpacked(NamedTuple):
    """What came out of a gzip stream, and what ended it too early ("" when nothing did)."""

    data: bytes
    problem: str


def decode_content(content: bytes, encoding: str) -> bytes:
    """A file's bytes; EncodingError."""
    if encoding == "":
        return content
    if encoding in BASE64:
        return _base64(content)
    if encoding in GZIP:
        return _gzip(content)
    if encoding in GZIP_BASE64:
        return _gzip(_base64(content))
    raise EncodingError(f"Unsupported encoding {gotext.quote(encoding)}")


def _base64(content: bytes) -> bytes:
    try:
        return gotext.base64_bytes(content)
    except ValueError as error:
        raise EncodingError(f"Unable to decode base64: {gotext.quote(str(error))}") from None


def _gzip(content: bytes) -> bytes:
    """A stream that breaks off gives what could be read, as upstream has it."""
    try:
        found = gunzip(content)
    except ValueError as error:
        raise EncodingError(f"Unable to decode gzip: {gotext.quote(str(error))}") from None
    if found.problem == TOO_LARGE:
        raise EncodingError(f"Unable to decode gzip: {gotext.quote(found.problem)}")
    return found.data


TOO_LARGE = f"more than {UNPACKED_BYTES_MAX >> 20} MiB"


def gunzip(data: bytes) -> Unpacked:
    """All members of a gzip stream; ValueError when not even the first header is good."""
    pieces: list[bytes] = []
    room = UNPACKED_BYTES_MAX
    at = _after_header(data, 0)
    while True:
        member, at, problem = _inflate(data, at, room)
        pieces.append(member)
        room -= len(member)
        if not problem:
            problem = _trailer_problem(data[at : at + _TRAILER_BYTES], member)
            at += _TRAILER_BYTES
        if problem or at == len(data):
            return Unpacked(b"".join(pieces), problem)
        try:
            at = _after_header(data, at)
        except ValueError as error:
            return Unpacked(b"".join(pieces), str(error))


def _inflate(data: bytes, at: int, room: int) -> tuple[bytes, int, str]:
    """One member's bytes, where it ends, and what is wrong with it."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    out = bytearray()
    step = _STEP_BYTES
    while at < len(data) and not inflate.eof:
        before = inflate.copy()
        piece = data[at : at + step]
        try:
            out += inflate.decompress(piece)
        except zlib.error:
            if step == 1:
                return bytes(out), at, f"flate: corrupt input before offset {at}"
            inflate, step = before, 1  # what precedes the damage counts
            continue
        at += len(piece) - len(inflate.unused_data)
        if len(out) > room:
            return bytes(out[:room]), at, TOO_LARGE
    return bytes(out), at, "" if inflate.eof else "unexpected EOF"


def _trailer_problem(trailer: bytes, member: bytes) -> str:
    if len(trailer) < _TRAILER_BYTES:
        return "unexpected EOF"
    expected = zlib.crc32(member).to_bytes(4, "little") + (len(member) & 0xFFFFFFFF).to_bytes(
        4, "little"
    )
    return "" if trailer == expected else "gzip: invalid checksum"


def _after_header(data: bytes, at: int) -> int:
    """Where the compressed bytes begin; ValueError in Go's words."""
    if len(data) - at < _HEADER_BYTES:
        raise ValueError("EOF" if at == len(data) else "unexpected EOF")
    if not data.startswith(GZIP_MAGIC + b"\x08", at):
        raise ValueError("gzip: invalid header")
    flags = data[at + 3]
    begin = at
    at += _HEADER_BYTES
    if flags & _FEXTRA:
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    for flag in (_FNAME, _FCOMMENT):
        if flags & flag:
            end = data.find(b"\0", at)
            if end < 0:
                raise ValueError("unexpected EOF")
            at = end + 1
    if flags & _FHCRC:
        if data[at : at + 2] != (zlib.crc32(data[begin:at]) & 0xFFFF).to_bytes(2, "little"):
            raise ValueError("gzip: invalid header")
        at += 2
    if at > len(data):
        raise ValueError("unexpected EOF")
    return at
