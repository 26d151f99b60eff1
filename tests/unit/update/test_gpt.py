"""The table of partitions: selection, and what a power cut in any write leaves."""

from __future__ import annotations

import itertools

import pytest

from coreos_py.update import gpt as table
from coreos_py.update.gpt import SECTOR, USR_TYPE, Entry, Gpt, GptError, guid_bytes, guid_text

SECTORS = 2048


def usr(number, priority, tries, successful):
    start = 1024 + 100 * number
    entry = Entry(USR_TYPE, bytes((number,)) * 16, start, start + 99)
    return entry.marked(priority=priority, tries=tries, successful=successful)


def make(*bits):
    gpt = Gpt.create(sectors=SECTORS, disk_guid=b"\7" * 16)
    for number, (priority, tries, successful) in enumerate(bits, 3):
        gpt.entries[number - 1] = usr(number, priority, tries, successful)
    return gpt


def written(groups, disk=None):
    disk = bytearray(SECTORS * SECTOR) if disk is None else bytearray(disk)
    for offset, data in itertools.chain(*groups):
        disk[offset : offset + len(data)] = data
    return bytes(disk)


def load(disk):
    gpt = Gpt.load(lambda offset, size: disk[offset : offset + size], sectors=SECTORS)
    gpt.check()
    return gpt


@pytest.mark.parametrize(
    ("a", "b", "chosen", "anyway"),
    [
        ((1, 0, 1), (0, 0, 0), 3, 3),  # a fresh machine
        ((1, 0, 1), (2, 1, 0), 4, 4),  # an update is ready
        ((1, 0, 1), (2, 0, 0), 3, 3),  # it was tried and did not come up
        ((1, 0, 1), (2, 0, 1), 4, 4),  # it did
        ((1, 0, 1), (1, 0, 1), 3, 3),  # equals: the first
        ((1, 0, 1), (1, 1, 0), 3, 3),
        ((0, 0, 1), (0, 1, 1), None, 3),  # priority 0 is never booted, except by cgpt next
        ((2, 0, 0), (1, 0, 0), None, 3),
        ((0, 0, 0), (1, 0, 1), 4, 4),
        ((15, 15, 0), (14, 0, 1), 3, 3),
    ],
)
def test_selection(a, b, chosen, anyway):
    entries = make(a, b).entries
    assert table.choose(entries) == (None if chosen is None else chosen - 1)
    assert table.choose_anyway(entries) == anyway - 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1, 0), (1, 2)), ((2, 1), (1, 2)), ((0, 0), (0, 1)), ((1, 1), (1, 2)),
        ((15, 15), (1, 2)), ((15, 3), (1, 2)), ((3, 7), (1, 2)),
    ],
)  # fmt: skip
def test_prioritize(before, after):
    entries = make(*((priority, 3, 1) for priority in before)).entries
    changed = table.prioritize(entries, index=3)
    assert tuple(entry.priority for entry in changed[2:4]) == after
    assert all((entry.tries, entry.successful) == (3, True) for entry in changed[2:4])


def test_entries_come_back():
    gpt = make((1, 2, 1), (15, 0, 0))
    gpt.entries[0] = usr(1, 0, 0, 0)._replace(type=b"\1" * 16).named("größe \U0001f600")
    read = load(written(gpt.changes()))
    assert read.entries == gpt.entries
    assert read.is_whole
    assert read.entries[0].label == "größe \U0001f600"
    assert len(usr(1, 0, 0, 0).named("x" * 50).label) == 35


def test_other_bits_stay():
    entry = usr(3, 1, 2, 1)._replace(attributes=(1 << 64) - 1)
    changed = entry.marked(priority=0, tries=0, successful=False)
    assert changed.attributes == (1 << 64) - 1 - (0x1FF << 48)


def test_guids():
    text = "5DFBF5F4-2848-4BAC-AA5E-0D9A20B745A6"
    assert guid_text(guid_bytes(text.lower())) == text
    for wrong in ("", "5DFBF5F4", text + "0", text.replace("-", ""), text.replace("A", "G")):
        with pytest.raises(ValueError, match=r"GUID|hex"):
            guid_bytes(wrong)


