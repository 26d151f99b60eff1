"""Payloads: read, refused with the right code whatever is wrong, applied, and written."""

from __future__ import annotations

import bz2
import hashlib

import pytest

from coreos_py.omaha.codes import ErrorCode
from coreos_py.update.payload import apply, wire, writer
from coreos_py.update.payload import manifest as head
from coreos_py.update.payload.errors import PayloadError
from coreos_py.update.payload.manifest import HOLE, Extent, FileKind, Info, Kind, Operation
from coreos_py.update.payload.reader import Verifier
from coreos_py.update.rsa import PublicKey
from tests.support import payloads
from tests.support.payloads import DATA, Memory


def read(data, *, size=None, sha256=None, key=payloads.PUBLIC_KEY, step=1 << 16):
    check = PublicKey(key).verify if key else None
    digest = sha256 or hashlib.sha256(data).digest()
    verifier = Verifier(size=size or len(data), sha256=digest, check_signature=check)
    for at in range(0, len(data), step):
        verifier.feed(data[at : at + step])
    return verifier.finish()


def code_of(data, **options):
    with pytest.raises(PayloadError) as caught:
        read(data, **options)
    return caught.value.code


def run(verified, data, target):
    for operation in verified.manifest.operations:
        at = verified.metadata_size + operation.data_offset
        apply.apply(operation, data[at : at + operation.data_length], target, block_size=4096)


REAL_FULL = (DATA / "full-by-delta_generator.gz").read_bytes()
REAL_DELTA = (DATA / "delta-by-delta_generator.gz").read_bytes()


@pytest.mark.parametrize("step", [1, 7, 20, 4096, 1 << 20])
def test_the_real_generators_full_payload(step):
    verified = read(REAL_FULL, step=step)
    assert verified.is_signed
    target = Memory(size=2 << 20)
    run(verified, REAL_FULL, target)
    assert target.content[: len(payloads.FULL_IMAGE)] == payloads.FULL_IMAGE
    assert not verified.manifest.is_delta
    kernel = verified.manifest.file(FileKind.KERNEL)
    assert kernel.new_info == Info(5000, hashlib.sha256(payloads.FULL_KERNEL).digest())


def test_ours_is_the_real_generators_to_the_byte():
    assert payloads.full(payloads.FULL_IMAGE, kernel=payloads.FULL_KERNEL) == REAL_FULL


def test_the_real_generators_delta():
    verified = read(REAL_DELTA)
    assert verified.manifest.is_delta
    kinds = {operation.kind for operation in verified.manifest.operations}
    assert kinds == {Kind.MOVE, Kind.BSDIFF, Kind.REPLACE_BZ}
    target = Memory(bz2.decompress((DATA / "delta-old.img.bz2").read_bytes()))
    assert hashlib.sha256(target.content).digest() == verified.manifest.old_info.sha256
    run(verified, REAL_DELTA, target)
    assert hashlib.sha256(target.content).digest() == verified.manifest.new_info.sha256


@pytest.mark.parametrize("data", [REAL_FULL, REAL_DELTA])
def test_manifests_come_back_as_they_were(data):
    manifest = read(data).manifest
    encoded = head.encode(manifest)
    assert data.startswith(head.head(encoded))
    assert head.decode(encoded) == manifest


IMAGE = payloads.image(1)
GOOD = payloads.full(IMAGE, kernel=b"kernel", pcr_policy=b"pcr")
METADATA = read(GOOD).metadata_size
SIGNATURE = len(GOOD) - 264


def flipped(at, data=GOOD):
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def test_one_changed_byte_is_always_found():
    """With the digest that the server announced: no byte may be another one, and which it was
    tells the code; a manifest that can still be followed is not the announced one."""
    digest = hashlib.sha256(GOOD).digest()
    parts = {
        "magic": (range(4), {21}),
        "version": (range(4, 12), {45}),
        "length, absurd": (range(12, 17), {32}),
        "length, nearly": (range(17, 20), {23, 32}),
        "manifest": (range(20, METADATA), {10, 11, 12, 13, 22, 23, 28, 29, 38}),
        "data": ({*range(METADATA, SIGNATURE, 97), SIGNATURE - 1}, {29}),
        "signature": (range(SIGNATURE, len(GOOD)), {10}),
    }
    for name, (places, wanted) in parts.items():
        changed = [
            GOOD[:at] + bytes((GOOD[at] ^ mask,)) + GOOD[at + 1 :]
            for at in places
            for mask in ((1, 0x10, 0xFF) if at < METADATA else (1,))
        ]
        codes = {code_of(data, sha256=digest, key="", step=1 << 20) for data in changed}
        assert codes == wanted, name


