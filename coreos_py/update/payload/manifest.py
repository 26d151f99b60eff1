"""A payload's head: magic, version, and the manifest that says what to write where. Pure.

    "CrAU" | u64be 1 | u64be length | DeltaArchiveManifest | blobs ... | Signatures

Offsets of blobs count from the end of the manifest. Mirrors update_engine 0.4.10's
update_metadata.proto; decoding and encoding what its generator wrote gives the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from coreos_py.omaha.codes import ErrorCode
from coreos_py.update.payload import wire
from coreos_py.update.payload.errors import PayloadError

MAGIC = b"CrAU"
VERSION = 1
HEAD_SIZE = 20
MANIFEST_MAX = 64 << 20
BLOCK_SIZE = 4096
HOLE = (1 << 64) - 1  # an extent that is in no place: what belongs there is skipped
SIGNATURE_VERSION = 2


class Kind(IntEnum):
    """How an operation makes its blocks."""

    REPLACE = 0
    REPLACE_BZ = 1
    MOVE = 2
    BSDIFF = 3


class FileKind(IntEnum):
    """What a procedure writes besides the partition."""

    KERNEL = 0
    PCR_POLICY = 1


class Extent(NamedTuple):
    """A run of blocks."""

    start: int
    blocks: int


class Operation(NamedTuple):
    """One step of writing a partition or file."""

    kind: Kind
    data_offset: int = 0
    data_length: int = 0
    source: tuple[Extent, ...] = ()
    source_length: int = 0
    target: tuple[Extent, ...] = ()
    target_length: int = 0
    data_sha256: bytes = b""


class Info(NamedTuple):
    """Size and SHA-256 of a partition or file."""

    size: int
    sha256: bytes


class Procedure(NamedTuple):
    """How to write one file; `kind` is None where this program does not know it."""

    kind: FileKind | None
    operations: tuple[Operation, ...]
    old_info: Info | None
    new_info: Info | None


class Manifest(NamedTuple):
    """What a payload does."""

    operations: tuple[Operation, ...] = ()
    noop_operations: tuple[Operation, ...] = ()
    block_size: int = BLOCK_SIZE
    signatures_offset: int | None = None
    signatures_size: int | None = None
    old_info: Info | None = None
    new_info: Info | None = None
    procedures: tuple[Procedure, ...] = ()

    @property
    def is_delta(self) -> bool:
        """True when the partition's old content is needed."""
        return self.old_info is not None or any(item.source for item in self.operations)

    def steps(self) -> Iterator[tuple[Procedure | None, Operation]]:
        """Every operation in the order of its data; without a procedure, the partition's."""
        for operation in self.operations:
            yield None, operation
        for procedure in self.procedures:
            for operation in procedure.operations:
                yield procedure, operation

    def file(self, kind: FileKind) -> Procedure | None:
        """The procedure of one kind of file."""
        return next((item for item in self.procedures if item.kind is kind), None)


def head(manifest: bytes) -> bytes:
    """A payload up to its first blob, for an encoded manifest."""
    return MAGIC + struct.pack(">QQ", VERSION, len(manifest)) + manifest


def manifest_length(data: bytes) -> int:
    """The manifest's length from a payload's first 20 bytes; PayloadError 21, 32 or 45."""
    if data[:4] != MAGIC:
        raise PayloadError(ErrorCode.DOWNLOAD_INVALID_METADATA_MAGIC, "this is no update payload")
    version, length = struct.unpack(">QQ", data[4:HEAD_SIZE])
    if version != VERSION:
        text = f"payload version {version} is not known"
        raise PayloadError(ErrorCode.UNSUPPORTED_PAYLOAD_VERSION, text)
    if not 0 < length <= MANIFEST_MAX:
        text = f"a manifest of {length} bytes is refused"
        raise PayloadError(ErrorCode.DOWNLOAD_INVALID_METADATA_SIZE, text)
    return int(length)


def decode(data: bytes) -> Manifest:
    """Read a manifest; PayloadError 23."""
    try:
        return _manifest(data)
    except (ValueError, TypeError) as err:
        text = f"the manifest cannot be read: {err}"
        raise PayloadError(ErrorCode.DOWNLOAD_MANIFEST_PARSE, text) from None


