"""What the boot selector runs, `cgpt next -g`, against GRUB's gptprio.next as it is described.

The expected disks are made here byte for byte, with nothing of what is tested.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from pathlib import Path

import pytest

from coreos_py.update import cmd_cgpt, gpt
from coreos_py.update.gpt import Entry
from tests.support.slots import make_disk

PRIORITIES, TRIES = (0, 1, 2, 15), (0, 1, 15)
BITS = list(itertools.product(PRIORITIES, TRIES, (0, 1)))
UNIQUE = ["03030303-0303-0303-0303-030303030303", "04040404-0404-0404-0404-040404040404"]


def gptprio(slots: list[tuple[int, int, int]]) -> int | None:
    """Strictly higher priority than the best so far, from 0; to be tried or good. In order."""
    chosen, best = None, 0
    for number, (priority, tries, good) in enumerate(slots):
        if priority > best and (tries > 0 or good == 1):
            chosen, best = number, priority
    return chosen


def test_every_pair_of_slots():
    for slots in itertools.product(BITS, BITS):
        entries = [
            Entry(gpt.USR_TYPE).marked(priority=priority, tries=tries, successful=good)
            for priority, tries, good in slots
        ]
        assert gpt.choose(entries) == gptprio(list(slots)), slots


def test_other_partitions_are_no_slots():
    other = Entry(gpt.EFI_TYPE).marked(priority=15, tries=15, successful=True)
    slots = [Entry(gpt.USR_TYPE).marked(priority=1, tries=n) for n in (0, 1, 1)]
    assert gpt.choose([other, *slots, other]) == 2


def with_tries(disk: bytes, number: int, tries: int) -> bytes:
    """The same disk with other tries of a partition, in both copies of the table."""
    raw = bytearray(disk)
    end = len(raw) // 512 - 1
    for header, entries in ((1, 2), (end, end - 32)):
        at = entries * 512 + (number - 1) * 128 + 48
        (attributes,) = struct.unpack_from("<Q", raw, at)
        struct.pack_into("<Q", raw, at, attributes & ~(15 << 52) | tries << 52)
        crc = zlib.crc32(raw[entries * 512 : entries * 512 + 128 * 128])
        struct.pack_into("<I", raw, header * 512 + 88, crc)
        struct.pack_into("<I", raw, header * 512 + 16, 0)
        crc = zlib.crc32(raw[header * 512 : header * 512 + 92])
        struct.pack_into("<I", raw, header * 512 + 16, crc)
    return bytes(raw)


def next_slot(disk: str, capsys) -> tuple[int, str]:
    """The exit status, and the slot's GUID."""
    code = cmd_cgpt.main(["cgpt", "next", "-g", disk])
    return code, capsys.readouterr().out.strip()


# (A, B); the partition that is booted, and the tries that it has then
CASES = [
    ((1, 0, 1), (0, 0, 0), 3, 0),
    ((1, 0, 1), (2, 1, 0), 4, 0),
    ((1, 0, 1), (2, 0, 0), 3, 0),
    ((1, 0, 1), (2, 0, 1), 4, 0),
    ((1, 0, 1), (1, 1, 0), 3, 0),
    ((2, 1, 1), (1, 0, 1), 3, 0),
    ((1, 15, 0), (15, 15, 0), 4, 14),
    ((0, 15, 1), (1, 2, 0), 4, 1),
    ((0, 1, 1), (2, 0, 0), None, 0),
    ((0, 0, 0), (0, 0, 0), None, 0),
]
DAMAGE = {
    "nothing": (),
    "first header": (512,),
    "first entries": (1024 + 256,),
    "first copy": (512 + 24, 1024),
    "second header": (-512,),
    "second entries": (-512 - 128 * 128 + 256,),
    "second copy": (-512 + 24, -512 - 128 * 128),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(("a", "b", "number", "tries"), CASES)
def test_a_disk_bit_for_bit(tmp_path, capsys, a, b, number, tries, damage):
    path = make_disk(tmp_path / "disk", a=a, b=b)
    whole = Path(path).read_bytes()
    damaged = bytearray(whole)
    for at in DAMAGE[damage]:
        damaged[at] ^= 0x40
    Path(path).write_bytes(damaged)
    if number is None:
        assert next_slot(path, capsys) == (1, "")
        assert Path(path).read_bytes() == damaged
        return
    assert next_slot(path, capsys) == (0, UNIQUE[number - 3])
    assert Path(path).read_bytes() == with_tries(whole, number, tries)


def test_copies_that_are_whole_and_differ(tmp_path, capsys):
    """The power went between both: the first one counts, and the second follows."""
    path = make_disk(tmp_path / "disk", a=(1, 0, 1), b=(2, 1, 0))
    before = Path(path).read_bytes()
    after = with_tries(before, 4, 0)
    half = len(before) // 2
    Path(path).write_bytes(before[:half] + after[half:])
    assert next_slot(path, capsys) == (0, UNIQUE[1])
    assert Path(path).read_bytes() == after


def test_both_copies_damaged(tmp_path, capsys):
    path = make_disk(tmp_path / "disk")
    raw = bytearray(Path(path).read_bytes())
    raw[520] ^= 1
    raw[-500] ^= 1
    Path(path).write_bytes(raw)
    assert next_slot(path, capsys) == (1, "")
    assert Path(path).read_bytes() == raw


def test_repair_gives_the_disk_its_guid(tmp_path, capsys):
    path = make_disk(tmp_path / "disk")
    guid = "00112233-4455-6677-8899-aabbccddeeff"
    assert cmd_cgpt.main(["cgpt", "repair", "-g", guid, path]) == 0
    raw = Path(path).read_bytes()
    for header in (raw[512:604], raw[-512:-420]):
        assert header[56:72] == bytes.fromhex("33221100554477668899aabbccddeeff")
        assert zlib.crc32(header[:16] + bytes(4) + header[20:]) == int.from_bytes(
            header[16:20], "little"
        )
    assert next_slot(path, capsys) == (0, UNIQUE[0])