def test_one_changed_byte_is_found_by_the_signature_alone():
    """A server that announces the digest of a forged payload gets nowhere without the key."""
    places = [*range(0, METADATA, 3), METADATA + 5, SIGNATURE - 1, *range(SIGNATURE, len(GOOD), 5)]
    seen = set()
    for at in places:
        seen.add(code_of(flipped(at), step=1 << 20))
    assert ErrorCode.DOWNLOAD_PAYLOAD_PUB_KEY_VERIFICATION in seen
    assert {code_of(flipped(at), step=1 << 20) for at in range(SIGNATURE + 8, len(GOOD), 9)} == {
        ErrorCode.DOWNLOAD_PAYLOAD_PUB_KEY_VERIFICATION
    }


def _rewritten(change, *, data=GOOD):
    """The payload with another manifest, and the signature it had."""
    manifest = change(read(data).manifest)
    body = head.head(head.encode(manifest)) + data[METADATA:SIGNATURE]
    return body + data[SIGNATURE:]


def _with_operation(**changes):
    def change(manifest):
        first, *rest = manifest.operations
        return manifest._replace(operations=(first._replace(**changes), *rest))

    return change


MANIFESTS = {
    "no digest": (_with_operation(data_sha256=b""), 38),
    "short digest": (_with_operation(data_sha256=b"x"), 38),
    "wrong digest": (_with_operation(data_sha256=bytes(32)), 29),
    "gap": (_with_operation(data_offset=1), 28),
    "no new info": (lambda m: m._replace(new_info=None), 12),
    "empty new info": (lambda m: m._replace(new_info=Info(0, bytes(32))), 13),
    "half a new info": (lambda m: m._replace(new_info=Info(4096, b"")), 13),
    "odd block size": (lambda m: m._replace(block_size=4095), 23),
    "huge block size": (lambda m: m._replace(block_size=1 << 30), 23),
    "half a signature": (lambda m: m._replace(signatures_size=None), 22),
    "misplaced signature": (lambda m: m._replace(signatures_offset=7), 28),
    "signature too long": (lambda m: m._replace(signatures_size=1 << 20), 22),
    "other signature size": (lambda m: m._replace(signatures_size=263), 11),
    "file without info": (
        lambda m: m._replace(procedures=(m.procedures[0]._replace(new_info=None),)),
        23,
    ),
    "other signature": (lambda m: m._replace(noop_operations=()), 18),
}


@pytest.mark.parametrize("name", sorted(MANIFESTS))
def test_manifests_that_are_refused(name):
    change, code = MANIFESTS[name]
    assert code_of(_rewritten(change)) == code


@pytest.mark.parametrize(
    ("data", "options", "code"),
    [
        (GOOD, {"size": len(GOOD) + 1}, 11),
        (GOOD, {"size": len(GOOD) - 1}, 11),
        (GOOD[:-1], {"size": len(GOOD)}, 11),
        (GOOD[: METADATA + 5], {"size": len(GOOD)}, 11),
        (GOOD[:10], {"size": len(GOOD)}, 11),
        (GOOD, {"sha256": bytes(32)}, 10),
        (payloads.full(IMAGE, key=""), {}, 17),
        (b"<html>404 page not found</html>", {}, 21),
        (b"<", {}, 21),
        (GOOD[:4] + bytes(7) + b"\2" + GOOD[12:], {}, 45),
        (GOOD[:12] + b"\0" * 8 + GOOD[20:], {}, 32),
        (GOOD[:12] + b"\xff" * 8 + GOOD[20:], {}, 32),
        (GOOD[:12] + (len(GOOD)).to_bytes(8, "big") + GOOD[20:], {}, 32),
        (GOOD[:SIGNATURE] + bytes(264), {}, 18),
        (GOOD[:SIGNATURE] + b"\xff" * 264, {}, 18),
    ],
)
def test_files_that_are_refused(data, options, code):
    assert code_of(data, **options) == code


def test_without_a_public_key_the_digest_decides():
    assert not read(payloads.full(IMAGE, key=""), key="").is_signed
    assert not read(GOOD, key="").is_signed


def test_another_keys_signature(tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    other = rsa.generate_private_key(65537, 2048).public_key()
    pem = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "other.pem").write_bytes(other.public_bytes(*pem))
    assert code_of(GOOD, key=str(tmp_path / "other.pem")) == 18


