"""A GUID partition table in both its copies, and the bits in it that select what is booted. Pure.

    gpt = Gpt.load(read, sectors=...)      # read(offset, size) -> bytes
    gpt.check()                            # GptError when neither copy can be used
    gpt.entries[3] = gpt.entries[3].marked(priority=2, tries=1, successful=False)
    for group in gpt.changes(): ...        # (offset, bytes) to write, synced after each group

Written is the second copy first, then the first: whenever the power goes, one of them is whole and
either old or new. Mirrors seismograph's cgptlib; sectors of 512 bytes, 128 entries of 128 bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

from coreos_py.base.errors import CoreosError

SECTOR = 512
ENTRY_SIZE = 128
ENTRIES = 128
ENTRIES_SECTORS = ENTRY_SIZE * ENTRIES // SECTOR
SIGNATURES = (b"EFI PART", b"CHROMEOS")
REVISION = 0x00010000
HEADER_SIZE = 92
PRIMARY, SECONDARY, BOTH = 1, 2, 3

_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_LEGACY_BIT = 1 << 2
_PRIORITY = 48
_TRIES = 52
_SUCCESSFUL = 56

# What is wrong, with cgpt's numbers and names.
INVALID_HEADERS = (2, "GPT_ERROR_INVALID_HEADERS")
INVALID_ENTRIES = (3, "GPT_ERROR_INVALID_ENTRIES")
INVALID_SECTOR_SIZE = (4, "GPT_ERROR_INVALID_SECTOR_SIZE")
INVALID_SECTOR_NUMBER = (5, "GPT_ERROR_INVALID_SECTOR_NUMBER")

Read = Callable[[int, int], bytes]
Write = tuple[int, bytes]


class GptError(CoreosError):
    """The table cannot be used as it is."""

    def __init__(self, problem: tuple[int, str], *, where: str = "GptSanityCheck") -> None:
        super().__init__(f"{where}() returned {problem[0]}: {problem[1]}")
        self._problem = problem

    def during(self, where: str) -> GptError:
        """The same, met by another of cgpt's steps."""
        return GptError(self._problem, where=where)


def guid_bytes(text: str) -> bytes:
    """The 16 bytes of a GUID as the table holds them; ValueError."""
    parts = text.split("-")
    if [len(part) for part in parts] != [8, 4, 4, 4, 12]:
        raise ValueError(f"no GUID: {text}")
    a, b, c, d, e = (bytes.fromhex(part) for part in parts)
    return a[::-1] + b[::-1] + c[::-1] + d + e


def guid_text(raw: bytes) -> str:
    """A GUID in capitals."""
    a, b, c = raw[3::-1], raw[5:3:-1], raw[7:5:-1]
    return "-".join(part.hex().upper() for part in (a, b, c, raw[8:10], raw[10:]))


UNUSED = bytes(16)
USR_TYPE = guid_bytes("5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6")
EFI_TYPE = guid_bytes("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")


class Entry(NamedTuple):
    """One partition."""

    type: bytes = UNUSED
    unique: bytes = UNUSED
    first: int = 0
    last: int = 0
    attributes: int = 0
    name: bytes = bytes(72)

    @property
    def is_used(self) -> bool:
        """False for an empty place in the table."""
        return self.type != UNUSED

    @property
    def is_usr(self) -> bool:
        """True for the slots that are booted from."""
        return self.type == USR_TYPE

    @property
    def sectors(self) -> int:
        """How large it is."""
        return (self.last - self.first + 1) % (1 << 64)

    @property
    def label(self) -> str:
        """The name; what is no UTF-16 ends it."""
        units = [self.name[at : at + 2] for at in range(0, len(self.name), 2)]
        end = units.index(b"\0\0") if b"\0\0" in units else len(units)
        return b"".join(units[:end]).decode("utf-16-le", "ignore")

    @property
    def priority(self) -> int:
        """0 to 15; 0 is never booted."""
        return self.attributes >> _PRIORITY & 15

    @property
    def tries(self) -> int:
        """How often it may still be tried."""
        return self.attributes >> _TRIES & 15

    @property
    def successful(self) -> bool:
        """It has been up."""
        return bool(self.attributes >> _SUCCESSFUL & 1)

    @property
    def is_legacy_bootable(self) -> bool:
        """A BIOS may boot from it."""
        return bool(self.attributes & _LEGACY_BIT)

    def marked(
        self,
        *,
        priority: int | None = None,
        tries: int | None = None,
        successful: int | None = None,
        legacy_bootable: int | None = None,
    ) -> Entry:
        """With other bits; None leaves one as it is."""
        bits = self.attributes
        for at, width, value in (
            (_PRIORITY, 15, priority),
            (_TRIES, 15, tries),
            (_SUCCESSFUL, 1, successful),
            (2, 1, legacy_bootable),
        ):
            if value is not None:
                assert 0 <= value <= width
                bits = bits & ~(width << at) | int(value) << at
        return self._replace(attributes=bits)

    def named(self, label: str) -> Entry:
        """With another label, cut to 35 units; ValueError when UTF-16 cannot hold it."""
        raw = label.encode("utf-16-le")[:70]
        return self._replace(
            name=raw.decode("utf-16-le", "ignore").encode("utf-16-le").ljust(72, b"\0")
        )

    def pack(self) -> bytes:
        """The 128 bytes in the table."""
        return _ENTRY.pack(*self)


