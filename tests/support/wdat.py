"""The ACPI table WDAT, by which firmware tells how to drive a machine's watchdog.

Firmware of emulated machines has none. This one is for the timer in the ICH9 of qemu's q35.
"""

from __future__ import annotations

import struct

_RESET, _SET_COUNTDOWN, _RUN, _STOP = 1, 6, 9, 11
_WRITE, _WRITE_COUNTDOWN, _PRESERVING = 2, 3, 0x80
_MEMORY, _IO = 0, 1
_TCO = 0x660  # where SeaBIOS and OVMF put its registers
_GENERAL_CONTROL = 0xFED1F410
_PERIOD_MS = 1200  # it counts in 0.6 s, twice
_WORD, _DOUBLE_WORD = (16, 0, 2), (32, 0, 3)  # width in bits, first bit, code of the access


def ich9_watchdog() -> bytes:
    """What comes after the header that all tables have."""
    entries = (
        _entry(_RESET, _WRITE, (_IO, *_WORD, _TCO), 1, 0xFFFF),
        _entry(_SET_COUNTDOWN, _WRITE_COUNTDOWN, (_IO, *_WORD, _TCO + 0x12), 0, 0x3FF),
        # Clear NO_REBOOT, then TCO_TMR_HLT.
        _entry(_RUN, _WRITE, (_MEMORY, *_DOUBLE_WORD, _GENERAL_CONTROL), 0, 0x20),
        _entry(_RUN, _WRITE, (_IO, *_WORD, _TCO + 8), 0, 0x800),
        _entry(_STOP, _WRITE, (_IO, *_WORD, _TCO + 8), 0x800, 0x800),
    )
    on_no_bus = (0xFF, 0xFF, 0xFF, 0xFF)
    fixed = (32, *on_no_bus, _PERIOD_MS, 0x3FF, 4, 1, len(entries))
    return struct.pack("<IHBBB3xIIIB3xI", *fixed) + b"".join(entries)


def _entry(action: int, how: int, register: tuple[int, ...], value: int, mask: int) -> bytes:
    return struct.pack("<BBHBBBBQII", action, how | _PRESERVING, 0, *register, value, mask)
