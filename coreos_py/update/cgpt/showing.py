"""cgpt show's layout: columns, names and numbers as seismograph's cgpt prints them."""

from __future__ import annotations

from coreos_py.update.cgpt import types
from coreos_py.update.gpt import (
    ENTRIES_SECTORS,
    PRIMARY,
    SECONDARY,
    UNUSED,
    Entry,
    Gpt,
    guid_text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_INDENT = " " * 34
_KERNEL_NAMES = ("kernel", "coreos-usr")

# What `show -i N -x` prints.
ITEMS: dict[str, Callable[[Entry], object]] = {
    "b": lambda entry: entry.first,
    "s": lambda entry: entry.sectors,
    "t": lambda entry: guid_text(entry.type),
    "u": lambda entry: guid_text(entry.unique),
    "l": lambda entry: entry.label,
    "S": lambda entry: int(entry.successful),
    "T": lambda entry: entry.tries,
    "P": lambda entry: entry.priority,
    "A": lambda entry: f"{entry.attributes:#x}",
}


def title() -> None:
    """The head of the table."""
    _row("start", "size", "part", "contents")


def _row(start: object, size: object, part: object, text: str) -> None:
    print(f"{start:>12}{size:>12}{part:>8}  {text}")


def entry(item: Entry, number: int, *, numeric: bool) -> None:
    """One partition, in several lines."""
    _row(item.first, item.sectors, number, f'Label: "{item.label}"')
    name = "" if numeric else types.shown(item.type)
    print(f"{_INDENT}Type: {name or guid_text(item.type)}")
    print(f"{_INDENT}UUID: {guid_text(item.unique)}")
    if numeric:
        print(f"{_INDENT}Attr: 0x{item.attributes:016x}")
    elif item.type in _SELECTABLE:
        bits = f"priority={item.priority} tries={item.tries} successful={int(item.successful)}"
        print(f"{_INDENT}Attr: {bits}")
    elif item.is_legacy_bootable:
        print(f"{_INDENT}Attr: Legacy BIOS Bootable")


_SELECTABLE = {types.by_name(name) for name in _KERNEL_NAMES}


def quickly(gpt: Gpt, *, numeric: bool) -> None:
    """One line for each partition."""
    for number, item in enumerate(gpt.entries, 1):
        if item.is_used:
            name = "" if numeric else types.shown(item.type)
            _row(item.first, item.sectors, number, name or guid_text(item.type))


def everything(gpt: Gpt, *, numeric: bool, verbose: bool, damaged: bool) -> None:
    """Sector 0, both headers and both tables; the second copy's content only where it differs."""
    first_header = bool(gpt.valid_headers & PRIMARY)
    second_header = bool(gpt.valid_headers & SECONDARY)
    first_table = bool(gpt.valid_entries & PRIMARY)
    second_table = bool(gpt.valid_entries & SECONDARY)
    title()
    _row(0, 1, "", _mbr(gpt.mbr))
    _row(1, 1, _state(first_header), "Pri GPT header")
    if damaged or (first_header and verbose):
        _header(gpt, PRIMARY, numeric=numeric)
    _row(2, ENTRIES_SECTORS, _state(first_table), "Pri GPT table")
    if damaged or first_table:
        _entries(gpt, PRIMARY, numeric=numeric)
    _row(gpt.table_lba(SECONDARY), ENTRIES_SECTORS, _state(second_table), "Sec GPT table")
    differs = gpt.table(PRIMARY) != gpt.table(SECONDARY)
    if damaged or (second_table and (not first_table or differs)):
        _entries(gpt, SECONDARY, numeric=numeric)
    # cgpt shows a bad second header at the place of the first.
    _row(
        gpt.header_lba(SECONDARY) if second_header else 1,
        1,
        _state(second_header),
        "Sec GPT header",
    )
    if damaged or (second_header and not first_header and verbose):
        _header(gpt, SECONDARY, numeric=numeric)


def _state(is_valid: bool) -> str:
    return "" if is_valid else "INVALID"


def _entries(gpt: Gpt, copy: int, *, numeric: bool) -> None:
    for number, item in enumerate(gpt.table(copy), 1):
        if item.is_used:
            entry(item, number, numeric=numeric)


def _header(gpt: Gpt, copy: int, *, numeric: bool) -> None:
    header = gpt.header(copy)
    if numeric:
        signature = "-".join(f"{byte:02X}" for byte in header.signature)
    else:
        signature = header.signature.decode("latin-1")
    bad = "(INVALID)" if gpt.header_crc(copy) != header.crc else ""
    worse = "INVALID" if gpt.entries_crc(copy) != header.entries_crc else ""
    for line in (
        f"Sig: [{signature}]",
        f"Rev: 0x{header.revision:08x}",
        f"Size: {header.size}",
        f"Header CRC: 0x{header.crc:08x} {bad}",
        f"My LBA: {header.my_lba}",
        f"Alternate LBA: {header.alternate_lba}",
        f"First LBA: {header.first_usable}",
        f"Last LBA: {header.last_usable}",
        f"Disk UUID: {guid_text(header.disk_guid)}",
        f"Entries LBA: {header.entries_lba}",
        f"Number of entries: {header.entries_count}",
        f"Size of entry: {header.entry_size}",
        f"Entries CRC: 0x{header.entries_crc:08x} {worse}",
    ):
        print(f"{_INDENT}{line}")


def _mbr(sector: bytes) -> str:
    if sector[510:] != b"\x55\xaa":
        return "Unknown"
    if sector[0x1BC:0x1BE] != b"\x1d\x9a":
        return "Hybrid MBR" if sector[446 + 16 + 4] else "Protective MBR"
    guid = sector[0x1A8:0x1B8]
    if guid == UNUSED:
        return "PMBR (SYSLINUX3)"
    return f"PMBR (SYSLINUX3, Boot GUID: {guid_text(guid)})"