class Header(NamedTuple):
    """One copy's header; the checksums are as they were read."""

    signature: bytes
    revision: int
    size: int
    crc: int
    reserved: int
    my_lba: int
    alternate_lba: int
    first_usable: int
    last_usable: int
    disk_guid: bytes
    entries_lba: int
    entries_count: int
    entry_size: int
    entries_crc: int

    def shared(self) -> tuple[object, ...]:
        """What both copies must agree on."""
        return (*self[:3], self.reserved, *self[7:10], *self[11:])


class Gpt:
    """Both copies, as they were found; `entries` is what `changes` writes."""

    def __init__(self, sectors: int) -> None:
        self.sectors = sectors
        self.mbr = bytes(SECTOR)
        self._headers = {PRIMARY: bytes(SECTOR), SECONDARY: bytes(SECTOR)}
        self._tables = {PRIMARY: b"", SECONDARY: b""}
        self.valid_headers = 0
        self.valid_entries = 0
        self.entries: list[Entry] = []

    @classmethod
    def load(cls, read: Read, *, sectors: int, sector_size: int = SECTOR) -> Gpt:
        """Read both copies; GptError when the disk is too small or its sectors are large."""
        if sector_size != SECTOR:
            raise GptError(INVALID_SECTOR_SIZE)
        if sectors < 1 + 2 * (1 + ENTRIES_SECTORS):
            raise GptError(INVALID_SECTOR_NUMBER)
        gpt = cls(sectors)
        gpt.mbr = read(0, SECTOR)
        for copy in (PRIMARY, SECONDARY):
            gpt._headers[copy] = read(gpt.header_lba(copy) * SECTOR, SECTOR)
            gpt._tables[copy] = read(gpt.table_lba(copy) * SECTOR, ENTRIES * ENTRY_SIZE)
        return gpt

    @classmethod
    def create(cls, *, sectors: int, disk_guid: bytes) -> Gpt:
        """An empty table, not written yet."""
        gpt = cls(sectors)
        header = Header(
            SIGNATURES[0], REVISION, HEADER_SIZE, 0, 0, 1, sectors - 1,
            2 + ENTRIES_SECTORS, sectors - 2 - ENTRIES_SECTORS, disk_guid,
            2, ENTRIES, ENTRY_SIZE, 0,
        )  # fmt: skip
        gpt._headers[PRIMARY] = _HEADER.pack(*header).ljust(SECTOR, b"\0")
        gpt.entries = [Entry()] * ENTRIES
        gpt.valid_headers = gpt.valid_entries = PRIMARY
        return gpt

    def header_lba(self, copy: int) -> int:
        """Where a copy's header is."""
        return 1 if copy == PRIMARY else self.sectors - 1

    def table_lba(self, copy: int) -> int:
        """Where a copy's entries are."""
        return 2 if copy == PRIMARY else self.sectors - 1 - ENTRIES_SECTORS

    def header(self, copy: int) -> Header:
        """A copy's header."""
        return Header(*_HEADER.unpack_from(self._headers[copy]))

    def table(self, copy: int) -> list[Entry]:
        """A copy's entries."""
        return unpack_entries(self._tables[copy])

    def header_crc(self, copy: int) -> int:
        """What the checksum of a copy's header should be."""
        return _header_crc(self._headers[copy])

    def entries_crc(self, copy: int) -> int:
        """What the checksum of a copy's entries should be."""
        return zlib.crc32(self._tables[copy])

    @property
    def is_whole(self) -> bool:
        """True when both copies are good and say the same."""
        return self.valid_headers == BOTH and self.valid_entries == BOTH

    @property
    def good_header(self) -> int:
        """The copy whose header is to be believed."""
        return PRIMARY if self.valid_headers & PRIMARY else SECONDARY

    def check(self) -> None:
        """Find out which copies can be believed, and take the entries from there; GptError."""
        self.valid_headers = sum(copy for copy in (PRIMARY, SECONDARY) if self._header_ok(copy))
        if not self.valid_headers:
            raise GptError(INVALID_HEADERS)
        # With the same header for both, so that two whole copies that differ are noticed.
        self.valid_entries = self._entries_ok(self.good_header)
        if self.valid_headers == BOTH and not self.valid_entries:
            self.valid_entries = self._entries_ok(SECONDARY)
            if self.valid_entries:
                self.valid_headers = SECONDARY
        if not self.valid_entries:
            raise GptError(INVALID_ENTRIES)
        if self.valid_headers == BOTH:
            first, second = self.header(PRIMARY), self.header(SECONDARY)
            if first.shared() != second.shared():
                self.valid_headers = PRIMARY
        self.entries = self.table(PRIMARY if self.valid_entries & PRIMARY else SECONDARY)

    def _header_ok(self, copy: int) -> bool:
        header = self.header(copy)
        return (
            header.signature in SIGNATURES
            and header.revision == REVISION
            and HEADER_SIZE <= header.size <= SECTOR
            and header.crc == self.header_crc(copy)
            and header.reserved == 0
            and (header.entries_count, header.entry_size) == (ENTRIES, ENTRY_SIZE)
            and (header.my_lba, header.entries_lba) == (self.header_lba(copy), self.table_lba(copy))
            and 2 + ENTRIES_SECTORS <= header.first_usable <= header.last_usable
            and header.last_usable < self.sectors - 1 - ENTRIES_SECTORS
        )

    def _entries_ok(self, by: int) -> int:
        """The copies whose entries fit one copy's header."""
        header = self.header(by)
        return sum(
            copy
            for copy in (PRIMARY, SECONDARY)
            if self.entries_crc(copy) == header.entries_crc
            and not problem(self.table(copy), header)
        )

    def problem(self) -> str:
        """What is wrong with `entries` as they are now, in cgpt's words; "" for nothing."""
        return problem(self.entries, self.header(self.good_header))

    def repair(self) -> list[str]:
        """Make both copies alike, also after the disk has grown; what `changes` will write.

        cgpt repair's lines, without a full stop.
        """
        said = []
        header = self.header(self.good_header)
        grown = header.last_usable != self.sectors - 2 - ENTRIES_SECTORS
        is_first = self.good_header == PRIMARY
        alternate = is_first and header.alternate_lba != self.sectors - 1
        primary = not self.valid_headers & PRIMARY or grown or alternate
        secondary = not self.valid_headers & SECONDARY or grown or alternate
        if primary:
            said.append("Primary Header is updated")
        if not self.valid_entries & PRIMARY:
            said.append("Primary Entries is updated")
        if not self.valid_entries & SECONDARY or grown or alternate:
            said.append("Secondary Entries is updated")
        if secondary:
            said.append("Secondary Header is updated")
        if grown:
            good = self.good_header
            header = header._replace(last_usable=self.sectors - 2 - ENTRIES_SECTORS)
            self._headers[good] = _HEADER.pack(*header) + self._headers[good][HEADER_SIZE:]
        return said

    def changes(self) -> list[list[Write]]:
        """What to write so that the disk holds `entries`, in groups to be synced one by one."""
        table = b"".join(entry.pack() for entry in self.entries)
        crc = zlib.crc32(table)
        groups = []
        for copy in (SECONDARY, PRIMARY):
            header = self._copy(copy, crc)
            if copy == PRIMARY and self.header(self.good_header).signature == SIGNATURES[1]:
                table = bytes(SECTOR) + table[SECTOR:]  # cgpt legacy: what is hidden stays so
            groups.append(
                [(self.table_lba(copy) * SECTOR, table), (self.header_lba(copy) * SECTOR, header)]
            )
        mbr = protective_mbr(self.mbr, self.entries, sectors=self.sectors)
        if mbr != self.mbr:
            groups.append([(0, mbr)])
        return groups

    def hidden(self, *, hide: bool) -> list[list[Write]]:
        """What to write so that firmware sees no table, or sees it again: cgpt legacy."""
        for copy in (PRIMARY, SECONDARY):
            raw = self._headers[copy]
            self._headers[copy] = SIGNATURES[hide] + raw[8:]
        return self.changes()[:2]

    def name_disk(self, guid: bytes) -> None:
        """Give the disk another GUID."""
        good = self.good_header
        header = self.header(good)._replace(disk_guid=guid)
        self._headers[good] = _HEADER.pack(*header) + self._headers[good][HEADER_SIZE:]

    def last_free(self, index: int) -> int:
        """The last sector up to which a partition may grow."""
        here = self.entries[index]
        starts = [e.first - 1 for e in self.entries if e.is_used and e.first > here.last]
        return min([self.header(self.good_header).last_usable, *starts])

    def _copy(self, copy: int, entries_crc: int) -> bytes:
        good = self.good_header
        header = self.header(good)._replace(
            crc=0,
            my_lba=self.header_lba(copy),
            alternate_lba=self.header_lba(BOTH - copy),
            entries_lba=self.table_lba(copy),
            entries_crc=entries_crc,
        )
        raw = _HEADER.pack(*header) + self._headers[good][HEADER_SIZE:]
        return _HEADER.pack(*header._replace(crc=_header_crc(raw))) + raw[HEADER_SIZE:]


