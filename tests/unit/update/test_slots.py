"""Slots of a disk image: found, marked, and made good or new."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from coreos_py.base.errors import CoreosError
from coreos_py.update import cmd_postinst, cmd_rootdev, cmd_setgoodroot, disk
from coreos_py.update.cmd_postinst import PostinstError, copy_kernel
from coreos_py.update.disk import Area, DiskError, partition_device, rootdev, whole_disk
from coreos_py.update.gpt import SECTOR
from coreos_py.update.slots import SlotError, Slots
from tests.support.slots import SLOT_SIZE, bits, make_disk


def test_finding(tmp_path):
    path = make_disk(tmp_path / "disk")
    slots = Slots(path, 3)
    assert (slots.current.letter, slots.other.letter) == ("a", "b")
    assert (slots.other.label, slots.other.size) == ("USR-B", SLOT_SIZE)
    assert slots.other.is_image
    assert Slots(path, 4).other.number == 3
    for number in (0, 1, 9):
        with pytest.raises(SlotError, match=f"partition {number}, not on 3 or 4"):
            Slots(path, number)


def test_partitions_that_are_no_slots(tmp_path):
    path = make_disk(tmp_path / "disk", slot_type="linux-data")
    with pytest.raises(SlotError, match="partition 3 is no slot"):
        Slots(path, 3)


def test_the_life_of_an_update(tmp_path):
    path = make_disk(tmp_path / "disk", a=(1, 0, 1), b=(1, 0, 1))
    slots = Slots(path, 3)
    slots.mark_unbootable()
    assert bits(path) == {3: (1, 0, 1), 4: (0, 0, 0)}
    slots.mark_new()
    assert bits(path) == {3: (1, 0, 1), 4: (2, 1, 0)}
    slots = Slots(path, 4)  # it was booted
    slots.mark_good()
    assert bits(path) == {3: (1, 0, 1), 4: (2, 0, 1)}


def test_nothing_is_written_when_nothing_changes(tmp_path):
    path = make_disk(tmp_path / "disk", a=(2, 0, 1), b=(1, 0, 1))
    before = Path(path).stat().st_mtime_ns
    Slots(path, 3).mark_good()
    assert Path(path).stat().st_mtime_ns == before


def test_a_damaged_copy_is_repaired(tmp_path):
    path = make_disk(tmp_path / "disk", a=(2, 0, 1), b=(1, 0, 1))
    with Path(path).open("r+b") as file:
        file.seek(SECTOR)
        file.write(bytes(SECTOR))
    Slots(path, 3).mark_good()
    with disk.Disk(path) as opened:
        gpt = opened.gpt()
        gpt.check()
        assert gpt.is_whole


def test_content(tmp_path):
    path = make_disk(tmp_path / "disk")
    slots = Slots(path, 3)
    area = slots.other.open(write=True)
    area.write(10, b"hello")
    area.sync()
    area.forget_cached()
    assert area.read(9, 7) == b"\0hello\0"
    for offset in (-1, SLOT_SIZE - 3):
        with pytest.raises(OSError, match="behind the end"):
            area.write(offset, b"hello")
        with pytest.raises(OSError, match="behind the end"):
            area.read(offset, 5)
    area.close()
    other = slots.current.open()
    assert other.read(0, SLOT_SIZE) == bytes(SLOT_SIZE)
    other.close()
    with pytest.raises(DiskError, match="Can't open"):
        Area(str(tmp_path / "none"), write=False)


@pytest.mark.parametrize(
    ("path", "number", "node"),
    [
        ("/dev/sda", 3, "/dev/sda3"),
        ("/dev/nvme0n1", 4, "/dev/nvme0n1p4"),
        ("/dev/mmcblk0", 1, "/dev/mmcblk0p1"),
        ("/dev/vda", 9, "/dev/vda9"),
    ],
)
def test_names_of_partitions(path, number, node):
    assert partition_device(path, number) == node


def test_devices(tmp_path):
    assert whole_disk("/dev/null") == ("/dev/null", 0)
    with pytest.raises(DiskError, match="unable to access device"):
        whole_disk(str(tmp_path / "none"))
    with pytest.raises(DiskError, match="/proc is on no block device"):
        rootdev("/proc")
    with pytest.raises(DiskError, match="Cannot stat"):
        rootdev(str(tmp_path / "none"))
    assert disk.mounted_from("/dev/null") == ""


def test_sysfs(tmp_path, monkeypatch):
    """The way from a partition's number to its name and disk, on a tree like the kernel's."""
    device = tmp_path.stat().st_dev
    block = tmp_path / "devices" / "sda"
    (block / "sda4").mkdir(parents=True)
    (block / "sda4" / "partition").write_text("4\n")
    dev = tmp_path / "dev"
    dev.mkdir()
    (dev / f"{os.major(device)}:{os.minor(device)}").symlink_to(block / "sda4")
    monkeypatch.setattr(disk, "SYS_DEV", str(dev))
    assert rootdev(str(tmp_path)) == "/dev/sda4"
    assert disk._read_number(f"{block}/sda4/partition") == 4


def test_rootdev(capsys):
    assert cmd_rootdev.main(["rootdev", "/proc"]) == 1
    assert capsys.readouterr().err == "rootdev: /proc is on no block device\n"
    assert cmd_rootdev.main(["rootdev", "a", "b"]) == 1
    assert "Too many free arguments: 1\n" in capsys.readouterr().err
    assert cmd_rootdev.main(["rootdev", "-x"]) == 1
    assert "rootdev: unknown shorthand flag: 'x' in -x\n" in capsys.readouterr().err


def test_setgoodroot_wants_a_slot(tmp_path):
    path = make_disk(tmp_path / "disk")
    with pytest.raises(SlotError, match="partition 0, not on 3 or 4"):
        cmd_setgoodroot.main(["coreos-setgoodroot", path])


@pytest.fixture
def as_partition(tmp_path, monkeypatch):
    """A disk image whose second slot answers to a name, as a partition's node would."""
    path = make_disk(tmp_path / "disk", a=(1, 0, 1), b=(0, 0, 0))

    def whole(device):
        return (path, int(device[-1])) if device.startswith("/dev/test") else (device, 0)

    monkeypatch.setattr(cmd_postinst, "whole_disk", whole)
    monkeypatch.setattr(cmd_setgoodroot, "whole_disk", whole)
    return path