def _torn(groups, disk):
    """Every state that a power cut can leave: whole sectors of the current group, in any amount."""
    yield disk
    for group in groups:
        for offset, data in group:
            for done in range(SECTOR, len(data) + SECTOR, SECTOR):
                state = bytearray(disk)
                state[offset : offset + done] = data[:done]
                yield bytes(state)
        # Before the sync, the writes of a group may arrive in any order.
        for order in itertools.permutations(group):
            state = bytearray(disk)
            for offset, data in order[:-1]:
                state[offset : offset + len(data)] = data
            yield bytes(state)
        disk = written([group], disk)
        yield disk


@pytest.mark.parametrize("damaged", [False, True])
def test_a_power_cut_leaves_the_old_or_the_new_table(damaged):
    old = make((1, 0, 1), (0, 0, 0))
    disk = written(old.changes())
    if damaged:  # the second copy was bad before
        disk = disk[:-300] + bytes(300)
    new = load(disk)
    new.entries[3] = new.entries[3].marked(priority=2, tries=1)
    states = 0
    for state in _torn(new.changes(), disk):
        read = load(state)
        assert read.entries in (old.entries, new.entries)
        again = load(written(read.changes(), state))
        assert again.is_whole
        states += 1
    assert states > 60
    assert load(written(new.changes(), disk)).entries == new.entries


def test_both_copies_bad():
    disk = bytearray(written(make((1, 0, 1), (0, 0, 0)).changes()))
    disk[SECTOR + 9] ^= 1
    disk[-SECTOR + 9] ^= 1
    with pytest.raises(GptError, match="INVALID_HEADERS"):
        load(bytes(disk))
    disk[SECTOR + 9] ^= 1
    disk[2 * SECTOR] ^= 1
    disk[-33 * SECTOR] ^= 1
    with pytest.raises(GptError, match="INVALID_ENTRIES"):
        load(bytes(disk))


_PLACES = {
    "Primary Header": SECTOR,
    "Primary Entries": 2 * SECTOR,
    "Secondary Entries": -33 * SECTOR,
    "Secondary Header": -SECTOR,
}


@pytest.mark.parametrize(
    "damaged",
    [
        (),
        *((name,) for name in _PLACES),
        ("Primary Header", "Primary Entries"),
        ("Secondary Entries", "Secondary Header"),
        ("Primary Header", "Secondary Entries"),
        ("Primary Entries", "Secondary Header"),
    ],
)
@pytest.mark.parametrize("amount", [1, 92])
def test_what_is_repaired(damaged, amount):
    """The rows of cgpt's own test: only what is damaged is said to be updated."""
    gpt = make((1, 0, 1), (2, 1, 0))
    disk = bytearray(written(gpt.changes()))
    for name in damaged:
        at = _PLACES[name] % len(disk)
        disk[at : at + amount] = bytes(byte ^ 0xFF for byte in disk[at : at + amount])
    read = load(bytes(disk))
    assert read.repair() == [f"{name} is updated" for name in damaged]
    again = load(written(read.changes(), bytes(disk)))
    assert again.is_whole
    assert again.entries == gpt.entries
    assert again.repair() == []


def test_every_flipped_byte_of_one_copy_is_harmless():
    gpt = make((1, 0, 1), (2, 1, 0))
    disk = written(gpt.changes())
    for at in [*range(SECTOR, SECTOR + 92), *range(2 * SECTOR, 3 * SECTOR + 10)]:
        state = bytearray(disk)
        state[at] ^= 0x10
        read = load(bytes(state))
        assert read.entries == gpt.entries
        assert not read.is_whole


def test_large_sectors_and_small_disks():
    with pytest.raises(GptError, match="SECTOR_SIZE"):
        Gpt.load(lambda _offset, size: bytes(size), sectors=SECTORS, sector_size=4096)
    with pytest.raises(GptError, match="SECTOR_NUMBER"):
        Gpt.load(lambda _offset, size: bytes(size), sectors=60)