def _num(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ValueError("bytes where a number belongs")
    return value


def _raw(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number where bytes belong")
    return value


def _manifest(data: bytes) -> Manifest:
    operations, noops, procedures = [], [], []
    found: dict[str, int] = {}
    infos: dict[str, Info] = {}
    for field, value in wire.fields(data):
        if field == 1:
            operations.append(_operation(_raw(value)))
        elif field == 2:
            noops.append(_operation(_raw(value)))
        elif field == 10:
            procedures.append(_procedure(_raw(value)))
        elif field in _NUMBERS:
            found[_NUMBERS[field]] = _num(value)
        elif field in _INFOS:
            infos[_INFOS[field]] = _info(_raw(value))
    return Manifest(
        operations=tuple(operations),
        noop_operations=tuple(noops),
        block_size=found.get("block_size", BLOCK_SIZE),
        signatures_offset=found.get("signatures_offset"),
        signatures_size=found.get("signatures_size"),
        old_info=infos.get("old"),
        new_info=infos.get("new"),
        procedures=tuple(procedures),
    )


_NUMBERS = {3: "block_size", 4: "signatures_offset", 5: "signatures_size"}
_INFOS = {8: "old", 9: "new"}


def _operation(data: bytes) -> Operation:
    numbers = {1: -1, 2: 0, 3: 0, 5: 0, 7: 0}  # the kind has to be there
    source, target = [], []
    digest = b""
    for field, value in wire.fields(data):
        if field in numbers:
            numbers[field] = _num(value)
        elif field == 4:
            source.append(_extent(_raw(value)))
        elif field == 6:
            target.append(_extent(_raw(value)))
        elif field == 8:
            digest = _raw(value)
    return Operation(
        kind=Kind(numbers[1]),
        data_offset=numbers[2],
        data_length=numbers[3],
        source=tuple(source),
        source_length=numbers[5],
        target=tuple(target),
        target_length=numbers[7],
        data_sha256=digest,
    )


def _extent(data: bytes) -> Extent:
    numbers = {1: 0, 2: 0}
    for field, value in wire.fields(data):
        if field in numbers:
            numbers[field] = _num(value)
    return Extent(numbers[1], numbers[2])


def _info(data: bytes) -> Info:
    size, digest = 0, b""
    for field, value in wire.fields(data):
        if field == 1:
            size = _num(value)
        elif field == 2:
            digest = _raw(value)
    return Info(size, digest)


def _procedure(data: bytes) -> Procedure:
    kind: FileKind | None = None
    operations = []
    infos: dict[int, Info] = {}
    for field, value in wire.fields(data):
        if field == 1:
            known = _num(value) in FileKind.__members__.values()
            kind = FileKind(_num(value)) if known else None
        elif field == 2:
            operations.append(_operation(_raw(value)))
        elif field in (3, 4):
            infos[field] = _info(_raw(value))
    return Procedure(kind, tuple(operations), infos.get(3), infos.get(4))


def encode(manifest: Manifest) -> bytes:
    """The manifest's bytes, fields in the order of their numbers."""
    out = [wire.octets(1, _encode_operation(item)) for item in manifest.operations]
    out += [wire.octets(2, _encode_operation(item)) for item in manifest.noop_operations]
    out.append(wire.number(3, manifest.block_size))
    if manifest.signatures_offset is not None:
        out.append(wire.number(4, manifest.signatures_offset))
    if manifest.signatures_size is not None:
        out.append(wire.number(5, manifest.signatures_size))
    if manifest.old_info is not None:
        out.append(wire.octets(8, _encode_info(manifest.old_info)))
    if manifest.new_info is not None:
        out.append(wire.octets(9, _encode_info(manifest.new_info)))
    out += [wire.octets(10, _encode_procedure(item)) for item in manifest.procedures]
    return b"".join(out)


def _encode_operation(item: Operation) -> bytes:
    out = [wire.number(1, item.kind)]
    if item.data_length:
        out += [wire.number(2, item.data_offset), wire.number(3, item.data_length)]
    out += [wire.octets(4, _encode_extent(extent)) for extent in item.source]
    if item.source_length:
        out.append(wire.number(5, item.source_length))
    out += [wire.octets(6, _encode_extent(extent)) for extent in item.target]
    if item.target_length:
        out.append(wire.number(7, item.target_length))
    if item.data_sha256:
        out.append(wire.octets(8, item.data_sha256))
    return b"".join(out)


def _encode_extent(extent: Extent) -> bytes:
    return wire.number(1, extent.start) + wire.number(2, extent.blocks)


def _encode_info(info: Info) -> bytes:
    return wire.number(1, info.size) + wire.octets(2, info.sha256)


def _encode_procedure(item: Procedure) -> bytes:
    out = [] if item.kind is None else [wire.number(1, item.kind)]
    out += [wire.octets(2, _encode_operation(operation)) for operation in item.operations]
    if item.old_info is not None:
        out.append(wire.octets(3, _encode_info(item.old_info)))
    if item.new_info is not None:
        out.append(wire.octets(4, _encode_info(item.new_info)))
    return b"".join(out)


def check(manifest: Manifest) -> None:
    """PayloadError unless the manifest can be followed: 12, 13, 22, 23, 28 or 38."""
    size = manifest.block_size
    if not 512 <= size <= 1 << 20 or size & (size - 1):
        raise PayloadError(ErrorCode.DOWNLOAD_MANIFEST_PARSE, f"block size {size} is refused")
    new = manifest.new_info
    if new is None:
        text = "the manifest does not say what the partition will be"
        raise PayloadError(ErrorCode.DOWNLOAD_PAYLOAD_VERIFICATION, text)
    if len(new.sha256) != 32 or not new.size:
        text = "the manifest says half of what the partition will be"
        raise PayloadError(ErrorCode.DOWNLOAD_NEW_PARTITION_INFO, text)
    if (manifest.signatures_offset is None) != (manifest.signatures_size is None):
        text = "the manifest gives half of where the signature is"
        raise PayloadError(ErrorCode.DOWNLOAD_SIGNATURE_MISSING_IN_MANIFEST, text)
    for procedure in manifest.procedures:
        if procedure.kind is not None and procedure.new_info is None:
            text = "the manifest does not say what a file will be"
            raise PayloadError(ErrorCode.DOWNLOAD_MANIFEST_PARSE, text)
    at = 0
    for index, (_, item) in enumerate(manifest.steps()):
        if item.data_length:
            if item.data_offset != at:
                raise _bad(f"operation {index} has its data at {item.data_offset}, not at {at}")
            if len(item.data_sha256) != 32:
                text = f"operation {index} has no digest of its data"
                raise PayloadError(ErrorCode.DOWNLOAD_OPERATION_HASH_MISSING, text)
            at += item.data_length
    if manifest.signatures_offset not in (None, at):
        raise _bad(f"the signature is at {manifest.signatures_offset}, not at {at}")


def data_end(manifest: Manifest) -> int:
    """Where the operations' data ends, counted from the end of the manifest."""
    return sum(item.data_length for _, item in manifest.steps())


def _bad(text: str) -> PayloadError:
    return PayloadError(ErrorCode.DOWNLOAD_OPERATION_EXECUTION, text)


# -- the signature blob


def encode_signatures(signatures: list[bytes]) -> bytes:
    """The blob behind the data."""
    return b"".join(
        wire.octets(1, wire.number(1, SIGNATURE_VERSION) + wire.octets(2, item))
        for item in signatures
    )


def signatures_size(key_bytes: int) -> int:
    """How long the blob is with one key of this size: 264 for 256."""
    return len(encode_signatures([bytes(key_bytes)]))


def decode_signatures(data: bytes) -> list[bytes]:
    """The signatures of the version we know; PayloadError 18 when the blob cannot be read."""
    found = []
    try:
        for field, value in wire.fields(data):
            if field != 1:
                continue
            parts = dict(wire.fields(_raw(value)))
            if parts.get(1) == SIGNATURE_VERSION and 2 in parts:
                found.append(_raw(parts[2]))
    except ValueError as err:
        text = f"the signature cannot be read: {err}"
        raise PayloadError(ErrorCode.DOWNLOAD_PAYLOAD_PUB_KEY_VERIFICATION, text) from None
    return found
