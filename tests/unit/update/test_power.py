"""The power goes at every single write of an update: a good slot boots, a later run completes."""

from __future__ import annotations

import os

import pytest

from coreos_py.update import cmd_postinst
from coreos_py.update.attempt import Operation
from coreos_py.update.slots import Slots
from tests.support import payloads
from tests.support.power import ALL, NOTHING, OLDER, Power, PowerCut
from tests.support.slots import bits
from tests.support.update_machine import Machine
from tests.support.update_server import UpdateServer

IMAGE = payloads.image(21, blocks=40)
LAST_YEARS = payloads.image(22, blocks=40)
KERNEL = b"a kernel" * 700
PAYLOAD = payloads.full(IMAGE, kernel=KERNEL)


@pytest.fixture(autouse=True)
def no_disk(monkeypatch):
    """Power knows what was synced; no disk of this host has to."""
    monkeypatch.setattr(os, "fsync", lambda _fd: None)


@pytest.fixture(scope="module")
def server():
    with UpdateServer(PAYLOAD) as running:
        yield running


class WithPostinst(Machine):
    """Its images bring their kernel along, and the real coreos-postinst."""

    async def _postinst(self, slot, words):
        image = self.root / "mounted"
        (image / "boot").mkdir(parents=True, exist_ok=True)
        (image / "boot/vmlinuz").write_bytes(KERNEL)
        assert slot.label == "USR-B"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cmd_postinst, "whole_disk", lambda _device: (self.disk, 4))
            options = ["-esp", str(self.root / "boot")]
            code = cmd_postinst.main([f"{image}/postinst", *options, slot.device, *words])
        assert code == 0


def _make(folder, server, kind=Machine):
    """A machine whose other slot holds an older version that works."""
    machine = kind(folder, server.url, b=(1, 0, 1))
    area = Slots(machine.disk, 4).current.open(write=True)
    area.write(0, LAST_YEARS)
    area.close()
    return machine


def _check_bits(machine):
    """A slot that is neither the older nor the new version cannot be booted."""
    content = machine.content(4)
    if content[: len(IMAGE)] != IMAGE and content[: len(LAST_YEARS)] != LAST_YEARS:
        priority, tries, successful = bits(machine.disk)[4]
        assert not (priority and (tries or successful))


def _check_slot(machine, original):
    """What was booted is whole."""
    if machine.current == 3:
        assert machine.content(3) == original
        return
    assert machine.content(4)[: len(IMAGE)] == IMAGE
    assert (machine.root / "boot/coreos/vmlinuz-b").read_bytes() == KERNEL


def _complete(machine, original, server):
    """Boot, and update as often as it takes: once."""
    _check_bits(machine)
    machine.boot()
    _check_slot(machine, original)
    if machine.current == 3:
        engine = machine.check()
        assert engine.attempt.status.operation is Operation.NEED_REBOOT
        assert machine.boot() == 4
        _check_slot(machine, original)
    server.previous.clear()
    engine = machine.check()
    assert engine.attempt.status.operation is Operation.IDLE
    assert server.previous == ["1.0.0"]  # the update is reported as complete
    assert machine.current == 4
    assert bits(machine.disk)[4][1:] == (0, 1)


def _cut(machine, cut_at, *, loses):
    with pytest.MonkeyPatch.context() as patch:
        power = Power(patch, cut_at=cut_at, loses=loses)
        try:
            machine.check()
        except PowerCut:
            assert power.is_off
    return power


def test_counting(tmp_path, server):
    machine = _make(tmp_path, server)
    power = _cut(machine, 0, loses=NOTHING)
    assert power.count > 30
    original = machine.content(3)
    _complete(machine, original, server)


@pytest.mark.parametrize("loses", [NOTHING, OLDER, ALL])
@pytest.mark.parametrize("part", range(4))
def test_every_write(tmp_path, server, part, loses):
    number = part + 1
    while True:
        folder = tmp_path / str(number)
        folder.mkdir()
        machine = _make(folder, server)
        original = machine.content(3)
        power = _cut(machine, number, loses=loses)
        if not power.is_off:
            assert number > 30
            break
        _complete(machine, original, server)
        number += 4


@pytest.mark.parametrize("loses", [NOTHING, OLDER, ALL])
@pytest.mark.parametrize("part", range(3))
def test_every_write_of_an_image_with_its_own_postinst(tmp_path, part, loses):
    """It copies the kernel to the EFI system partition and changes the table by itself."""
    with UpdateServer(payloads.full(IMAGE)) as server:
        number = part + 1
        while True:
            folder = tmp_path / str(number)
            folder.mkdir()
            machine = _make(folder, server, WithPostinst)
            original = machine.content(3)
            power = _cut(machine, number, loses=loses)
            if not power.is_off:
                break
            _complete(machine, original, server)
            number += 3
    assert number > 30


@pytest.mark.parametrize("loses", [NOTHING, OLDER, ALL])
def test_every_write_of_the_first_check_of_a_new_version(tmp_path, server, loses):
    """Before it is marked as good the old one may come back; after that the new one stays."""
    number = 1
    while True:
        folder = tmp_path / str(number)
        folder.mkdir()
        machine = _make(folder, server)
        original = machine.content(3)
        machine.check()
        assert machine.boot() == 4
        power = _cut(machine, number, loses=loses)
        was_good = bits(machine.disk)[4][2]
        machine.boot()
        _check_slot(machine, original)
        if was_good or not power.is_off:
            assert machine.current == 4
        for _ in range(2):  # one may only tell that the new version did not come up
            machine.check()
            if machine.current == 3:
                assert machine.boot() == 4
                _check_slot(machine, original)
        assert machine.check().attempt.status.operation is Operation.IDLE
        assert bits(machine.disk)[4][1:] == (0, 1)
        if not power.is_off:
            break
        number += 1
    assert number > 4


def test_twice_in_a_row(tmp_path, server):
    """A second cut, at the same place of the second run, changes nothing."""
    for number in range(3, 40, 5):
        folder = tmp_path / str(number)
        folder.mkdir()
        machine = _make(folder, server)
        original = machine.content(3)
        for _ in range(2):
            _cut(machine, number, loses=ALL)
            machine.boot()
            _check_slot(machine, original)
        if machine.current == 3:
            _complete(machine, original, server)