def test_setgoodroot(as_partition):
    assert cmd_setgoodroot.main(["coreos-setgoodroot", "/dev/test4"]) == 0
    assert bits(as_partition) == {3: (1, 0, 1), 4: (2, 0, 1)}


def test_postinst(tmp_path, as_partition, capsys):
    image, esp = tmp_path / "image", tmp_path / "esp"
    (image / "boot").mkdir(parents=True)
    (image / "boot" / "vmlinuz").write_bytes(b"kernel")
    (image / "share" / "coreos").mkdir(parents=True)
    (image / "share" / "coreos" / "release").write_text("COREOS_RELEASE_VERSION=2.0.0\n")
    words = [f"{image}/postinst", "-esp", str(esp), "/dev/test4"]
    assert cmd_postinst.main(words) == 0
    out = capsys.readouterr().out
    assert out.endswith("COREOS_RELEASE_VERSION=2.0.0\nSetup USR-B (/dev/test4) for next boot.\n")
    assert 'Label: "USR-B"' in out
    assert (esp / "coreos" / "vmlinuz-b").read_bytes() == b"kernel"
    assert bits(as_partition) == {3: (1, 0, 1), 4: (2, 1, 0)}


def test_postinst_leaves_a_kernel_that_is_there(tmp_path, as_partition):
    words = [f"{tmp_path}/postinst", "/dev/test4", "KERNEL=/boot/coreos/vmlinuz-b"]
    assert cmd_postinst.main(words) == 0
    assert bits(as_partition)[4] == (2, 1, 0)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["/dev/null"], "/dev/null is no partition"),
        (["/dev/test1"], "Unknown LABEL EFI-SYSTEM"),
        (["-esp", "{tmp}", "/dev/test4"], "boot/vmlinuz: No such file or directory"),
    ],
)
def test_postinst_problems(tmp_path, as_partition, words, problem):
    before = bits(as_partition)
    with pytest.raises(CoreosError, match=problem):
        cmd_postinst.main([f"{tmp_path}/postinst", *(w.format(tmp=tmp_path) for w in words)])
    assert bits(as_partition) == before


def test_a_kernel_that_does_not_fit(tmp_path, monkeypatch):
    (tmp_path / "vmlinuz").write_bytes(b"x" * 5000)
    room = os.statvfs(tmp_path)
    full = type("Room", (), {"f_bavail": 1, "f_frsize": room.f_frsize})
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    with pytest.raises(PostinstError, match="5000 bytes of kernel, 4096 bytes are free"):
        copy_kernel(str(tmp_path / "vmlinuz"), str(tmp_path / "esp" / "vmlinuz-a"))
    assert os.listdir(tmp_path / "esp") == []


def test_a_kernel_has_its_size_before_anything_boots_it(tmp_path, monkeypatch):
    """FAT notes that after the rename, when the file itself is synced."""
    target = str(tmp_path / "vmlinuz-a")
    done = []
    fsync, rename = os.fsync, os.rename

    def note_fsync(fd):
        done.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        fsync(fd)

    def note_rename(source, name):
        done.append("rename")
        rename(source, name)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "rename", note_rename)
    (tmp_path / "vmlinuz").write_bytes(b"kernel")
    copy_kernel(str(tmp_path / "vmlinuz"), target)
    assert target in done[done.index("rename") :]
