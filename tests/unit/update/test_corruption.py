"""One wrong byte anywhere: in the answer, in the payload, on the disk. The server hears a code.

Every class of damage goes through the whole engine, and what the server was told is compared, not
what some function has raised.
"""

from __future__ import annotations

import pytest

from coreos_py.omaha.codes import ErrorCode
from coreos_py.update import install
from coreos_py.update.attempt import Operation
from coreos_py.update.disk import Area, DiskError
from coreos_py.update.payload.manifest import FileKind
from coreos_py.update.slots import Slot, Slots
from tests.support import payloads
from tests.support.slots import bits
from tests.support.update_machine import Machine
from tests.support.update_server import CUSTOM, UpdateServer

IMAGE = payloads.image(41, blocks=60)
PAYLOAD = payloads.full(IMAGE, kernel=b"a kernel" * 700, pcr_policy=b"a zip")
METADATA = 20 + int.from_bytes(PAYLOAD[12:20], "big")
SIGNATURE = len(PAYLOAD) - 264
UNTOUCHED = {3: (1, 0, 1), 4: (0, 0, 0)}


@pytest.fixture(scope="module")
def shared():
    with UpdateServer(PAYLOAD) as running:
        yield running


@pytest.fixture
def server(shared):
    shared.offer(PAYLOAD)
    shared.answers.clear()
    shared.events.clear()
    return shared


@pytest.fixture
def machine(tmp_path, server):
    return Machine(tmp_path, server.url)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def told(machine: Machine, server: UpdateServer) -> int:
    """Try to update; the code that the server gets, 0 for an update. The slots are as they were."""
    server.events.clear()
    engine = machine.check()
    if engine.attempt.status.operation is Operation.NEED_REBOOT:
        assert machine.content(4)[: len(IMAGE)] == IMAGE
        engine.reset_status()
        Slots(machine.disk, 3).mark_unbootable()
        return 0
    assert engine.attempt.status.operation is Operation.IDLE
    kind, result, code = server.events[-1]
    assert (kind, result) == (3, 0)
    assert code & CUSTOM
    assert bits(machine.disk) == UNTOUCHED
    return code & ~CUSTOM & ~(1 << 30)


def answer_of(server: UpdateServer, machine: Machine) -> bytes:
    """What the server says to this machine."""
    server.answers.clear()
    told(machine, server)
    status, data = server.answer(server.checks[-1])
    assert status == 200
    return data


SIZE = str(len(PAYLOAD))
# What the byte is a part of, that with another byte in its place, and the code.
RESPONSE = {
    "declaration": ("<?xml", "<!xml", 31),
    "element": ("<manifest", "<manifesu", 31),
    "quote": ('<updatecheck status="', "<updatecheck status=#", 31),
    "status": ('<updatecheck status="o', '<updatecheck status="n', 34),
    "name of the status": ("<updatecheck status", "<updatecheck statut", 34),
    "name of the URL": ("codebase=", "codebasf=", 34),
    "scheme of the URL": ('codebase="http', 'codebase="httq', 9),
    "host of the URL": ("http://127.0.0.1", "http://127.0.0.0", 9),
    "name of the package": ("update.gz", "uqdate.gz", 9),
    "name of the name": ("<package name=", "<package namf=", 34),
    "size": (f'"{SIZE}"', f'"{SIZE[:-1]}{(int(SIZE[-1]) + 1) % 10}"', 11),
    "name of the size": (" size=", " sizf=", 34),
    "kind of the action": ('event="p', 'event="q', 34),
    "name of the kind": (' event="p', ' evenu="p', 34),
    "digest": ('sha256="{0}', 'sha256="{1}', 10),
    "padding of the digest": ("{2}=", "{2}A", 10),
    "name of the digest": ('sha256="{0}', 'sha257="{0}', 34),
}


@pytest.mark.parametrize("name", sorted(RESPONSE))
def test_one_byte_of_the_answer(server, machine, name):
    before, after, code = RESPONSE[name]
    first = server.sha256[0]
    words = (first, "B" if first != "B" else "C", server.sha256[-9:-1])
    data = answer_of(server, machine).decode()
    old, new = before.format(*words), after.format(*words)
    assert data.count(old) == 1
    server.answers = [(200, data.replace(old, new).encode())]
    assert told(machine, server) == code