def _apply(operation, data=b"", content=bytes(8 * 4096)):
    target = Memory(content)
    apply.apply(operation, data, target, block_size=4096)
    return bytes(target.content)


def test_replace_pads_the_block_it_began():
    operation = Operation(Kind.REPLACE, target=(Extent(1, 2), Extent(4, 1)))
    content = b"\xff" * 8 * 4096
    out = _apply(operation, b"a" * 4097, content)
    assert out == content[:4096] + b"a" * 4097 + bytes(4095) + content[3 * 4096 :]


def test_data_for_a_hole_is_passed_over():
    operation = Operation(Kind.REPLACE, target=(Extent(HOLE, 1), Extent(0, 1)))
    assert _apply(operation, b"a" * 4096 + b"b" * 4096)[:4096] == b"b" * 4096


def test_move_reads_before_it_writes():
    content = b"".join(bytes((i,)) * 4096 for i in range(8))
    operation = Operation(Kind.MOVE, source=(Extent(0, 3),), target=(Extent(1, 3),))
    out = _apply(operation, content=content)
    assert [out[at] for at in range(0, len(out), 4096)] == [0, 0, 1, 2, 4, 5, 6, 7]


BOMB = bz2.compress(bytes(100 << 20))
ONE = (Extent(0, 1),)


@pytest.mark.parametrize(
    ("operation", "data"),
    [
        (Operation(Kind.REPLACE, target=ONE), b"x" * 4097),
        (Operation(Kind.REPLACE_BZ, target=ONE), BOMB),
        (Operation(Kind.REPLACE_BZ, target=ONE), b"no bzip2"),
        (Operation(Kind.REPLACE_BZ, target=ONE), bz2.compress(b"x")[:-1]),
        (Operation(Kind.REPLACE_BZ, target=ONE), bz2.compress(b"x") + b"y"),
        (Operation(Kind.MOVE, source=(Extent(0, 2),), target=ONE), b""),
        (Operation(Kind.MOVE, source=ONE, target=ONE), b"x"),
        (Operation(Kind.MOVE, source=(Extent(0, 1 << 40),), target=(Extent(0, 1 << 40),)), b""),
        (Operation(Kind.BSDIFF, source=ONE, source_length=4096, target=ONE), b"x"),
        (Operation(Kind.BSDIFF, source=ONE, source_length=5000, target=ONE), b"x"),
        (Operation(Kind.BSDIFF, target=ONE, target_length=5000), b"x"),
    ],
)
def test_operations_that_are_refused(operation, data):
    with pytest.raises(PayloadError) as caught:
        _apply(operation, data)
    assert caught.value.code is ErrorCode.DOWNLOAD_OPERATION_EXECUTION


@pytest.mark.parametrize("operation", [b"", wire.number(2, 7), wire.number(1, 4)])
def test_operations_have_to_say_what_they_do(operation):
    with pytest.raises(PayloadError) as caught:
        head.decode(wire.octets(1, operation))
    assert caught.value.code is ErrorCode.DOWNLOAD_MANIFEST_PARSE


@pytest.mark.parametrize(
    "data",
    [b"\x00", b"\x08", b"\x0a\x05a", b"\x0b", b"\x09abc", b"\xff" * 11, b"\x08" + b"\xff" * 11],
)
def test_wire_nonsense_is_a_value_error(data):
    with pytest.raises(ValueError, match=r"^protobuf: "):
        list(wire.fields(data))


def test_wire_passes_fixed_fields_over():
    assert list(wire.fields(b"\x09" + bytes(8) + b"\x15" + bytes(4) + b"\x18\x07")) == [(3, 7)]


def test_unknown_files_are_passed_over():
    manifest = read(GOOD).manifest
    procedure = head._encode_procedure(manifest.procedures[0])
    assert procedure.startswith(b"\x08\x00")
    unknown = head._procedure(b"\x08\x09" + procedure[2:])
    assert unknown.kind is None
    assert unknown.operations == manifest.procedures[0].operations
    changed = manifest._replace(procedures=(unknown,))
    assert changed.file(FileKind.KERNEL) is None


def test_signing_again_changes_the_room_only():
    manifest = read(GOOD).manifest
    assert writer.resigned(manifest, key_bytes=256) == manifest
    unsigned = writer.resigned(manifest, key_bytes=0)
    assert unsigned.signatures_size is None
    assert writer.resigned(unsigned, key_bytes=256) == manifest
    assert writer.resigned(manifest, key_bytes=512).signatures_size == 520
