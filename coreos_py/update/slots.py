"""The two slots that /usr is booted from, and the bits that say which. An edge.

Every change is one write of both copies of the table: there is no moment in which none is whole.
"""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.base.errors import CoreosError
from coreos_py.update import gpt as table
from coreos_py.update.disk import Area, Disk, partition_device, rootdev, whole_disk
from coreos_py.update.gpt import SECTOR, Entry, Gpt

A, B = 3, 4  # the partitions' numbers; update_engine 0.4.10 knows no others
LETTERS = {A: "a", B: "b"}


class SlotError(CoreosError):
    """The disk has no such slot, or /usr is not on one."""


class Slot(NamedTuple):
    """One of the two: where it is, and how large."""

    disk: str
    number: int
    offset: int
    size: int
    label: str

    @property
    def letter(self) -> str:
        """a or b."""
        return LETTERS[self.number]

    @property
    def device(self) -> str:
        """The partition's node; of an image file there is none, and this only names it."""
        return partition_device(self.disk, self.number)

    @property
    def is_image(self) -> bool:
        """True when the disk is a file and the partition a part of it."""
        return not self.disk.startswith("/dev/")

    def open(self, *, write: bool = False) -> Area:
        """The partition's content."""
        if self.is_image:
            return Area(self.disk, offset=self.offset, size=self.size, write=write)
        return Area(self.device, size=self.size, write=write)


class Slots:
    """The running slot and the other one."""

    def __init__(self, disk: str, current: int) -> None:
        if current not in LETTERS:
            raise SlotError(f"{disk}: /usr is on partition {current}, not on 3 or 4")
        self.disk = disk
        self.current = self._find(current)
        self.other = self._find(B if current == A else A)

    @classmethod
    def of_machine(cls, path: str = "/usr") -> Slots:
        """The slots of this machine, by where /usr is mounted from."""
        disk, number = whole_disk(rootdev(path, first_slave=True))
        return cls(disk, number)

    def _find(self, number: int) -> Slot:
        with Disk(self.disk) as disk:
            gpt = disk.gpt()
            gpt.check()
            entry = gpt.entries[number - 1]
        if not entry.is_usr:
            raise SlotError(f"{self.disk}: partition {number} is no slot of /usr")
        offset, size = entry.first * SECTOR, entry.sectors * SECTOR
        return Slot(self.disk, number, offset, size, entry.label)

    def entry(self, slot: Slot) -> Entry:
        """The slot's row of the table."""
        with Disk(self.disk) as disk:
            gpt = disk.gpt()
            gpt.check()
            return gpt.entries[slot.number - 1]

    def mark_unbootable(self) -> None:
        """Nothing may boot the other slot until `mark_new`."""
        self._mark(self.other, priority=0, tries=0, successful=False)

    def mark_new(self) -> None:
        """Try the other slot once, at the next boot."""
        self._mark(self.other, tries=1, successful=False, first=True)

    def mark_good(self) -> None:
        """The running slot is up: boot it from now on."""
        self._mark(self.current, tries=0, successful=True, first=True)

    def _mark(
        self,
        slot: Slot,
        *,
        priority: int | None = None,
        tries: int | None = None,
        successful: bool | None = None,
        first: bool = False,
    ) -> None:
        with Disk(self.disk, write=True) as disk:
            gpt = disk.gpt()
            gpt.check()
            gpt.repair()
            before = list(gpt.entries)
            mark(
                gpt, slot.number - 1,
                priority=priority, tries=tries, successful=successful, first=first,
            )  # fmt: skip
            if gpt.entries != before or not gpt.is_whole:
                disk.save(gpt)


def mark(
    gpt: Gpt,
    index: int,
    *,
    priority: int | None = None,
    tries: int | None = None,
    successful: bool | None = None,
    first: bool = False,
) -> None:
    """Change a slot's bits, and put it before all others."""
    gpt.entries[index] = gpt.entries[index].marked(
        priority=priority, tries=tries, successful=successful
    )
    if first:
        gpt.entries = table.prioritize(gpt.entries, index=index)