def test_every_seventh_byte_of_the_answer(server, machine):
    """It is harmless, or the server hears of it; never is something else installed."""
    data = answer_of(server, machine)
    seen = set()
    for at in range(0, len(data), 7):
        server.answers = [(200, flipped(data, at))]
        seen.add(told(machine, server))
    assert {0, 31, 34} <= seen <= {0, 9, 10, 11, 30, 31, 34}


# Where the byte is, and the code: when the server announces what it has, and what it should have.
DAMAGE = {
    "magic": (0, 21, 21),
    "version": (11, 45, 45),
    "length of the manifest": (13, 32, 32),
    "first byte of the manifest": (20, 23, 23),
    "data": (METADATA + 100, 29, 29),
    "last byte of data": (SIGNATURE - 1, 29, 29),
    "signature": (SIGNATURE + 100, 18, 10),
}


@pytest.mark.parametrize("name", sorted(DAMAGE))
@pytest.mark.parametrize("announced", [True, False], ids=["announced", "on the way"])
def test_one_byte_of_the_payload(server, machine, name, announced):
    at, code_announced, code_on_the_way = DAMAGE[name]
    if announced:
        server.offer(flipped(PAYLOAD, at))
    else:
        server.payload = flipped(PAYLOAD, at)
    assert told(machine, server) == (code_announced if announced else code_on_the_way)


def test_every_byte_of_the_manifest(server, machine):
    """Digest, size, signature, structure: something always finds it."""
    seen = set()
    for at in range(20, METADATA, 11):
        server.payload = flipped(PAYLOAD, at)
        seen.add(told(machine, server))
    assert 0 not in seen
    assert {23, 28, 29} <= seen
    assert seen <= {10, 11, 13, 17, 18, 22, 23, 28, 29, 32, 38}


# -- the disk of the machine


def _files(kind: FileKind, monkeypatch) -> None:
    """What is read of such a file is not what was written."""
    real = install._read
    name = {FileKind.KERNEL: "vmlinuz", FileKind.PCR_POLICY: "pcrs"}[kind]
    monkeypatch.setattr(install, "_read", lambda path: real(path) + b"?" * (name in path))


def _slot_cannot_be_opened(monkeypatch) -> None:
    real = Slot.open

    def refuse(self, *, write=False):
        if write:
            raise DiskError("Can't open it")
        return real(self, write=write)

    monkeypatch.setattr(Slot, "open", refuse)


def _slot_loses_a_byte(monkeypatch) -> None:
    real = Area.read

    def read(self, offset, size):
        data = real(self, offset, size)
        return flipped(data, 77) if offset == 0 else data

    monkeypatch.setattr(Area, "read", read)


def _disk_refuses(monkeypatch) -> None:
    def refuse(_self, _offset, _data):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Area, "write", refuse)


DISK = {
    "kernel": (lambda patch: _files(FileKind.KERNEL, patch), ErrorCode.NEW_KERNEL_VERIFICATION),
    "policy": (
        lambda patch: _files(FileKind.PCR_POLICY, patch),
        ErrorCode.NEW_PCR_POLICY_VERIFICATION,
    ),
    "slot": (_slot_loses_a_byte, ErrorCode.NEW_ROOTFS_VERIFICATION),
    "no slot": (_slot_cannot_be_opened, ErrorCode.INSTALL_DEVICE_OPEN_ERROR),
    "writing": (_disk_refuses, ErrorCode.DOWNLOAD_OPERATION_EXECUTION),
}


@pytest.mark.parametrize("name", sorted(DISK))
def test_the_disk(server, machine, monkeypatch, name):
    breaks, code = DISK[name]
    breaks(monkeypatch)
    assert told(machine, server) == code


def test_the_source_of_a_delta_cannot_be_read(server, machine, monkeypatch):
    old = payloads.image(42, blocks=60)
    area = Slots(machine.disk, 3).current.open(write=True)
    area.write(0, old)
    area.close()
    server.offer(payloads.delta(old, IMAGE))
    assert told(machine, server) == 0

    def refuse(_self, _offset, _size):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Area, "read", refuse)
    assert told(machine, server) == ErrorCode.FILESYSTEM_COPIER_ERROR