def unpack_entries(table: bytes) -> list[Entry]:
    """The entries of one copy."""
    return [Entry(*fields) for fields in _ENTRY.iter_unpack(table)]


def _header_crc(raw: bytes) -> int:
    size = min(max(int.from_bytes(raw[12:16], "little"), HEADER_SIZE), SECTOR)
    return zlib.crc32(raw[:16] + bytes(4) + raw[20:size])


def problem(entries: list[Entry], header: Header) -> str:
    """Why these entries cannot be together, in cgpt's words; "" when they can."""
    used = [entry for entry in entries if entry.is_used]
    for entry in used:
        if not header.first_usable <= entry.first <= entry.last <= header.last_usable:
            return "Entry outside of valid region"
        for other in used:
            if other is entry:
                continue
            if other.first <= entry.first <= other.last:
                return "Starting LBA overlaps"
            if other.first <= entry.last <= other.last:
                return "Ending LBA overlaps"
            if other.unique == entry.unique:
                return "Duplicated GUID"
    return ""


def protective_mbr(mbr: bytes, entries: list[Entry], *, sectors: int) -> bytes:
    """Sector 0 for this table: protective, or hybrid with the partition that a BIOS may boot."""
    end = min(sectors - 1, (1 << 32) - 1)
    bootable = next(
        (e for e in entries if e.is_used and e.is_legacy_bootable and e.last < end), None
    )
    if bootable is None:
        first = _mbr_part(0x00, b"\x00\x01\x00", 0xEE, b"\xfe\xff\xff", 1, end)
        parts = [first]
    else:
        chs = _chs(bootable.first), _chs(bootable.last)
        before = bootable.first - 1
        parts = [
            _mbr_part(0x80, chs[0], 0x0C, chs[1], bootable.first, bootable.last),
            _mbr_part(0x00, _chs(1), 0xEE, _chs(before), 1, before),
        ]
    return mbr[:446] + b"".join(parts).ljust(64, b"\0") + b"\x55\xaa"


def _mbr_part(status: int, start: bytes, kind: int, stop: bytes, first: int, last: int) -> bytes:
    return struct.pack("<B3sB3sII", status, start, kind, stop, first, last - first + 1)


def _chs(lba: int) -> bytes:
    heads, per_track = 255, 63
    if lba > 1024 * heads * per_track:
        cylinder, head, sector = 1023, heads - 1, per_track
    else:
        cylinder, rest = divmod(lba, heads * per_track)
        head, sector = divmod(rest, per_track)
        sector += 1
    return bytes((head, (cylinder >> 2 & 0xC0 | sector) & 0xFF, cylinder & 0xFF))


# -- what is booted


def choose(entries: list[Entry]) -> int | None:
    """The index that GRUB's gptprio.next boots; None when nothing may be booted.

    The highest priority above 0 among those that have tries left or were up; the first of equals.
    """
    best: int | None = None
    for index, entry in enumerate(entries):
        if not entry.is_usr or not (entry.tries or entry.successful):
            continue
        if entry.priority > (entries[best].priority if best is not None else 0):
            best = index
    return best


def choose_anyway(entries: list[Entry]) -> int | None:
    """The index that cgpt next boots: as gptprio, else the first slot there is."""
    best: int | None = None
    priority = -1
    for index, entry in enumerate(entries):
        if not entry.is_usr:
            continue
        may = bool(entry.tries or entry.successful)
        if best is None or (entry.priority > priority and may):
            best, priority = index, entry.priority if may else -1
    return best


def prioritize(
    entries: list[Entry], *, index: int | None = None, friends: bool = False, top: int = 0
) -> list[Entry]:
    """Number the slots' priorities anew, `index` (and those equal to it) on top.

    Nothing that has a priority loses it; `top` is the highest to give, 0 for as many as needed.
    """
    groups: dict[int, list[int]] = {}
    for at, entry in enumerate(entries):
        if not entry.is_usr:
            continue
        rank = entry.priority
        if index is not None and (at == index or (friends and rank == entries[index].priority)):
            rank = 99
        groups.setdefault(rank, []).append(at)
    ranks = sorted(groups, reverse=True)
    if ranks and ranks[-1] == 0:
        ranks.pop()
    priority = top or min(len(ranks), 15)
    out = list(entries)
    for rank in ranks:
        for at in groups[rank]:
            out[at] = out[at].marked(priority=priority)
        priority = max(priority - 1, 1)
    return out
